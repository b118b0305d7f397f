"""Computes the steps that a run takes over, as its own, when it continues the unfinished answer of another run. Pure.

1. Only an unfinished answer can be continued: its run failed, was stopped or interrupted, has spent its budget, or its
   model reached the limit of its output.
2. A finished turn of the model is not asked again and a finished call is not made again. A call that may have taken
   effect is in doubt, as after a crash of the server; a call that waited for its user's consent asks again.
3. The text of an unfinished turn is the beginning of that turn: the model goes on after it. After a spent budget the
   last turn is finished, so a message of the user makes the model go on in another turn.
4. The usage of steps taken over counts in the budget of the run that did the work.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.run.meter import HAND_WRITTEN
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.turns import (
    SEPARATOR,
    WRITTEN_KINDS,
    UnreadableSteps,
    encode_partial,
    is_cut,
    steer_step,
)
from understudy.extensions.continuing.fork import TAKEN_OVER, as_own, own_ids, undone
from understudy.storage.records import StepRecord
from understudy.wire.events import FinalResponse, RunStatus, SteerAccepted

CODE: Final = "not_continuable"
GO_ON: Final = "Go on with your answer where it ended."
"""The user's message that a model reads after the turn that ended a run for its budget."""


def steps_of_continuation(
    steps: Sequence[StepRecord], events: Sequence[Event], text: str, agent: Agent, run_id: str, now: float
) -> tuple[StepRecord, ...]:
    """Return the steps that the run `run_id` of `agent` takes over of an earlier run, of which `steps` are recorded.

    `events` are the earlier run's in the log; `text` is its stored answer, empty if it has none.

    Raises:
        CommandRejected: The answer is finished, or the earlier run cannot be read, or one of its calls was undone.
    """
    final = next((event for event in reversed(events) if isinstance(event, FinalResponse)), None)
    data: Mapping[str, Any] = {} if final is None else final.data or {}
    closed = "budget" in data  # the run has ended because its budget was spent
    if final is not None and final.status is RunStatus.SUCCESS and not (closed or "cut" in data):
        raise CommandRejected(CODE, "That answer is complete; there is nothing to continue.")
    try:
        past = Past.of(RunState.read(run_id, events, steps))
    except UnreadableSteps as error:
        raise CommandRejected(CODE, "The steps of that answer cannot be read any more.") from error
    doubts = {call.call_id for turn in past.turns for call in turn.calls if call.in_doubt}
    kept, turns, call_ids = _kept_steps(steps, doubts)
    if undone(steps, kept):
        raise CommandRejected(CODE, "A call of that answer was undone; have the message answered again.")
    last = turns[-1] if turns else None
    has_answer = last is not None and not last.result["calls"] and last.result["handoff"] is None
    if last is not None and has_answer and (last.name == HAND_WRITTEN or last.result.get("cut")):
        # The last turn itself was cut: it becomes an unfinished turn, which begins with its text.
        uncut_text = last.result["text"].removesuffix(last.result.get("cut", ""))
        partial = encode_partial(uncut_text, [], taken=True) | {"found": last.result.get("found", ())}
        cut = evolve(last, result=partial, arguments=None, status="started", ended_at=None)
        kept = [cut if step is last else step for step in kept]
    elif has_answer:
        # The last turn is whole, so no unfinished turn follows it. If its output was invalid, the turn is asked again.
        invalid = final is None and agent.output is not None
        finished = [step for step in turns if not (invalid and step is last)]
        kept = [step for step in kept if step.kind != "model" or step in finished]
    else:
        kept = _with_text(kept, steps, turns, text, HAND_WRITTEN if agent.run is not None else "model")
    ids = own_ids(kept, call_ids, run_id)
    own_steps = [_own_step(step, ids, run_id, now) for step in kept]
    if has_answer and closed and last is not None and last.name != HAND_WRITTEN:
        number = max(step.number for step in steps) + 1
        own_steps.append(_go_on(run_id, number, now))
    return tuple(own_steps)


def _kept_steps(
    steps: Sequence[StepRecord], doubts: Container[str]
) -> tuple[list[StepRecord], list[StepRecord], set[str]]:
    """Return the steps to take over, the finished turns among them, and the ids of the calls of these turns. Of calls
    only those are kept that have ended, or are in doubt."""
    own = [step for step in steps if step.kind in (*TAKEN_OVER, *WRITTEN_KINDS) and not is_cut(step)]
    own = [step for step in own if step.kind != "model" or step.call_id is None]  # else it is a subagent's
    turns = [step for step in own if step.kind == "model" and step.ended_at is not None]
    call_ids = {call["call_id"] for step in turns for call in step.result["calls"]}
    kept: list[StepRecord] = []
    for step in own:
        has_ended = step.ended_at is not None
        if step.kind != "tool" or (step.call_id in call_ids and (has_ended or step.call_id in doubts)):
            kept.append(step if has_ended else evolve(step, status="started"))
    return kept, turns, call_ids


def _with_text(
    kept: Sequence[StepRecord], steps: Sequence[StepRecord], turns: Sequence[StepRecord], text: str, name: str
) -> list[StepRecord]:
    """Return `kept` with an unfinished turn at the end, if `text` has more than the finished `turns` wrote. `text` is
    the stored answer; the text of the unfinished turn is what follows that of the finished turns."""
    partial = next((step for step in kept if step.kind == "model" and step.ended_at is None), None)
    recorded = SEPARATOR.join(step.result["text"] for step in turns if step.result["text"])
    partial_text = "" if partial is None or partial.result is None else partial.result["text"]
    remaining = text.removeprefix(recorded).removeprefix(SEPARATOR if recorded else "")
    if not text.startswith(recorded) or not remaining.startswith(partial_text):
        remaining = partial_text  # a part of the answer was redacted, or is a tool's
    others = [step for step in kept if step is not partial]
    if not remaining:
        return others
    if partial is None:
        name = turns[-1].name if turns else name
        began, number = steps[-1].started_at if steps else 0.0, max((step.number for step in steps), default=0) + 1
        run_id = steps[-1].run_id if steps else ""
        partial = StepRecord(run_id, number, "model", name, None, None, None, "started", began)
    findings = [] if partial.result is None else partial.result.get("found", [])
    return [*others, evolve(partial, result=encode_partial(remaining, [], taken=True) | {"found": findings})]


def _own_step(step: StepRecord, ids: Mapping[str, str], run_id: str, now: float) -> StepRecord:
    """Return a step as one of the run `run_id`. An unfinished turn keeps its result."""
    if step.kind == "model" and step.ended_at is None:
        return evolve(step, run_id=run_id, started_at=now)
    copy = as_own(step, ids, run_id, now)
    return evolve(copy, result=copy.result | {"taken": True}) if step.kind == "model" else copy


def _go_on(run_id: str, number: int, now: float) -> StepRecord:
    return steer_step(run_id, number, SteerAccepted(f"{run_id}-go-on", GO_ON, "next"), now)
