"""Sums up log lines that clients can cause at will: the first at once, then one a minute with the number of the others.

Otherwise one client refused six thousand times a minute would write gigabytes a day. Lines are grouped by event and
peer, code or place. A line that stands for others has their number as `summed_up`. It is written when the minute is
over and the next line of any kind comes, or when logging ends: there is no timer.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, frozen

EVERY_S: Final = 60.0
MAX_GROUPS: Final = 4_096
"""Groups at once; beyond, the oldest is summed up early."""


@frozen
class Grouping:
    """The fields by which an event's lines are grouped, and the lines a minute written before the rest is summed up."""

    fields: tuple[str, ...]
    first: int = 1


SUMMED: Final[Mapping[str, Grouping]] = {
    "request.refused": Grouping(("code", "peer")),
    "handshake.refused": Grouping(("code", "peer")),
    "command.refused": Grouping(("code",)),
    "endpoint.deprecated": Grouping(("endpoint", "peer")),
    # Of clients that behave, each line is worth something.
    "connection.opened": Grouping(("peer",), first=60),
    "connection.closed": Grouping(("peer",), first=60),
    "inbox.not_authentic": Grouping(("place",)),
    "inbox.replayed": Grouping(("place",)),
    "inbox.unreadable": Grouping(("place",)),
    "cache.not_authentic": Grouping(()),
    "alert.declined": Grouping(()),
}
"""Events that clients can cause at will. Events of the server itself and errors are not among them: each of their lines
is written."""


@define
class _Group:
    """One group of lines: the number written since `began`, and the last of those left out."""

    began: float
    written: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


class SummaryFilter(logging.Filter):
    """A filter for a handler. `write` writes a sum, bypassing filters. Thread-safe."""

    def __init__(self, write: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self._write = write
        self._minutes: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a line now. Sums that are due are written first."""
        event = record.msg if isinstance(record.msg, str) else ""
        kind = SUMMED.get(event) if record.levelno < logging.ERROR else None
        with self._lock:
            due = self._due(record.created)
            now = kind is None or self._count(event, kind, record)
        for each in due:
            self._write(each)
        return now

    def flush(self) -> None:
        """Write all pending sums."""
        with self._lock:
            due = self._due(float("inf"))
        for each in due:
            self._write(each)

    def _count(self, event: str, kind: Grouping, record: logging.LogRecord) -> bool:
        key = (event, *(getattr(record, name, None) for name in kind.fields))
        minute = self._minutes.setdefault(key, _Group(record.created))
        if minute.written < kind.first:
            minute.written += 1
            return True
        minute.left_out, minute.last = minute.left_out + 1, record
        return False

    def _due(self, now: float) -> list[logging.LogRecord]:
        """Remove the groups whose minute is over, and return their sums. A group with a sum begins another minute."""
        due = []
        while self._minutes:
            key, minute = next(iter(self._minutes.items()))
            if minute.began + EVERY_S > now and len(self._minutes) <= MAX_GROUPS:
                break
            del self._minutes[key]
            if minute.last is not None:
                due.append(logging.makeLogRecord({**vars(minute.last), "summed_up": minute.left_out}))
                if minute.began + EVERY_S <= now < float("inf"):
                    self._minutes[key] = _Group(now, written=SUMMED[str(key[0])].first)
        return due
