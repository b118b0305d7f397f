"""`/api/runs/{run_id}/steer`: steers of clients without a WebSocket, sent and taken back."""

from typing import Any

from attrs import asdict
from quart import Blueprint

from transport.wire.command_parser import decode, parse_command
from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at
from understudy.web.context import identity, read_body, web_context

blueprint = Blueprint("steers", __name__, url_prefix="/api/runs/<run_id>/steer")


@blueprint.post("")
async def send(run_id: str) -> tuple[dict[str, Any], int]:
    """Send a run at work a further message: `{"content": "…", "mode": "next", "steer_id": "…"}`."""
    arrived_at.set(web_context().streams.callbacks.clock())
    caller = identity()
    given = decode(await read_body())
    if not isinstance(given, dict):
        raise CommandRejected("invalid_command", "A steer must be a JSON object.")
    command = parse_command({**given, "type": "steer", "run_id": run_id}, None)
    accepted = await web_context().streams.run_command(caller, command)
    return ({} if accepted is None else asdict(accepted)), 202


@blueprint.delete("/<steer_id>")
async def take_back(run_id: str, steer_id: str) -> tuple[str, int]:
    """Take back a steer that its run has not taken."""
    command = parse_command({"type": "unsteer", "run_id": run_id, "steer_id": steer_id}, None)
    await web_context().streams.run_command(identity(), command)
    return "", 204
