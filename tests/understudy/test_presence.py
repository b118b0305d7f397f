"""Which connections each user has."""

from collections.abc import AsyncIterator

import pytest

from actors import Actor, ActorRef, ActorSystem, ChildSpec
from understudy.presence import Presence


@pytest.fixture
async def outboxes() -> AsyncIterator[list[ActorRef]]:
    """References of three actors."""
    async with ActorSystem("test") as system:
        yield [await system.spawn(ChildSpec(name, Actor)) for name in ("a", "b", "c")]


async def test_each_user_has_as_many_as_are_allowed(outboxes: list[ActorRef]) -> None:
    """One more is refused and changes nothing; one that leaves makes room."""
    presence, (a, b, c) = Presence(2), outboxes
    assert presence.arrive("ada", "1", a)
    assert presence.arrive("ada", "2", b)
    assert not presence.arrive("ada", "3", c)
    assert presence.outboxes("ada") == (a, b)
    assert presence.arrive("bob", "4", c)
    presence.leave("1")
    assert presence.arrive("ada", "3", c)
    assert presence.outboxes("ada") == (b, c)
    assert len(presence) == 3


async def test_a_connection_that_arrives_again_is_one(outboxes: list[ActorRef]) -> None:
    """Under the same user it takes no second place; under another it has left the first."""
    presence, (a, b, _) = Presence(1), outboxes
    assert presence.arrive("anon-1", "1", a)
    assert presence.arrive("anon-1", "1", a)
    assert presence.arrive("ada", "1", a)
    assert presence.outboxes("anon-1") == ()
    assert presence.outboxes("ada") == (a,)
    assert not presence.arrive("ada", "2", b)
    assert len(presence) == 1


async def test_leaving_twice_or_without_coming_is_harmless(outboxes: list[ActorRef]) -> None:
    """Whoever is not here can leave."""
    presence = Presence(1)
    presence.arrive("ada", "1", outboxes[0])
    for name in ("1", "1", "never"):
        presence.leave(name)
    assert (len(presence), presence.outboxes("ada")) == (0, ())
