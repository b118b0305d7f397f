"""A quick look at a text before any detector reads it: which of their rules could find anything here at all?

All prefilters are searched in one pass by RE2, whose time hardly depends on how many there are. Where its wheel
(`google-re2`) is not installed, the standard library looks for the prefilters' literals one by one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from time import thread_time_ns
from types import MappingProxyType
from typing import Any, Final, Protocol

from attrs import evolve, frozen

from . import utf8
from .literals import ORDINARY, Literals, unusual, words_of

try:
    import re2  # type: ignore[import-untyped]
except ImportError:
    re2 = None

ActiveDetectors = Mapping[int, Sequence[str]]
"""The detectors that may find something, by their number, with the names of the prefilters that are open."""

NOTHING: Final[ActiveDetectors] = MappingProxyType({})
MEMORY: Final = 64 << 20  # bytes RE2 may use for the states it meets; beyond, it forgets them and begins anew

SLOW_NS: Final = 100
"""Nanoseconds a byte beyond which RE2 meets too many new states: it reads ordinary text in five."""
SHORT: Final = 500  # bytes added to the length of a text, for the costs of the call
SLOW_MAX: Final = 20
"""How many times as long as that may be taken together, less one for each piece that is quick."""
BRIEF: Final = 100
"""Bytes of a text that cannot take long: no clock is asked."""
DETOUR: Final = 100
"""Pieces that are read the other way then: a slow one among so many costs little."""

ASCII_CONTROLS: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
NOT_ASCII: Final = r"[^\x00-\x7f]"


class Searched(Protocol):
    """What is looked for by the standard library: an expression, or more than one."""

    def search(self, text: str, /) -> object:
        """Something true, if it is in the text."""


@frozen
class Prefilter:
    """What is to be seen in every text in which a rule finds something, and in few others.

    One of the `literals` must occur; where there is a `pattern`, it must match too (and then RE2 looks for it alone).
    A pattern is read by RE2 over bytes and by `re` over text: ASCII classes spelled out, no lookaround, no
    back-references, repeats of at most 64. `ignore_case` holds for ASCII letters; literals are then given in lower
    case. `characters` stand alone: one of them must occur; so do `ranges` of code points (first and last), which RE2
    reads as the bytes of UTF-8.

    Where a pattern matches, `run` says, there are so many characters in a row of some ASCII letters (written as in a
    class: `0-9a-f`). That is quick to see, and spares the standard library many searches.

    What matches the pattern has one of the literals in it and is at most `near` characters long, if that is told: then
    the standard library looks around the literals only.

    Of a find that has blanks in it the prefilter must match what stands before the first one. That is what lets a
    stream pass on everything but its last word while no prefilter is open. (Of a word that is not ASCII, 32 characters
    are held.)
    """

    literals: tuple[str, ...] = ()
    pattern: str = ""
    ignore_case: bool = False
    characters: str = ""
    ranges: utf8.Ranges = ()
    run: tuple[str, int] | None = None
    near: int = 0

    @property
    def expression(self) -> str:
        """The prefilter as one regular expression."""
        if self.ranges:
            return f"(?:{utf8.expression(self.ranges)})"
        body = self.pattern or "|".join(re.escape(each) for each in (*self.literals, *self.characters))
        return f"(?i:{body})" if self.ignore_case else f"(?:{body})"

    @property
    def plain(self) -> "Searched | None":
        """What `re` looks for besides the literals, if anything."""
        if self.ranges:
            return re.compile("[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in self.ranges) + "]")
        if self.characters:
            return re.compile(f"[{re.escape(self.characters)}]")
        return re.compile(_RUN.sub(_unrolled, self.expression), re.ASCII) if self.pattern else None

    @property
    def folded(self) -> re.Pattern[str] | None:
        """The same, for a text whose ASCII is in lower case: `re` is much quicker where it need not mind the case.

        None where that is not to be had: no pattern, or one in which case matters, or that has no simple lower case.
        """
        if not self.ignore_case or not self.pattern or self.ranges or self.characters or _CASED.search(self.pattern):
            return None
        return re.compile(_ascii_lower(self.expression.replace("(?i:", "(?:", 1)), re.ASCII)

    @property
    def is_unusual(self) -> bool:
        """Whether it is about single characters none of which is ordinary."""
        ranges = (*self.ranges, *((ord(each), ord(each)) for each in self.characters))
        return bool(ranges) and not any(low <= code <= high for low, high in ranges for code in ORDINARY)


# A class of characters that is repeated at the beginning: `re` goes quickly to the next of them only if it is not.
_RUN: Final = re.compile(r"\A(\(\?i?:)(\[[^\]\\][^\]\\]*\])\{([0-9]++)(,?)([0-9]*+)\}")


_CASED: Final = re.compile(r"\(\?-i|\\[A-Z]|\\x[456]|[^A]-Z|A-[^Z]")


def _ascii_lower(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _unrolled(run: re.Match[str]) -> str:
    opening, letters, least, comma, most = run.groups()
    if int(least) < 1:
        return run[0]
    return f"{opening}{letters}{letters}{{{int(least) - 1}{comma}{int(most) - 1 if most else ''}}}"


NamedPrefilter = tuple[str, Prefilter]
Row = tuple[int, str, Prefilter]


@lru_cache(maxsize=64)
def build_prefilter(
    prefilters: tuple[tuple[NamedPrefilter, ...], ...], *, plain: bool = False
) -> Callable[[str], ActiveDetectors]:
    """The function that says which prefilters a text opens. `prefilters` are those of each detector, by its number.

    A detector without prefilters is always live. `plain` asks for the standard library even where RE2 is installed.
    """
    rows = [(number, name, prefilter) for number, named in enumerate(prefilters) for name, prefilter in named]
    always = {number: () for number, named in enumerate(prefilters) if not named}
    if plain or re2 is None:
        return _Opener(rows, always, _plain(rows))
    matches = _by_re2([(number, prefilter) for number, _, prefilter in rows])
    return _Opener(rows, always, lambda text: matches(text.encode("utf-8", "surrogatepass")))


def build_matcher(prefilters: Sequence[Prefilter]) -> Callable[[bytes], Iterable[int] | None]:
    """The function that says which prefilters a text in UTF-8 opens, by their places in the row; only where RE2 is."""
    return _by_re2([(0, prefilter) for prefilter in prefilters])


class _Opener:
    def __init__(
        self, rows: Sequence[Row], always: Mapping[int, tuple[str, ...]], matches: Callable[[str], Iterable[int] | None]
    ) -> None:
        self._rows = [(number, name) for number, name, _ in rows]
        self._always = always
        self._idle: ActiveDetectors = MappingProxyType(dict(always)) if always else NOTHING
        self._matches = matches

    def __call__(self, text: str) -> ActiveDetectors:
        found = self._matches(text)
        if not found:
            return self._idle
        active: dict[int, list[str]] = {number: [] for number in self._always}
        for index in found:
            number, name = self._rows[index]
            active.setdefault(number, []).append(name)
        return active


def _by_re2(rows: Sequence[tuple[int, Prefilter]]) -> Callable[[bytes], Iterable[int] | None]:
    """One machine for all prefilters, and another way for texts on which it is slow.

    Where a text keeps many bounded repeats going at once (random letters), the one machine would meet a new state with
    every byte, and be two hundred times slower than on ordinary text. Both ways open the prefilters that rules need.
    """
    whole = _set([prefilter.expression for _, prefilter in rows])
    apart: Callable[[bytes], Iterable[int]] | None = None  # made when it is first needed: most texts never do
    left = 0  # pieces to be looked at the other way, before the one machine is tried again
    slow = 0  # slow pieces of late: a machine that is new has all states yet to meet

    def matches(data: bytes) -> Iterable[int] | None:
        nonlocal apart, left, slow
        if len(data) < BRIEF:
            return whole(data)  # type: ignore[no-any-return]
        if left > 0:
            left -= 1
            if apart is None:
                apart = _apart(rows)
            return apart(data)
        began = thread_time_ns()  # what others do on the machine does not count
        found: Iterable[int] | None = whole(data)
        times = (thread_time_ns() - began) // (SLOW_NS * (len(data) + SHORT))
        if times > 0:
            slow += times
            if slow > SLOW_MAX:
                left, slow = DETOUR, SLOW_MAX // 2
        elif slow:
            slow -= 1
        return found

    return matches


def _apart(rows: Sequence[tuple[int, Prefilter]]) -> Callable[[bytes], Iterable[int]]:
    """All literals and characters in one pass, the patterns of each detector in one; others only where a literal is."""
    first = [index for index, (_, prefilter) in enumerate(rows) if prefilter.literals or not prefilter.pattern]
    others: dict[int, list[int]] = {}
    for index, (number, prefilter) in enumerate(rows):
        if prefilter.pattern and not prefilter.literals:
            others.setdefault(number, []).append(index)
    opened = _set([evolve(rows[index][1], pattern="").expression for index in first])
    further = {at: _set([rows[index][1].expression]) for at, index in enumerate(first) if rows[index][1].pattern}
    groups = [(each, _set([rows[index][1].expression for index in each])) for each in others.values()]

    def matches(data: bytes) -> list[int]:
        found = []
        for at in opened(data) or ():
            pattern = further.get(at)
            if pattern is None or pattern(data):
                found.append(first[at])
        for indexes, of_patterns in groups:
            found += [indexes[at] for at in of_patterns(data) or ()]
        return found

    return matches


def _set(expressions: Sequence[str]) -> Callable[[bytes], Any]:
    """Which of these are in a text, by number; None for none."""
    if not expressions:
        return lambda _data: None
    options = re2.Options()
    # Bytes: no text is too broken to be encoded, and a state of the machine is a byte and not a code point.
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY
    chosen = re2.Set.SearchSet(options)
    for each in expressions:
        chosen.Add(each)
    chosen.Compile()
    return chosen.Match  # type: ignore[no-any-return]


def _plain(rows: Sequence[Row]) -> Callable[[str], Iterable[int] | None]:
    """All literals together, then the patterns of those prefilters whose literals were seen, or which have none."""
    by_literal: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    patterns: dict[int, Searched] = {}
    lower: dict[int, re.Pattern[str]] = {}
    near: dict[int, tuple[re.Pattern[str], int]] = {}
    others: dict[tuple[str, int] | None, list[tuple[int, Searched]]] = {}
    strange: list[tuple[int, Searched]] = []  # looked for among the unusual characters alone
    for index, (_, _, prefilter) in enumerate(rows):
        pattern = prefilter.plain
        for literal in prefilter.literals:
            by_literal[prefilter.ignore_case].setdefault(literal, []).append(index)
        if pattern is None:
            continue
        if prefilter.literals:
            folded_pattern = prefilter.folded
            if folded_pattern is not None:
                lower[index] = folded_pattern
            else:
                patterns[index] = pattern
            if prefilter.near and isinstance(pattern, re.Pattern):
                near[index] = (folded_pattern or pattern, prefilter.near)
        elif prefilter.is_unusual:
            strange.append((index, pattern))
        else:
            others.setdefault(prefilter.run, []).append((index, pattern))
    exact, folded = map(Literals, by_literal)
    always = others.pop(None, [])
    runs = [(classed(run[0]), b"1" * run[1], each) for run, each in others.items() if run]

    def matches(text: str) -> Iterable[int] | None:
        data = text.encode("utf-8", "surrogatepass")
        rest, words = unusual(data), words_of(text)
        lowered = data.lower().decode("utf-8", "surrogatepass")  # bytes are put in lower case where they are ASCII
        seen: dict[int, list[str]] = {}
        for cased, literals in enumerate((exact.within(text, rest, words), folded.within(lowered, rest, words))):
            for literal in literals:
                for index in by_literal[cased][literal]:
                    seen.setdefault(index, []).append(literal)
        found = []
        for index in sorted(seen):
            where = lowered if rows[index][2].ignore_case else text
            if index in near:
                opens: object = _near(where, seen[index], *near[index])
            elif index in lower:
                opens = lower[index].search(lowered)
            else:
                opens = index not in patterns or patterns[index].search(text)
            if opens:
                found.append(index)
        found += [index for index, pattern in always if pattern.search(text)]
        for table, run, behind in runs:
            if run in data.translate(table):
                found += [index for index, pattern in behind if pattern.search(text)]
        if rest:
            found += [index for index, pattern in strange if pattern.search(rest)]
        return found

    return matches


NEAR_MAX: Final = 32
"""Literals around which is looked, one by one; where there are more, the whole text is searched."""


def _near(text: str, literals: Sequence[str], pattern: re.Pattern[str], near: int) -> bool:
    """Whether the pattern matches around one of these literals."""
    spans: list[tuple[int, int]] = []
    for literal in literals:
        at = text.find(literal)
        while at >= 0:
            if len(spans) == NEAR_MAX:
                return pattern.search(text) is not None
            spans.append((at - near, at + near))
            at = text.find(literal, at + 1)
    spans.sort()
    low, high = spans[0]
    for first, last in (*spans[1:], (len(text) + near, 0)):
        if first > high:
            if pattern.search(text, max(0, low), high):
                return True
            low = first
        high = last
    return False


def classed(letters: str) -> bytes:
    """A table that turns the bytes of a class of ASCII characters into ones, others into zeros."""
    of_class = re.compile(f"[{letters}]")
    return bytes(ord("1" if of_class.match(chr(code)) else "0") for code in range(256))
