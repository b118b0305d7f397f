"""Example requests on the page, and requests in many other words, reach a useful tool by the offline model."""

from pathlib import Path
from typing import Any

import pytest
import trio

from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.models.model import FileCard, Item, MessageItem, Thought, ToolRequest, Turn, tool_result
from understudy.models.offline import OfflineModel
from understudy.tools.tool import StoredFile, ToolContext, ToolResult

CSV = "date,region,sales\n2026-01-05,north,10\n2026-01-20,south,30\n2026-02-05,north,50\n"
AGENTS = all_agents()


class World:
    """One file, and a healthy server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.thoughts: list[str] = []

    async def hear(self, event: object) -> None:
        """Remember the thoughts."""
        if isinstance(event, Thought):
            self.thoughts.append(event.text)

    async def get(self, file_id: str) -> StoredFile:
        return StoredFile(file_id, "sales.csv", "text/csv", len(CSV), self.path)

    def health(self) -> dict[str, Any]:
        return {"status": "ok", "connections": 1}

    def activity(self, minutes: int) -> dict[str, Any]:
        row = {"operation": "commit", "name": "", "count": 2, "mean_ms": 1.0, "max_ms": 2.0}
        row |= {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 2.0}
        slowest = [{"operation": "commit", "name": "", "ms": 2.0, "ago_s": 1}]
        return {
            "scope": "own", "operations": [row], "slowest": slowest, "outcomes": {"success": 1}, "open_runs": [],
            "connections": 1,
        }  # fmt: skip

    def crashes(self, minutes: int) -> dict[str, Any]:
        return {"restarts": {}, "incidents": [], "unwell": {}}

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


SALES = FileCard("f-1", "sales.csv", "text/csv", len(CSV), ("date", "region", "sales"))


async def converse(
    agent: Agent, text: str, world: World, files: tuple[FileCard, ...] = (SALES,)
) -> tuple[str, list[str], Agent]:
    """Run turns until there is an answer. Return it, the tools called, and the agent that answered.

    A tool for other tables than `SALES` is not run, as each starts a process: its arguments are checked.
    """
    model, called = OfflineModel(), []
    items: list[Item] = [MessageItem("user", text)]
    context = ToolContext("ada", "t", "r", "c", ("f-1",), world, world, lambda done, total, note: None)
    for _ in range(5):
        colleagues = tuple(AGENTS[name].card() for name in agent.colleagues)
        turn = Turn(agent.card(), tuple(items), agent.instructions, agent.card().tools, files, colleagues)
        reply = await model.respond(turn, world.hear)
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
            if files != (SALES,) and "file_id" in call.arguments:
                found.check(call.arguments)
                result = ToolResult("some rows")
            else:
                result = await found.call(call.arguments, context)
            if result.answer:
                return result.answer, called, agent
            items.append(tool_result(call, "ok", result.value, result.summary))
    raise AssertionError("no answer after five turns")


async def first_calls(
    agent: Agent, text: str, world: World, files: tuple[FileCard, ...] = ()
) -> tuple[ToolRequest, ...]:
    """Return the calls that the guide, or the colleague it hands over to, makes for a message."""
    while True:
        card, colleagues = agent.card(), tuple(AGENTS[name].card() for name in agent.colleagues)
        turn = Turn(card, (MessageItem("user", text),), agent.instructions, card.tools, files, colleagues)
        reply = await OfflineModel().respond(turn, world.hear)
        if reply.handoff is None:
            return reply.calls
        agent = AGENTS[reply.handoff.to]


STARTERS = [
    ("guide", "What can you do?", "guide", []),
    ("guide", "What is 15% of 80?", "guide", ["calculate"]),
    ("guide", "How is the server doing?", "guide", ["system_health"]),
    ("content", "Sanitize", "content", ["sanitize_content"]),
    ("content", "Summarise", "content", ["summarise_text"]),
    ("content", "List", "content", ["extract_facts"]),
    ("content", "Compare", "content", ["compare_texts"]),
    ("content", "Clean", "content", ["sanitize_content"]),
    ("insights", "Analyse", "insights", ["analyse_table"]),
    ("insights", "Find", "insights", ["find_outliers"]),
    ("insights", "Profile", "insights", ["profile_table"]),
    ("insights", "How many", "insights", ["answer_question"]),
    ("insights", "Chart", "insights", ["answer_question"]),
    ("operations", "Analyze", "operations", ["server_performance"]),
    ("operations", "Are there", "operations", ["slow_operations"]),
    ("operations", "Which actors", "operations", ["recent_crashes"]),
    ("operations", "Is the system", "operations", ["system_health"]),
    ("operations", "Show", "operations", ["supervision_tree"]),
    ("operations", "Check", "operations", ["system_health", "supervision_tree"]),
    ("business_outcomes", "How could", "business_outcomes", ["reduce_costs"]),
    ("business_outcomes", "Break-even", "business_outcomes", ["break_even"]),
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
    with trio.fail_after(60):
        text, called, agent = await converse(AGENTS[name], starter, world)
    assert called == tools
    assert agent.name == answers
    assert text
    assert "did not work" not in text


async def test_the_guide_passes_a_table_on(world: World) -> None:
    """The guide hands a request over to insights, which calls two tools in one turn and answers."""
    text, called, agent = await converse(AGENTS["guide"], "profile this table and chart sales by month", world)
    assert called == ["profile_table", "answer_question"]
    assert agent.name == "insights"
    assert "sales.csv: 3 rows" in text
    assert "Sum of sales by month: 2 points, from 40 (2026-01) to 50 (2026-02)" in text


TABLES = (
    FileCard("f-1", "sales.csv", "text/csv", 10, ("date", "region", "product", "revenue")),
    FileCard("f-2", "regions.csv", "text/csv", 10, ("region", "manager")),
)
# The agent asked, the request, the number of attached tables, and the tools of which one answers it usefully.
REQUESTS = [
    ("guide", "Analyze my code performance", 0, "server_performance"),
    ("guide", "Analyze my database performance", 0, "server_performance"),
    ("guide", "Are there slow queries?", 0, "slow_operations"),
    ("guide", "How could we reduce costs by 35 %?", 0, "reduce_costs"),
    ("operations", "How fast were commits in the last 5 minutes?", 0, "server_performance"),
    ("operations", "Show errors by code", 0, "errors_by_code"),
    ("operations", "Which actors restarted?", 0, "recent_crashes"),
    ("operations", "Are there silent runs?", 0, "open_work"),
    ("operations", "How many connections are open?", 0, "open_work system_health"),
    ("insights", "Analyze the attached table", 1, "analyse_table"),
    ("insights", "Find outliers in revenue", 1, "find_outliers"),
    ("insights", "What is the trend of revenue by month?", 1, "table_trend"),
    ("insights", "Group revenue by region", 1, "answer_question"),
    ("insights", "Join the two tables by region", 2, "join_tables"),
    ("business_outcomes", "Cut these costs by 35%: Rent: 12000, Salaries: 48000, Travel: 5000", 0, "reduce_costs"),
    ("business_outcomes", "Break-even with fixed costs of 50000, price 25 and variable cost 15", 0, "break_even"),
    ("business_outcomes", "How sensitive is -1000, 400, 500, 600 at 8% to its assumptions?", 0, "sensitivity_analysis"),
    ("content", "Outline this text:\n# Plan\n## Aims\nWe go far.", 0, "outline_text"),
    ("content", 'Compare the texts "One two three." and "One two four."', 0, "compare_texts"),
    ("content", "Extract dates and amounts from: Pay 400 EUR by 2026-05-03.", 0, "extract_facts"),
    ("guide", "Why has the server felt sluggish in the last half hour?", 0, "server_performance slow_operations"),
    ("operations", "Which requests took longest today?", 0, "server_performance slow_operations"),
    ("operations", "Is the disk holding up writes to the log?", 0, "server_performance slow_operations system_health"),
    ("operations", "What keeps crashing?", 0, "recent_crashes"),
    ("guide", "How often did users see a failure this hour?", 0, "errors_by_code"),
    ("operations", "Is anything stuck?", 0, "open_work"),
    ("operations", "Give me the 95th percentile response time", 0, "server_performance"),
    ("guide", "Review the efficiency of my application", 0, "server_performance"),
    ("insights", "Anything unusual in these numbers?", 1, "analyse_table find_outliers"),
    ("guide", "How did revenue develop over the year in sales.csv?", 1, "answer_question table_trend"),
    ("insights", "Break revenue down per region", 1, "answer_question"),
    ("insights", "Combine the two files on region", 2, "join_tables"),
    ("guide", "What stands out in the attached file?", 1, "analyse_table find_outliers profile_table"),
    (
        "guide",
        "We must save a fifth of our spending: Rent 12000, Salaries 48000, Travel 5000. Where should we start?",
        0,
        "reduce_costs",
    ),
    ("business_outcomes", "Where can we cut spending by 20%?", 0, "reduce_costs"),
    (
        "business_outcomes",
        "How many units must we sell to cover fixed costs of 50000 at a price of 25 and variable costs of 15?",
        0,
        "break_even",
    ),
    ("business_outcomes", "What if the cash flows -1000, 400, 500, 600 turn out 10% worse?", 0, "sensitivity_analysis"),
    (
        "guide",
        "Pull all the e-mail addresses and dates out of this: Ada wrote on 3 May 2026 to bob@example.org: 400 EUR.",
        0,
        "extract_facts",
    ),
    ("content", 'What changed between "The cat sat on the mat." and "The dog sat on the mat."?', 0, "compare_texts"),
    (
        "content",
        "Give me the structure of this document:\n# Plan\n## Aims\nWe go far.\n## Costs\nIt is dear.",
        0,
        "outline_text",
    ),
    ("guide", "My app takes forever to answer. Where does the time go?", 0, "server_performance slow_operations"),
    ("guide", "Run a performance audit of the backend", 0, "server_performance"),
    ("operations", "What is the p99 of our runs?", 0, "server_performance"),
    ("operations", "Which tool calls need the most time?", 0, "server_performance slow_operations"),
    ("operations", "Did anything go wrong in the past 20 minutes?", 0, "recent_crashes errors_by_code"),
    ("guide", "Have there been any crashes lately?", 0, "recent_crashes"),
    ("operations", "Is there a backlog of messages?", 0, "open_work"),
    ("guide", "Inspect the health of the database", 0, "server_performance system_health"),
    ("guide", "Examine this spreadsheet for me", 1, "analyse_table profile_table"),
    ("insights", "Which values in revenue look suspicious?", 1, "find_outliers"),
    ("insights", "Average revenue per product please", 1, "answer_question"),
    ("insights", "Is revenue growing or declining?", 1, "table_trend"),
    ("insights", "Show me the rows where region is south", 1, "answer_question"),
    ("guide", "Merge both files, they share the region", 2, "join_tables"),
    ("guide", "Our expenses must come down by a quarter", 0, "reduce_costs"),
    ("business_outcomes", "Save 15 percent: hosting 900, licences 2,400, support 1,200", 0, "reduce_costs"),
    (
        "business_outcomes",
        "At what volume do we break even if fixed costs are 8,000, the price is 40 and the variable cost 24?",
        0,
        "break_even",
    ),
    ("guide", "How robust is the plan -500, 200, 250, 300 when returns disappoint?", 0, "sensitivity_analysis"),
    (
        "guide",
        "List the people and amounts mentioned here: Ada Lovelace lent Charles Babbage 300 GBP on 4 June 2026.",
        0,
        "extract_facts",
    ),
    (
        "content",
        "Show the differences between these:\nWe meet on Monday. Bring tea.\n---\nWe meet on Tuesday. Bring tea.",
        0,
        "compare_texts",
    ),
    (
        "content",
        "What are the main sections of this?\n# Intro\nHello there.\n# Method\nWe measured.",
        0,
        "outline_text",
    ),
    ("guide", "How quickly do we respond to people?", 0, "server_performance slow_operations"),
    ("guide", "Check database latency please", 0, "server_performance"),
    (
        "operations",
        "What were the worst response times in the last 10 minutes?",
        0,
        "server_performance slow_operations",
    ),
    ("operations", "Are reads from storage slow at the moment?", 0, "server_performance slow_operations"),
    ("guide", "Is the system under stress right now?", 0, "open_work server_performance system_health"),
    ("operations", "Which error codes do clients get?", 0, "errors_by_code"),
    ("operations", "Any circuit breakers open?", 0, "open_work recent_crashes system_health"),
    ("operations", "How many runs are queued?", 0, "open_work"),
    ("guide", "Dig into the attached sales data and tell me what matters", 1, "answer_question"),
    ("insights", "Show the monthly development of revenue", 1, "answer_question table_trend"),
    ("insights", "Are there anomalies in the table?", 1, "find_outliers"),
    ("insights", "Give me the details where product = tea", 1, "answer_question"),
    ("guide", "Help me trim our budget by 12 %: Cloud 4000, Office 2500, Ads 1500", 0, "reduce_costs"),
    (
        "business_outcomes",
        "When do we break even with fixed costs 1200, price 12 and variable cost 9?",
        0,
        "break_even",
    ),
    ("business_outcomes", "How risky is -800, 300, 300, 400 at 6%?", 0, "sensitivity_analysis"),
    (
        "guide",
        "Which links and emails are in this text: see https://example.org and write to ada@example.org",
        0,
        "extract_facts",
    ),
    ("guide", 'What is the difference between "red apples are sweet" and "green apples are sour"?', 0, "compare_texts"),
    ("content", "Make a table of contents for this:\n# One\ntext\n# Two\nmore", 0, "outline_text"),
]


@pytest.mark.parametrize(("name", "text", "attached", "tools"), REQUESTS)
async def test_a_request_in_other_words_reaches_a_useful_tool(
    world: World, name: str, text: str, attached: int, tools: str
) -> None:
    """The tool's arguments are valid, a thought names it, and its result is the answer."""
    with trio.fail_after(60):
        answer, called, _ = await converse(AGENTS[name], text, world, TABLES[:attached])
    assert set(called) & set(tools.split())
    assert "did not work" not in answer
    assert called[-1].replace("_", " ") in world.thoughts[-1]


