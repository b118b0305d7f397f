"""An MCP server of the stock SDK for tests, over stdio: its tool tells which span it was called from."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations

server = MCPServer("traced", version="1.0")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def tell(context: Context[Any, Any]) -> str:
    """Return what the call's `_meta` names as its span."""
    return str(dict(context.request_context.meta or {}).get("traceparent"))


if __name__ == "__main__":
    server.run()
