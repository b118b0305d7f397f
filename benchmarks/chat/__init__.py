"""What a message costs, and how many users a core carries, beside others that answer the same.

`python -m benchmarks chat [--only NAME] [--peer NAME] [--limit S] [--quick]`, some twenty minutes. Every
server has a process of its own on the first core; `tests.load` runs on the last one. Each user sends every ten
seconds, whatever became of the messages before, and receives every event. The agent is a script: `text` streams 30
words, 20 a second, each a piece of its own; `tool` calls one tool and says its result.

cpu         chat_cpu_ms_KIND: processor time of the server for a message; chat_event_us_KIND: for an event that a client
            receives. `postgresql` is ours on PostgreSQL, whose own processes are not counted
first       first_event_ms: from due to the first event after the acceptance, the 99th of a hundred, with one user;
            first_event_busy_ms with 500
fast        fast_model_percent: the share of its speed at which an answer of a model that writes 1,000 tokens a second
            reaches one client, from due to the final response; wanted are 95
burst       burst_accepted_s, burst_answered_s: 1,000 users send at one instant; seconds until the last is accepted, and
            has its answer
users       chat_users_KIND: users of whom 99 in a hundred wait at most 100 ms for acceptance, for the first event and
            for the delivery of each event
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Final

import trio
from attrs import define, field, frozen

from benchmarks.chat import servers
from benchmarks.chat.peers import script
from benchmarks.chat.search import most
from benchmarks.chat.servers import Chat
from benchmarks.chat.sizes import QUICK, Sizes
from benchmarks.figure import Figure
from benchmarks.peers.home import Missing
from benchmarks.store.servers import postgresql
from benchmarks.wire.server import ServerFailed
from tests.load.person import Behaviour
from tests.load.run import Load, LoadFailed, run_load
from transport.client.dial import SocketUrl

__all__ = ["OPTIONS", "QUICK", "Sizes", "figures"]

OPTIONS = ("only", "peer", "limit")
OURS: Final = "ours"
POSTGRESQL: Final = "postgresql"
KINDS: Final = {"text": script.TEXT, "tool": script.TOOL}
FAST_EVERY_S: Final = 3.0
"""Seconds between two messages to a fast model: more than an answer takes."""
LIMIT_MS: Final = 100.0
"""What 99 in a hundred may wait at most, for each of `WAITS`."""
WAITS: Final = ("accepted", "first_event", "delivery")
AIMS: Final = {
    "chat_cpu_ms_text": 3.5,
    "chat_cpu_ms_tool": 5.0,
    "first_event_ms": 5.0,
    "first_event_busy_ms": 20.0,
    "burst_accepted_s": 2.0,
    "burst_answered_s": 8.0,
}
WARM_S: Final = 2.0
HOURS_S: Final = 3 * 3600.0
"""Nothing new is begun after so many seconds, if `--limit` does not say otherwise."""
Found = dict[str, dict[str, float]]
"""Values by figure, then by server."""
Measure = Callable[[str, Chat], Mapping[str, float]]
"""Measures a server, which is given with its name. Returns values by figure."""


@frozen
class Loaded:
    """A run of the load: its report, and the processor seconds that the server worked meanwhile."""

    report: Mapping[str, Any]
    cpu_s: float

    @property
    def answered(self) -> int:
        """Messages that were answered. Raises ServerFailed if none was."""
        count: int = self.report["messages"]["answered"]
        if not count:
            raise ServerFailed(f"nothing was answered: {self.report['errors']}")
        return count

    def ms(self, name: str, percentile: str = "p99") -> float:
        """Return a percentile of a latency in milliseconds; 0 if there were none."""
        return float(self.report["latency_ms"][name][percentile] or 0.0)

    @property
    def whole(self) -> bool:
        """Whether every message that was due was answered, without an error."""
        sums = self.report["messages"]
        return bool(sums["answered"] == sums["due"] and not self.report["errors"])


class TimeIsUp(Exception):
    """The time of the benchmark ended within a measurement: there is no figure."""


@define
class Bench:
    """The servers under measurement by name, ours first, and what is known of them."""

    sizes: Sizes
    ends_at: float
    servers: dict[str, Chat] = field(factory=dict)
    cost_s: dict[tuple[str, str], float] = field(factory=dict)
    """Processor seconds of a message by server and kind: the search begins by it."""
    users: dict[str, int] = field(factory=dict)
    """Users of `text` by server."""

    def each(self, what: str, measure: Measure) -> Iterator[tuple[str, float, dict[str, float]]]:
        """Measure every server. Yield the name of each value, ours, and the others'.

        A peer that fails is named on the error output and left out.
        """
        found: Found = {}
        for name, chat in self.servers.items():
            try:
                self.check_time()
                for figure, value in measure(name, chat).items():
                    found.setdefault(figure, {})[name] = value
                    say(f"{name}: {figure} {value:,.4g}")
            except TimeIsUp:
                say(f"no {what} of {name}: the time is up")
            except (ServerFailed, LoadFailed) as error:
                if name == OURS:
                    raise
                say(f"{name} has no {what}: {error}")
        for figure, values in found.items():
            if OURS in values:
                yield figure, values.pop(OURS), values

    def check_time(self) -> None:
        """Raise TimeIsUp if nothing new may begin."""
        if time.monotonic() > self.ends_at:
            raise TimeIsUp

    def cpu(self, kind: str, name: str, chat: Chat) -> dict[str, float]:
        """Measure the cost of a message and of an event."""
        sizes = self.sizes
        load(chat, kind, min(sizes.users, 5), min(sizes.for_s, WARM_S), min(sizes.every_s, 1.0))
        done = load(chat, kind, sizes.users, sizes.for_s, sizes.every_s)
        self.cost_s[name, kind] = done.cpu_s / done.answered
        return {
            f"chat_cpu_ms_{kind}": 1e3 * done.cpu_s / done.answered,
            f"chat_event_us_{kind}": 1e6 * done.cpu_s / max(1, done.report["events"]),
        }

    def first(self, _: str, chat: Chat) -> dict[str, float]:
        """Measure how soon an answer begins, of one user and of many."""
        sizes = self.sizes
        idle = load(chat, "text", 1, sizes.probe_s, min(sizes.every_s, 2.0))
        busy = load(chat, "text", sizes.busy, sizes.probe_s, sizes.every_s)
        return {"first_event_ms": idle.ms("first_event"), "first_event_busy_ms": busy.ms("first_event")}

    def fast(self, _: str, chat: Chat) -> dict[str, float]:
        """Measure how much of a fast model's speed reaches a client."""
        done = load(chat, "fast", 1, self.sizes.fast_s, FAST_EVERY_S)
        if not done.whole:
            raise ServerFailed(f"not every message was answered: {done.report['errors']}")
        written_ms = 1e3 * script.FAST_PIECE_S * len(script.FAST_PIECES)
        return {"fast_model_percent": 100 * written_ms / done.ms("end", "mean")}

    def burst(self, _: str, chat: Chat) -> dict[str, float]:
        """Measure how long the last waits of many that send at one instant."""
        sizes = self.sizes
        done = load(chat, "text", sizes.burst, 1.0, 3600.0, at_once=True)
        if done.answered < sizes.burst:
            raise ServerFailed(f"{done.answered} of {sizes.burst} were answered: {done.report['errors']}")
        return {"burst_accepted_s": done.ms("accepted", "max") / 1e3, "burst_answered_s": done.ms("end", "max") / 1e3}

    def most_users(self, kind: str, name: str, chat: Chat) -> dict[str, float]:
        """Search for the number of users that the server carries. A peer that is late under every load has none."""
        sizes = self.sizes
        if (name, kind) not in self.cost_s:
            self.cpu(kind, name, chat)

        def fits(users: int) -> bool:
            self.check_time()
            try:
                done = load(chat, kind, users, sizes.probe_s, sizes.every_s)
            except LoadFailed as error:
                say(f"{name}, {users} users: {error}")
                return False
            told = ", ".join(f"{each} {done.ms(each):,.1f} ms" for each in ("sent", *WAITS))
            cores = done.cpu_s / done.report["seconds"]
            say(f"{name}, {kind}, {users} users: {told}, {cores:.2f} cores, {done.report['errors'] or 'no errors'}")
            return done.whole and all(done.ms(wait) <= LIMIT_MS for wait in WAITS)

        likely = round(0.7 * sizes.every_s / self.cost_s[name, kind])
        first = min(likely, sizes.reach) if sizes.probes > 1 else sizes.users
        users = most(fits, first, sizes.probes, sizes.within)
        if not users and name not in (OURS, POSTGRESQL):
            raise ServerFailed("every load that was tried was late, which may be the load's own doing")
        if kind == "text":
            self.users[name] = users
        return {f"chat_users_{kind}": users}


