"""Items are brought into the order that providers accept, whatever is missing."""

from understudy.models.items import (
    CallItem,
    HandoffItem,
    Item,
    MessageItem,
    NoteItem,
    ReasoningItem,
    ResultItem,
    settled,
)

ASK = MessageItem("user", "Where is A-17?")
CALL = CallItem("c1", "lookup", {"id": "A-17"})
FOUND = ResultItem("c1", "lookup", "ok", "shipped")


def test_a_complete_conversation_is_unchanged() -> None:
    """A list in order stays as it is."""
    items: list[Item] = [ASK, ReasoningItem("hm"), CALL, FOUND, MessageItem("assistant", "Shipped."), NoteItem("Note.")]
    assert settled(items) == items


def test_a_call_without_result_gets_one_before_anything_else() -> None:
    """An interrupted call has a failed result, directly after it."""
    placed = settled([ASK, CALL, MessageItem("user", "Well?"), FOUND])
    assert [type(each).__name__ for each in placed] == ["MessageItem", "CallItem", "ResultItem", "MessageItem"]
    assert isinstance(placed[2], ResultItem)
    assert (placed[2].call_id, placed[2].status) == ("c1", "failed")


def test_repeated_ids_are_made_unique() -> None:
    """Two turns with the same call id: each call keeps its own result."""
    second = ResultItem("c1", "lookup", "ok", "delivered")
    placed = settled([ASK, CALL, FOUND, CALL, second, FOUND])
    assert [each.id for each in placed if isinstance(each, CallItem)] == ["c1", "c1-2"]
    results = [(each.call_id, each.content) for each in placed if isinstance(each, ResultItem)]
    assert results == [("c1", "shipped"), ("c1-2", "delivered")]


def test_empty_texts_and_loose_reasoning_are_left_out() -> None:
    """Neither empty text nor reasoning without a reply is sent; a handoff is a sentence."""
    placed = settled([ASK, MessageItem("assistant", " "), ReasoningItem("hm"), HandoffItem("guide", "insights")])
    assert [type(each).__name__ for each in placed] == ["MessageItem", "HandoffItem"]
    assert "insights" in placed[-1].content  # type: ignore[union-attr]
