"""Whole conversations with the offline model, with various tools and agents."""

import sys
import time
from importlib.abc import MetaPathFinder
from typing import Annotated, Any, Literal

import pytest
import trio
from attrs import evolve

from understudy.models.model import (
    AgentCard,
    FileCard,
    Handoff,
    MessageItem,
    Reply,
    ResultItem,
    ToolCard,
    Turn,
    tool_result,
)
from understudy.models.offline import OfflineModel
from understudy.tools.tool import Param, tool

# A condition longer than what the offline model looks at to understand a request.
LONG = " AND ".join(f"sales <> {n}" for n in range(200))


@tool
def calculate(expression: Annotated[str, Param("Arithmetic.", format="expression")]) -> str:
    """Work out an arithmetic expression."""
    return ""


@tool
def profile_table(file_id: Annotated[str, Param("A table.", format="table-id")]) -> str:
    """Describe an attached table."""
    return ""


@tool
def query_table(
    file_id: Annotated[str, Param("A table.", format="table-id")],
    sql: Annotated[str, Param("A SELECT.", format="sql")],
) -> str:
    """Run one SQL query over an attached table."""
    return ""


@tool
def answer_question(
    file_id: Annotated[str, Param("A table.", format="table-id")],
    question: Annotated[str, Param("A question.", format="question")],
    before: Annotated[str | None, Param("The one before.", format="earlier-question")] = None,
) -> str:
    """Answer a question about an attached table."""
    return ""


@tool
def chart_table(
    file_id: Annotated[str, Param("A table.", format="table-id")],
    x: Annotated[str, Param("Column for the x axis.", format="column")],
    y: Annotated[str | None, Param("Column to measure.", format="column")] = None,
    kind: Literal["bar", "line", "pie"] | None = None,
    aggregate: Annotated[str | None, Param("sum, mean or count.", format="aggregate")] = None,
) -> str:
    """Draw a chart of an attached table."""
    return ""


@tool
def summarise_text(text: Annotated[str, Param("The text.", format="text")]) -> str:
    """Sum up a text."""
    return ""


@tool
def lookup(order_id: str) -> str:
    """Look up an order."""
    return ""


