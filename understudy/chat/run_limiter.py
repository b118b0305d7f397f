"""Limits the runs at work per user, per tenant and in total; the others are queued in order of arrival.

1. At most `per_user` permits per user and `total` together. The queue is work-conserving: no run waits while a permit
   fits it.
2. At most `max_waiting` runs wait; a run beyond that is refused, and so is one of a user with more waiting runs than
   the queue has free positions: one user alone can take half of the queue (Choudhury and Hahne, "Dynamic queue length
   thresholds", 1998). A reserved run is never refused later.
3. A suspended run (it waits for its user, not for a permit) holds no permit and counts as waiting. When it resumes, it
   is queued before all runs that have not started.
4. With `per_tenant`, no tenant holds more permits than that, nor more than half of the queue; and tenants are served in
   rounds, with the order of arrival inside each (start-time fair queueing, Goyal, Vin and Cheng, 1996). Users without
   a tenant are one tenant together.
5. Permits of other servers over one database count too (`elsewhere`), but for `total` and `max_waiting`.

`RunLimiter` does no I/O: its methods return the runs that are granted a permit; `release_permit` notifies them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Generic, TypeVar

from attrs import define, field

from actors import ActorRef
from understudy.chat.messages import PermitGranted, PositionChanged
from understudy.storage.owners import tenant_of

WaiterT = TypeVar("WaiterT")

NOTIFIED_AT_ONCE = 10
"""Runs at the front of the queue that are notified at once of a new position. The others see it in their next progress
event, so the cost of a release does not grow with the queue."""


@define
class RunCounts:
    """Numbers of runs by owner, and by tenant if `tenants`. Zeros are removed, so only users with runs take memory."""

    tenants: bool
    by_owner: Counter[str] = field(factory=Counter, init=False)
    by_tenant: Counter[str | None] = field(factory=Counter, init=False)

    def add(self, owner: str, number: int = 1) -> None:
        """Add runs of an owner; with a negative number, subtract them."""
        self.by_owner[owner] += number
        if not self.by_owner[owner]:
            del self.by_owner[owner]
        if self.tenants:
            tenant = tenant_of(owner)
            self.by_tenant[tenant] += number
            if not self.by_tenant[tenant]:
                del self.by_tenant[tenant]


@define
class FairQueue(Generic[WaiterT]):
    """The queued runs in the order in which they are offered a permit: run, owner and waiter of each."""

    by_tenant: bool
    _resuming: dict[str, tuple[str, str, WaiterT]] = field(factory=dict, init=False)
    _new: dict[str, tuple[str, str, WaiterT]] = field(factory=dict, init=False)
    _round: int = field(default=0, init=False)
    """The round in which the last permit was granted."""
    _next_round_of: dict[str | None, int] = field(factory=dict, init=False)
    """The first round in which each tenant may be granted another permit."""
    _in_order: list[tuple[str, str, WaiterT]] | None = field(default=None, init=False)
    """The new runs by rounds; None if they or the rounds have changed since that was computed."""

    def add(self, run_id: str, owner: str, waiter: WaiterT, *, resuming: bool) -> None:
        """Queue a run, or replace its waiter."""
        (self._resuming if resuming else self._new)[run_id] = (run_id, owner, waiter)
        self._in_order = None

    def remove(self, run_id: str) -> None:
        """Remove a run, if it is queued."""
        self._new.pop(run_id, None)
        self._resuming.pop(run_id, None)
        self._in_order = None

    def count_grant(self, owner: str) -> None:
        """Count a permit of the owner's tenant, whose next run is served a round later."""
        tenant = tenant_of(owner)
        self._round = self._next_round(tenant)
        self._next_round_of[tenant] = self._round + 1
        self._in_order = None

    def forget(self, tenant: str | None) -> None:
        """Forget a tenant that has no runs."""
        self._next_round_of.pop(tenant, None)

    def __iter__(self) -> Iterator[tuple[str, str, WaiterT]]:
        return chain(self._resuming.values(), self._by_round() if self.by_tenant else self._new.values())

    def position(self, run_id: str) -> int:
        """Return the position of a run in the queue, from 1; 0 if it is not queued."""
        return next((number for number, (queued, _, _) in enumerate(self, 1) if queued == run_id), 0)

    def by_owner(self) -> Counter[str]:
        """Count the runs of each owner."""
        return Counter(owner for _, owner, _ in self)

    def _by_round(self) -> list[tuple[str, str, WaiterT]]:
        if self._in_order is None:
            following, turns = dict[str | None, int](), dict[str, int]()
            for run_id, owner, _ in self._new.values():
                tenant = tenant_of(owner)
                turns[run_id] = following.get(tenant, self._next_round(tenant))
                following[tenant] = turns[run_id] + 1
            self._in_order = sorted(self._new.values(), key=lambda run: turns[run[0]])
        return self._in_order

    def _next_round(self, tenant: str | None) -> int:
        """Return the round in which a tenant is served next: not a past one, nor the same one twice."""
        return max(self._round, self._next_round_of.get(tenant, 0))


