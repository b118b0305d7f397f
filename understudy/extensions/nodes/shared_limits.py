"""Cluster-wide limits, counted in the database: the connections of users, the rates of their commands, and the
concurrent runs of users and tenants.

1. Every `REPORT_S` a node reports its changed counts and reads the runs of the others; a node that is alone does
   neither. So a limit may be overrun by what starts on other nodes within a second or two, and a permit that is
   released on one node is granted on another within two seconds.
2. A node reports absolute counts, so a repeated report changes nothing. Counts of dead nodes are ignored. A connection
   over the limit is retried for `PATIENCE_S` before it is refused: the user may be reconnecting after the death of a
   node, or may have closed the other connections within this second.
3. No command waits for the database: each node takes tokens from local buckets and reports them. If a user overdraws
   on several nodes, the shared bucket goes below zero, by at most one burst, and refills from there.
4. The reported runs of a node count until it is seen to be dead, or its lease ends as it was when the runs were read:
   so a run that is resumed after the death of its node is not blocked by its own count.
5. A permit that is released on a node with waiting runs goes to a node that holds fewer, if runs of the same user or
   tenant wait there.
6. While the database is away each node counts alone.
"""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, NoReturn

import trio
from attrs import define, field, frozen

from actors import ActorRef
from transport.connection.limits import Ledger, RateLimit
from understudy.chat.placement import Node
from understudy.chat.run_limiter import RunLimiter, notify_granted
from understudy.extensions.nodes.shared_counts import (
    REPORTS,
    Key,
    TokensTaken,
    counted,
    counted_by_others,
    report,
    tokens_left,
)
from understudy.extensions.nodes.storage import LEASE_S
from understudy.storage.errors import StorageError
from understudy.storage.owners import BETWEEN
from understudy.storage.store import Store

REPORT_S: Final = 1.0
"""Interval of reports, and of reads of the others' runs."""
ALONE_S: Final = 0.1
"""Interval at which a node that is alone checks whether it still is."""
PATIENCE_S: Final = LEASE_S + 0.5
"""Seconds for which a connection over the limit is retried before it is refused."""
RETRY_S: Final = 0.25
"""Interval of the attempts to admit a connection over the limit."""
ENTER_TIMEOUT_S: Final = 0.3
"""Timeout of the read for a new connection; beyond it the connection is admitted by the local count."""
MOST: Final = 500
"""Limit of buckets, and of counts, in one report; if there are more, the next report follows at once."""
RUNS: Final = ("user", "tenant", "user-waits", "tenant-waits")
"""Kinds of counts of runs: the number with a permit, and 1 if runs wait for a permit."""


@frozen
class _OtherNode:
    """The reported runs of another node; they are ignored after `until`, the end of its lease (by trio's clock)."""

    runs: Mapping[Key, int]
    until: float