@tool
def forecast(city: str, days: int = 3, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """The weather in a city."""
    return ""


@tool
def notify(email: str, subject: str, urgent: bool = False) -> str:
    """Notify somebody by email."""
    return ""


@tool
def convert(amount: float, currency: Literal["EUR", "USD"]) -> str:
    """Convert an amount of money to another currency."""
    return ""


@tool
def shout(text: str) -> str:
    """Shout."""
    return ""


ALL = [shout, calculate, profile_table, query_table, chart_table, summarise_text, lookup, forecast, notify, convert]
SALES = FileCard("f-1", "sales.csv", "text/csv", 120, ("date", "region", "sales"))


class Imports(MetaPathFinder):
    """Notes which modules are searched, and whether on the loop; finds none itself."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bool]] = []

    def find_spec(self, name: str, *_: object) -> None:
        self.found.append((name, trio.lowlevel.in_trio_run()))


class LongestStep(trio.abc.Instrument):
    """Measures the longest step of any task."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.began = time.perf_counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.began = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.longest_s = max(self.longest_s, time.perf_counter() - self.began)


def cards(*tools: Any) -> tuple[ToolCard, ...]:
    return tuple(ToolCard(each.name, each.description, each.parameters) for each in tools)


def a_turn(text: str, tools: Any = ALL, files: Any = (SALES,), colleagues: Any = (), before: Any = ()) -> Turn:
    me = AgentCard("me", "Me", "Does things.", cards(*tools))
    items = (*before, MessageItem("user", text))
    return Turn(me, items, tools=cards(*tools), files=tuple(files), colleagues=tuple(colleagues))


def a_model() -> OfflineModel:
    numbers = iter(range(1, 100))
    return OfflineModel(new_id=lambda: f"call-{next(numbers)}")


async def ignore(event: object) -> None:
    """Ignore the event."""


async def ask(text: str, **more: Any) -> Reply:
    return await a_model().respond(a_turn(text, **more), ignore)


def calls_of(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls as names and arguments."""
    return [(each.name, dict(each.arguments)) for each in reply.calls]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("What is 15% of 80?", [("calculate", {"expression": "15% of 80"})]),
        ("Repeat the word banana and compute 2+3", [("calculate", {"expression": "2 + 3"})]),
        ("compute 2+3 and 4*5", [("calculate", {"expression": "2 + 3"}), ("calculate", {"expression": "4 * 5"})]),
        ("Profile the table", [("profile_table", {"file_id": "f-1"})]),
        (
            "profile this table and chart sales by month",
            [
                ("profile_table", {"file_id": "f-1"}),
                ("chart_table", {"file_id": "f-1", "x": "date", "y": "sales"}),
            ],
        ),
        (
            "Draw a pie chart of average sales by region",
            [("chart_table", {"file_id": "f-1", "x": "region", "y": "sales", "kind": "pie", "aggregate": "mean"})],
        ),
        (
            "```sql\nSELECT region FROM data WHERE sales > 1 and sales < 9;\n```",
            [("query_table", {"file_id": "f-1", "sql": "SELECT region FROM data WHERE sales > 1 and sales < 9"})],
        ),
        (
            f"SELECT region FROM data WHERE {LONG}",
            [("query_table", {"file_id": "f-1", "sql": f"SELECT region FROM data WHERE {LONG}"})],
        ),
        ("Summarise this text: It rains. It pours.", [("summarise_text", {"text": "It rains. It pours."})]),
        ("Summarise\nIt rains and it pours.", [("summarise_text", {"text": "It rains and it pours."})]),
        ("Shout this text: one two", [("shout", {"text": "one two"})]),
        ("shout text: one two", [("shout", {"text": "one two"})]),
        ("Where is my order A-17?", [("lookup", {"order_id": "A-17"})]),
        ("look up order 4711", [("lookup", {"order_id": "4711"})]),
        ('lookup "red shoes"', [("lookup", {"order_id": "red shoes"})]),
        ('lookup {"order_id": "B 2"}', [("lookup", {"order_id": "B 2"})]),
        ("lookup order_id=C3", [("lookup", {"order_id": "C3"})]),
        (
            "What is the weather in New York for 5 days in fahrenheit?",
            [("forecast", {"city": "New York", "days": 5, "unit": "fahrenheit"})],
        ),
        (
            'notify ada@example.org with subject "Lunch"',
            [("notify", {"email": "ada@example.org", "subject": "Lunch"})],
        ),
        ("Convert 12.5 to USD", [("convert", {"amount": 12.5, "currency": "USD"})]),
    ],
)
async def test_a_request_becomes_calls(text: str, calls: list[Any]) -> None:
    """The expected tools are called, with arguments found in the request and its files."""
    assert calls_of(await ask(text)) == calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("How many rows are there?", ["How many rows are there"]),
        (
            "total sales by region. Then show the rows of St. Gallen",
            ["total sales by region", "show the rows of St. Gallen"],
        ),
        ("chart total sales by region", ["chart total sales by region"]),
        (
            "profile this table and show total sales of pears and plums by region",
            ["profile_table", "show total sales of pears and plums by region"],
        ),
        ("profile this table, and find outliers of organic sales", ["profile_table", "find outliers of organic sales"]),
        ("SELECT 1 FROM data", ["query_table"]),
        ("What is 15% of 80?", ["calculate"]),
        ("total units sold by south in 2026-02", ["total units sold by south in 2026-02"]),
    ],
)
async def test_what_no_other_tool_does_of_a_table_is_a_question(text: str, calls: list[str]) -> None:
    """The question has the user's own words, of which none is left out."""
    reply = await ask(text, tools=[*ALL, answer_question])
    assert [each.arguments.get("question", each.name) for each in reply.calls] == calls


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("compute 3 * 4 apples", "“apples”"),
        ("profile the organic rows of the table", "“organic”"),
        ("What is 15% of 80 in euros of today?", "“today”"),
        ("What is the weather in Paris for 5 days of 12?", "“5”"),
        ("never compute 3 * 4", "“never”"),
    ],
)
async def test_a_word_without_a_part_in_a_call_stops_it(text: str, words: str) -> None:
    """The answer names the word, and no call is made."""
    reply = await ask(text)
    assert reply.calls == ()
    assert "I could not place" in reply.text
    assert words in reply.text


