"""`/auth`: sign-in of the page's users at an identity provider: its start, the way back, and the provider's sign-out.

1. The browser brings a code and gets a cookie; `POST /api/sessions` of the same browser exchanges it for the token,
   once. So no address contains a token or another valuable secret.
2. The way back leads to a path of this origin only.
"""

import logging
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qs

from quart import Response, request

from transport.wire.errors import CommandRejected
from understudy.extensions.oauth.errors import OAuthError, SignInFailed, Unreachable
from understudy.extensions.oauth.way_back import is_own_path, way_back_page
from understudy.extensions.openid.settings import HANDOVER_S, PREFIX, SIGN_IN
from understudy.storage.errors import StorageUnavailable
from understudy.web.api.sessions import HANDOVER, HANDOVER_PATH
from understudy.web.context import own_url, public_path, read_body, set_cookie, web_context
from understudy.web.routes import STORED, JsonObject, Routes, as_json
from understudy.wire.codes import ERRORS

if TYPE_CHECKING:
    from understudy.extensions.openid.sessions import ProviderSessions

log = logging.getLogger(__name__)

blueprint: Final = Routes("openid", __name__, url_prefix="/auth")

MAX_BEGUN: Final = 5
"""Limit of started sign-ins of one browser: each has a cookie, and the head of a request is bounded."""
MAX_VALUE: Final = 4096
"""Limit of characters of each value that a browser brings back."""
BODY_BYTES: Final = 16 * 1024
NO_PROVIDER: Final = "Users of this server sign in with a token."


@blueprint.get(
    "/sign-in", status=303, media="text/html", query={"next": str}, token=False,
    also={400: "`next` is no path of this server.", 404: "Users need a token.", 503: "The provider is away."},
)  # fmt: skip
async def sign_in() -> Response:
    """Send the browser to the identity provider, and from there to `next`."""
    signed_in, leads_to = _provider_sessions(), request.args.get("next") or public_path("/")
    if signed_in is None:
        return way_back_page("not_found", NO_PROVIDER)
    from understudy.extensions.openid import flow

    if not is_own_path(leads_to):
        return way_back_page("invalid_command", "A sign-in leads to a path of this server only, such as /#thread.")
    try:
        started = await flow.start(signed_in.provider, signed_in.sealing.seal, leads_to, f"{own_url()}/auth/callback")
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
    """Finish a sign-in in the browser that began it."""
    signed_in = _provider_sessions()
    if signed_in is None:
        return way_back_page("not_found", NO_PROVIDER)
    from understudy.extensions.openid import flow

    query = {key: request.args.get(key, "") for key in ("state", "code", "iss", "error")}
    if any(len(value) > MAX_VALUE for value in query.values()):
        return way_back_page("invalid_command", "This is no answer of a sign-in.", SIGN_IN)
    brought = flow.BroughtBack(query["state"], query["code"], query["iss"], query["error"], request.cookies)
    try:
        user_answer, leads_to = await flow.finish(signed_in.provider, signed_in.sealing.seal, brought)
        session = await signed_in.begin(user_answer)
    except SignInFailed as failed:
        answer = way_back_page(failed.code, failed.message, SIGN_IN)
    except OAuthError as error:
        log.warning("sign_in.failed", extra={"issuer": signed_in.provider.registration.issuer, "why": str(error)})
        answer = way_back_page("forbidden", "A user of that name cannot sign in here.", SIGN_IN)
    except StorageUnavailable:
        answer = way_back_page("storage_unavailable", ERRORS["storage_unavailable"].text, SIGN_IN)
    else:
        answer = Response(b"", status=303, headers={"Location": leads_to})
        value, secure = signed_in.sealing.handover(session, signed_in.clock()), own_url().startswith("https:")
        set_cookie(answer, HANDOVER, value, HANDOVER_S, HANDOVER_PATH, "Strict", secure=secure)
    answer.delete_cookie(flow.cookie_of(query["state"]), path=public_path("/auth"))
    return answer


@blueprint.post(
    "/back-channel-logout", token=False, also={400: "It is no logout token of the provider."},
    errors=("not_found", "message_too_large", "busy", *STORED), answer=JsonObject,
)  # fmt: skip
async def back_channel_logout() -> Response:
    """End the sessions that a logout token of the identity provider names."""
    signed_in = _provider_sessions()
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


def _provider_sessions() -> "ProviderSessions | None":
    """Return the sessions of users who sign in at a provider, None if the server has no provider."""
    provider = web_context().sessions.sign_in
    return cast("ProviderSessions", provider) if provider is not None and provider.prefix == PREFIX else None