UNITS: Final = {"ms": "ms", "us": "us", "s": "s", "users": "users", "percent": "%"}


def figures(
    sizes: Sizes | None = None, *, only: str | None = None, peer: str | None = None, limit: float | None = None
) -> Iterator[Figure]:
    """Measure and yield, part by part. Peers that cannot be had, or fail, are named on the error output.

    With sizes of your own, as the tests have, there are no peers but the one that is named. Raises ServerFailed when
    ours fails.
    """
    parts: dict[str, Callable[[Bench], Iterator[Figure]]] = {
        "cpu": lambda bench: compared(bench, "cpu", *(partial(bench.cpu, kind) for kind in KINDS)),
        "first": lambda bench: compared(bench, "first", bench.first),
        "fast": lambda bench: compared(bench, "fast", bench.fast),
        "burst": lambda bench: compared(bench, "burst", bench.burst),
        "users": lambda bench: compared(bench, "users", *(partial(bench.most_users, kind) for kind in KINDS)),
    }
    everybody: dict[str, Callable[[], AbstractContextManager[Chat]]] = {**servers.PEERS}
    if only is not None and only not in parts:
        raise SystemExit(f"there is no part {only!r}; there are {', '.join(parts)}")
    if peer is not None and peer not in (*everybody, POSTGRESQL):
        raise SystemExit(f"there is no peer {peer!r}; there are {', '.join((POSTGRESQL, *everybody))}")
    asked = [peer] if peer is not None else [] if sizes is not None else [POSTGRESQL, *everybody]
    bench = Bench(sizes or Sizes(), time.monotonic() + (limit or HOURS_S))
    with ExitStack() as stack:
        bench.servers[OURS] = stack.enter_context(servers.ours())
        for name in asked:
            try:
                if name == POSTGRESQL:
                    bench.servers[name] = stack.enter_context(
                        servers.ours(stack.enter_context(postgresql(servers.MEMORY)))
                    )
                else:
                    bench.servers[name] = stack.enter_context(everybody[name]())
            except (Missing, ServerFailed) as reason:
                say(f"no {name}: {reason}")
        for name, measure in parts.items():
            if only in (None, name):
                yield from measure(bench)


def compared(bench: Bench, what: str, *measures: Measure) -> Iterator[Figure]:
    """Yield the figures of every server, ours beside the others."""
    for measure in measures:
        for name, value, others in bench.each(what, measure):
            unit = next(UNITS[part] for part in name.split("_") if part in UNITS)
            yield Figure(name, unit, value, others, AIMS.get(name))


def load(chat: Chat, kind: str, users: int, for_s: float, every_s: float, *, at_once: bool = False) -> Loaded:
    """Put a server under load. Raises LoadFailed if the users cannot connect."""
    began: list[float] = []

    def show(_: str) -> None:
        if not began:  # the head of the table comes when everybody is connected
            began.append(chat.cpu_s())

    asked = Load(
        SocketUrl.parse(chat.url),
        users,
        for_s,
        every_s,
        {Behaviour.TYPIST: 1},
        ((KINDS | {"fast": script.FAST})[kind],),
        servers.AGENT,
        at_once=at_once,
    )
    report = trio.run(run_load, asked, chat.sign_in, show)
    return Loaded(report, chat.cpu_s() - began[0])


def say(text: str) -> None:
    """A line for whoever watches, apart from the figures."""
    print(f"chat: {text}", file=sys.stderr, flush=True)
