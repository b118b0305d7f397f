"""everything-is-an-actor: asyncio tasks with a bounded queue each; `ask` has a timeout. Crashes are restarted in place.

It has no kill: an actor is reborn here after a message that raises. Run as its documentation runs it, on asyncio's own
loop; uvloop, which that does not mention, makes its ask a fifth faster and its tell a little slower.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter

from actor_for_agents import Actor, ActorRef, ActorSystem
from actor_for_agents.supervision import OneForOneStrategy

from .child import BURST, GROUP, Add, Boom, Count, First, Held, Measure, Read, serve, turn

MAILBOX = BURST * 2


class Counter(Count, Actor[object, int]):
    """Counts."""

    on_receive = Count.take_async


class Parent(Actor[str, ActorRef]):
    """Supervises one counter, whatever it does."""

    def supervisor_strategy(self) -> OneForOneStrategy:
        """Restart without end."""
        return OneForOneStrategy(max_restarts=1_000_000_000, within_seconds=5.0)

    async def on_receive(self, message: str) -> ActorRef:
        """Start the counter; answer with its reference."""
        return await self.context.spawn(Counter, message, mailbox_size=MAILBOX)


async def tell(system: ActorSystem, count: int) -> float:
    """Messages told and handled a second."""
    counter = await system.spawn(Counter, "counter", mailbox_size=MAILBOX)
    start = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            await counter.tell(Add(1))
        handled = await counter.ask(Read())
    seconds = perf_counter() - start
    assert handled == count
    return count / seconds


async def ask(system: ActorSystem, count: int) -> float:
    """Questions answered a second, one at a time."""
    counter = await system.spawn(Counter, "counter", mailbox_size=MAILBOX)
    start = perf_counter()
    for _ in range(count):
        await counter.ask(Read())
    return count / (perf_counter() - start)


async def spawn(system: ActorSystem, count: int) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    for group in range(count // GROUP):
        refs = []
        for number in range(GROUP):
            name, first = f"{group}-{number}", First()
            start = perf_counter()
            ref = await system.spawn(Counter, name, mailbox_size=MAILBOX)
            await ref.tell(first)
            while not first.at:
                await turn()
            seconds += first.at - start
            refs.append(ref)
        for ref in refs:
            ref.stop()
            await ref.join()
    return count / seconds


async def reborn(system: ActorSystem, count: int) -> float:
    """Microseconds from telling it to crash until the next instance has handled a message; the mean of many."""
    parent = await system.spawn(Parent, "parent")
    counter = await parent.ask("counter")
    seconds = 0.0
    for _ in range(count):
        await counter.ask(Read())
        first = First()
        start = perf_counter()
        await counter.tell(Boom())
        await counter.tell(first)
        while not first.at:
            await turn()
        seconds += first.at - start
    return seconds / count * 1e6


async def idle(system: ActorSystem, count: int, *, traced: bool) -> float:
    """Bytes one more idle actor holds."""
    await system.spawn(Counter, "first", mailbox_size=MAILBOX)
    held = Held(traced=traced)
    for number in range(count):
        await system.spawn(Counter, f"{number}", mailbox_size=MAILBOX)
    for _ in range(3):
        await turn()
    return held.each(count)


def in_system(measure: Callable[[ActorSystem, int], Awaitable[float]]) -> Measure:
    """The measure as a plain function, in a system of its own."""

    async def run(count: int) -> float:
        system = ActorSystem("benchmark")
        try:
            return await measure(system, count)
        finally:
            await system.shutdown()

    return lambda count: asyncio.run(run(count))


if __name__ == "__main__":
    logging.disable()
    serve(
        f"everything-is-an-actor {version('everything-is-an-actor')}",
        {
            "tell": in_system(tell),
            "ask": in_system(ask),
            "spawn": in_system(spawn),
            "reborn_us": in_system(reborn),
            "idle_resident": in_system(lambda system, count: idle(system, count, traced=False)),
            "idle_traced": in_system(lambda system, count: idle(system, count, traced=True)),
        },
    )
