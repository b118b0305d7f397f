"""Agents of all frameworks that follow the script of `langgraph_agent`: shown alike, cut and gone on with alike."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.function import AgentInfo, FunctionModel

from tests.extensions.frameworks.notes import noted
from tests.rigs.openai_agents_sdk import sdk
from tests.rigs.stopped_run import shown as shown_text
from tests.rigs.stopped_run import stopped_when
from understudy import Agent
from understudy.extensions.frameworks.pydantic_ai import pydantic_ai
from understudy.testing import open_session, run_agent
from understudy.wire.events import AgentThinking, MessageAccepted


@pytest.fixture(params=["langgraph", "openai_agents", "pydantic_ai"])
def framework(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def agents(framework: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if framework == "openai_agents":
        monkeypatch.syspath_prepend(sdk())
    return import_module(f"tests.extensions.frameworks.{framework}_agent")


async def test_text_thoughts_calls_and_usage_are_those_of_the_run(framework: str, agents: Any, calls: Path) -> None:
    run = await run_agent(agents.agent, "hello")
    assert " ".join(run.text.split()) == "I call first. I call second. Message 1: one of hello and two of hello."
    assert [(call.tool, call.arguments, call.result) for call in run.calls] == [
        ("first", {"text": "hello"}, "one of hello"),
        ("second", {"text": "hello"}, "two of hello"),
    ]
    assert noted(calls) == ["model", "first", "model", "second", "model"]
    if framework == "pydantic_ai":  # which counts by an estimate of its own
        assert (run.usage.turns, run.usage.input > 0) == (3, True)
    else:
        assert (run.usage.turns, run.usage.input, run.usage.output) == (3, 30, 15)
    if framework != "langgraph":
        thoughts = [event.thought for event in run.of(AgentThinking) if event.thought.startswith("I need")]
        assert thoughts == ["I need first", "I need second"]


async def test_an_agent_knows_the_conversation_and_what_another_has_said(agents: Any) -> None:
    async def speak(turn: Any) -> None:
        await turn.say("I am another.")

    async with open_session(agents.agent, Agent("other", run=speak)) as session:
        assert "Message 1:" in (await session.say("hello")).text
        assert "Message 2:" in (await session.say("again")).text
        await session.say("you?", agent="other")
        assert "Message 4:" in (await session.say("and again")).text


@pytest.mark.parametrize(
    ("approve", "status", "result"),
    [(True, "ok", "two of hello"), (False, "denied", None), (lambda _: {"text": "other"}, "ok", "two of other")],
)
async def test_a_tool_that_needs_approval_asks_for_consent(
    framework: str, agents: Any, calls: Path, approve: Any, status: str, result: str | None
) -> None:
    run = await run_agent(agents.careful, "hello", approve=approve)
    assert [(call.tool, call.status) for call in run.calls] == [("first", "ok"), ("second", status)]
    assert result is None or (run.calls[1].result == result and result in run.text)
    assert noted(calls).count("second") == (status == "ok")
    if framework == "langgraph":
        assert ("rejected" in run.text) == (status == "denied")


async def test_an_agent_goes_on_from_what_it_has_kept(agents: Any, calls: Path) -> None:
    """It is stopped in its second call: the first call and the requests before are not made again, the second is."""
    async with open_session(agents.agent) as session:
        cut = await stopped_when(session, "hang", lambda: "second" in noted(calls))
        before = noted(calls)
        assert before.count("first") == 1
        with calls.open("a") as file:
            file.write("second 0\n")  # the tool does not hang any more
        continued = await session.continue_answer(cut)
        assert continued.error is None
        assert continued.of(MessageAccepted)[0].continues == cut.of(MessageAccepted)[0].run_id
        after = noted(calls)[len(before) + 1 :]
        assert after == ["second", "model"], after
        assert "one of hang and two of hang." in " ".join(continued.text.split())
        assert continued.text.count("I call first") == continued.text.count("I call second") == 1
        again = await session.say("hello")
        assert "one of hello and two of hello." in " ".join(again.text.split())


@pytest.mark.parametrize(
    ("texts", "expected"), [(("one two ", "one two three."), "one two three."), (("one two ", "Three."), "Three.")]
)
async def test_a_text_that_was_cut_is_written_again_in_its_place(texts: tuple[str, ...], expected: str) -> None:
    """The request that was cut is made again; its text replaces the one that was shown."""
    left = list(texts)

    async def write(_: list[Any], __: AgentInfo) -> AsyncIterator[str]:
        yield left.pop(0)
        if left:
            await asyncio.sleep(600)

    agent = Agent("writer", run=pydantic_ai(PydanticAgent(FunctionModel(stream_function=write))))
    async with open_session(agent) as session:
        cut = await stopped_when(session, "go", lambda: len(left) == 1)
        assert cut.text == "one two "
        continued = await session.continue_answer(cut)
        assert continued.text == shown_text(continued) == expected
