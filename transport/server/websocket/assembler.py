"""Frames to messages, within a bound of size. Pure."""

import codecs
from typing import Final, TypeAlias

from websockets.frames import Frame, Opcode
from websockets.typing import BytesLike

from transport.wire.errors import CommandRejected

Message: TypeAlias = str | bytes

_CONT, _TEXT, _BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
_UTF8: Final = codecs.getincrementaldecoder("utf-8")


class Assembly:
    """Puts messages together; one of more than `max_bytes` is not kept, only counted to its end.

    A message in fragments is kept as the bytes it has so far, however many fragments they came in.
    """

    __slots__ = ("_kept", "_max_bytes", "_size", "_utf8", "begun")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: bytearray | None = None
        self._size = 0
        self._utf8: codecs.IncrementalDecoder | None = None
        self.begun = False
        """Whether a message has come in part."""

    def add(self, frame: Frame) -> Message | CommandRejected | None:
        """The message that a frame completes, or CommandRejected in place of one that is too large.

        None while there is more to come, and for control frames. Raises UnicodeDecodeError for text that is none, at
        the first fragment that makes it so.
        """
        opcode, data = frame.opcode, frame.data
        if frame.fin and not self.begun:
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
        """A decoder for the next frame's payload as it comes, which raises UnicodeDecodeError as `add` will.

        None when that frame is no text, or too large to be kept.
        """
        if length + (self._size if self.begun else 0) > self._max_bytes:
            return None
        if opcode is _TEXT and not self.begun:
            return _UTF8()
        if opcode is not _CONT or self._utf8 is None:
            return None
        probe = _UTF8()
        probe.setstate(self._utf8.getstate())
        return probe

    def _begin(self, text: bool) -> None:
        self.begun = True
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
        self._kept, self._utf8, self.begun = None, None, False
        if kept is None:
            return self._too_large()
        return kept.decode() if text else bytes(kept)

    def _too_large(self) -> CommandRejected:
        return CommandRejected("message_too_large", f"A message may have at most {self._max_bytes} bytes.")
