"""Two servers, PostgreSQL, Redis, a balancer and chatting clients, while all of it is killed repeatedly.

python -m tests.cluster.chaos --kills 1000 --clients 50 --seed 7
python -m tests.cluster.chaos --messages 1200 --kill-each-node --nodes 3 --clients 50 --pause 2

At the end the faults stop and every log is read: each accepted message has one end, each log is gapless, each client
has the events of the log, and no tool that is not retry-safe was called twice. Exit code 0 if all of that holds.
"""

import argparse
import functools
import itertools
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field

from tests.cluster.balancer import Balancer
from tests.cluster.fault_injector import FaultInjector
from tests.cluster.node import Node, read_logs
from tests.network.checker import Checker
from tests.network.plain_tab import PlainTab
from tests.network.proxy import HOST, Proxy
from tests.network.received import SentMessage
from tests.network.server_harness import SECRET, SETTINGS
from tests.network.soak import Soak
from tests.network.stream_tab import StreamTab
from tests.network.tab import ProductTab, Tab
from tests.servers.postgresql import USER, Postgres
from tests.servers.redis import Redis
from transport.auth.tokens import Tokens

KINDS = (ProductTab, ProductTab, ProductTab, PlainTab, StreamTab)
PACE_S = (0.1, 8.0)
"""Minimum and maximum seconds between kills; in between, the next comes once messages are answered again."""
START_S = 180.0
"""Longest time until all servers are ready: a busy machine starts one in a minute."""
CATCH_UP_S = 240.0
ANSWER_S = 5.0
"""Longest time for which a tab without a connection tries to answer a question."""
LULL_EVERY = 100
"""Kills after which people fall silent until every open screen has the whole log: a reconnection heals a screen that
stopped in silence, so it is found only if all that lives is left alone for a while."""
THREADS = (3, 9)
"""Minimum and maximum number of a user's threads: in total more than a server's tables hold before pruning."""
MOST = 50
"""Number of violations that are printed."""


