"""Words that look Latin and are not: letters of other scripts among Latin ones, or Latin letters in another form.

People read such a word differently than machines. It is replaced by the Latin word it looks like, so that later
detectors read what people read. Words of other scripts stay, and so do units, formulas, phonetic script, endings of
Russian and Greek on Latin names (`SMSка`), and wide letters beside Chinese, Japanese and Korean. After UTS #39 (mixed
scripts, skeletons) and browsers' rules for domain names; a doubtful word stays.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from sanitization.code_points import char_class
from sanitization.findings import Category, Hit, Kind, make_hit
from sanitization.prefilter import Prefilter

from .confusable_data import DRESSED, LOOKS, SCRIPT_LETTERS, SHAPES, ranges_of
from .confusable_words import NEARBY, RARE, disguised

# ruff: noqa: RUF002 - look-alikes are what this file is about

WORD_MAX: Final = 64

_LATIN: Final = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_LOOKS: Final = char_class(ranges_of(LOOKS))
_LETTER: Final = f"[{_LATIN}0-9_\u0300-\u036f{_LOOKS}{char_class(SCRIPT_LETTERS)}]"
_WORD: Final = re.compile(f"{_LETTER}{{0,{WORD_MAX + 1}}}")
_REST: Final = re.compile(f"{_LETTER}*")
_PLAIN: Final = {ord(letter): look.plain for letter, look in LOOKS.items()}
# A look-alike beside a Latin letter, one in fancy dress beside another, a rare one, or the last of a domain's label.
# One range for everything beyond the first plane: each range costs time for every character.
_FAR: Final = (ord(min(letter for letter in LOOKS if letter > "\uffff")), ord(max(LOOKS)))
_CLOSE: Final = ranges_of(letter for letter in LOOKS if letter <= "\uffff")
_SUSPECT: Final = re.compile(
    f"[{char_class((*_CLOSE, _FAR))}]"
    f"(?:(?<=[{_LATIN}0-9_].)|(?<=[{RARE}])|(?=[{_LATIN}0-9_{char_class(ranges_of(DRESSED))}])|(?=\\.[a-z]{{2}}))"
)
_LABEL: Final = re.compile(r"\.[a-z]{0,7}\Z")


class Homoglyphs:
    """Finds `invisible.homoglyph`."""

    name = "homoglyphs"
    category = Category.INVISIBLE
    prefilters = (("look_alike", Prefilter(ranges=ranges_of(LOOKS))),)
    kinds = (
        Kind(
            "invisible.homoglyph",
            "A word that looks Latin, with letters of another script or in fancy dress.",
            "p\u0430ypal",
        ),
    )
    context = WORD_MAX + NEARBY + 1
    reach = WORD_MAX + NEARBY + 1

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield each word as one hit from its first look-alike on, reported as a whole."""
        position = start
        while found := _SUSPECT.search(text, position):
            if found[0] not in LOOKS:
                position = found.end()
                continue
            begin, end = _bounds(text, found.start())
            if end - begin > WORD_MAX:
                rest = _REST.match(text, found.start())
                position = rest.end() if rest else end
                continue
            position = end
            shape = text[begin:end].translate(SHAPES)
            first = begin + len(shape) - len(shape.lstrip("aA0"))
            if first >= start and disguised(text, begin, end, shape):
                plain = text[first:end].translate(_PLAIN)
                yield make_hit((first, end, "invisible.homoglyph", 1.0, plain, first, (), begin))

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        """Return where a word with look-alikes at the end begins, or one whose neighbours are still to come."""
        end = len(text)
        label = _LABEL.search(text, max(0, end - 8))
        last = label.start() - 1 if label else end - 1
        if last >= start:
            begin, behind = _bounds(text, last)
            first = _first(text, begin, behind) if behind - begin <= WORD_MAX else behind
            end = min(end, max(first, start)) if first < behind else end
        position = max(start, len(text) - WORD_MAX - NEARBY)
        while position < end and (found := _SUSPECT.search(text, position, end)):
            begin, position = _bounds(text, found.start()) if found[0] in LOOKS else (end, found.end())
            if begin < end and position + NEARBY > len(text) and position - begin <= WORD_MAX:
                return max(start, _first(text, begin, position))
        return end


def _bounds(text: str, place: int) -> tuple[int, int]:
    """Return where the word around a place begins and ends; more than `WORD_MAX` apart if it is too long for a word."""
    before, after = _WORD.match(text[max(0, place - WORD_MAX - 1) : place][::-1]), _WORD.match(text, place)
    return place - (before.end() if before else 0), after.end() if after else place


def _first(text: str, begin: int, end: int) -> int:
    """Return the first look-alike of a word."""
    return next((place for place in range(begin, end) if text[place] in LOOKS), end)