@pytest.mark.parametrize("text", ["hello", "tell me a joke", "thanks!", "", " ", "🙂", "the cat sat on the mat"])
async def test_where_nothing_fits_nothing_is_called(text: str) -> None:
    """A request that fits no tool is answered with text."""
    reply = await ask(text)
    assert reply.calls == ()
    assert reply.text


@pytest.mark.parametrize(
    ("text", "files", "question"),
    [
        ("look up my order", (), "I need `order_id`"),
        ("profile the table", (), "please attach a CSV"),
        ("profile the sample sales table", (), "choose “Profile sample sales and chart them by month” in a new chat"),
        ("chart this", (SALES,), "Which column shall I take for `x`? The columns of sales.csv are `date`, `region`"),
        ("calculate something", (), "What shall I calculate?"),
        ("convert 5", (), "It is one of: EUR, USD."),
        ("query the table", (SALES,), "write a SELECT over the table `data`. The columns of sales.csv are `date`"),
    ],
)
async def test_a_missing_argument_is_asked_for(text: str, files: Any, question: str) -> None:
    """A missing argument leads to a question that lists the choices."""
    reply = await ask(text, files=files)
    assert reply.calls == ()
    assert question in reply.text


async def test_an_answer_to_a_question_is_understood() -> None:
    """The answer to the model's question completes the earlier request."""
    asked = await ask("look up my order")
    before = (MessageItem("user", "look up my order"), MessageItem("assistant", asked.text))
    assert calls_of(await ask("A-17", before=before)) == [("lookup", {"order_id": "A-17"})]
    asked = await ask("chart this")
    before = (MessageItem("user", "chart this"), MessageItem("assistant", asked.text))
    assert calls_of(await ask("by region", before=before)) == [("chart_table", {"file_id": "f-1", "x": "region"})]


async def test_unknown_columns_are_profiled_first() -> None:
    """A JSON table is profiled first, then charted with the columns found."""
    unknown = FileCard("f-2", "sales.json", "application/json", 10, None)
    first = await ask("chart sales by region", files=(unknown,))
    assert calls_of(first) == [("profile_table", {"file_id": "f-2"})]
    found = {"columns": [{"name": "region"}, {"name": "sales"}]}
    turn = a_turn("chart sales by region", files=(unknown,))
    items = (
        *turn.items,
        *(each.item() for each in first.calls),
        tool_result(first.calls[0], "ok", found, "Ok."),
    )
    second = await a_model().respond(Turn(turn.agent, items, tools=turn.tools, files=turn.files), ignore)
    assert calls_of(second) == [("chart_table", {"file_id": "f-2", "x": "region", "y": "sales"})]


async def test_the_table_that_is_named_is_taken() -> None:
    """Of several tables the named one is used, else the latest."""
    other = FileCard("f-9", "costs.csv", "text/csv", 10, ("cost",))
    assert calls_of(await ask("profile sales.csv", files=(SALES, other))) == [("profile_table", {"file_id": "f-1"})]
    assert calls_of(await ask("profile the table", files=(SALES, other))) == [("profile_table", {"file_id": "f-9"})]


# answers


async def answer_to(text: str, *results: tuple[str, Any, str], tools: Any = ALL, heard: Any = ignore) -> Reply:
    """Return the reply after a call ended with this status, value and summary."""
    turn = a_turn(text, tools=tools)
    first = await a_model().respond(turn, ignore)
    assert len(first.calls) == len(results)
    told = [tool_result(c, s, v, w) for c, (s, v, w) in zip(first.calls, results, strict=True)]
    items = (*turn.items, *(each.item() for each in first.calls), *told)
    return await a_model().respond(Turn(turn.agent, items, tools=turn.tools, files=turn.files), heard)


