"""Prefilters: cheap conditions, searched in one pass by RE2, that decide which detectors read a text.

RE2's time hardly depends on the number of prefilters.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from time import perf_counter_ns, thread_time_ns
from types import MappingProxyType
from typing import Any, Final

import re2  # type: ignore[import-untyped]
from attrs import evolve, frozen

from .at_exit import awaited_at_exit

ActiveDetectors = Mapping[int, Sequence[str]]
"""The detectors that may find something, by number, with the names of the prefilters that match."""

Ranges = tuple[tuple[int, int], ...]
"""First and last code point of each range, both inclusive."""

_LONGEST: Final = (0x7F, 0x7FF, 0xFFFF)  # the last code points written in one, two and three bytes

MEMORY: Final = 64 << 20  # bytes for RE2's cached states; beyond, it drops them and starts over

SLOW_NS: Final = 100
"""CPU nanoseconds per byte above which a piece counts as slow: RE2 meets too many new states. Ordinary text takes five.
"""
SHORT: Final = 5_000
"""Bytes added to the length of a text, for the cost of the call: beside a thread that computes, waiting for the
interpreter after it takes more of the processor than the search of a short text."""
SLOW_MAX: Final = 20
"""Slowness, in multiples of `SLOW_NS`, at which the prefilters are split; each quick piece takes one off."""
BRIEF: Final = 100
"""Bytes below which a text cannot take long, so that no clock is read."""
DETOUR: Final = 100
"""Pieces searched in smaller sets before the one automaton is tried again: one slow piece in a hundred costs little."""


@frozen
class Prefilter:
    """A necessary condition for a rule to match: cheap to test, true for every text the rule matches, rarely otherwise.

    One of the `literals` must occur; if there is a `pattern`, it must match too (RE2 then searches for the pattern
    alone). RE2 reads a pattern over bytes and `Pattern` reads it over text: spell out ASCII classes, use no lookaround,
    no back-references, and repeats of at most 64. `ignore_case` applies to ASCII letters; literals are then given in
    lower case. `characters` stand alone: one of them must occur. So do `ranges` of code points (first and last), which
    RE2 reads as bytes of UTF-8: `run` of them must stand in a row, or fewer at the end of the text.

    If a find contains blanks, the prefilter must match the part before the first blank. This lets a stream pass on
    everything but its last word while no prefilter matches. (Of a word that is not ASCII, 32 characters are held.)

    With `tail`, only the last so many characters of a text are searched, for what more text could make a find. Patterns
    without literals are searched by detector and `batch` when all prefilters together are slow.
    """

    literals: tuple[str, ...] = ()
    pattern: str = ""
    ignore_case: bool = False
    characters: str = ""
    ranges: Ranges = ()
    run: int = 1
    tail: int = 0
    batch: int = 0

    @property
    def expression(self) -> str:
        """The prefilter as one expression for RE2, over bytes of UTF-8."""
        if self.ranges:
            return self._in_a_row(f"(?:{utf8_expression(self.ranges)})")
        body = self.pattern or "|".join(re.escape(literal) for literal in (*self.literals, *self.characters))
        return f"(?i:{body})" if self.ignore_case else f"(?:{body})"

    @property
    def text_pattern(self) -> re.Pattern[str]:
        """The prefilter as a pattern of `re`, over text."""
        if self.ranges:
            character = "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in self.ranges) + "]"
            return re.compile(self._in_a_row(character))
        return re.compile(self.expression, re.ASCII)

    def _in_a_row(self, character: str) -> str:
        return character if self.run == 1 else f"(?:{character}{{{self.run}}}|{character}$)"


NamedPrefilter = tuple[str, Prefilter]


@lru_cache(maxsize=64)
def build_prefilter(
    prefilters: tuple[tuple[NamedPrefilter, ...], ...],
    numbers: frozenset[int] | None = None,
    deciding: tuple[tuple[int, Callable[[str], bool]], ...] = (),
) -> Callable[[str], ActiveDetectors]:
    """Return the function that lists the detectors that are active for a text.

    `prefilters` has those of each detector, by its number; `numbers` are the detectors that are used, by default all.
    `deciding` are the numbers and the `concerns` functions of detectors without prefilters that decide by themselves.
    Any other detector without prefilters is always active.
    """
    used = frozenset(range(len(prefilters))) if numbers is None else numbers
    unfiltered = [number for number, named in enumerate(prefilters) if not named and number in used]
    always: ActiveDetectors = MappingProxyType(
        dict.fromkeys(sorted({*unfiltered} - {number for number, _ in deciding}), ())
    )
    search = _search(prefilters)

    def find_active(text: str) -> ActiveDetectors:
        hits = search(text)
        concerned = [number for number, concerns in deciding if concerns(text)] if deciding else ()
        if not hits and not concerned:
            return always
        active: dict[int, list[str]] = {number: [] for number in (*always, *concerned)}
        for number, name in hits:
            if number in used:
                active.setdefault(number, []).append(name)
        return active

    return find_active


@lru_cache(maxsize=64)
def _search(prefilters: tuple[tuple[NamedPrefilter, ...], ...]) -> Callable[[str], Sequence[tuple[int, str]]]:
    """Return the function that lists the matching prefilters of a text, by number of the detector and name.

    One automaton searches all of them. If a prefilter with a `tail` matches a longer text, it searches the end again:
    most of them match at the end only, or nowhere.
    """
    rows = [(number, name, prefilter) for number, named in enumerate(prefilters) for name, prefilter in named]
    names = [(number, name) for number, name, _ in rows]
    at_end = frozenset([index for index, (_, _, prefilter) in enumerate(rows) if prefilter.tail])
    tail = max((prefilter.tail for _, _, prefilter in rows), default=0)
    match = build_matcher([((number, prefilter.batch, prefilter.tail), prefilter) for number, _, prefilter in rows])

    def search(text: str) -> Sequence[tuple[int, str]]:
        indexes = match(text.encode("utf-8", "surrogatepass"))
        if not indexes:
            return ()
        if len(text) > tail and not at_end.isdisjoint(indexes):
            end = match(text[-tail:].encode("utf-8", "surrogatepass")) or ()
            indexes = [*[index for index in indexes if index not in at_end], *at_end.intersection(end)]
        return [names[index] for index in indexes]

    return search


def check_prefilters(prefilters: Iterable[NamedPrefilter]) -> None:
    """Raise RE2's error if it cannot read one of these prefilters: searching them builds them too late for that."""
    _set([prefilter.expression for _, prefilter in prefilters])


