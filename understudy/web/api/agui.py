"""`POST /api/agui`: the AG-UI protocol. The body is a run's input, the answer its events as server-sent events."""

import time
from typing import TYPE_CHECKING, Final

from quart import Blueprint, Response, request

from transport.agui.events import AguiTranslator, run_error
from transport.agui.stream import AguiStream, wrap_for_agui
from transport.server.eventstream import CONTENT_TYPE, HEADERS, encode_block, encode_json
from transport.wire.commands import Approve, Respond, Say
from transport.wire.events import Error
from transport.wire.messages import arrived_at
from understudy.agents.agent import Agent
from understudy.content.texts import run_off_loop
from understudy.web.api.stream import as_answer
from understudy.web.context import agents_of_caller, identity, read_body, web_context
from understudy.web.sse import WRITE_TIMEOUT_S

if TYPE_CHECKING:
    from ag_ui.core import RunAgentInput

blueprint = Blueprint("agui", __name__, url_prefix="/api/agui")

LABEL: Final = "agui"
"""Metric label of these streams, in place of a dialect, and the door of decisions that resume a run."""


@blueprint.post("")
async def agui() -> Response:
    """Run the user's last message, or join its run if it is in progress. The events are AG-UI's."""
    streams = web_context().streams
    arrived_at.set(streams.callbacks.clock())
    caller = identity()
    streams.check_rate(caller, Say(""))  # before anything is read
    body_bytes = await read_body(web_context().settings.limits.chunks_bytes)
    given, say, replies, interrupts = await run_off_loop(
        _read, body_bytes, request.args.get("agent"), agents_of_caller()
    )
    thread_id, message_id = say.thread_id or "", say.message_id or ""
    for reply in replies:
        await streams.run_command(caller, reply, door=LABEL)
    resumed = frozenset(each.call_id if isinstance(each, Approve) else each.question_id for each in replies)
    translator = AguiTranslator(given.thread_id, given.run_id, message_id, given.parent_run_id, interrupts, resumed)
    body = AguiStream(translator, beat_s=streams.heartbeat_s, write_s=WRITE_TIMEOUT_S)
    await streams.open(caller, thread_id, body, say, wrap_frame=wrap_for_agui, label=LABEL, welcome=False)
    return as_answer(body)


async def as_run_error(refused: Response) -> Response:
    """Convert a refusal to a stream with a run error: of an HTTP error, AG-UI clients show the status alone."""
    refusal = (await refused.get_json())["error"]
    retry_after = refused.headers.get("Retry-After")
    error = Error(
        refusal["code"],
        refusal["message"],
        refusal["retryable"],
        refusal["error_id"],
        None if retry_after is None else float(retry_after),
    )
    event = encode_block(encode_json(run_error(error, round(time.time() * 1000))))
    return Response(event, content_type=CONTENT_TYPE, headers=HEADERS)


def _read(
    body: bytes, agent: str | None, agents: dict[str, Agent]
) -> "tuple[RunAgentInput, Say, list[Approve | Respond], bool]":
    """Return a run's input, the command it stands for, the replies with which it resumes, and whether it is to be
    interrupted. Raises CommandRejected.
    """
    # Only now: AG-UI's types and pydantic are slow to import, and the start of a server does not wait for them.
    from understudy.web.api.agui_input import input_of, replies_of, say_of, wants_interrupts

    given = input_of(body)
    return given, say_of(given, agent, agents), replies_of(given), wants_interrupts(given)
