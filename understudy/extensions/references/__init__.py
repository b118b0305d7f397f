"""References for machines: OpenAPI and AsyncAPI documents, generated from the types by which the code parses.

No shape is written twice: a document contains only shapes that are in the code.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint


class References(Extension):
    """See the module."""

    name = "references"
    about = "describe a server's interfaces to machines"

    def routes(self) -> "Sequence[Blueprint]":
        """Return the routes of `/openapi.json` and `/asyncapi.json`."""
        from understudy.extensions.references.routes import blueprint

        return [blueprint]


EXTENSION: Final = References()
