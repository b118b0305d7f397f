"""The server as an MCP server, at `/mcp`: its agents and their tools, for clients of the Model Context Protocol.

The protocol is the SDK's. A module here brings requests to it, or calls to the chat. MCP servers that agents use are
no matter of this folder.
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
