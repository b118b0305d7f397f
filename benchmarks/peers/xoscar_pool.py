"""xoscar: actors in a pool, by messages; and, with the argument `local`, by the short cut it has within one pool.

`create_actor` hands out a reference that sends messages. `actor_ref` hands out one that calls the method in the
caller's own task, under the actor's lock: no mailbox, no switch of tasks, no timeout. That is no messaging, so it is
measured apart. xoscar restarts processes, not actors: nothing is reborn.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter

import uvloop
import xoscar
from xoscar.core import ActorRef

from .child import BURST, GROUP, Add, Count, First, Held, Measure, Read, serve, turn

ADDRESS = "test://127.0.0.1:13527"


class Counter(Count, xoscar.Actor):
    """Counts."""


async def start_counter(address: str, uid: str, *, local: bool) -> ActorRef:
    """A new counter; its reference takes the short cut or not."""
    ref = await xoscar.create_actor(Counter, uid=uid, address=address)
    return await xoscar.actor_ref(address=address, uid=uid) if local else ref


async def tell(address: str, count: int, *, local: bool) -> float:
    """Messages told and handled a second."""
    counter = await start_counter(address, "counter", local=local)
    start = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            await counter.take_async.tell(Add(1))
        handled = await counter.take_async(Read())
    while handled < count:
        handled = await counter.take_async(Read())
    seconds = perf_counter() - start
    await xoscar.destroy_actor(counter)
    return count / seconds


async def ask(address: str, count: int, *, local: bool) -> float:
    """Questions answered a second, one at a time."""
    counter = await start_counter(address, "counter", local=local)
    start = perf_counter()
    for _ in range(count):
        await counter.take_async(Read())
    seconds = perf_counter() - start
    await xoscar.destroy_actor(counter)
    return count / seconds


async def spawn(address: str, count: int, *, local: bool) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    for _ in range(count // GROUP):
        counters = []
        for number in range(GROUP):
            uid, first = f"{number}", First()
            start = perf_counter()
            counter = await start_counter(address, uid, local=local)
            await counter.take_async.tell(first)
            while not first.at:
                await turn()
            seconds += first.at - start
            counters.append(counter)
        for counter in counters:
            await xoscar.destroy_actor(counter)
    return count / seconds


async def idle(address: str, count: int, *, traced: bool) -> float:
    """Bytes one more idle actor holds."""
    await start_counter(address, "first", local=True)
    held = Held(traced=traced)
    for number in range(count):
        await xoscar.create_actor(Counter, uid=f"{number}", address=address)
    return held.each(count)


def in_pool(measure: Callable[[str, int], Awaitable[float]]) -> Measure:
    """The measure as a plain function, in a pool of its own."""

    async def run(count: int) -> float:
        pool = await xoscar.create_actor_pool(ADDRESS, n_process=0)
        async with pool:
            return await measure(pool.external_address, count)

    return lambda count: uvloop.run(run(count))


if __name__ == "__main__":
    logging.disable()
    local = sys.argv[1:] == ["local"]
    messaging = {
        "tell": in_pool(lambda address, count: tell(address, count, local=local)),
        "ask": in_pool(lambda address, count: ask(address, count, local=local)),
        "spawn": in_pool(lambda address, count: spawn(address, count, local=local)),
    }
    holding = {
        "idle_resident": in_pool(lambda address, count: idle(address, count, traced=False)),
        "idle_traced": in_pool(lambda address, count: idle(address, count, traced=True)),
    }
    what = f"xoscar {version('xoscar')} on uvloop"
    if local:
        serve(f"{what}, local calls", messaging)
    else:
        serve(what, messaging | holding)
