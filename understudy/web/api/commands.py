"""`POST /api/commands`: one command, for clients without a WebSocket."""

from typing import Any

from attrs import asdict
from quart import Blueprint

from transport.wire.command_parser import parse_frame
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at
from understudy.web.context import identity, read_body, web_context
from understudy.web.sse import CONNECTIONLESS

blueprint = Blueprint("commands", __name__, url_prefix="/api/commands")


@blueprint.post("")
async def command() -> tuple[dict[str, Any], int]:
    """Carry out one command, in any form that a WebSocket accepts. Its effects are in the thread's events."""
    arrived_at.set(web_context().streams.callbacks.clock())
    caller = identity()
    given = parse_frame(await read_body(), max_bytes=web_context().settings.limits.frame_bytes)
    if not isinstance(given, CONNECTIONLESS):
        raise CommandRejected("invalid_command", "That command is about a connection; it is of no use over HTTP.")
    accepted = await web_context().streams.run_command(caller, given)
    return ({} if accepted is None else asdict(accepted)), 202
