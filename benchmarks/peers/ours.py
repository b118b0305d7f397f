"""Our actors, with everything on: lanes, counting, crash handling, and a timeout armed for each ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

import trio

from actors import Actor, ActorSystem, Ask, ChildSpec, Context, MailboxSpec

from .child import BURST, GROUP, Add, First, Held, Measure, serve


class Read(Ask[int]):
    """Answer with the count."""


class Counter(Actor):
    """Counts."""

    mailbox = MailboxSpec(capacity=BURST * 2)

    def __init__(self) -> None:
        self.seen = 0

    async def receive(self, message: object, context: Context) -> None:
        """Count, answer with the count, or note the moment."""
        match message:
            case Add(number):
                self.seen += number
            case Read() as ask:
                ask.reply(self.seen)
            case First():
                message.note()


async def tell(count: int) -> float:
    """Messages told and handled a second."""
    async with ActorSystem("benchmark") as system:
        counter = await system.spawn(ChildSpec("counter", Counter))
        start = perf_counter()
        for _ in range(count // BURST):
            for _ in range(BURST):
                counter.tell(Add(1))
            handled = await counter.ask(Read())
        seconds = perf_counter() - start
        assert handled == count
    return count / seconds


async def ask(count: int) -> float:
    """Questions answered a second, one at a time."""
    async with ActorSystem("benchmark") as system:
        counter = await system.spawn(ChildSpec("counter", Counter))
        start = perf_counter()
        for _ in range(count):
            await counter.ask(Read())
        return count / (perf_counter() - start)


async def spawn(count: int) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    async with ActorSystem("benchmark") as system:
        for _ in range(count // GROUP):
            refs = []
            for number in range(GROUP):
                spec, first = ChildSpec(f"{number}", Counter), First()
                start = perf_counter()
                ref = await system.spawn(spec)
                ref.tell(first)
                while not first.at:
                    await trio.lowlevel.checkpoint()
                seconds += first.at - start
                refs.append(ref)
            for ref in refs:
                await ref.stop()
    return count / seconds


async def reborn(count: int) -> float:
    """Microseconds from a kill until the next incarnation has handled a message; the mean of many."""
    seconds = 0.0
    async with ActorSystem("benchmark", intensity=count + 1, on_event=lambda _: None) as system:
        counter = await system.spawn(ChildSpec("counter", Counter))
        for _ in range(count):
            await counter.ask(Read())
            first = First()
            start = perf_counter()
            counter.kill()
            counter.tell(first)
            while not first.at:
                await trio.lowlevel.checkpoint()
            seconds += first.at - start
    return seconds / count * 1e6


async def idle(count: int, *, traced: bool, told: bool = False) -> float:
    """Bytes one more idle actor holds: one that was never told anything, or that handled one message."""
    async with ActorSystem("benchmark") as system:
        await system.spawn(ChildSpec("first", Counter))
        held = Held(traced=traced)
        for number in range(count):
            ref = await system.spawn(ChildSpec(f"{number}", Counter))
            if told:
                ref.tell(Add(1))
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        return held.each(count)


def in_trio(measure: Callable[[int], Awaitable[float]]) -> Measure:
    """The measure as a plain function."""
    return lambda count: trio.run(measure, count)


if __name__ == "__main__":
    serve(
        "ours",
        {
            "tell": in_trio(tell),
            "ask": in_trio(ask),
            "spawn": in_trio(spawn),
            "reborn_us": in_trio(reborn),
            "idle_resident": in_trio(partial(idle, traced=False)),
            "idle_traced": in_trio(partial(idle, traced=True)),
            "told_resident": in_trio(partial(idle, traced=False, told=True)),
        },
    )
