"""Agents that ask others as tools: nested events, shared budgets, and replay at any commit."""

from collections import Counter
from itertools import count
from typing import Any

import pytest
import trio

from actors import ActorRef, Context
from tests.rigs.played_run import Recorded, Thinking, again, ask, played, published
from transport.wire.events import Event
from understudy import Agent, AgentTurn, Budget, tool
from understudy.chat.answer import stream
from understudy.chat.run import call
from understudy.extensions.subagents.subagent import Subagent, SubagentLog
from understudy.models.model import Emit, Reply, ResultItem, TextDelta, Turn
from understudy.testing import Call, Say, ScriptedModel, run_agent
from understudy.wire.events import (
    ApprovalRequired,
    SteerTaken,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
)

ASKED: Counter[str] = Counter()


class Counting(Thinking):
    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        ASKED[turn.agent.name] += 1
        return await super().respond(turn, emit)


async def look(turn: AgentTurn) -> None:
    """Take a step, and call a tool."""
    result = await turn.step("look", lambda: "found")
    await turn.say(f"{result} {await turn.call('again', text='deep')}")


deep = Agent("deep", tools=[again], model=Counting(Say("")), run=look)
helper = Agent(
    "helper",
    tools=[again, ask, deep.as_tool()],
    model=Counting(
        Call([("again", {"text": "x"}), ("ask_deep", {"request": "more"})]),
        Call([("ask", {"text": "y"})]),
        Say("Helped."),
    ),
)
boss = Agent(
    "boss",
    tools=[again, helper.as_tool("help", "Helps.")],
    model=Counting(Call([("help", {"request": "do it"}), ("again", {"text": "z"})]), Say("All done.")),
)


async def test_a_subagent_works_in_the_run_of_the_agent_that_asks_it() -> None:
    ASKED.clear()
    run = await run_agent(boss, "go", approve=True)
    assert run.text.strip() == "All done."
    assert ASKED == {"boss": 2, "helper": 3}
    (first, second), ended = run.of(SubagentStarted), run.of(SubagentCompleted)
    assert (first.agent, second.agent, len(ended)) == ("helper", "deep", 2)
    owners = {event.call_id: event.agent_id.rpartition("-")[0] for event in run.of(ToolExecuting)}
    assert owners[first.call_id] == "boss"
    assert owners[second.call_id] == "helper"
    assert sorted(owners.values()) == ["boss", "boss", "deep", "helper", "helper", "helper"]
    results = {event.tool_name: event.result for event in run.of(ToolCompleted)}
    assert (results["help"].strip(), results["ask_deep"]) == ("Helped.", "found deep")
    (consent,) = run.of(ApprovalRequired)
    assert consent.agent_id == first.agent_id


async def test_a_subagent_that_is_cut_at_any_commit_goes_on_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    ASKED.clear()
    uncut = await played([boss])
    calls = ASKED.total()
    for number in range(len(uncut.cuts)):
        before = uncut.cuts[:number]
        turns = [
            step
            for step in Recorded(uncut.services, before).steps
            if step.kind == "model" and step.ended_at is not None and step.name != "hand-written"
        ]
        ASKED.clear()
        resumed = await played([boss], before)
        assert Counter(published(resumed.events)) == Counter(published(uncut.events)), number
        assert resumed.screen == uncut.screen
        assert ASKED.total() == calls - len(turns)


async def test_a_subagent_spends_from_the_budget_of_the_agent_that_asks() -> None:
    busy = Agent("busy", tools=[again], model=ScriptedModel(Call([("again", {"text": "x"})])))
    model = ScriptedModel(Call([("ask_busy", {"request": "x"})]), Say("so far"))
    run = await run_agent(Agent("asking", tools=[busy.as_tool()], model=model, budget=Budget(calls=3)), "go")
    assert run.data["budget"]["ended_by"] == "calls"
    assert [record.tool for record in run.calls if record.status is ToolStatus.OK] == ["ask_busy", "again", "again"]


