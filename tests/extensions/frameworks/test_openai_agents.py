"""Agents of the OpenAI Agents SDK: what is shown of them, what they ask, and what they know of the conversation."""

from pathlib import Path
from typing import Any

import pytest

from tests.extensions.frameworks.notes import noted
from tests.rigs.openai_agents_sdk import sdk
from understudy.testing import run_agent


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(sdk())
    from tests.extensions.frameworks import openai_agents_agent

    return openai_agents_agent


async def test_an_agent_that_is_handed_the_conversation_goes_on(agents: Any) -> None:
    run = await run_agent(agents.handing, "hello")
    assert "Message 1: one of hello and two of hello." in run.text
    assert [call.tool for call in run.calls] == ["first", "second"]


@pytest.mark.parametrize("allow", [True, False])
async def test_an_agent_as_a_tool_asks_before_its_own_call(allow: bool, agents: Any, calls: Path) -> None:
    run = await run_agent(agents.asking, "hello", answers=[{"allow": allow}])
    assert [(call.tool, call.status) for call in run.calls if call.tool == "careful"] == [("careful", "ok")]
    assert (noted(calls).count("first"), noted(calls).count("second")) == (1, allow)
    assert run.text.endswith("Done.")


async def test_a_tool_that_crashes_tells_the_model_without_its_reason(agents: Any) -> None:
    run = await run_agent(agents.agent, "crash")
    assert "An error occurred while running the tool" in str(run.calls[1].result)
    assert "a secret reason" not in run.text


def test_what_is_no_agent_is_refused(agents: Any) -> None:
    with pytest.raises(TypeError, match="no agent of the OpenAI Agents SDK"):
        agents.openai_agents("planner")
