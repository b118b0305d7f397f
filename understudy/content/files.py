"""Files on their way to the disk: what is text is stored without what must not be stored, byte for byte else.

Only secrets and personal data are sought here. Files are shown to nobody as text; what tools read of them is looked
through whole, on its way to the model.
"""

import codecs
import time
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

import trio
from attrs import define, field

from sanitization import Sanitized, Sanitizer, StreamSanitizer
from transport.wire.errors import CommandRejected

LONGEST_S: Final = 20.0
"""Longest time that one file is looked through; one that takes longer is refused."""

# Bytes that no text has. What is compressed, an image, or UTF-16, has some in its first kilobytes.
_NO_TEXT: Final = bytes(code for code in range(32) if chr(code) not in "\t\n\x0b\x0c\r\x1b")


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file looks like text of some encoding that has ASCII in it."""
    return len(head.translate(None, _NO_TEXT)) == len(head)


@define(eq=False)
class FileFilter:
    """One file passing. `found` is the account of it, once all has passed."""

    sanitizer: Sanitizer
    limiter: trio.CapacityLimiter
    seconds: float = field(default=0.0, init=False)
    _stream: StreamSanitizer = field(init=False)
    # Bytes that are no UTF-8 pass as they are: they come out as what they went in.
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("surrogateescape"), init=False
    )

    def __attrs_post_init__(self) -> None:
        self._stream = self.sanitizer.stream()

    @property
    def result(self) -> Sanitized:
        """What was found so far."""
        return self._stream.result("")

    async def chunks(self, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The bytes of the file as they are to be stored.

        Raises:
            CommandRejected: `file_too_large`: it takes too long to look through. And it ends early when `found` is
                blocked: nothing of it may be stored then.
        """
        text = None
        async for chunk in source:
            if text is None:
                text = is_text(chunk)
            if not text:
                yield chunk
                continue
            yield await self._pass(chunk, last=False)
            if self._stream.blocked:
                return
        if text:
            yield await self._pass(b"", last=True)

    async def _pass(self, chunk: bytes, *, last: bool) -> bytes:
        out = await trio.to_thread.run_sync(self._through, chunk, last, limiter=self.limiter)
        if self.seconds > LONGEST_S:
            raise CommandRejected("file_too_large", "That file takes too long to look through.")
        return out

    def _through(self, chunk: bytes, last: bool) -> bytes:
        began = time.perf_counter()
        out = self._stream.feed(self._decoder.decode(chunk, last))
        if last:
            out += self._stream.flush()
        self.seconds += time.perf_counter() - began
        return out.encode("utf-8", "surrogateescape")
