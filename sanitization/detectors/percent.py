"""What another detector finds, written in the percent code of addresses and forms (RFC 3986, 2.1).

Each run of the characters that addresses have is decoded if it holds such a code, and the other detector reads that. In
forms a `+` is a blank (HTML, application/x-www-form-urlencoded), so a run with one is read in both ways.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from sanitization.detector import Detector
from sanitization.findings import Category, Hit
from sanitization.prefilter import ActiveDetectors, Prefilter

REACH: Final = 4_096
"""Code points that a find may be long, with its anchor."""
CONTEXT: Final = 512
"""Code points before it that are decoded: those that a detector reads, with three for each."""
BEFORE: Final = 64
NEAR: Final = 448
"""There is a code at most so far before the anchor of a find, or behind it: a stream holds back as much of a word."""

_RUN: Final = re.compile(r"[\w\-.~!$&()*+,;=:@/?#\[\]%]+", re.ASCII)
_CODES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


class Percent:
    """Finds what `inner` finds in the decoded text.

    `find_active` tells which of its prefilters match, as the detector `number`. Of a run that is longer than REACH,
    what lies further behind is not decoded with its beginning.
    """

    prefilters = (("percent", Prefilter(literals=("%",), pattern="%[0-9A-Fa-f][0-9A-Fa-f]")),)
    context = CONTEXT
    reach = REACH

    def __init__(self, inner: Detector, number: int, find_active: Callable[[str], ActiveDetectors]) -> None:
        self.name: str = inner.name
        self.category: Category = inner.category
        self._inner = inner
        self._number = number
        self._find_active = find_active

    def find(self, text: str, start: int, active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield hits in coded parts of the text."""
        for run in _RUN.finditer(text, max(0, start - CONTEXT)):
            if run.end() > start and _CODES.search(text, run.start(), run.end()):
                yield from self._find_in(text, run.start(), run.end(), start)

    def settled(self, text: str, start: int, active: Collection[str] = ()) -> int:
        """Return where a coded run begins that the end of the text cuts."""
        end = len(text)
        for run in _RUN.finditer(text, max(0, start - CONTEXT, end - REACH)):
            if run.end() == end and _CODES.search(text, run.start()):
                return max(start, run.start())
        return end

    def _find_in(self, text: str, begin: int, end: int, start: int) -> Iterator[Hit]:
        hits = list[Hit]()
        for blanks in (False, True) if "+" in text[begin:end] else (False,):
            decoded, places = decode(text, begin, end, blanks=blanks)
            names = self._find_active(decoded).get(self._number, ())
            if names:
                hits += [
                    hit._replace(
                        start=places[hit.start],
                        end=places[hit.end],
                        anchor=places[hit.anchor],
                        report_start=None if hit.report_start is None else places[hit.report_start],
                    )
                    for hit in self._inner.find(decoded, 0, names)
                ]
        position = start
        for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
            near = (max(begin, hit.anchor - BEFORE), min(end, hit.anchor + NEAR))
            if hit.anchor >= start and hit.start >= position and _CODES.search(text, *near):
                yield hit
                position = hit.end


def decode(text: str, begin: int, end: int, *, blanks: bool) -> tuple[str, Sequence[int]]:
    """Decode a part of a text, and its `+` as `blanks`. Return it with the place of each character, and the end."""
    parts, places, position = list[str](), list[int](), begin
    for codes in _CODES.finditer(text, begin, end):
        parts.append(text[position : codes.start()].replace("+", " " if blanks else "+"))
        places += range(position, codes.start())
        position = codes.start()
        for character in bytes.fromhex(codes[0].replace("%", "")).decode("utf-8", "surrogateescape"):
            parts.append(character)
            places.append(position)
            position += 3 * len(character.encode("utf-8", "surrogateescape"))
    parts.append(text[position:end].replace("+", " " if blanks else "+"))
    places += range(position, end + 1)
    return "".join(parts), places
