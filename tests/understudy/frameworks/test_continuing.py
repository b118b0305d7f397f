"""Answers of agents of other frameworks that were cut, and are gone on with: what was done is not done again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.function import AgentInfo, FunctionModel

from tests.end_to_end import langgraph_agent, pydantic_ai_agent
from tests.end_to_end.langgraph_agent import CALLS
from tests.understudy.chat.run.test_continuation import shown as shown_text
from tests.understudy.chat.run.test_continuation import stopped_when
from tests.understudy.frameworks.test_langgraph import noted
from transport.wire.events import MessageAccepted
from understudy import Agent
from understudy.frameworks.pydantic_ai import pydantic_ai
from understudy.testing import open_session

AGENTS = {"langgraph": langgraph_agent.agent, "pydantic_ai": pydantic_ai_agent.agent}


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which calls are noted."""
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    (tmp_path / "calls").touch()
    return tmp_path / "calls"


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
async def test_an_agent_of_a_framework_goes_on_from_what_it_has_kept(agent: Agent, calls: Path) -> None:
    """It is stopped in its second call: the first call and the requests before are not made again, the second is."""
    await check_going_on(agent, calls)


async def check_going_on(agent: Agent, calls: Path) -> None:
    """Stop an agent that follows the script in its second call, and have it go on."""
    async with open_session(agent) as session:
        cut = await stopped_when(session, "hang", lambda: "second" in noted(calls))
        before = noted(calls)
        assert before.count("first") == 1
        with calls.open("a") as file:
            file.write("second 0\n")  # the tool does not hang any more
        whole = await session.continue_answer(cut)
        assert whole.error is None
        assert whole.of(MessageAccepted)[0].continues == cut.of(MessageAccepted)[0].run_id
        after = noted(calls)[len(before) + 1 :]
        assert after == ["second", "model"], after
        assert "one of hang and two of hang." in " ".join(whole.text.split())
        assert whole.text.count("I call first") == whole.text.count("I call second") == 1
        again = await session.say("hello")
        assert "one of hello and two of hello." in " ".join(again.text.split())


async def test_a_text_that_was_cut_is_written_again_in_its_place() -> None:
    """The request that was cut is made again, and its text replaces what was shown of it, whatever it is."""
    for texts, shown in ((("one two ", "one two three."), "one two three."), (("one two ", "Three."), "Three.")):
        left = list(texts)

        async def write(_: list[Any], __: AgentInfo, left: list[str] = left) -> AsyncIterator[str]:
            yield left.pop(0)
            if left:
                await asyncio.sleep(600)

        agent = Agent("writer", run=pydantic_ai(PydanticAgent(FunctionModel(stream_function=write))))
        async with open_session(agent) as session:
            cut = await stopped_when(session, "go", lambda left=left: len(left) == 1)  # type: ignore[misc]
            assert cut.text == "one two "
            whole = await session.continue_answer(cut)
            assert whole.text == shown
            assert shown_text(whole) == shown
