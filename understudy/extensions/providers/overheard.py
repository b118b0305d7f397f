"""Reads the answer of a server that sends one JSON object in place of a stream."""

from typing import Any, Final, Self

import msgspec

from understudy.models.model import ModelUnavailable

MAX_WHOLE: Final = 8 * 1024 * 1024
"""Limit of bytes of an answer that comes as one object."""


class Overheard:
    """Records a response while the SDK reads it as a stream, because some servers answer with one object instead.

    The content type of the response is ignored, as servers label streams as objects and objects as streams. Enter it
    before the first chunk is read.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces: Any = response.aiter_bytes()
        self._heard: list[bytes] | None = []
        self._size = 0

    async def __aenter__(self) -> Self:
        self._response.aiter_bytes = lambda: self
        return self

    async def __aexit__(self, *_: object) -> None:
        del self._response.aiter_bytes  # a cycle would leave the generators to the garbage collector, in any thread
        await self._pieces.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece: bytes = await anext(self._pieces)
        if self._heard is not None:
            self._heard.append(piece)
            self._size += len(piece)
            if self._size > MAX_WHOLE:
                raise ValueError
        return piece

    def stop(self) -> None:
        """Stop recording, and drop the record: the response is a stream."""
        self._heard = None

    def whole(self) -> dict[str, Any] | None:
        """Return the recorded object, None if the response was none. Raises `ModelUnavailable` for a torn object."""
        heard = b"".join(self._heard or ()).strip()
        if not heard.startswith(b"{"):
            return None
        try:
            body = msgspec.json.decode(heard, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = None  # raised below, without the text that the error quotes
        if body is None:
            raise ModelUnavailable("The language model sent something unreadable.", True, "a part of an answer")
        return body
