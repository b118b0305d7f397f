"""`POST /api/sessions` and `POST /api/sessions/refresh`: obtain and renew a session token."""

from typing import Any

from quart import Blueprint

from understudy.rest.parts import bearer, parts

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")


@blueprint.post("")
async def create() -> tuple[dict[str, Any], int]:
    """Give an anonymous user a session; 401 where this server gives none."""
    return parts().sessions.new().as_json(), 201


@blueprint.post("/refresh")
async def refresh() -> dict[str, Any]:
    """Give a later token for the session of the bearer's token."""
    return parts().sessions.renew(bearer()).as_json()
