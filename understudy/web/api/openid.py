"""`/auth`: sign-in of the page's users at an identity provider: its start, the way back, and sign-out there too.

1. The browser brings a code and gets a cookie; `POST /api/sessions` of the same browser gives the token for it, once.
   So neither a token nor anything else that is worth something stands in an address.
2. The way back leads to a path of this origin only.
"""

import logging
import time
from typing import Final, Literal
from urllib.parse import parse_qs

from attrs import frozen
from msgspec import Struct
from quart import Response, request

from transport.auth import base64url
from transport.wire.codes import ERRORS
from transport.wire.errors import CommandRejected
from understudy.auth.oauth.errors import OAuthError, SignInFailed, Unreachable
from understudy.auth.sessions import IssuedSession
from understudy.storage.errors import StorageUnavailable
from understudy.web.audit import audit
from understudy.web.context import bearer, own_url, public_path, read_body, read_json, set_cookie, web_context
from understudy.web.routes import STORED, JsonObject, Routes, as_json
from understudy.web.way_back import is_own_path, way_back_page

log = logging.getLogger(__name__)

blueprint: Final = Routes("openid", __name__, url_prefix="/auth")

SIGN_IN: Final = "/auth/sign-in"
HANDOVER: Final = "understudy_signed_in"
HANDOVER_S: Final = 120
HANDOVER_PATH: Final = "/api/sessions"
MAX_BEGUN: Final = 5
"""Sign-ins that a browser may have begun at once: each has a cookie, and the head of a request is bounded."""
MAX_VALUE: Final = 4096
"""Characters of each value that a browser brings back."""
BODY_BYTES: Final = 16 * 1024
NO_PROVIDER: Final = "Users of this server sign in with a token."


@frozen
class _Handover:
    """What the cookie of a user who has just signed in holds."""

    owner: str
    session: str
    stamp: str
    until: float


@frozen
class SignOutRequest:
    """The body of a request to sign out. `everywhere`: all sessions of the user end, not only this one."""

    everywhere: bool = False


class ProviderSignIn(Struct):
    """Where users sign in at an identity provider."""

    title: str
    url: str


class WaysIn(Struct):
    """How users of the page sign in."""

    sign_in: ProviderSignIn | None
    password: bool


@blueprint.get("", token=False)
async def told() -> WaysIn:
    """Say where users of the page sign in: at `sign_in`, null if there is no provider, or with a `password`; else they
    need a token."""
    sessions = web_context().sessions
    password = sessions.accounts is not None
    if sessions.signed_in is None:
        return WaysIn(None, password)
    return WaysIn(ProviderSignIn(sessions.signed_in.provider.registration.title, SIGN_IN), password)


@blueprint.get(
    "/sign-in", status=303, media="text/html", query={"next": str}, token=False,
    also={400: "`next` is no path of this server.", 404: "Users need a token.", 503: "The provider is away."},
)  # fmt: skip
async def sign_in() -> Response:
    """Send the browser to the identity provider. `next`: the path to which the sign-in leads, such as /#thread."""
    signed_in, leads_to = web_context().sessions.signed_in, request.args.get("next") or public_path("/")
    if signed_in is None:
        return way_back_page("not_found", NO_PROVIDER)
    from understudy.auth.openid import flow

    if not is_own_path(leads_to):
        return way_back_page("invalid_command", "A sign-in leads to a path of this server only, such as /#thread.")
    try:
        started = await flow.start(signed_in.provider, signed_in.seal, leads_to, f"{own_url()}/auth/callback")
    except SignInFailed as failed:
        return way_back_page(failed.code, failed.message, SIGN_IN)
    answer = Response(b"", status=303, headers={"Location": started.url})
    begun = [name for name in request.cookies if name.startswith(flow.COOKIE)]
    for name in begun if len(begun) >= MAX_BEGUN else ():
        answer.delete_cookie(name, path=public_path("/auth"))
    secure = own_url().startswith("https:")
    set_cookie(answer, started.cookie, started.value, flow.START_S, "/auth", "Lax", secure=secure)
    return answer


