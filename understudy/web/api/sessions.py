"""`/api/sessions`: obtain, renew and end a session."""

from typing import Any

from quart import Blueprint

from understudy.web.admission import peer
from understudy.web.context import bearer, web_context

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")


@blueprint.post("")
async def create() -> tuple[dict[str, Any], int]:
    """Issue a session to an anonymous user; 401 if this server issues none."""
    return web_context().sessions.issue_anonymous(peer()).as_json(), 201


@blueprint.post("/refresh")
async def refresh() -> dict[str, Any]:
    """Renew the bearer's token."""
    return (await web_context().sessions.renew_and_revoke(bearer())).as_json()


@blueprint.delete("")
async def end() -> tuple[str, int]:
    """End the session of the bearer's token: its tokens are refused, and its connections closed."""
    await web_context().sessions.end_session(bearer())
    return "", 204
