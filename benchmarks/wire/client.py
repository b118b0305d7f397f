"""Clients that cost little: frames that were made before, sockets that do not block, one epoll for all of them."""

from __future__ import annotations

import json
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from attrs import define

from .server import Server, ServerFailed

CONNECT_S = 90.0
"""Longest time for all connections of one benchmark to be made."""
AT_ONCE = 100
"""Connections that are in their handshake at the same time."""
RECEIVE_BUFFER_BYTES = 64 * 1024
"""Fixed, or the kernel would hold megabytes for a client that does not read."""
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def raise_file_limit() -> None:
    """Let this process open as many files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def text_frame(payload: bytes) -> bytes:
    """A client's text frame under the mask of four zeros, which changes nothing."""
    length = len(payload)
    if length < 126:
        head = bytes((0x81, 0x80 | length))
    elif length < 65_536:
        head = b"\x81\xfe" + length.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + length.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def command(kind: str, **payload: object) -> bytes:
    """A client's command as a frame."""
    return text_frame(json.dumps({"type": kind, "payload": payload}).encode())


def say(content: str) -> bytes:
    """A message as a frame."""
    return command("user_message", content=content)


def upgrade(path: str) -> bytes:
    """What asks for a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@define(eq=False)
class Client:
    """One connection: its socket, what has been received of the frame that is not complete, and marks not answered."""

    socket: socket.socket
    number: int = 0
    rest: bytes = b""
    marks: int = 0
    upgraded: bool = False
    sent: bool = False

    def receive(self, size: int = 262_144) -> bytes:
        """What has come; raises ServerFailed at the end of the stream."""
        try:
            data = self.socket.recv(size)
        except ConnectionError as error:
            raise ServerFailed(f"a connection was lost: {error}") from error
        if not data:
            raise ServerFailed(f"a connection was closed by the server, whose last words were {self.rest[-60:]!r}")
        return data

    def frames(self, data: bytes) -> Iterator[bytes]:
        """The payloads of all text frames that are complete; what is not is kept for the next call."""
        data = self.rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            length, head = data[at + 1] & 0x7F, 2
            if length == 126:
                if end - at < 4:
                    break
                length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                if end - at < 10:
                    break
                length, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if end - at < head + length:
                break
            opcode = data[at] & 0x0F
            if opcode == 8:
                raise ServerFailed(f"the server closed a connection: {data[at + head : at + head + length]!r}")
            if opcode in (1, 2):
                yield data[at + head : at + head + length]
            at += head + length
        self.rest = data[at:]

    def pour(self, data: bytes) -> bool:
        """Take a part of the head of the server's answer; True when it is complete, and the request was accepted."""
        self.rest += data
        head, end, rest = self.rest.partition(b"\r\n\r\n")
        if not end:
            return False
        if head.split(b" ", 2)[1] != b"101":
            raise ServerFailed(f"no WebSocket: {head[:80]!r}")
        self.rest, self.upgraded = rest, True
        return True


class Crowd:
    """Many connections to one server, under one epoll. Use it as a context."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clients: list[Client] = []
        self._epoll = select.epoll()
        self._by_number: dict[int, Client] = {}

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, without a word."""
        self._epoll.close()
        for client in self.clients:
            client.socket.close()
        self.clients.clear()
        self._by_number.clear()

    def open(self, paths: Sequence[str], at_once: int = AT_ONCE) -> None:
        """Connect to these paths, so many at a time; raises ServerFailed."""
        left = list(enumerate(paths))[::-1]
        opening, deadline = 0, time.monotonic() + CONNECT_S
        while left or opening:
            while left and opening < at_once:
                number, path = left.pop()
                self.begin(number, path)
                opening += 1
            for client in self.ready(1.0):
                if not client.sent:
                    self.ask(client, paths[client.number])
                elif not client.upgraded and client.pour(client.receive()):
                    opening -= 1
                elif client.upgraded:
                    client.rest += client.receive()
            if time.monotonic() > deadline:
                raise self.server.failed(f"{len(left) + opening} connections were not made within {CONNECT_S:.0f} s")

    def begin(self, number: int, path: str) -> Client:
        """Begin to connect; the socket can be written when it is done."""
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        made.connect_ex(("127.0.0.1", self.server.port))
        client = Client(made, number)
        self.clients.append(client)
        self._by_number[made.fileno()] = client
        self._epoll.register(made.fileno(), select.EPOLLOUT)
        return client

    def ask(self, client: Client, path: str) -> None:
        """The socket is connected: send the request, and wait for the answer."""
        fault = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            raise self.server.failed(f"a connection was refused (errno {fault})")
        client.socket.send(upgrade(path))
        client.sent = True
        self._epoll.modify(client.socket.fileno(), select.EPOLLIN)

    def ready(self, seconds: float) -> Iterator[Client]:
        """The clients whose sockets can be read (or, while they connect, written)."""
        for number, _ in self._epoll.poll(seconds):
            yield self._by_number[number]

    def send(self, frame: bytes) -> None:
        """The same frame from everybody."""
        for client in self.clients:
            client.socket.send(frame)

    def listen(self, seconds: float, take: Callable[[Client, bytes], None]) -> float:
        """Hand over what comes, for so long; how long it was. Raises ServerFailed when a connection ends."""
        poll, by_number = self._epoll.poll, self._by_number
        began = now = time.perf_counter()
        while now - began < seconds:
            for number, _ in poll(min(1.0, seconds - (now - began))):
                client = by_number[number]
                take(client, client.receive())
            now = time.perf_counter()
        return now - began
