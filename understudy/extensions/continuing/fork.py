"""Computes the steps that a fork takes over of another run: those up to a given one, as its own. Pure.

1. A finished turn of the model is not asked again and a finished call is not made again: the fork has their results.
   The fork makes the calls that came later or did not finish.
2. Steps taken over cost the fork nothing, and cannot be undone from it, because the other run made the calls.
3. The final answer is not taken over, because the fork would have nothing left to do.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import evolve

from transport.wire.errors import CommandRejected
from understudy.chat.run_state.turns import WRITTEN_KINDS, UnreadableSteps, check_kinds, is_cut, read_turns
from understudy.storage.records import StepRecord
from understudy.wire.events import UndoStatus

TAKEN_OVER = ("model", "tool", "steer", "summary")


def steps_of_fork(steps: Sequence[StepRecord], last: int, run_id: str, now: float) -> tuple[StepRecord, ...]:
    """Return the steps up to the number `last` as those of the run `run_id`.

    Raises:
        CommandRejected: The steps cannot be read or forked, none can be taken over, or one of the calls was undone.
    """
    try:
        check_kinds(steps)
        read_turns(steps)
    except UnreadableSteps as error:
        raise CommandRejected("invalid_command", "The steps of that run cannot be read any more.") from error
    if any(step.kind in WRITTEN_KINDS and not is_cut(step) for step in steps):
        raise CommandRejected("invalid_command", "A run of a hand-written agent can only be forked from its message.")
    taken = [step for step in steps if step.number <= last and step.kind in TAKEN_OVER and step.ended_at is not None]
    taken = [step for step in taken if step.kind != "model" or step.call_id is None]  # else it is a subagent's
    call_ids = {call["call_id"] for step in taken if step.kind == "model" for call in step.result["calls"]}
    taken = [step for step in taken if step.kind != "tool" or step.call_id in call_ids]
    while taken and not (taken[-1].kind == "tool" or (taken[-1].kind == "model" and _goes_on(taken[-1]))):
        taken.pop()
    if not taken:
        raise CommandRejected("invalid_command", f"No step up to {last} can be taken over; fork the run without one.")
    if undone(steps, taken):
        raise CommandRejected("invalid_command", "A call up to that step was undone; fork the run from before it.")
    ids = own_ids(taken, call_ids, run_id)
    return tuple(as_own(step, ids, run_id, now) for step in taken)


def undone(steps: Sequence[StepRecord], taken: Sequence[StepRecord]) -> bool:
    """Return whether one of the calls among the steps `taken` over was undone, according to all `steps` of its run."""
    calls = {step.call_id for step in taken if step.kind == "tool"}
    return any(step.kind == "undo" and step.status == UndoStatus.OK.value and step.call_id in calls for step in steps)


def own_ids(taken: Sequence[StepRecord], call_ids: Collection[str], run_id: str) -> dict[str, str]:
    """Map the ids of the earlier run, its own and those of its calls, to the ids that the run `run_id` uses."""
    calls = {call_id: uuid.uuid5(uuid.NAMESPACE_OID, run_id + call_id).hex for call_id in call_ids}
    return {step.run_id: run_id for step in taken} | calls


def _goes_on(turn: StepRecord) -> bool:
    """Return whether a turn of the model led to more work: calls, or a handoff."""
    return bool(turn.result["calls"]) or turn.result["handoff"] is not None


def as_own(step: StepRecord, ids: Mapping[str, str], run_id: str, now: float) -> StepRecord:
    """Return a step as one of the run `run_id`: with that run's ids, without costs, thoughts and undo."""
    result = step.result
    if step.kind in ("model", "summary"):
        result = _renamed(result, ids)
    if step.kind == "model":
        result = result | {"usage": {}, "thoughts": 0}
    elif step.kind in ("summary", "ask"):
        result = result | {"usage": {}}
    elif step.kind == "tool" and step.ended_at is not None:
        result = result | {"undo_until": None}
    call_id = None if step.call_id is None else ids[step.call_id]
    arguments = _renamed(step.arguments, ids) if step.kind == "summary" else step.arguments
    ended_at = None if step.ended_at is None else now
    return evolve(
        step, run_id=run_id, call_id=call_id, arguments=arguments, result=result, started_at=now, ended_at=ended_at
    )


def _renamed(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a JSON value in which each text that is a key of `ids` is replaced by the id it maps to."""
    match value:
        case str():
            return ids.get(value, value)
        case dict():
            return {name: _renamed(member, ids) for name, member in value.items()}
        case list() | tuple():
            return [_renamed(member, ids) for member in value]
    return value
