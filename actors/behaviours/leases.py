"""The leases of a resource, and the requests that wait for one.

1. At most `limit` leases are granted at once; waiting requests are served first in, first out.
2. A lease ends with its user's block or with the opening of the resource it belongs to, whichever comes first.
3. An error in a lease of an opening that is over changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import trio
from attrs import define, frozen

from actors.ask import Ask
from actors.errors import ActorError, InvalidSpec

from .exception_filter import Kinds, matches

R = TypeVar("R")


@define
class ResourceUnavailable(ActorError, trio.BusyResourceError):
    """A resource is unavailable since `since` (seconds on trio's clock); it will be reopened in `retry_in_s` seconds.

    It was not used. The cause is the error that closed it, if that is known.
    """

    path: str
    since: float
    retry_in_s: float

    def __str__(self) -> str:
        return f"{self.path} is closed and will be reopened in {self.retry_in_s:.3g} s"


@define
class ResourceLost(ActorError, trio.BrokenResourceError):
    """A resource broke while it was used, and the use was cancelled. It may have had its effect, or not."""

    path: str

    def __str__(self) -> str:
        return f"{self.path} broke while it was used"


class Lease(Generic[R]):
    """The right to use a resource until `release`, in `scope`, which is cancelled if the resource breaks before."""

    __slots__ = ("_table", "resource", "scope")

    def __init__(self, resource: R, table: LeaseTable[R]) -> None:
        self.resource: R = resource
        self.scope: trio.CancelScope = trio.CancelScope()
        self._table = table

    def release(self, error: BaseException | None = None) -> None:
        """Release the lease. `error`, which its use raised, may mean that the resource is broken."""
        self._table.release(self, error)


@frozen(eq=False)
class AcquireLease(Ask[Lease[Any]]):
    """Ask for a lease; answered once the resource is open and one is free.

    With `fail_fast`, fails with `ResourceUnavailable` if it is closed. Every lease must be released: see
    `Resource.borrow`.
    """

    fail_fast: bool = False


class LeaseTable(Generic[R]):
    """The leases of one resource, over all its openings.

    At most `bound` requests may wait. `on_broken` is called with an error of the kinds `broken_by` in a lease of the
    present opening. Raises `InvalidSpec` for invalid numbers.
    """

    def __init__(self, limit: float, bound: int, broken_by: Kinds, on_broken: Callable[[BaseException], None]) -> None:
        if not (limit >= 1 and bound >= 1):
            raise InvalidSpec("limit" if bound >= 1 else "waiting", "must be at least 1")
        self._limit = limit
        self._bound = bound
        self._broken_by = broken_by
        self._on_broken = on_broken
        self._opening: tuple[R] | None = None
        self._leased: set[Lease[R]] = set()
        self._waiting: deque[AcquireLease] = deque()

    @property
    def leased(self) -> int:
        """Number of leases granted."""
        return len(self._leased)

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return sum(1 for request in self._waiting if request.waiting)

    def is_current(self, resource: object) -> bool:
        """Whether this is the resource that is open."""
        return self._opening is not None and self._opening[0] is resource

    def has_room(self) -> bool:
        """Whether one more request may wait."""
        if len(self._waiting) >= self._bound:
            self._waiting = deque(request for request in self._waiting if request.waiting)
        return len(self._waiting) < self._bound

    def request(self, request: AcquireLease) -> None:
        """Grant a lease, or queue the request."""
        self._waiting.append(request)
        self._serve()

    def lease_if_idle(self) -> Lease[R] | None:
        """Return a lease for the resource's own actor if one is free and no request waits, else None."""
        return self._lease() if self._can_lease() and not self.waiting else None

    def open(self, resource: R) -> None:
        """Set the open resource, and serve waiting requests."""
        self._opening = (resource,)
        self._serve()

    def close(self) -> None:
        """Unset the resource, and cancel every lease of it."""
        self._opening = None
        revoked, self._leased = self._leased, set()
        for lease in revoked:
            lease.scope.cancel()

    def release(self, lease: Lease[R], error: BaseException | None) -> None:
        """End a lease. Report the resource as broken, or serve the next request."""
        if lease in self._leased:
            self._leased.remove(lease)
            if error is not None and matches(error, self._broken_by, but=(ActorError,)):
                self._on_broken(error)
            else:
                self._serve()

    def _can_lease(self) -> bool:
        return self._opening is not None and len(self._leased) < self._limit

    def _lease(self) -> Lease[R] | None:
        if self._opening is None:
            return None
        lease = Lease(self._opening[0], self)
        self._leased.add(lease)
        return lease

    def _serve(self) -> None:
        while self._waiting and self._can_lease():
            request = self._waiting.popleft()
            lease = self._lease() if request.waiting else None
            if lease is not None:
                request.reply(lease)
