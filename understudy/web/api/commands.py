"""`POST /api/commands`: one command, for clients without a WebSocket."""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from transport.wire.errors import CommandRejected
from understudy.chat.commands.request import Accepted
from understudy.web.context import identity, read_body, web_context
from understudy.web.routes import STORED, JsonObject, Routes, some_of
from understudy.wire import commands
from understudy.wire.vocabulary import parse_frame

blueprint = Routes("commands", __name__, url_prefix="/api/commands")


COMMAND_ERRORS: Final = (
    "bad_json", "invalid_command", "unknown_type", "empty_message", "pillar_required", "unknown_pillar",
    "unknown_agent_type", "message_id_reused", "content_blocked", "message_too_large", "not_found", "rate_limited",
    "run_ended", "busy", "quota_exceeded", "not_undoable", "undo_expired", "already_undone", "not_continuable",
    *STORED,
)  # fmt: skip
"""Refusals of commands, and of other requests that are carried out as a command."""
CONNECTIONLESS: Final = (
    commands.Say, commands.Cancel, commands.Steer, commands.Unsteer, commands.Approve, commands.Respond,
    commands.Disallow, commands.SwitchServer, commands.Undo, commands.Edit, commands.Regenerate, commands.Continue,
    commands.Feedback, commands.UserTyping,
)  # fmt: skip
"""Commands that need no connection. All others concern the connection over which they are sent."""
Command: TypeAlias = Annotated[JsonObject, Meta(extra_json_schema={"$ref": "#/components/schemas/Command"})]


@blueprint.post("", status=202, body=Command, errors=COMMAND_ERRORS, answer=some_of("AcceptedIfRun", Accepted))
async def command() -> Accepted | JsonObject:
    """Carry out one command. Its effects are in the thread's events."""
    caller = identity()
    frame = parse_frame(await read_body(), max_bytes=web_context().settings.limits.frame_bytes)
    if not isinstance(frame, CONNECTIONLESS):
        raise CommandRejected("invalid_command", "That command is about a connection; it is of no use over HTTP.")
    accepted = await web_context().chat.run_command(caller, frame)
    return {} if accepted is None else accepted