@define(eq=False)
class Chaos(Soak):
    """Makes `kills` kills, or as many as fit into `seconds`; the `first` ones are of these kinds. With `kill_each_node`
    the kills are one of each node instead, spread over the `messages`. There are `nodes` servers; with `sqlite` it is
    one alone, on the database in its own folder.

    `done` counts the kills of each kind. `back_s` has, for each kind, the seconds until a message was accepted and an
    answer
    ended, infinite if that took too long.
    """

    patience: int = 2
    kills: int = 1000
    first: tuple[str, ...] = ()
    nodes: int = 2
    kill_each_node: bool = False
    with_redis: bool = True
    wakeups_by_redis: bool = False
    sqlite: bool = False
    kinds: Any = KINDS
    threads_per_user: tuple[int, int] = THREADS
    hold_s: tuple[float, float] | None = None
    back_s: dict[str, list[float]] = field(factory=lambda: defaultdict(list))
    done: Counter[str] = field(factory=Counter)
    started_at: float = field(factory=time.monotonic)

    async def run(self) -> None:
        """Run the chaos. Violations are in `faults`, totals in `counts`, `done` and `back_s`."""
        with _servers(self.where, sqlite=self.sqlite, with_redis=self.with_redis) as (postgres, redis):
            settings = SETTINGS | {
                "UNDERSTUDY_OBSERVER_KILL": "true",
                "PLANNED_AGENT_NOTES": str(self.where / "notes"),
            }
            settings |= {"UNDERSTUDY_DATABASE_URL": postgres.create()} if postgres is not None else {}
            settings |= {"UNDERSTUDY_NODES_REDIS_URL": redis.url} if redis is not None else {}
            settings |= {"UNDERSTUDY_NODES_WAKEUPS_BY_REDIS": "true"} if self.wakeups_by_redis else {}
            servers = [Node(number, self.where, dict(settings)) for number in range(self.nodes)]
            lines = [] if postgres is None else [Proxy(self.seed, postgres.port, calm=True) for _ in servers]
            balancer = Balancer(self.seed, 0, nodes=servers)
            operator = Tokens(SECRET, time.time).issue("operator", "chaos", roles=("operator",), ttl_s=86400)
            all_kills = FaultInjector(servers, balancer, postgres, redis, operator, lines)
            if self.hold_s is not None:
                all_kills.hold_s = self.hold_s
            checker = Checker(self.ledger, "")
            async with trio.open_nursery() as nursery:
                for node, line in zip(servers, lines, strict=False):
                    await nursery.start(line.run)
                    node.settings["UNDERSTUDY_DATABASE_URL"] = through(settings["UNDERSTUDY_DATABASE_URL"], line)
                await self._begin(servers, balancer, nursery)
                checker.address = balancer.address
                for tab in self._tabs:
                    nursery.start_soon(tab.run)
                    nursery.start_soon(self._answer, tab)
                async with trio.open_nursery() as talkers:
                    for tab in self._tabs:
                        talkers.start_soon(self._talk, tab, float("inf"))
                        talkers.start_soon(self._interfere, tab)
                    if self.kill_each_node:
                        await self._kill_each(servers)
                    else:
                        await self._kill(all_kills, checker)
                    talkers.cancel_scope.cancel()
                with trio.fail_after(START_S):
                    for node in servers:
                        await balancer.wait_for(node)
                await self._catch_up(checker)
                nursery.cancel_scope.cancel()
        checker.read_resumed(self.where)
        checker.check()
        notes = self.where / "notes"
        checker.check_notes(notes.read_text().splitlines() if notes.exists() else [])
        requests, bank = self.where / "notes.asked", self.where / "notes.bank"
        checker.check_bank(
            requests.read_text().splitlines() if requests.exists() else [],
            {path.name for path in bank.iterdir()} if bank.exists() else (),
        )
        self.faults += checker.faults + read_logs(self.where, self.counts)
        (self.where / "outdated").write_text("\n".join(checker.outdated))
        for node in servers:
            self.faults += node.faults
            self.counts += node.counts
        self.counts += balancer.counts + self.ledger.counts
        self.counts["messages"] = len(self.ledger.said)
        self.counts["messages that ended once"] = checker.ended_once()
        self.counts["median start of a server, ms"] = round(
            1000 * statistics.median(seconds for node in servers for seconds in node.start_s)
        )

    async def _begin(self, servers: list[Node], balancer: Balancer, nursery: trio.Nursery) -> None:
        """Start everything and wait until all servers are ready. The first server creates the tables."""
        await nursery.start(balancer.run)
        nursery.start_soon(balancer.watch)
        with trio.fail_after(START_S):
            for node in servers:
                nursery.start_soon(node.run)
                await balancer.wait_for(node)
        self._people(balancer.address, nursery)

    async def _kill(self, kills: FaultInjector, checker: Checker) -> None:
        """Kill and wait until messages are answered again, repeatedly, with a lull every `LULL_EVERY` kills."""
        chance = Random(f"{self.seed}/kills")
        until = trio.current_time() + self.seconds
        await self._answered(until)
        while self.done.total() < self.kills and trio.current_time() < until:
            number = self.done.total()
            kind = self.first[number] if number < len(self.first) else kills.drawn(chance)
            if not await kills.kinds[kind][1](chance):
                self.counts[f"nothing to kill: {kind}"] += 1
                await trio.sleep(0.05)
                continue
            self.done[kind] += 1
            began = trio.current_time()
            if await self._answered(began + PACE_S[1]):
                self.back_s[kind].append(trio.current_time() - began)
            else:
                self.back_s[kind].append(float("inf"))
            await trio.sleep_until(began + PACE_S[0])
            self._tell(kind)
            if self.done.total() % LULL_EVERY == 0:
                await self._lull(checker)

    async def _kill_each(self, servers: list[Node]) -> None:
        """Kill each node while messages are sent, at equal distances, and wait until all are sent."""
        for number, node in enumerate(servers, 1):
            await self._said(self.messages * number / (len(servers) + 1))
            while not node.ready:  # noqa: ASYNC110 - it is starting
                await trio.sleep(0.05)
            began, kind = trio.current_time(), "node, SIGKILL"
            self.counts["open runs of the clients at the kills"] += sum(
                len(held.open_runs) for held, _, _ in self.ledger.received if held.current
            )
            await node.kill()
            self.done[kind] += 1
            answered = await self._answered(began + PACE_S[1])
            self.back_s[kind].append(trio.current_time() - began if answered else float("inf"))
        await self._said(self.messages)

    async def _said(self, count: float) -> None:
        """Wait until so many messages are said."""
        while len(self.ledger.said) < count:  # noqa: ASYNC110 - it is no event
            await trio.sleep(0.02)

    async def _lull(self, checker: Checker) -> None:
        """Pause messages and kills until every subscribed client has the whole log. Clients that do not are
        reported.

        Nobody reads slowly meanwhile: a tab that takes 0.2 s for each piece of text needs a minute for its backlog.
        """
        slow = [(tab, tab.slow_s) for tab in self._tabs]
        for tab in self._tabs:
            tab.slow_s = 0.0
        self.silent, began = True, trio.current_time()
        with trio.move_on_after(CATCH_UP_S) as late:
            await self._until_settled(checker)
        if late.cancelled_caught:
            self.faults += [f"in a lull after {self.done.total()} kills: {lack}" for lack in checker.lacking()]
        self.counts["lulls"] += 1
        self.counts["longest lull, s"] = max(self.counts["longest lull, s"], round(trio.current_time() - began))
        self.silent = False
        for tab, slow_s in slow:
            tab.slow_s = slow_s

    async def _answered(self, until: float) -> bool:
        """Wait until a message is accepted and a run ends. Return False on timeout."""
        accepted, ended = len(self.ledger.accepted), self._ended()
        while trio.current_time() < until:
            if len(self.ledger.accepted) > accepted and self._ended() > ended:
                return True
            await trio.sleep(0.02)
        return False

    def _ended(self) -> int:
        return sum(len(held.ended) for held, _, _ in self.ledger.received)

    def _tell(self, kind: str) -> None:
        number = self.done.total()
        if number % 25 == 0:
            after_s = time.monotonic() - self.started_at
            print(f"{after_s:7.1f} s  {number:5} kills  {len(self.ledger.accepted):6} messages", file=sys.stderr)

    def _message(self, tab: Tab, number: int, chance: Random) -> SentMessage:
        name = f"{tab.name}.{number}"
        words = chance.choice((1, 5, 20, 60, 150))
        tool, fail = chance.choice((0, 0, 1, 2, 3, 3, 4)), int(chance.random() < 0.05)
        content = f"words={words} pace={chance.choice((100, 400))} tool={tool} fail={fail} name={name}"
        return SentMessage(name, tab.user, chance.choice(tab.threads), content)

    async def _interfere(self, tab: Tab) -> None:
        """Steer the runs that a tab shows, take steers back, and undo calls, sometimes in two tabs at once."""
        chance = Random(f"{self.seed}/{tab.name}/interfering")
        for number in itertools.count(1):
            await trio.sleep(chance.expovariate(1 / self.pause_s))
            runs, calls = list(tab.received.open_runs), list(tab.received.undoable.items())
            if self.silent:
                continue
            if runs and chance.random() < 0.7:
                name, run_id = f"{tab.name}-s{number}", chance.choice(runs)
                content = f"words=1 pace=400 tool=0 fail=0 name={name} steer=1"
                steer = {"run_id": run_id, "content": content, "mode": chance.choice(("next", "next", "now"))}
                self._order_soon(tab, chance, "steer", **steer, steer_id=name)
                self.ledger.counts["steers sent"] += 1
                if chance.random() < 0.25:
                    await trio.sleep(chance.random())
                    self._order_soon(tab, chance, "unsteer", run_id=run_id, steer_id=name)
            elif calls:
                call_id, run_id = chance.choice(calls)
                named = {"run_id": run_id} if chance.random() < 0.3 else {"call_id": call_id}
                self._order_soon(tab, chance, "undo", **named)

    def _order_soon(self, tab: Tab, chance: Random, kind: str, **payload: Any) -> None:
        """Send a command in the background, sometimes from another tab too."""
        for screen in {tab, self._beside(tab, chance)} if chance.random() < 0.3 else {tab}:
            screen.nursery.start_soon(functools.partial(screen.order, kind, **payload))

    async def _answer(self, tab: Tab) -> None:
        """Answer every question that a tab shows, again until the answer is in the log."""
        chance = Random(f"{self.seed}/{tab.name}/answering")
        while True:
            await trio.sleep(chance.uniform(0.5, 3.0))
            for name, event in list(tab.received.questions.items()):
                answer = {"choice": "skip"} if event["data"]["asked_by"] == "server" else {"word": tab.name}
                with trio.move_on_after(ANSWER_S):
                    await tab.order("answer", question_id=name, answer=answer)

    def summary(self) -> Iterator[str]:
        """Return a line for each kind of kill and each count, and the verdict."""
        for kind, times in sorted(self.done.items()):
            back = sorted(self.back_s[kind])
            late = sum(seconds == float("inf") for seconds in back)
            rest = f", {late} times not within {PACE_S[1]:g} s" if late else ""
            yield f"{times:>6} x {kind:<28} answered again after {statistics.median(back):.2f} s{rest}"
        for name, count in sorted(self.counts.items()):
            yield f"{count:>10,}  {name}"
        verdict = f"{len(self.faults)} faults" if self.faults else "every message has one end, every screen is the log"
        once, messages = self.counts["messages that ended once"], self.counts["messages"]
        yield f"{once:,} of {messages:,} messages were accepted once and ended in exactly one terminal event"
        yield f"seed {self.seed}: {self.done.total()} kills in {time.monotonic() - self.started_at:.0f} s: {verdict}"
        yield from (f"   {fault[:2000]}" for fault in self.faults[:MOST])
        if len(self.faults) > MOST:
            yield f"   and {len(self.faults) - MOST} more; --keep FOLDER has them all"


