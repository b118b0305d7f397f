"""The page on Pydantic AI: its agent finds the user's order."""

import trio

from tests.docs.blocks import defined_by
from understudy import Agent
from understudy.testing import run_agent

PAGE = "how-to/use-pydantic-ai.md"


async def test_the_agent_of_the_page_finds_an_order() -> None:
    clerk = (await trio.to_thread.run_sync(defined_by, PAGE))["clerk"]  # it imports for a third of a second
    assert isinstance(clerk, Agent)
    run = await run_agent(clerk, "Where is it?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("latest_order", "ok")
    assert str(call.result).startswith("an order of ")
    assert str(call.result) in run.text
