"""Filters uploaded files on their way to storage: secrets and personal data are redacted in text, all else is
unchanged.

Other categories are not scanned here: files are never shown as text, and the parts that tools read of them are filtered
on their way to the model.
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
"""Seconds of scanning for one file; a file that takes longer is refused with `file_too_large`."""

# Bytes that occur in no text. Compressed data, images and UTF-16 have some in their first kilobytes.
_NO_TEXT: Final = bytes(code for code in range(32) if chr(code) not in "\t\n\x0b\x0c\r\x1b")


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file looks like text in an encoding that contains ASCII."""
    return len(head.translate(None, _NO_TEXT)) == len(head)


@define(eq=False)
class FileFilter:
    """Filters one file. `result` has the findings once the whole file has passed."""

    sanitizer: Sanitizer
    limiter: trio.CapacityLimiter
    seconds: float = field(default=0.0, init=False)
    _stream: StreamSanitizer = field(init=False)
    # Bytes that are not UTF-8 pass unchanged.
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("surrogateescape"), init=False
    )

    def __attrs_post_init__(self) -> None:
        self._stream = self.sanitizer.stream()

    @property
    def result(self) -> Sanitized:
        """The findings so far."""
        return self._stream.result("")

    async def chunks(self, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the file as they are to be stored. If `result` is blocked it ends early: store nothing
        then.

        Raises:
            CommandRejected: `file_too_large`: scanning takes too long.
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
            raise CommandRejected("file_too_large", "That file takes too long to scan.")
        return out

    def _through(self, chunk: bytes, last: bool) -> bytes:
        began = time.perf_counter()
        out = self._stream.feed(self._decoder.decode(chunk, last))
        if last:
            out += self._stream.flush()
        self.seconds += time.perf_counter() - began
        return out.encode("utf-8", "surrogateescape")
