"""Which gates a text opens, where RE2 is not installed: by its words, before any expression is looked for.

Every way to open a gate needs some words: of each, one that is not in every text. The words of a text are found once,
and looked up among all that are needed; what is left is looked for by the gate's expression.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from attrs import frozen

_COMMON: Final = (
    "a about ai all an and any are as at be before by can call could do does dont don each end every first for from "
    "get give given had has have help here how i if in include is it its just leave let like list make may me message "
    "more most must my need new next no not now of on one only open or other our out over part put read real report s "
    "say see send set should show since so some stop system take tell text than that the their them there these they "
    "this to turn up use user want was way we were what when where which who will with without would write you your"
)
COMMON: Final = frozenset(_COMMON.split())
"""Words that are in every text: to look for them would rule out nothing."""

_LETTERS: Final = re.compile("[a-z]+")
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]")
_CLAUSE: Final = re.compile(r"[.!?](?![A-Za-z0-9])")


BEGINNING: Final = 4
"""Words of so many letters also stand for those that begin with them."""


def telling(word: str) -> str:
    """What is looked up for a word: its longest run of ASCII letters, or else its first other letter."""
    run = max(_LETTERS.findall(word.lower()), key=len, default="")
    if len(run) >= BEGINNING or word.isascii():
        return run
    return next(each for each in word.lower() if not each.isascii())


def rarest(parts: Iterable[Sequence[str]]) -> frozenset[str]:
    """Of the parts of a row, what tells most: words of which one is in every text that has the row."""
    each = [frozenset(map(telling, part)) for part in parts]
    return min(each, key=lambda words: (bool("" in words), len(words & COMMON), -min(map(len, words))))


@frozen
class Look:
    """One gate, by its name: the words of which one is needed (none: always looked for), and what is looked for."""

    name: str
    needs: frozenset[str]
    whole: Callable[[str], object]
    ends: Callable[[str], object]
    begins: tuple[str, ...] = ()
    """Words a row begins with, whose beginning at the end of a text opens the gate."""
    last: frozenset[str] = frozenset()
    """Words that a row ends with: others may begin with them."""
    row: bool = False
    """Whether what is looked for stands in one clause."""
    loose: int = 0
    """So many characters at the end of a text are looked at in any case."""
    inside: tuple[str, ...] = ()
    """Words of which one is needed, or one of `needs`; these may also stand within others."""


class Plain:
    """The gates of some looks."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._always = [each for each in looks if not each.needs or "" in each.needs]
        by_word: dict[str, set[int]] = {}
        for number, each in enumerate(looks):
            if each not in self._always:
                for word in each.needs:
                    by_word.setdefault(word, set()).add(number)
        self._looks = looks
        self._inside: dict[str, set[int]] = {}
        for number, each in enumerate(looks):
            for word in each.inside:
                self._inside.setdefault(word, set()).add(number)
        # A word stands for all that begin with it; so the one before another in order is its beginning, if any is.
        self._words: list[str] = []
        self._numbers: list[set[int]] = []
        self._starts: dict[str, set[int]] = {}
        for number, each in enumerate(looks):
            for word in each.needs & each.last:
                if len(word) == BEGINNING - 1:
                    self._starts.setdefault(word, set()).add(number)
        self._exact = {word: found for word, found in by_word.items() if len(word) < BEGINNING}
        for word in sorted(by_word.keys() - self._exact.keys()):
            if self._words and word.startswith(self._words[-1]):
                self._numbers[-1] |= by_word[word]
            else:
                self._words.append(word)
                self._numbers.append(set(by_word[word]))

    def __call__(self, text: str, tail: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of those that are open in a text, and of those that its last `tail` characters may open."""
        lowered = text.lower()
        whole = {each.name for each in self._always if each.whole(text)}
        ends = [0, *(match.end() for match in _CLAUSE.finditer(text)), len(text)]
        for number, words in self._called(lowered).items():
            look = self._looks[number]
            if look.row and len(lowered) == len(text):
                if any(look.whole(text[ends[at] : ends[at + 1]]) for at in _clauses(lowered, words, ends)):
                    whole.add(look.name)
            elif look.whole(text):
                whole.add(look.name)
        end = text[-tail:]
        clause = text[max(ends[-2], len(text) - tail) :]
        low = clause.lower()
        open_ends = [
            each.name
            for each in self._looks
            if (each.name in whole and each.ends(end))
            or (any(word in low for word in each.begins) and each.ends(clause))
            or (each.loose and each.ends(end[-each.loose :]))
        ]
        return tuple([each.name for each in self._looks if each.name in whole]), tuple(open_ends)

    def _called(self, lowered: str) -> dict[int, list[str]]:
        """The looks of which a word stands in a text, with these words."""
        words = set(_LETTERS.findall(lowered))
        if not lowered.isascii():
            words.update(_FOREIGN.findall(lowered))
        called: dict[int, list[str]] = {}
        for word in words:
            numbers: Collection[int] = ()
            if len(word) < BEGINNING:
                numbers = self._exact.get(word, ())
            else:
                for number in self._starts.get(word[: BEGINNING - 1], ()):
                    called.setdefault(number, []).append(word)
                at = bisect_right(self._words, word) - 1
                if at >= 0 and word.startswith(self._words[at]):
                    numbers = self._numbers[at]
            for number in numbers:
                called.setdefault(number, []).append(word)
        for word, found in self._inside.items():
            if word in lowered:
                for number in found:
                    called.setdefault(number, []).append(word)
        return called


def _clauses(lowered: str, words: Iterable[str], ends: Sequence[int]) -> set[int]:
    """The numbers of the clauses in which one of the words stands."""
    found = set()
    for word in words:
        at = lowered.find(word)
        while at >= 0:
            clause = min(bisect_right(ends, at) - 1, len(ends) - 2)
            found.add(clause)
            at = lowered.find(word, max(at + 1, ends[clause + 1]))
    return found
