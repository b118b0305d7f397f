"""The error and close codes of this package, in two tables: their meaning, and whether a client may retry.

A program registers error codes of its own. The names are also labels of the `errors` metric, so published names are
never changed.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from attrs import frozen


@frozen
class ErrorCode:
    """An error code, with a sentence for the user.

    `retryable`: sending the same command again may succeed. `http_status`: the status of the same error over REST.
    """

    name: str
    text: str
    retryable: bool
    http_status: int


@frozen
class CloseCode:
    """A close code of a WebSocket; `reconnect`: a client may reconnect by itself."""

    number: int
    reason: str
    reconnect: bool


_OWN: Final = (
    ErrorCode("bad_json", "That was not valid JSON.", False, 400),
    ErrorCode("invalid_command", "A field of that command is missing or has the wrong type.", False, 400),
    ErrorCode("unknown_type", "Unknown command type.", False, 400),
    ErrorCode("message_too_large", "The message is larger than this server accepts.", False, 413),
    ErrorCode("unauthenticated", "You are not signed in, or the session has ended.", False, 401),
    ErrorCode("token_expired", "The session token has run out; renew it.", False, 401),
    ErrorCode("forbidden", "That is not allowed.", False, 403),
    ErrorCode("not_found", "Not found.", False, 404),
    ErrorCode("rate_limited", "Too many messages in a short time; wait a moment.", True, 429),
    ErrorCode("busy", "The server is busy; try again in a moment.", True, 503),
    ErrorCode("internal", "Something went wrong on the server.", True, 500),
)
_registered: Final = {row.name: row for row in _OWN}
ERRORS: Final = MappingProxyType(_registered)
"""Every error code that this process knows, by name."""


def register_errors(codes: Iterable[ErrorCode]) -> None:
    """Add a program's error codes to `ERRORS`, for the whole process: an error names its code wherever it is raised.

    Raises ValueError for a name that has another meaning already.
    """
    for code in codes:
        if _registered.setdefault(code.name, code) != code:
            raise ValueError(f"the error code {code.name} is registered already")


# 1000-1015 are RFC 6455 section 7.4.1's; 4000-4999 are ours to give (section 7.4.2).
_CLOSES: Final = (
    CloseCode(1000, "normal closure", False),
    CloseCode(1001, "server going away", True),
    CloseCode(1002, "protocol error", False),
    CloseCode(1003, "unsupported data", False),
    CloseCode(1007, "invalid data", False),
    CloseCode(1008, "policy violation", False),
    CloseCode(1009, "message too big", False),
    CloseCode(1011, "internal error", True),
    CloseCode(1013, "try again later", True),
    CloseCode(4400, "bad first message", False),
    CloseCode(4401, "unauthenticated", False),
    CloseCode(4403, "forbidden", False),
    CloseCode(4408, "idle", True),
    CloseCode(4429, "too many connections", True),
)
CLOSES: Final = MappingProxyType({row.number: row for row in _CLOSES})
