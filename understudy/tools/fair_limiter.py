"""A concurrency limiter that is fair to users: permits are granted to them in turn.

A `Throttle` of `actors` does not do this: it bounds a rate, and its permits are not held for the time of the work.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import define, field

from understudy.storage.tenancy import tenant_of
from understudy.tools.errors import ToolError

PERMITS: Final = 4
PER_USER: Final = 2
PER_TENANT: Final = 3
"""Permits that the users of one tenant hold together: one is always left to others."""
MAX_QUEUED: Final = 20
"""Calls of one user that wait for a permit; one more fails as ``busy``. A run makes eight calls at once."""
QUEUE_FULL: Final = "You have too many tables and charts at work already; wait for some to end."


@define(eq=False)
class FairLimiter:
    """At most `total` permits at a time, `per_user` of them for one user and `per_tenant` for one tenant's users.

    A user's calls are served in order of arrival, and users take turns: a user who makes ten calls delays another by
    the end of one call at most.
    """

    total: int = PERMITS
    per_user: int = PER_USER
    per_tenant: int = PER_TENANT
    max_queued: int = MAX_QUEUED
    _by_user: Counter[str] = field(factory=Counter, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    _queues: dict[str, deque[trio.Event]] = field(factory=dict, init=False)  # the user whose turn is next comes first

    @asynccontextmanager
    async def permit(self, owner: str) -> AsyncIterator[None]:
        """Hold a permit during the block; wait for one without a time limit.

        Raises:
            ToolError: ``busy``: `max_queued` calls of this user are waiting already.
        """
        if self.queued(owner) >= self.max_queued:
            raise ToolError("busy", QUEUE_FULL)
        granted = trio.Event()
        self._queues.setdefault(owner, deque()).append(granted)
        self._grant()
        try:
            await granted.wait()
            yield
        finally:
            self._release(owner, granted)

    def queued(self, owner: str) -> int:
        """Return the number of this user's calls that wait for a permit."""
        return len(self._queues.get(owner, ()))

    def _within_limits(self, owner: str) -> bool:
        tenant = tenant_of(owner)
        return self._by_user[owner] < self.per_user and (tenant is None or self._by_tenant[tenant] < self.per_tenant)

    def _grant(self) -> None:
        while self._by_user.total() < self.total:
            owner = next(filter(self._within_limits, self._queues), None)
            if owner is None:
                return
            queue = self._queues.pop(owner)
            self._by_user[owner] += 1
            if (tenant := tenant_of(owner)) is not None:
                self._by_tenant[tenant] += 1
            queue.popleft().set()
            if queue:
                self._queues[owner] = queue  # behind all other users who wait

    def _release(self, owner: str, granted: trio.Event) -> None:
        if granted.is_set():
            self._by_user[owner] -= 1
            self._by_user += Counter()  # drops users who hold no permit
            if (tenant := tenant_of(owner)) is not None:
                self._by_tenant[tenant] -= 1
                self._by_tenant += Counter()
        else:
            self._queues[owner].remove(granted)
            if not self._queues[owner]:
                del self._queues[owner]
        self._grant()
