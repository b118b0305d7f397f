"""The input of a model changes in coarse steps only."""

from tests.understudy.chat.run.test_window import conversation
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.window import HIGH, NONE
from understudy.models.model import ModelLimits


def test_the_shown_items_are_a_prefix_of_the_next_until_the_window_is_full() -> None:
    """Of 60 runs few change what was shown before, and the input always fits."""
    given = ModelInput(ModelLimits(window_tokens=20_000, max_output=1_000))
    given.load([], NONE)
    changes = 0
    for item in conversation(60):
        before = list(given.shown)
        given.add([item])
        planned = given.planned(500, 1_000)
        if planned != given.compaction:
            given.compact(planned)
        changes += given.shown[: len(before)] != before
        assert given.tokens <= given.room(500, 1_000) * HIGH
    assert given.shortens
    assert 2 <= changes <= 12


def test_the_reported_usage_corrects_the_estimate() -> None:
    given = ModelInput()
    given.correct(100, 900)
    assert given.scale == 1.0
    given.correct(10_000, 8_000)
    assert given.scale == 0.8
    given.correct(10_000, 10)
    assert given.scale == 0.6
