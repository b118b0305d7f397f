"""The page on LangGraph: its agent plans a journey, and its numbers are right."""

import inspect
import re

from tests.docs.blocks import defined_by
from tests.docs.tables import DOCS, code, table
from understudy import Agent
from understudy.frameworks.langgraph import langgraph
from understudy.storage import agent_states
from understudy.testing import run_agent

PAGE = "how-to/use-langgraph.md"
TEXT = (DOCS / PAGE).read_text()


async def test_the_agent_of_the_page_plans_a_journey() -> None:
    planner = defined_by(PAGE)["planner"]
    assert isinstance(planner, Agent)
    run = await run_agent(planner, "Plan it", answers=[{"city": "Oslo", "days": 3}], timeout_s=60)
    assert run.text.strip() == "3 days in Oslo: I have a plan."


def test_the_options_and_numbers_are_right() -> None:
    options = [each for row in table(PAGE, "Use LangGraph") for each in code(row["option of `langgraph(graph, …)`"])]
    declared = [each.name for each in inspect.signature(langgraph).parameters.values() if each.name != "graph"]
    assert options[1:] == declared or options == declared
    for said, number in (
        ("latest 20 runs", agent_states.MAX_RUNS),
        ("32 MiB", agent_states.MAX_THREAD_BYTES // 1024**2),
        ("8 MiB", agent_states.MAX_RUN_BYTES // 1024**2),
    ):
        assert said in " ".join(TEXT.split())
        assert re.findall(r"\d+", said) == [str(number)]
