"""The event stream of one response, in the form of the Responses API or of chat completions; ends with the response."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import trio

from transport.server.eventstream import encode_block
from understudy.extensions.doors.translated_stream import TranslatedStream
from understudy.extensions.responses.chat import DONE, ChatTranslator
from understudy.extensions.responses.events import ResponsesTranslator
from understudy.extensions.responses.objects import JsonValue

LEFT_S: Final = 5.0
"""Timeout of `on_left`, which is called when the client leaves before the end."""


class ResponseStream(TranslatedStream):
    """Streams one whole response, with `chat` as the chunks of a chat completion.

    `on_left` is called if the client leaves before the end.
    """

    def __init__(
        self,
        translator: ResponsesTranslator,
        chat: ChatTranslator | None = None,
        on_left: Callable[[], Awaitable[object]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(translator, last=DONE, **options)
        self.translator = translator
        self._chat = chat
        self._on_left = on_left

    async def aclose(self) -> None:
        """Close the stream, and call `on_left` if the response has not ended: its client has left."""
        left = not self.translator.ended
        await super().aclose()
        if left and self._on_left is not None:
            on_left, self._on_left = self._on_left, None
            with trio.move_on_after(LEFT_S, shield=True):
                await on_left()

    async def collect(self) -> JsonValue | None:
        """Read the stream to its end. Return the whole response, or None if it ended before the response did."""
        try:
            async for _ in self:
                pass
        finally:
            await self.aclose()
        response = self.translator.response
        return None if response is None or response["status"] == "in_progress" else response

    def encode(self, events: Sequence[JsonValue]) -> list[bytes]:
        """Encode the events of a response, or the chunks into which `chat` translates them."""
        if self._chat is not None:
            return [encode_block(msgspec.json.encode(chunk)) for chunk in self._chat.translate(events)]
        return [encode_block(msgspec.json.encode(event), event=event["type"]) for event in events]
