"""All error and close codes of the wire, in two tables: their meaning, and whether a client may retry.

The names are also labels of the `errors` metric, so published names are never changed.
"""

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


_ERRORS: Final = (
    ErrorCode("bad_json", "That was not valid JSON.", False, 400),
    ErrorCode("invalid_command", "A field of that command is missing or has the wrong type.", False, 400),
    ErrorCode("unknown_type", "Unknown command type.", False, 400),
    ErrorCode("unknown_agent_type", "There is no agent of that name.", False, 404),
    ErrorCode("pillar_required", "pillar is required for liaison agent", False, 400),
    ErrorCode("unknown_pillar", "There is no liaison for that pillar.", False, 404),
    ErrorCode("empty_message", "The message is empty.", False, 400),
    ErrorCode("message_id_reused", "That message_id names another message already.", False, 409),
    ErrorCode("content_blocked", "Blocked by this server's content policy.", False, 422),
    ErrorCode("message_too_large", "The message is larger than this server accepts.", False, 413),
    ErrorCode("unauthenticated", "You are not signed in, or the session has ended.", False, 401),
    ErrorCode("token_expired", "The session token has run out; renew it.", False, 401),
    ErrorCode("forbidden", "That is not allowed.", False, 403),
    ErrorCode("not_found", "Not found.", False, 404),
    ErrorCode("rate_limited", "Too many messages in a short time; wait a moment.", True, 429),
    ErrorCode("busy", "The server is busy; try again in a moment.", True, 503),
    ErrorCode("agent_timeout", "The agent timed out.", True, 504),
    ErrorCode("agent_failed", "The agent failed while working on this.", True, 500),
    ErrorCode("tool_failed", "The tool failed.", True, 500),
    ErrorCode("tool_timeout", "The tool took longer than it is allowed to.", True, 504),
    ErrorCode("tools_restarted", "The server's tools were restarted during the call.", True, 503),
    ErrorCode("invalid_arguments", "The tool was called with arguments it does not take.", False, 400),
    ErrorCode("invalid_table", "That file is not a table this tool can read.", False, 422),
    ErrorCode("query_refused", "Only a single read-only SELECT is allowed.", False, 400),
    ErrorCode("query_failed", "The query could not be run.", False, 400),
    ErrorCode("file_too_large", "The file is larger than this server accepts.", False, 413),
    ErrorCode("quota_exceeded", "There is no more space for that; delete something first.", False, 403),
    ErrorCode("invalid_file", "That upload is not a file this server can take.", False, 400),
    ErrorCode("model_unavailable", "The language model cannot be reached.", True, 503),
    ErrorCode("invalid_output", "The answer is not of the form that the agent's callers expect.", True, 502),
    ErrorCode("storage_unavailable", "The server cannot store messages right now; try again in a moment.", True, 503),
    ErrorCode("run_interrupted", "This run was interrupted.", True, 503),
    ErrorCode("run_ended", "That run has ended already; send it as a message.", False, 409),
    ErrorCode("taken_over", "Another operator has taken over that run.", False, 409),
    ErrorCode("run_cancelled", "The work on this message was stopped.", False, 409),
    ErrorCode("stopped", "Stopped by an operator.", False, 409),
    ErrorCode("not_undoable", "That cannot be undone.", False, 409),
    ErrorCode("undo_expired", "It is too late to undo that.", False, 410),
    ErrorCode("already_undone", "That was undone already.", False, 409),
    ErrorCode("not_continuable", "There is nothing to go on with here.", False, 409),
    ErrorCode("changed_meanwhile", "That was changed meanwhile; look at it again.", False, 409),
    ErrorCode("last_operator", "That is the only operator's account; make another operator first.", False, 409),
    ErrorCode("internal", "Something went wrong on the server.", True, 500),
)
ERRORS: Final = MappingProxyType({row.name: row for row in _ERRORS})

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
