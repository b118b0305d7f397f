"""What is read from a client, by `websockets`' sans-IO protocol, in turns. No I/O.

1. A turn ends with a message, or after so many frames; what follows waits in the buffer until it is asked for. So what
   came before a fault is answered before that is judged, and no burst of frames holds the loop.
2. Text fails as soon as Python's decoder can tell that it is none, in the middle of a frame too.
3. A close frame is a close, also between the fragments of a message (RFC 6455 section 5.4 allows it there).
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

from transport.server.websocket.assembler import Assembly, Message
from transport.wire.errors import CommandRejected

FRAMES_A_TURN: Final = 64
"""About half a millisecond of pings, or of fragments of a byte each."""
_OPEN, _CLOSE, _PONG = State.OPEN, Opcode.CLOSE, Opcode.PONG

# The protocol's own notes ("connection open") are no events of ours.
PROTOCOL_LOG: Final = logging.getLogger("transport.server.websocket.protocol")
PROTOCOL_LOG.setLevel(logging.WARNING)


class Protocol(SansIo):
    """The server's side of an open WebSocket; `extensions` are what was agreed on in the handshake.

    A message over `message_bytes` is CommandRejected, one over `bound_bytes` a fault (1009). What the client is at
    fault for is answered by a close frame in `data_to_send`.
    """

    reader: "_Turns"

    def __init__(
        self, message_bytes: int, bound_bytes: int, extensions: Sequence[Extension] = (), rest: bytes = b""
    ) -> None:
        super().__init__(Side.SERVER, max_size=bound_bytes, logger=PROTOCOL_LOG)
        self.extensions = list(extensions)
        self._assembly = Assembly(message_bytes)
        self._message: Message | CommandRejected | None = None
        self.pong: bytes | None = None
        """What the last pong brought; for whoever reads it to reset."""
        self.reader = _Turns(self._assembly, plain=not extensions)
        self.parser = self.parse()
        next(self.parser)
        self.reader.feed_data(rest)

    @property
    def waiting(self) -> bool:
        """Whether there is something to be read in another turn already."""
        reader = self.reader
        return reader.left <= 0 and len(reader.buffer) > 0

    @property
    def begun(self) -> bool:
        """Whether a message, or any frame, has come in part."""
        reader = self.reader
        return self._assembly.begun or reader.reads > 0 or (len(reader.buffer) > 0 and reader.left > 0)

    def turn(self, data: bytes = b"") -> Message | CommandRejected | None:
        """Take in `data`, and read on to the end of a message, which is returned.

        None when the end has not come yet, or is another turn away (`waiting`). Once a close frame was sent or
        received there are no messages any more.
        """
        self.reader.left = FRAMES_A_TURN
        self.receive_data(data)
        message, self._message = self._message, None
        return message

    def forget(self) -> None:
        """Drop what was not read yet, and the rest of a message that was begun."""
        self.reader.buffer.clear()
        self.reader.left = FRAMES_A_TURN

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame in; called by the parser."""
        if frame.opcode is _CLOSE:
            self.current_size = None
        super().recv_frame(frame)
        self.events.clear()
        if frame.opcode is _PONG:
            self.pong = bytes(frame.data)
        if self._state is _OPEN:
            self._message = self._assembly.add(frame)
            if self._message is not None:
                self.reader.left = 0

    def discard(self) -> Generator[None, None, None]:
        """Read nothing any more; what is there already is dropped. Called when the closing handshake is over."""
        self.reader.left = FRAMES_A_TURN
        return super().discard()


class _Turns(StreamReader):
    """The reader of the parser, which stops it at the end of a turn.

    Before each frame the parser asks for `at_eof`; then it reads the head, the length if the head has no room for it,
    the mask, and the payload. `plain`: payloads are what they seem, not compressed.
    """

    def __init__(self, assembly: Assembly, *, plain: bool) -> None:
        super().__init__()
        self.left = 0
        self.reads = 0
        self._assembly = assembly
        self._plain = plain
        self._head = self._last = bytearray()

    def at_eof(self) -> Generator[None, None, bool]:
        self.reads = 0
        while self.left <= 0 or not self.buffer:
            if self.eof and not self.buffer:
                return True
            yield
        self.left -= 1
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
        """What looks at the text of a payload of this length; None where that is no text, or no payload."""
        if not self._plain or not self.reads or self.reads != (2 if self._head[1] & 0x7F < 126 else 3):
            return None
        reserved, opcode = self._head[0] & 0x70, Opcode(self._head[0] & 0x0F)
        return None if reserved else self._assembly.probe(opcode, length)
