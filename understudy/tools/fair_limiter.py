"""Places for work that a server can do only so much of at once, handed out to its users in turn."""

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
"""Places that the users of one tenant hold together: one is always left to others."""
MAX_QUEUED: Final = 20
"""Calls of one user that wait for a place; one more is refused. A run makes eight at once."""
QUEUE_FULL: Final = "You have too many tables and charts at work already; wait for some to end."


@define(eq=False)
class FairLimiter:
    """At most `places` at once, at most `each` of them one user's and `of_tenant` of them one tenant's users'.

    Whoever waits is served in order of arrival among the calls of the same user; users take turns, so that one who
    asks for ten things keeps nobody else waiting for more than the end of one.
    """

    total: int = PERMITS
    per_user: int = PER_USER
    per_tenant: int = PER_TENANT
    max_queued: int = MAX_QUEUED
    _by_user: Counter[str] = field(factory=Counter, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    _queues: dict[str, deque[trio.Event]] = field(factory=dict, init=False)  # whose turn is next stands first

    @asynccontextmanager
    async def permit(self, owner: str) -> AsyncIterator[None]:
        """Hold one of the places for the time of the block; wait, for as long as it takes, until there is one.

        Raises:
            ToolError: `line` calls of this user wait already (``busy``).
        """
        if self.queued(owner) >= self.max_queued:
            raise ToolError("busy", QUEUE_FULL)
        turn = trio.Event()
        self._queues.setdefault(owner, deque()).append(turn)
        self._grant()
        try:
            await turn.wait()
            yield
        finally:
            self._release(owner, turn)

    def queued(self, owner: str) -> int:
        """How many calls of this user wait for a place."""
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
                self._queues[owner] = queue  # behind everybody else who waits

    def _release(self, owner: str, turn: trio.Event) -> None:
        if turn.is_set():
            self._by_user[owner] -= 1
            self._by_user += Counter()  # forgets users who hold nothing
            if (tenant := tenant_of(owner)) is not None:
                self._by_tenant[tenant] -= 1
                self._by_tenant += Counter()
        else:
            self._queues[owner].remove(turn)
            if not self._queues[owner]:
                del self._queues[owner]
        self._grant()
