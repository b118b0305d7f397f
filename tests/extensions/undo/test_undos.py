"""Which calls an undo takes back, in which order, and what it records."""

import pytest
from attrs import evolve

from tests.rigs.thread_log import Committed, Shell, accept, answer, finished
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.extensions.undo.undos import MAX_ATTEMPTS, Undos, UndoWalk, plan_undo
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools import tool
from understudy.wire.events import CallUndone, UndoStarted, UndoStatus

RUN = RunRecord("r", "ada", "t", "m", "c", "guide", None, "success", 1.0, 9.0)


def call(number: int, *, until: float | None = 100.0, status: str = "ok") -> StepRecord:
    result = {"value": number, "undo_until": until, "agent": "a"}
    return StepRecord("r", number, "tool", "pay", f"c{number}", {"n": number}, result, status, 1.0, 2.0)


UNDONE = StepRecord("r", 3, "undo", "pay", "c2", {}, {"attempts": 1}, "ok", 3.0, 4.0)
STEPS = [StepRecord("r", 1, "model", "script", None, None, {}, "ok", 1.0, 2.0), call(2), call(3), call(4)]


def taken_back(undo: UndoWalk, *outcomes: str) -> tuple[list[StepRecord], list[CallUndone]]:
    steps, events = list(undo.left), []
    for outcome in outcomes:
        event, ended = undo.ended(outcome, 50.0)
        del undo.left[: len(ended)]
        steps = [next((last for last in ended if last.number == step.number), step) for step in steps]
        events.append(event)
    return steps, events


def test_a_run_is_undone_from_its_newest_call() -> None:
    undo = plan_undo(RUN, STEPS, None, 10.0)
    assert undo.started == UndoStarted(("c4", "c3", "c2"))
    assert [(step.number, step.call_id) for step in undo.left] == [(5, "c4"), (6, "c3"), (7, "c2")]
    _, events = taken_back(undo, "", "")
    assert events == [CallUndone(name, "pay", UndoStatus.OK) for name in ("c4", "c3")]
    assert undo.takes_back("c2")
    assert not undo.takes_back("c3")


def test_the_first_failure_keeps_the_calls_before_it() -> None:
    undo = plan_undo(RUN, STEPS, None, 10.0)
    steps, events = taken_back(undo, "", "The bank is closed.")
    assert events[1] == CallUndone("c3", "pay", UndoStatus.FAILED, "The bank is closed.", ("c2",))
    assert not undo.left
    assert [step.status for step in steps] == ["ok", "failed", "left"]
    again = plan_undo(RUN, [*STEPS, *steps], None, 60.0)
    assert [(step.number, step.call_id) for step in again.left] == [(6, "c3"), (7, "c2")]


@pytest.mark.parametrize(
    ("steps", "name", "code"),
    [
        (STEPS, "c9", "not_undoable"),
        ([call(2, until=None)], "c2", "not_undoable"),
        ([call(2, status="failed")], "c2", "not_undoable"),
        ([call(2, until=10.0)], "c2", "undo_expired"),
        ([call(2), UNDONE], "c2", "already_undone"),
        ([call(2, until=None)], None, "not_undoable"),
    ],
)
def test_what_cannot_be_undone_is_refused_with_its_reason(steps: list[StepRecord], name: str | None, code: str) -> None:
    with pytest.raises(CommandRejected) as refused:
        plan_undo(RUN, steps, name, 10.0)
    assert refused.value.code == code


def test_an_undo_that_lost_its_server_goes_on_where_it_was() -> None:
    undo = plan_undo(RUN, STEPS, None, 10.0)
    steps, _ = taken_back(undo, "")
    resumed = UndoWalk.resumed(RUN, [*STEPS, *reversed(steps)])
    assert [step.call_id for step in resumed.left] == ["c3", "c2"]


def test_attempts_are_counted_and_bounded() -> None:
    undo = plan_undo(RUN, STEPS, "c2", 10.0)
    for number in range(1, MAX_ATTEMPTS + 1):
        step = undo.next_attempt()
        assert step.result == {"attempts": number}
        undo.left[0] = step
    assert undo.next_attempt() is None


def test_a_tool_that_is_gone_undoes_nothing() -> None:
    @tool(undo=lambda result, arguments: None)
    async def pay(n: int) -> int:
        """Pay."""
        return n

    undo = plan_undo(RUN, STEPS, "c2", 10.0)
    agent = Agent("a", tools=[pay])
    assert undo.tool({"a": agent}) is pay
    assert undo.tool({}) is None
    assert undo.tool({"a": evolve(agent, tools=())}) is None


@tool(undo=lambda result, arguments: None)
def pay() -> None:
    """Pay."""


def test_a_stop_of_the_server_is_no_attempt_at_an_undo() -> None:
    shell = Shell(parts=(Undos,))
    shell.handle(accept(1))
    answer(shell, "r1")
    shell.exit_runs()
    shell.services.agents["a"] = Agent("a", tools=[pay])
    paid = StepRecord("r1", 1, "tool", "pay", "c0", {}, {"value": 1, "agent": "a"}, "ok", 1.0, 1.0)
    undo = StepRecord("r1", 3, "undo", "pay", "c0", {}, {"attempts": 1}, "started", 1.0)
    effects = shell.doing(shell.it.resume_effects(shell.runs["r1"], [paid, undo]))
    (began,) = [effect for effect in effects if isinstance(effect, Committed)]
    assert began.change.steps[0].result["attempts"] == 2
    finished(shell.it.suspend())
    (step,) = shell.done[-1].change.steps
    assert (step.call_id, step.result["attempts"]) == ("c0", 1)
