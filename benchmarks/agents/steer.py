"""Steers of runs while their actors and servers are killed: each enters once, or becomes a message once.

steer_sent      steers that the server has accepted
steer_kills     actors and servers that were killed meanwhile
steer_lost      accepted steers that no run has taken and that became no message, or that no model has read
steer_twice     steers that were taken twice, or taken and sent as a message too, or stand twice before a model

Kills of actors: 60 % of conversations, which take their runs with them, 40 % of runs. The others are of a server.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from benchmarks.agents.effects import DATABASE, LIMITS, started, victim
from benchmarks.figure import Figure
from transport.client import Client, Reconnect, open_client
from transport.wire.codec import from_log
from transport.wire.commands import SteerMode
from transport.wire.events import Error, MessageAccepted, SteerAccepted, SteerTaken, SteerWithdrawn, Welcome
from understudy import Agent
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.models.model import Emit, MessageItem, Reply, TextDelta, Turn

READ = "UNDERSTUDY_BENCH_READ"
"""Environment variable with the path of the file in which models note what they read."""
STEERS, SERVER_KILLS = 10_000, 20
SMALL = (40, 1)
WORKERS = 8
PER_RUN = 12
"""Steers that are sent to one run."""
RUNS_PER_THREAD = 10
LAST_S = 60.0
"""Limit for the end of one run, and of all runs at the end."""


class Reader:
    """Speaks for a moment, and notes each message that it reads, or that it reads twice."""

    name = "reader"
    notice = "A script for benchmarks."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Note the messages, then speak."""
        items = [each for each in turn.items if isinstance(each, MessageItem) and each.role == "user"]
        texts = [text for each in items for text in each.content.split("\n\n")]
        said = Counter(text for text in texts if text.startswith("steer-"))
        _note([f"{text} {count}" for text, count in said.items()])
        pieces = 60 if texts[-1:] == ["go"] else 8
        for _ in range(pieces):
            await emit(TextDelta("word "))
            await trio.sleep(0.005)
        return Reply("word " * pieces)


def _note(lines: list[str]) -> None:
    with Path(os.environ[READ]).open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


agent = Agent("reader", model=Reader())


@define
class Steers:
    """The steers that were sent, those that are accepted or refused, and what was killed."""

    sent: int = 0
    accepted: set[str] = field(factory=set)
    kills: Counter[str] = field(factory=Counter)
    owner: str = ""

    async def read(self, client: Client, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read all events; the first says who the user is."""
        async for received in client:
            match received.event:
                case Welcome(user=user):
                    self.owner = user
                    with suppress(RuntimeError):  # started already: the client has reconnected
                        task_status.started()
                case SteerAccepted(steer_id=steer_id):
                    self.accepted.add(steer_id)

    async def run(self, client: Client, thread_id: str) -> None:
        """Have a message answered, and steer its run."""
        message_id = await client.say("go", thread_id=thread_id, agent_type="reader")
        with trio.move_on_after(LAST_S):
            async with trio.open_nursery() as nursery:
                async for received in client.exchange(message_id):
                    if isinstance(received.event, MessageAccepted):
                        nursery.start_soon(self._steer, client, received.event.run_id)
                    if isinstance(received.event, Error) and not received.repeated:
                        break
                nursery.cancel_scope.cancel()

    async def _steer(self, client: Client, run_id: str) -> None:
        for _ in range(PER_RUN):
            await trio.sleep(random.uniform(0, 0.02))
            self.sent += 1
            mode = SteerMode.NOW if random.random() < 0.3 else SteerMode.NEXT
            name = f"steer-{self.sent}"
            with suppress(trio.WouldBlock):
                await client.steer(run_id, name, mode=mode, steer_id=name)


async def _kill_actors(folder: Path, steers: Steers, count: int) -> None:
    settings = Settings(port=0, data_dir=folder, limits=LIMITS)
    threads: dict[int, str] = {}

    async def kill(running: Running) -> None:
        while True:
            await trio.sleep(random.uniform(0.1, 0.6))
            (kind,) = random.choices(("conversation", "run"), (60, 40))
            thread_id = random.choice(list(threads.values()) or [""])
            path = victim(running, steers.owner, thread_id, kind)
            ref = None if path is None else running.system.find(path)
            if ref is not None:
                ref.kill()
                steers.kills[kind] += 1

    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(partial(serve_app, settings, [agent]))
        async with open_client(running.address.replace("http", "ws") + "/ws") as client:
            await nursery.start(steers.read, client)

            async def work(number: int) -> None:
                runs = 0
                while len(steers.accepted) < count:
                    threads[number] = f"actors-{number}-{runs // RUNS_PER_THREAD}"
                    await trio.sleep(0.01)
                    with suppress(trio.WouldBlock):  # too many commands are unacknowledged
                        await steers.run(client, threads[number])
                    runs += 1

            async with trio.open_nursery() as workers:
                workers.start_soon(kill, running)
                async with trio.open_nursery() as at_work:
                    for number in range(WORKERS):
                        at_work.start_soon(work, number)
                workers.cancel_scope.cancel()
            await _all_ended(folder)
        await running.stop()
        nursery.cancel_scope.cancel()


async def _kill_servers(folder: Path, steers: Steers, kills: int) -> None:
    """Kill a server again and again while all workers steer runs."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    serve = ("understudy", "serve", "--port", str(port), "--data-dir", str(folder), "benchmarks.agents.steer:agent")
    done = trio.Event()

    async def kill() -> None:
        for number in range(kills + 1):
            async with started(*serve, ready="understudy is ready on ") as (server, _):
                if number == kills:
                    done.set()
                    await trio.sleep_forever()
                await trio.sleep(random.uniform(0.3, 1.0))
                server.kill()
                await server.wait()
                steers.kills["server"] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill)
        how = Reconnect(first_s=0.05, max_s=0.2, attempts=10_000)
        async with open_client(f"ws://127.0.0.1:{port}/ws", reconnect=how) as client:
            nursery.start_soon(steers.read, client)

            async def work(number: int) -> None:
                while not done.is_set():
                    await trio.sleep(0.01)
                    with suppress(trio.WouldBlock):
                        await steers.run(client, f"servers-{number}")

            async with trio.open_nursery() as workers:
                for number in range(WORKERS):
                    workers.start_soon(work, number)
            await _all_ended(folder)
        nursery.cancel_scope.cancel()


