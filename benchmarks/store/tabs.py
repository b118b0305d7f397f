"""Users of several nodes: sockets that say, follow, and keep what they are sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field

from benchmarks.wire.client import command, upgrade
from benchmarks.wire.server import ServerFailed
from transport.auth.tokens import Tokens

from .servers import SECRET, Node

CONNECT_S = 30.0
_TOGETHER = 100
"""Threads that one `resume` may name."""

Take = Callable[[dict[str, Any]], None]


@define(eq=False)
class Tab:
    """One connection of `user` to `node`; each event it is sent goes to `take`, which must be quick.

    `last` is the number of the last durable event of each thread; one that is not the next raises ServerFailed.
    """

    node: Node
    user: str
    take: Take = lambda _: None
    last: dict[str, int] = field(factory=dict)
    events: int = 0
    _stream: trio.SocketStream | None = None
    _rest: bytearray = field(factory=bytearray)
    _welcome: trio.Event = field(factory=trio.Event)

    async def open(self, nursery: trio.Nursery) -> None:
        """Connect, and read from now on."""
        token = Tokens(SECRET, time.time).issue(self.user, f"{self.user}-session", ttl_s=3600)
        with trio.fail_after(CONNECT_S):
            self._stream = await trio.open_tcp_stream("127.0.0.1", self.node.port)
            await self._stream.send_all(upgrade(f"/ws?session_token={token}"))
            nursery.start_soon(self._read)
            await self._welcome.wait()

    async def say(self, thread: str, content: str) -> None:
        """Say something in a thread."""
        await self._send(command("user_message", content=content, thread_id=thread, agent_type="clockwork"))

    async def follow(self, *threads: str) -> None:
        """Follow threads from the last event that is known of each."""
        for first in range(0, len(threads), _TOGETHER):
            asked = {thread: self.last.get(thread, 0) for thread in threads[first : first + _TOGETHER]}
            await self._send(command("resume", threads=asked))

    async def _send(self, frame: bytes) -> None:
        assert self._stream is not None
        await self._stream.send_all(frame)

    async def _read(self) -> None:
        assert self._stream is not None
        upgraded = False
        try:
            async for data in self._stream:
                self._rest += data
                if not upgraded:
                    head, found, _ = self._rest.partition(b"\r\n\r\n")
                    if not found:
                        continue
                    if b" 101 " not in head:
                        raise self.node.failed(f"no WebSocket: {bytes(head[:80])!r}")
                    upgraded = True
                    del self._rest[: len(head) + 4]
                for frame in self._frames():
                    self._heard(json.loads(frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # its node was killed

    def _frames(self) -> list[bytes]:
        """The texts of the frames that are whole; pings are not answered, and need not be for minutes."""
        frames, data, at = [], self._rest, 0
        while len(data) - at >= 2:
            length, head = data[at + 1] & 0x7F, 2
            if length >= 126:
                head = 4 if length == 126 else 10
                if len(data) - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head], "big")
            if len(data) - at < head + length:
                break
            if data[at] & 0x0F == 1:
                frames.append(bytes(data[at + head : at + head + length]))
            at += head + length
        del data[:at]
        return frames

    def _heard(self, event: dict[str, Any]) -> None:
        if event["type"] == "welcome":
            self._welcome.set()
            return
        self.events += 1
        seq = event.get("seq")
        if seq is not None:
            thread = event["thread_id"]
            if seq <= self.last.get(thread, 0) or (seq > 1 and thread not in self.last):
                return  # a copy, as after a resume; or a thread that was joined in its middle, and is yet to be resumed
            if seq != self.last.get(thread, 0) + 1:
                raise ServerFailed(f"{self.user}: event {seq} of {thread} came after {self.last.get(thread, 0)}")
            self.last[thread] = seq
        elif event["type"] == "error" and event["data"]["code"] != "not_found":
            raise ServerFailed(f"{self.user} was refused: {event['data']}")
        self.take(event)
