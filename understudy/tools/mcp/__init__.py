"""MCP servers whose tools agents use: how one is named, connected, supervised and called.

Only `connection` and `transports` import the `mcp` SDK, which is an extra; a server without MCP servers loads neither.
What this server itself offers over MCP does not stand here.
"""
