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
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from actors import TreeNode
from benchmarks.agents import bank
from benchmarks.figure import Figure
from transport.client import Client, Reconnect, open_client
from transport.connection.limits import Limits
from transport.wire.codec import from_log
from transport.wire.events import CallSettled, QuestionAsked, ToolCompleted, ToolStatus, Welcome
from understudy import Agent, Done, NotDone, ToolContext, tool
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.chat.conversation.conversation import SETTLE_AFTER_S
from understudy.chat.placement import actor_name
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn

DATABASE = "understudy.db"
PORT = "UNDERSTUDY_BENCH_BANK"
WORKERS = 24
KILLS, SERVER_KILLS = 10_000, 40
SMALL = (20, 1)
LATEST_S = 0.04
"""Latest moment of a kill, from the sending of the message."""
KILLS_PER_ORDER = 4
"""At most so many, as a call is not made again without end."""
ORDER_S = 300.0
"""Limit for one order: on a busy machine its servers may be killed many times before they get on."""


AT_WORK: dict[str, tuple[str, str]] = {}
"""The run and the call that pay for an order, in this process."""


def _bank() -> tuple[str, int]:
    return "127.0.0.1", int(os.environ[PORT])


async def paid(call_id: str, arguments: dict[str, Any]) -> Done | NotDone:
    """Look the payment up in the bank's ledger."""
    order = await bank.find(_bank(), call_id)
    return NotDone() if order is None else Done(order)


@tool(reconcile=paid)
async def pay(order: str, context: ToolContext) -> str:
    """Pay for an order."""
    AT_WORK[order] = (context.run_id, context.call_id)
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
LIMITS = Limits(
    messages_per_minute=10**6, operations_per_minute=10**6, sessions_per_minute=10**6, runs_per_user=100, approval_s=5.0
)


@define
class Orders:
    """The orders: the runs that worked on them, and what was killed."""

    count: int = 0
    runs: dict[str, str] = field(factory=dict)
    kills: Counter[str] = field(factory=Counter)
    owner: str = ""

    def next(self) -> str:
        """Return a new order."""
        self.count += 1
        return f"order-{self.count}"

    async def place(self, client: Client, thread_id: str, order: str) -> None:
        """Send an order, and wait until its run has ended."""
        message_id = await client.say(order, thread_id=thread_id, agent_type="payer")
        with trio.fail_after(ORDER_S):
            async for event in client.exchange(message_id):
                if event.run_id is not None:
                    self.runs[order] = event.run_id


def victim(running: Running, owner: str, thread_id: str, kind: str) -> str | None:
    """Return the path of a living actor of this kind under the conversation of a thread."""
    name, depth = actor_name(owner, thread_id), {"conversation": 0, "run": 1, "call": 2}[kind]

    def below(node: TreeNode) -> Iterator[TreeNode]:
        parts = node.path.split("/")
        if name in parts and len(parts) - 1 - parts.index(name) == depth:
            yield node

    found = [each.path for node in running.system.tree().walk() for each in below(node)]
    return random.choice(found) if found else None


def victims(orders: Orders, thread_id: str, order: str, kind: str) -> list[str]:
    """Return the paths of actors of this kind, as far as they are known, that may be at work on an order."""
    conversation = f"/system/conversations/{actor_name(orders.owner, thread_id)}"
    if kind == "conversation":
        return [conversation]
    run_id, call_id = AT_WORK.get(order, (orders.runs.get(order, ""), ""))
    if kind == "run":
        return [f"{conversation}/{run_id}"]
    return [f"{conversation}/{run_id}/{call_id}", f"{conversation}/{run_id}/reconcile-{call_id}"]


async def _kill(running: Running, orders: Orders, thread_id: str, order: str, over: trio.Event) -> None:
    """Kill actors that work on an order: half of the time while its call is at work, else at any moment."""
    for _ in range(random.randint(1, KILLS_PER_ORDER)):
        (kind,) = random.choices(("call", "conversation", "run"), (70, 25, 5))
        in_call = kind == "call" or random.random() < 0.5
        await trio.sleep(0 if in_call else random.uniform(0, LATEST_S))
        while not over.is_set():
            paths = victims(orders, thread_id, order, "call" if in_call else kind)
            if in_call and any(running.system.find(path) is not None for path in paths):
                await trio.sleep(random.uniform(0, 2 * bank.LONGEST_S))
                paths = victims(orders, thread_id, order, kind)
            found = [ref for path in paths if (ref := running.system.find(path)) is not None]
            if found and not over.is_set():
                found[0].kill()
                orders.kills[kind] += 1
                break
            await trio.sleep(0.002)


