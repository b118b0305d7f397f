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
from pathlib import Path

import trio
from attrs import define, field

from benchmarks.agents.killing import DATABASE, User, conversation, killed_server, serving, users
from benchmarks.agents.progress import Extent, Progress
from benchmarks.figure import Figure, all_cores
from transport.wire.codec import from_log
from transport.wire.commands import SteerMode
from transport.wire.events import Envelope, Error, MessageAccepted, SteerAccepted, SteerTaken, SteerWithdrawn
from understudy import Agent
from understudy.app.server import Running
from understudy.models.model import Emit, MessageItem, Reply, TextDelta, Turn

READ = "UNDERSTUDY_BENCH_READ"
"""Environment variable with the path of the file in which models note what they read."""
STEERS, SERVER_KILLS = 10_000, 20
SMALL = (40, 1)
USERS, WORKERS = 4, 8
"""Users, and the runs of each that are steered at a time. Servers are killed under those of one."""
ACTORS_PART = 0.75
"""Part of the time limit after which no more runs are steered whose actors are killed, but those of servers."""
LIVES_S = (0.3, 1.0)
"""Seconds that a server lives."""
KILLED, LATEST_S = 0.7, 0.4
"""Part of the runs that are killed in one process, and the latest moment, from their being accepted."""
PER_RUN = 12
"""Steers that are sent to one run."""
RUNS_PER_THREAD = 10
LAST_S = 300.0
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
    """The steers that were sent, those that are accepted, what was killed, and runs that did not end in LAST_S."""

    progress: Progress
    sent: int = 0
    accepted: set[str] = field(factory=set)
    kills: Counter[str] = field(factory=Counter)
    unended: int = 0

    def note(self, received: Envelope) -> None:
        """Take an event of any run into account."""
        if isinstance(received.event, SteerAccepted):
            self.accepted.add(received.event.steer_id)
            self.progress.done = len(self.accepted)

    def details(self) -> str:
        """Return what is told of them meanwhile."""
        return f"steers, kills of {dict(self.kills)}"

    async def run(self, user: User, thread_id: str, running: Running | None = None) -> None:
        """Have a message answered, steer its run, and maybe kill that or its conversation, in this process."""
        message_id = await user.client.say("go", thread_id=thread_id, agent_type="reader")
        with trio.move_on_after(LAST_S) as limit:
            async with trio.open_nursery() as nursery:
                async for received in user.client.exchange(message_id):
                    if isinstance(received.event, MessageAccepted):
                        nursery.start_soon(self._steer, user, received.event.run_id)
                        if running is not None and random.random() < KILLED:
                            nursery.start_soon(self._kill, running, user, thread_id, received.event.run_id)
                    if isinstance(received.event, Error) and not received.repeated:
                        break
                nursery.cancel_scope.cancel()
        self.unended += limit.cancelled_caught

    async def _steer(self, user: User, run_id: str) -> None:
        for _ in range(PER_RUN):
            await trio.sleep(random.uniform(0, 0.02))
            self.sent += 1
            mode = SteerMode.NOW if random.random() < 0.3 else SteerMode.NEXT
            name = f"steer-{self.sent}"
            with suppress(trio.WouldBlock):
                await user.client.steer(run_id, name, mode=mode, steer_id=name)

    async def _kill(self, running: Running, user: User, thread_id: str, run_id: str) -> None:
        await trio.sleep(random.uniform(0, LATEST_S))
        kind, below = random.choices((("conversation", ()), ("run", (run_id,))), (60, 40))[0]
        ref = conversation(running, user, thread_id, *below)
        if ref is not None:
            ref.kill()
            self.kills[kind] += 1


async def _kill_actors(folder: Path, steers: Steers, count: int) -> None:
    several = 1 if count < USERS * WORKERS * PER_RUN else USERS
    async with serving(folder, agent) as running, users(running.address, several, steers.note) as all_users:

        async def work(user: User, number: int) -> None:
            runs = 0
            while len(steers.accepted) < count and not steers.progress.over(ACTORS_PART):
                await trio.sleep(0.01)
                with suppress(trio.WouldBlock):  # too many commands are unacknowledged
                    await steers.run(user, f"actors-{number}-{runs // RUNS_PER_THREAD}", running)
                runs += 1

        async with trio.open_nursery() as workers:
            for user in all_users:
                for number in range(WORKERS):
                    workers.start_soon(work, user, number)
        await _all_ended(folder, steers)


async def _kill_servers(folder: Path, steers: Steers, kills: int) -> None:
    """Kill a server again and again while all workers of a user steer runs."""

    def again() -> bool:
        steers.kills["server"] += 1
        return steers.kills["server"] < kills and not steers.progress.over()

    async with (
        killed_server(folder, f"{__name__}:agent", LIVES_S, again) as server,
        users(server.address, 1, lambda event: (server.note(event), steers.note(event))) as (user,),
    ):

        async def work(number: int) -> None:
            while not server.done.is_set():
                await trio.sleep(0.01)
                with suppress(trio.WouldBlock):
                    await steers.run(user, f"servers-{number}")

        async with trio.open_nursery() as workers:
            for number in range(WORKERS):
                workers.start_soon(work, number)
        await _all_ended(folder, steers)


async def _all_ended(folder: Path, steers: Steers) -> None:
    """Wait until no run of the database is open; steers that were not taken have runs of their own."""
    unended = 1
    with trio.move_on_after(LAST_S), sqlite3.connect(folder / DATABASE) as connection:
        while unended:
            await trio.sleep(0.1)
            (unended,) = connection.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone()
    steers.unended += unended


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


async def _measure(steers: Steers, count: int, server_kills: int) -> tuple[int, int, int]:
    steers.progress.details = steers.details
    with tempfile.TemporaryDirectory() as name:
        folder, read = Path(name) / "data", Path(name) / "read"
        os.environ[READ] = str(read)
        async with steers.progress.told():
            await _kill_actors(folder, steers, count)
            await _kill_servers(folder, steers, server_kills)
        return _verdict(folder / DATABASE, read, steers)


def figures(extent: Extent) -> Iterator[Figure]:
    """Measure the figures of this module."""
    count, server_kills = SMALL if extent.small else (STEERS, SERVER_KILLS)
    steers = Steers(Progress("steer", count, extent.limit_s))
    with all_cores():
        accepted, lost, twice = trio.run(_measure, steers, count, server_kills)
    yield Figure("steer_sent", steers.progress.count("steers"), accepted)
    yield Figure("steer_kills", f"kills, {steers.kills['server']} of {server_kills} servers", steers.kills.total())
    yield Figure("steer_lost", "steers", lost)
    yield Figure("steer_twice", "steers", twice)
    yield Figure("steer_unended", "runs", steers.unended)
