"""The event stream of one run in AG-UI's encoding; it ends with the run."""

from collections.abc import Sequence
from typing import Any, Final

from transport.agui.events import AguiEvent, AguiTranslator
from transport.server.eventstream import EventStream, encode_block, encode_comment, encode_json
from transport.wire.codec import from_log, to_log
from transport.wire.events import Envelope

_CODE_FOR: Final = {1000: "busy", 1001: "busy", 1013: "busy", 4401: "unauthenticated", 4403: "forbidden"}
LOST: Final = 1006


def wrap_for_agui(envelope: Envelope, _: bytes) -> bytes:
    """Return the event as the log holds it: the `wrap_frame` of an outbox that writes to an `AguiStream`."""
    return to_log(envelope)


class AguiStream(EventStream):
    """Translates the frames of `wrap_for_agui`. However the stream ends, its reader gets a complete AG-UI run."""

    # Translated here and not where events are encoded, because the translation depends on the order of sending.

    def __init__(self, translator: AguiTranslator, **options: Any) -> None:
        super().__init__(lambda: encode_comment("ping"), **options)
        self._translator = translator

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Queue events. Return whether the reader has taken all earlier ones. Raises SocketClosed after the end."""
        events = [event for payload in payloads for event in self._translator.translate(from_log(payload))]
        events += self._translator.interrupt()
        in_step = super().write_now(_blocks(events))
        if self._translator.ended:
            self._end(1000, "the run has ended")
        return in_step

    def _end(self, code: int, reason: str) -> None:
        if self.code is None and code != LOST:
            self._queue += _blocks(self._translator.closing_events(_CODE_FOR.get(code, "internal")))
        super()._end(code, reason)


def _blocks(events: Sequence[AguiEvent]) -> list[bytes]:
    return [encode_block(encode_json(event)) for event in events]