@blueprint.get(
    "/callback", status=303, media="text/html", query={"state": str, "code": str, "iss": str, "error": str},
    token=False,
    also={400: "It is no answer.", 403: "It cannot be trusted.", 404: "It has expired.", 503: "A server is away."},
)  # fmt: skip
async def callback() -> Response:
    """Finish a sign-in in the browser that began it, and go on to where it leads."""
    signed_in = web_context().sessions.signed_in
    if signed_in is None:
        return way_back_page("not_found", NO_PROVIDER)
    from understudy.auth.openid import flow

    said = {key: request.args.get(key, "") for key in ("state", "code", "iss", "error")}
    if any(len(value) > MAX_VALUE for value in said.values()):
        return way_back_page("invalid_command", "This is no answer of a sign-in.", SIGN_IN)
    given = flow.BroughtBack(said["state"], said["code"], said["iss"], said["error"], request.cookies)
    try:
        found, leads_to = await flow.finish(signed_in.provider, signed_in.seal, given)
        begun = await signed_in.begin(found)
    except SignInFailed as failed:
        answer = way_back_page(failed.code, failed.message, SIGN_IN)
    except OAuthError as error:
        log.warning("sign_in.failed", extra={"issuer": signed_in.provider.registration.issuer, "why": str(error)})
        answer = way_back_page("forbidden", "A user of that name cannot sign in here.", SIGN_IN)
    except StorageUnavailable:
        answer = way_back_page("storage_unavailable", ERRORS["storage_unavailable"].text, SIGN_IN)
    else:
        answer = Response(b"", status=303, headers={"Location": leads_to})
        sealed = signed_in.seal.seal(
            _Handover(begun.owner, begun.id, begun.stamp, time.time() + HANDOVER_S), "openid handover"
        )
        value, secure = base64url.encode(sealed), own_url().startswith("https:")
        set_cookie(answer, HANDOVER, value, HANDOVER_S, HANDOVER_PATH, "Strict", secure=secure)
    answer.delete_cookie(flow.cookie_of(said["state"]), path=public_path("/auth"))
    return answer


@blueprint.post("/sign-out", body=SignOutRequest, errors=("busy", *STORED))
async def sign_out() -> dict[Literal["url"], str | None]:
    """End the session, or all of the user's. `url` is where the provider signs them out too, null if it does not."""
    given = await read_json(SignOutRequest, '{"everywhere": false}', BODY_BYTES)
    sessions, url = web_context().sessions, None
    caller = sessions.verify_for_sign_out(bearer())
    if sessions.signed_in is not None and sessions.is_provided(caller):
        url = await sessions.signed_in.logout_url(caller, f"{own_url()}/")
    await audit("sessions.ended", by=caller, target=caller.user, all=given.everywhere)
    if given.everywhere:
        await sessions.end_all_sessions(caller.user)
    else:
        await sessions.end_session(bearer())
    return {"url": url}


@blueprint.post(
    "/back-channel-logout", token=False, also={400: "It is no logout token of the provider."},
    errors=("not_found", "message_too_large", "busy", *STORED), answer=JsonObject,
)  # fmt: skip
async def back_channel_logout() -> Response:
    """End the sessions that a logout token of the identity provider names (OpenID Connect Back-Channel Logout)."""
    signed_in = web_context().sessions.signed_in
    if signed_in is None:
        raise CommandRejected("not_found", NO_PROVIDER)
    form = parse_qs((await read_body(BODY_BYTES)).decode("ascii", "replace"), max_num_fields=10)
    try:
        ended = await signed_in.log_out(form.get("logout_token", [""])[0])
    except Unreachable:
        raise CommandRejected("busy", "The keys of the identity provider cannot be fetched.", 5.0) from None
    except OAuthError as error:
        log.warning("sign_out.refused", extra={"why": str(error)})
        return as_json({"error": "invalid_request"}, 400)
    log.info("sign_out.by_provider", extra={"sessions": ended})
    return as_json({})


async def take_handover() -> IssuedSession | None:
    """Return the session of a user who has just signed in with this browser; None if nobody has.

    Raises:
        Unauthenticated: The session is over, or its first token was taken.
        StorageUnavailable: It cannot be read.
    """
    signed_in, value = web_context().sessions.signed_in, request.cookies.get(HANDOVER)
    if signed_in is None or value is None:
        return None
    try:
        found = signed_in.seal.open(base64url.decode(value), _Handover, "openid handover")
    except ValueError:
        return None
    if found is None or time.time() >= found.until:
        return None
    return await signed_in.issue(found.owner, found.session, found.stamp)
