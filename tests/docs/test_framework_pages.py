"""The pages on agents of other frameworks: their agents answer, and their numbers are right."""

import inspect
import re

import pytest
import trio

from tests.docs.blocks import defined_by
from tests.rigs.doc_tables import DOCS, code, table
from tests.rigs.openai_agents_sdk import sdk
from understudy import Agent
from understudy.extensions.frameworks import states
from understudy.extensions.frameworks.langgraph import langgraph
from understudy.testing import run_agent

PAGE = "extensions/use-langgraph.md"
TEXT = (DOCS / PAGE).read_text()


async def test_the_agent_of_the_page_plans_a_journey() -> None:
    planner = defined_by(PAGE)["planner"]
    assert isinstance(planner, Agent)
    run = await run_agent(planner, "Plan it", answers=[{"city": "Oslo", "days": 3}], timeout_s=60)
    assert run.text.strip() == "3 days in Oslo: I have a plan."


@pytest.mark.parametrize("framework", ["pydantic-ai", "openai-agents"])
async def test_the_agent_of_the_page_finds_an_order(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if framework == "openai-agents":
        monkeypatch.syspath_prepend(await trio.to_thread.run_sync(sdk))
        monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")  # else it may speak to the provider
    page = f"extensions/use-{framework}.md"
    clerk = (await trio.to_thread.run_sync(defined_by, page))["clerk"]  # it imports for a third of a second
    assert isinstance(clerk, Agent)
    run = await run_agent(clerk, "Where is it?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("latest_order", "ok")
    assert str(call.result).startswith("an order of ")
    if framework == "openai-agents":
        assert run.text.endswith("It is on its way.")
    else:
        assert str(call.result) in run.text


def test_the_options_and_numbers_are_right() -> None:
    options = [name for row in table(PAGE, "Use LangGraph") for name in code(row["option of `langgraph(graph, …)`"])]
    declared = [option.name for option in inspect.signature(langgraph).parameters.values() if option.name != "graph"]
    assert options[1:] == declared or options == declared
    for sentence, number in (
        ("latest 20 runs", states.MAX_RUNS),
        ("32 MiB", states.MAX_THREAD_BYTES // 1024**2),
        ("8 MiB", states.MAX_RUN_BYTES // 1024**2),
    ):
        assert sentence in " ".join(TEXT.split())
        assert re.findall(r"\d+", sentence) == [str(number)]
