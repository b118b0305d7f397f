"""Payments at a bank while actors and servers are killed: each order is paid once, and the log knows it.

effects_kills     actors and servers that were killed while an order was worked on
effects_twice     orders that the bank has paid more than once
effects_lost      orders whose payment is not in the log, or in the log and not at the bank
effects_unknown   orders of runs that were killed themselves, and which the log has as of unknown effect
effects_asked     orders of which the user was asked what became of them

Most kills are of actors in one process, up to four for one order: 70 % of the tool call (or of its `reconcile`), 25 %
of the conversation, which takes its runs with it, 5 % of the run. The rest are SIGKILLs of a server while all workers
have an order at work.
The bank is a process of its own, with its own ledger: see `benchmarks.agents.bank`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from benchmarks.agents import bank
from benchmarks.agents.killing import DATABASE, User, conversation, killed_server, serving, started, users
from benchmarks.agents.progress import Extent, Progress
from benchmarks.figure import Figure, all_cores
from understudy import Agent, Done, NotDone, ToolContext, tool
from understudy.app.server import Running
from understudy.chat.conversation.settling import SETTLE_AFTER_S
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn
from understudy.wire.events import CallSettled, QuestionAsked, ToolCompleted, ToolStatus
from understudy.wire.vocabulary import from_log

PORT = "UNDERSTUDY_BENCH_BANK"
USERS, WORKERS = 8, 24
"""Users, and the orders of each that are worked on at a time. Servers are killed under those of one."""
KILLS, SERVER_KILLS = 10_000, 40
SMALL = (20, 1)
ACTORS_PART = 0.75
"""Part of the time limit after which no more actors are killed, but servers."""
LIVES_S = (0.2, 0.6)
"""Seconds that a server lives."""
LATEST_S = 0.04
"""Latest moment of a kill, from the sending of the message."""
LOOK_S = 0.002
"""Seconds between two looks whether calls have begun."""
KILLS_PER_ORDER = 4
"""At most so many, as a call is not made again without end."""
ORDER_S = 300.0
"""Limit for one order: on a busy machine its servers may be killed many times before they get on."""


CALLS: dict[str, list[str]] = {}
"""The calls that pay for an order or look it up, in this process, each by its id as often as it has begun."""


def _bank() -> tuple[str, int]:
    return "127.0.0.1", int(os.environ[PORT])


async def paid(call_id: str, arguments: dict[str, Any]) -> Done | NotDone:
    """Look the payment up in the bank's ledger."""
    CALLS.setdefault(arguments["order"], []).append(call_id)
    order = await bank.find(_bank(), call_id)
    return NotDone() if order is None else Done(order)


@tool(reconcile=paid)
async def pay(order: str, context: ToolContext) -> str:
    """Pay for an order."""
    CALLS.setdefault(order, []).append(context.call_id)
    return await bank.pay(_bank(), context.call_id, order)


