"""The event stream of one run in AG-UI's encoding."""

from collections.abc import Sequence

from transport.server.eventstream import encode_block, encode_json
from understudy.extensions.agui.vocabulary import AguiEvent
from understudy.extensions.doors.translated_stream import TranslatedStream


class AguiStream(TranslatedStream):
    """A stream whose translator is an `AguiTranslator`."""


def encode_blocks(events: Sequence[AguiEvent]) -> list[bytes]:
    """Encode AG-UI events as the blocks of an event stream."""
    return [encode_block(encode_json(event)) for event in events]
