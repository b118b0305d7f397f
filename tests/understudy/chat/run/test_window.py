"""Items are fitted into a model's window in coarse steps."""

import pytest

from tests.understudy.chat.run.stored import exchange, model_step, tool_step
from understudy.chat.run import window
from understudy.chat.run.history import exchange_items
from understudy.chat.run_state.turns import UnreadableSteps
from understudy.models.model import CallItem, Item, MessageItem, ModelLimits, NoteItem, Origin, ResultItem
from understudy.storage.records import StepRecord


def conversation(runs: int = 5, size: int = 3_000) -> list[Item]:
    """Return runs with one call each, whose result has about `size` bytes."""
    items: list[Item] = []
    for number in range(runs):
        run_id = f"r{number}"
        steps = (
            model_step(1, "", (f"s{number}", "lookup", {"n": number}), run_id=run_id),
            tool_step(2, f"s{number}", "x" * size, run_id=run_id),
            model_step(3, f"answer {number}", run_id=run_id),
        )
        items += exchange_items(exchange(*steps, run_id=run_id, text=f"question {number}"), {})
    return items


def total(items: list[Item]) -> int:
    return sum(map(window.item_tokens, items))


def test_estimates_are_rather_too_high() -> None:
    assert window.estimate("word " * 300) >= 300
    assert window.estimate("字" * 300) >= 300


def test_the_oldest_results_are_folded_first_and_no_more_than_needed() -> None:
    items = conversation()
    planned = window.plan(items, window.NONE, 100_000, total(items) - 1_500)
    assert planned == window.Compaction(folded=window.Place("r1", 1))
    shorter = window.shortened(items, planned, 100_000)
    folded = [isinstance(item, ResultItem) and "Folded" in item.content for item in shorter]
    assert [n for n, is_folded in enumerate(folded) if is_folded] == [2, 6]
    assert total(shorter) <= total(items) - 1_500
    assert "s0" in shorter[2].content  # type: ignore[union-attr]


def test_then_the_oldest_turns_are_left_out_up_to_the_newest() -> None:
    items = conversation()
    planned = window.plan(items, window.NONE, 100_000, 1)
    assert planned.start == window.Place("r4", 1)
    shorter = window.shortened(items, window.Compaction(planned.start, planned.folded, "Summary."), 100_000)
    assert isinstance(shorter[0], NoteItem)
    assert [type(item).__name__ for item in shorter[1:]] == ["MessageItem", "CallItem", "ResultItem", "MessageItem"]


def test_before_the_first_message_there_is_nothing_to_leave_out() -> None:
    first = [MessageItem("user", "x" * 10_000, origin=Origin("m", "r1"))]
    assert window.plan(first, window.NONE, 4_096, 100) == window.NONE
    earlier = window.Compaction(window.Place("r4", 1), None, "Summary.")
    items = conversation()
    assert window.plan(items, earlier, 100_000, 1).start == earlier.start


def test_in_a_long_run_its_question_stays() -> None:
    steps: list[StepRecord] = []
    for number in range(60):
        steps += [
            model_step(2 * number + 1, "", (f"s{number}", "lookup", {})),
            tool_step(2 * number + 2, f"s{number}", "x" * 150),
        ]
    items = exchange_items(exchange(*steps), {})
    planned = window.plan(items, window.NONE, 100_000, 1_500)
    assert planned.start.step > 1
    shorter = window.shortened(items, planned, 100_000)
    assert isinstance(shorter[0], MessageItem)
    assert isinstance(shorter[1], CallItem)
    assert total(shorter) <= 1_500


def test_a_plan_is_made_from_the_one_before() -> None:
    items = conversation(8)
    first = window.plan(items, window.NONE, 100_000, total(items) - 1_000)
    second = window.plan(items, first, 100_000, total(items) - 4_000)
    assert second.folded.run_id > first.folded.run_id
    assert window.plan(items, second, 100_000, total(items)) == second


def test_a_result_longer_than_an_eighth_of_the_window_is_cut() -> None:
    item = ResultItem("s1", "lookup", "ok", "x" * 9_000)
    assert window.cut_result(item, 100_000) is item
    cut = window.cut_result(item, 8_000)
    assert len(cut.content) < 4_000
    assert "s1" in cut.content
    assert window.folded_result(ResultItem("s1", "lookup", "ok", "short")).content == "short"


def test_the_newest_stored_compaction_applies() -> None:
    newest = window.Compaction(window.Place("r1", 3), window.Place("r2"), "Summary.")
    step = StepRecord("r2", 4, "summary", "m", None, {}, window.encode_compaction(newest), "ok", 1.0, 2.0)
    broken = StepRecord("r3", 4, "summary", "m", None, {}, {"start": 1}, "ok", 1.0, 2.0)
    assert window.exchanges_compaction((), [exchange(step, run_id="r2"), exchange(broken, run_id="r3")]) == newest
    assert window.exchanges_compaction((), []) == window.NONE
    with pytest.raises(UnreadableSteps):
        window.read_compaction([broken])


def test_a_plain_summary_names_questions_and_tools() -> None:
    text = window.describe(conversation(2))
    assert "question 1" in text
    assert "lookup (2)" in text


def test_the_shown_items_are_a_prefix_of_the_next_until_the_window_is_full() -> None:
    model_input = window.ModelInput(ModelLimits(window_tokens=20_000, max_output=1_000))
    model_input.compact(window.NONE, [])
    changes = 0
    for item in conversation(60):
        shown = list(model_input.shown)
        model_input.add([item])
        planned = model_input.planned(500, 1_000)
        if planned != model_input.compaction:
            model_input.compact(planned)
        changes += model_input.shown[: len(shown)] != shown
        assert model_input.tokens <= model_input.room(500, 1_000) * window.HIGH
    assert model_input.shortens
    assert 2 <= changes <= 12


def test_the_reported_usage_corrects_the_estimate() -> None:
    model_input = window.ModelInput()
    model_input.correct(100, 900)
    assert model_input.scale == 1.0
    model_input.correct(10_000, 8_000)
    assert model_input.scale == 0.8
    model_input.correct(10_000, 10)
    assert model_input.scale == 0.6
