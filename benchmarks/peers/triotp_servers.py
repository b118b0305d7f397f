"""triotp: generic servers on trio's rendezvous channels, under its supervisors, on the trio 0.19 it asks for.

It has no kill: a server is reborn here after a message that raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter

import trio
from triotp import application, dynamic_supervisor, gen_server, mailbox, node, supervisor
from triotp.helpers import current_module

from .child import BURST, Add, Boom, Count, First, Held, Measure, Read, serve

HERE = current_module()
WORKERS = "workers"


async def init(count: object) -> Count:
    """A server's first state."""
    return Count()


async def handle_call(message: object, caller: object, count: Count) -> tuple[gen_server.Reply, Count]:
    """Hand the question to the counter."""
    return gen_server.Reply(payload=count.take(message)), count


async def handle_cast(message: object, count: Count) -> tuple[gen_server.NoReply, Count]:
    """Hand the message to the counter."""
    count.take(message)
    return gen_server.NoReply(), count


async def start(measure: Callable[[], Awaitable[None]]) -> None:
    """The application: a dynamic supervisor, and the measure beside it."""
    async with trio.open_nursery() as nursery:
        limits = supervisor.options(max_restarts=1_000_000_000, max_seconds=5)
        await nursery.start(dynamic_supervisor.start, limits, WORKERS)
        await measure()
        nursery.cancel_scope.cancel()


async def start_counter(name: str) -> None:
    """Start a counter under the supervisor."""
    spec = supervisor.child_spec(id=name, task=gen_server.start, args=[HERE, None, name])
    await dynamic_supervisor.start_child(WORKERS, spec)


async def tell_when_up(name: str, first: First) -> None:
    """Tell the first message as soon as the server has its mailbox, and wait until it is handled."""
    while True:
        try:
            await gen_server.cast(name, first)
            break
        except (mailbox.MailboxDoesNotExist, trio.ClosedResourceError, trio.BrokenResourceError):
            await trio.lowlevel.checkpoint()
    while not first.at:
        await trio.lowlevel.checkpoint()


async def tell(count: int) -> float:
    """Messages told and handled a second."""
    await start_counter("counter")
    await tell_when_up("counter", First())
    start = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            await gen_server.cast("counter", Add(1))
        handled = await gen_server.call("counter", Read())
    seconds = perf_counter() - start
    assert handled == count
    return count / seconds


async def ask(count: int) -> float:
    """Questions answered a second, one at a time."""
    await start_counter("counter")
    await tell_when_up("counter", First())
    start = perf_counter()
    for _ in range(count):
        await gen_server.call("counter", Read())
    return count / (perf_counter() - start)


async def spawn(count: int) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    for number in range(count):
        name, first = f"{number}", First()
        start = perf_counter()
        await start_counter(name)
        await tell_when_up(name, first)
        seconds += first.at - start
    return count / seconds


async def reborn(count: int) -> float:
    """Microseconds from telling it to crash until the next incarnation has handled a message; the mean of many."""
    await start_counter("counter")
    await tell_when_up("counter", First())
    seconds = 0.0
    for _ in range(count):
        first = First()
        start = perf_counter()
        await gen_server.cast("counter", Boom())
        await tell_when_up("counter", first)
        seconds += first.at - start
    return seconds / count * 1e6


async def idle(count: int, *, traced: bool) -> float:
    """Bytes one more idle actor holds."""
    await start_counter("first")
    await tell_when_up("first", First())
    held = Held(traced=traced)
    for number in range(count):
        await start_counter(f"{number}")
    await gen_server.call("first", Read())
    for _ in range(5):
        await trio.lowlevel.checkpoint()
    return held.each(count)


def in_node(measure: Callable[[int], Awaitable[float]]) -> Measure:
    """The measure as a plain function, in a node of its own."""

    def run(count: int) -> float:
        results: list[float] = []

        async def note() -> None:
            results.append(await measure(count))

        node.run(apps=[application.app_spec(module=HERE, start_arg=note, permanent=False)])
        return results[0]

    return run


if __name__ == "__main__":
    serve(
        f"triotp {version('triotp')} on trio {trio.__version__}",
        {
            "tell": in_node(tell),
            "ask": in_node(ask),
            "spawn": in_node(spawn),
            "reborn_us": in_node(reborn),
            "idle_resident": in_node(lambda count: idle(count, traced=False)),
            "idle_traced": in_node(lambda count: idle(count, traced=True)),
        },
    )
