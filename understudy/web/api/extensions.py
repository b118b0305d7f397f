"""`/api/extensions`: which extensions are on, so that a client offers nothing that is not there."""

from attrs import frozen

from understudy.web.context import identity, web_context
from understudy.web.routes import Routes

blueprint = Routes("extensions", __name__, url_prefix="/api/extensions")


@frozen
class Extensions:
    """The names of the extensions that are on, in order."""

    extensions: list[str]


@blueprint.get("")
async def listing() -> Extensions:
    """List the names of the extensions that are on."""
    identity()
    return Extensions(sorted(web_context().extensions))
