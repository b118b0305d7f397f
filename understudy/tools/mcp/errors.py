"""The errors of connections to MCP servers, for this folder; what users read are `ToolError`."""


class ConnectionLost(Exception):
    """The connection ended, or the server does not answer; the text says why, after the server's name."""


class TaskLost(Exception):
    """A server does not know a task of ours, or not any more; the text says what it answered."""


class SignedOut(Exception):
    """The user of a connection is not signed in at its server, or not any more. The request had no effect."""


class McpDown(Exception):
    """A server cannot be reached, or is gone; the text names it and says why. It restarts the server's actor."""
