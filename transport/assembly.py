"""Frames to messages, within a bound of size. Pure."""

from typing import Final, TypeAlias

from websockets.frames import Frame, Opcode

from transport.errors import CommandRejected

Message: TypeAlias = str | bytes

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class Assembly:
    """Puts messages together; one of more than `max_bytes` is not kept, only counted to its end."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._text = True
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether a message has come in part."""
        return self._begun

    def add(self, frame: Frame) -> Message | CommandRejected | None:
        """The message that a frame completes, or CommandRejected in place of one that is too large.

        None while there is more to come, and for control frames. Raises UnicodeDecodeError for text that is none.
        """
        if frame.opcode not in _DATA:
            return None
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._size += len(frame.data)
        if self._size <= self._max_bytes:
            self._parts.append(bytes(frame.data))
        self._begun = not frame.fin
        return self._complete() if frame.fin else None

    def _complete(self) -> Message | CommandRejected:
        message, size = b"".join(self._parts), self._size
        self._parts, self._size = [], 0
        if size > self._max_bytes:
            return CommandRejected("message_too_large", f"A message may have at most {self._max_bytes} bytes.")
        return message.decode() if self._text else message
