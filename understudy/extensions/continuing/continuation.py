"""What a run takes over that goes on with the answer of another one: its steps, as its own, and its text. Pure.

1. An answer that was cut can be gone on with: its run failed, was stopped or interrupted, has spent its budget, or its
   model reached the limit of its output. One that is whole cannot.
2. A finished turn of the model is not asked again and a finished call is not made again. A call that may have taken
   effect is in doubt, as after the death of a server; one that waited for its user asks again.
3. The text of the turn that was cut is that turn's beginning: the model goes on after it. After a spent budget the last
   turn is whole, and its user has the model go on in another one.
4. What is taken over counts in the budget of the run that did it.
"""

from collections.abc import Mapping, Sequence
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
"""What a model reads as its user's message after a turn that closed a run."""


def steps_of_continuation(
    steps: Sequence[StepRecord], events: Sequence[Event], text: str, agent: Agent, run_id: str, now: float
) -> tuple[StepRecord, ...]:
    """Return the steps that the run `run_id` takes over of the one whose answer it goes on with, by its `agent`.

    `events` are those that the log has of that run, `text` is its answer as it is stored, empty without one.

    Raises:
        CommandRejected: The answer is whole, or the run cannot be read, or one of its calls was undone.
    """
    final = next((event for event in reversed(events) if isinstance(event, FinalResponse)), None)
    data: Mapping[str, Any] = {} if final is None else final.data or {}
    closed = "budget" in data
    if final is not None and final.status is RunStatus.SUCCESS and not (closed or "cut" in data):
        raise CommandRejected(CODE, "That answer is whole; there is nothing to go on with.")
    try:
        before = Past.of(RunState.read(run_id, events, steps))
    except UnreadableSteps as error:
        raise CommandRejected(CODE, "The work on that answer cannot be read any more.") from error
    taken = [step for step in steps if step.kind in (*TAKEN_OVER, *WRITTEN_KINDS) and not is_cut(step)]
    taken = [step for step in taken if step.kind != "model" or step.call_id is None]  # else it is a subagent's
    turns = [step for step in taken if step.kind == "model" and step.ended_at is not None]
    call_ids = {call["call_id"] for step in turns for call in step.result["calls"]}
    doubts = {call.call_id for turn in before.turns for call in turn.calls if call.in_doubt}
    taken = [step for step in taken if step.kind != "tool" or (step.call_id in call_ids and
             (step.ended_at is not None or step.call_id in doubts))]  # fmt: skip
    taken = [evolve(step, status="started") if step.ended_at is None else step for step in taken]
    if undone(steps, taken):
        raise CommandRejected(CODE, "A call of that answer was undone; have the message answered again.")
    last = turns[-1] if turns else None
    answered = last is not None and not last.result["calls"] and last.result["handoff"] is None
    if last is not None and answered and (last.name == HAND_WRITTEN or last.result.get("cut")):
        whole = last.result["text"].removesuffix(last.result.get("cut", ""))
        partial = encode_partial(whole, [], taken=True) | {"found": last.result.get("found", ())}
        cut = evolve(last, result=partial, arguments=None, status="started", ended_at=None)
        taken = [cut if step is last else step for step in taken]
    elif answered:
        invalid = final is None and agent.output is not None
        taken = [step for step in taken if step.kind != "model" or (step.ended_at is not None and not
                 (invalid and step is last))]  # fmt: skip
    else:
        taken = _with_text(taken, steps, turns, text, HAND_WRITTEN if agent.run is not None else "model")
    ids = own_ids(taken, call_ids, run_id)
    copies = [_taken(step, ids, run_id, now) for step in taken]
    if answered and closed and last is not None and last.name != HAND_WRITTEN:
        number = max(step.number for step in steps) + 1
        copies.append(_go_on(run_id, number, now))
    return tuple(copies)


def _with_text(
    taken: Sequence[StepRecord], steps: Sequence[StepRecord], turns: Sequence[StepRecord], text: str, name: str
) -> list[StepRecord]:
    """Return the steps with the unfinished turn, whose text is the end of the answer that no finished turn has."""
    cut = next((step for step in taken if step.kind == "model" and step.ended_at is None), None)
    recorded = SEPARATOR.join(step.result["text"] for step in turns if step.result["text"])
    shown = "" if cut is None or cut.result is None else cut.result["text"]
    rest = text.removeprefix(recorded).removeprefix(SEPARATOR if recorded else "")
    if not text.startswith(recorded) or not rest.startswith(shown):
        rest = shown  # some was redacted, or is a tool's answer
    others = [step for step in taken if step is not cut]
    if not rest:
        return others
    if cut is None:
        name = turns[-1].name if turns else name
        began, number = steps[-1].started_at if steps else 0.0, max((step.number for step in steps), default=0) + 1
        run_id = steps[-1].run_id if steps else ""
        cut = StepRecord(run_id, number, "model", name, None, None, None, "started", began)
    findings = [] if cut.result is None else cut.result.get("found", [])
    return [*others, evolve(cut, result=encode_partial(rest, [], taken=True) | {"found": findings})]


def _taken(step: StepRecord, ids: Mapping[str, str], run_id: str, now: float) -> StepRecord:
    """Return a step as the run's own. The text of the turn that was cut stays as it is."""
    if step.kind == "model" and step.ended_at is None:
        return evolve(step, run_id=run_id, started_at=now)
    copy = as_own(step, ids, run_id, now)
    return evolve(copy, result=copy.result | {"taken": True}) if step.kind == "model" else copy


def _go_on(run_id: str, number: int, now: float) -> StepRecord:
    return steer_step(run_id, number, SteerAccepted(f"{run_id}-go-on", GO_ON, "next"), now)
