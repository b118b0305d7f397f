"""Logs: an event name and key-values, as JSON lines, or readable on a terminal. One processor chain for all loggers.

Lines of the standard library's loggers (the actors', the transport's, the HTTP server's) pass the same chain, with
their `extra` as key-values. Redaction comes first. Lines that clients can cause at will are summed up.
"""

import contextlib
import logging
import secrets
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from understudy.observe.redaction import redact, redact_exception
from understudy.observe.summing import SummaryFilter

WARNINGS_ONLY: Final = (
    "alembic",
    "hypercorn",
    "sqlalchemy",
    "websockets",
    "httpx",
)  # others' news; their warnings are ours
ERROR_ID_BYTES: Final = 8  # 64 bits: no two errors of a server's lifetime share one


def new_error_id() -> str:
    """Return the id of an error, shown to the user and logged with it: 16 hexadecimal digits."""
    return secrets.token_hex(ERROR_ID_BYTES)


@contextlib.contextmanager
def log_context(
    *, thread_id: str | None = None, run_id: str | None = None, error_id: str | None = None
) -> Iterator[None]:
    """Add these ids to the lines logged inside, also by tasks started inside."""
    ids = {"thread_id": thread_id, "run_id": run_id, "error_id": error_id}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value is not None}):
        yield


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
    readable = form == "console" or (form == "auto" and out.isatty())
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = SummingHandler(out)
    handler.setFormatter(_formatter(readable))
    handler.set_name("understudy")
    root = logging.getLogger()
    for former in [each for each in root.handlers if each.get_name() == "understudy"]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(number)
    for name in WARNINGS_ONLY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    return handler


class SummingHandler(logging.StreamHandler[TextIO]):
    """Writes log lines. Lines that clients can cause at will are summed up; the sums are written by `close` at the
    latest."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._summing = SummaryFilter(self._write)
        self.addFilter(self._summing)

    def close(self) -> None:
        """Write the pending sums, and close."""
        self._summing.flush()
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(ValueError):  # the stream was closed before logging was
            self.acquire()
            try:
                self.emit(record)
            finally:
                self.release()


def _shared() -> list[Processor]:
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
