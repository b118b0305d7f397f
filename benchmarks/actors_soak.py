"""A million messages through one system: what is held after the first hundred thousand is all that is ever held.

soak_growth_bytes     bytes Python's allocator holds after 1,000,000 messages, less those after 100,000
soak_growth_objects   the same in objects that the garbage collector knows

Tells over three lanes, asks (answered, timed out, cancelled), crashes with restarts, starts and stops, watches, timers
and dead letters are mixed. Both are counted after the system came to rest and garbage was collected.

Some ten kilobytes either way say nothing: tables keep the size of their fullest moment, such as the one of the asks'
deadlines, and the interpreter keeps blocks of freed tuples for the next ones, above all those of `match`, which
formatting a traceback uses too. So the actors here match without captures.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from functools import cache

import trio
from attrs import define, frozen

from actors import Actor, ActorRef, ActorSystem, Ask, AskTimeout, ChildSpec, Context, Lane, Restart, Terminated
from actors.ref import ASK_TIMEOUT_S

from .figure import Figure

FIRST = 100_000
LAST = 1_000_000
TELLS = 180
"""Tells in one round of the mix; with everything else in it, about 200 messages are handled in a round."""
GIVE_UP_EVERY = 50
"""Rounds between two asks that time out: each waits for a deadline, which comes up to 16 ms late."""


@define
class Tally:
    """How many messages were handled, by all actors together."""

    handled: int = 0


@frozen
class Held:
    """What is held at one moment: bytes of Python's allocator, objects of the garbage collector."""

    bytes: int
    objects: int


class Read(Ask[int]):
    """Answer with the tally."""


class Hold(Ask[int]):
    """Never answered: its caller gives up."""


@frozen
class Boom:
    """Crash."""


@frozen
class Watch:
    """Watch this actor, and set a timer for it."""

    ref: ActorRef


class Worker(Actor):
    """Counts; watches; crashes when told to."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.waiting: Hold | None = None

    async def receive(self, message: object, context: Context) -> None:
        """Count every message, and do what it says."""
        self.tally.handled += 1
        match message:
            case Read() as ask:
                ask.reply(self.tally.handled)
            case Hold() as ask:
                if self.waiting is not None:
                    self.waiting.reply(0)
                self.waiting = ask
            case Watch():
                context.watch(message.ref)
                context.set_timer("tick", 0.0, "tick")
            case Terminated():
                context.cancel_timer("tick")
                context.set_timer("tock", 0.0, "tock")
            case Boom():
                raise RuntimeError("told to crash")


async def mix(system: ActorSystem, tally: Tally, worker: ActorRef, watcher: ActorRef) -> None:
    """One round of everything."""
    for number in range(TELLS):
        worker.tell(number, lane=(Lane.ALERT, Lane.HIGH, Lane.NORMAL)[number % 3])
    for _ in range(10):
        await worker.ask(Read())
    child = await system.spawn(ChildSpec("child", lambda: Worker(tally), restart=Restart.TEMPORARY))
    watcher.tell(Watch(child))
    await watcher.ask(Read())
    await child.ask(Read())
    await child.stop()
    child.tell("too late")
    with trio.move_on_after(0):
        await worker.ask(Hold())
    worker.tell(Boom())
    await worker.ask(Read())
    await watcher.ask(Read())


async def give_up(worker: ActorRef) -> None:
    """An ask that nobody answers in time."""
    try:
        await worker.ask(Hold(), timeout_s=0.0)
    except AskTimeout:
        return


async def soak(first: int, last: int) -> tuple[Held, Held]:
    """What is held after `first` messages, and after `last`."""
    tally = Tally()
    marks = []
    rounds = 0
    async with ActorSystem(
        "soak", intensity=1_000_000, period_s=0.05, on_event=lambda _: None, dead_letter_capacity=10, seed=1
    ) as system:
        worker = await system.spawn(ChildSpec("worker", lambda: Worker(tally)))
        watcher = await system.spawn(ChildSpec("watcher", lambda: Worker(tally)))
        for mark in (first, last):
            while tally.handled < mark:
                await mix(system, tally, worker, watcher)
                rounds += 1
                if rounds % GIVE_UP_EVERY == 0:
                    await give_up(worker)
            marks.append(await at_rest(worker))
    return marks[0], marks[1]


async def at_rest(worker: ActorRef) -> Held:
    """What is held once nothing is under way, and the deadline of every ask that was answered in time has passed."""
    await trio.sleep(ASK_TIMEOUT_S + 1)
    await worker.ask(Read())
    gc.collect()
    return Held(tracemalloc.get_traced_memory()[0], len(gc.get_objects()))


@cache
def growth() -> Held:
    """How much more is held at the end; measured once in a process, whoever asks."""
    tracemalloc.start()
    try:
        early, late = trio.run(soak, FIRST, LAST)
    finally:
        tracemalloc.stop()
    return Held(late.bytes - early.bytes, late.objects - early.objects)


def figures() -> Iterator[Figure]:
    """Measure and yield."""
    grown = growth()
    yield Figure("soak_growth_bytes", "B", grown.bytes)
    yield Figure("soak_growth_objects", "objects", grown.objects)
