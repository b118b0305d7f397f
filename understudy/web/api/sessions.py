"""`/api/sessions`: obtain, renew and end a session; `/auth`: the ways to sign in at the page, and signing out."""

from typing import Final, Literal

from attrs import frozen
from quart import Response, request

from understudy.auth.local_user import local_roles
from understudy.auth.sessions import SESSIONS_ENDED, Session, WaysIn
from understudy.web.acts import say
from understudy.web.admission import peer
from understudy.web.context import bearer, own_url, public_path, read_json, web_context
from understudy.web.routes import STORED, Routes, as_json

blueprint = Routes("sessions", __name__)

HANDOVER: Final = "understudy_signed_in"
"""The cookie by which a browser that has just signed in obtains its session."""
HANDOVER_PATH: Final = "/api/sessions"
BODY_BYTES: Final = 16 * 1024


@frozen
class SignOutRequest:
    """The body of a request to sign out. `everywhere`: all sessions of the user end, not only this one."""

    everywhere: bool = False


@blueprint.get("/auth", token=False)
async def ways() -> WaysIn:
    """Say how users of the page sign in: `by` which extension, and at which identity `provider`; null for none."""
    sign_in = web_context().sessions.sign_in
    return WaysIn() if sign_in is None else sign_in.ways()


@blueprint.post(
    "/api/sessions", status=201, token=False, answer=Session,
    errors=("unauthenticated", "token_expired", "rate_limited", "busy", *STORED),
)  # fmt: skip
async def create() -> Response:
    """Issue the session of a user who has just signed in with this browser, or of an anonymous user."""
    sessions, cookie = web_context().sessions, request.cookies.get(HANDOVER)
    signed_in = None if cookie is None or sessions.sign_in is None else await sessions.sign_in.take(cookie)
    answer = as_json((signed_in or sessions.issue_anonymous(peer(), await _local_roles())).shown(), 201)
    if signed_in is not None:
        answer.delete_cookie(HANDOVER, path=public_path(HANDOVER_PATH))
    return answer


@blueprint.post("/api/sessions/refresh", errors=("busy", *STORED))
async def refresh() -> Session:
    """Renew the bearer's token."""
    return (await web_context().sessions.renew_and_revoke(bearer(), await _local_roles())).shown()


async def _local_roles() -> tuple[str, ...]:
    """Return the roles of the local user whose process sends the request; see `local_roles`."""
    client: tuple[str, int] | None = request.scope.get("client")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.scope["headers"]}
    # `request.headers` also has a Remote-Addr that Quart adds, so the headers come from the scope.
    return await local_roles(web_context().settings, client, headers)


@blueprint.delete("/api/sessions", errors=("busy", *STORED))
async def end() -> None:
    """End the session of the token."""
    sessions = web_context().sessions
    caller = sessions.verify_for_sign_out(bearer())
    await say(SESSIONS_ENDED, by=caller, target=caller.user, all=False)
    await sessions.end_session(bearer())


@blueprint.post("/auth/sign-out", body=SignOutRequest, errors=("busy", *STORED))
async def sign_out() -> dict[Literal["url"], str | None]:
    """End the session, or all of the user's."""
    body = await read_json(SignOutRequest, '{"everywhere": false}', BODY_BYTES)
    sessions = web_context().sessions
    caller = sessions.verify_for_sign_out(bearer())
    sign_in = sessions.sign_in_of(caller)
    url = None if sign_in is None else await sign_in.logout_url(caller, f"{own_url()}/")
    await say(SESSIONS_ENDED, by=caller, target=caller.user, all=body.everywhere)
    if body.everywhere:
        await sessions.end_all_sessions(caller.user)
    else:
        await sessions.end_session(bearer())
    return {"url": url}
