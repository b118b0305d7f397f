"""The actor of an event stream: its ends and its metrics."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from tests.rigs.callbacks import FakeCallbacks
from tests.rigs.sse import Parser
from transport.auth.identity import Identity
from transport.connection.event_stream import READ_DEADLINE_S, EventStreamConnection, GetOutbox
from transport.outbox.outbox import LogPage
from transport.server.eventstream import EventStream, encode_comment, encode_event
from transport.wire.events import Drain
from transport.wire.messages import Close, Deliver, Reply, SubscribeThread
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentProgress, AgentThinking, Alert, Envelope

NOW = 1_795_154_400.0


@define
class Counted:
    """An observer that remembers."""

    connections: list[tuple[int, str]] = field(factory=list)
    closed: list[int] = field(factory=list)

    def on_connection(self, change: int, dialect: str) -> None:
        self.connections.append((change, dialect))

    def on_closed(self, code: int) -> None:
        self.closed.append(code)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def thought(seq: int, thread_id: str = "t") -> Envelope:
    return Envelope(AgentThinking("a", "hm", 1.0), NOW, seq=seq, thread_id=thread_id, run_id="r", message_id="m")


@define
class Watched:
    """A running stream connection, with the written payloads and the metrics."""

    ref: ActorRef
    stream: EventStream
    counted: Counted
    left: list[str]
    parser: Parser = field(factory=Parser)

    async def outbox(self) -> ActorRef:
        return await self.ref.ask(GetOutbox())

    async def kinds(self) -> list[str]:
        events = [event async for piece in self.stream for event in self.parser.feed(piece)]
        await self.stream.aclose()
        return [event.kind for event in events]


@define
class StreamCallbacks(FakeCallbacks):
    """Callbacks over a log that can be read unless it is None, on trio's clock."""

    log: list[Envelope] | None = field(kw_only=True)
    left: list[str] = field(kw_only=True)

    def clock(self) -> float:
        return NOW + trio.current_time()

    def leave(self, connection_id: str) -> None:
        self.left.append(connection_id)

    async def read_log(self, who: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        if self.log is None:
            raise OSError("the disk is gone")
        mine = [event for event in self.log if event.thread_id == thread_id]
        return LogPage([event for event in mine if (event.seq or 0) > after][:limit], len(mine))


@asynccontextmanager
async def watched(
    *, log: list[Envelope] | None = None, expires_at: float = math.inf, ended: bool = False
) -> AsyncIterator[Watched]:
    """A stream of the thread `t`; `ended` before its actor starts."""
    stream = EventStream(lambda: encode_comment("beat"), beat_s=3600.0, write_s=60.0)
    if ended:
        await stream.aclose()
    counted, left = Counted(), []

    callbacks = StreamCallbacks(counted, log=log, left=left)
    identity = Identity("ada", "s", expires_at=expires_at)

    def make() -> EventStreamConnection:
        options: dict[str, Any] = {"dialect": Dialect.CANONICAL, "wrap_frame": encode_event, "label": "canonical"}
        return EventStreamConnection(stream, callbacks, identity, "t", connection_id="c", **options)

    async with ActorSystem("system") as system:
        ref = await system.spawn(ChildSpec("c", make, restart=Restart.TEMPORARY))
        yield Watched(ref, stream, counted, left)
        await ref.stop()
        assert left == ["c"]
        assert counted.connections == [(1, "canonical"), (-1, "canonical")]
        assert len(counted.closed) == 1


async def test_only_its_own_thread_and_what_is_of_none_goes_out() -> None:
    log = [thought(1), thought(2), thought(3), thought(1, "other")]
    progress = Envelope(AgentProgress(1.0, "step 1"), NOW, thread_id="other", run_id="r", message_id="m")
    async with watched(log=log) as connection, trio.open_nursery() as nursery:
        kinds: list[str] = []
        nursery.start_soon(collect, connection, kinds)
        outbox = await connection.outbox()
        for message in (
            SubscribeThread("other", 0, 1), SubscribeThread("t", 0, 2),
            Deliver(thought(1, "other")), Reply(thought(1, "other")),
            Deliver(), Deliver(progress), Deliver(Envelope(Alert("news"), NOW)), Deliver(thought(3)),
        ):  # fmt: skip
            outbox.tell(message)
        await wait_all_tasks_blocked()
        connection.ref.tell(Close(1001))
        await connection.ref.wait_stopped()
        assert sorted(kinds) == ["agent_thinking"] * 3 + ["alert"]
        assert connection.parser.last_id == "3"


async def collect(connection: Watched, kinds: list[str]) -> None:
    kinds.extend(await connection.kinds())


async def test_a_reader_that_never_begins_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with watched(log=[]) as connection:
        began = trio.current_time()
        await connection.ref.wait_stopped()
        assert trio.current_time() - began == pytest.approx(READ_DEADLINE_S)


async def test_a_stream_that_ended_before_its_actor_is_not_waited_for(autojump_clock: MockClock) -> None:
    """Its request was cancelled: the actor ends at once."""
    async with watched(log=[], ended=True) as connection:
        began = trio.current_time()
        await connection.ref.wait_stopped()
        assert trio.current_time() == began


async def test_a_reader_that_has_begun_may_stay(autojump_clock: MockClock) -> None:
    async with watched(log=[]) as connection, trio.open_nursery() as nursery:
        nursery.start_soon(connection.kinds)
        await trio.sleep(10 * READ_DEADLINE_S)
        assert connection.ref.alive
        nursery.cancel_scope.cancel()


async def test_a_token_that_runs_out_is_told_once(autojump_clock: MockClock) -> None:
    """At the second it does; then the stream ends with 4401."""
    async with watched(log=[], expires_at=NOW + 300.0) as connection:
        assert await connection.kinds() == ["error"]
        assert 300.0 <= trio.current_time() < 302.5
        assert connection.stream.code == 4401


async def test_a_drain_leaves_time_for_what_is_at_work(autojump_clock: MockClock) -> None:
    """The drain event is sent at once; the stream ends after `closes_in_s`."""
    async with watched(log=[]) as connection, trio.open_nursery() as nursery:
        (await connection.outbox()).tell(SubscribeThread("t", 0, 0))
        connection.ref.tell(Drain(2.0, 5.0))
        kinds: list[str] = []
        nursery.start_soon(collect, connection, kinds)
        await trio.sleep(4.0)
        (await connection.outbox()).tell(Deliver(thought(1)))
        await connection.ref.wait_stopped()
        assert trio.current_time() == pytest.approx(5.0, abs=0.1)
        assert kinds == ["drain", "agent_thinking"]
        assert connection.stream.code == 1001


async def test_a_log_that_cannot_be_read_ends_the_stream() -> None:
    async with watched(log=None) as connection:
        (await connection.outbox()).tell(SubscribeThread("t", 0, 5))
        assert await connection.kinds() == []
        assert connection.stream.code == 1013


async def test_an_outbox_that_breaks_ends_the_stream_with_an_error_id(caplog: pytest.LogCaptureFixture) -> None:
    async with watched(log=[]) as connection:
        outbox = await connection.outbox()
        outbox.tell(Deliver("not an event"))  # type: ignore[arg-type]
        await connection.ref.wait_stopped()
        assert connection.stream.code == 1011
        (record,) = [record for record in caplog.records if record.message == "connection.failed"]
        assert connection.stream.reason == f"internal error {record.__dict__['error_id']}"


async def test_a_killed_stream_ends_and_is_counted_out() -> None:
    async with watched(log=[]) as connection:
        await connection.outbox()
        connection.ref.kill()
        await connection.ref.wait_stopped()
        assert connection.left == ["c"]
        assert await connection.kinds() == []
        assert connection.stream.code == 1001
