"""The text of an interrupted turn: nothing is shown twice, and nothing is lost."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.chat.answer.resume import MIN_ALIKE, MIN_ALIKE_AT_END, MIN_OVERLAP, ResumedText

TEXT = "The cat sat on the mat, and the dog lay by the door all day long."


def screen(begun: str, pieces: Sequence[str]) -> tuple[str, bool]:
    """Return the final text on a screen that showed `begun`, and whether it was replaced."""
    continuation, shown, anew = ResumedText(begun), begun, False
    for fresh in [*map(continuation.feed, pieces), continuation.finish()]:
        shown = fresh.text if fresh.restart else shown + fresh.text
        anew = anew or fresh.restart
    assert continuation.text == shown
    return shown, anew


def cut(text: str, places: Sequence[int]) -> list[str]:
    at = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(at)]


PLACES = st.lists(st.integers(0, 200), max_size=12)
WORDS = st.text("ab ", max_size=60)


@given(WORDS, WORDS, PLACES)
def test_a_model_that_begins_again_repeats_nothing_on_the_screen(begun: str, rest: str, places: list[int]) -> None:
    if begun:
        assert screen(begun, cut(begun + rest, places)) == (begun + rest, False)


@given(st.just(0) | st.integers(MIN_OVERLAP, len(TEXT)), st.integers(1, len(TEXT)), PLACES)
def test_a_model_that_goes_on_or_repeats_the_end_repeats_nothing(overlap: int, shown: int, places: list[int]) -> None:
    begun = TEXT[:shown]
    if overlap <= shown:
        assert screen(begun, cut(begun[shown - overlap :] + TEXT[shown:], places)) == (TEXT, False)


@given(st.integers(MIN_ALIKE, len(TEXT) - 2), PLACES)
def test_a_model_that_begins_again_and_says_something_else(alike: int, places: list[int]) -> None:
    begun, other = TEXT.rstrip("."), TEXT[:alike] + "# something quite different"
    assert screen(begun, cut(other, places)) == (other, True)
    assert screen(TEXT, cut(other, places)) == ((other, True) if alike >= MIN_ALIKE_AT_END else (TEXT + other, False))


@given(st.integers(1, 10), st.integers(0, 40), PLACES)
def test_a_list_whose_items_begin_alike_loses_none(items: int, into: int, places: list[int]) -> None:
    text = "".join(f"- **The item number {number}** of the list: it is so.\n" for number in range(12))
    shown = text.index(f"number {items}") + into
    assert screen(text[:shown], cut(text[shown:], places)) == (text, False)


@given(WORDS, WORDS, PLACES)
def test_how_the_text_is_cut_into_pieces_makes_no_difference(begun: str, reply: str, places: list[int]) -> None:
    assert screen(begun, cut(reply, places)) == screen(begun, [reply])


@pytest.mark.parametrize(
    ("begun", "reply", "shown"),
    [
        ("", "Hello", "Hello"),
        ("Hello", "", "Hello"),
        ("Hello wor", "Hello there", "Hello there"),
        ("The result is", " 6, the end.", "The result is 6, the end."),
        ("It is a cat. ", "It was seen.", "It is a cat. It was seen."),
        ("a banana", "nanas", "a bananananas"),
        (TEXT[:-1], TEXT[:30], TEXT[:30]),
        (TEXT, TEXT[-20:], TEXT),
    ],
)
def test_examples(begun: str, reply: str, shown: str) -> None:
    assert screen(begun, list(reply))[0] == shown


def test_text_that_cannot_be_a_repetition_is_shown_at_once() -> None:
    continuation = ResumedText(TEXT)
    assert continuation.feed("#").text == "#"
    assert continuation.feed("The cat sat").text == "The cat sat"


def test_long_texts_take_no_longer_per_letter() -> None:
    begun = "ab " * 50_000
    assert screen(begun, [*["ab "] * 50_000, "the end"]) == (begun + "the end", False)