async def test_results_are_answered_word_by_word(heard: Any) -> None:
    """The answer has summaries and values; the emitted pieces joined are its text."""
    reply = await answer_to(
        "Repeat the word banana and compute 2+3",
        ("ok", {"expression": "2 + 3", "result": "5"}, "2 + 3 = 5"),
        heard=heard,
    )
    assert reply.text == "“banana”\n\n2 + 3 = 5"
    assert heard.text == reply.text
    assert [each.text for each in heard.events] == ["“banana”\n\n2", " +", " 3", " =", " 5"]
    assert reply.usage.output == 5


async def test_rows_become_a_table() -> None:
    value = {"columns": [{"name": "region"}, {"name": "total"}], "rows": [["north", 60.0], ["south", 1234.5]]}
    reply = await answer_to("total sales by region", ("ok", value, "2 rows of 2 columns"), tools=[answer_question])
    assert reply.text == (
        "2 rows of 2 columns.\n\n| region | total |\n| --- | ---: |\n| north | 60 |\n| south | 1,234.5 |"
    )


@pytest.mark.parametrize(
    ("status", "summary", "says"),
    [
        ("failed", "There is no such order.", "Lookup did not work: There is no such order."),
        ("failed", "", "Lookup did not work: it gave no reason."),
        ("timed_out", "Too late.", "Lookup took too long and was stopped."),
        ("killed", "", "Lookup was stopped before it was done."),
        ("cancelled", "", "Lookup was stopped before it was done."),
    ],
)
async def test_failures_are_reported_plainly(status: str, summary: str, says: str) -> None:
    """A failure is reported, and the tool is not called again."""
    reply = await answer_to("look up A-17", (status, None, summary))
    assert reply.calls == ()
    assert reply.text == says


async def test_a_result_of_any_text_is_shown() -> None:
    """A result that was not written by `tool_result` is shown as its text."""
    turn = a_turn("look up A-17")
    first = await a_model().respond(turn, ignore)
    told = ResultItem(first.calls[0].id, "lookup", "ok", "not json")
    items = (*turn.items, *(each.item() for each in first.calls), told)
    assert (await a_model().respond(Turn(turn.agent, items), ignore)).text == "> not json"


async def test_the_same_turn_gives_the_same_reply() -> None:
    turn = a_turn("profile this table and chart sales by month")
    assert await a_model().respond(turn, ignore) == await a_model().respond(turn, ignore)


async def test_it_says_what_it_is(heard: Any) -> None:
    """The notice, the greeting and the introduction say that it is rule-based; the last lists tools and colleagues."""
    model = a_model()
    assert model.name == "offline"
    assert "not a language model" in model.notice
    assert model.notice in (await ask("hello")).text
    colleague = AgentCard("support", "Support", "Looks up orders.", cards(lookup))
    text = (await ask("What can you do?", tools=[calculate], colleagues=(colleague,))).text
    assert "- **calculate**: Work out an arithmetic expression." in text
    assert "**Support**: Looks up orders." in text
    assert "- **lookup**: Look up an order." in text
    assert model.notice in text


async def test_a_thought_comes_before_the_calls(heard: Any) -> None:
    """The thought before the calls names tools and files, not ids."""
    await a_model().respond(a_turn("profile the table"), heard)
    assert heard.thoughts == [
        "“profile table” fits profile table, so I will use profile table on sales.csv. "
        "sales.csv has the columns date, region, sales."
    ]


# colleagues


SUPPORT = AgentCard("support", "Support", "Looks up orders.", cards(lookup, calculate))
WEATHER = AgentCard("weather", "Weather", "Knows the weather.", cards(forecast, calculate))


@pytest.mark.parametrize(
    ("text", "to"),
    [
        ("Where is my order A-17?", "support"),
        ("What is the weather in Paris?", "weather"),
        ("ask support how they are", "support"),
        ("What is 2 + 3?", None),
        ("hello", None),
        ("What can you do?", None),
        ("Repeat the word weather", None),
    ],
)
async def test_the_work_changes_hands_when_a_colleague_fits_better(text: str, to: str | None) -> None:
    """A request is handed over only to a colleague whose tools fit clearly better."""
    reply = await ask(text, tools=[calculate], colleagues=(SUPPORT, WEATHER))
    assert (reply.handoff.to if reply.handoff else None) == to
    assert to is None or reply.text == ""