@pytest.mark.parametrize("retry_safe", [False, True])
async def test_a_subagent_that_is_stopped_leaves_no_call_open(
    retry_safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call ends by its time limit; the calls below end before, also one whose start still waits to be stored."""
    monkeypatch.setattr(call, "START_S", 30.0)

    @tool(retry_safe=retry_safe)
    async def slow() -> str:
        """Take long."""
        await trio.sleep(60)
        return "never"

    sleepy = Agent("sleepy", tools=[slow], model=ScriptedModel(Call([("slow", {})])), timeout_s=0.3)
    run = await run_agent(
        Agent("a", tools=[sleepy.as_tool()], model=ScriptedModel(Call([("ask_sleepy", {"request": "x"})]), Say("no"))),
        "go",
    )
    assert run.text == "no"
    assert {record.tool: record.status for record in run.calls} == {
        "ask_sleepy": ToolStatus.TIMED_OUT,
        "slow": ToolStatus.KILLED,
    }


@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
async def test_a_subagent_killed_while_an_event_is_stored_leaves_no_call_open(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log decides which of its calls have begun and which have ended."""
    refs, start, record, left = list[ActorRef](), Subagent.receive, SubagentLog.record, -1

    async def receive(self: Subagent, message: object, context: Context) -> None:
        refs.append(context.ref)
        await start(self, message, context)

    async def record_or_die(self: SubagentLog, *events: Event, steps: Any = ()) -> None:
        nonlocal left
        left -= 1
        dies = left == 0
        if stored or not dies:
            await record(self, *events, steps=steps)
        if dies:
            refs[0].kill()
            await trio.sleep_forever()

    monkeypatch.setattr(Subagent, "receive", receive)
    monkeypatch.setattr(SubagentLog, "record", record_or_die)
    statuses = Counter[ToolStatus]()
    for number in count(1):
        refs.clear()
        left = number
        recorded = await played([boss])
        (helped,) = (
            event for event in recorded.events if isinstance(event, ToolCompleted) and event.tool_name == "help"
        )
        statuses[helped.status] += 1
        if left > 0:
            break
    assert statuses == {ToolStatus.KILLED: number - 1, ToolStatus.OK: 1}
    assert number > 15  # records of the subagent and the one below it


def test_agents_that_ask_each_other_too_deep_are_refused() -> None:
    agent = Agent("a0")
    for number in range(1, 4):
        agent = Agent(f"a{number}", tools=[agent.as_tool()])
    with pytest.raises(ValueError, match="4 deep: agents may ask each other 3 deep"):
        Agent("top", tools=[agent.as_tool()])


async def test_a_subagent_that_its_user_may_not_use_is_neither_shown_nor_asked() -> None:
    ASKED.clear()
    secret = Agent("secret", model=Counting(Say("Told.")), allow=["role:boss"])
    model = ScriptedModel(Call([("ask_secret", {"request": "tell"})]), Say("done"))
    asking = Agent("asking", tools=[again, secret.as_tool()], model=model)
    run = await run_agent(asking, "go")
    (call,) = run.of(ToolCompleted)
    assert (run.text, call.status, call.result["error"]["code"]) == ("done", ToolStatus.FAILED, "forbidden")
    assert call.result_summary == "Your user may not use Secret, which ask_secret asks."
    assert [[offered.name for offered in turn.agent.tools] for turn in model.inputs] == [["again"]] * 2
    assert not ASKED

    model.inputs.clear()
    run = await run_agent(asking, "go", roles=["boss"])
    assert run.of(ToolCompleted)[0].result.strip() == "Told."
    assert [offered.name for offered in model.inputs[0].agent.tools] == ["again", "ask_secret"]


async def test_a_subagent_is_given_the_conversation_if_its_tool_says_so() -> None:
    model = ScriptedModel(Say("I see."))
    subagent = Agent("asked", model=model)
    script = Call([("again", {"text": "x"})]), Call([("ask_asked", {"request": "look"})]), Say("done")
    for history in (True, False):
        model.inputs.clear()
        asking = Agent("asking", tools=[again, subagent.as_tool(history=history)], model=ScriptedModel(*script))
        await run_agent(asking, "go")
        (turn,) = model.inputs
        kinds = [type(item).__name__.removesuffix("Item") for item in turn.items]
        assert kinds == ["Message", "Call", "Result", "Message"] if history else ["Message"]
        assert (turn.items[0].content, turn.request) == ("go" if history else "look", "look")


class Slow(Thinking):
    """Calls a tool, then speaks until it is stopped."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if turn.rounds:
            await emit(TextDelta("I found one, "))
            await trio.sleep_forever()
        return await super().respond(turn, emit)


class Listening(Thinking):
    """Asks the subagent, then answers with what it was steered to."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        self.turns = (Call([("ask_slow", {"request": "x"})]),)
        if not any(isinstance(item, ResultItem) for item in turn.items):
            return await super().respond(turn, emit)
        await emit(TextDelta(turn.request))
        return Reply(turn.request)


@pytest.mark.parametrize("mode", ["now", "next"])
async def test_a_steer_reaches_the_agent_that_asked_once_wherever_its_run_is_cut(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`now` ends the subagent's turn, whose text is the result of its call; `next` enters when the call has ended."""
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    model = Slow if mode == "now" else Counting
    slow = Agent("slow", tools=[again], model=model(Call([("again", {"text": "y"})]), Say("I found one, of two.")))
    agents = [Agent("boss", tools=[slow.as_tool()], model=Listening(Say("")))]
    steers = {"steer_soon" if mode == "now" else "steer_next": "stop"}
    uncut = await played(agents, **steers)
    assert len(uncut.cuts) > 6
    for number in range(len(uncut.cuts)):
        resumed = await played(agents, uncut.cuts[:number], **steers)
        assert [event.steer_id for event in resumed.events if isinstance(event, SteerTaken)] == ["stop"]
        ended = [event for event in resumed.events if isinstance(event, ToolCompleted)]
        assert [(event.tool_name, event.status) for event in ended] == [("again", "ok"), ("ask_slow", "ok")]
        assert resumed.screen == "stop"
        expected = "I found one, of two" if mode == "next" else ("I found one,", "Stopped here")
        assert str(ended[-1].result).startswith(expected)
