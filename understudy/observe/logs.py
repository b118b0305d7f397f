"""The log: lines of an event name and key-values, as JSON, or readable on a terminal.

1. Lines of all loggers pass one chain of processors, also those of the standard library's loggers (the actors', the
   transport's, the HTTP server's), whose `extra` become key-values. Redaction comes first.
2. Lines that clients can cause at will are summed up, so clients cannot fill the disk.
"""

import contextlib
import logging
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from attrs import define, frozen

from understudy.observe.hidden import hidden
from understudy.observe.redaction import redact, redact_exception

with hidden("rich"):  # structlog would import its 54 modules for coloured tracebacks, which `_formatter` does not use
    import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

WARNINGS_ONLY: Final = ("alembic", "hypercorn", "sqlalchemy", "websockets", "httpx")
"""Loggers of libraries of which only warnings and errors are logged."""
ERROR_ID_BYTES: Final = 8
"""64 bits: no two errors of a server's lifetime share an id."""
EVERY_S: Final = 60.0
"""Seconds that one sum of lines covers."""
MAX_GROUPS: Final = 4_096
"""Groups at a time; beyond that the oldest is summed up early."""


@frozen
class Grouping:
    """How lines of an event are summed up: grouped by `fields`, after the `first` lines of each minute."""

    fields: tuple[str, ...]
    first: int = 1


SUMMED: Final[Mapping[str, Grouping]] = {
    "request.refused": Grouping(("code", "peer")),
    "handshake.refused": Grouping(("code", "peer")),
    "command.refused": Grouping(("code",)),
    # Every connection of a client that behaves should be in the log.
    "connection.opened": Grouping(("peer",), first=60),
    "connection.closed": Grouping(("peer",), first=60),
    "inbox.dropped": Grouping(("reason", "place")),
    "cache.not_authentic": Grouping(()),
    "alert.declined": Grouping(()),
}
"""Events that clients can cause at will. All lines of other events, and of errors, are written."""


@define
class _Group:
    """One group of lines: the number written since `began`, and the last of those left out."""

    began: float
    written: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None


def new_error_id() -> str:
    """Return a new id by which a user's error is found in the log: 16 hexadecimal digits."""
    return secrets.token_hex(ERROR_ID_BYTES)


def configure_logging(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> logging.Handler:
    """Configure all loggers of the process to write through the chain to `stream` (standard error by default).

    `form` is `json`, `console`, or `auto`: console on a terminal, JSON elsewhere. Replaces any former configuration.
    Raises ValueError for an unknown level or form.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"no log level is called {level!r}")
    if form not in ("auto", "json", "console"):
        raise ValueError(f"no log form is called {form!r}")
    out = stream if stream is not None else sys.stderr
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = SummingHandler(out)
    handler.setFormatter(_formatter(is_readable(form, out)))
    handler.set_name("understudy")
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if handler.get_name() == "understudy"]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(number)
    for name in WARNINGS_ONLY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    return handler


def report_no_start(reason: object, form: str = "auto") -> None:
    """Write to standard error why the server does not start: a log line `server.not_started` if logs are JSON, else a
    sentence. It works before logging is configured, because the configuration may be the reason."""
    if is_readable(form, sys.stderr):
        print(f"understudy cannot serve: {reason}", file=sys.stderr)  # noqa: T201 - the command's own output
        return
    about = {"name": __name__, "levelno": logging.CRITICAL, "levelname": "CRITICAL", "msg": "server.not_started"}
    line = _formatter(readable=False).format(logging.makeLogRecord({**about, "reason": str(reason)}))
    print(line, file=sys.stderr)  # noqa: T201 - as above


def is_readable(form: str, stream: TextIO) -> bool:
    """Return whether lines of this form are for a person; else they are JSON."""
    return form == "console" or (form == "auto" and stream.isatty())


class SummingHandler(logging.StreamHandler[TextIO]):
    """Writes log lines, and sums up those in `SUMMED`: otherwise a client that is refused six thousand times a minute
    would write gigabytes a day.

    A sum is the last line that was left out of a group, with their number as `summed_up`. It is written by the next
    line of any kind after the minute, or by `close`: there is no timer.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._groups: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self._groups_lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a line now. Sums that are due are written first."""
        event = record.msg if isinstance(record.msg, str) else ""
        grouping = SUMMED.get(event) if record.levelno < logging.ERROR else None
        with self._groups_lock:
            due = self._due(record.created)
            passes = grouping is None or self._count(event, grouping, record)
        for summary in due:
            self._write(summary)
        return passes and bool(super().filter(record))

    def close(self) -> None:
        """Write the pending sums, and close."""
        with self._groups_lock:
            due = self._due(float("inf"))
        for summary in due:
            self._write(summary)
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(ValueError):  # the stream was closed before this handler
            self.acquire()
            try:
                self.emit(record)
            finally:
                self.release()

    def _count(self, event: str, grouping: Grouping, record: logging.LogRecord) -> bool:
        key = (event, *(getattr(record, name, None) for name in grouping.fields))
        group = self._groups.setdefault(key, _Group(record.created))
        if group.written < grouping.first:
            group.written += 1
            return True
        group.left_out, group.last = group.left_out + 1, record
        return False

    def _due(self, now: float) -> list[logging.LogRecord]:
        """Remove the groups whose minute is over. Return their sums. A group with a sum begins another minute."""
        due = []
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if group.began + EVERY_S > now and len(self._groups) <= MAX_GROUPS:
                break
            del self._groups[key]
            if group.last is not None:
                due.append(logging.makeLogRecord({**vars(group.last), "summed_up": group.left_out}))
                if group.began + EVERY_S <= now < float("inf"):
                    self._groups[key] = _Group(now, written=SUMMED[str(key[0])].first)
        return due


def _shared() -> "list[Processor]":
    return [
        redact,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(readable: bool) -> logging.Formatter:
    processors: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_exception,
    ]
    if readable:
        processors.append(structlog.dev.ConsoleRenderer(colors=False))
    else:
        processors += [_event_first, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _without_formatted, *_shared()],
        processors=processors,
        keep_exc_info=False,
        keep_stack_info=False,
    )


def _without_formatted(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop the fields that formatters of other handlers add to a record; `extra` cannot contain them."""
    for key in ("message", "asctime"):
        event.pop(key, None)
    return event


def _event_first(_logger: object, _method: str, event: structlog.typing.EventDict) -> dict[str, Any]:
    """Put time, level, event and logger first, for people who read the JSON."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event", "logger") if key in event}
    return {**first, **event}
