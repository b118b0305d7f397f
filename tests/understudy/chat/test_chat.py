"""What doors do with the chat: messages and streams that are accepted, refused ones, and their subscribers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field

from actors import ActorDied, ActorRef, ActorSystem, ChildSpec, Supervisor
from tests.rigs.callbacks import FakeCallbacks
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionLimits
from transport.server.eventstream import EventStream, encode_comment
from transport.wire.commands import Command, Resume
from transport.wire.errors import CommandRejected
from transport.wire.events import Welcome
from transport.wire.messages import Deliver, SubscribeThread
from understudy.chat.chat import Chat
from understudy.chat.commands.request import Accepted
from understudy.chat.envelope_stream import EnvelopeStream
from understudy.chat.presence import Presence
from understudy.wire.commands import Cancel, Edit, Respond, Say
from understudy.wire.events import AgentThinking, Envelope

ADA = Identity("ada", "s", expires_at=math.inf)


@define
class Desk:
    refuse: bool = False
    taken: list[tuple[Command, ActorRef | None]] = field(factory=list)

    async def dispatch(
        self, identity: Identity, command: Command, outbox: ActorRef | None, *, door: str | None = None
    ) -> Accepted | None:
        if self.refuse:
            raise CommandRejected("not_found")
        self.taken.append((command, outbox))
        return Accepted("m", "r", "t") if isinstance(command, Say) else None


@define
class House:
    """A chat with its dispatcher and presence."""

    chat: Chat
    desk: Desk
    presence: Presence
    closing: bool = False
    retry_after: float = 0.0


@define(kw_only=True)
class StreamCallbacks(FakeCallbacks):
    """Callbacks that register connections in `presence` and hand commands to `desk`."""

    desk: Desk
    presence: Presence
    retry_after: Callable[[], float]

    async def join(self, identity: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        if not self.presence.register(identity, connection_id, outbox):
            raise CommandRejected("rate_limited")
        return Welcome(connection_id, identity.user, identity.session, "1", {}, 25.0, {}, ())

    def leave(self, connection_id: str) -> None:
        self.presence.unregister(connection_id)

    async def dispatch(
        self, identity: Identity, command: Command, outbox: ActorRef | None, *, door: str = ""
    ) -> object:
        return await self.desk.dispatch(identity, command, outbox, door=door)

    def allow(self, identity: Identity, command: Command) -> float:
        return self.retry_after()


def house(connections: ActorRef | None) -> House:
    """A chat around a dispatcher that records every command."""
    desk, presence = Desk(), Presence(2)

    def find() -> ActorRef:
        if connections is None:
            raise ActorDied("/system/connections")
        return connections

    host: Any = desk
    callbacks = StreamCallbacks(desk=desk, presence=presence, retry_after=lambda: built.retry_after)
    built = House(Chat(host, callbacks, presence, find, ConnectionLimits(), lambda: built.closing), desk, presence)
    return built


def a_stream() -> EventStream:
    return EventStream(lambda: encode_comment("beat"))


async def opened(built: House, stream: EventStream) -> None:
    assert await built.chat.follow(ADA, "t", stream, door="canonical", welcome=True) is stream


@pytest.fixture
async def connections(nursery: Any) -> Any:
    async with ActorSystem("system") as system:
        yield await system.spawn(ChildSpec("connections", Supervisor))


async def test_a_stream_begins_with_its_welcome_and_its_command(connections: ActorRef) -> None:
    built, stream = house(connections), a_stream()
    await opened(built, stream)
    assert b"event: welcome" in await anext(stream)
    ((command, outbox),) = built.desk.taken
    assert command == Resume({"t": 0})
    assert built.presence.outboxes("ada", "t") == (outbox,)
    await stream.aclose()
    for connection in connections.children():
        await connection.wait_stopped()
    assert built.presence.outboxes("ada", "t") == ()


async def test_a_refused_stream_leaves_nothing_behind(connections: ActorRef) -> None:
    built = house(connections)
    built.desk.refuse = True
    with pytest.raises(CommandRejected) as refused:
        await opened(built, stream := a_stream())
    assert (refused.value.code, stream.open) == ("not_found", False)
    for connection in connections.children():
        await connection.wait_stopped()
    assert built.presence.outboxes("ada", "t") == ()
    built.desk.refuse = False
    streams = [a_stream() for _ in range(3)]
    for earlier in streams[:2]:
        await opened(built, earlier)
    with pytest.raises(CommandRejected) as refused:
        await opened(built, streams[2])
    assert refused.value.code == "rate_limited"
    assert [stream.open for stream in streams] == [True, True, False]


async def test_a_server_that_cannot_take_it_says_so() -> None:
    with pytest.raises(CommandRejected) as refused:
        await opened(house(None), stream := a_stream())
    assert (refused.value.code, refused.value.retry_after, stream.open) == ("busy", 1.0, False)


async def test_a_server_that_goes_away_begins_nothing(connections: ActorRef) -> None:
    built = house(connections)
    built.closing = True
    for refused_one in (
        opened(built, a_stream()),
        built.chat.accept(ADA, Say("hi")),
        built.chat.accept(ADA, Edit("m", "x")),
    ):
        with pytest.raises(CommandRejected) as refused:
            await refused_one
        assert refused.value.code == "busy"
    await built.chat.stop(ADA, "r")
    await built.chat.answer(ADA, Respond("q", {}))
    assert built.desk.taken == [(Cancel("r"), None), (Respond("q", {}), None)]


async def test_a_command_is_counted_before_it_is_done() -> None:
    built = house(None)
    assert await built.chat.accept(ADA, Say("hi")) == Accepted("m", "r", "t")
    built.retry_after = 2.5
    for refused_one in (
        built.chat.accept(ADA, Say("hi")),
        built.chat.answer(ADA, Respond("q", {})),
        built.chat.stop(ADA, "r"),
    ):
        with pytest.raises(CommandRejected) as refused:
            await refused_one
        assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 2.5)
    assert len(built.desk.taken) == 1
    await built.chat.accept(ADA, Say("hi"), limited=False)
    await built.chat.stop(ADA, "r", limited=False)
    assert len(built.desk.taken) == 3


async def test_a_message_is_accepted_once_its_stream_is_there(connections: ActorRef) -> None:
    built, stream = house(connections), EnvelopeStream()
    built.retry_after = 2.5
    await built.chat.follow(ADA, "t", stream, Say("hi", "t"), door="test")
    ((command, outbox),) = built.desk.taken
    assert (command, built.presence.outboxes("ada", "t")) == (Say("hi", "t"), (outbox,))
    assert outbox is not None
    envelopes = [Envelope(AgentThinking("a", f"{seq}", 0.0), 1.5, seq, "t", "r") for seq in (1, 2)]
    outbox.tell(SubscribeThread("t", 0, 0))
    outbox.tell(Deliver(*envelopes))
    assert [await anext(stream), await anext(stream)] == envelopes
    assert not stream.ready
    await stream.aclose()
