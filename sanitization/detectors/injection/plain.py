"""Which prefilters a text opens, where RE2 is not installed: by its words, before any expression is looked for.

Every way to open a prefilter needs some words: a row of words one of each of its parts, of which one is not in every
text. The words of a text are found once, and looked up among all that are needed; what is left is looked for by the
prefilter's expression, in the clauses that have such a word.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from attrs import frozen

from sanitization.literals import KNOWN_MAX, RUN_LEAST, WORD_MAX, Within, words_of

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
_CLAUSE: Final = re.compile(r"[.!?](?![A-Za-z0-9])")


BEGINNING: Final = 4
"""Words of so many letters also stand for those that begin with them."""


SHORT: Final = 2
"""Letters of the shortest words that others are told to begin with."""


def _keys_of(word: str) -> tuple[str, ...]:
    """What is looked up for a word of a text among what is `Needed`."""
    return (word[:BEGINNING], f"{word[:SHORT]}*", f"{word[: SHORT + 1]}*")


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


Needed = tuple[frozenset[str], ...]
"""For each part of a row of words, the beginnings (of `BEGINNING` letters, or whole words) of which one is needed."""


def needed(parts: Sequence[Sequence[str]]) -> Needed:
    """What a row of words needs; the last of its words may be the beginning of others."""
    told = [[telling(word) for word in part] for part in parts]
    each = [frozenset([word[:BEGINNING] for word in part]) for part in told]
    short = [word for word in told[-1] if word.isascii() and len(word) < BEGINNING]
    each[-1] = each[-1].difference(short).union([f"{word}*" for word in short])
    if any(len(word) < SHORT for word in short):
        del each[-1]
    return tuple([words for words in each if "" not in words])


@frozen
class Look:
    """One prefilter, by its name: the words of which one is needed (none: always looked for), and what is looked for.

    Both functions get a text as it is, and the same with its ASCII letters small.
    """

    name: str
    needs: frozenset[str]
    whole: Callable[[str, str], object]
    ends: Callable[[str, str], object]
    begins: tuple[str, ...] = ()
    """Words a row begins with, whose beginning at the end of a text opens the prefilter."""
    last: frozenset[str] = frozenset()
    """Words that a row ends with: others may begin with them."""
    rows: tuple[Needed, ...] = ()
    """Of each row all that is needed; none where that is not known."""
    row: bool = False
    """Whether what is looked for stands in one clause."""
    loose: int = 0
    """So many characters at the end of a text are looked at in any case."""
    inside: tuple[str, ...] = ()
    """Words of which one is needed, or one of `needs`; these may also stand within others."""


class _Said(NamedTuple):
    """What a word says: the looks that need it, and the keys of what is `Needed`."""

    looks: set[int]
    keys: frozenset[str]


_Numbers = dict[bytes, list[int]]


def _are_here(row: Needed, here: set[str]) -> bool:
    return not any(map(here.isdisjoint, row))


class Plain:
    """The prefilters of some looks."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks
        self._always: list[int] = []
        self._whole: _Numbers = {}  # words that stand for themselves
        self._begun: dict[bytes, list[tuple[bytes, int]]] = {}  # by its beginning, a word that others begin with
        self._short: _Numbers = {}  # short words that others begin with
        self._letters: dict[str, list[int]] = {}  # single letters that are not ASCII
        self._inside: _Numbers = {}
        self._first: _Numbers = {}  # what a row begins with
        self._signs: list[tuple[str, int]] = []  # the same, of more than letters
        self._foreign: list[tuple[str, int]] = []
        for number, each in enumerate(looks):
            short = any(word.isascii() and len(word) < RUN_LEAST for word in each.inside)
            if not each.needs or "" in each.needs or short:
                self._always.append(number)
            else:
                for word in each.needs:
                    self._add(word, number, each.last)
            for word in each.inside:
                if word.isascii():
                    self._inside.setdefault(word.encode(), []).append(number)
            for word in each.begins:
                if each.rows and _LETTERS.fullmatch(word):
                    self._first.setdefault(word.encode(), []).append(number)
                else:
                    (self._signs if word.isascii() else self._foreign).append((word, number))
        self._within = Within(self._inside)
        self._keys = frozenset(key for each in looks for row in each.rows for keys in row for key in keys)
        # What the words that were met say is remembered; most say nothing.
        self._ordinary: set[bytes] = set()
        self._known: dict[bytes, _Said] = {}
        self._loose = [number for number, each in enumerate(looks) if each.loose]

    def _add(self, word: str, number: int, last: frozenset[str]) -> None:
        if not word.isascii():
            self._letters.setdefault(word, []).append(number)
            return
        data = word.encode()
        if len(data) >= BEGINNING:
            self._begun.setdefault(data[:BEGINNING], []).append((data, number))
            return
        self._whole.setdefault(data, []).append(number)
        if len(data) == BEGINNING - 1 and word in last:
            self._short.setdefault(data, []).append(number)

    def __call__(self, text: str, tail: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of those that are open in a text, and of those that its last `tail` characters may open."""
        data = text.encode("utf-8", "surrogatepass").lower()  # bytes are put in lower case where they are ASCII
        lowered = data.decode("utf-8", "surrogatepass")
        words = words_of(text)
        letters = set(lowered.lower()) if len(data) > len(lowered) else set()
        looks = self._looks
        whole = {number for number in self._always if looks[number].whole(text, lowered)}
        called, here = self._called(words, letters)
        clauses = _Clauses(text, lowered)
        for number, found in called.items():
            look = looks[number]
            if look.rows and not any(_are_here(row, here) for row in look.rows):
                continue
            within = clauses.of(found) if look.row else [(text, lowered)]
            if any(look.whole(*part) for part in within):
                whole.add(number)
        return tuple([looks[number].name for number in sorted(whole)]), self._ends(text, lowered, tail, whole)

    def _ends(self, text: str, lowered: str, tail: int, whole: set[int]) -> tuple[str, ...]:
        looks, end, low = self._looks, text[-tail:], lowered[-tail:]
        found = {number for number in whole if looks[number].ends(end, low)}
        for number in self._loose:
            size = looks[number].loose
            if looks[number].ends(end[-size:], low[-size:]):
                found.add(number)
        first = max([match.end() for match in _CLAUSE.finditer(end)], default=0)
        clause, low = end[first:], low[first:]
        words = words_of(clause)
        begun = {number for word in words & self._first.keys() for number in self._first[word]}
        full = clause.lower()
        begun.update([number for word, number in self._signs if word in full])
        if not full.isascii():
            begun.update([number for word, number in self._foreign if word in full])
        found.update(number for number in begun - found if looks[number].ends(clause, low))
        return tuple([looks[number].name for number in sorted(found)])

    def _called(self, words: frozenset[bytes], letters: set[str]) -> tuple[dict[int, list[str]], set[str]]:
        """The looks of which a word stands in a text, with these words; and the keys of all its words."""
        called: dict[int, list[str]] = {}
        here = set(letters)
        for word in words - self._ordinary:
            said = self._known.get(word)
            if said is None:
                said = _Said(self._calls(word), self._keys.intersection(_keys_of(word.decode())))
                if len(self._ordinary) + len(self._known) < KNOWN_MAX and len(word) <= WORD_MAX:
                    if any(said):
                        self._known[word] = said
                    else:
                        self._ordinary.add(word)
            here.update(said.keys)
            for number in said.looks:
                called.setdefault(number, []).append(word.decode())
        for letter in letters & self._letters.keys():
            for number in self._letters[letter]:
                called.setdefault(number, []).append(letter)
        return called, here

    def _calls(self, word: bytes) -> set[int]:
        """The looks that need a word."""
        found = set(self._whole.get(word, ()))
        found.update(number for needs, number in self._begun.get(word[:BEGINNING], ()) if word.startswith(needs))
        if len(word) >= BEGINNING:
            found.update(self._short.get(word[: BEGINNING - 1], ()))
        found.update(number for run in self._within.of(word) for number in self._inside[run])
        return found


SMALL: Final = frozenset("abcdefghijklmnopqrstuvwxyz")


class _Clauses:
    """The clauses of a text, found when they are first asked for."""

    def __init__(self, text: str, lowered: str) -> None:
        self._text, self._lowered, self._full = text, lowered, text.lower()
        self._ends: list[int] = []

    def of(self, words: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Those in which one of the words stands, each as it is and with small letters."""
        ends = self._ends
        if not ends:
            ends += [0, *[match.end() for match in _CLAUSE.finditer(self._text)], len(self._text)]
        for clause in self._numbers(words):
            low, high = ends[clause], ends[clause + 1]
            yield self._text[low:high], self._lowered[low:high]

    def _numbers(self, words: Iterable[str]) -> set[int]:
        ends, found = self._ends, set[int]()
        if len(self._full) != len(self._text):
            return set(range(len(ends) - 1))
        for word in words:
            where = self._lowered if word.isascii() else self._full
            at = where.find(word)
            while at >= 0:
                behind = at + len(word)
                if word.isascii() and (where[at - 1 : at] in SMALL or where[behind : behind + 1] in SMALL):
                    at = where.find(word, behind)  # within another word
                    continue
                clause = min(bisect_right(ends, at) - 1, len(ends) - 2)
                found.add(clause)
                at = where.find(word, max(at + 1, ends[clause + 1]))
        return found
