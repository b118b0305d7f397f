"""The table of each user's connections."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, Supervision
from transport.auth.identity import Identity
from transport.wire.messages import Close
from understudy.chat.presence import Presence

ADA, BOB = Identity("ada", "s-1"), Identity("bob", "s-1")


@pytest.fixture
async def outboxes() -> AsyncIterator[list[ActorRef]]:
    async with ActorSystem("test") as system:
        yield [await system.spawn(ChildSpec(name, Actor)) for name in ("a", "b", "c")]


async def test_each_user_has_as_many_as_are_allowed(outboxes: list[ActorRef]) -> None:
    presence, (a, b, c) = Presence(2), outboxes
    assert presence.register(ADA, "1", a)
    assert presence.register(ADA, "2", b)
    assert not presence.register(ADA, "3", c)
    assert presence.outboxes("ada", "t") == (a, b)
    assert presence.register(BOB, "4", c)
    for name in ("1", "1", "never"):
        presence.unregister(name)
    assert presence.register(ADA, "3", c)
    assert presence.outboxes("ada", "t") == (b, c)
    assert len(presence) == 3


async def test_a_connection_that_arrives_again_is_one(outboxes: list[ActorRef]) -> None:
    presence, (a, b, _) = Presence(1), outboxes
    assert presence.register(Identity("anon-1", "s"), "1", a)
    assert presence.register(Identity("anon-1", "s"), "1", a)
    assert presence.register(ADA, "1", a)
    assert presence.outboxes("anon-1", "t") == ()
    assert presence.outboxes("ada", "t") == (a,)
    assert not presence.register(ADA, "2", b)
    assert len(presence) == 1


async def test_a_stream_of_one_thread_gets_no_other(outboxes: list[ActorRef]) -> None:
    presence, (a, b, c) = Presence(3, clock=iter((1.0, 2.0, 3.0)).__next__), outboxes
    presence.register(ADA, "1", a)
    presence.register(ADA, "2", b)
    presence.register(BOB, "3", c)
    presence.restrict_to_thread("2", "t")
    presence.restrict_to_thread("nobody", "t")
    assert presence.outboxes("ada", "t") == (a, b)
    assert presence.outboxes("ada", "u") == (a,)
    assert presence.opened("ada", "t") == {a: 1.0, b: 2.0}
    assert presence.opened("ada", "u") == {a: 1.0}
    assert presence.outboxes_of() == (a, b, c)


class Sentry(Actor):
    supervision = Supervision()

    def __init__(self) -> None:
        self.heard: list[object] = []

    async def on_start(self, context: Context) -> None:
        self.outbox = await context.spawn(ChildSpec("outbox", Actor))

    async def receive(self, message: object, context: Context) -> None:
        self.heard.append(message)


async def test_only_the_connections_of_that_session_are_dismissed() -> None:
    presence, sentries = Presence(5), [Sentry() for _ in range(3)]
    async with ActorSystem("system") as system:
        for sentry, identity in zip(sentries, (ADA, Identity("ada", "s-2"), BOB), strict=True):
            await system.spawn(ChildSpec(identity.user + identity.session, lambda sentry=sentry: sentry))
            presence.register(identity, f"{identity.user}-{identity.session}", sentry.outbox)
        assert presence.close_session(ADA, lambda _: None) == 0, "none of them is there any more"
        assert presence.close_session(ADA, system.find) == 1
        await trio.testing.wait_all_tasks_blocked()
    assert [sentry.heard for sentry in sentries] == [[Close(4401, "signed out")], [], []]
