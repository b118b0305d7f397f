"""Sends the spans of runs to a collector, from a thread of its own.

1. No run waits for the collector. A span enters a bounded queue, or is dropped and counted.
2. A batch that the collector does not accept is dropped and counted: the collector was busy or away for `otlp.SEND_S`.
3. Closing has a time limit; the spans that remain then are dropped and counted.
4. The first drop is logged, and the end of an outage; the metric counts all drops in between.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
import trio

from understudy.observe.spans import Traces, TraceSpan

log = logging.getLogger(__name__)

QUEUED: Final = 4096
"""Limit of queued spans: those of about 400 runs with one tool call each, or with `otlp.content` at most 70 MB."""
BATCH: Final = 256
"""Limit of spans in one request; a request is sent when so many are queued, or after `EVERY_S`."""
EVERY_S: Final = 0.25
"""Seconds for which spans are gathered: a kill loses no more, and a busy server makes a few requests per second."""
CONTENT_CHARS: Final = 4_000
"""Limit of characters of one text in a span; the rest is cut off."""

Send: TypeAlias = Callable[[Sequence[TraceSpan]], bool]
"""Sends spans, and returns whether the collector has accepted them. It may block, for a bounded time."""


class SentTraces(Traces):
    """The spans of one server. `ratio` is the share of traced runs; `content`: spans have the texts of runs.

    `send` is called in a thread. `dropped(why, count)` counts spans that were lost, because of the `queue`, the
    `collector` or `shutdown`; it may be called in any thread. `database` is its name in the semantic conventions.
    """

    def __init__(
        self,
        send: Send,
        dropped: Callable[[str, int], None],
        *,
        ratio: float = 1.0,
        content: bool = False,
        database: str = "",
        queued: int = QUEUED,
        every_s: float = EVERY_S,
    ) -> None:
        self.content = content
        self.database = database
        self._send = send
        self._count = dropped
        self.ratio = ratio
        self._room = queued
        self._every_s = every_s
        self._queue: deque[TraceSpan] = deque()
        self._in_flight = 0
        self._losing = False
        self._closing = False
        self._abandoned = False
        self._some = threading.Event()
        self._hurry = threading.Event()
        # A daemon thread, so that a collector that never answers does not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)

    def start(self) -> None:
        """Start the thread that sends."""
        self._thread.start()

    def record(self, span: TraceSpan) -> None:
        """Enqueue a span; drop it if the queue is full."""
        if len(self._queue) >= self._room or self._closing:
            self._drop("shutdown" if self._closing else "queue", 1)
            return
        self._queue.append(span)
        queued = len(self._queue)
        if queued <= 1:
            self._some.set()
        elif queued >= BATCH:
            self._hurry.set()

    def hurry(self) -> None:
        """Send the queued spans now."""
        self._hurry.set()

    async def aclose(self, within_s: float) -> None:
        """Send the queued spans, for at most `within_s` seconds; then drop the rest."""
        self._closing = True
        self._some.set()
        self._hurry.set()
        if self._thread.is_alive():
            await trio.to_thread.run_sync(partial(self._thread.join, within_s), abandon_on_cancel=True)
        remaining = len(self._queue) + (self._in_flight if self._thread.is_alive() else 0)
        self._abandoned = True
        self._queue.clear()
        if remaining:
            self._drop("shutdown", remaining)

    def _work(self) -> None:
        while not (self._closing and not self._queue):
            self._some.wait()
            self._some.clear()
            self._hurry.wait(0.0 if self._closing else self._every_s)
            self._hurry.clear()
            while batch := self._next_batch():
                try:
                    delivered = self._send(batch)
                except Exception:
                    log.exception("traces.not_sent")
                    delivered = False
                if self._abandoned:  # `aclose` has counted this batch as dropped
                    return
                self._in_flight = 0
                if delivered:
                    self._delivered()
                else:
                    self._drop("collector", len(batch))

    def _next_batch(self) -> list[TraceSpan]:
        batch = list[TraceSpan]()
        with suppress(IndexError):  # the queue was emptied meanwhile, by `aclose`
            while len(batch) < BATCH:
                batch.append(self._queue.popleft())
        self._in_flight = len(batch)
        return batch

    def _drop(self, why: str, count: int) -> None:
        self._count(why, count)
        if not self._losing:
            self._losing = True
            log.warning("traces.dropping", extra={"why": why})

    def _delivered(self) -> None:
        if self._losing:
            self._losing = False
            log.info("traces.delivered_again")


def as_text(value: Any) -> str:
    """Return a value as a text for a span: JSON unless it is a text, and at most `CONTENT_CHARS` characters.

    A value without a JSON form is left out, because a run must not fail for its trace.
    """
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        return "(not shown)"
    text = text if len(text) <= CONTENT_CHARS else f"{text[:CONTENT_CHARS]}…"
    return text.encode(errors="replace").decode()  # collectors refuse lone surrogates


def as_messages(role: str, text: str) -> str:
    """Return a text in the form of messages in the semantic conventions: a JSON list of one message with one part."""
    return msgspec.json.encode([{"role": role, "parts": [{"type": "text", "content": as_text(text)}]}]).decode()
