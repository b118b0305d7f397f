"""MCP servers whose tools agents use: how one is named, connected, supervised and called.

Only `connection`, `open_calls`, `tasks`, `transports` and `oauth` import the `mcp` SDK, which is an extra; a server
without MCP servers loads none of them. What this server itself offers over MCP does not stand here.
"""
