"""Agents of the OpenAI Agents SDK: what is shown of them, what they ask, and what they know of the conversation."""

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.langgraph_agent import CALLS
from tests.end_to_end.openai_agents_sdk import sdk
from tests.understudy.frameworks.test_continuing import check_going_on
from tests.understudy.frameworks.test_langgraph import noted
from understudy import Agent
from understudy.testing import open_session, run_agent


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which calls are noted."""
    monkeypatch.syspath_prepend(sdk())
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    (tmp_path / "calls").touch()
    return tmp_path / "calls"


@pytest.fixture
def agents(calls: Path) -> Any:
    """Return the module of the agents, which needs the SDK."""
    from tests.end_to_end import openai_agents_agent

    return openai_agents_agent


async def test_text_thoughts_calls_and_usage_are_those_of_the_run(agents: Any, calls: Path) -> None:
    run = await run_agent(agents.agent, "hello")
    assert " ".join(run.text.split()) == "I call first. I call second. Message 1: one of hello and two of hello."
    assert [(each.tool, each.arguments, each.result) for each in run.calls] == [
        ("first", {"text": "hello"}, "one of hello"),
        ("second", {"text": "hello"}, "two of hello"),
    ]
    thoughts = [each.thought for each in run.events if each.type == "agent_thinking"]  # type: ignore[attr-defined]
    assert [each for each in thoughts if each.startswith("I need")] == ["I need first", "I need second"]
    assert (run.usage.turns, run.usage.input, run.usage.output) == (3, 30, 15)
    assert noted(calls) == ["model", "first", "model", "second", "model"]


async def test_an_agent_knows_the_conversation(agents: Any) -> None:
    async def speak(turn: Any) -> None:
        await turn.say("I am another.")

    async with open_session(agents.agent, Agent("other", run=speak)) as session:
        assert "Message 1:" in (await session.say("hello")).text
        assert "Message 2:" in (await session.say("again")).text
        await session.say("you?", agent="other")
        assert "Message 4:" in (await session.say("and again")).text


async def test_an_agent_goes_on_from_what_it_has_kept(agents: Any, calls: Path) -> None:
    await check_going_on(agents.agent, calls)


@pytest.mark.parametrize(
    ("approve", "status", "result"),
    [(True, "ok", "two of hello"), (False, "denied", None), (lambda _: {"text": "other"}, "ok", "two of other")],
)
async def test_a_tool_that_needs_approval_asks_for_consent(
    approve: Any, status: str, result: str | None, agents: Any, calls: Path
) -> None:
    run = await run_agent(agents.careful, "hello", approve=approve)
    assert (run.calls[1].tool, run.calls[1].status) == ("second", status)
    assert noted(calls).count("second") == (status == "ok")
    if result is not None:
        assert run.calls[1].result == result
        assert result in run.text


async def test_an_agent_that_is_handed_the_conversation_goes_on(agents: Any) -> None:
    run = await run_agent(agents.handing, "hello")
    assert "Message 1: one of hello and two of hello." in run.text
    assert [each.tool for each in run.calls] == ["first", "second"]


@pytest.mark.parametrize("allow", [True, False])
async def test_an_agent_as_a_tool_asks_before_its_own_call(allow: bool, agents: Any, calls: Path) -> None:
    run = await run_agent(agents.asking, "hello", answers=[{"allow": allow}])
    assert [(each.tool, each.status) for each in run.calls if each.tool == "careful"] == [("careful", "ok")]
    assert (noted(calls).count("first"), noted(calls).count("second")) == (1, allow)
    assert run.text.endswith("Done.")


async def test_a_tool_that_crashes_tells_the_model_without_its_reason(agents: Any) -> None:
    run = await run_agent(agents.agent, "crash")
    assert "An error occurred while running the tool" in str(run.calls[1].result)
    assert "a secret reason" not in run.text


def test_what_is_no_agent_is_refused(agents: Any) -> None:
    with pytest.raises(TypeError, match="no agent of the OpenAI Agents SDK"):
        agents.openai_agents("planner")
