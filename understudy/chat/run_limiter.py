"""How many runs may work at once, per user, per tenant and in all; the others wait in line, in the order they came.

1. No user holds more than `per_user` places, all together no more than `in_all`; nobody waits whom a place fits.
2. At most `in_line` runs wait; who comes then is not admitted, nor is a user of whom more wait than places in line are
   free: one alone can take half of the line, and leaves the other half to the others (Choudhury and Hahne, "Dynamic
   queue length thresholds", 1998). Who has been admitted is never turned away.
3. A run that rests (it waits for its user, not for a place) holds no place and counts as waiting. When it goes on it
   stands before all that have not begun.
4. With `per_tenant`, no tenant holds more places than that, nor can one alone take more than half of the line; and
   tenants take turns in line, with the order of arrival inside each (start-time fair queueing, Goyal, Vin and Cheng,
   1996). Users without a tenant are one tenant together.

Pure: `ask`, `rest` and `free` say who may begin; whoever waits is told by the caller.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from itertools import chain, islice
from typing import Generic, TypeVar

from attrs import define, field

from actors import ActorRef
from understudy.chat.messages import PermitGranted, PositionChanged
from understudy.storage.tenancy import tenant_of

WaiterT = TypeVar("WaiterT")
KeyT = TypeVar("KeyT", bound=Hashable)

NOTIFIED_AT_ONCE = 10
"""How many at the front of the line are told at once that they moved up; the others learn it with their next sign of
life. A place given back must not cost as much as the line is long."""


@define
class RunLimiter(Generic[WaiterT]):
    """Places for running runs: `per_user` for each owner and `in_all` for the server. Each run holds at most one.

    `per_tenant` None: owners are not told apart by their tenants.
    """

    per_user: int
    total: int
    max_waiting: int = 1000
    per_tenant: int | None = None
    _owner_of: dict[str, str] = field(factory=dict, init=False)  # the owner of each run
    _runs: Counter[str] = field(factory=Counter, init=False)  # of each owner, at work or not
    _running: dict[str, str] = field(factory=dict, init=False)
    _suspended: set[str] = field(factory=set, init=False)
    _returning: dict[str, tuple[str, WaiterT]] = field(factory=dict, init=False)
    _waiting: dict[str, tuple[str, WaiterT]] = field(factory=dict, init=False)
    _held: Counter[str] = field(factory=Counter, init=False)
    _runs_of_tenant: Counter[str | None] = field(factory=Counter, init=False)
    _held_by_tenant: Counter[str | None] = field(factory=Counter, init=False)
    _round: int = field(default=0, init=False)  # in which the last place was given
    _next_round_of: dict[str | None, int] = field(
        factory=dict, init=False
    )  # the first in which each tenant may get another
    _fair_order: list[tuple[str, tuple[str, WaiterT]]] | None = field(
        default=None, init=False
    )  # None: to be worked out

    def reserve(self, run_id: str, owner: str, *, behind: bool = False) -> bool:
        """Count in a run that is about to be accepted; False when it would have to wait and may not.

        It gets a place at once if there is one, unless it comes `behind` another of its conversation. Either way it
        is given back with `free`.
        """
        if not behind and self._fits(owner):
            self._grant(run_id, owner)
        elif not self._may_wait(owner):
            return False
        self._register(run_id, owner)
        return True

    def acquire(self, run_id: str, owner: str, waiter: WaiterT) -> bool:
        """Take a place for `run_id`; False when it has to wait for one: `waiter` comes back from `free` then."""
        self._register(run_id, owner)
        if run_id in self._running:
            return True
        if self._fits(owner):
            self._suspended.discard(run_id)
            self._grant(run_id, owner)
            return True
        (self._returning if run_id in self._suspended else self._waiting)[run_id] = (owner, waiter)
        self._fair_order = None
        return False

    def suspend(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Give back the place of `run_id` until it asks again; returns (run, waiter) of all that may begin now."""
        if run_id not in self._running:
            return []
        begun = self._revoke(run_id)
        self._suspended.add(run_id)
        return begun

    def release(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Give back the place of `run_id`, or its place in line; returns (run, waiter) of all that may begin now.

        Giving back what one does not hold is harmless.
        """
        self._unregister(run_id)
        self._suspended.discard(run_id)
        self._waiting.pop(run_id, None)
        self._returning.pop(run_id, None)
        self._fair_order = None
        return self._revoke(run_id)

    def position(self, run_id: str) -> int:
        """Say how many runs are before this one in line, plus one; 0 when it is not waiting."""
        for number, (waiting, _) in enumerate(self._queue(), 1):
            if waiting == run_id:
                return number
        return 0

    def first_queued(self, count: int) -> list[tuple[str, WaiterT]]:
        """Give (run, waiter) of the first `count` in line."""
        return [(run_id, waiter) for run_id, (_, waiter) in islice(self._queue(), count)]

    @property
    def running(self) -> int:
        """How many runs hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many runs hold none: they stand in line, are behind another of their conversation, or rest."""
        return len(self._owner_of) - len(self._running)

    def counts(self, whose: Callable[[str], bool]) -> dict[str, int]:
        """Count the runs of the owners meant: those that hold a place, and those that hold none."""
        known = sum(count for owner, count in self._runs.items() if whose(owner))
        running = sum(count for owner, count in self._held.items() if whose(owner))
        return {"runs": running, "runs_waiting": known - running}

    def tenant_at_limit(self, run_id: str) -> bool:
        """Whether a run waits because its tenant has all places that a tenant may have."""
        owner = self._owner_of.get(run_id)
        if owner is None or run_id in self._running or self._held[owner] >= self.per_user:
            return False
        return not self._fits_tenant(owner)

    def tenant_fills_queue(self, owner: str) -> bool:
        """Whether the users of this owner's tenant stand in line with so many runs that no more of them may wait."""
        if self.per_tenant is None:
            return False
        tenant = tenant_of(owner)
        return self._runs_of_tenant[tenant] - self._held_by_tenant[tenant] > self.max_waiting - self.waiting

    def _queue(self) -> Iterator[tuple[str, tuple[str, WaiterT]]]:
        waiting = self._waiting.items() if self.per_tenant is None else self._by_round()
        return chain(self._returning.items(), waiting)

    def _by_round(self) -> list[tuple[str, tuple[str, WaiterT]]]:
        """Order the runs that have not begun by their turns: each tenant has one place in each turn."""
        if self._fair_order is None:
            following, turns = dict[str | None, int](), dict[str, int]()
            for run_id, (owner, _) in self._waiting.items():
                tenant = tenant_of(owner)
                turns[run_id] = following.get(tenant, self._next_round(tenant))
                following[tenant] = turns[run_id] + 1
            self._fair_order = sorted(self._waiting.items(), key=lambda item: turns[item[0]])
        return self._fair_order

    def _next_round(self, tenant: str | None) -> int:
        """Return the turn in which a tenant gets its next place: not in one that is past, nor twice in one."""
        return max(self._round, self._next_round_of.get(tenant, 0))

    def _register(self, run_id: str, owner: str) -> None:
        if run_id not in self._owner_of:
            self._owner_of[run_id] = owner
            _count(self._runs, owner, 1)
            _count(self._runs_of_tenant, tenant_of(owner), 1)

    def _unregister(self, run_id: str) -> None:
        owner = self._owner_of.pop(run_id, None)
        if owner is not None:
            _count(self._runs, owner, -1)
            _count(self._runs_of_tenant, tenant := tenant_of(owner), -1)
            if tenant not in self._runs_of_tenant:
                self._next_round_of.pop(tenant, None)

    def _may_wait(self, owner: str) -> bool:
        free = self.max_waiting - self.waiting
        of_user = self._runs[owner] - self._held[owner]
        return free > 0 and of_user <= free and not self.tenant_fills_queue(owner)

    def _fits(self, owner: str) -> bool:
        in_all, of_user = len(self._running) < self.total, self._held[owner] < self.per_user
        return in_all and of_user and self._fits_tenant(owner)

    def _fits_tenant(self, owner: str) -> bool:
        return self.per_tenant is None or self._held_by_tenant[tenant_of(owner)] < self.per_tenant

    def _grant(self, run_id: str, owner: str) -> None:
        self._running[run_id] = owner
        _count(self._held, owner, 1)
        _count(self._held_by_tenant, tenant := tenant_of(owner), 1)
        self._round = self._next_round(tenant)
        self._next_round_of[tenant] = self._round + 1
        self._fair_order = None

    def _revoke(self, run_id: str) -> list[tuple[str, WaiterT]]:
        owner = self._running.pop(run_id, None)
        if owner is None:
            return []
        _count(self._held, owner, -1)
        _count(self._held_by_tenant, tenant_of(owner), -1)
        self._fair_order = None
        begun = []
        for waiting, (its_owner, waiter) in list(self._queue()):
            if len(self._running) >= self.total:
                break
            if self._fits(its_owner):
                self._waiting.pop(waiting, None)
                self._returning.pop(waiting, None)
                self._suspended.discard(waiting)
                self._grant(waiting, its_owner)
                begun.append((waiting, waiter))
        return begun


def _count(counter: Counter[KeyT], key: KeyT, change: int) -> None:
    """Count a change; a key whose count is 0 is not kept, or the counter would grow with every user there ever was."""
    counter[key] += change
    if not counter[key]:
        del counter[key]


def queue_note(slots: RunLimiter[ActorRef], run_id: str) -> str:
    """Return the sentence that a waiting run's user is shown; empty if it does not stand in line."""
    place = slots.position(run_id)
    if not place:
        return ""
    if slots.tenant_at_limit(run_id):
        return f"Your organisation has as many answers at work as it may; number {place} in line"
    return f"Waiting for a free place: number {place} in line"


def release_permit(slots: RunLimiter[ActorRef], run_id: str, *, resting: bool = False) -> None:
    """Give back the place of a run, or its place in line; with `resting` only until it asks for one again."""
    ahead = slots.first_queued(NOTIFIED_AT_ONCE)
    for begun, waiter in slots.suspend(run_id) if resting else slots.release(run_id):
        waiter.tell(PermitGranted(begun))
    was = [waiting for waiting, _ in ahead]
    for number, (waiting, waiter) in enumerate(slots.first_queued(NOTIFIED_AT_ONCE)):
        if number >= len(was) or was[number] != waiting:
            waiter.try_tell(PositionChanged(waiting))
