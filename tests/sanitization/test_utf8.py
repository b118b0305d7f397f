"""Ranges of code points are read from bytes as they are from text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization.prefilter import Prefilter, build_prefilter
from sanitization.utf8 import expression

codes = st.integers(0, 0x10FFFF)
EDGES = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000, 0xFFFFF, 0x10FFFF]


def encoded(code: int) -> bytes:
    """The code point in the bytes that RE2 reads."""
    return chr(code).encode("utf-8", "surrogatepass")


@given(st.one_of(st.sampled_from(EDGES), codes), st.one_of(st.sampled_from(EDGES), codes), st.lists(codes, max_size=20))
def test_exactly_the_code_points_of_a_range_match(one: int, other: int, some: list[int]) -> None:
    """Inside at both ends, outside next to them, wherever the length of the encoding changes."""
    low, high = sorted((one, other))
    pattern = re.compile(expression([(low, high)]).encode())
    for code in {low, high, low - 1, high + 1, *EDGES, *some}:
        if 0 <= code <= 0x10FFFF:
            assert bool(pattern.fullmatch(encoded(code))) == (low <= code <= high)


@pytest.mark.parametrize("low", EDGES[:-1])
def test_a_range_may_lie_across_any_edge(low: int) -> None:
    """Two code points, the encodings of which may differ in length."""
    pattern = re.compile(expression([(low, low + 1)]).encode())
    assert [bool(pattern.fullmatch(encoded(low + step))) for step in range(3)] == [True, True, False]


def test_a_prefilter_of_ranges_matches_its_code_points_alone() -> None:
    """RE2 reads them over bytes."""
    ranges = ((0x85, 0x85), (0x200B, 0x200F), (0xD800, 0xDFFF), (0xE0000, 0xE007F))
    active = build_prefilter(((("some", Prefilter(ranges=ranges)),),))
    for low, high in ranges:
        for code in (low, high):
            assert active(f"a é {chr(code)} 中") == {0: ["some"]}
        for code in (low - 1, high + 1):
            assert not active(f"a é {chr(code)} 中")
