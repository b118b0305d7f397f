"""Questions that an earlier result of the conversation answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from understudy.models.model import AgentCard, FileCard, Item, MessageItem, ToolRequest, Turn, tool_result
from understudy.models.offline import OfflineModel
from understudy.models.offline.recall import recall
from understudy.models.offline.request import read_request

ORDER = {"order": {"id": "A-17", "carrier": "Northern Post", "delivery_date": "2026-05-03"}, "date": "2026-05-01"}
CARD = AgentCard("support", "Support", "Looks up orders.")


def conversation(question: str, *values: Any) -> Sequence[Item]:
    """Return a conversation with one call for each value, and the question after it."""
    items: list[Item] = [MessageItem("user", "Where is A-17?")]
    for number, value in enumerate(values):
        call = ToolRequest(f"c{number}", "look_up", {"order_id": "A-17"})
        items += [call.item(), tool_result(call, "ok", value, "Found.")]
    return [*items, MessageItem("assistant", "On its way."), MessageItem("user", question)]


@pytest.mark.parametrize(
    ("question", "field", "value"),
    [
        ("What carrier was that?", "carrier", "Northern Post"),
        ("And which carrier is it?", "carrier", "Northern Post"),
        ("What is the delivery date?", "delivery_date", "2026-05-03"),
        ("What date was it?", "date", "2026-05-01"),
    ],
)
def test_a_field_of_an_earlier_result_is_found(question: str, field: str, value: str) -> None:
    found = recall(question, conversation(question, {"carrier": "Old Post"}, ORDER))
    assert found is not None
    assert (found.field, found.value) == (field, value)


@pytest.mark.parametrize("question", ["What colour was that?", "The carrier is late.", "What was that?", ""])
def test_no_field_is_made_up(question: str) -> None:
    assert recall(question, conversation(question, ORDER)) is None


@pytest.mark.parametrize("value", [None, "text", [1, 2], [ORDER] * 3, {"a": {"b": {"c": {}}}}])
def test_results_of_any_form_are_searched(value: Any) -> None:
    question = "What carrier was that?"
    found = recall(question, conversation(question, value))
    assert (found is not None) == (value == [ORDER] * 3)


async def test_the_model_answers_from_what_it_looked_up() -> None:
    """The answer names the value and the call that it is from, and no tool is called."""
    said: list[object] = []

    async def hear(event: object) -> None:
        said.append(event)

    model, items = OfflineModel(), tuple(conversation("What carrier was that?", ORDER))
    reply = await model.respond(Turn(CARD, items), hear)
    assert reply.calls == ()
    assert reply.text == "Carrier: Northern Post (from the earlier result of look up on A-17)."


def test_a_table_of_an_earlier_message_is_meant_if_none_is_attached() -> None:
    card = FileCard("f-1", "sales.csv", "text/csv", 10, ("region",))
    items = (MessageItem("user", "Profile it", (card,)), MessageItem("assistant", "Done."), MessageItem("user", "More"))
    assert read_request(Turn(CARD, items)).files == (card,)
