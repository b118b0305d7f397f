"""`/api/sessions`: obtain, renew and end a session."""

from quart import Response, request

from understudy.auth.local_user import local_roles
from understudy.auth.sessions import Session
from understudy.web.admission import peer
from understudy.web.api.openid import HANDOVER, HANDOVER_PATH, take_handover
from understudy.web.audit import audit
from understudy.web.context import bearer, public_path, web_context
from understudy.web.routes import STORED, Routes, as_json

blueprint = Routes("sessions", __name__, url_prefix="/api/sessions")


@blueprint.post(
    "", status=201, token=False, errors=("unauthenticated", "token_expired", "rate_limited", "busy", *STORED),
    answer=Session,
)  # fmt: skip
async def create() -> Response:
    """Issue the session of a user who has just signed in with this browser, or one to an anonymous user; else 401."""
    found = await take_handover()
    sessions = web_context().sessions
    answer = as_json((found or sessions.issue_anonymous(peer(), await _local_roles())).shown(), 201)
    if found is not None:
        answer.delete_cookie(HANDOVER, path=public_path(HANDOVER_PATH))
    return answer


@blueprint.post("/refresh", errors=("busy", *STORED))
async def refresh() -> Session:
    """Renew the bearer's token."""
    return (await web_context().sessions.renew_and_revoke(bearer(), await _local_roles())).shown()


async def _local_roles() -> tuple[str, ...]:
    """Return the roles of the user of this machine from whose process the request comes."""
    client: tuple[str, int] | None = request.scope.get("client")
    sent = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.scope["headers"]}
    return await local_roles(web_context().settings, client, sent)  # `request.headers` has Quart's Remote-Addr, too


@blueprint.delete("", errors=("busy", *STORED))
async def end() -> None:
    """End the session of the bearer's token: its tokens are refused, and its connections closed."""
    sessions = web_context().sessions
    caller = sessions.verify_for_sign_out(bearer())
    await audit("sessions.ended", by=caller, target=caller.user, all=False)
    await sessions.end_session(bearer())