class Payer:
    """Pays for the order that the message names, then says so."""

    name = "payer"
    notice = "A script for benchmarks."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Request the call, or answer."""
        if turn.rounds == 0:
            return Reply(calls=(ToolRequest("c", "pay", {"order": turn.request}),))
        await emit(TextDelta("Paid."))
        return Reply("Paid.")


agent = Agent("payer", tools=[pay], model=Payer())


@define
class Orders:
    """The orders: the runs that worked on them, how long the slowest took, and what was killed.

    `unended` were given up after ORDER_S. `awaited` are the orders of which a killer waits for a call beyond so many.
    """

    progress: Progress
    count: int = 0
    runs: dict[str, str] = field(factory=dict)
    kills: Counter[str] = field(factory=Counter)
    slowest_s: float = 0.0
    unended: int = 0
    awaited: dict[str, tuple[int, trio.Event]] = field(factory=dict)

    async def place(self, user: User, thread_id: str, order: str) -> None:
        """Send an order, and wait until its run has ended."""
        message_id, sent = await user.client.say(order, thread_id=thread_id, agent_type="payer"), trio.current_time()
        with trio.move_on_after(ORDER_S) as limit:
            async for event in user.client.exchange(message_id):
                if event.run_id is not None:
                    self.runs[order] = event.run_id
        self.unended += limit.cancelled_caught
        self.slowest_s = max(self.slowest_s, trio.current_time() - sent)

    async def call(self, order: str, seen: int) -> None:
        """Wait until more than so many calls have begun for an order."""
        begun = trio.Event()
        self.awaited[order] = seen, begun
        await begun.wait()
        del self.awaited[order]

    def next(self) -> str:
        """Return a new order."""
        self.count += 1
        return f"order-{self.count}"

    def killed(self, kind: str) -> None:
        """Count a kill."""
        self.kills[kind] += 1
        self.progress.done += 1

    def details(self) -> str:
        """Return what is told of them meanwhile."""
        return f"kills of {dict(self.kills)}, {self.count:,} orders, the slowest {self.slowest_s:.1f} s"


async def _kill(running: Running, orders: Orders, user: User, thread_id: str, order: str) -> None:
    """Kill actors that work on an order: half of the time while its call is at work, else at any moment."""
    begun = 0
    for _ in range(random.randint(1, KILLS_PER_ORDER)):
        (kind,) = random.choices(("call", "conversation", "run"), (70, 25, 5))
        in_call = kind == "call" or random.random() < 0.5
        while True:
            if in_call:
                await orders.call(order, begun)
            await trio.sleep(random.uniform(0, 2 * bank.LONGEST_S if in_call else LATEST_S))
            calls, run_id = CALLS.get(order, []), orders.runs.get(order, "")
            paths: list[tuple[str, ...]] = [(run_id,)] if kind == "run" else [()]
            if kind == "call":
                paths = [(run_id, f"{role}{call_id}") for call_id in calls[-1:] for role in ("", "reconcile-")]
            begun = len(calls)
            found = [ref for path in paths if (ref := conversation(running, user, thread_id, *path)) is not None]
            if found:
                found[0].kill()
                orders.killed(kind)
                break


async def _wake_killers(orders: Orders) -> None:
    """Tell killers of the calls that have begun, maybe on the loop of the tools."""
    while True:
        await trio.sleep(LOOK_S)
        for order, (seen, begun) in orders.awaited.items():
            if len(CALLS.get(order, ())) > seen:
                begun.set()


async def _kill_actors(folder: Path, orders: Orders, kills: int) -> None:
    count = 1 if kills < USERS * WORKERS else USERS
    async with serving(folder, agent) as running, users(running.address, count) as all_users:

        async def work(user: User, number: int) -> None:
            placed = 0
            while orders.kills.total() < kills and not orders.progress.over(ACTORS_PART):
                placed += 1
                thread_id, order = f"actors-{number}-{placed // 3}", orders.next()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_kill, running, orders, user, thread_id, order)
                    await orders.place(user, thread_id, order)
                    nursery.cancel_scope.cancel()
                orders.awaited.pop(order, None)

        async with trio.open_nursery() as killers:
            killers.start_soon(_wake_killers, orders)
            async with trio.open_nursery() as workers:
                for user in all_users:
                    for number in range(WORKERS):
                        workers.start_soon(work, user, number)
            killers.cancel_scope.cancel()
        await trio.sleep(2 * SETTLE_AFTER_S)  # calls of the last runs that were killed are settled


async def _kill_servers(folder: Path, orders: Orders, kills: int) -> None:
    """Kill a server again and again while all workers of a user place orders."""

    def again() -> bool:
        orders.killed("server")
        return orders.kills["server"] < kills and not orders.progress.over()

    async with (
        killed_server(folder, f"{__name__}:agent", LIVES_S, again) as server,
        users(server.address, 1, server.note) as (user,),
    ):

        async def work(number: int) -> None:
            while not server.done.is_set():
                with suppress(trio.WouldBlock):
                    await orders.place(user, f"servers-{number}", orders.next())

        async with trio.open_nursery() as workers:
            for number in range(WORKERS):
                workers.start_soon(work, number)
        await trio.sleep(2 * SETTLE_AFTER_S)


def _verdict(log: Path, ledger: Path, orders: Orders) -> Counter[str]:
    """Compare the bank's ledger with the log of the orders' runs."""
    with sqlite3.connect(ledger) as connection:
        at_bank = Counter(row[0] for row in connection.execute("SELECT for_order FROM payments"))
    verdict = Counter(twice=sum(count > 1 for count in at_bank.values()), lost=0, unknown=0, asked=0)
    with sqlite3.connect(log) as connection:
        for order, run_id in orders.runs.items():
            rows = connection.execute("SELECT body FROM events WHERE run_id = ? ORDER BY seq", (run_id,))
            events = [from_log(body).event for (body,) in rows]
            ends = [event for event in events if isinstance(event, ToolCompleted)]
            settled = [event.effect for event in events if isinstance(event, CallSettled)]
            known = any(end.status is ToolStatus.OK for end in ends) or "done" in settled
            unknown = any(end.effect for end in ends) and settled in ([], ["unknown"])
            verdict["asked"] += any(isinstance(event, QuestionAsked) for event in events)
            verdict["unknown"] += unknown
            verdict["lost"] += not unknown and known != (at_bank[order] > 0)
    verdict["lost"] += sum(order not in orders.runs for order in at_bank)
    return verdict


async def _measure(orders: Orders, kills: int, server_kills: int) -> Counter[str]:
    orders.progress.details = orders.details
    with tempfile.TemporaryDirectory() as name:
        folder, ledger = Path(name) / "data", Path(name) / "bank.db"
        async with started("benchmarks.agents.bank", str(ledger)) as (_, port), orders.progress.told():
            os.environ[PORT] = port
            await _kill_actors(folder, orders, kills)
            await _kill_servers(folder, orders, server_kills)
        return _verdict(folder / DATABASE, ledger, orders)


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure the figures of this module."""
    kills, server_kills = SMALL if extent.small else (KILLS, SERVER_KILLS)
    orders = Orders(Progress("effects", kills + server_kills, extent.limit_s))
    with all_cores():
        verdict = trio.run(_measure, orders, kills, server_kills)
    yield Figure("effects_kills", orders.progress.count("kills"), orders.kills.total())
    for kind, count in sorted(orders.kills.items()):
        yield Figure(f"effects_kills_{kind}", "kills", count)
    for name in ("twice", "lost", "unknown", "asked"):
        yield Figure(f"effects_{name}", f"orders of {orders.count:,}", verdict[name])
    yield Figure("effects_unended", f"orders of {orders.count:,}", orders.unended)
    yield Figure("effects_slowest_s", "s", round(orders.slowest_s, 1))
