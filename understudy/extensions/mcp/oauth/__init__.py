"""Sign-in of users at MCP servers by OAuth 2.1: discovery, the authorization code grant, and tokens that stay fresh.

Models and discovery addresses are those of the `mcp` SDK. Its client does the whole of a sign-in inside of one request
and for one user, so the flow between requests, users and nodes stands here.
"""
