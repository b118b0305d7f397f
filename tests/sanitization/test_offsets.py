"""Findings in UTF-16 code units, as browsers count."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Category, Finding, Sanitizer, utf16_offsets
from tests.rigs.cpu import cpu_seconds


def finding(start: int, end: int) -> Finding:
    return Finding("invisible.tag", Category.INVISIBLE, start, end, 1.0, "", "test")


@pytest.mark.parametrize(
    ("text", "places", "units"),
    [
        ("", [], []),
        ("plain", [(0, 5), (2, 2)], [(0, 5), (2, 2)]),
        ("é中x", [(1, 3)], [(1, 3)]),
        ("😀a😀b", [(1, 2), (3, 4), (0, 4)], [(2, 3), (5, 6), (0, 6)]),
        ("a😀😀b", [(3, 4), (0, 1), (1, 2), (1, 3)], [(5, 6), (0, 1), (1, 3), (1, 5)]),
        ("\ud83dx\ude00", [(1, 2), (2, 3)], [(1, 2), (2, 3)]),
    ],
)
def test_places_count_utf_16_code_units(text: str, places: list[tuple[int, int]], units: list[tuple[int, int]]) -> None:
    """Characters beyond the first plane count for two, halves of them for one; the order is that of the findings."""
    assert utf16_offsets(text, [finding(*place) for place in places]) == units


@given(st.text(st.characters(categories=["L", "Cs", "So"]), max_size=40), st.data())
def test_a_slice_of_the_units_is_the_slice_of_the_text(text: str, data: st.DataObject) -> None:
    """Also with halves of surrogate pairs in it."""
    encoded = text.encode("utf-16-le", "surrogatepass")
    places = data.draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)))
    for (start, end), (first, last) in zip(
        places, utf16_offsets(text, [finding(*place) for place in places]), strict=True
    ):
        assert encoded[2 * first : 2 * last] == text[start:end].encode("utf-16-le", "surrogatepass")


def test_findings_of_a_sanitized_text_point_into_it() -> None:
    """The marked slice of the units is the find."""
    text = "👩‍💻 says\u200b: 😀\x1b[2J \U000e0041."
    encoded = text.encode("utf-16-le")
    findings = Sanitizer().sanitize(text).findings
    shown = [encoded[2 * first : 2 * last].decode("utf-16-le") for first, last in utf16_offsets(text, findings)]
    assert shown == ["\u200b", "\x1b[2J", "\U000e0041"]


@pytest.mark.parametrize("place", [(0, 6), (-1, 2)])
def test_a_finding_of_another_text_is_refused(place: tuple[int, int]) -> None:
    """A finding beyond the text raises ValueError."""
    with pytest.raises(ValueError, match="in a text of 5 characters"):
        utf16_offsets("a😀😀😀b", [evolve(finding(0, 0), start=place[0], end=place[1])])


def test_many_findings_in_a_long_text_take_one_walk() -> None:
    """200,000 findings in CPU time; a walk for each would take minutes."""
    text = "😀" * 200_000
    findings = [finding(at, at + 1) for at in range(200_000)]
    assert utf16_offsets(text, findings)[-1] == (399_998, 400_000)
    assert cpu_seconds(lambda: utf16_offsets(text, findings), 5) < 5
