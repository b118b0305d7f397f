"""A run that is interrupted at any moment resumes from its records, ends the same way, and repeats nothing."""

from typing import Any

import pytest
from attrs import evolve

from tests.rigs.played_run import (
    ASKED,
    CALLED,
    STORIES,
    TOOLS,
    WORDS,
    Recorded,
    Thinking,
    once,
    past_of,
    played,
    published,
)
from tests.rigs.scripted_model import Call, Say
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.answer import stream
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.turns import UnreadableSteps
from understudy.models.model import Emit, MessageItem, Reply, ResultItem, TextDelta, ToolRequest, Turn
from understudy.storage.records import StepRecord
from understudy.wire import events as wire


@pytest.mark.parametrize("story", STORIES)
async def test_a_run_that_is_cut_at_any_commit_goes_on_to_the_same_end(
    story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    agents = STORIES[story]
    whole = await played(agents)
    unknown = 0
    assert any(step.status == "started" and step.kind == "model" for cut in whole.cuts for step in cut.steps)
    for number in range(len(whole.cuts)):
        cuts = whole.cuts[:number]
        where = past_of([ASKED, *(e for cut in cuts for e in cut.events)], Recorded(whole.services, cuts).steps)
        speaker = next((agent for agent in agents if agent.name == where.speaker), None)
        assert where.calls_in_doubt(speaker) == ()
        if any(call.in_doubt and call.request.name == "once" for turn in where.turns for call in turn.calls):
            unknown += 1  # its user is asked
            continue
        finished = {step.call_id for step in Recorded(whole.services, cuts).steps if step.ended_at is not None}
        CALLED.clear()
        resumed = await played(agents, cuts)
        assert published(resumed.events) == published(whole.events)
        assert resumed.screen == whole.screen
        assert not finished & CALLED.keys()
        assert set(CALLED.values()) <= {1}
        assert [step.number for step in resumed.steps] == list(range(1, len(whole.steps) + 1))
    assert (unknown > 0) == (story == "tools")


async def test_the_thought_of_a_silent_model_is_committed_with_its_first_call() -> None:
    """A transaction of its own for "is working out an answer" would cost as much as the call."""
    whole = await played(STORIES["no thoughts"])
    kinds = [[event.type for event in cut.events] for cut in whole.cuts if cut.events]
    assert kinds[0] == ["agent_started"]
    assert kinds[1][:2] == ["agent_thinking", "tool_executing"]
    assert sum("agent_thinking" in kind for kind in kinds) == 1


async def test_a_resumed_turn_has_the_messages_of_the_interrupted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    model = Thinking(Call([("once", {"text": "x"}), ("again", {"text": "y"})]), Say(WORDS))
    agents = [Agent("a", tools=TOOLS, model=model)]
    whole = await played(agents)
    cut = next(number for number, moment in enumerate(whole.cuts) if moment.steps and moment.steps[0].number == 4)
    first, last = model.inputs
    model.inputs.clear()
    await played(agents, whole.cuts[: cut + 2])
    (resumed,) = model.inputs
    assert resumed.items == last.items
    assert WORDS.startswith(resumed.partial_text.strip())
    assert (first.partial_text, last.partial_text, bool(resumed.partial_text)) == ("", "", True)


def steps_of(*, whole: bool = True, calls: int = 1, ended: bool = False) -> list[StepRecord]:
    """Return the step of a turn with `calls` tool calls, and that of its first call, finished if `ended`."""
    wanted = [
        {"id": f"c{number}", "call_id": f"x{number}", "name": "again", "arguments": {"text": "x"}, "whole": whole}
        for number in range(calls)
    ]
    usage = {"input": 1, "output": 2, "turns": 1}
    reply = {"text": "Let me see.", "calls": wanted, "handoff": None, "usage": usage, "thoughts": 1}
    model = StepRecord("r", 1, "model", "script", None, None, reply, "ok", 1.0, 2.0)
    call = StepRecord("r", 2, "tool", "again", "x0", {"text": "x"}, None, "started", 3.0)
    result = {"value": "x", "summary": "x", "visualization": None, "note": "", "suspect": True}
    return [model, evolve(call, result=result, status="ok", ended_at=4.0) if ended else call]


BEGUN: tuple[Event, ...] = (
    ASKED,
    wire.AgentStarted("a-12345678", "…", 1.0),
    wire.AgentThinking("a-12345678", "hm", 1.0),
)
EXECUTING = wire.ToolExecuting("a-12345678", "x0", "again", {"text": "x"}, "…", 3.0)
AGENT = Agent("a", tools=TOOLS)


def test_an_empty_log_is_a_run_that_has_not_begun() -> None:
    assert past_of([ASKED], []) == Past()


def test_where_a_recorded_turn_stands() -> None:
    where = past_of([*BEGUN, EXECUTING], steps_of())
    assert (where.shown_text, where.recorded_text, where.cut) == ("Let me see.", "Let me see.", None)
    assert (where.agents, where.speaker) == ((("a-12345678", "a"),), "a")
    assert (where.turns[0].reply.usage, where.last_step) == (wire.Usage(1, 2, 1), 2)
    assert (where.thoughts, where.turns[0].thoughts) == (("hm",), 1)
    assert where.worked_s == 1.0
    assert past_of([*BEGUN, EXECUTING], steps_of(ended=True)).worked_s == 2.0
    (call,) = where.turns[0].calls
    assert (call.request, call.call_id) == (ToolRequest("x0", "again", {"text": "x"}), "x0")
    assert (call.result, call.in_doubt, where.calls_in_doubt(AGENT)) == (None, True, ())


def test_a_call_in_doubt_whose_tool_is_gone_cannot_be_settled() -> None:
    """Any other is: by its tool, by repeating it, or by its user."""
    events = [*BEGUN, EXECUTING]
    assert past_of(events, steps_of()).calls_in_doubt(AGENT) == ()
    assert past_of(events, steps_of()).calls_in_doubt(Agent("a", tools=[once])) == ("again",)
    assert past_of(events, steps_of()).calls_in_doubt(None) == ("again",)
    assert past_of(events, steps_of(ended=True)).calls_in_doubt(None) == ()


def test_a_call_is_in_doubt_once_it_was_allowed() -> None:
    required = wire.ApprovalRequired("a-12345678", "x0", "again", {"text": "x"}, 300.0)
    for decision, doubt in ((None, False), (wire.ApprovalDecision.ALLOW, True), (wire.ApprovalDecision.DENY, False)):
        decided = [] if decision is None else [wire.ApprovalDecided("x0", decision, None)]
        where = past_of([*BEGUN, EXECUTING, required, *decided], steps_of(whole=False))
        assert where.turns[0].calls[0].in_doubt is doubt
        assert where.calls_in_doubt(AGENT) == ()
        assert where.calls_in_doubt(Agent("a", tools=[once])) == (("again",) if doubt else ())


def test_a_turn_whose_calls_cannot_be_made_is_asked_again() -> None:
    where = past_of(BEGUN, steps_of(whole=False, calls=2)[:1])
    assert (where.turns, where.thoughts) == ((), ("hm",))
    assert (where.cut.text, where.cut.continues) == ("Let me see.", True)
    assert (where.cut.step.number, where.cut.step.status, where.cut.step.ended_at) == (1, "started", None)
    begun = past_of([*BEGUN, EXECUTING], steps_of(whole=False, calls=2, ended=True))
    assert len(begun.turns[0].calls) == 2


def test_a_call_that_no_turn_knows_of_is_named() -> None:
    assert past_of([*BEGUN, EXECUTING], []).calls_in_doubt(AGENT) == ("again",)


@pytest.mark.parametrize("result", [None, {"text": "x"}, "text", {"text": 1, "calls": []}])
def test_steps_that_cannot_be_read_are_refused(result: Any) -> None:
    with pytest.raises(UnreadableSteps):
        past_of(BEGUN, [evolve(steps_of()[0], result=result)])
    with pytest.raises(UnreadableSteps):
        past_of([*BEGUN, EXECUTING], [steps_of()[0], evolve(steps_of(ended=True)[1], result=result)])


def test_a_run_of_a_later_release_is_not_replayed_without_what_it_did() -> None:
    model, call = steps_of(ended=True)
    with pytest.raises(UnreadableSteps, match="a later release: prophecy"):
        past_of(BEGUN, [model, call, evolve(call, number=3, kind="prophecy")])


class Steerable(Thinking):
    """Calls a tool, then counts until it is told `stop`."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        called = any(isinstance(item, ResultItem) for item in turn.items)
        self.turns = (Say(WORDS) if called else Call([("again", {"text": "x"})]),)
        if turn.request == "stop" and not turn.work:
            self.inputs.append(turn)
            await emit(TextDelta("Stopped."))
            return Reply("Stopped.")
        return await super().respond(turn, emit)


async def test_a_steered_run_that_is_cut_at_any_commit_takes_each_steer_once_at_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A `next` steer enters after the tool's result, a `now` steer after the stored text that it ended."""
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    model = Steerable()
    agents, steers = [Agent("a", tools=TOOLS, model=model)], {"steer_next": "look", "steer_now": "stop"}
    whole = await played(agents, **steers)
    assert len(whole.cuts) > 10
    for number in range(len(whole.cuts)):
        model.inputs.clear()
        resumed = await played(agents, whole.cuts[:number], **steers)
        assert [event.steer_id for event in resumed.events if isinstance(event, wire.SteerTaken)] == ["look", "stop"]
        assert [step.kind for step in sorted(resumed.steps, key=lambda step: step.number)] == [
            "model", "tool", "steer", "model", "steer", "model",
        ]  # fmt: skip
        assert resumed.screen.startswith("one")
        assert resumed.screen.endswith("\n\nStopped.")
        spoken = resumed.screen.removesuffix("\n\nStopped.").strip()
        for turn in model.inputs[-1:]:
            kinds = [type(item).__name__.removesuffix("Item") for item in turn.items]
            assert kinds[-5:] == ["Call", "Result", "Message", "Message", "Message"]
            contents = [(item.role, item.content.strip()) for item in turn.items[-3:] if isinstance(item, MessageItem)]
            assert contents == [("user", "look"), ("assistant", spoken), ("user", "stop")]
