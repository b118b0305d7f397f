"""The page on the OpenAI Agents SDK: its agent finds the user's order."""

import re

import pytest
import trio

from tests.docs.tables import DOCS
from tests.end_to_end.openai_agents_sdk import sdk
from understudy import Agent
from understudy.testing import run_agent

PAGE = "how-to/use-openai-agents.md"
TEXT = (DOCS / PAGE).read_text()


def run_page() -> dict[str, object]:
    found: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python[^\n]*\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, PAGE, "exec"), found)
    return found


@pytest.mark.slow
async def test_the_agent_of_the_page_finds_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(await trio.to_thread.run_sync(sdk))
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")  # else it may speak to the provider
    clerk = (await trio.to_thread.run_sync(run_page))["clerk"]  # it imports for a third of a second
    assert isinstance(clerk, Agent)
    run = await run_agent(clerk, "Where is it?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("latest_order", "ok")
    assert str(call.result).startswith("an order of ")
    assert run.text.endswith("It is on its way.")