async def _all_ended(folder: Path) -> None:
    """Wait until no run of the database is open; steers that were not taken have runs of their own."""
    with trio.fail_after(LAST_S), sqlite3.connect(folder / DATABASE) as connection:
        while connection.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone()[0]:  # noqa: ASYNC110 - another process ends them
            await trio.sleep(0.1)


def _verdict(log: Path, read: Path, steers: Steers) -> tuple[int, int, int]:
    """Return how many steers the log has as accepted, and how many of them are lost, and were there twice."""
    accepted, taken, messages = Counter[str](), Counter[str](), Counter[str]()
    followed: dict[str, str] = {}
    with sqlite3.connect(log) as connection:
        for (body,) in connection.execute("SELECT body FROM events ORDER BY thread_id, seq"):
            match from_log(body).event:
                case SteerAccepted(steer_id=steer_id):
                    accepted[steer_id] += 1
                case SteerTaken(steer_id=steer_id):
                    taken[steer_id] += 1
                case SteerWithdrawn(steer_id=steer_id, message_id=str(message_id)):
                    followed[steer_id] = message_id
                case MessageAccepted(content=content):
                    messages.update(content.split("\n\n"))
    noted = [line.split() for line in read.read_text().splitlines()]
    known = {name for name, _ in noted}
    repeated = {name for name, count in noted if count != "1"}
    lost = {each for each in accepted if not taken[each] and not (each in followed and messages[each])}
    lost |= steers.accepted - accepted.keys() | {each for each in taken if each not in known}
    twice = {each for each in accepted if taken[each] + messages[each] > 1 or accepted[each] > 1}
    return len(accepted), len(lost), len(twice | repeated)


async def _measure(count: int, server_kills: int) -> tuple[Steers, tuple[int, int, int]]:
    steers = Steers()
    with tempfile.TemporaryDirectory() as name:
        folder, read = Path(name) / "data", Path(name) / "read"
        os.environ[READ] = str(read)
        await _kill_actors(folder, steers, count)
        await _kill_servers(folder, steers, server_kills)
        return steers, _verdict(folder / DATABASE, read, steers)


def figures(small: bool) -> Iterator[Figure]:
    """Measure the figures of this module."""
    steers, (accepted, lost, twice) = trio.run(_measure, *(SMALL if small else (STEERS, SERVER_KILLS)))
    yield Figure("steer_sent", "steers", accepted)
    yield Figure("steer_kills", "kills", steers.kills.total())
    yield Figure("steer_lost", "steers", lost)
    yield Figure("steer_twice", "steers", twice)
