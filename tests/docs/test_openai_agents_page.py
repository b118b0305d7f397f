"""The page on the OpenAI Agents SDK: its agent finds the user's order."""

import pytest
import trio

from tests.docs.blocks import defined_by
from tests.end_to_end.openai_agents_sdk import sdk
from understudy import Agent
from understudy.testing import run_agent

PAGE = "how-to/use-openai-agents.md"


async def test_the_agent_of_the_page_finds_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(await trio.to_thread.run_sync(sdk))
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")  # else it may speak to the provider
    clerk = (await trio.to_thread.run_sync(defined_by, PAGE))["clerk"]  # it imports for a third of a second
    assert isinstance(clerk, Agent)
    run = await run_agent(clerk, "Where is it?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("latest_order", "ok")
    assert str(call.result).startswith("an order of ")
    assert run.text.endswith("It is on its way.")
