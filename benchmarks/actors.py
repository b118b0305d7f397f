"""The actors in numbers, beside Pykka (threads) and beside raw trio (no actors at all).

tell    messages told and handled a second, one sender and one receiver
ask     questions answered a second, one at a time
spawn   actors started and stopped a second
idle    bytes one more idle actor holds
reborn  microseconds from a kill until the next incarnation answers to its name
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter

import pykka
import trio
import trio.testing
from attrs import frozen

from actors import Actor, ActorSystem, Ask, ChildSpec, Context, MailboxSpec

from .figure import Figure, medians

TELLS = 100_000
TELL_BURST = 1_000
ASKS = 20_000
SPAWNS = 1_000
IDLE_ACTORS = 2_000
KILLS = 300


@frozen
class Read(Ask[int]):
    """Ask for the count."""


class Counter(Actor):
    """Counts what it is told."""

    mailbox = MailboxSpec(capacity=TELL_BURST * 2)

    def __init__(self) -> None:
        self.seen = 0

    async def receive(self, message: object, context: Context) -> None:
        """Count, or answer with the count."""
        match message:
            case Read() as ask:
                ask.reply(self.seen)
            case _:
                self.seen += 1


class Reborn(Actor):
    """Notes when it started."""

    started_at = 0.0
    reborn: trio.Event

    async def on_start(self, context: Context) -> None:
        """Note the time and tell whoever waits."""
        type(self).started_at = perf_counter()
        type(self).reborn.set()


class PykkaCounter(pykka.ThreadingActor):
    """The same in Pykka."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def on_receive(self, message: object) -> int:
        """Count, or answer with the count."""
        if message == "read":
            return self.seen
        self.seen += 1
        return 0


def _in_trio(measure: Callable[[], Awaitable[float]]) -> Callable[[], float]:
    return lambda: trio.run(measure)


async def _tell() -> float:
    async with ActorSystem("benchmark") as system:
        counter = await system.spawn(ChildSpec("counter", Counter))
        start = perf_counter()
        for _ in range(TELLS // TELL_BURST):
            for number in range(TELL_BURST):
                counter.tell(number)
            handled = await counter.ask(Read())
        assert handled == TELLS
        return TELLS / (perf_counter() - start)


async def _ask() -> float:
    async with ActorSystem("benchmark") as system:
        counter = await system.spawn(ChildSpec("counter", Counter))
        start = perf_counter()
        for _ in range(ASKS):
            await counter.ask(Read())
        return ASKS / (perf_counter() - start)


async def _spawn() -> float:
    start = perf_counter()
    async with ActorSystem("benchmark") as system:
        for number in range(SPAWNS):
            await system.spawn(ChildSpec(f"{number}", Counter))
    return SPAWNS / (perf_counter() - start)


async def _reborn() -> float:
    async with ActorSystem("benchmark", intensity=KILLS + 1, on_event=lambda _: None) as system:
        Reborn.reborn = trio.Event()
        ref = await system.spawn(ChildSpec("reborn", Reborn))
        total = 0.0
        for _ in range(KILLS):
            await trio.lowlevel.checkpoint()
            Reborn.reborn = trio.Event()
            start = perf_counter()
            ref.kill()
            await Reborn.reborn.wait()
            total += Reborn.started_at - start
        return total / KILLS * 1e6


async def _idle() -> float:
    async with ActorSystem("benchmark") as system:
        await system.spawn(ChildSpec("first", Counter))
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(IDLE_ACTORS):
            await system.spawn(ChildSpec(f"{number}", Counter))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return held / IDLE_ACTORS


async def _idle_task() -> float:
    async with trio.open_nursery() as nursery:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(IDLE_ACTORS):
            nursery.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        nursery.cancel_scope.cancel()
    return held / IDLE_ACTORS


async def _channel_tell() -> float:
    send, receive = trio.open_memory_channel[int](TELL_BURST * 2)
    seen = 0

    async def count() -> None:
        nonlocal seen
        async for _ in receive:
            seen += 1

    start = perf_counter()
    async with trio.open_nursery() as nursery, send:
        nursery.start_soon(count)
        for number in range(TELLS):
            await send.send(number)
    assert seen == TELLS
    return TELLS / (perf_counter() - start)


async def _channel_ping_pong() -> float:
    ping_send, ping_receive = trio.open_memory_channel[int](1)
    pong_send, pong_receive = trio.open_memory_channel[int](1)

    async def answer() -> None:
        async for number in ping_receive:
            await pong_send.send(number)

    async with trio.open_nursery() as nursery, ping_send:
        nursery.start_soon(answer)
        start = perf_counter()
        for number in range(ASKS):
            await ping_send.send(number)
            await pong_receive.receive()
        return ASKS / (perf_counter() - start)


async def _task_spawn() -> float:
    start = perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(SPAWNS):
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return SPAWNS / (perf_counter() - start)


def _pykka_tell() -> float:
    counter = PykkaCounter.start()
    start = perf_counter()
    for number in range(TELLS):
        counter.tell(number)
    assert counter.ask("read") == TELLS
    elapsed = perf_counter() - start
    counter.stop()
    return TELLS / elapsed


def _pykka_ask() -> float:
    counter = PykkaCounter.start()
    start = perf_counter()
    for _ in range(ASKS):
        counter.ask("read")
    elapsed = perf_counter() - start
    counter.stop()
    return ASKS / elapsed


def _pykka_spawn() -> float:
    start = perf_counter()
    actors = [PykkaCounter.start() for _ in range(SPAWNS)]
    for actor in actors:
        actor.stop()
    return SPAWNS / (perf_counter() - start)


def figures() -> Iterator[Figure]:
    """Measure and yield, one by one."""
    tell, pykka_tell, channel = medians(_in_trio(_tell), _pykka_tell, _in_trio(_channel_tell))
    yield Figure("tell", "1/s", tell, {"pykka": pykka_tell, "trio channel": channel})
    ask, pykka_ask, ping_pong = medians(_in_trio(_ask), _pykka_ask, _in_trio(_channel_ping_pong))
    yield Figure("ask", "1/s", ask, {"pykka": pykka_ask, "trio ping-pong": ping_pong})
    spawn, pykka_spawn, task = medians(_in_trio(_spawn), _pykka_spawn, _in_trio(_task_spawn))
    yield Figure("spawn", "1/s", spawn, {"pykka": pykka_spawn, "trio task": task})
    idle, idle_task = medians(_in_trio(_idle), _in_trio(_idle_task))
    yield Figure("idle_actor_bytes", "B", idle, {"trio task": idle_task})
    (reborn,) = medians(_in_trio(_reborn))
    yield Figure("reborn_us", "us", reborn)
