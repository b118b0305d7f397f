"""References for machines: OpenAPI and AsyncAPI documents, made from the types that the code parses with.

Nothing here is written twice: a shape that is not in the code is not in a document.
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
        """`/openapi.json` and `/asyncapi.json`."""
        from understudy.extensions.references.routes import blueprint

        return [blueprint]


EXTENSION: Final = References()
