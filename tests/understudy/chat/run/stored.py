"""Messages and steps as a store returns them."""

from collections.abc import Sequence
from typing import Any

from attrs import asdict

from understudy.chat.run_state.records import RecordedResult
from understudy.chat.run_state.turns import encode_partial, encode_reply
from understudy.models.model import Handoff, Reply, ToolRequest
from understudy.storage.records import AnsweredMessage, Message, StepRecord
from understudy.wire.events import Usage


def model_step(
    number: int,
    text: str,
    *calls: tuple[str, str, dict[str, Any]],
    run_id: str = "r1",
    handoff: str | None = None,
    finished: bool = True,
) -> StepRecord:
    if not finished:
        return StepRecord(run_id, number, "model", "m", None, None, encode_partial(text, ()), "started", 1.0)
    requests = tuple(ToolRequest(f"c{n}", name, arguments) for n, (_, name, arguments) in enumerate(calls))
    reply = Reply(text, requests, None if handoff is None else Handoff(handoff, "it can"), Usage(1, 1, 1))
    result = encode_reply(reply, [call[0] for call in calls], text, requests, 0)
    return StepRecord(run_id, number, "model", "m", None, None, result, "ok", 1.0, 2.0)


def tool_step(
    number: int, call_id: str, value: Any, *, run_id: str = "r1", finished: bool = True, answer: str = ""
) -> StepRecord:
    if not finished:
        return StepRecord(run_id, number, "tool", "lookup", call_id, {}, None, "started", 1.0)
    result = asdict(RecordedResult(value, "Found.", None, "", False, "", answer))
    return StepRecord(run_id, number, "tool", "lookup", call_id, {}, result, "ok", 1.0, 2.0)


def exchange(
    *steps: StepRecord,
    run_id: str = "r1",
    status: str = "success",
    answer: str | None = None,
    text: str = "Where is it?",
    references: Sequence[str] = (),
) -> AnsweredMessage:
    names = ("ann", f"m-{run_id}", "t", run_id)
    message = Message(*names, "user", text, "guide", None, "accepted", 1.0, tuple(references))
    reply = None
    if answer is not None:
        reply = Message("ann", f"answer-{run_id}", "t", run_id, "assistant", answer, "guide", None, "success", 2.0)
    return AnsweredMessage(message, run_id, status, reply, tuple(steps))
