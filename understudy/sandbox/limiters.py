"""Limits of worker threads, processes and users' calls that all code of one trio loop shares.

They are not in `actors`, because programs of the sandbox import `spawner`, and would load the whole runtime.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

import trio
from attrs import define, field

T = TypeVar("T")

PERMITS: Final = 4
PER_USER: Final = 2
PER_TENANT: Final = 3
"""Permits that the users of one tenant hold together, so that one is always left to others."""
MAX_QUEUED: Final = 20
"""Calls of one user that wait for a permit; further ones are refused. A run makes eight calls at once."""


def _load_tenant_of() -> Callable[[str], str | None]:
    """Import storage with the first limiter, so that a program that only defines tools does not load it."""
    from understudy.storage.owners import tenant_of

    return tenant_of


class RunLocal(Generic[T]):
    """A variable with a separate value in each trio loop, made by `make` on first use. `name` is for its repr."""

    def __init__(self, name: str, make: Callable[[], T]) -> None:
        self._make = make
        self._value: trio.lowlevel.RunVar[T] = trio.lowlevel.RunVar(name)

    def __call__(self) -> T:
        """Return the value in the current trio loop."""
        try:
            return self._value.get()
        except LookupError:
            value = self._make()
            self._value.set(value)
            return value

    def set(self, value: T) -> None:
        """Replace the value in the current trio loop."""
        self._value.set(value)


def thread_limiter(name: str, threads: int) -> RunLocal[trio.CapacityLimiter]:
    """Return the limiter of one kind of work: at most `threads` worker threads at a time, in each trio loop."""
    return RunLocal(name, lambda: trio.CapacityLimiter(threads))


class QueueFull(Exception):
    """Too many calls of one user wait for a permit already."""


@define(eq=False)
class FairLimiter:
    """At most `total` permits at a time, `per_user` of them for one user and `per_tenant` for one tenant's users.

    Calls of one kind hold at most `per_kind` permits, unless that is None. A user's calls are served in order of
    arrival, but overtake those of a kind that has all its permits. Users take turns: a user who makes ten calls delays
    another user by at most one call. A `Throttle` of `actors` limits a rate instead, and its permits are not held
    during the work.
    """

    total: int = PERMITS
    per_user: int = PER_USER
    per_tenant: int = PER_TENANT
    max_queued: int = MAX_QUEUED
    per_kind: int | None = None
    _tenant_of: Callable[[str], str | None] = field(factory=_load_tenant_of, init=False)
    _by_user: Counter[str] = field(factory=Counter, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    _by_kind: Counter[str] = field(factory=Counter, init=False)
    _queues: dict[str, deque[tuple[trio.Event, str]]] = field(factory=dict, init=False)
    """The waiting calls of each user, with their kinds; the user whose turn is next comes first."""

    @asynccontextmanager
    async def permit(self, owner: str) -> AsyncIterator[None]:
        """Hold a permit during the block; wait for it without a time limit.

        Raises:
            QueueFull: `max_queued` calls of this user are waiting already.
        """
        await self.acquire(owner)
        try:
            yield
        finally:
            self.release(owner)

    def acquire_nowait(self, owner: str, kind: str = "") -> bool:
        """Acquire a permit if one is free. Return False if the call would have to wait."""
        if not self._fits(owner, kind):
            return False
        self._take(owner, kind)
        return True

    async def acquire(self, owner: str, kind: str = "") -> None:
        """Acquire a permit; wait for it without a time limit.

        Raises:
            QueueFull: `max_queued` calls of this user are waiting already.
        """
        if self.queued(owner) >= self.max_queued:
            raise QueueFull(f"{self.max_queued} calls of this user wait already")
        entry = (trio.Event(), kind)
        self._queues.setdefault(owner, deque()).append(entry)
        self._grant()
        try:
            await entry[0].wait()
        except BaseException:
            if entry[0].is_set():
                self.release(owner, kind)
            else:
                self._queues[owner].remove(entry)
                if not self._queues[owner]:
                    del self._queues[owner]
                self._grant()
            raise

    def release(self, owner: str, kind: str = "") -> None:
        """Release a permit."""
        self._by_user[owner] -= 1
        self._by_user += Counter()  # drops users who hold no permit
        self._by_kind[kind] -= 1
        self._by_kind += Counter()
        if (tenant := self._tenant_of(owner)) is not None:
            self._by_tenant[tenant] -= 1
            self._by_tenant += Counter()
        self._grant()

    def resize(self, total: int) -> None:
        """Change the number of permits. If more are held, none is granted until enough are released."""
        self.total = total
        self._grant()

    @property
    def held(self) -> int:
        """Number of permits that are held."""
        return self._by_user.total()

    @property
    def waiting(self) -> int:
        """Number of calls of all users that wait for a permit."""
        return sum(map(len, self._queues.values()))

    def queued(self, owner: str) -> int:
        """Return the number of this user's calls that wait for a permit."""
        return len(self._queues.get(owner, ()))

    def _fits(self, owner: str, kind: str) -> bool:
        if self._by_user.total() >= self.total or self._by_user[owner] >= self.per_user:
            return False
        if self.per_kind is not None and self._by_kind[kind] >= self.per_kind:
            return False
        tenant = self._tenant_of(owner)
        return tenant is None or self._by_tenant[tenant] < self.per_tenant

    def _take(self, owner: str, kind: str) -> None:
        self._by_user[owner] += 1
        self._by_kind[kind] += 1
        if (tenant := self._tenant_of(owner)) is not None:
            self._by_tenant[tenant] += 1

    def _grant(self) -> None:
        while (waiter := self._next()) is not None:
            owner, entry = waiter
            queue = self._queues.pop(owner)
            queue.remove(entry)
            self._take(owner, entry[1])
            entry[0].set()
            if queue:
                self._queues[owner] = queue  # after all other users who wait

    def _next(self) -> tuple[str, tuple[trio.Event, str]] | None:
        """Return the waiting call that gets the next permit; None if no permit is free for any of them."""
        if self._by_user.total() < self.total:
            for owner, queue in self._queues.items():
                for entry in queue:
                    if self._fits(owner, entry[1]):
                        return owner, entry
        return None
