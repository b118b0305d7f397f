"""A faulty network: a TCP proxy before one server that delays, cuts, resets and stalls connections, drawn from a seed.

It keeps TCP's guarantees: bytes of a direction stay in order, and none is invented or repeated. All faults of a
connection are drawn from the seed and the connection's number.
"""

import socket
import struct
from collections import Counter
from functools import partial
from random import Random

import trio
from attrs import define, evolve, field, frozen

HOST = "127.0.0.1"
_WHOLE = 65536
_FORGET_S = 60.0  # a stalled connection that neither side closes ends after this
_PIECES = 400  # after this many pieces per direction, data is forwarded whole: small pieces cost as much as large ones
_LOST = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@frozen
class FaultPlan:
    """The faults of one connection.

    Each piece of at most `piece_bytes` waits for `delay_s` and up to `jitter_s` more, and passes at `bytes_per_s`; with
    probability `stall` it is held for up to 3 s. `end` is the connection's end: `reset`, `fin`, `swallow` (it stays
    open and no byte passes any more) or `none`; it comes after `after_s`, or within the server's bytes after
    `after_bytes` of them.
    """

    piece_bytes: int = _WHOLE
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = float("inf")
    stall: float = 0.0
    end: str = "none"
    after_s: float = float("inf")
    after_bytes: float = float("inf")


def drawn(chance: Random) -> FaultPlan:
    """Draw the faults of the next connection from the seed."""
    plan = FaultPlan(
        piece_bytes=chance.choice((_WHOLE, _WHOLE, _WHOLE, 1400, 97, 1)),
        delay_s=chance.choice((0.0, 0.0, 0.005, 0.05, 0.2)),
        jitter_s=chance.choice((0.0, 0.0, 0.01, 0.1)),
        bytes_per_s=chance.choice((float("inf"), float("inf"), 200_000.0, 20_000.0)),
        stall=chance.choice((0.0, 0.0, 0.0, 0.02)),
        end=chance.choices(("none", "reset", "fin", "swallow"), (3, 3, 2, 2))[0],
    )
    if plan.end == "none":
        return plan
    if chance.random() < 0.5:
        return evolve(plan, after_s=chance.choice((0.0, 0.01, 1.0, 5.0, 15.0)) * chance.random())
    return evolve(plan, after_bytes=int(2 ** chance.uniform(0, 17)))


@define(eq=False)
class Link:
    """One connection through the proxy, between the client's socket and the server's."""

    client: trio.SocketStream
    server: trio.SocketStream
    plan: FaultPlan
    chance: Random
    proxy: "Proxy"
    swallows: bool = False
    pumps: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Forward until both sides are done or the planned end has come."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._in_time)
                with self.pumps:
                    async with trio.open_nursery() as both:
                        both.start_soon(self._carry, self.client, self.server, float("inf"))
                        both.start_soon(self._carry, self.server, self.client, self.plan.after_bytes)
                nursery.cancel_scope.cancel()
        finally:
            self.client.socket.close()  # without a checkpoint, so that both are closed
            self.server.socket.close()

    def end(self, how: str) -> None:
        """End the connection in this way."""
        if self.pumps.cancel_called or self.swallows:
            return
        self.proxy.counts[how] += 1
        if how == "swallow":
            self.swallows = True
            return
        if how != "fin":
            _reset_at_close(self.client)
            _reset_at_close(self.server)
        self.pumps.cancel()

    async def _in_time(self) -> None:
        await trio.sleep(self.plan.after_s)
        self.end(self.plan.end)
        await trio.sleep(_FORGET_S)
        self.pumps.cancel()

    async def _carry(self, source: trio.SocketStream, target: trio.SocketStream, left: float) -> None:
        """Forward bytes, up to `left` of them; bytes after the planned end are read and dropped."""
        small = _PIECES
        try:
            while piece := await source.receive_some(self._size(small)):
                small -= 1
                if self.swallows:
                    continue
                left = await self._hand_on(piece, target, left)
            if not self.swallows:
                await target.send_eof()
        except _LOST:
            self.end("reset after a reset")

    async def _hand_on(self, piece: bytes, target: trio.SocketStream, left: float) -> float:
        pause_s = 0.0 if self.proxy.calm else self._pause_s(len(piece))
        await trio.sleep(max(pause_s + self.proxy.slow_s, self.proxy.frozen_until - trio.current_time()))
        if len(piece) < left:
            if not self.swallows:
                await target.send_all(piece)
            return left - len(piece)
        await target.send_all(piece[: int(left)])
        self.end(self.plan.end)
        return float("inf")

    def _size(self, small: int) -> int:
        most = self.plan.piece_bytes
        return _WHOLE if self.proxy.calm or small <= 0 else self.chance.randint(1, most) if most < _WHOLE else most

    def _pause_s(self, size: int) -> float:
        plan = self.plan
        pause_s = plan.delay_s + plan.jitter_s * self.chance.random() + size / plan.bytes_per_s
        if plan.stall and self.chance.random() < plan.stall:
            self.proxy.counts["stall"] += 1
            pause_s += 3 * self.chance.random()
        return pause_s


