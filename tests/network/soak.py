"""A soak test over a bad network: many clients, two tabs per user, a server that is killed; at the end all have the
log.

python -m tests.network.soak --clients 100 --seconds 60 --seed 7
"""

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, field

from tests.network.checker import Checker
from tests.network.pages import Pages, PageTab
from tests.network.plain_tab import PlainTab
from tests.network.proxy import Proxy
from tests.network.received import Ledger, SentMessage
from tests.network.server_harness import SECRET, ServerHarness
from tests.network.stream_tab import StreamTab
from tests.network.tab import ProductTab, Tab
from tests.servers.needed import found
from transport.auth.tokens import Tokens

TABS_PER_USER = 2.5
SLOW_S = (0.0, 0.0, 0.0, 0.0, 0.02, 0.2)
MEMORY_MB = 100
"""Allowed growth of a server's memory during its life."""
READ_ATTEMPTS = 400
"""Attempts at reading a log, 0.3 s apart: a server that was killed is back within two minutes on a busy machine."""


def every_kind() -> tuple[Any, ...]:
    """Return the kinds of tabs, as often as there are of each. Without Node none is on the page's client."""
    return (ProductTab, ProductTab, PageTab if found("node") else ProductTab, PlainTab, PlainTab, StreamTab)


@define(eq=False)
class Soak:
    """`clients` tabs chat for `seconds` over a faulty network with a faulty server, all drawn from `seed`.

    A tab sends a message every `pause_s` seconds, unless `patience` of its messages are not yet accepted or all are
    `silent`. They send `messages` in all at most. A user has between the two numbers of `threads_per_user`. A server
    lives for about `life_s`. All clients must have caught up `within_s` after the network has become good.
    """

    clients: int
    seconds: float
    seed: int
    where: Path
    life_s: float = 20.0
    pause_s: float = 5.0
    within_s: float = 120.0
    ledger: Ledger = field(factory=Ledger)
    patience: int = 1000
    messages: float = math.inf
    threads_per_user: tuple[int, int] = (1, 3)
    silent: bool = False
    kinds: Sequence[Any] = field(factory=every_kind)
    faults: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    _tabs: list[Tab] = field(factory=list)
    _pages: Pages = field(factory=Pages)

    async def run(self) -> None:
        """Run the soak. Violations are in `faults`, totals in `counts`."""
        harness = ServerHarness(self.where, self.seed, self.life_s)
        proxy = Proxy(self.seed, harness.port)
        checker = Checker(self.ledger, harness.address)
        async with trio.open_nursery() as nursery:
            await nursery.start(harness.run)
            await nursery.start(proxy.run)
            self._people(proxy.address, nursery)
            if self._pages.tabs:
                await nursery.start(self._pages.run)
            until = trio.current_time() + self.seconds
            for tab in self._tabs:
                nursery.start_soon(tab.run)
                nursery.start_soon(self._talk, tab, until)
            await trio.sleep_until(until)
            harness.stay()
            proxy.calm = True
            await self._catch_up(checker)
            await harness.scrape()
            nursery.cancel_scope.cancel()
        checker.read_resumed(self.where)
        checker.check()
        harness.read_logs()
        self._sum_up(proxy, harness)
        self.faults += checker.faults + harness.faults

    async def _catch_up(self, checker: Checker) -> None:
        """Wait until all clients have the whole log, and read the logs."""
        for tab in self._tabs:
            tab.slow_s = 0.0
        began = trio.current_time()
        with trio.move_on_after(self.within_s) as late:
            await self._until_settled(checker)
        self.counts["seconds until all had caught up"] = round(trio.current_time() - began)
        if late.cancelled_caught:
            self.faults.append(f"after {self.within_s:g} s not everybody has caught up")
            self.faults += [
                f"{tab.name} ({tab.status}) waits for {list(tab.waiting)}" for tab in self._tabs if tab.waiting
            ]
        await self._read(checker)

    def _sum_up(self, proxy: Proxy, harness: ServerHarness) -> None:
        grown = [round(most - first) for first, most in harness.rss_mb]
        if any(growth > MEMORY_MB for growth in grown):
            self.faults.append(f"servers grew by {grown} MB")
        held = sum(len(events) for held, _, _ in self.ledger.received for events in held.events.values())
        self.counts += proxy.counts + harness.counts + harness.metrics + self.ledger.counts
        self.counts["clients"] = len(self._tabs)
        self.counts["messages"] = len(self.ledger.said)
        self.counts["events held by clients"] = held
        self.counts["largest server, MB"] = round(max(most for _, most in harness.rss_mb))
        self.counts["most that a server grew, MB"] = max(grown)

    def _people(self, address: str, nursery: trio.Nursery) -> None:
        chance = Random(f"{self.seed}/people")
        tokens = Tokens(SECRET, time.time)
        users = max(1, int(self.clients / TABS_PER_USER))
        threads = {
            user: tuple(f"t{n}-{user}" for n in range(chance.randint(*self.threads_per_user))) for user in range(users)
        }
        for number in range(self.clients):
            user = number % users
            kind = self.kinds[number % len(self.kinds)]
            name = f"{kind.__name__.removesuffix('Tab').lower()}-{number}"
            token = tokens.issue(f"u{user}", f"s{user}", ttl_s=86400)
            dice = Random(f"{self.seed}/{number}")
            person = (name, f"u{user}", token, threads[user], address, self.ledger, dice, nursery, dice.choice(SLOW_S))
            if issubclass(kind, PageTab):
                page = self._pages.tabs[name] = kind(*person, pages=self._pages)
                self._tabs.append(page)
            else:
                self._tabs.append(kind(*person))

    async def _talk(self, tab: Tab, until: float) -> None:
        """Send, repeat, cancel, close and reopen, until the soak is over."""
        chance = Random(f"{self.seed}/{tab.name}")
        number = 0
        while True:
            await trio.sleep(chance.expovariate(1 / self.pause_s))
            if trio.current_time() >= until:
                return
            what = chance.random()
            if self.silent or len(tab.waiting) >= self.patience:
                continue
            if (what < 0.65 or not self.ledger.said) and len(self.ledger.said) < self.messages:
                number += 1
                message = self._message(tab, number, chance)
                self.ledger.said[message.message_id] = message
                tab.say_soon(message)
                if chance.random() < 0.15:
                    tab.say_soon(message)  # a duplicate click
                if chance.random() < 0.15:
                    self._beside(tab, chance).say_soon(message)
            elif what < 0.75:
                old = chance.choice([sent for sent in self.ledger.said.values() if sent.user == tab.user] or [None])
                if old is not None:
                    tab.say_soon(old)
            elif what < 0.87:
                for run_id in list(tab.received.open_runs)[-1:]:
                    self.ledger.counts["cancels"] += 1
                    self.ledger.cancelled.add(run_id)
                    tab.nursery.start_soon(tab.stop_run, run_id)
            else:
                tab.reload(chance.choice((0.0, 0.5, 3.0)), afresh=chance.random() < 0.3)

    def _beside(self, tab: Tab, chance: Random) -> Tab:
        """Return another tab of the same user, or the same tab."""
        return chance.choice([tab_of_user for tab_of_user in self._tabs if tab_of_user.user == tab.user])

    async def _until_settled(self, checker: Checker) -> None:
        while True:
            unheard = self.ledger.said.keys() - self.ledger.accepted
            if not unheard and not any(tab.waiting for tab in self._tabs):
                await self._read(checker)
                if not checker.lacking() and not checker.open_runs() and not checker.open_undos():
                    return
            await trio.sleep(0.3)

    async def _read(self, checker: Checker) -> None:
        tokens = {(tab.user, thread_id): tab.token for tab in self._tabs for thread_id in tab.threads}
        for (user, thread_id), token in tokens.items():
            for attempt in range(READ_ATTEMPTS):
                try:
                    await checker.read(user, token, thread_id)
                    break
                except trio.BrokenResourceError:  # by a balancer whose node is not ready for a moment
                    self.counts["reads that were reset"] += 1
                    if attempt == READ_ATTEMPTS - 1:
                        raise
                    await trio.sleep(0.3)

    def _message(self, tab: Tab, number: int, chance: Random) -> SentMessage:
        """Return the next message of a tab."""
        name = f"{tab.name}.{number}"
        words = chance.choice((1, 5, 20, 60, 150, 3000))
        pace = chance.choice((100, 400)) if words < 200 else 4000
        tool, fail = int(chance.random() < 0.3), int(chance.random() < 0.1)
        content = f"words={words} pace={pace} tool={tool} fail={fail} name={name}"
        return SentMessage(name, tab.user, chance.choice(tab.threads), content)


def main() -> int:
    """Run a soak from the command line. Return 1 on violations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--life", type=float, default=20.0, help="seconds that a server lives, about")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between two doings of a tab")
    parser.add_argument("--keep", type=Path, help="a folder for the database and the logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = options.keep or Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        soak = Soak(options.clients, options.seconds, options.seed, where, options.life, options.pause)
        trio.run(soak.run)
    for name, count in sorted(soak.counts.items()):
        print(f"{count:>10,}  {name}")
    print(f"seed {options.seed}: {len(soak.faults)} faults")
    for fault in soak.faults[:50]:
        print("  ", fault)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
