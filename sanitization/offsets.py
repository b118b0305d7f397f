"""Offsets: from a sanitized text back to the original, and in UTF-16 code units."""

from bisect import bisect_right
from collections.abc import Iterable
from math import inf

from .findings import Finding


def utf16_offsets(text: str, findings: Iterable[Finding]) -> list[tuple[int, int]]:
    """Return start and end (exclusive) of each finding of `text` in UTF-16 code units, in the order of the findings.

    Browsers and JSON clients count in these: `"\U0001f600".length` is 2 there. Takes one walk over the text. Raises
    ValueError for a finding that ends beyond the text: it belongs to another text.
    """
    spans = [(each.start, each.end) for each in findings]
    places = sorted({place for span in spans for place in span})
    if places and not 0 <= places[0] <= places[-1] <= len(text):
        raise ValueError(f"a finding from {places[0]} to {places[-1]} in a text of {len(text)} characters")
    units, unit, position = dict[int, int](), 0, 0
    for place in places:
        unit += len(text[position:place].encode("utf-16-le", "surrogatepass")) // 2
        units[place] = unit
        position = place
    return [(units[start], units[end]) for start, end in spans]


class Edits:
    """The replacements made in a text, in order; memory grows with their number."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, int, int]] = []  # begin and end in the new text, begin and end in the old
        self._shift = 0  # new position minus old position, after the last edit

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, start: int, end: int, length: int) -> None:
        """Record that characters `start` to `end` of the old text were replaced by `length` new ones; later edits lie
        behind.
        """
        at = start + self._shift
        self._rows.append((at, at + length, start, end))
        self._shift += length - (end - start)

    def old_start(self, position: int) -> int:
        """Map the character at `position` of the new text to the old text; in a replacement, to the replaced part's
        start.
        """
        row = self._before(position)
        if row is None:
            return position
        return row[2] if position < row[1] else position - row[1] + row[3]

    def old_end(self, end: int) -> int:
        """Map the end of a piece of the new text to the old text."""
        row = self._before(end - 1)
        if row is None:
            return end
        return row[3] if end <= row[1] else end - row[1] + row[3]

    def _before(self, position: int) -> tuple[float, int, int, int] | None:
        index = bisect_right(self._rows, (position, inf))
        return self._rows[index - 1] if index else None
