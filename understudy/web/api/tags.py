"""`/api/tags`: the tags that the caller's threads have, to suggest them and to filter by them."""

from typing import Literal

from msgspec import Struct

from understudy.storage import queries
from understudy.web.context import identity, web_context
from understudy.web.routes import STORED, Count, Routes

blueprint = Routes("tags", __name__, url_prefix="/api/tags")


class TagInUse(Struct):
    """A tag, and the number of threads that have it."""

    tag: str
    threads: Count


@blueprint.get("", errors=STORED)
async def listing() -> dict[Literal["tags"], list[TagInUse]]:
    """List the tags of the caller's threads, most used first."""
    rows = await web_context().store.read(queries.tags, identity().user)
    return {"tags": [TagInUse(*row) for row in rows]}
