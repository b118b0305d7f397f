"""`/api/tags`: the tags that the caller's threads have, to suggest them and to filter by them."""

from typing import Any

from quart import Blueprint

from understudy.storage import queries
from understudy.web.context import identity, web_context

blueprint = Blueprint("tags", __name__, url_prefix="/api/tags")


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """List the tags of the caller's threads with the number of threads, most used first; at most 200."""
    found = await web_context().store.read(queries.tags, identity().user)
    return {"tags": [{"tag": tag, "threads": threads} for tag, threads in found]}
