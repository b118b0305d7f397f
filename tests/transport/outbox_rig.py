"""An outbox with a log in memory and a raw client."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from tests.rigs.loopback_server import RawSocket, open_server, raw_socket
from transport.outbox.outbox import LogPage, Outbox, OutboxLimits
from transport.server.listener import Upgrade
from transport.server.socket import SocketLimits
from transport.wire.events import PartialResult
from transport.wire.messages import Deliver
from transport.wire.vocabulary import Vocabulary
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentThinking, Envelope
from understudy.wire.vocabulary import VOCABULARY


def thought(seq: int, thread_id: str = "t", text: str = "hm") -> Envelope:
    return Envelope(AgentThinking("a", text, 1.0), 1.0, seq=seq, thread_id=thread_id, run_id="r", message_id="m")


def text(offset: int, words: str, thread_id: str = "t", message_id: str = "m", epoch: str = "") -> Envelope:
    names = {"thread_id": thread_id, "run_id": "r", "message_id": message_id, "text_epoch": epoch}
    return Envelope(PartialResult(words, offset), 1.0, **names)


@define
class Log:
    """A log in memory, as the storage would page through it."""

    events: list[Envelope] = field(factory=list)
    reads: list[tuple[str, int, int]] = field(factory=list)
    trimmed: int = 0
    failure: Exception | None = None
    gate: trio.Event | None = None
    incarnation: float | None = None
    exists: bool = True

    async def read(self, thread_id: str, after: int, limit: int) -> LogPage:
        self.reads.append((thread_id, after, limit))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        mine = [event for event in self.events if event.thread_id == thread_id]
        head = max((event.seq or 0 for event in mine), default=0)
        later = [event for event in mine if (event.seq or 0) > max(after, self.trimmed)]
        await trio.lowlevel.checkpoint()
        return LogPage(later[:limit], head, self.incarnation, self.exists)


@define
class Counts:
    """An observer that remembers."""

    sent: list[str] = field(factory=list)
    lags: list[float] = field(factory=list)
    dropped: list[str] = field(factory=list)
    errors: list[str] = field(factory=list)
    received: list[str] = field(factory=list)
    returned: int = 0
    connections: list[int] = field(factory=list)
    closed: list[int] = field(factory=list)
    ignored: list[str] = field(factory=list)
    rendered: list[int] = field(factory=list)
    rtts: list[float] = field(factory=list)

    def on_ignored(self, command_type: str) -> None:
        self.ignored.append(command_type)

    def on_acked(self, behind: int) -> None:
        self.rendered.append(behind)

    def on_ponged(self, rtt_s: float) -> None:
        self.rtts.append(rtt_s)

    def on_sent(self, event_types: Sequence[str], times: Sequence[float], now: float) -> None:
        self.sent += event_types
        self.lags += [now - time for time in times]

    def on_dropped(self, event_type: str) -> None:
        self.dropped.append(event_type)

    def on_error(self, code: str) -> None:
        self.errors.append(code)

    def on_received(self, command_type: str) -> None:
        self.received.append(command_type)

    def on_returned(self) -> None:
        self.returned += 1

    def on_connection(self, change: int, dialect: str) -> None:
        self.connections.append(change)

    def on_closed(self, code: int) -> None:
        self.closed.append(code)


@define
class Rig:
    """An outbox, its client, and its log."""

    outbox: ActorRef
    client: RawSocket
    log: Log
    counts: Counts
    snapshots: list[str]
    vocabulary: Vocabulary

    def tell(self, *envelopes: Envelope) -> None:
        """Deliver events, all in one message: between two the outbox may write, on a machine that is held up."""
        self.outbox.tell(Deliver(*envelopes))

    async def frames(self, count: int) -> list[Any]:
        with trio.fail_after(60):
            return [json.loads(bytes((await self.client.frame()).data)) for _ in range(count)]

    async def seqs(self, count: int) -> list[int]:
        return [frame["seq"] for frame in await self.frames(count)]

    async def close_code(self) -> int:
        with trio.fail_after(60):
            while (await self.client.frame()).opcode is not Opcode.CLOSE:
                pass
        await self.client.flush()
        assert self.client.protocol.close_rcvd is not None
        return int(self.client.protocol.close_rcvd.code)


@asynccontextmanager
async def open_rig(dialect: Dialect = Dialect.CANONICAL, **limits: Any) -> AsyncIterator[Rig]:
    log, counts, snapshots, encoder = Log(), Counts(), [], VOCABULARY
    refs: list[ActorRef] = []
    async with ActorSystem("test") as system:

        async def serve(upgrade: Upgrade) -> None:
            socket = await upgrade.accept()

            def new_outbox() -> Outbox:
                return Outbox(
                    socket,
                    dialect,
                    vocabulary=encoder,
                    read_log=log.read,
                    request_snapshot=snapshots.append,
                    metrics=counts,
                    limits=OutboxLimits(**limits),
                    clock=lambda: 3.5,
                )

            refs.append(await system.spawn(ChildSpec("outbox", new_outbox, restart=Restart.TEMPORARY)))
            await refs[0].wait_stopped()

        async with open_server(serve, socket=SocketLimits(send_buffer_bytes=4096)) as port, raw_socket(port) as client:
            await wait_all_tasks_blocked()
            yield Rig(refs[0], client, log, counts, snapshots, encoder)
