"""Performance measures of the last hour in memory, minute by minute, for the server's own tools and pages.

1. A minute stores a distribution instead of single durations, so its size does not grow with the load: at most
   `NAMES_MAX` names for each kind, and the `SLOWEST` single operations.
2. All methods must be called on the event loop.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heappush, heappushpop, nlargest
from typing import Any, Final, NamedTuple

import msgspec
from attrs import define, field, frozen

MINUTES: Final = 60
NAMES_MAX: Final = 30
"""Names (tools, queries, paths) of one kind; further ones are counted as `other`."""
SLOWEST: Final = 20
"""Slowest single operations that a minute stores."""
RUNS: Final = 2_000
"""Ended runs that are remembered; beyond that the oldest are dropped."""
PACKED: Final = 50
"""Ended runs that are encoded in one block: small objects that outlive their run would fragment the memory that the run
has freed, so that it could not be returned to the system."""
OTHER: Final = "other"

# Durations are counted in steps of an eighth of an octave, so a percentile is at most 9 % above the true value. The
# first step ends at 10 µs, because everything measured here takes longer; the last one at three days.
_PER_OCTAVE: Final = 8
_FIRST_S: Final = 1e-5
_BOUNDS_S: Final[list[float]] = [_FIRST_S * 2.0 ** (step / _PER_OCTAVE) for step in range(35 * _PER_OCTAVE)]

QUANTILES: Final = (0.5, 0.95, 0.99)


class Operation(NamedTuple):
    """One operation: its duration in seconds, its end (Unix seconds), its kind, such as ``commit``, and its name.

    A tuple, because heaps compare operations often.
    """

    seconds: float
    at: float
    kind: str
    name: str = ""


@frozen
class EndedRun:
    """A run that ended at `at` (Unix seconds): `first_s` is the time to its first event, `seconds` that to its end
    (both None if it was accepted on another node, or before a restart); `outcome` is ``success``, ``cancelled`` or the
    code of its error."""

    at: float
    owner: str
    run_id: str
    first_s: float | None
    seconds: float | None
    outcome: str


@define
class EndedRuns:
    """The latest `RUNS` ended runs, or up to `PACKED` fewer, in the order of their ends."""

    _latest: list[EndedRun] = field(factory=list, init=False, repr=False)
    _packed: deque[bytes] = field(factory=lambda: deque(maxlen=RUNS // PACKED - 1), init=False, repr=False)

    def append(self, run: EndedRun) -> None:
        """Add a run that ended now."""
        if len(self._latest) == PACKED:
            self._packed.append(msgspec.msgpack.encode(self._latest))
            self._latest.clear()
        self._latest.append(run)

    def __iter__(self) -> Iterator[EndedRun]:
        for block in self._packed:
            yield from _UNPACK(block)
        yield from self._latest

    def __reversed__(self) -> Iterator[EndedRun]:
        yield from reversed(self._latest)
        for block in reversed(self._packed):
            yield from reversed(_UNPACK(block))


_UNPACK: Final = msgspec.msgpack.Decoder(list[EndedRun]).decode


@define
class Durations:
    """A distribution of durations, with their number, sum and maximum in seconds. `steps` counts by `_BOUNDS_S`."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    steps: dict[int, int] = field(factory=dict, repr=False)

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.count += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        step = bisect_left(_BOUNDS_S, seconds)
        self.steps[step] = self.steps.get(step, 0) + 1

    def merge(self, other: "Durations") -> None:
        """Add the durations of another distribution."""
        self.count += other.count
        self.total_s += other.total_s
        self.longest_s = max(self.longest_s, other.longest_s)
        for step, count in other.steps.items():
            self.steps[step] = self.steps.get(step, 0) + count

    def quantile(self, share: float) -> float:
        """Return the duration in seconds that `share` of all durations do not exceed; 0 without durations."""
        remaining = math.ceil(share * self.count)
        for step in sorted(self.steps):
            remaining -= self.steps[step]
            if remaining <= 0:
                return min(self.longest_s, *_BOUNDS_S[step : step + 1])
        return self.longest_s

    def as_json(self) -> dict[str, float]:
        """Return count, mean, percentiles and maximum in milliseconds."""
        mean = self.total_s / self.count if self.count else 0.0
        shown = {"count": self.count, "mean_ms": _ms(mean)}
        shown |= {f"p{share * 100:.0f}_ms": _ms(self.quantile(share)) for share in QUANTILES}
        return shown | {"max_ms": _ms(self.longest_s)}


