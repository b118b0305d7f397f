"""`POST /api/sessions` and `POST /api/sessions/refresh`: obtain and renew a session token."""

from typing import Any

from quart import Blueprint, request

from transport.auth import find_token
from transport.codes import ERRORS
from transport.errors import Unauthenticated
from understudy.rest.parts import parts

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")


@blueprint.post("")
async def create() -> tuple[dict[str, Any], int]:
    """Give an anonymous user a session; 401 where this server gives none."""
    return parts().sessions.new().as_json(), 201


@blueprint.post("/refresh")
async def refresh() -> dict[str, Any]:
    """Give a later token for the session of the bearer's token."""
    token = find_token(dict(request.headers), {}, ())
    if token is None:
        raise Unauthenticated("unauthenticated", ERRORS["unauthenticated"].text)
    return parts().sessions.renew(token).as_json()
