"""Our transport as the product wires it: listener, socket, connection actor, outbox, encoder, metrics; without the
chat.

A message to `/events` says what is wanted: `own BURSTS` events of this connection's own thread, `room NAME CLIENTS`
the bursts that a whole room gets.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import trio
from attrs import define, field

from actors import ActorRef, ActorSystem, ChildSpec, Restart, StartChild, Supervisor
from benchmarks.wire.events import BURST, burst, envelope, thought
from benchmarks.wire.paces import Paces
from benchmarks.wire.servers.control import announce, freeze, listen, pin
from transport.auth.identity import Identity
from transport.connection.websocket import WebSocketConnection
from transport.outbox.outbox import LogPage
from transport.server.listener import Upgrade, serve
from transport.wire.commands import Command
from transport.wire.events import Welcome
from transport.wire.messages import Deliver, SubscribeThread
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary
from understudy.observe.connection_metrics import PrometheusConnectionMetrics
from understudy.observe.metrics import Metrics
from understudy.wire.commands import Say
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import VOCABULARY


@define
class Room:
    """Connections that are all sent the same events."""

    thread_id: str
    paces: Paces
    outboxes: list[ActorRef] = field(factory=list)

    def send(self, after: int) -> None:
        """Tell a burst to everybody in it."""
        message = Deliver(*burst(self.thread_id, after), shared=True)
        for outbox in self.outboxes:
            outbox.tell(message)


class Hall:
    """`ConnectionCallbacks` that send bursts of events; the chat has this part in the product."""

    def __init__(self, vocabulary: Vocabulary, metrics: PrometheusConnectionMetrics) -> None:
        self.vocabulary = vocabulary
        self.metrics = metrics
        self.chunk_budget = ChunkBudget()
        self.rooms: dict[str, Room] = {}
        self.outboxes: dict[str, ActorRef] = {}
        self.heads: dict[str, int] = {}
        self.names: dict[ActorRef, str] = {}

    async def dispatch(self, who: Identity, command: Command, outbox: ActorRef | None) -> None:
        """Do what the client asks."""
        if not isinstance(command, Say) or outbox is None:
            return
        match command.content.split():
            case ["own", bursts]:
                for _ in range(int(bursts)):
                    self.own(who, outbox)
                    await trio.lowlevel.checkpoint()
            case ["room", name, clients]:
                self.room(name, int(clients), outbox)

    def own(self, who: Identity, outbox: ActorRef) -> None:
        """The next burst of a connection's own thread."""
        after = self.heads.get(who.user, 0)
        if after == 0:
            outbox.tell(SubscribeThread(who.user, 0, 0))
        self.heads[who.user] = after + BURST
        outbox.tell(Deliver(*burst(who.user, after)))

    def room(self, name: str, clients: int, outbox: ActorRef) -> None:
        """A client joins a room, or has taken a burst."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = Room(name, Paces(clients, lambda after: self.rooms[name].send(after)))
        if outbox not in self.names:
            self.names[outbox] = name
            outbox.tell(SubscribeThread(name, 0, 0))
            room.outboxes.append(outbox)
        room.paces.take()

    async def join(self, who: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        """A connection has come."""
        self.outboxes[connection_id] = outbox
        return Welcome(connection_id, who.user, who.session, "bench", {}, 25.0, {}, ("batch",))

    def leave(self, connection_id: str) -> None:
        """A connection has ended."""
        outbox = self.outboxes.pop(connection_id, None)
        if outbox is None:
            return
        self.heads.pop(connection_id, None)  # which is its user's name too
        name = self.names.pop(outbox, None)
        if name is not None:
            self.rooms[name].outboxes.remove(outbox)
            if not self.rooms[name].outboxes:
                del self.rooms[name]

    def clock(self) -> float:
        """Return the time in Unix seconds."""
        return time.time()

    def allow(self, who: Identity, command: Command) -> float:
        """Allow everything."""
        return 0.0

    async def verify(self, token: str) -> Identity:
        """No connection brings a token."""
        raise LookupError("no tokens here")

    def request_snapshot(self, who: Identity, thread_id: str, outbox: ActorRef) -> None:
        """No answer is streamed."""

    def head(self, thread_id: str) -> int:
        """The last `seq` of a thread."""
        if thread_id in self.rooms:
            return self.rooms[thread_id].paces.bursts * BURST
        return self.heads.get(thread_id, 0)

    async def read_log(self, who: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        """A page of a log that can be written again: for a client that fell behind, as in the product."""
        await trio.lowlevel.checkpoint()
        head = self.head(thread_id)
        now = time.time()
        page: list[Envelope] = [
            envelope(thread_id, seq, now, thought(seq)) for seq in range(after + 1, min(after + limit, head) + 1)
        ]
        return LogPage(page, head)


async def _no_http(scope: Any, receive: Any, send: Any) -> None:
    """Nothing is asked over HTTP here."""


@define
class Upgrades:
    """Accepts every upgrade and starts its connection."""

    hall: Hall
    connections: ActorRef
    numbers: itertools.count[int] = field(factory=itertools.count)

    async def handle_upgrade(self, upgrade: Upgrade) -> WebSocketConnection:
        """Accept."""
        socket = await upgrade.accept()
        name = f"user-{next(self.numbers)}"
        connection = WebSocketConnection(
            socket, self.hall, Dialect.CANONICAL, identity=Identity(name, name), connection_id=name
        )
        await self.connections.ask(StartChild(ChildSpec(name, lambda: connection, restart=Restart.TEMPORARY)))
        return connection


async def run_server() -> None:
    """Serve until the process ends."""
    pin()
    listener = listen()
    async with ActorSystem("bench") as system:
        hall = Hall(VOCABULARY, Metrics().connections)
        spec = ChildSpec("connections", lambda: Supervisor((), intensity=10_000, stop_together=True))
        connections = await system.spawn(spec)
        freeze()
        announce(listener.getsockname()[1])
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        await serve(listeners, asgi_app=_no_http, upgrade_handler=Upgrades(hall, connections))


if __name__ == "__main__":
    trio.run(run_server)