@define
class RunLimiter(Generic[WaiterT]):
    """Permits for running runs: `per_user` for each owner and `total` for the server. Each run holds at most one.

    `per_tenant` None: tenants are not distinguished. `elsewhere(kind, name, held)` counts the permits of other servers
    for a `user` or a `tenant` with `held` permits here, and those that are left to such servers.
    """

    per_user: int
    total: int
    max_waiting: int = 1000
    per_tenant: int | None = None
    _owner_of: dict[str, str] = field(factory=dict, init=False)
    """The owner of each run, with a permit or without."""
    _runs: RunCounts = field(init=False)
    permits: dict[str, str] = field(factory=dict, init=False)
    """The owner of each run that holds a permit."""
    held: RunCounts = field(init=False)
    _suspended: set[str] = field(factory=set, init=False)
    queue: FairQueue[WaiterT] = field(init=False)
    elsewhere: Callable[[str, str | None, int], int] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        tenants = self.per_tenant is not None
        self._runs, self.held, self.queue = RunCounts(tenants), RunCounts(tenants), FairQueue(tenants)

    def reserve(self, run_id: str, owner: str, *, behind: bool = False) -> bool:
        """Reserve a permit or a queue position for a run that is about to be accepted. Return False if none is free.

        It is granted a permit at once if one is free, unless it is queued `behind` another run of its conversation.
        `release` undoes both.
        """
        if not behind and self._fits(owner):
            self._grant(run_id, owner)
        elif not self._may_wait(owner):
            return False
        self._register(run_id, owner)
        return True

    def acquire(self, run_id: str, owner: str, waiter: WaiterT) -> bool:
        """Acquire a permit for `run_id`. Return False if it is queued; a later release returns `waiter`."""
        if run_id in self.permits:
            return True
        self._register(run_id, owner)
        if self._fits(owner):
            self._suspended.discard(run_id)
            self._grant(run_id, owner)
            return True
        self.queue.add(run_id, owner, waiter, resuming=run_id in self._suspended)
        return False

    def suspend(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Suspend `run_id`: release its permit until it acquires one again. Return (run, waiter) of all granted one."""
        if run_id not in self.permits:
            return []
        begun = self._revoke(run_id)
        self._suspended.add(run_id)
        return begun

    def release(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Release the permit or the queue position of `run_id`. Return (run, waiter) of all granted a permit now.

        Nothing happens if it holds neither.
        """
        owner = self._owner_of.pop(run_id, None)
        if owner is not None:
            self._runs.add(owner, -1)
            if self.per_tenant is not None and (tenant := tenant_of(owner)) not in self._runs.by_tenant:
                self.queue.forget(tenant)
        self._suspended.discard(run_id)
        self.queue.remove(run_id)
        return self._revoke(run_id)

    @property
    def running(self) -> int:
        """Number of runs that hold a permit."""
        return len(self.permits)

    @property
    def waiting(self) -> int:
        """Number of runs without a permit: queued, behind another run of their conversation, or suspended."""
        return len(self._owner_of) - len(self.permits)

    def counts(self, whose: Callable[[str], bool]) -> dict[str, int]:
        """Count the runs of the owners for which `whose` is true: those with a permit, and those without."""
        held = sum(count for owner, count in self._runs.by_owner.items() if whose(owner))
        running = sum(count for owner, count in self.held.by_owner.items() if whose(owner))
        return {"runs": running, "runs_waiting": held - running}

    def tenant_at_limit(self, run_id: str) -> bool:
        """Return whether a run waits because its tenant holds all permits that a tenant may hold."""
        owner = self._owner_of.get(run_id)
        return owner is not None and run_id not in self.permits and self.limit_of(owner)[0] == "tenant"

    def limit_of(self, owner: str) -> tuple[str, str | None]:
        """Return whose limit a further permit of an owner would exceed: `user` or `tenant`, and the name; or blanks."""
        if self._reached("user", owner, self.held.by_owner[owner], self.per_user):
            return "user", owner
        if self.per_tenant is not None:
            tenant = tenant_of(owner)
            if self._reached("tenant", tenant, self.held.by_tenant[tenant], self.per_tenant):
                return "tenant", tenant
        return "", None

    def tenant_fills_queue(self, owner: str) -> bool:
        """Return whether the owner's tenant has reached its limit of waiting runs."""
        if self.per_tenant is None:
            return False
        tenant = tenant_of(owner)
        return self._runs.by_tenant[tenant] - self.held.by_tenant[tenant] > self.max_waiting - self.waiting

    def _register(self, run_id: str, owner: str) -> None:
        if run_id not in self._owner_of:
            self._owner_of[run_id] = owner
            self._runs.add(owner)

    def _may_wait(self, owner: str) -> bool:
        free = self.max_waiting - self.waiting
        of_user = self._runs.by_owner[owner] - self.held.by_owner[owner]
        return free > 0 and of_user <= free and not self.tenant_fills_queue(owner)

    def _fits(self, owner: str) -> bool:
        return len(self.permits) < self.total and not self.limit_of(owner)[0]

    def _reached(self, kind: str, name: str | None, held: int, limit: int) -> bool:
        return held + (0 if self.elsewhere is None else self.elsewhere(kind, name, held)) >= limit

    def _grant(self, run_id: str, owner: str) -> None:
        self.permits[run_id] = owner
        self.held.add(owner)
        if self.queue.by_tenant:
            self.queue.count_grant(owner)

    def _revoke(self, run_id: str) -> list[tuple[str, WaiterT]]:
        owner = self.permits.pop(run_id, None)
        if owner is None:
            return []
        self.held.add(owner, -1)
        return self.offer()

    def offer(self) -> list[tuple[str, WaiterT]]:
        """Grant permits to the queued runs that they fit. Return (run, waiter) of each."""
        begun = []
        for waiting, its_owner, waiter in list(self.queue):
            if len(self.permits) >= self.total:
                break
            if self._fits(its_owner):
                self.queue.remove(waiting)
                self._suspended.discard(waiting)
                self._grant(waiting, its_owner)
                begun.append((waiting, waiter))
        return begun


def queue_note(limiter: RunLimiter[ActorRef], run_id: str) -> str:
    """Return the progress note for a queued run; empty if it is not queued."""
    position = limiter.queue.position(run_id)
    if not position:
        return ""
    if limiter.tenant_at_limit(run_id):
        return f"Your organisation has as many answers at work as it may; number {position} in line"
    return f"Waiting for a free place: number {position} in line"


def release_permit(limiter: RunLimiter[ActorRef], run_id: str, *, resting: bool = False) -> None:
    """Release the permit or position of a run, or with `resting` suspend it, and notify the runs concerned."""
    notify_granted(limiter, partial(limiter.suspend if resting else limiter.release, run_id))


def notify_granted(limiter: RunLimiter[ActorRef], grant: Callable[[], list[tuple[str, ActorRef]]]) -> None:
    """Notify the runs that `grant` returns of their permits, and those that moved up of their positions."""
    first_waiting = [waiting for waiting, _, _ in islice(limiter.queue, NOTIFIED_AT_ONCE)]
    for granted, waiter in grant():
        waiter.tell(PermitGranted(granted))
    for number, (waiting, _, waiter) in enumerate(islice(limiter.queue, NOTIFIED_AT_ONCE) if first_waiting else ()):
        if number >= len(first_waiting) or first_waiting[number] != waiting:
            waiter.try_tell(PositionChanged(waiting))
