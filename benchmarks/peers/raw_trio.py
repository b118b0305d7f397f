"""No actors at all: trio's tasks and memory channels, for what is left when a library costs nothing."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import trio

from .child import BURST, GROUP, Add, First, Held, Read, serve
from .ours import in_trio


async def tell(count: int) -> float:
    """Messages put into a memory channel and taken out by another task, a second."""
    send, receive = trio.open_memory_channel[object](BURST * 2)
    reply, answer = trio.open_memory_channel[int](1)

    async def consume() -> None:
        seen = 0
        async for message in receive:
            match message:
                case Add(number):
                    seen += number
                case Read():
                    reply.send_nowait(seen)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        start = perf_counter()
        for _ in range(count // BURST):
            for _ in range(BURST):
                send.send_nowait(Add(1))
            send.send_nowait(Read())
            handled = await answer.receive()
        seconds = perf_counter() - start
        assert handled == count
        nursery.cancel_scope.cancel()
    return count / seconds


async def ask(count: int) -> float:
    """Questions answered a second over two memory channels, one at a time."""
    send, receive = trio.open_memory_channel[object](1)
    reply, answer = trio.open_memory_channel[int](1)

    async def consume() -> None:
        seen = 0
        async for message in receive:
            match message:
                case Add(number):
                    seen += number
                case Read():
                    await reply.send(seen)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        start = perf_counter()
        for _ in range(count):
            await send.send(Read())
            await answer.receive()
        seconds = perf_counter() - start
        nursery.cancel_scope.cancel()
    return count / seconds


async def spawn(count: int) -> float:
    """Tasks started a second in a bare nursery, one at a time, each until it first ran."""
    seconds = 0.0

    async def run(first: First) -> None:
        first.note()
        await trio.sleep_forever()

    for _ in range(count // GROUP):
        async with trio.open_nursery() as nursery:
            for _ in range(GROUP):
                first = First()
                start = perf_counter()
                nursery.start_soon(run, first)
                while not first.at:
                    await trio.lowlevel.checkpoint()
                seconds += first.at - start
            nursery.cancel_scope.cancel()
    return count / seconds


async def idle(count: int, *, traced: bool) -> float:
    """Bytes one more sleeping task holds."""
    async with trio.open_nursery() as nursery:
        held = Held(traced=traced)
        for _ in range(count):
            nursery.start_soon(trio.sleep_forever)
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        each = held.each(count)
        nursery.cancel_scope.cancel()
    return each


if __name__ == "__main__":
    serve(
        f"trio {trio.__version__}",
        {
            "tell": in_trio(tell),
            "ask": in_trio(ask),
            "spawn": in_trio(spawn),
            "idle_resident": in_trio(partial(idle, traced=False)),
            "idle_traced": in_trio(partial(idle, traced=True)),
        },
    )
