"""A system in virtual time, and what it told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio.testing

from actors import ActorRef, ActorSystem, Event
from tests.actors.behaviours import lights
from tests.actors.keepers import Stage, keeping
from tests.actors.troupe import player


@pytest.fixture
def events() -> list[Event]:
    """Everything the system told."""
    return []


@pytest.fixture
async def system(autojump_clock: trio.testing.MockClock, events: list[Event]) -> AsyncIterator[ActorSystem]:
    """A system whose hour takes milliseconds."""
    async with ActorSystem("test", intensity=3, on_event=events.append, seed=1) as system:
        yield system


@pytest.fixture
async def keeper(system: ActorSystem) -> Stage:
    """A keeper that keeps."""
    return await keeping(system)


@pytest.fixture
async def light(system: ActorSystem) -> lights.Stage:
    """A light that is red."""
    return await lights.start(system)


@pytest.fixture
async def ref(system: ActorSystem) -> ActorRef:
    """A player at `/test/a`."""
    return await system.spawn(player("a"))
