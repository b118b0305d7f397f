"""Sign-in of users at MCP servers by OAuth 2.1: discovery, the authorization code grant, and tokens that stay fresh.

The types and discovery URLs are those of the `mcp` SDK. Its client makes a whole sign-in within one request and for one
user, so the flow over several requests, users and nodes is implemented here.
"""
