"""An event stream (SSE) that sends one run in the events of another protocol, and ends with the run."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from transport.server.eventstream import EventStream, encode_block, encode_comment, encode_json
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

CODE_FOR: Final = {1000: "busy", 1001: "busy", 1013: "busy", 4401: "unauthenticated", 4403: "forbidden"}
"""The error code for a client whose stream ends before its run, by close code; for other close codes `internal`."""
LOST: Final = 1006
"""The close code of a lost connection, on which nothing more can be sent."""


class Translator(Protocol):
    """Translates the events of a thread into those of one run, in another protocol. Pure."""

    ended: bool

    def translate(self, envelope: Envelope) -> list[Any]:
        """Return the protocol's events for an event of the thread; none after the end of the run."""

    def pause(self) -> list[Any]:
        """Return the events that end the run for the client if it only waits for its user. Called after each batch."""

    def closing_events(self, code: str) -> list[Any]:
        """Return the events that end the run for the client with an error, although it goes on; none after the end."""


class TranslatedStream(EventStream):
    """Translates the server's own frames. The client gets a complete run, however the stream ends.

    `last` is a block that follows the last event, if it is not empty.
    """

    wrap_frame = None

    def __init__(self, translator: Translator, *, last: bytes = b"", **options: Any) -> None:
        super().__init__(lambda: encode_comment("ping"), **options)
        self._translator = translator
        self._last = [last] if last else []

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Translate and queue events. Return whether the client has read all earlier ones. Raises SocketClosed.

        They are translated here, not where events are encoded, because that depends on the order of sending."""
        events = [event for payload in payloads for event in self._translator.translate(from_log(payload))]
        events += self._translator.pause()
        in_step = super().write_now(self.encode(events))
        if self._translator.ended:
            self.end(1000, "the run has ended")
        return in_step

    def encode(self, events: Sequence[Any]) -> list[bytes]:
        """Encode the protocol's events as blocks of the stream, each as JSON unless this is overridden."""
        return [encode_block(encode_json(event)) for event in events]

    def end(self, code: int, reason: str) -> None:
        """End the stream, after the events that end the run for the client."""
        if self.code is None and code != LOST:
            closing = self._translator.closing_events(CODE_FOR.get(code, "internal"))
            self._queue += [*self.encode(closing), *self._last]
        super().end(code, reason)
