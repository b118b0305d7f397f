"""Snippets of texts that a search found."""

import pytest

from tests.rigs.cpu import cpu_seconds
from understudy.storage.snippets import SHOWN, snippet


def marked(text: str, query: str) -> str:
    return "".join(f"[{piece}]" if hit else piece for piece, hit in snippet(text, query))


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Actors own their state.", "own STATE", "Actors [own] their [state]."),
        ("Actors own their state.", "wn", "Actors own their state."),
        ("A résumé of Müller", "resume mull", "A [résumé] of [Müll]er"),
        ("**Bold** and `code` | cell", "code", "Bold and [code] cell"),
        ("見積書を送る", "積書", "見[積書]を送る"),
        ("ends in İstanbul now", "now", "ends in İstanbul [now]"),
        ("nothing", "", "nothing"),
        ("", "word", ""),
    ],
)
def test_the_words_of_a_query_are_marked_where_they_begin(text: str, query: str, expected: str) -> None:
    assert marked(text, query) == expected


def test_a_long_text_is_shown_around_the_first_hit() -> None:
    text = "before " * 100 + "needle " + "after " * 100
    shown = snippet(text, "needle")
    assert (shown[0], shown[-1][0][-1]) == (("…", False), "…")
    assert ("needle", True) in shown
    assert len("".join(piece for piece, _ in shown)) <= SHOWN + 2


def test_a_hostile_text_takes_no_time() -> None:
    def both() -> None:
        snippet("ﷺ" * 200_000, "ص " * 16)
        snippet("a" * 200_000, " ".join("a" * n for n in range(1, 17)))

    assert cpu_seconds(both, 5) < 5
