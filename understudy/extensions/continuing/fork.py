"""What a fork takes over of another run: the steps up to one, as its own. Pure.

1. A finished turn of the model is not asked again and a finished call is not made again: the fork has their results.
   A call that came later, or did not finish, is made by the fork.
2. What is taken over is not paid for again, and cannot be undone from the fork: the calls are those of the other run.
3. The answer itself is not taken over, as there would be nothing left to do.
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
    """Return the steps that the run `run_id` takes over of another one: those up to the number `last`.

    Raises:
        CommandRejected: Nothing is to be taken over, or it cannot be.
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
    """Return whether one of the calls that are `taken` over was undone, by the steps of its run."""
    calls = {step.call_id for step in taken if step.kind == "tool"}
    return any(step.kind == "undo" and step.status == UndoStatus.OK.value and step.call_id in calls for step in steps)


def own_ids(taken: Sequence[StepRecord], asked: Collection[str], run_id: str) -> dict[str, str]:
    """Return the ids of the run `run_id` by those of the run whose steps are taken over: its own, and of its calls."""
    calls = {name: uuid.uuid5(uuid.NAMESPACE_OID, run_id + name).hex for name in asked}
    return {step.run_id: run_id for step in taken} | calls


def _goes_on(turn: StepRecord) -> bool:
    """Return whether more work follows a turn of the model."""
    return bool(turn.result["calls"]) or turn.result["handoff"] is not None


def as_own(step: StepRecord, ids: Mapping[str, str], run_id: str, now: float) -> StepRecord:
    """Return a step as that of the run `run_id`: with its own ids, without costs, thoughts and undo."""
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
    """Return a value in which each of these ids is another."""
    match value:
        case str():
            return ids.get(value, value)
        case dict():
            return {name: _renamed(member, ids) for name, member in value.items()}
        case list() | tuple():
            return [_renamed(member, ids) for member in value]
    return value
