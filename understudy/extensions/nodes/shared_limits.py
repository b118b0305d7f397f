"""Limits of users that all nodes count together in the database: their connections, the rates of their commands, and
their runs (`understudy.extensions.nodes.shared_runs`).

1. A node writes at most once in `REPORT_S`: what it has counted since. So a limit may be overrun by what one second
   brings on the other nodes.
2. A node reports its own count of a user's connections, not a difference, so a repeated report changes nothing. Dead
   nodes do not count. A connection over the limit is retried for `PATIENCE_S` before it is refused: the other ones may
   be on a dead node whose user is just reconnecting, or have been closed in this second.
3. No command waits for the database: each node takes tokens from local buckets and reports them. What a user overdraws
   on several nodes is paid back: the shared bucket goes below zero, by at most one burst, and refills from there.
4. While the database is away each node counts alone.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import trio
from attrs import define, field

from transport.connection.limits import Ledger, RateLimit
from understudy.chat.placement import Node
from understudy.extensions.nodes.shared_counts import TokensTaken, counted_by_others, report, sweep, tokens_left
from understudy.extensions.nodes.shared_runs import SharedRuns, key_of
from understudy.extensions.nodes.storage import LEASE_S
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

REPORT_S: Final = 1.0
"""Shortest interval of reports."""
PATIENCE_S: Final = LEASE_S + 0.5
"""How long a connection over the limit is retried before it is refused."""
RETRY_S: Final = 0.25
"""Interval of these attempts."""
ENTER_TIMEOUT_S: Final = 0.3
"""Timeout of the read for a new connection; beyond it the connection is admitted by the local count."""
MOST: Final = 500
"""Limit of buckets and of users in one report."""
SWEEP_S: Final = 60.0
"""Interval at which what says nothing any more is deleted."""


@define(eq=False)
class SharedLimits:
    """The connections of users, at most `cap` each over all nodes, and the rates of what they send.

    `clock` is the clock of the local buckets.
    """

    store: Store
    node: Node
    cap: int
    ledger: Ledger = field(factory=Ledger)
    clock: Callable[[], float] = time.monotonic
    runs: SharedRuns = field(kw_only=True)
    _users: dict[str, str] = field(factory=dict, init=False, repr=False)
    _mine: Counter[str] = field(factory=Counter, init=False, repr=False)
    _unreported: dict[str, None] = field(factory=dict, init=False, repr=False)
    _reported_as: str = field(default="", init=False)
    _reports: int = field(default=0, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit.

        If the connection was counted for another user, it is removed there first.
        """
        self.leave(connection_id)
        self._count(user, 1)
        self._users[connection_id] = user
        admitted = False
        try:
            admitted = await self._admit(user)
        finally:
            if not admitted:
                self.leave(connection_id)
        return admitted

    def leave(self, connection_id: str) -> None:
        """Stop counting a connection; no effect if it is not counted. The next report has the new count."""
        user = self._users.pop(connection_id, None)
        if user is not None:
            self._count(user, -1)

    def _count(self, user: str, more: int) -> None:
        self._mine[user] += more
        if not self._mine[user]:
            del self._mine[user]
        self._unreported[user] = None
        self._news.set()

    async def _admit(self, user: str) -> bool:
        deadline, key = trio.current_time() + PATIENCE_S, key_of("connections", user)
        while True:
            others = 0
            with trio.move_on_after(ENTER_TIMEOUT_S):
                try:
                    others = await self.store.read(counted_by_others, self.node.id, key)
                except StorageError:
                    return True
            if others + self._mine[user] <= self.cap:
                return True
            if self._mine[user] > self.cap or trio.current_time() >= deadline:
                return False
            await trio.sleep(RETRY_S)

    async def synchronise(self) -> NoReturn:
        """Report what is counted here until cancelled."""
        self.ledger.on_entry = self.runs.on_news = lambda: self._news.set()
        self.ledger.open = True
        swept_at = trio.current_time()
        while True:
            with trio.move_on_after(SWEEP_S):
                await self._news.wait()
            self._news = trio.Event()
            try:
                await self._report()
                if trio.current_time() >= swept_at + SWEEP_S:
                    swept_at = trio.current_time()
                    await self.store.commit(sweep())
                    self._reported_as = ""  # the table may have been emptied by a crash of the database
                self.ledger.open = True
            except StorageError:
                self.ledger.open, self._reported_as = False, ""  # until the database is back; each node counts alone
                self._news.set()
            await trio.sleep(REPORT_S)

    async def _report(self) -> None:
        if self.node.id != self._reported_as:  # as after it was taken for dead, and its counts with it
            self._reported_as = self.node.id
            self._unreported.update(dict.fromkeys(self._mine))
        runs = self.runs.unreported(MOST)
        while True:
            users, taken = list(self._unreported)[:MOST], self.ledger.take_unreported(MOST)
            for user in users:
                del self._unreported[user]
            try:
                await self._store({key_of("connections", user): self._mine[user] for user in users} | runs, taken)
            except BaseException:
                self._unreported.update(dict.fromkeys(users))
                raise
            if max(len(users), len(taken)) < MOST:
                return
            runs = {}

    async def _store(self, counts: Mapping[str, int], taken: Sequence[tuple[RateLimit, str, int]]) -> None:
        if not counts and not taken:
            return
        self._reports += 1
        tokens = [TokensTaken(_bucket(rate, user), rate.rate_per_min, rate.burst, count) for rate, user, count in taken]
        await self.store.commit(report(self._reported_as, self._reports, counts, tokens))
        if taken:
            lefts, now = await self.store.read(tokens_left, [each.bucket for each in tokens]), self.clock()
            for rate, user, _ in taken:
                left = lefts.get(_bucket(rate, user), rate.burst)
                rate.lower(user, left - self.ledger.unreported(rate, user), now)


def _bucket(rate: RateLimit, user: str) -> str:
    return key_of(f"rate:{rate.name}", user)
