"""The server as an MCP server: its agents and their tools, for clients of the Model Context Protocol.

The protocol is the SDK's. A module here brings requests to it, or calls to the chat; routes stand in `web.api`.
"""
