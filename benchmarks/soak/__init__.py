"""Whether the memory of a server stays the same under load with faults.

`python -m benchmarks soak [--small]`, half an hour. `understudy serve` on SQLite has a process of its own on the first
core. On the last one, the people of `tests.load` of all behaviours (some stop answers, reload, use two tabs, or
have a bad network) send six messages a second; each minute other users take their place. Answers stream short and long
texts, call tools with small and large results, and crash. Once every five seconds an actor of the server is killed by
the observer's door: a run, a tool call, a conversation, a connection, its outbox or the writer of the store.

soak_growth        per cent by which private memory of the server and all processes that it has started grows over the
                   second half: the line through the samples of every ten seconds
soak_mb_half       that line at the beginning of the second half
soak_mb_end        that line at its end
soak_mb_most       the largest sample of all
soak_messages      messages that were answered
soak_kills         actors that were killed
soak_broken        promises that were broken

What the second half added is named on the error output: objects by type, and bytes of the allocators.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio
from attrs import define, field, frozen

from benchmarks.figure import Figure
from benchmarks.soak import agents
from benchmarks.start import family, memory_mb
from benchmarks.store.servers import SECRET, Node
from tests.load.person import Behaviour
from tests.load.run import Load, run_load
from transport.auth.tokens import Tokens
from transport.client.dial import SocketUrl
from understudy.auth.rights import OPERATOR
from understudy.observe.paths import SYSTEM

OPTIONS = ("small",)
GROWTH: Final = 2.0
"""What the growth should be at most, in per cent."""
PRIVATE: Final = ("Private_Clean", "Private_Dirty")
"""What is counted: pages that are shared with other processes come to count as the server's when these end."""
PLANS: Final = ("text", "tool", "text", "long", "text", "crash", "tool", "text", "break", "text", "tool")
"""What messages ask of `agents.Talker`, in turns."""
KILLED: Final = {
    "conversations/*/*": 6,
    "conversations/*/*/*": 6,
    "conversations/*": 3,
    "connections/*": 3,
    "connections/*/outbox": 3,
    "storage/writer": 1,
}
"""Paths below the root of the actors that are killed, and how often each kind is chosen."""
TOKEN_S: Final = 24 * 3600.0
ANSWER_S: Final = 30.0
"""Longest time for an answer over HTTP, and for the count of objects to be written, in seconds."""
NAMED: Final = 20
"""Kinds of objects that are named."""


@frozen
class Sizes:
    """How long and how much; `_s` is seconds."""

    for_s: float = 1_800.0
    shift_s: float = 60.0
    """How long the same people stay."""
    users: int = 48
    every_s: float = 8.0
    sample_s: float = 10.0
    kill_s: float = 5.0


SMALL: Final = Sizes(for_s=6.0, shift_s=3.0, users=6, every_s=1.0, sample_s=0.5, kill_s=0.5)
"""So small that the numbers mean nothing: for tests."""


