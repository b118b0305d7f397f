"""Each example request on the page works with the real tools and the offline model."""

from pathlib import Path
from typing import Any

import pytest
import trio

from understudy.agents.agent import Agent
from understudy.agents.builtin import business_outcomes, content, guide, insights, operations
from understudy.models.model import FileCard, Item, MessageItem, Turn, tool_result
from understudy.models.offline import OfflineModel
from understudy.tools.arithmetic import calculate
from understudy.tools.charts import chart_table
from understudy.tools.finance import compare_scenarios
from understudy.tools.server import supervision_tree, system_health
from understudy.tools.tables import profile_table, query_table
from understudy.tools.text import sanitize_content, summarise_text
from understudy.tools.tool import StoredFile, ToolContext

CSV = "date,region,sales\n2026-01-05,north,10\n2026-01-20,south,30\n2026-02-05,north,50\n"
LIAISONS = [
    content([sanitize_content, summarise_text, calculate]),
    insights([profile_table, query_table, chart_table, calculate]),
    operations([system_health, supervision_tree, calculate]),
    business_outcomes([compare_scenarios, calculate]),
]
AGENTS = {each.name: each for each in [guide(LIAISONS, [calculate, summarise_text]), *LIAISONS]}


class World:
    """One file, and a healthy server."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def get(self, file_id: str) -> StoredFile:
        return StoredFile(file_id, "sales.csv", "text/csv", len(CSV), self.path)

    def health(self) -> dict[str, Any]:
        return {"status": "ok", "connections": 1}

    def tree(self) -> dict[str, Any]:
        return {
            "path": "/",
            "type": "Root",
            "state": "running",
            "depth": 0,
            "restarts": 0,
            "age_s": 1.0,
            "children": [],
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    path = tmp_path / "f-1"
    path.write_text(CSV)
    return World(path)


async def ignore(event: object) -> None:
    """Ignore the event."""


async def converse(agent: Agent, text: str, world: World) -> tuple[str, list[str], Agent]:
    """Run turns until there is an answer. Return it, the tools called, and the agent that answered."""
    model, called = OfflineModel(), []
    items: list[Item] = [MessageItem("user", text)]
    card = FileCard("f-1", "sales.csv", "text/csv", len(CSV), ("date", "region", "sales"))
    context = ToolContext("ada", "t", "r", "c", ("f-1",), world, world, lambda done, total, note: None)
    for _ in range(5):
        colleagues = tuple(AGENTS[name].card() for name in agent.colleagues)
        turn = Turn(agent.card(), tuple(items), agent.instructions, agent.card().tools, (card,), colleagues)
        reply = await model.respond(turn, ignore)
        if reply.handoff is not None:
            agent = AGENTS[reply.handoff.to]
            continue
        if not reply.calls:
            return reply.text, called, agent
        items += [each.item() for each in reply.calls]
        for call in reply.calls:
            called.append(call.name)
            found = agent.tool(call.name)
            assert found is not None
            result = await found.call(call.arguments, context)
            items.append(tool_result(call, "ok", result.value, result.summary))
    raise AssertionError("no answer after five turns")


STARTERS = [
    ("guide", "What can you do?", "guide", []),
    ("guide", "What is 15% of 80?", "guide", ["calculate"]),
    ("guide", "How is the server doing?", "operations", ["system_health"]),
    ("content", "Sanitize", "content", ["sanitize_content"]),
    ("content", "Summarise", "content", ["summarise_text"]),
    ("content", "Clean", "content", ["sanitize_content"]),
    ("insights", "Profile", "insights", ["profile_table"]),
    ("insights", "How many", "insights", ["query_table"]),
    ("insights", "Chart", "insights", ["chart_table"]),
    ("operations", "Is the system", "operations", ["system_health"]),
    ("operations", "Show", "operations", ["supervision_tree"]),
    ("operations", "Check", "operations", ["system_health", "supervision_tree"]),
    ("business_outcomes", "Compare", "business_outcomes", ["compare_scenarios"]),
    ("business_outcomes", "Which", "business_outcomes", ["compare_scenarios"]),
    ("business_outcomes", "What is", "business_outcomes", ["compare_scenarios"]),
]


def test_every_starter_is_tried() -> None:
    """The table above contains every starter of every built-in agent."""
    assert len(STARTERS) == sum(len(each.starters) for each in AGENTS.values())


@pytest.mark.parametrize(("name", "begins", "answers", "tools"), STARTERS)
async def test_a_starter_works(world: World, name: str, begins: str, answers: str, tools: list[str]) -> None:
    """The expected tools are called, and the run ends with an answer."""
    starter = next(each for each in AGENTS[name].starters if each.startswith(begins))
    with trio.fail_after(10):
        text, called, agent = await converse(AGENTS[name], starter, world)
    assert called == tools
    assert agent.name == answers
    assert text
    assert "did not work" not in text


async def test_the_guide_passes_a_table_on(world: World) -> None:
    """The guide hands a request over to insights, which calls two tools in one turn and answers."""
    text, called, agent = await converse(AGENTS["guide"], "profile this table and chart sales by month", world)
    assert called == ["profile_table", "chart_table"]
    assert agent.name == "insights"
    assert "sales.csv: 3 rows" in text
    assert "Sum of sales by month: 2 points, from 40 (2026-01) to 50 (2026-02)" in text
