"""`/api/sessions`: obtain, renew and end a session."""

from typing import Any

from quart import Blueprint

from understudy.web.admission import peer
from understudy.web.context import bearer, web_context

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")


@blueprint.post("")
async def create() -> tuple[dict[str, Any], int]:
    """Give an anonymous user a session; 401 where this server gives none."""
    return web_context().sessions.issue_anonymous(peer()).as_json(), 201


@blueprint.post("/refresh")
async def refresh() -> dict[str, Any]:
    """Give a later token for the session of the bearer's token."""
    return (await web_context().sessions.renew_and_revoke(bearer())).as_json()


@blueprint.delete("")
async def end() -> tuple[str, int]:
    """End the session of the bearer's token: it is refused from now on, and the session's sockets are closed."""
    await web_context().sessions.end_session(bearer())
    return "", 204