LOREM = "Actors own their state. They talk by messages. Supervisors restart them."
# The message, the tool that answers it, and a part of its arguments.
AT_THE_END = [
    (f"{LOREM}\n\nSummarise this", "summarise_text", LOREM),
    (f"{LOREM} Summarise this.", "summarise_text", LOREM),
    (f"Add salt to it. Stir.\n{LOREM}\n\nPlease summarise the text above", "summarise_text", f"Stir.\n{LOREM}"),
    ("Ada Lovelace pays 400 EUR.\nFind the names and amounts.", "extract_facts", "Ada Lovelace pays 400 EUR."),
    ("password: hunter2secret9\nPlease clean this", "sanitize_content", "hunter2secret9"),
    ("One two.\n---\nOne three.\nCompare the two.", "compare_texts", "One three."),
    ("Compare these:\nOne two.\n---\nOne three.", "compare_texts", "One three."),
    ("rent: 1200\nfood: 400\nHow can I save 10% of my money?", "reduce_costs", "'Food': 400"),
    ("A: invest 1000, get 600 and 700\nB: invest 800, get 900\nWhich is better?", "compare_scenarios", "-800, 900"),
    ("rent 1200\nfood 1,400\nwhat is the total?", "calculate", "1200 + 1400"),
    ("4\n5\n6\nadd these up", "calculate", "4 + 5 + 6"),
    ("mean of these numbers:\n3\n4", "calculate", "(3 + 4) / 2"),
    ("Hello,\n\ncan you calculate 3 * 4 for me?", "calculate", "3 * 4"),
    ("What is 2+2?\nWhat is 3*3?", "calculate", "3 * 3"),
    ("My server is slow\nCan you check it?", "system_health", ""),
    ("Remember this:\nI live in Rome", "remember", "I live in Rome"),
]


