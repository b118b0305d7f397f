"""Forks from a step: what is taken over of each kind of story, and that a fork is resumed like any run."""

import pytest
from attrs import evolve

from tests.rigs.played_run import CALLED, NOBODY_ANSWERS, STORIES, WORDS, Cut, Thinking, again, played
from transport.wire.errors import CommandRejected
from understudy import Agent
from understudy.extensions.continuing.fork import steps_of_fork
from understudy.models.model import Emit, Reply, TextDelta, Turn
from understudy.storage.records import StepRecord
from understudy.testing import Call, Say


class Speaking(Thinking):
    """Says something before it calls a tool."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        reply = await super().respond(turn, emit)
        if reply.calls:
            await emit(TextDelta("Let me see. "))
            reply = evolve(reply, text="Let me see. ")
        return reply


SPEAKING = [Agent("a", tools=[again], model=Speaking(Call([("again", {"text": "x"})]), Say(WORDS)))]


@pytest.mark.parametrize("story", ["tools", "consent", "handoff", "speaking"])
async def test_a_fork_from_any_step_that_is_cut_at_any_commit_repeats_nothing(story: str) -> None:
    agents = SPEAKING if story == "speaking" else STORIES[story]
    limits = NOBODY_ANSWERS if story == "tools" else None  # whether its call took effect
    CALLED.clear()
    uncut = await played(agents)
    calls = CALLED.total()
    steps = sorted(uncut.steps, key=lambda recorded: recorded.number)
    forked = 0
    for last in range(len(steps) + 1):
        try:
            copied = steps_of_fork(steps, last, "r", 5.0)
        except CommandRejected:
            continue
        forked += 1
        tool_steps = [recorded for recorded in copied if recorded.kind == "tool"]
        begun = [Cut((), copied, "")]
        CALLED.clear()
        anew = await played(agents, begun)
        assert anew.screen == uncut.screen
        assert CALLED.total() == calls - len(tool_steps)
        assert not CALLED.keys() & {recorded.call_id for recorded in tool_steps}
        for number in range(len(begun), len(anew.cuts)):
            CALLED.clear()
            resumed = await played(agents, anew.cuts[:number], limits=limits)
            assert resumed.screen == uncut.screen
            assert not CALLED.keys() & {recorded.call_id for recorded in tool_steps}
    assert forked


def step(number: int, kind: str, call_id: str | None = None, **more: object) -> StepRecord:
    result = {"text": "", "calls": [], "handoff": None, "usage": {"input": 9, "output": 9, "turns": 1}, "thoughts": 2}
    values = {"arguments": None, "result": result, "status": "ok", "started_at": 1.0, "ended_at": 2.0} | more
    return StepRecord("old", number, kind, "x", call_id, **values)  # type: ignore[arg-type]


CALL = {"id": "c", "call_id": "c1", "name": "x", "arguments": {}, "whole": True}
RESULT = {"value": 1, "summary": "", "visualization": None, "note": "", "suspect": False, "undo_until": 99.0}
ASKED = {"text": "", "calls": [CALL], "handoff": None, "usage": {"input": 9}, "thoughts": 2}
BEGUN = [step(1, "model", result=ASKED), step(2, "tool", "c1", result=RESULT)]


def test_what_is_taken_over_is_the_forks_own() -> None:
    """The ids differ, so that no call is two calls; it costs nothing, and cannot be undone there."""
    turn, call = steps_of_fork([*BEGUN, step(3, "model")], 3, "new", 5.0)
    assert (turn.run_id, call.run_id, call.ended_at) == ("new", "new", 5.0)
    assert turn.result["calls"][0]["call_id"] == call.call_id != "c1"
    assert (turn.result["usage"], turn.result["thoughts"], call.result["undo_until"]) == ({}, 0, None)


@pytest.mark.parametrize(
    ("steps", "last", "why"),
    [
        ([], 3, "No step up to 3"),
        (BEGUN, 0, "No step up to 0"),
        ([step(1, "model")], 1, "No step up to 1"),
        ([*BEGUN, step(3, "undo", "c1")], 2, "was undone"),
        ([*BEGUN, step(3, "step")], 2, "hand-written"),
        ([*BEGUN, step(3, "prophecy")], 2, "cannot be read"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(steps: list[StepRecord], last: int, why: str) -> None:
    with pytest.raises(CommandRejected, match=why):
        steps_of_fork(steps, last, "new", 5.0)
