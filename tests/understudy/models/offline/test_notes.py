"""The offline model calls `save_note` for a request in plain words, and reports the outcome."""

import pytest

from tests.understudy.models.conftest import Heard
from understudy.agents.registry import all_agents
from understudy.models.model import Item, MessageItem, ToolRequest, Turn, tool_result
from understudy.models.offline import OfflineModel

AGENTS = all_agents()


def turn(*items: Item) -> Turn:
    """A turn of the guide with all its tools and colleagues."""
    guide = AGENTS["guide"]
    colleagues = tuple(AGENTS[name].card() for name in guide.colleagues)
    return Turn(guide.card(), items, tools=guide.card().tools, colleagues=colleagues)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Save a note: buy milk", "buy milk"),
        ("Please save this as a note: the meeting is at 5", "the meeting is at 5"),
        ("Take a note: call Bob", "call Bob"),
        ("Save the following note:\n# Plan\n- a\n- b", "# Plan\n- a\n- b"),
        ("Save a note that says “call Anna”", "call Anna"),
        ("Save a note: profile this table and chart sales by month", "profile this table and chart sales by month"),
    ],
)
async def test_plain_words_save_a_note(heard: Heard, said: str, text: str) -> None:
    """The note is the text after the colon, or inside quotation marks."""
    reply = await OfflineModel().respond(turn(MessageItem("user", said)), heard)
    assert [(call.name, call.arguments) for call in reply.calls] == [("save_note", {"text": text})]


@pytest.mark.parametrize(
    "said",
    ["How many orders were not returned?", "Do not save a note: buy milk", "Please don\u2019t save that as a note"],
)
async def test_not_is_no_note_and_what_is_not_to_be_done_is_not(heard: Heard, said: str) -> None:
    assert (await OfflineModel().respond(turn(MessageItem("user", said)), heard)).calls == ()


async def test_a_note_that_was_not_allowed_is_no_failure(heard: Heard) -> None:
    """The answer to a denied call says that the note was not saved, and why."""
    call = ToolRequest("c", "save_note", {"text": "buy milk"})
    denied = tool_result(call, "denied", None, "Not allowed: too early")
    said = MessageItem("user", "Save a note: buy milk")
    reply = await OfflineModel().respond(turn(said, call.item(), denied), heard)
    assert reply.text == "Save note was not done. Not allowed: too early."