@define(eq=False)
class Proxy:
    """Listens on `port` and forwards to the server's port; `counts` has the faults injected.

    While `calm`, new connections have no faults; stalled connections stay stalled. Each piece waits `slow_s` besides.
    """

    seed: int
    server_port: int
    calm: bool = False
    port: int = 0
    counts: Counter[str] = field(factory=Counter)
    frozen_until: float = 0.0
    refusing_until: float = 0.0
    slow_s: float = 0.0
    _links: set[Link] = field(factory=set)

    @property
    def address(self) -> str:
        """The address for clients."""
        return f"http://{HOST}:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._weather)
            await nursery.start(partial(trio.serve_listeners, self._serve, listeners))
            task_status.started()

    async def _serve(self, client: trio.SocketStream) -> None:
        self.counts["connection"] += 1
        chance = Random(f"{self.seed}/{self.counts['connection']}")
        plan = FaultPlan() if self.calm else drawn(chance)
        if trio.current_time() < self.refusing_until:
            return await self._refuse(client)
        try:
            server = await self._server()
        except OSError:  # the server is down
            return await self._refuse(client)
        if plan.bytes_per_s < float("inf"):  # otherwise the kernel buffers all data and hides the delay
            for side, option in ((client, socket.SO_SNDBUF), (server, socket.SO_RCVBUF)):
                side.setsockopt(socket.SOL_SOCKET, option, 8192)
        link = Link(client, server, plan, chance, self)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def cut(self, how: str, share: float, chance: Random) -> int:
        """End this share of the connections, at least one, in the way `Link.end` names. Return their number."""
        links = sorted(self._links, key=id)
        chosen = [link for link in links if chance.random() < share] or links[:1]
        for link in chosen:
            link.end(how)
        return len(chosen)

    async def _server(self) -> trio.SocketStream:
        """Connect to the server. Raises OSError if it is down."""
        return await trio.open_tcp_stream(HOST, self.server_port)

    async def _refuse(self, client: trio.SocketStream) -> None:
        self.counts["refused"] += 1
        _reset_at_close(client)
        await trio.aclose_forcefully(client)

    async def _weather(self) -> None:
        """Inject faults common to all connections: an outage, a standstill, the loss of every third connection."""
        chance = Random(f"{self.seed}/weather")
        while True:
            await trio.sleep(chance.uniform(3, 12))
            if self.calm:
                continue
            befalls = chance.choice(("refusing", "standstill", "mass reset"))
            self.counts[befalls] += 1
            if befalls == "refusing":
                self.refusing_until = trio.current_time() + chance.uniform(0.5, 3)
            elif befalls == "standstill":
                self.frozen_until = trio.current_time() + chance.uniform(0.5, 3)
            else:
                for link in [link for link in self._links if chance.random() < 1 / 3]:
                    link.end("reset")


def _reset_at_close(side: trio.SocketStream) -> None:
    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