async def test_a_handoff_says_why(heard: Any) -> None:
    """The reason of a handoff names the tools, and is emitted as a thought."""
    turn = a_turn("Where is my order A-17?", tools=[calculate], colleagues=(SUPPORT, WEATHER))
    reply = await a_model().respond(turn, heard)
    assert reply.handoff == Handoff("support", "Support has the tools for this: lookup.")
    assert heard.thoughts == ["Support has the tools for this: lookup."]


# time


async def test_words_come_at_a_reader_s_pace(autojump_clock: Any) -> None:
    """With `words_per_s` the words are emitted at that pace; with 0, without pauses."""
    began = trio.current_time()
    reply = await OfflineModel(words_per_s=10.0).respond(a_turn("hello"), ignore)
    words = len(reply.text.split(" "))
    assert words / 10 <= trio.current_time() - began < words / 10 + 0.01, "the last pause may be 8 ms late"
    began = trio.current_time()
    await a_model().respond(a_turn("hello"), ignore)
    assert trio.current_time() == began


@pytest.mark.parametrize("pace", [-1.0, float("inf"), float("nan")])
def test_a_pace_is_a_number_of_words(pace: float) -> None:
    """A negative or infinite pace raises ValueError."""
    with pytest.raises(ValueError, match="words_per_s"):
        OfflineModel(words_per_s=pace)


async def test_its_rules_are_imported_at_the_first_turn_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Creating it imports none, and the import does not run on the loop."""
    monkeypatch.delitem(sys.modules, "understudy.models.offline.provider")
    imports = Imports()
    monkeypatch.setattr(sys, "meta_path", [imports, *sys.meta_path])
    model = a_model()
    assert imports.found == []
    for _ in range(2):
        await model.respond(a_turn("hello"), ignore)
    assert imports.found == [("understudy.models.offline.provider", False)]


async def test_it_can_be_cancelled_between_words() -> None:
    heard: list[object] = []

    async def stop_after_three(event: object) -> None:
        heard.append(event)
        if len(heard) == 3:
            scope.cancel()

    with trio.CancelScope() as scope:
        await a_model().respond(a_turn("hello"), stop_after_three)
    assert scope.cancelled_caught
    assert len(heard) == 3


@pytest.mark.parametrize(
    "unit", ["word ", "1+", '"', "(", "x=y: ", "select ", "-1, 2; ", "a@", "say ", "\n", "{", "A-1 ", "In ", "“", "5% "]
)
async def test_a_megabyte_is_read_in_no_time(unit: str) -> None:
    """A megabyte of any kind of text is read in milliseconds, because scans are bounded."""
    text = unit * (1_000_000 // len(unit))
    watch = LongestStep()
    trio.lowlevel.add_instrument(watch)
    with trio.fail_after(60):
        reply = await ask("Summarise: " + text, colleagues=(SUPPORT, WEATHER))
    trio.lowlevel.remove_instrument(watch)
    assert reply.calls or reply.text or reply.handoff
    # A step takes about a millisecond; the bound leaves room for a machine that is busy with something else.
    assert watch.longest_s < 0.1


@pytest.mark.parametrize("shown", [0, 1, 20, 10_000])
async def test_an_answer_that_was_cut_goes_on_behind_what_was_shown(shown: int, heard: Any) -> None:
    """An answer continues after the shown text wherever it was cut; if that text differs, it starts again."""
    whole = (await a_model().respond(a_turn("hello"), ignore)).text
    rest = await a_model().respond(evolve(a_turn("hello"), partial_text=whole[:shown]), heard)
    assert whole[:shown] + rest.text == whole
    assert heard.text == rest.text
    assert (await a_model().respond(evolve(a_turn("hello"), partial_text="Something else"), ignore)).text == whole