def durations(values: Iterable[float | None]) -> Durations:
    """Return the distribution of these seconds, ignoring None."""
    total = Durations()
    for value in values:
        if value is not None:
            total.add(value)
    return total


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3 if seconds < 0.01 else 1)


@define
class _Minute:
    begins: float
    timed: dict[tuple[str, str], Durations] = field(factory=lambda: defaultdict(Durations))
    counted: Counter[tuple[str, str]] = field(factory=Counter)
    slowest: list[Operation] = field(factory=list)


@define
class Recent:
    """Durations and counts of the last `MINUTES` minutes, by kind and name. `clock` returns Unix seconds."""

    clock: Callable[[], float]
    runs: EndedRuns = field(factory=EndedRuns, init=False, repr=False)
    _minutes: deque[_Minute] = field(factory=lambda: deque(maxlen=MINUTES + 1), init=False, repr=False)
    _minute_ends: float = field(default=-math.inf, init=False, repr=False)
    _names: dict[str, set[str]] = field(factory=lambda: defaultdict(set), init=False, repr=False)

    def observe(self, kind: str, seconds: float, name: str = "") -> None:
        """Record an operation that ended now."""
        now, key, seconds = self.clock(), (kind, name), max(0.0, seconds)
        minute = self._minutes[-1] if now < self._minute_ends else self._minute(now)
        if key not in minute.timed:
            key = kind, self._label(kind, name)
        minute.timed[key].add(seconds)
        if len(minute.slowest) < SLOWEST:
            heappush(minute.slowest, Operation(seconds, now, *key))
        elif seconds > minute.slowest[0].seconds:
            heappushpop(minute.slowest, Operation(seconds, now, *key))

    def count(self, kind: str, name: str) -> None:
        """Count an occurrence now, such as an error by its code."""
        self._minute(self.clock()).counted[kind, self._label(kind, name)] += 1

    def timed(self, minutes: int) -> Mapping[tuple[str, str], Durations]:
        """Return the durations of the last minutes by kind and name."""
        timings: dict[tuple[str, str], Durations] = defaultdict(Durations)
        for minute in self._last(minutes):
            for key, timing in minute.timed.items():
                timings[key].merge(timing)
        return timings

    def counted(self, kind: str, minutes: int) -> Counter[str]:
        """Return the counts of a kind in the last minutes by name."""
        counts: Counter[str] = Counter()
        for minute in self._last(minutes):
            counts.update({name: count for (other, name), count in minute.counted.items() if other == kind})
        return counts

    def slowest(self, minutes: int, limit: int = SLOWEST) -> Sequence[Operation]:
        """Return the slowest operations of the last minutes, the slowest first."""
        return nlargest(limit, (operation for minute in self._last(minutes) for operation in minute.slowest))

    def ended(self, whose: Callable[[str], bool], minutes: int) -> list[EndedRun]:
        """Return the runs of the owners that `whose` selects that ended in the last minutes, the latest last."""
        since = self.clock() - 60 * minutes
        return [run for run in self.runs if run.at >= since and whose(run.owner)]

    def _minute(self, now: float) -> _Minute:
        """Return the current minute. If the clock was set back, the latest minute is continued."""
        if now >= self._minute_ends:
            self._minute_ends = now // 60 * 60 + 60
            self._minutes.append(_Minute(self._minute_ends - 60))
        return self._minutes[-1]

    def _last(self, minutes: int) -> Iterator[_Minute]:
        since = self.clock() - 60 * minutes - 60  # the minute in which the period begins is included whole
        return (minute for minute in self._minutes if minute.begins > since)

    def _label(self, kind: str, name: str) -> str:
        names = self._names[kind]
        if name not in names:
            if len(names) >= NAMES_MAX:
                return OTHER
            names.add(name)
        return name


def rows(timed: Mapping[tuple[str, str], Durations]) -> list[dict[str, Any]]:
    """Return durations as rows of JSON values, those with the largest sum first."""
    ordered = sorted(timed.items(), key=lambda row: -row[1].total_s)
    return [{"operation": kind, "name": name, **timing.as_json()} for (kind, name), timing in ordered]