@define(eq=False)
class SharedLimits:
    """The connections of users, at most `cap` each over all nodes, the rates of their commands, and the permits of
    `limiter`.

    `accompanied` returns whether other nodes are alive. `clock` is the clock of the local buckets.
    """

    store: Store
    node: Node
    cap: int
    limiter: RunLimiter[ActorRef]
    accompanied: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    ledger: Ledger = field(factory=Ledger, init=False)
    _users: dict[str, str] = field(factory=dict, init=False, repr=False)  # by the id of the connection
    _connections: Counter[str] = field(factory=Counter, init=False, repr=False)
    _others: dict[str, _OtherNode] = field(factory=dict, init=False, repr=False)
    _reported: dict[Key, int] = field(factory=dict, init=False, repr=False)
    _reported_as: str = field(default="", init=False)
    _reports: int = field(default=0, init=False)

    # connections

    async def enter(self, user: str, connection_id: str) -> bool:
        """Count a connection. Return False, with nothing counted, if its user has reached the limit.

        If the connection was counted for another user, it is removed there first.
        """
        self.leave(connection_id)
        self._connections[user] += 1
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
            self._connections[user] -= 1
            if not self._connections[user]:
                del self._connections[user]

    async def _admit(self, user: str) -> bool:
        deadline, key = trio.current_time() + PATIENCE_S, key_of("connections", user)
        while self.accompanied():
            others = 0
            with trio.move_on_after(ENTER_TIMEOUT_S):
                try:
                    others = await self.store.read(counted_by_others, self.node.id, key)
                except StorageError:
                    return True
            if others + self._connections[user] <= self.cap:
                return True
            if self._connections[user] > self.cap or trio.current_time() >= deadline:
                return False
            await trio.sleep(RETRY_S)
        return self._connections[user] <= self.cap

    # runs

    def elsewhere(self, kind: str, name: str | None, held: int) -> int:
        """Return the number of permits of other nodes, plus one for each with fewer than `held` and waiting runs."""
        if not self._others:
            return 0
        key, waits, total = key_of(kind, name), key_of(f"{kind}-waits", name), 0
        for other in self._others.values():
            count = other.runs.get(key, 0)
            total += count + (count < held and waits in other.runs)
        return total

    def forget(self, node: str) -> None:
        """Stop counting the runs of a node that died."""
        if self._others.pop(node, None) is not None:
            notify_granted(self.limiter, self.limiter.offer)

    # reports

    async def synchronise(self) -> NoReturn:
        """Report the counts of this node and read those of the others, until cancelled."""
        self.limiter.elsewhere = self.elsewhere
        while True:
            began, others, complete = trio.current_time(), self._others, True
            if self.accompanied():
                with trio.move_on_at(self._lapse):
                    try:
                        complete = await self._report()
                        await self._read()
                        self.ledger.open = True
                    except StorageError:
                        self.ledger.open, self._reported = False, {}  # until the database is back
            else:
                self.ledger.open, self._others = False, {}
            now = trio.current_time()
            self._others = {name: other for name, other in self._others.items() if other.until > now}
            if others:  # some of their permits may have been released
                notify_granted(self.limiter, self.limiter.offer)
            pause_s = ALONE_S if not self.accompanied() else REPORT_S if complete else 0.0
            await trio.sleep_until(min(began + pause_s, self._lapse))

    @property
    def _lapse(self) -> float:
        return min((other.until for other in self._others.values()), default=math.inf)

    async def _read(self) -> None:
        began = trio.current_time()
        by_node = await self.store.read(counted, (*RUNS, REPORTS))
        if by_node.pop(self.node.id, None) is None:  # as after a crash of the database, which empties the table
            self._reported = {}
        self._others = {name: _OtherNode(runs, began + left_s) for name, (left_s, runs) in by_node.items()}

    async def _report(self) -> bool:
        """Report the changed counts, at most `MOST`. Return False if there are more."""
        if self.node.id != self._reported_as:  # it was declared dead, and its counts were deleted
            self._reported_as, self._reported = self.node.id, {}
        now, reported = self._counted(), self._reported
        changed = {key: count for key, count in now.items() if reported.get(key) != count}
        changed |= {key: 0 for key in reported if key not in now}
        some, taken = dict(islice(changed.items(), MOST)), self.ledger.take_unreported(MOST)
        if some or taken:
            await self._store(some, taken)
        for key, count in some.items():
            if count:
                self._reported[key] = count
            else:
                self._reported.pop(key, None)
        return len(changed) <= MOST and len(taken) < MOST

    def _counted(self) -> dict[Key, int]:
        held, waits = self.limiter.held, {self.limiter.limit_of(owner) for owner in self.limiter.queue.by_owner()}
        now = {key_of("connections", user): count for user, count in self._connections.items()}
        now |= {key_of("user", owner): count for owner, count in held.by_owner.items()}
        now |= {key_of("tenant", tenant): count for tenant, count in held.by_tenant.items()}
        return now | {key_of(f"{kind}-waits", name): 1 for kind, name in waits if kind}

    async def _store(self, counts: Mapping[Key, int], taken: Sequence[tuple[RateLimit, str, int]]) -> None:
        self._reports += 1
        tokens = [TokensTaken(_bucket(rate, user), rate.rate_per_min, rate.burst, count) for rate, user, count in taken]
        await self.store.commit(report(self._reported_as, self._reports, counts, tokens))
        if taken:
            lefts, now = await self.store.read(tokens_left, [token_count.key for token_count in tokens]), self.clock()
            for rate, user, _ in taken:
                remaining = lefts.get(_bucket(rate, user), rate.burst)
                rate.lower(user, remaining - self.ledger.unreported(rate, user), now)


def _bucket(rate: RateLimit, user: str) -> Key:
    return key_of(f"rate:{rate.name}", user)


@lru_cache(maxsize=20_000)
def key_of(kind: str, name: str | None) -> Key:
    """Return the key of a count of a user or a tenant; `name` None stands for the users without a tenant.

    Names are hashed, so an erasure need not cover these rows, which last for minutes.
    """
    name = BETWEEN if name is None else name  # no tenant can have this name
    return kind, hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
