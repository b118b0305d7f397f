"""The items of a conversation are derived from its messages and the steps of their runs."""

from typing import Any

import pytest

from tests.understudy.chat.run.stored import exchange, model_step, tool_step
from understudy import Agent
from understudy.chat.run.history import exchange_items
from understudy.models.items import settled
from understudy.models.model import FileCard, MessageItem, ModelLimits, NoteItem
from understudy.storage.records import StepRecord
from understudy.testing import Say, ScriptedModel, run_agent


def kinds(items: Any) -> list[str]:
    return [type(item).__name__.removesuffix("Item") for item in items]


def test_an_exchange_is_question_calls_results_and_answer() -> None:
    steps = (
        model_step(1, "Let me look.", ("s1", "lookup", {"id": 7})),
        tool_step(2, "s1", {"state": "shipped"}),
        model_step(3, "It is shipped."),
    )
    items = exchange_items(exchange(*steps, answer="Let me look.\n\nIt is shipped."), {})
    assert kinds(items) == ["Message", "Message", "Call", "Result", "Message"]
    assert [item.content for item in items if isinstance(item, MessageItem)] == [
        *("Where is it?", "Let me look.", "It is shipped.")
    ]
    call, result = items[2], items[3]
    assert (call.id, result.call_id, result.status) == ("s1", "s1", "ok")
    assert (result.origin.run_id, result.origin.step, result.origin.agent) == ("r1", 1, "guide")


@pytest.mark.parametrize(
    ("status", "word"), [("cancelled", "stopped"), ("failed", "error"), ("interrupted", "interrupted")]
)
def test_a_run_without_an_end_says_so(status: str, word: str) -> None:
    steps = (model_step(1, "", ("s1", "lookup", {})), tool_step(2, "s1", None, finished=False))
    items = exchange_items(exchange(*steps, status=status), {})
    assert kinds(items) == ["Message", "Call", "Note"]
    assert word in items[-1].content
    assert kinds(settled(items)) == ["Message", "Call", "Result", "Note"]


def test_calls_that_the_user_undid_are_noted() -> None:
    work = (
        model_step(1, "", ("s1", "pay", {}), ("s2", "pay", {})),
        tool_step(2, "s1", "paid"),
        tool_step(3, "s2", "paid"),
    )
    undos = [
        StepRecord("r1", number, "undo", "pay", name, {}, {"attempts": 1}, status, 3.0, 4.0)
        for number, name, status in ((4, "s2", "ok"), (5, "s1", "failed"))
    ]
    items = exchange_items(exchange(*work, *undos, answer="Paid."), {})
    (note,) = (item for item in items if isinstance(item, NoteItem))
    assert note is items[-1]
    assert note.content == "The user undid this call afterwards: pay, call s2. Its effect was reverted."


def test_the_text_of_an_interrupted_turn_is_as_much_as_was_shown() -> None:
    items = exchange_items(exchange(model_step(1, "It is in", finished=False), status="interrupted"), {})
    assert [item.content for item in items[:2]] == ["Where is it?", "It is in"]  # type: ignore[union-attr]


def test_an_answer_of_a_tool_follows_its_result() -> None:
    steps = (model_step(1, "", ("s1", "chat_response", {})), tool_step(2, "s1", "x", answer="Hello!"))
    items = exchange_items(exchange(*steps, answer="Hello!"), {})
    assert kinds(items) == ["Message", "Call", "Result", "Message"]
    assert items[-1].content == "Hello!"  # type: ignore[union-attr]


def test_texts_alone_remain_of_runs_without_readable_steps() -> None:
    damaged = model_step(1, "x").__class__("r1", 1, "model", "m", None, None, {"no": 1}, "ok", 1.0, 2.0)
    for steps in ((), (damaged,)):
        items = exchange_items(exchange(*steps, answer="It is shipped."), {})
        assert kinds(items) == ["Message", "Message"]


def test_a_handoff_is_an_item_and_changes_the_agent() -> None:
    steps = (model_step(1, "", handoff="insights"), model_step(2, "Done."))
    items = exchange_items(exchange(*steps, answer="Done."), {})
    assert kinds(items) == ["Message", "Handoff", "Message"]
    assert (items[1].by, items[1].to, items[2].origin.agent) == ("guide", "insights", "insights")


def test_a_message_has_its_files() -> None:
    card = FileCard("f1", "a.csv")
    items = exchange_items(exchange(references=("f1", "f2")), {"f1": card})
    assert items[0].files == (card,)  # type: ignore[union-attr]


FILES = {"a.png": b"\x89PNG\r\n\x1a\n" + bytes(32), "b.pdf": b"%PDF-1.4\n%%EOF\n", "c.csv": b"a,b\n1,2\n"}


@pytest.mark.parametrize(("images", "documents"), [(False, False), (True, False), (True, True)])
async def test_images_and_documents_go_to_models_that_take_them(images: bool, documents: bool) -> None:
    model = ScriptedModel(Say("Seen."))
    model.limits = ModelLimits(images=images, documents=documents)  # type: ignore[attr-defined]
    assert (await run_agent(Agent("reader", model=model), "What is this?", files=FILES)).text == "Seen."
    item = model.inputs[0].items[-1]
    assert sorted(file.name for file in item.files) == sorted(FILES)
    assert [image.content for image in item.images] == ([FILES["a.png"]] if images else [])
    assert [(file.name, file.content) for file in item.documents] == ([("b.pdf", FILES["b.pdf"])] if documents else [])
