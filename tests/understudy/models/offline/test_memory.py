"""What the offline model understands of memory, and answers from it."""

from typing import Any

import pytest

from understudy.models.items import CallItem, NoteItem
from understudy.models.model import AgentCard, MessageItem, Reply, ToolCard, Turn, fenced, tool_result
from understudy.models.offline import OfflineModel
from understudy.models.offline.memory import called, remembered, told, wish
from understudy.tools.arithmetic import calculate
from understudy.tools.remembering import forget, remember, search_memory
from understudy.tools.tool import Tool

CARD = AgentCard("guide", "Guide", "Answers.")


def card(tool: Tool) -> ToolCard:
    return ToolCard(tool.name, tool.description, tool.parameters)


TOOLS = tuple(card(each) for each in (calculate, remember, search_memory, forget))


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("Remember that I prefer euros.", "remember", {"fact": "I prefer euros"}),
        ("Please remember: my name is Ada", "remember", {"fact": "my name is Ada"}),
        ("don't forget that I live in Uji", "remember", {"fact": "I live in Uji"}),
        ("Could you remember that I like tea?", "remember", {"fact": "I like tea"}),
        ("What do you remember about me?", "search_memory", {}),
        ("Do you remember my favourite colour?", "search_memory", {"query": "favourite colour"}),
        ("Forget that I prefer euros", "forget", {"what": "I prefer euros"}),
        ("forget about my name!", "forget", {"what": "my name"}),
        ("Forget everything you know about me.", "forget", {"everything": True}),
    ],
)
def test_wishes_are_understood(text: str, name: str, arguments: dict[str, Any]) -> None:
    found = wish(text, TOOLS)
    assert found is not None
    assert (found.planned.tool.name, found.planned.arguments, found.rest) == (name, arguments, "")
    assert wish(text, ()) is None


@pytest.mark.parametrize(
    "text",
    ["Remember that.", "Do you remember that 2+2 is 4?", "forget it", "I remember you", "Remember the carrier?", ""],
)
def test_other_messages_are_no_wishes(text: str) -> None:
    assert wish(text, TOOLS) is None


async def respond(text: str, *after: Any, note: str = "") -> Reply:
    async def hear(_: object) -> None: ...

    items = (MessageItem("user", text), *after)
    return await OfflineModel().respond(Turn(CARD, items, tools=TOOLS, notes=(NoteItem(note),)), hear)


async def test_the_rest_of_the_message_is_done_too() -> None:
    """First the fact is stored, then the other request is met; numbers of the fact are no request."""
    text = "Remember that I pay 3 + 4 euros. What is 2 + 3?"
    first = await respond(text)
    assert [(each.name, each.arguments) for each in first.calls] == [("remember", {"fact": "I pay 3 + 4 euros"})]
    call = CallItem("c1", "remember", {"fact": "x"})
    done = tool_result(first.calls[0], "ok", {"name": "pay"}, "Remembered as pay for 365 days")
    second = await respond(text, call, done)
    assert [(each.name, each.arguments) for each in second.calls] == [("calculate", {"expression": "2 + 3"})]


async def test_remembered_values_are_used() -> None:
    note = (
        f"Remembered of this user from earlier conversations:\n{fenced({'name': 'my name is Ada', 'currency': 'EUR'})}"
    )
    assert (await respond("Hello!", note=note)).text.startswith("Hello, Ada! I am Guide.")
    assert (await respond("What is my currency?", note=note)).text == "I remember currency: EUR."
    assert (await respond("What's my name?", note=note)).text == "I remember: “my name is Ada”."
    assert (await respond("What is my shoe size?", note=note)).text.startswith("I found no tool")


def test_only_the_note_about_memory_is_read() -> None:
    assert remembered([NoteItem(f"The program sent this data:\n{fenced({'name': 'Eve'})}")]) == {}
    assert remembered([NoteItem("Remembered of this user\nno fence")]) == {}
    assert told("What is my name?", {}) is None
    assert (called({"name": "call me Ada."}), called({"name": 7}), called({})) == ("Ada", "", "")
