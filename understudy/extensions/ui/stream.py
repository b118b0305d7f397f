"""The event stream of one run in the form of a UI message stream; ends with the run."""

from typing import Any, Final

from transport.server.eventstream import encode_block
from understudy.extensions.doors.translated_stream import TranslatedStream
from understudy.extensions.ui.chunks import UiTranslator

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
"""The header that names the protocol and its version."""
DONE: Final = encode_block(b"[DONE]")


class UiStream(TranslatedStream):
    """Streams one complete message."""

    def __init__(self, translator: UiTranslator, **options: Any) -> None:
        super().__init__(translator, last=DONE, **options)
