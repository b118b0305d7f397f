"""Assemble frames into messages of bounded size. Pure."""

import codecs
from typing import Final, TypeAlias

from websockets.frames import Frame, Opcode
from websockets.typing import BytesLike

from transport.wire.errors import CommandRejected

Message: TypeAlias = str | bytes

_CONT, _TEXT, _BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class MessageAssembler:
    """Assembles messages. One of more than `max_bytes` is counted to its end but not stored.

    A fragmented message is stored as one buffer, however many fragments it comes in.
    """

    __slots__ = ("_kept", "_max_bytes", "_size", "_utf8", "partial")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: bytearray | None = None
        self._size = 0
        self._utf8: codecs.IncrementalDecoder | None = None
        self.partial = False
        """Whether part of a message has been received."""

    def add(self, frame: Frame) -> Message | CommandRejected | None:
        """Add a frame. Return the message that it completes, or CommandRejected in place of one that is too large.

        Return None while the message is incomplete, and for control frames. Raises UnicodeDecodeError at the first
        fragment that is not valid UTF-8 text.
        """
        opcode, data = frame.opcode, frame.data
        if frame.fin and not self.partial:
            if opcode is _TEXT or opcode is _BINARY:
                if len(data) > self._max_bytes:
                    return self._too_large()
                return str(data, "utf-8") if opcode is _TEXT else bytes(data)
            return None
        if opcode is _TEXT or opcode is _BINARY:
            self._begin(opcode is _TEXT)
        elif opcode is not _CONT:
            return None
        self._grow(data, frame.fin)
        return self._complete() if frame.fin else None

    def probe(self, opcode: Opcode, length: int) -> codecs.IncrementalDecoder | None:
        """Return a decoder that validates the next frame's payload while it arrives, as `add` will when it is complete.

        None if that frame is not text, or too large to be stored.
        """
        if length + (self._size if self.partial else 0) > self._max_bytes:
            return None
        if opcode is _TEXT and not self.partial:
            return _UTF8()
        if opcode is not _CONT or self._utf8 is None:
            return None
        probe = _UTF8()
        probe.setstate(self._utf8.getstate())
        return probe

    def _begin(self, text: bool) -> None:
        self.partial = True
        self._kept, self._size = bytearray(), 0
        self._utf8 = _UTF8() if text else None

    def _grow(self, data: BytesLike, last: bool) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            self._kept = None
        elif self._kept is not None:
            if self._utf8 is not None:
                self._utf8.decode(data, last)
            self._kept += data

    def _complete(self) -> Message | CommandRejected:
        kept, text = self._kept, self._utf8 is not None
        self._kept, self._utf8, self.partial = None, None, False
        if kept is None:
            return self._too_large()
        return kept.decode() if text else bytes(kept)

    def _too_large(self) -> CommandRejected:
        return CommandRejected("message_too_large", f"A message may have at most {self._max_bytes} bytes.")
