"""The errors of connections to MCP servers, used within this folder; users read `ToolError`."""

from attrs import field, frozen

from understudy.tools.errors import ToolError


@frozen
class RefusedToken:
    """An access token that a server refused. `scope` are the scopes that it said are needed, None if it said nothing.

    `final`: a refreshed token would be refused too. `bars`: the connection could not even be made with the token.
    """

    token: str = field(repr=False)
    scope: str | None = None
    final: bool = False
    bars: bool = False


class ConnectionLost(Exception):
    """The connection ended, or the server does not answer. The text is the reason, to stand after the server's name."""


class SessionGone(ConnectionLost):
    """The server does not know the session of a request, which had no effect and may be repeated in a new one."""


class Throttled(ToolError):
    """The server asks to wait for `wait_s` seconds. The request had no effect."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__("tool_failed", message)
        self.wait_s = wait_s

    def __reduce__(self) -> tuple[type["Throttled"], tuple[str, float]]:
        return Throttled, (self.message, self.wait_s)


class TaskLost(Exception):
    """A server does not know a task of ours, or not any more. The text is its answer."""


class SignedOut(Exception):
    """The user of a connection is not signed in at its server, or not any more. The request had no effect."""


class McpDown(Exception):
    """A server cannot be reached, or is gone. The text has its name and the reason. It crashes the server's actor."""
