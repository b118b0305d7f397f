"""Items are brought into the order that providers accept, whatever is missing."""

from understudy.models.items import (
    CallItem,
    HandoffItem,
    Item,
    MessageItem,
    NoteItem,
    ProviderState,
    ReasoningItem,
    ResultItem,
    settled,
)

ASK = MessageItem("user", "Where is A-17?")
CALL = CallItem("c1", "lookup", {"id": "A-17"})
FOUND = ResultItem("c1", "lookup", "ok", "shipped")


def test_a_complete_conversation_is_unchanged() -> None:
    state = ProviderState("openai", "tiny", None, ("c1",))
    rest: list[Item] = [CALL, FOUND, MessageItem("assistant", "Shipped."), NoteItem("Note.")]
    items: list[Item] = [ASK, ReasoningItem("hm", state), *rest]
    assert settled(items, "openai", "tiny") == items


def ids_of(placed: list[Item]) -> list[str]:
    """Return the ids of the calls, of which each has its result."""
    calls, results = (
        [item.id if isinstance(item, CallItem) else item.call_id for item in placed if isinstance(item, kind)]
        for kind in (CallItem, ResultItem)
    )
    assert calls == results
    assert len({*calls}) == len(calls)
    return calls


def test_a_call_without_result_gets_one_before_anything_else() -> None:
    placed = settled([FOUND, ASK, CALL, MessageItem("user", "Well?"), FOUND])
    assert [type(item).__name__ for item in placed] == ["MessageItem", "CallItem", "ResultItem", "MessageItem"]
    assert ids_of(placed)
    assert (placed[2].status, "No result" in placed[2].content) == ("failed", True)


def test_repeated_ids_of_calls_keep_their_results() -> None:
    second = ResultItem("c1", "lookup", "ok", "delivered")
    begun: list[Item] = [ASK, ReasoningItem("", ProviderState("openai", "tiny", {}, ("its own",)))]
    kept, made = ids_of(settled([*begun, CALL, FOUND, CALL, second, FOUND], "openai", "tiny"))
    assert (kept, len(made)) == ("its own", 9)
    placed = settled([ASK, CALL, FOUND, CALL, second, FOUND])
    assert len(ids_of(placed)) == 2
    assert [item.content for item in placed if isinstance(item, ResultItem)] == ["shipped", "delivered"]


def test_empty_texts_and_loose_reasoning_are_left_out() -> None:
    placed = settled([ASK, MessageItem("assistant", " "), ReasoningItem("hm"), HandoffItem("guide", "insights")])
    assert [type(item).__name__ for item in placed] == ["MessageItem", "HandoffItem"]
    assert "insights" in placed[-1].content  # type: ignore[union-attr]
