"""The WebSocket protocol of a server without I/O, on `websockets`' sans-IO protocol.

1. `feed` returns after one message, or FRAMES_PER_FEED frames; the rest stays buffered for the next call. So messages
   before a protocol error are handled before the error, and no burst of frames blocks the loop.
2. Invalid UTF-8 fails as soon as Python's decoder detects it, also in the middle of a frame.
3. A close frame is honoured between the fragments of a message too (RFC 6455 section 5.4).
4. Between frames there is no parser, so that an idle connection does not keep one. A message that arrives whole, as
   nearly all do, needs none.
5. permessage-deflate (RFC 7692) compresses each message by itself, and only if that makes it smaller. Neither side
   keeps a window between messages, so an idle connection costs no memory. Incoming messages are inflated by
   `websockets`, which stops at the bound of a message's size and closes the socket with 1009.
"""

import codecs
import logging
import uuid
import zlib
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]
from websockets.protocol import Protocol as SansIo
from websockets.protocol import Side, State
from websockets.streams import StreamReader
from websockets.typing import ExtensionParameter

from transport.wire.errors import CommandRejected

Message: TypeAlias = str | bytes

FRAMES_PER_FEED: Final = 64
"""Frames parsed per call: about 0.5 ms of pings or one-byte fragments. Further frames wait for the next call."""
_OPEN: Final = State.OPEN
_CONT, _TEXT, _BINARY, _CLOSE, _PONG = Opcode.CONT, Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PONG
_UTF8: Final = codecs.getincrementaldecoder("utf-8")

# The first byte of an unfragmented frame: FIN, and the opcode; for a compressed text also RSV1 (RFC 7692 section 6.1).
TEXT: Final = 0x81
BINARY: Final = 0x82
DEFLATED: Final = TEXT | 0x40

_NO_PARSER: Final[Generator[None, None, None]] = (None for _ in ())
"""A stand-in for the parser of a protocol that waits for a frame."""
_NO_ID: Final = uuid.UUID(int=0)

# Drop the library's own debug and info lines ("connection open").
PROTOCOL_LOG: Final = logging.getLogger("transport.server.websocket")
PROTOCOL_LOG.setLevel(logging.WARNING)


class MessageAssembler:
    """Assembles messages. One of more than `max_bytes` is counted to its end but not stored.

    A fragmented message is stored as one buffer, however many fragments it comes in.
    """

    __slots__ = ("_max_bytes", "_size", "_stored", "_utf8", "partial")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._stored: bytearray | None = None
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
            self.partial = True
            self._stored, self._size = bytearray(), 0
            self._utf8 = _UTF8() if opcode is _TEXT else None
        elif opcode is not _CONT:
            return None
        self._size += len(data)
        if self._size > self._max_bytes:
            self._stored = None
        elif self._stored is not None:
            if self._utf8 is not None:
                self._utf8.decode(data, frame.fin)
            self._stored += data
        if not frame.fin:
            return None
        stored, text = self._stored, self._utf8 is not None
        self._stored, self._utf8, self.partial = None, None, False
        if stored is None:
            return self._too_large()
        return stored.decode() if text else bytes(stored)

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

    def _too_large(self) -> CommandRejected:
        return CommandRejected("message_too_large", f"A message may have at most {self._max_bytes} bytes.")


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
        self._whole_bytes = min(message_bytes, bound_bytes)
        self.id = _NO_ID  # the library makes an id for each connection, which is never used here
        self.parser = _NO_PARSER
        self.reader.feed_data(rest)
        self.has_buffered = bool(rest)
        """Whether buffered bytes are left for another `feed`."""
        self.mid_message = False
        """Whether part of a message, or of any frame, has been received; as of the last `feed`."""

    def feed(self, data: bytes = b"") -> Message | CommandRejected | None:
        """Add `data` and parse up to the end of a message, which is returned.

        Return None if no message is complete, or its end is beyond this call's frames (`has_buffered`). Returns no
        messages after a close frame was sent or received.
        """
        reader = self.reader
        if self.parser is _NO_PARSER:
            if self._state is _OPEN and not reader.buffer and (whole := self._whole_message(data)) is not None:
                return whole
            self._start_parser()
        reader.frames_left = FRAMES_PER_FEED
        self.receive_data(data)
        self.has_buffered = bool(reader.buffer) and reader.frames_left <= 0
        unparsed = bool(reader.buffer) and not self.has_buffered
        self.mid_message = unparsed or reader.reads > 0 or self._assembler.partial
        if not (self.mid_message or self.has_buffered) and self._state is _OPEN:
            self.parser.close()
            self.parser = _NO_PARSER
        message, self._message = self._message, None
        return message

    def _whole_message(self, data: bytes) -> Message | None:
        """Return the message whose only frame `data` is, not compressed and below 64 KiB; None for any other data."""
        if len(data) < 6 or data[0] not in (TEXT, BINARY) or data[1] < 0x80:
            return None
        length, start = data[1] & 0x7F, 6
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 8
        elif length == 127:
            return None
        if len(data) != start + length or length > self._whole_bytes:
            return None
        payload = apply_mask(data[start:], data[start - 4 : start])
        try:
            return str(payload, "utf-8") if data[0] == TEXT else payload
        except UnicodeDecodeError:
            return None  # the parser closes the socket

    def _start_parser(self) -> None:
        self.parser = self.parse()
        next(self.parser)

    def receive_eof(self) -> None:
        """End the input and close the parser. Its frame refers to this object: the cycle would keep each connection."""
        if self.parser is _NO_PARSER:
            self._start_parser()
        super().receive_eof()
        self.parser.close()
        if self.parser_exc is not None:
            self.parser_exc.__traceback__ = None

    def discard_input(self) -> None:
        """Discard buffered bytes and the rest of a partial message."""
        self.reader.buffer.clear()
        self.reader.frames_left = FRAMES_PER_FEED
        self.has_buffered = False

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
        probe, validated = self._probe(n), 0
        while (available := len(self.buffer)) < n:
            if self.eof:
                raise EOFError("the stream ended within a frame")
            if probe is not None and available > validated:
                mask, rotation = self._last, validated % 4
                probe.decode(apply_mask(self.buffer[validated:], mask[rotation:] + mask[:rotation]))
                validated = available
            yield

    def _probe(self, length: int) -> codecs.IncrementalDecoder | None:
        """Return the decoder that validates a payload of this length; None if it is not uncompressed text."""
        if not self._plain or not self.reads or self.reads != (2 if self._head[1] & 0x7F < 126 else 3):
            return None
        reserved, opcode = self._head[0] & 0x70, Opcode(self._head[0] & 0x0F)
        return None if reserved else self._assembly.probe(opcode, length)