def build_matcher(rows: Sequence[tuple[object, Prefilter]]) -> Callable[[bytes], Iterable[int] | None]:
    """Return the function that lists the matching prefilters (by index in `rows`) of a text in UTF-8.

    `rows` has each prefilter with its group. All prefilters are one automaton. If a text keeps many bounded repeats
    going at once (random letters), that automaton meets a new state with every byte, and is two hundred times slower
    than on ordinary text; then the prefilters are searched in smaller sets for a while, those without literals by
    group. Both ways match the same prefilters that rules need.
    """
    whole: Callable[[bytes], Any] | None = None  # built on first use, too: it takes as long as ten thousand searches
    apart: Callable[[bytes], Iterable[int]] | None = None  # built on first use: most processes never need it
    left = 0  # pieces to search in smaller sets before the one automaton is tried again
    slow = 0  # recent slow pieces: a new automaton has all its states yet to meet
    timed = False  # whether the next piece's CPU time is measured: a system call, as long as the search of a word

    def matches(data: bytes) -> Iterable[int] | None:
        nonlocal whole, apart, left, slow, timed
        if whole is None:
            whole = _set([prefilter.expression for _, prefilter in rows])
        if len(data) < BRIEF:
            return whole(data)  # type: ignore[no-any-return]
        if left > 0:
            left -= 1
            if apart is None:
                apart = _apart(rows)
            return apart(data)
        limit = SLOW_NS * (len(data) + SHORT)
        used = thread_time_ns() if timed else 0
        began = perf_counter_ns()
        indexes: Iterable[int] | None = whole(data)
        if perf_counter_ns() - began < limit:
            timed = False
            slow = max(0, slow - 1)
        elif not timed:
            # Slow, or this thread had to wait: the next piece tells.
            timed = True
        elif (times := (thread_time_ns() - used) // limit) > 0:  # CPU time of this thread only
            slow += times
            if slow > SLOW_MAX:
                left, slow = DETOUR, SLOW_MAX // 2
        else:
            slow = max(0, slow - 1)
        return indexes

    return matches


def _apart(rows: Sequence[tuple[object, Prefilter]]) -> Callable[[bytes], Iterable[int]]:
    """Search all literals in one pass, then the patterns of those that occur; patterns without literals by group."""
    first = [index for index, (_, prefilter) in enumerate(rows) if prefilter.literals or not prefilter.pattern]
    others: dict[object, list[int]] = {}
    for index, (group, prefilter) in enumerate(rows):
        if prefilter.pattern and not prefilter.literals:
            others.setdefault(group, []).append(index)
    opened = _set([evolve(rows[index][1], pattern="").expression for index in first])
    further = {at: _set([rows[index][1].expression]) for at, index in enumerate(first) if rows[index][1].pattern}
    groups = [(indexes, _set([rows[index][1].expression for index in indexes])) for indexes in others.values()]

    def matches(data: bytes) -> list[int]:
        hits = []
        for at in opened(data) or ():
            pattern = further.get(at)
            if pattern is None or pattern(data):
                hits.append(first[at])
        for indexes, of_patterns in groups:
            hits += [indexes[at] for at in of_patterns(data) or ()]
        return hits

    return matches


def _set(expressions: Sequence[str]) -> Callable[[bytes], Any]:
    """Return the function that lists the expressions a text matches, by index; None for none."""
    if not expressions:
        return lambda _data: None
    options = re2.Options()
    # Bytes: any text can be encoded, and the automaton steps by bytes instead of code points.
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MEMORY
    chosen = re2.Set.SearchSet(options)
    for expression in expressions:
        chosen.Add(expression)
    chosen.Compile()
    return awaited_at_exit(chosen.Match)


def utf8_expression(ranges: Iterable[tuple[int, int]]) -> str:
    """Return an ASCII expression that matches exactly the code points of these ranges, encoded in UTF-8.

    Surrogates are encoded like other code points (`surrogatepass`).
    """
    return "|".join(part for low, high in ranges for part in _parts(low, high))


def _parts(low: int, high: int) -> Iterator[str]:
    """Yield the range in parts in which each byte runs through a range of its own."""
    for longest in _LONGEST:
        if low <= longest < high:
            yield from _parts(low, longest)
            yield from _parts(longest + 1, high)
            return
    if high > _LONGEST[0]:
        for tail in (0x3F, 0xFFF, 0x3FFFF):  # the bits of one, two and three trailing bytes
            if low | tail == high | tail:
                break
            if low & tail:
                yield from _parts(low, low | tail)
                yield from _parts((low | tail) + 1, high)
                return
            if high & tail != tail:
                yield from _parts(low, (high & ~tail) - 1)
                yield from _parts(high & ~tail, high)
                return
    pairs = zip(_encoded(low), _encoded(high), strict=True)
    yield "".join(f"\\x{first:02x}" if first == last else f"[\\x{first:02x}-\\x{last:02x}]" for first, last in pairs)


def _encoded(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")
