"""Concurrent runs of users and tenants, which all nodes count together in the database.

1. A node reports how many permits it has granted to each user and tenant, and whose runs wait for one; once a second it
   reads what the others have reported. So a limit may be overrun by what one or two seconds bring on the other nodes,
   and a permit that is released on one is granted on another within two.
2. What a node has reported counts until its lease ends, as it was when that was read: a run that is resumed as its node
   died is not held up by its own count, and while the database is away each node counts alone.
3. Of a permit that is released on a node with waiting runs the next goes to a node that has fewer, if runs of the same
   user or tenant wait there.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Final, NoReturn

import trio
from attrs import define, field, frozen

from actors import ActorRef
from understudy.chat.placement import Node
from understudy.chat.run_limiter import RunLimiter, notify_granted
from understudy.extensions.nodes.shared_counts import counted_runs
from understudy.storage.errors import StorageError
from understudy.storage.owners import BETWEEN
from understudy.storage.store import Store

READ_S: Final = 1.0
"""Interval of reads while other nodes are alive."""


@frozen
class _OtherNode:
    """The counts of a node, by key, until its lease ends (by trio's clock)."""

    counts: Mapping[str, int]
    until: float


@define(eq=False)
class SharedRuns:
    """The permits of `limiter`, which counts those of the other nodes with them.

    `accompanied` says whether other nodes are alive. `on_news` is called if there are `unreported` counts.
    """

    store: Store
    node: Node
    limiter: RunLimiter[ActorRef]
    accompanied: Callable[[], bool]
    on_news: Callable[[], None] = field(default=lambda: None, init=False)
    _others: list[_OtherNode] = field(factory=list, init=False, repr=False)
    _reported: dict[str, int] = field(factory=dict, init=False, repr=False)

    def elsewhere(self, kind: str, name: str | None, held: int) -> int:
        """Count the permits of other nodes, and one for each that has fewer than `held` and runs that wait for it."""
        if not self._others:
            return 0
        runs, waits, total = key_of(f"runs:{kind}", name), key_of(f"runs:{kind}-waits", name), 0
        for other in self._others:
            count = other.counts.get(runs, 0)
            total += count + (count < held and waits in other.counts)
        return total

    def unreported(self, most: int) -> dict[str, int]:
        """Return at most so many counts that differ from those read; none while nobody else reads them."""
        if not self.accompanied():
            return {}
        held, limits = self.limiter.held, {self.limiter.limit_of(owner) for owner in self.limiter.queue.by_owner()}
        now = {key_of("runs:user", owner): count for owner, count in held.by_owner.items()}
        now |= {key_of("runs:tenant", tenant): count for tenant, count in held.by_tenant.items()}
        now |= {key_of(f"runs:{kind}-waits", name): 1 for kind, name in limits if kind}
        changed = {key: 0 for key in self._reported if key not in now}
        changed |= {key: count for key, count in now.items() if self._reported.get(key) != count}
        return dict(islice(changed.items(), most))

    async def follow(self) -> NoReturn:
        """Read what is counted, report what differs here, and grant permits that are free by it, until cancelled."""
        self.limiter.elsewhere = self.elsewhere
        while True:
            began = trio.current_time()
            if self.accompanied() or self._others:
                with trio.move_on_at(self._lapse), suppress(StorageError):
                    read = await self.store.read(counted_runs)
                    _, self._reported = read.pop(self.node.id, (0.0, {}))
                    self._others = [_OtherNode(counts, began + left_s) for left_s, counts in read.values()]
                now = trio.current_time()
                self._others = [other for other in self._others if other.until > now]
                notify_granted(self.limiter, self.limiter.offer)
                if self.unreported(1):
                    self.on_news()
            await trio.sleep_until(min(began + READ_S, self._lapse))

    @property
    def _lapse(self) -> float:
        return min((other.until for other in self._others), default=math.inf)


@lru_cache(maxsize=10_000)
def key_of(kind: str, name: str | None) -> str:
    """Return a key of a user or a tenant; None: that of users without one.

    Names are hashed: an erasure need not look here for what lasts minutes.
    """
    name = BETWEEN if name is None else name  # no tenant can be called that
    return f"{kind}:{hashlib.blake2b(name.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
