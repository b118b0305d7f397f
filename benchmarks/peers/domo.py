"""DomoActors: a method call on a proxy becomes a message; each message is an asyncio task. Asks have no timeout.

Its restart runs two hooks of the object that failed and goes on with it: nobody is reborn, so that is not measured.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any

from domo_actors import Actor, Definition, LocalStage, Logger, Protocol
from domo_actors.actors.address import NumericAddress
from domo_actors.actors.protocol import ProtocolInstantiator

from .child import BURST, GROUP, Add, Count, First, Held, Measure, Read, serve, turn


class Counter(Count, Actor):
    """Counts."""


class MakeCounter(ProtocolInstantiator):
    """Makes a counter."""

    def instantiate(self, definition: Definition) -> Actor:
        """Make it."""
        return Counter()


class CounterProtocol(Protocol):
    """The counter's protocol."""

    def type(self) -> str:
        """Its name."""
        return "Counter"

    def instantiator(self) -> ProtocolInstantiator:
        """Its maker."""
        return MakeCounter()


class Silence(Logger):
    """A log that keeps nothing: the default prints."""

    def debug(self, message: str, error: Exception | None = None) -> None:
        """Nothing."""

    info = warn = error = debug


COUNTER = CounterProtocol()


def start_counter(stage: LocalStage) -> Any:
    """A new counter."""
    return stage.actor_for(COUNTER, Definition("Counter", NumericAddress(), ()))


async def tell(stage: LocalStage, count: int) -> float:
    """Messages told and handled a second."""
    counter = start_counter(stage)
    start = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            counter.take_async(Add(1))
        handled = await counter.take_async(Read())
    seconds = perf_counter() - start
    assert handled == count
    return count / seconds


async def ask(stage: LocalStage, count: int) -> float:
    """Questions answered a second, one at a time."""
    counter = start_counter(stage)
    start = perf_counter()
    for _ in range(count):
        await counter.take_async(Read())
    return count / (perf_counter() - start)


async def spawn(stage: LocalStage, count: int) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    for _ in range(count // GROUP):
        counters = []
        for _ in range(GROUP):
            first = First()
            start = perf_counter()
            counter = start_counter(stage)
            counter.take_async(first)
            while not first.at:
                await turn()
            seconds += first.at - start
            counters.append(counter)
        for counter in counters:
            await counter.stop()
    return count / seconds


async def idle(stage: LocalStage, count: int, *, traced: bool) -> float:
    """Bytes one more idle actor holds."""
    start_counter(stage)
    held = Held(traced=traced)
    for _ in range(count):
        start_counter(stage)
    for _ in range(3):
        await turn()
    return held.each(count)


def on_stage(measure: Callable[[LocalStage, int], Awaitable[float]]) -> Measure:
    """The measure as a plain function, on a stage of its own."""

    async def run(count: int) -> float:
        return await measure(LocalStage(Silence()), count)

    return lambda count: asyncio.run(run(count))


if __name__ == "__main__":
    sys.setrecursionlimit(10 * BURST)  # its mailbox handles a backlog by recursion, a few frames a message
    serve(
        f"domo-actors {version('domo-actors')}",
        {
            "tell": on_stage(tell),
            "ask": on_stage(ask),
            "spawn": on_stage(spawn),
            "idle_resident": on_stage(lambda stage, count: idle(stage, count, traced=False)),
            "idle_traced": on_stage(lambda stage, count: idle(stage, count, traced=True)),
        },
    )
