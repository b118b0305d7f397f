"""Log lines that a client can cause at will, summed up: the first at once, then one a minute that says how many more.

Without it one client that is refused six thousand times a minute writes gigabytes a day. Lines of one event and one
peer, code or place are taken together. A line that stands for others has their number as `summed_up`. It is written
when the minute is over and the next line of any kind comes, or when logging ends: there is no timer of its own.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, frozen

EVERY_S: Final = 60.0
MAX_GROUPS: Final = 4_096
"""Kinds of lines that are kept apart; beyond, the oldest is summed up early."""


@frozen
class Grouping:
    """Which fields of an event tell its lines apart, and how many a minute are written before the rest is summed up."""

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
"""Events that somebody outside can cause as often as they like. What the server does by itself is not among them, nor
are errors: each of those is worth its line."""


@define
class _Group:
    """One kind of line: how many were written since `began`, and the last of those that were not."""

    began: float
    written: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


class SummaryFilter(logging.Filter):
    """A filter for a handler; `write` writes a line that stands for others, and has it pass no filter. Thread-safe."""

    def __init__(self, write: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self._write = write
        self._minutes: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to write a line now. What has become due before it is written first."""
        event = record.msg if isinstance(record.msg, str) else ""
        kind = SUMMED.get(event) if record.levelno < logging.ERROR else None
        with self._lock:
            due = self._due(record.created)
            now = kind is None or self._count(event, kind, record)
        for each in due:
            self._write(each)
        return now

    def flush(self) -> None:
        """Write what was left out so far."""
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
        """Take out the kinds whose minute is over; those of which lines were left out begin another one."""
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