@pytest.mark.parametrize(("text", "tool", "argument"), AT_THE_END)
async def test_a_request_may_stand_below_what_it_is_about(world: World, text: str, tool: str, argument: str) -> None:
    """The tool gets what stands above, without the request."""
    asked = await first_calls(AGENTS["guide"], text, world)
    assert asked[-1].name == tool
    assert argument in str(list(asked[-1].arguments.values())).replace("\\n", "\n")
    assert not {"summarise", "Summarise", "Compare"} & set(str(asked[-1].arguments).split())


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("Hi,\nhere is our sales file.\nWhat was the total in March?", ["What was the total in March"]),
        ("Only consider 2024\nFind outliers in it", ["", "Only consider 2024"]),
        ("Here is our sales table.\nFind outliers", [""]),
    ],
)
async def test_what_stands_before_a_request_is_not_lost(world: World, text: str, questions: list[str]) -> None:
    """It is asked about, unless it only says that there is a table."""
    asked = await first_calls(AGENTS["guide"], text, world, (SALES,))
    assert [each.arguments.get("question", "") for each in asked] == questions


WRITTEN = "name,city,price\nAnn,Rome,5\nBob,Oslo,7\nCid,Rome,9"
ASKED_BACK = [
    (f"{WRITTEN}\n\nWhat is the average price by city?", "do not read tables in the text"),
    (f"What is the average price by city?\n\n{WRITTEN}", "do not read tables in the text"),
    ("Here is my data:\nmonth\tsales\nJan\t100\nFeb\t120\n\nChart it", "do not read tables in the text"),
    ("| product | units |\n|---|---|\n| pears | 5 |\n\nWhich product sold most?", "do not read tables in the text"),
    ("Chart total sales by month", "attach a CSV"),
    ("rent EUR 1200\nfood USD 400\nwhat is the total?", "found no tool"),
    ("Order 4711 crashed.\nOrder 4712 crashed.\nHow many orders crashed?", "could not place “4711”"),
    ("When was the actor Tom Hanks born?", "could not place “tom”"),
    ("Who killed Kennedy?", "could not place “kennedy”"),
    ("What is the performance of Tesla stock?", "could not place “tesla”"),
    ("Restart the server", "could not place “Restart”"),
    ("Please write a poem about actors", "could not place “write”"),
    ("Stop the actors", "could not place “Stop”"),
    ("Summarise War and Peace", "I need `text`"),
    ("Hello,\nplease summarise War and Peace", "I need `text`"),
    ("System health report\nAll is fine in the garden", "could not place “"),
]


@pytest.mark.parametrize(("text", "said"), ASKED_BACK)
async def test_what_no_tool_answers_is_asked_back(world: World, text: str, said: str) -> None:
    """No tool is called for it, though one shares its words."""
    answer, called, _ = await converse(AGENTS["guide"], text, world, ())
    assert called == []
    assert said in answer


@pytest.mark.parametrize(
    "text",
    ["Compare the texts:" + "\n" * 99_000 + "x", "Compare: " + "“a " * 30_000, "Cut costs: " + "Rent 1 " * 15_000],
)
async def test_no_request_holds_the_event_loop(world: World, text: str) -> None:
    """The time to read a request is bounded, whatever it repeats; a fixture of all tests fails one with a long step."""
    answer, _, _ = await converse(AGENTS["content"], text, world)
    assert answer


async def test_a_request_to_analyse_anything_gets_the_nearest_tool(world: World) -> None:
    """The thought and the answer say that it is only the nearest."""
    answer, called, _ = await converse(AGENTS["guide"], "Analyze my marketing", world, ())
    assert called == ["server_performance"]
    assert answer.startswith("I have no tool for exactly that; the nearest is server performance.")
    assert world.thoughts[-1].startswith("No tool fits exactly; the nearest is server performance")
