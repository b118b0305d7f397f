"""`/api/extensions`: which extensions are on, so that a client offers nothing that is not there."""

from typing import Any

from quart import Blueprint

from understudy.web.context import identity, web_context

blueprint = Blueprint("extensions", __name__, url_prefix="/api/extensions")


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """List the names of the extensions that are on."""
    identity()
    return {"extensions": sorted(web_context().extensions)}
