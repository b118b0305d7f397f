"""`POST /api/commands`: one command, for clients without a WebSocket."""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from transport.wire.command_parser import parse_frame
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at
from understudy.chat.commands import Accepted
from understudy.web.context import identity, read_body, web_context
from understudy.web.routes import STORED, JsonObject, Routes, some_of
from understudy.web.sse import CONNECTIONLESS

blueprint = Routes("commands", __name__, url_prefix="/api/commands")


COMMAND_ERRORS: Final = (
    "bad_json", "invalid_command", "unknown_type", "empty_message", "pillar_required", "unknown_pillar",
    "unknown_agent_type", "message_id_reused", "content_blocked", "message_too_large", "not_found", "rate_limited",
    "run_ended", "busy", "quota_exceeded", "not_undoable", "undo_expired", "already_undone", "not_continuable",
    *STORED,
)  # fmt: skip
"""Refusals of commands, and of all that is carried out as one."""
Command: TypeAlias = Annotated[JsonObject, Meta(extra_json_schema={"$ref": "#/components/schemas/Command"})]


@blueprint.post("", status=202, body=Command, errors=COMMAND_ERRORS, answer=some_of("AcceptedIfRun", Accepted))
async def command() -> Accepted | JsonObject:
    """Carry out one command, in any form that a WebSocket accepts. Its effects are in the thread's events."""
    arrived_at.set(web_context().streams.callbacks.clock())
    caller = identity()
    given = parse_frame(await read_body(), max_bytes=web_context().settings.limits.frame_bytes)
    if not isinstance(given, CONNECTIONLESS):
        raise CommandRejected("invalid_command", "That command is about a connection; it is of no use over HTTP.")
    accepted = await web_context().streams.run_command(caller, given)
    return {} if accepted is None else accepted
