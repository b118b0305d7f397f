"""Two nodes that share a database: how fast events cross, what that costs, and how fast one takes over."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio
from attrs import define, field, frozen

from benchmarks.wire.server import ServerFailed
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

from .grown import Times
from .servers import Node
from .tabs import Tab

_LONG_S = 120.0


@frozen
class Cluster:
    """Where nodes find what they share; a `redis` carries their wakeups. Each figure gets a database of its own."""

    postgres: Postgres
    redis: Redis | None = None

    def nodes(self, stack: ExitStack, count: int) -> list[Node]:
        """So many nodes, each on a core of its own as far as there are any."""
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="understudy-bench-")))
        shared = {"UNDERSTUDY_DATABASE_URL": self.postgres.create()}
        if self.redis is not None:
            shared |= {"UNDERSTUDY_NODES_REDIS_URL": self.redis.url, "UNDERSTUDY_NODES_WAKEUPS_BY_REDIS": "true"}
        return [stack.enter_context(Node(folder / str(core), core, **shared)) for core in range(count)]


# append_to_follower_ms


def append_to_follower(cluster: Cluster, events: int, threads: int = 10) -> Times:
    """From the append of an event to its receipt by a client of the other node."""
    with ExitStack() as stack:
        owner, other = cluster.nodes(stack, 2)
        late = trio.run(_crossing, owner, other, events // threads, threads)
    if len(late) < events // threads * threads:
        raise ServerFailed(f"{len(late)} events crossed, where {events} should have")
    return Times.of(late)


async def _crossing(owner: Node, other: Node, each: int, threads: int) -> list[float]:
    late: list[float] = []
    done = Ends(threads)

    def take(event: dict[str, Any]) -> None:
        if event["type"] == "agent_thinking":
            late.append(time.time() - datetime.fromisoformat(event["timestamp"]).timestamp())
        done.take(event)

    async with trio.open_nursery() as nursery:
        here, there = Tab(owner, "crosser"), Tab(other, "crosser", take)
        await here.open(nursery)
        await there.open(nursery)
        names = [f"crossing-{number}" for number in range(threads)]
        for name in names:
            await here.say(name, "thoughts=1 words=1 pace=100")
        await _accepted(here, names)
        await there.follow(*names)
        await done.reach(threads)
        late.clear()
        done.count = 0
        for name in names:
            await here.say(name, f"thoughts={each} words=1 pace=10")
        await done.reach(threads)
        nursery.cancel_scope.cancel()
    return late


@define(eq=False)
class Ends:
    """How many runs have ended, of `wanted`; `by_run` how often each."""

    wanted: int
    count: int = 0
    by_run: dict[str, int] = field(factory=dict)
    failed: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """Look at an event."""
        if event["type"] in ("final_response", "error") and event.get("seq") is not None:
            self.count += 1
            self.by_run[event["run_id"]] = self.by_run.get(event["run_id"], 0) + 1
            self.failed += event["data"].get("status") != "success"

    async def reach(self, count: int) -> None:
        """Wait for so many. Raises ServerFailed after a while."""
        with trio.move_on_after(_LONG_S):
            for _ in iter(lambda: self.count < count, False):
                await trio.sleep(0.005)
            return
        raise ServerFailed(f"{self.count} runs ended, where {count} should have")


async def _accepted(tab: Tab, threads: list[str]) -> None:
    """Wait until something is known of every thread."""
    with trio.move_on_after(_LONG_S):
        for _ in iter(lambda: all(tab.last.get(thread, 0) >= 2 for thread in threads), True):
            await trio.sleep(0.01)
        return
    raise ServerFailed(f"{sum(thread not in tab.last for thread in threads)} messages were not accepted")


# two_nodes_cost


def cost(cluster: Cluster, messages: int) -> float:
    """Return the processor time of a message over two nodes, times that of one; each is followed by a second client."""
    taken = {}
    for count in (1, 2):
        with ExitStack() as stack:
            nodes = cluster.nodes(stack, count)
            trio.run(_talking, nodes[0], nodes[-1], 10, "first")  # what a node does once
            before = sum(node.cpu_s() for node in nodes)
            trio.run(_talking, nodes[0], nodes[-1], messages, "then")
            taken[count] = sum(node.cpu_s() for node in nodes) - before
    return taken[2] / taken[1]


async def _talking(owner: Node, other: Node, messages: int, name: str, threads: int = 10) -> None:
    ends = Ends(messages)
    async with trio.open_nursery() as nursery:
        here, there = Tab(owner, "talker"), Tab(other, "talker", ends.take)
        await here.open(nursery)
        await there.open(nursery)
        for number in range(messages):
            await here.say(f"{name}-{number % threads}", "thoughts=3 words=27 pace=200")
            await trio.sleep(0.05)
        await ends.reach(messages)
        nursery.cancel_scope.cancel()


# failover_s


@frozen
class Failover:
    """Seconds from the kill until the last answer went on; `lost` never ended well, `twice` ended more than once."""

    seconds: float
    lost: int
    twice: int


def failover(cluster: Cluster, answers: int) -> Failover:
    """Kill the node that writes all these answers; they are followed on the other one."""
    with ExitStack() as stack:
        return trio.run(_failing, *cluster.nodes(stack, 2), answers)


async def _failing(first: Node, second: Node, answers: int) -> Failover:
    ends, shown = Ends(answers), dict[str, float]()
    killed_at = math.inf

    def take(event: dict[str, Any]) -> None:
        ends.take(event)
        goes_on = event["type"] in ("partial_result", "final_response", "agent_thinking")
        if goes_on and event["thread_id"] not in shown and time.monotonic() > killed_at:
            shown[event["thread_id"]] = time.monotonic() - killed_at

    names = [f"writing-{number}" for number in range(answers)]
    async with trio.open_nursery() as nursery:
        here, there = Tab(first, "reader"), Tab(second, "reader", take)
        await here.open(nursery)
        await there.open(nursery)
        for name in names:
            await here.say(name, "thoughts=1 words=60 pace=2.5")
        await _accepted(here, names)
        await there.follow(*names)
        await _accepted(there, names)
        await trio.sleep(2.0)  # all are in the middle of their answers
        first.close()
        await trio.sleep(0.05)  # what was on its way is no sign of the other's work
        killed_at = time.monotonic() - 0.05
        with trio.move_on_after(_LONG_S):
            for _ in iter(lambda: len(shown) < answers, False):
                await trio.sleep(0.01)
        with trio.move_on_after(_LONG_S):
            await ends.reach(answers)
        nursery.cancel_scope.cancel()
    seconds = max(shown.values()) if len(shown) == answers else math.inf
    twice = sum(times > 1 for times in ends.by_run.values())
    return Failover(seconds, answers - len(ends.by_run) + ends.failed, twice)
