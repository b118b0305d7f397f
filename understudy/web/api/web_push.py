"""`/api/web-push`: the browsers in which the caller is notified while no page is open."""

from typing import Any, Final

from attrs import field, frozen
from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.privacy.records import browser_of
from understudy.storage.web_push import DropBrowser
from understudy.web.context import identity, read_json, web_context

blueprint = Blueprint("web_push", __name__, url_prefix="/api/web-push")

FORM: Final = '{"endpoint": "https://…", "keys": {"p256dh": "…", "auth": "…"}, "answers": false}'
BODY_BYTES: Final = 8 * 1024


@frozen
class SubscriptionKeys:
    """The keys of a browser, in base64url."""

    p256dh: str = field(repr=False)
    auth: str = field(repr=False)


@frozen
class SubscribeRequest:
    """The body of a request to be notified: what the browser's `PushSubscription` says of itself.

    `answers`: also when an answer has ended.
    """

    endpoint: str = field(repr=False)
    keys: SubscriptionKeys
    answers: bool = False


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """Return the key with which browsers subscribe, null if this server notifies none, and the caller's browsers."""
    owner, browsers = identity().user, web_context().browsers
    found = await web_context().store.browsers(owner)
    keys = await run_off_loop(lambda: browsers.keys)  # the first time it loads `cryptography`
    return {"key": keys[0].public if keys else None, "browsers": list(map(browser_of, found))}


@blueprint.put("/browsers")
async def subscribe() -> dict[str, Any]:
    """Have a browser notified. The same browser again replaces what was stored of it."""
    caller, given = identity(), await read_json(SubscribeRequest, FORM, BODY_BYTES)
    keys = given.keys
    browser = await web_context().browsers.subscribe(
        caller, given.endpoint, keys.p256dh, keys.auth, answers=given.answers
    )
    return browser_of(browser)


@blueprint.delete("/browsers/<browser_id>")
async def unsubscribe(browser_id: str) -> tuple[str, int]:
    """Notify a browser no more."""
    check_id("browser_id", browser_id)
    if not await web_context().store.commit(DropBrowser(identity().user, browser_id)):
        raise CommandRejected("not_found", "There is no browser of that name.")
    return "", 204
