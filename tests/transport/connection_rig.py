"""A connection of a server in memory, and the raw client of that."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from tests.rigs.loopback_server import RawSocket, open_server, raw_socket
from tests.transport.outbox_rig import Counts
from transport.auth.identity import Identity
from transport.auth.tokens import Tokens
from transport.connection.websocket import WebSocketConnection
from transport.outbox.outbox import LogPage
from transport.server.listener import Upgrade
from transport.wire.commands import Command
from transport.wire.errors import CommandRejected
from transport.wire.events import Welcome
from transport.wire.messages import Deliver, SubscribeThread
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary
from understudy.wire.commands import Say
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentThinking, Envelope
from understudy.wire.vocabulary import VOCABULARY

ANN = Identity("ann", "s1")


@define
class Server:
    """Everything behind a connection, on a clock that follows trio's."""

    tokens: Tokens = field(init=False)
    counts: Counts = field(factory=Counts)
    commands: list[tuple[str, Command]] = field(factory=list)
    joined: list[str] = field(factory=list)
    connection_ids: list[str] = field(factory=list)
    left: list[str] = field(factory=list)
    retry_after: float = 0.0
    limited: tuple[type, ...] = (Say,)
    chunk_budget: ChunkBudget = field(factory=ChunkBudget)
    vocabulary: Vocabulary = VOCABULARY
    refusal: str | None = None
    fault: Exception | None = None

    def __attrs_post_init__(self) -> None:
        self.tokens = Tokens("s" * 32, self.clock)

    def clock(self) -> float:
        """Unix seconds that move with trio's clock, so that tokens run out in virtual time."""
        return 1_700_000_000.0 + trio.current_time() % 1_000_000

    @property
    def metrics(self) -> Counts:
        return self.counts

    def leave(self, connection_id: str) -> None:
        self.left.append(connection_id)

    def allow(self, who: Identity, command: Command) -> float:
        return self.retry_after if isinstance(command, self.limited) else 0.0

    def request_snapshot(self, who: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Ignore it."""

    async def verify(self, token: str) -> Identity:
        return self.tokens.verify(token)

    async def join(self, who: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        if self.refusal is not None:
            raise CommandRejected(self.refusal, "Not now.")
        self.joined.append(who.user)
        self.connection_ids.append(connection_id)
        return Welcome(connection_id, who.user, who.session, "0", {}, 25.0, {}, ())

    async def dispatch(self, who: Identity, command: Command, outbox: ActorRef) -> None:
        if self.fault is not None:
            raise self.fault
        self.commands.append((who.user, command))
        if isinstance(command, Say):
            outbox.tell(SubscribeThread("t", 0, 0))
            outbox.tell(Deliver(Envelope(AgentThinking("a", command.content, 1.0), 1.0, seq=1, thread_id="t")))

    async def read_log(self, who: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        return LogPage((), after)


@define
class Rig:
    """A connection and its client."""

    server: Server
    connection: ActorRef
    client: RawSocket

    async def send(self, *frames: Any) -> None:
        for frame in frames:
            self.client.protocol.send_text((frame if isinstance(frame, str) else json.dumps(frame)).encode())
        await self.client.flush()

    async def event(self) -> Any:
        with trio.fail_after(400):
            while (frame := await self.client.frame()).opcode is Opcode.PING:
                await self.client.flush()
        assert frame.opcode is Opcode.TEXT, self.client.protocol.close_rcvd
        return json.loads(bytes(frame.data))

    async def events(self, count: int) -> list[str]:
        return [(await self.event())["type"] for _ in range(count)]

    async def closed(self) -> tuple[int, str]:
        with trio.fail_after(200):
            while (frame := await self.client.frame()).opcode is Opcode.PING:
                await self.client.flush()
            assert frame.opcode is Opcode.CLOSE, frame
            await self.client.flush()
            await self.connection.wait_stopped()
        assert self.client.protocol.close_rcvd is not None
        return int(self.client.protocol.close_rcvd.code), self.client.protocol.close_rcvd.reason


@asynccontextmanager
async def open_rig(
    identity: Identity | None = ANN, dialect: Dialect = Dialect.CANONICAL, server: Server | None = None, **how: Any
) -> AsyncIterator[Rig]:
    """A server with one connection, and the raw client of that."""
    server = server or Server()
    refs: list[ActorRef] = []
    async with ActorSystem("test") as system:

        async def accept(upgrade: Upgrade) -> WebSocketConnection:
            socket = await upgrade.accept()
            connection = WebSocketConnection(socket, server, dialect, identity=identity, **how)
            refs.append(await system.spawn(ChildSpec("c", lambda: connection, restart=Restart.TEMPORARY)))
            return connection

        async with open_server(accept) as port, raw_socket(port) as client:
            await wait_all_tasks_blocked()
            yield Rig(server, refs[0], client)


@asynccontextmanager
async def greeted(*args: Any, **how: Any) -> AsyncIterator[Rig]:
    """A rig whose client has read the welcome."""
    async with open_rig(*args, **how) as rig:
        await rig.event()
        yield rig
