"""Parse a client's bytes with `websockets`' sans-IO protocol, a bounded number of frames per call. No I/O.

1. `feed` returns after one message, or FRAMES_PER_FEED frames; the rest stays buffered for the next call. So messages
   before a protocol error are handled before the error, and no burst of frames blocks the loop.
2. Invalid UTF-8 fails as soon as Python's decoder detects it, also in the middle of a frame.
3. A close frame is honoured between the fragments of a message too (RFC 6455 section 5.4).
"""

import codecs
import logging
from collections.abc import Generator, Sequence
from typing import Final

from websockets.extensions import Extension
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.protocol import Protocol as SansIo
from websockets.protocol import Side, State
from websockets.streams import StreamReader

from transport.server.websocket.assembler import Message, MessageAssembler
from transport.wire.errors import CommandRejected

FRAMES_PER_FEED: Final = 64
"""Frames parsed per call: about 0.5 ms of pings or one-byte fragments. Further frames wait for the next call."""
_OPEN, _CLOSE, _PONG = State.OPEN, Opcode.CLOSE, Opcode.PONG

# Drop the library's own debug and info lines ("connection open").
PROTOCOL_LOG: Final = logging.getLogger("transport.server.websocket.protocol")
PROTOCOL_LOG.setLevel(logging.WARNING)


class ServerSideProtocol(SansIo):
    """The server side of an open WebSocket; `extensions` are those negotiated in the handshake.

    A message over `message_bytes` becomes CommandRejected, one over `bound_bytes` a protocol error (1009). A protocol
    error puts a close frame into `data_to_send`.
    """

    reader: "_LimitedReader"

    def __init__(
        self, message_bytes: int, bound_bytes: int, extensions: Sequence[Extension] = (), rest: bytes = b""
    ) -> None:
        super().__init__(Side.SERVER, max_size=bound_bytes, logger=PROTOCOL_LOG)
        self.extensions = list(extensions)
        self._assembler = MessageAssembler(message_bytes)
        self._message: Message | CommandRejected | None = None
        self.pong: bytes | None = None
        """The payload of the last pong; the reader resets it to None."""
        self.reader = _LimitedReader(self._assembler, plain=not extensions)
        self.parser = self.parse()
        next(self.parser)
        self.reader.feed_data(rest)

    @property
    def has_buffered(self) -> bool:
        """Whether buffered bytes are left for another `feed`."""
        reader = self.reader
        return reader.frames_left <= 0 and len(reader.buffer) > 0

    @property
    def mid_message(self) -> bool:
        """Whether part of a message, or of any frame, has been received."""
        reader = self.reader
        return self._assembler.partial or reader.reads > 0 or (len(reader.buffer) > 0 and reader.frames_left > 0)

    def feed(self, data: bytes = b"") -> Message | CommandRejected | None:
        """Add `data` and parse up to the end of a message, which is returned.

        Return None if no message is complete, or its end is beyond this call's frames (`has_buffered`). Returns no
        messages after a close frame was sent or received.
        """
        self.reader.frames_left = FRAMES_PER_FEED
        self.receive_data(data)
        message, self._message = self._message, None
        return message

    def discard_input(self) -> None:
        """Discard buffered bytes and the rest of a partial message."""
        self.reader.buffer.clear()
        self.reader.frames_left = FRAMES_PER_FEED

    def recv_frame(self, frame: Frame) -> None:
        """Handle a frame; called by the parser."""
        if frame.opcode is _CLOSE:
            self.current_size = None
        super().recv_frame(frame)
        self.events.clear()
        if frame.opcode is _PONG:
            self.pong = bytes(frame.data)
        if self._state is _OPEN:
            self._message = self._assembler.add(frame)
            if self._message is not None:
                self.reader.frames_left = 0

    def discard(self) -> Generator[None, None, None]:
        """Discard all input from now on; called after the closing handshake."""
        self.reader.frames_left = FRAMES_PER_FEED
        return super().discard()


class _LimitedReader(StreamReader):
    """The parser's reader, which suspends it after FRAMES_PER_FEED frames.

    Before each frame the parser calls `at_eof`; then it reads the head, the extended length if any, the mask, and the
    payload. `plain`: payloads are not compressed, so that their text can be validated while it arrives.
    """

    def __init__(self, assembly: MessageAssembler, *, plain: bool) -> None:
        super().__init__()
        self.frames_left = 0
        self.reads = 0
        self._assembly = assembly
        self._plain = plain
        self._head = self._last = bytearray()

    def at_eof(self) -> Generator[None, None, bool]:
        self.reads = 0
        while self.frames_left <= 0 or not self.buffer:
            if self.eof and not self.buffer:
                return True
            yield
        self.frames_left -= 1
        return False

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        buffer = self.buffer
        if len(buffer) < n:
            yield from self._wait(n)
        read = buffer[:n]
        del buffer[:n]
        if not self.reads:
            self._head = read
        self._last = read
        self.reads += 1
        return read

    def _wait(self, n: int) -> Generator[None, None, None]:
        probe, seen = self._probe(n), 0
        while (there := len(self.buffer)) < n:
            if self.eof:
                raise EOFError("the stream ended within a frame")
            if probe is not None and there > seen:
                mask, turned = self._last, seen % 4
                probe.decode(apply_mask(self.buffer[seen:], mask[turned:] + mask[:turned]))
                seen = there
            yield

    def _probe(self, length: int) -> codecs.IncrementalDecoder | None:
        """Return the decoder that validates a payload of this length; None if it is not uncompressed text."""
        if not self._plain or not self.reads or self.reads != (2 if self._head[1] & 0x7F < 126 else 3):
            return None
        reserved, opcode = self._head[0] & 0x70, Opcode(self._head[0] & 0x0F)
        return None if reserved else self._assembly.probe(opcode, length)
