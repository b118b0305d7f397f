"""Every error code of the chat, in the order of its documents: those of `transport`, and its own, here registered."""

from types import MappingProxyType
from typing import Final

from transport.wire import codes
from transport.wire.codes import ErrorCode, register_errors

_TABLE: Final = (
    codes.ERRORS["bad_json"],
    codes.ERRORS["invalid_command"],
    codes.ERRORS["unknown_type"],
    ErrorCode("unknown_agent_type", "There is no agent of that name.", False, 404),
    ErrorCode("pillar_required", "pillar is required for liaison agent", False, 400),
    ErrorCode("unknown_pillar", "There is no liaison for that pillar.", False, 404),
    ErrorCode("empty_message", "The message is empty.", False, 400),
    ErrorCode("message_id_reused", "That message_id names another message already.", False, 409),
    ErrorCode("content_blocked", "Blocked by this server's content policy.", False, 422),
    codes.ERRORS["message_too_large"],
    codes.ERRORS["unauthenticated"],
    codes.ERRORS["token_expired"],
    codes.ERRORS["forbidden"],
    codes.ERRORS["not_found"],
    codes.ERRORS["rate_limited"],
    codes.ERRORS["busy"],
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
    ErrorCode("not_continuable", "There is nothing to continue here.", False, 409),
    ErrorCode("changed_meanwhile", "That was changed meanwhile; look at it again.", False, 409),
    ErrorCode("last_operator", "That is the only operator's account; make another operator first.", False, 409),
    codes.ERRORS["internal"],
)
ERRORS: Final = MappingProxyType({row.name: row for row in _TABLE})

register_errors(_TABLE)