@lru_cache(maxsize=4096)
def frame_head(first: int, length: int) -> bytes:
    """Return the head of an unmasked, unfragmented frame with `length` bytes of payload (RFC 6455 section 5.2)."""
    if length < 126:
        return bytes((first, length))
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame_boundary(frames: bytes, position: int) -> int:
    """Return the end of the unmasked frame that contains `position`; `position` itself between two frames."""
    end = 0
    while end < position:
        length, head = frames[end + 1], 2
        if length == 126:
            length, head = int.from_bytes(frames[end + 2 : end + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(frames[end + 2 : end + 10], "big"), 10
        end += head + length
    return end


MAX_BYTES: Final = 128 * 1024
"""Larger messages are sent uncompressed. Compressing 128 KiB takes about 1 ms, the longest the loop may be blocked."""
_LEVEL: Final = 1  # zlib's fastest
_EMPTY_BLOCK: Final = b"\x00\x00\xff\xff"  # section 7.2.1: the end of a flush, which is not sent


class _DeflateFactory(ServerPerMessageDeflateFactory):
    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """Decline an offer that needs a window of 8 bits of us: zlib makes no raw deflate with less than 9.

        `websockets` 16 agrees to it. The next offer of the client is tried, and without one nothing is compressed.
        """
        if ("server_max_window_bits", "8") in params:
            raise NegotiationError("a window of 8 bits cannot be compressed with")
        return super().process_request_params(params, accepted_extensions)


def offered_extensions() -> list[ServerExtensionFactory]:
    """Return the extensions that the handshake may negotiate."""
    return [_DeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]


class Deflate:
    """Compresses the messages of one connection that have at least `from_bytes` bytes."""

    __slots__ = ("_bits", "_from_bytes")

    def __init__(self, from_bytes: int, window_bits: int) -> None:
        self._from_bytes = from_bytes
        self._bits = window_bits

    def compress(self, payload: bytes) -> bytes | None:
        """Return the payload compressed; None if it is too small or too large, or would not become smaller."""
        if not self._from_bytes <= len(payload) <= MAX_BYTES:
            return None
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._bits)
        compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return compressed.removesuffix(_EMPTY_BLOCK) if len(compressed) < len(payload) else None


def negotiated_deflate(extensions: Sequence[Extension], from_bytes: int | None) -> Deflate | None:
    """Return the compressor for a connection with these negotiated extensions; None without permessage-deflate."""
    for extension in extensions:
        if isinstance(extension, PerMessageDeflate) and from_bytes is not None:
            return Deflate(from_bytes, extension.local_max_window_bits)
    return None