def through(address: str, line: Proxy) -> str:
    """Return the address of a database through a proxy."""
    return urlsplit(address)._replace(netloc=f"{USER}@{HOST}:{line.port}").geturl()


@contextmanager
def _servers(where: Path, *, sqlite: bool, with_redis: bool) -> Iterator[tuple[Postgres | None, Redis | None]]:
    if sqlite:
        yield None, None
        return
    folder = Path(tempfile.mkdtemp(prefix="understudy-chaos-"))  # accessible to the user that PostgreSQL runs as
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        postgres = Postgres(folder)
        postgres.start()
        stack.callback(postgres.stop, "immediate")
        redis = None
        if with_redis:
            redis = Redis(where / "redis")
            redis.start()
            stack.callback(redis.kill)
        yield postgres, redis


def main() -> int:
    """Run the chaos from the command line. Return 1 on violations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3600.0, help="longest time for the kills")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--messages", type=int, help="messages in all; with --kill-each-node 1,200")
    parser.add_argument("--kill-each-node", action="store_true", help="kill each node once, and nothing else")
    parser.add_argument("--no-redis", action="store_true", help="only PostgreSQL is shared")
    parser.add_argument("--wakeups-by-redis", action="store_true", help="Redis carries wakeups")
    parser.add_argument("--sqlite", action="store_true", help="one node alone, on the database in its own folder")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two doings of a client")
    parser.add_argument("--hold", type=float, help="seconds for which a node is held, in place of some")
    parser.add_argument("--keep", type=Path, help="a folder for the logs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = args.keep or Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(
            args.clients,
            args.seconds,
            args.seed,
            where,
            pause_s=args.pause,
            within_s=CATCH_UP_S,
            messages=args.messages or (1200 if args.kill_each_node else math.inf),
            kills=args.kills,
            kill_each_node=args.kill_each_node,
            nodes=1 if args.sqlite else args.nodes,
            with_redis=not args.no_redis,
            wakeups_by_redis=args.wakeups_by_redis,
            sqlite=args.sqlite,
            hold_s=(args.hold, args.hold) if args.hold else None,
        )
        trio.run(chaos.run)
        (where / "faults").write_text("\n".join(chaos.faults))
    print("\n".join(chaos.summary()))
    return 1 if chaos.faults else 0


if __name__ == "__main__":
    sys.exit(main())
