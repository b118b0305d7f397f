"""`POST /api/calls/{call_id}/undo` and `POST /api/runs/{run_id}/undo`: the command `undo`, by address."""

from typing import Any

from quart import Blueprint

from transport.wire.commands import Undo
from understudy.web.context import identity, web_context

blueprint = Blueprint("undo", __name__, url_prefix="/api")


@blueprint.post("/calls/<call_id>/undo")
async def undo_call(call_id: str) -> tuple[dict[str, Any], int]:
    """Undo a tool call of an ended run. Its outcome is in the thread's events."""
    await web_context().streams.run_command(identity(), Undo(call_id=call_id))
    return {}, 202


@blueprint.post("/runs/<run_id>/undo")
async def undo_run(run_id: str) -> tuple[dict[str, Any], int]:
    """Undo all tool calls of an ended run that can be, the newest first. The outcomes are in the thread's events."""
    await web_context().streams.run_command(identity(), Undo(run_id=run_id))
    return {}, 202
