"""What a server without a language model answers: calls that a text stands for, and a list of forms for all others."""

from collections.abc import Iterable
from typing import Any

import pytest
import trio

from tests.rigs.heard import Heard
from understudy.models.model import (
    AgentCard,
    FileCard,
    MessageItem,
    ModelUnavailable,
    OutputFormat,
    Reply,
    ResultItem,
    Thought,
    ToolCard,
    ToolRequest,
    Turn,
    tool_result,
)
from understudy.models.offline import ABILITIES, NOTICE, OfflineModel
from understudy.tools.offers import Starter

TABLE = {"file_id": {"type": "string", "format": "table-id"}}


def card(name: str, parameters: dict[str, Any] | None = None, required: Iterable[str] = ()) -> ToolCard:
    return ToolCard(name, "", {"type": "object", "properties": parameters or {}, "required": list(required)})


CALCULATE = card("calculate", {"expression": {"type": "string"}}, ["expression"])
PROFILE = card("profile", TABLE, ["file_id"])
CHART = card("chart", TABLE | {"x": {"type": "string"}}, ["file_id", "x"])
HEALTH = card("health")
GUIDE = AgentCard("guide", "Guide", tools=(CALCULATE, card(ABILITIES)), starters=(Starter("Only words"),))
DRAW = Starter("Draw it by month", "chart", {"x": "month"})
ANALYST = AgentCard("analyst", "Analyst", tools=(HEALTH, PROFILE, CHART), starters=(DRAW,))
OPERATIONS = AgentCard("operations", "Operations", tools=(HEALTH,), starters=(Starter("How is it, 35 %?", "health"),))
SALES = FileCard("f-1", "sales.csv", "text/csv", 10)


def turn_of(text: str, agent: AgentCard = GUIDE, files: tuple[FileCard, ...] = (), **more: Any) -> Turn:
    colleagues = () if agent is not GUIDE else (OPERATIONS, ANALYST)
    return Turn(agent, (MessageItem("user", text),), tools=agent.tools, files=files, colleagues=colleagues, **more)


async def respond(turn: Turn) -> tuple[Reply, Heard]:
    heard = Heard()
    return await OfflineModel(new_id=lambda: "c").respond(turn, heard), heard


@pytest.mark.parametrize("text", ["How is it, 35 %?", "how is it,35%", "  HOW  IS IT, 35 % ?! ", "How is it, 35 %…"])
async def test_a_starter_makes_its_call_at_the_agent_that_has_it(text: str) -> None:
    """Case, spaces and closing punctuation do not matter. The guide hands over; the colleague calls."""
    reply, heard = await respond(turn_of(text))
    assert (reply.handoff.to, reply.calls) == ("operations", ())
    assert heard.events == [Thought(reply.handoff.reason)]
    reply, heard = await respond(turn_of(text, OPERATIONS))
    assert reply.calls == (ToolRequest("c", "health", {}, "Health"),)
    assert "“How is it, 35 %?” is a starter of Operations" in heard.thoughts[0]


OLD, NOTES = FileCard("f-0", "old.csv", "text/csv", 1), FileCard("f-2", "notes.txt", "text/plain", 10)


@pytest.mark.parametrize(
    ("text", "agent", "files", "call"),
    [
        ("15% of 80", GUIDE, (), ("calculate", {"expression": "15% of 80"})),
        ("What is 15% of 80?", GUIDE, (), ("calculate", {"expression": "15% of 80"})),
        ("What stands out?", ANALYST, (SALES,), ("profile", {"file_id": "f-1"})),
        ("Draw it by month", ANALYST, (OLD, SALES, NOTES), ("chart", {"x": "month", "file_id": "f-1"})),
    ],
)
async def test_a_text_or_a_table_stands_for_a_call(
    text: str, agent: AgentCard, files: tuple[FileCard, ...], call: tuple[str, dict[str, Any]]
) -> None:
    """Of an attached table, the last one is meant: by a starter, else by the first tool that needs nothing else."""
    reply, _ = await respond(turn_of(text, agent, files))
    assert [(requested.name, dict(requested.arguments)) for requested in reply.calls] == [call]


async def test_a_table_is_handed_over_and_a_starter_without_one_asks_for_it() -> None:
    reply, _ = await respond(turn_of("What stands out?", files=(SALES,)))
    assert reply.handoff.to == "analyst"
    reply, _ = await respond(turn_of("Draw it by month", ANALYST, (NOTES,)))
    assert reply.calls == ()
    assert "Attach the table to the message" in reply.text


OTHERS = ("hello", "Only words", "Draw it", "What is 15% of 80 and how is it?", "2026-11-28", "")


@pytest.mark.parametrize("text", [*OTHERS, "x" * 5_000, "How is it, 35 %? " * 200])
async def test_every_other_text_gets_the_list_of_what_can_be_done(text: str) -> None:
    """Also a starter without a tool: only a language model can answer that."""
    reply, heard = await respond(turn_of(text))
    assert reply.calls == (ToolRequest("c", ABILITIES, {}, "What can be done without a language model"),)
    assert reply.text == ""
    assert ["No language model is connected" in thought for thought in heard.thoughts] == [True]


async def test_without_tools_it_says_that_there_is_no_model() -> None:
    """As in the last turn of a run, or when the function of an agent asks its model."""
    reply, heard = await respond(Turn(GUIDE, (MessageItem("user", "hello"),)))
    assert reply.text == heard.text == NOTICE


async def test_results_are_the_answer_and_an_interrupted_one_goes_on() -> None:
    """The same results give the same text, of which only what was not shown is written."""
    call = ToolRequest("c", "health", {})
    items = (MessageItem("user", "Hm"), call.item(), tool_result(call, "ok", {"rows": 3}, "All is well"))
    whole, _ = await respond(Turn(GUIDE, items, tools=GUIDE.tools))
    assert whole.text.startswith("All is well.")
    rest, _ = await respond(Turn(GUIDE, items, tools=GUIDE.tools, partial_text="All is "))
    assert "All is " + rest.text == whole.text


@pytest.mark.parametrize(
    ("status", "content", "answer"),
    [
        ("failed", '{"status":"failed","error":"it rains"}', "Health did not work: it rains."),
        ("timed_out", "{}", "Health took too long and was stopped."),
        ("ok", "not JSON", "not JSON"),
        ("ok", "[1, 2]", "- 1\n- 2"),
    ],
)
async def test_any_content_of_a_result_is_told(status: str, content: str, answer: str) -> None:
    reply, _ = await respond(Turn(GUIDE, (MessageItem("user", "Hm"), ResultItem("c", "health", status, content))))
    assert reply.text == answer


@pytest.mark.parametrize(
    "more", [{"output": OutputFormat("city", {"type": "object"})}, {"purpose": "summary"}, {"purpose": "title"}]
)
async def test_a_request_that_needs_a_language_model_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ModelUnavailable, match="No language model is connected") as refused:
        await respond(turn_of("hello", **more))
    assert not refused.value.retryable


async def test_an_answer_is_written_at_the_pace_of_a_reader(autojump_clock: trio.testing.MockClock) -> None:
    for words, seconds in ((20, 2.0), (1_000, 3.0)):
        item = ResultItem("c", "health", "ok", " ".join(["word"] * words))
        began = trio.current_time()
        await OfflineModel(words_per_s=10).respond(Turn(GUIDE, (MessageItem("user", "Hm"), item)), Heard())
        assert trio.current_time() - began == pytest.approx(seconds, rel=0.1)
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="words_per_s"):
            OfflineModel(wrong)
