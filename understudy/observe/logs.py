"""Logs: an event name and key-values, as JSON lines, or readable on a terminal. One processor chain for all loggers.

Lines of the standard library's loggers (the actors', the transport's, the HTTP server's) pass the same chain, with
their `extra` as key-values. Redaction comes first. Lines that clients can cause at will are summed up.
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

with hidden("rich"):  # for tracebacks on a terminal: 54 modules, and none of them is used (`_formatter`)
    import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

WARNINGS_ONLY: Final = ("alembic", "hypercorn", "sqlalchemy", "websockets", "httpx")
"""Loggers of libraries of which only warnings and errors are logged."""
ERROR_ID_BYTES: Final = 8
"""64 bits: no two errors of a server's lifetime share an id."""
EVERY_S: Final = 60.0
"""Interval of the sums of lines that clients can cause at will."""
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
    # Of clients that behave, each line is worth something.
    "connection.opened": Grouping(("peer",), first=60),
    "connection.closed": Grouping(("peer",), first=60),
    "inbox.dropped": Grouping(("reason", "place")),
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


def new_error_id() -> str:
    """Return the id of an error, shown to the user and logged with it: 16 hexadecimal digits."""
    return secrets.token_hex(ERROR_ID_BYTES)


def configure_logging(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> logging.Handler:
    """Send every log line of the process through the chain, to `stream` (standard error by default).

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
    """Say on standard error why the server does not start: as the line `server.not_started` if the log is written as
    JSON, to a person as a sentence. It needs no configuration, which may be what is wrong."""
    if is_readable(form, sys.stderr):
        print(f"understudy cannot serve: {reason}", file=sys.stderr)  # noqa: T201 - the command's own output
        return
    about = {"name": __name__, "levelno": logging.CRITICAL, "levelname": "CRITICAL", "msg": "server.not_started"}
    line = _formatter(readable=False).format(logging.makeLogRecord({**about, "reason": str(reason)}))
    print(line, file=sys.stderr)  # noqa: T201 - as above


def is_readable(form: str, stream: TextIO) -> bool:
    """Whether lines in this form are for a person; else they are JSON."""
    return form == "console" or (form == "auto" and stream.isatty())


class SummingHandler(logging.StreamHandler[TextIO]):
    """Writes log lines, and sums up lines that clients can cause at will: otherwise one client refused six thousand
    times a minute would write gigabytes a day.

    Lines are grouped by event and peer, code or place. A line that stands for others has their number as `summed_up`.
    It is written when the minute is over and the next line of any kind comes, or by `close`: there is no timer.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._groups: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self._groups_lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write a line now. Sums that are due are written first."""
        event = record.msg if isinstance(record.msg, str) else ""
        kind = SUMMED.get(event) if record.levelno < logging.ERROR else None
        with self._groups_lock:
            due = self._due(record.created)
            now = kind is None or self._count(event, kind, record)
        for summary in due:
            self._write(summary)
        return now and bool(super().filter(record))

    def close(self) -> None:
        """Write the pending sums, and close."""
        with self._groups_lock:
            due = self._due(float("inf"))
        for summary in due:
            self._write(summary)
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(ValueError):  # the stream was closed before logging was
            self.acquire()
            try:
                self.emit(record)
            finally:
                self.release()

    def _count(self, event: str, kind: Grouping, record: logging.LogRecord) -> bool:
        key = (event, *(getattr(record, name, None) for name in kind.fields))
        group = self._groups.setdefault(key, _Group(record.created))
        if group.written < kind.first:
            group.written += 1
            return True
        group.left_out, group.last = group.left_out + 1, record
        return False

    def _due(self, now: float) -> list[logging.LogRecord]:
        """Remove the groups whose minute is over, and return their sums. A group with a sum begins another minute."""
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
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_exception,
    ]
    if readable:
        last.append(structlog.dev.ConsoleRenderer(colors=False))
    else:
        last += [_event_first, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _without_formatted, *_shared()],
        processors=last,
        keep_exc_info=False,
        keep_stack_info=False,
    )


def _without_formatted(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop the fields that formatters of other handlers leave on a record; `extra` cannot contain them."""
    for key in ("message", "asctime"):
        event.pop(key, None)
    return event


def _event_first(_logger: object, _method: str, event: structlog.typing.EventDict) -> dict[str, Any]:
    """Order the fields for a reader: time, level, event, then the rest."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event", "logger") if key in event}
    return {**first, **event}
