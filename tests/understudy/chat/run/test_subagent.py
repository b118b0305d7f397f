"""Agents that ask others as tools: nested events, shared budgets, and replay at any commit."""

from collections import Counter

import pytest
import trio

from tests.understudy.chat.run.test_replay import Recorded, Thinking, again, ask, played, published
from transport.wire.events import (
    ApprovalRequired,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
)
from understudy import Agent, AgentTurn, Budget, tool
from understudy.chat.answer import stream
from understudy.models.model import Emit, Reply, Turn
from understudy.testing import Call, Say, ScriptedModel, run_agent

ASKED: Counter[str] = Counter()


class Counting(Thinking):
    """Counts its turns by the agent."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        ASKED[turn.agent.name] += 1
        return await super().respond(turn, emit)


async def look(turn: AgentTurn) -> None:
    """Take a step, and call a tool."""
    found = await turn.step("look", lambda: "found")
    await turn.say(f"{found} {await turn.call('again', text='deep')}")


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
    told = await run_agent(boss, "go", approve=True)
    assert told.text.strip() == "All done."
    assert ASKED == {"boss": 2, "helper": 3}
    (first, second), ended = told.of(SubagentStarted), told.of(SubagentCompleted)
    assert (first.agent, second.agent, len(ended)) == ("helper", "deep", 2)
    owners = {each.call_id: each.agent_id.rpartition("-")[0] for each in told.of(ToolExecuting)}
    assert owners[first.call_id] == "boss"
    assert owners[second.call_id] == "helper"
    assert sorted(owners.values()) == ["boss", "boss", "deep", "helper", "helper", "helper"]
    results = {each.tool_name: each.result for each in told.of(ToolCompleted)}
    assert (results["help"].strip(), results["ask_deep"]) == ("Helped.", "found deep")
    (asked,) = told.of(ApprovalRequired)
    assert asked.agent_id == first.agent_id


async def test_a_subagent_that_is_cut_at_any_commit_goes_on_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted after each commit, the run publishes the same, and no recorded turn is asked again."""
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    ASKED.clear()
    whole = await played([boss])
    made = ASKED.total()
    for number in range(len(whole.cuts)):
        before = whole.cuts[:number]
        turns = [
            each
            for each in Recorded(whole.services, before).steps
            if each.kind == "model" and each.ended_at is not None and each.name != "hand-written"
        ]
        ASKED.clear()
        resumed = await played([boss], before)
        assert Counter(published(resumed.events)) == Counter(published(whole.events)), number
        assert resumed.screen == whole.screen
        assert ASKED.total() == made - len(turns)


async def test_a_subagent_spends_from_the_budget_of_the_agent_that_asks() -> None:
    busy = Agent("busy", tools=[again], model=ScriptedModel(Call([("again", {"text": "x"})])))
    asking = Agent(
        "asking", tools=[busy.as_tool()], model=ScriptedModel(Call([("ask_busy", {"request": "x"})]), Say("so far"))
    )
    told = await run_agent(Agent("asking", tools=asking.tools, model=asking.model, budget=Budget(calls=3)), "go")
    assert told.data is not None
    assert told.data["budget"]["ended_by"] == "calls"
    assert [each.tool for each in told.calls if each.status is ToolStatus.OK] == ["ask_busy", "again", "again"]


async def test_a_subagent_that_is_stopped_leaves_no_call_open() -> None:
    """Its call ends by its time limit; the calls below end before."""

    @tool
    async def slow() -> str:
        """Take long."""
        await trio.sleep(60)
        return "never"

    sleepy = Agent("sleepy", tools=[slow], model=ScriptedModel(Call([("slow", {})])), timeout_s=0.3)
    told = await run_agent(
        Agent("a", tools=[sleepy.as_tool()], model=ScriptedModel(Call([("ask_sleepy", {"request": "x"})]), Say("no"))),
        "go",
    )
    assert told.text == "no"
    assert {each.tool: each.status for each in told.calls} == {
        "ask_sleepy": ToolStatus.TIMED_OUT,
        "slow": ToolStatus.KILLED,
    }


def test_agents_that_ask_each_other_too_deep_are_refused() -> None:
    agent = Agent("a0")
    for number in range(1, 4):
        agent = Agent(f"a{number}", tools=[agent.as_tool()])
    with pytest.raises(ValueError, match="4 deep: agents may ask each other 3 deep"):
        Agent("top", tools=[agent.as_tool()])
