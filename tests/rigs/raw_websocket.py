"""A WebSocket client independent of the server's library: it builds and reads frames byte by byte."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from attrs import frozen

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return the payload, masked with four bytes."""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"", length: int = -1
) -> bytes:
    """Return a client's frame. `mask`: None for unmasked, empty for a random mask. `length` is the declared length."""
    length = len(payload) if length < 0 else length
    first = bytes((fin << 7 | rsv << 4 | opcode,))
    bit = 0 if mask is None else 0x80
    if length < 126:
        head = first + bytes((bit | length,))
    elif length < 65536:
        head = first + bytes((bit | 126,)) + length.to_bytes(2, "big")
    else:
        head = first + bytes((bit | 127,)) + length.to_bytes(8, "big")
    if mask is None:
        return head + payload
    mask = mask or os.urandom(4)
    return head + mask + masked(payload, mask)


def fragments(opcode: int, payload: bytes, size: int) -> bytes:
    """Return a message in fragments of this many bytes."""
    parts = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
    return b"".join(
        frame(CONT if number else opcode, part, fin=number == len(parts) - 1) for number, part in enumerate(parts)
    )


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """Return a client's close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


@frozen
class Received:
    """A frame from the server, which must be unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int

    @property
    def code(self) -> int | None:
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else None


class RawWebSocket:
    """One connection after its handshake; `extensions` is the server's accepted value."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.head = ""
        self._bytes = bytearray()

    async def handshake(self, path: str = "/", more: str = "") -> int:
        """Request the upgrade. Return the status."""
        await self.stream.send_all(HANDSHAKE.format(path=path, more=more).encode())
        while b"\r\n\r\n" not in self._bytes:
            await self._more()
        head, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        self._bytes = bytearray(rest)
        self.head = head.decode("latin-1")
        return int(self.head.split(" ", 2)[1])

    @property
    def extensions(self) -> str:
        """The value of Sec-WebSocket-Extensions in the answer, or an empty string."""
        for line in self.head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "sec-websocket-extensions":
                return value.strip()
        return ""

    async def send(self, data: bytes, chop: int = 0) -> None:
        """Send the data in one piece, or in separate sends of `chop` bytes."""
        if not chop:
            await self.stream.send_all(data)
            return
        for start in range(0, len(data), chop):
            await self.stream.send_all(data[start : start + chop])

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        self._bytes += data

    async def frame(self) -> Received:
        """The next frame. Raises EOFError at the end of the stream, AssertionError for what no server may send."""
        while (size := self._size()) is None or len(self._bytes) < size[0] + size[1]:
            await self._more()
        head, length = size
        first = self._bytes[0]
        payload = bytes(self._bytes[head : head + length])
        del self._bytes[: head + length]
        return Received(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7)

    def _size(self) -> tuple[int, int] | None:
        if len(self._bytes) < 2:
            return None
        assert self._bytes[1] & 0x80 == 0, "a server's frames are not masked"
        length = self._bytes[1]
        more = {126: 2, 127: 8}.get(length, 0)
        if len(self._bytes) < 2 + more:
            return None
        return 2 + more, int.from_bytes(self._bytes[2 : 2 + more], "big") if more else length

    async def frames_to_the_end(self) -> list[Received]:
        """Return all frames up to and including the close frame, or to the end of the stream."""
        frames: list[Received] = []
        try:
            while not frames or frames[-1].opcode != CLOSE:
                frames.append(await self.frame())
        except (EOFError, trio.BrokenResourceError):
            pass
        return frames

    async def ended(self) -> bool:
        """Return whether the server ends the stream without another frame."""
        try:
            await self.frame()
        except (EOFError, trio.BrokenResourceError):
            return True
        return False


@asynccontextmanager
async def raw_websocket(
    port: int, path: str = "/", offers: Sequence[str] = (), **tcp: Any
) -> AsyncIterator[RawWebSocket]:
    """Yield an open WebSocket to a server on this machine, after offering these extensions."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        socket = RawWebSocket(stream)
        more = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
        assert await socket.handshake(path, more) == 101
        yield socket