@define
class Soak:
    """A server under load, and what was seen of it."""

    server: Node
    sizes: Sizes
    file: Path
    samples: list[tuple[float, float]] = field(factory=list)
    """Seconds since the beginning, and MB."""
    counts: list[dict[str, int]] = field(factory=list)
    """What it held at half time and at the end."""
    answered: int = 0
    kills: int = 0
    broken: int = 0

    async def run(self) -> None:
        """Load the server for as long as its sizes say."""
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sample, began)
            nursery.start_soon(self._kill)
            half = self.sizes.for_s / 2
            for shift in range(round(self.sizes.for_s / self.sizes.shift_s)):
                if not self.counts and trio.current_time() - began >= half:
                    self.counts.append(await trio.to_thread.run_sync(self._count))
                await self._load(shift)
            self.counts.append(await trio.to_thread.run_sync(self._count))
            nursery.cancel_scope.cancel()

    async def _load(self, shift: int) -> None:
        sizes = self.sizes
        chance = random.Random(shift)
        report = await run_load(
            Load(
                SocketUrl.parse(f"ws://127.0.0.1:{self.server.port}/ws"),
                sizes.users,
                sizes.shift_s,
                sizes.every_s,
                dict.fromkeys(Behaviour, 1),
                [f"{plan} {chance.random()}" for plan in PLANS * 9],
                "talker",
                seed=shift,
            ),
            partial(self._sign_in, shift),
            lambda _: None,
        )
        self.answered += report["messages"]["answered"]
        self.broken += sum(report["violations"].values())
        _, mb = self.samples[-1]
        tell(f"shift {shift}: {mb:.1f} MB, {report['messages']}, {report['errors']}, {report['examples']}")

    async def _sign_in(self, shift: int, number: int) -> str:
        await trio.lowlevel.checkpoint()
        name = f"soak-{shift}-{number}"
        return Tokens(SECRET, time.time).issue(name, f"session-{name}", ttl_s=TOKEN_S)

    async def _sample(self, began: float) -> None:
        while True:
            mb = sum(memory_mb(pid, *PRIVATE) for pid in family(self.server.pid))
            self.samples.append((trio.current_time() - began, mb))
            await trio.sleep(self.sizes.sample_s)

    async def _kill(self) -> None:
        chance = random.Random(0)
        kinds, weights = list(KILLED), list(KILLED.values())
        while True:
            await trio.sleep(self.sizes.kill_s)
            (kind,) = chance.choices(kinds, weights)
            self.kills += await trio.to_thread.run_sync(self._kill_one, kind, chance)

    def _kill_one(self, kind: str, chance: random.Random) -> bool:
        """Kill an actor whose path fits. Return whether there was one, which was still there when it was chosen."""
        names = kind.split("/")
        tree = self._ask("GET", f"/api/observer/tree?path={SYSTEM}/{names[0]}&levels=3&limit=500")["tree"]
        found = [path for path in paths(tree) if fits(path, names)]
        if not found:
            return False
        return "path" in self._ask("POST", "/api/observer/kill", {"path": chance.choice(found), "part": True})

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        token = Tokens(SECRET, time.time).issue("operator", "operator", roles=[OPERATOR], ttl_s=TOKEN_S)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        # Gone before it was killed; or the kill cannot be noted while the store comes back from another one.
        missed = (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status not in missed:
            raise self.server.failed(f"{method} {path}: {answer.status} {found}")
        return found

    def _count(self) -> dict[str, int]:
        """Return what the server holds. Raises ServerFailed."""
        self.file.unlink(missing_ok=True)
        os.kill(self.server.pid, signal.SIGUSR2)
        deadline = time.monotonic() + ANSWER_S
        while not self.file.exists():
            if time.monotonic() > deadline:
                raise self.server.failed("it counted nothing")
            time.sleep(0.02)
        found: dict[str, int] = json.loads(self.file.read_text())
        return found


def paths(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the path of every actor of an answer of the observer."""
    yield tree["path"]
    for child in tree["children"]:
        yield from paths(child)


def fits(path: str, names: Sequence[str]) -> bool:
    """Whether a path below the root has these names; `*` stands for any."""
    parts = path.strip("/").split("/")[1:]
    return len(parts) == len(names) and all(name in ("*", part) for name, part in zip(names, parts, strict=True))


def second_half(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the line through the samples of the second half: its value at the beginning, and at the end."""
    last, _ = samples[-1]
    late = [sample for sample in samples if sample[0] >= last / 2]
    slope, start = linear_regression(*zip(*late, strict=True))
    return start + slope * last / 2, start + slope * last


def grown(half: Mapping[str, int], end: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each of the kinds that there are many more, or fewer, of at the end."""
    more = {kind: end.get(kind, 0) - half.get(kind, 0) for kind in half.keys() | end.keys()}
    for kind in sorted(more, key=lambda kind: -abs(more[kind]))[:NAMED]:
        yield f"{more[kind]:+12,} to {end.get(kind, 0):12,} {kind}"


def tell(text: str) -> None:
    """A line for whoever watches, apart from the figures."""
    print(f"soak: {text}", file=sys.stderr, flush=True)


def figures(small: bool = False) -> Iterator[Figure]:
    """Measure and yield; Linux only. `small` ones say nothing but whether they run."""
    with TemporaryDirectory(prefix="understudy-bench-") as folder:
        file = Path(folder) / "held.json"
        given = {agents.FILE: str(file), "UNDERSTUDY_OBSERVER_KILL": "true"}
        with Node(Path(folder) / "data", agents=f"{agents.__name__}:AGENTS", **given) as server:
            soak = Soak(server, SMALL if small else Sizes(), file)
            trio.run(soak.run)
    for line in grown(*soak.counts):
        tell(line)
    half, end = second_half(soak.samples)
    yield Figure("soak_growth", "%", 100 * (end - half) / half, aim=GROWTH)
    yield Figure("soak_mb_half", "MB", half)
    yield Figure("soak_mb_end", "MB", end)
    yield Figure("soak_mb_most", "MB", max(mb for _, mb in soak.samples))
    yield Figure("soak_messages", "messages", soak.answered)
    yield Figure("soak_kills", "kills", soak.kills)
    yield Figure("soak_broken", "promises", soak.broken)
