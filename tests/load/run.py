"""A load run: sign in, connect everybody, send on schedule, wait for the ends, report."""

import random
import resource
import secrets
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, Final

import trio
from attrs import frozen

from tests.load.person import TABS, Behaviour, Person, Script
from tests.load.tally import HEAD, LoadTally
from tests.load.websocket import SocketEnded
from transport.client.dial import SocketUrl

SPARE_FILES: Final = 64
"""File descriptors of the load beside its sockets: requests for sessions, pipes, libraries."""
CONNECTING: Final = 20
"""Users that sign in and connect at once before the start."""


class LoadFailed(Exception):
    """The load cannot start. The text is a sentence that says why."""


@frozen
class Load:
    """What to do to a server. `behaviours` has a weight for each."""

    url: SocketUrl
    users: int
    for_s: float
    every_s: float
    behaviours: Mapping[Behaviour, int]
    texts: Sequence[str]
    agent: str | None = None
    drain_s: float = 30.0
    """Seconds without an event after which an open message counts as unanswered."""
    seed: int = 0
    at_once: bool = False
    """Whether everybody sends at the same instants, the first at the start, and not each at a time of their own."""

    def roles(self) -> list[Behaviour]:
        """Return the behaviour of each user, in the order of their numbers."""
        once = [behaviour for behaviour, weight in self.behaviours.items() for _ in range(weight)]
        return list(islice(cycle(once), self.users))


async def run_load(load: Load, sign_in: Callable[[int], Awaitable[str]], show: Callable[[str], None]) -> dict[str, Any]:
    """Run the load and return its report. `sign_in` gives the token of a user, `show` takes lines of the table.

    SIGINT ends it early. Raises LoadFailed, and what `sign_in` raises.
    """
    roles = load.roles()
    _need_files(sum(TABS.get(role, 1) for role in roles))
    tally = LoadTally()
    script = Script(load.url, load.every_s, load.texts, load.agent, tally, load.at_once)
    persons: list[Person] = []
    try:
        await _connect(load, roles, script, sign_in, persons)
        show(HEAD)
        cpu, began = time.process_time(), trio.current_time()
        whole = await _run(load, persons, tally, show)
        seconds, cpu = trio.current_time() - began, time.process_time() - cpu
    finally:
        with trio.CancelScope(shield=True):
            for person in persons:
                await person.aclose()
    if whole:
        for person in persons:
            person.finish()
    return {
        "users": load.users,
        "every_s": load.every_s,
        "seconds": round(seconds, 3),
        "behaviours": dict(Counter(role.value for role in roles)),
        "seed": load.seed,
        "whole": whole,
        "client_cpu_s": round(cpu, 3),
        "kept": tally.kept,
        **tally.as_json(),
    }


def _need_files(sockets: int) -> None:
    """Raise the soft limit of open files as far as needed. Raises LoadFailed if the hard limit is lower."""
    needed = sockets + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise LoadFailed(
                f"{sockets} sockets need {needed} open files, and this process may have {hard}: "
                "take fewer --users, or raise the limit (ulimit -Hn)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _connect(
    load: Load,
    roles: Sequence[Behaviour],
    script: Script,
    sign_in: Callable[[int], Awaitable[str]],
    persons: list[Person],
) -> None:
    """Sign every user in and connect them, a few at once. Raises what the first failure raised."""
    run, numbers = secrets.token_hex(4), iter(range(load.users))
    failures: list[Exception] = []

    async def connect_next(over: trio.CancelScope) -> None:
        for number in numbers:  # shared by all of these tasks
            chance = random.Random(f"{load.seed}-{number}")
            try:
                token = await sign_in(number)
                person = Person(number, f"load-{run}-{number}", roles[number], token, script, chance)
                persons.append(person)
                await person.connect()
            except SocketEnded as ended:
                failures.append(LoadFailed(f"user {number + 1} of {load.users} cannot connect: {ended}"))
                over.cancel()
            except Exception as error:  # of `sign_in`: raised below, by itself and not in a group
                failures.append(error)
                over.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTING):
            nursery.start_soon(connect_next, nursery.cancel_scope)
    if failures:
        raise failures[0]


async def _run(load: Load, persons: Sequence[Person], tally: LoadTally, show: Callable[[str], None]) -> bool:
    """Let everybody send for as long as asked, then wait for the ends. Return False if SIGINT ended that early."""
    started_at = trio.current_time()
    ends_at = started_at + load.for_s
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as early:
            nursery.start_soon(_interrupted, early)
            nursery.start_soon(_table, started_at, persons, tally, show)
            for person in persons:
                nursery.start_soon(person.run, started_at, ends_at)
            await trio.sleep_until(ends_at)
            await _settled(persons, tally, ends_at, load.drain_s)
        nursery.cancel_scope.cancel()
    return not early.cancelled_caught


async def _settled(persons: Sequence[Person], tally: LoadTally, ends_at: float, drain_s: float) -> None:
    """Wait until every message has its end on every socket, or nothing has moved for `drain_s`.

    Answers may be long, and queue behind each other: the server bounds the time of each, and that is waited for.
    """
    while not all(person.done for person in persons):
        if trio.current_time() > max(tally.moved_at, ends_at) + drain_s:
            return
        await trio.sleep(0.05)


async def _interrupted(early: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            early.cancel()


async def _table(started_at: float, persons: Sequence[Person], tally: LoadTally, show: Callable[[str], None]) -> None:
    """Show a line each second."""
    second, sent = 0, 0
    while True:
        second += 1
        await trio.sleep_until(started_at + second)
        users = sum(person.connected for person in persons)
        show(tally.take_line(second, users, sent))
        sent = tally.messages["sent"]
