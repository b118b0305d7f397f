"""The MCP door: `/mcp` offers this server's agents and their tools to clients of the Model Context Protocol.

The MCP SDK implements the protocol; calls become messages of the chat. MCP servers that agents use are in `mcp`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from quart import Blueprint


class McpServing(Extension):
    """See the module."""

    name = "mcp_door"
    about = "offer agents and their tools to MCP clients"
    packages: ClassVar[Mapping[str, str]] = {"mcp": "mcp", "mcp_types": "mcp", "pydantic": "mcp"}

    def routes(self) -> "Sequence[Blueprint]":
        """`/mcp`, and its metadata."""
        from understudy.extensions.mcp_door import routes

        return [routes.blueprint]


EXTENSION: Final = McpServing()