async def _kill_actors(folder: Path, orders: Orders, kills: int) -> None:
    settings = Settings(port=0, data_dir=folder, limits=LIMITS)
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(partial(serve_app, settings, [agent]))
        async with open_client(running.address.replace("http", "ws") + "/ws") as client:
            await nursery.start(_read, client, orders)

            async def work(number: int) -> None:
                placed = 0
                while orders.kills.total() < kills:
                    placed += 1
                    thread_id, over = f"actors-{number}-{placed // 3}", trio.Event()
                    async with trio.open_nursery() as nursery:
                        order = orders.next()
                        nursery.start_soon(_kill, running, orders, thread_id, order, over)
                        await orders.place(client, thread_id, order)
                        over.set()

            async with trio.open_nursery() as workers:
                for number in range(WORKERS):
                    workers.start_soon(work, number)
            await trio.sleep(2 * SETTLE_AFTER_S)  # calls of the last runs that were killed are settled
        await running.stop()
        nursery.cancel_scope.cancel()


async def _read(client: Client, orders: Orders, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Read all events, which else would fill the client's queue; the first says who the user is."""
    async for event in client:
        if isinstance(event.event, Welcome):
            orders.owner = event.event.user
            with suppress(RuntimeError):  # started already: the client has reconnected
                task_status.started()


@asynccontextmanager
async def started(
    *command: str, ready: str = "", environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[trio.Process, str]]:
    """Start a process; yield it with the first line that starts so. It is killed at the end.

    `environment`: variables that it has besides those of this process.
    """
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, [sys.executable, "-m", *command], stdout=subprocess.PIPE, check=False)
        start = partial(start, env={**os.environ, **(environment or {})})
        process: trio.Process = await nursery.start(partial(start, stderr=subprocess.DEVNULL))
        text = ""
        try:
            with trio.fail_after(60):
                while not any(line.startswith(ready) for line in text.split("\n")[:-1]):
                    assert process.stdout is not None
                    text += (await process.stdout.receive_some()).decode()  # type: ignore[attr-defined]
            yield process, next(line for line in text.split("\n") if line.startswith(ready)).removeprefix(ready)
        finally:
            if process.returncode is None:
                process.kill()


async def _kill_servers(folder: Path, orders: Orders, kills: int) -> None:
    """Kill a server again and again while all workers place orders."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    serve = ("understudy", "serve", "--port", str(port), "--data-dir", str(folder), "benchmarks.agents.effects:agent")
    done = trio.Event()

    async def kill() -> None:
        for number in range(kills + 1):
            async with started(*serve, ready="understudy is ready on ") as (server, _):
                if number == kills:
                    done.set()
                    await trio.sleep_forever()
                await trio.sleep(random.uniform(0.2, 0.6))
                server.kill()
                await server.wait()
                orders.kills["server"] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill)
        how = Reconnect(first_s=0.05, max_s=0.2, attempts=10_000)
        async with open_client(f"ws://127.0.0.1:{port}/ws", reconnect=how) as client:
            nursery.start_soon(_read, client, orders)

            async def work(number: int) -> None:
                while not done.is_set():
                    with suppress(trio.WouldBlock):
                        await orders.place(client, f"servers-{number}", orders.next())

            async with trio.open_nursery() as workers:
                for number in range(WORKERS):
                    workers.start_soon(work, number)
        nursery.cancel_scope.cancel()


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


async def _measure(kills: int, server_kills: int) -> tuple[Orders, Counter[str]]:
    orders = Orders()
    with tempfile.TemporaryDirectory() as name:
        folder, ledger = Path(name) / "data", Path(name) / "bank.db"
        async with started("benchmarks.agents.bank", str(ledger)) as (_, port):
            os.environ[PORT] = port
            await _kill_actors(folder, orders, kills)
            await _kill_servers(folder, orders, server_kills)
        return orders, _verdict(folder / DATABASE, ledger, orders)


def figures(small: bool) -> Iterator[Figure]:
    """Measure the figures of this module."""
    orders, verdict = trio.run(_measure, *(SMALL if small else (KILLS, SERVER_KILLS)))
    yield Figure("effects_kills", "kills", orders.kills.total())
    for name in ("twice", "lost", "unknown", "asked"):
        yield Figure(f"effects_{name}", "orders", verdict[name])
