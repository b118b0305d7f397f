"""The event stream of one run in another protocol's events; it ends with the run."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from transport.server.eventstream import EventStream, encode_block, encode_comment, encode_json
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

CODE_FOR: Final = {1000: "busy", 1001: "busy", 1013: "busy", 4401: "unauthenticated", 4403: "forbidden"}
"""The code of the error for a reader whose stream ends before its run, by close code; others are `internal`."""
LOST: Final = 1006


class Translator(Protocol):
    """Translates the events of a thread into those of one run, in another protocol. Pure."""

    ended: bool

    def translate(self, envelope: Envelope) -> list[Any]:
        """Return the events for an event; none after the end."""

    def pause(self) -> list[Any]:
        """Return the events that end the run for its client after a batch, if it only waits for its user; else none."""

    def closing_events(self, code: str) -> list[Any]:
        """Return the events that end the run for its client while it goes on; none after the end."""


class TranslatedStream(EventStream):
    """Translates canonical frames. However the stream ends, its reader gets a complete run.

    `last`, if not empty, follows the last event.
    """

    wrap_frame = None

    # Translated here and not where events are encoded, because the translation depends on the order of sending.

    def __init__(self, translator: Translator, *, last: bytes = b"", **options: Any) -> None:
        super().__init__(lambda: encode_comment("ping"), **options)
        self._translator = translator
        self._last = [last] if last else []

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Queue events. Return whether the reader has taken all earlier ones. Raises SocketClosed after the end."""
        events = [event for payload in payloads for event in self._translator.translate(from_log(payload))]
        events += self._translator.pause()
        in_step = super().write_now(self.encode(events))
        if self._translator.ended:
            self.end(1000, "the run has ended")
        return in_step

    def encode(self, events: Sequence[Any]) -> list[bytes]:
        """Encode the protocol's events as blocks of the stream; unless overridden, each is JSON."""
        return [encode_block(encode_json(event)) for event in events]

    def end(self, code: int, reason: str) -> None:
        """End the stream, and the run for its client."""
        if self.code is None and code != LOST:
            closing = self._translator.closing_events(CODE_FOR.get(code, "internal"))
            self._queue += [*self.encode(closing), *self._last]
        super().end(code, reason)
