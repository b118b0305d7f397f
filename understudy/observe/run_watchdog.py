"""A watchdog that tracks every accepted run until its terminal event.

Pure: `now` is an argument, in seconds of any one clock. It detects runs that never end, and ends none.
"""

from collections import OrderedDict
from typing import Final

from attrs import define, frozen

from transport.wire.events import TERMINAL, MessageAccepted

OPEN_MAX: Final = 10_000  # ten times the runs a server starts at once by default
ENDED_MAX: Final = 10_000  # how many ended runs are remembered, to tell a second end from an unknown run

_OPENING: Final = MessageAccepted.type
_ENDING: Final = frozenset(event.type for event in TERMINAL)


@define
class _OpenRun:
    arrived: float
    since: float
    last: float
    first: float | None = None


@frozen
class Overdue:
    """A run without a terminal event: `open_s` seconds since its acceptance, `silent_s` since its last event."""

    run_id: str
    open_s: float
    silent_s: float


@frozen
class RunTimes:
    """Durations that an event of a run completes, in seconds; None if it completes none.

    `first_s`: from the message's arrival to the run's first event. `ended_s`: from acceptance to the terminal event.
    """

    first_s: float | None = None
    ended_s: float | None = None


class RunWatchdog:
    """Tracks runs from `message_accepted` to their terminal event.

    Bounded: beyond `open_max` the oldest open run is dropped and counted in `forgotten`; of ended runs only the last
    `ended_max` ids are kept. `double_ends` counts terminal events of ended runs, `strays` events of runs whose start
    was not seen, for example before a restart of the process.
    """

    def __init__(self, *, open_max: int = OPEN_MAX, ended_max: int = ENDED_MAX) -> None:
        self.double_ends = 0
        self.strays = 0
        self.forgotten = 0
        self._open: OrderedDict[str, _OpenRun] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._open_max = open_max
        self._ended_max = ended_max

    def __len__(self) -> int:
        """Return the number of open runs."""
        return len(self._open)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._open

    def record_event(self, run_id: str, event_type: str, now: float, arrived_at: float | None = None) -> RunTimes:
        """Record an event of a run. A repeated `message_accepted` is ignored; the order of other events is not checked.

        `arrived_at`: when the accepted message arrived; None: at its acceptance.
        """
        if event_type == _OPENING:
            self._begin(run_id, now, now if arrived_at is None else arrived_at)
            return RunTimes()
        arc = self._open.get(run_id)
        if arc is None:
            self._count_unexpected(run_id, event_type)
            return RunTimes()
        arc.last = now
        first_s = None
        if arc.first is None:
            arc.first, first_s = now, now - arc.arrived
        if event_type not in _ENDING:
            return RunTimes(first_s)
        self._end(run_id)
        return RunTimes(first_s, now - arc.since)

    def overdue(self, now: float, limit_s: float) -> list[Overdue]:
        """Return the runs accepted more than `limit_s` seconds ago without a terminal event, the oldest first."""
        found = []
        for run_id, arc in self._open.items():
            if now - arc.since > limit_s:
                found.append(Overdue(run_id, now - arc.since, now - arc.last))
        return found

    def _begin(self, run_id: str, now: float, arrived: float) -> None:
        if run_id in self._open or run_id in self._ended:
            return
        self._open[run_id] = _OpenRun(arrived, now, now)
        if len(self._open) > self._open_max:
            self._open.popitem(last=False)
            self.forgotten += 1

    def _end(self, run_id: str) -> None:
        del self._open[run_id]
        self._ended[run_id] = None
        if len(self._ended) > self._ended_max:
            self._ended.popitem(last=False)

    def _count_unexpected(self, run_id: str, event_type: str) -> None:
        if run_id not in self._ended:
            self.strays += 1
        elif event_type in _ENDING:
            self.double_ends += 1
