"""How many runs may work at once, per user and in all; the others wait in line, in the order they came.

1. No user holds more than `per_user` places, all together no more than `in_all`; nobody waits whom a place fits.
2. At most `in_line` runs wait; who comes then is not admitted, nor is a user of whom more wait than places in line are
   free: one alone can take half of the line, and leaves the other half to the others (Choudhury and Hahne, "Dynamic
   queue length thresholds", 1998). Who has been admitted is never turned away.
3. A run that rests (it waits for its user, not for a place) holds no place and counts as waiting. When it goes on it
   stands before all that have not begun.

Pure: `ask`, `rest` and `free` say who may begin; whoever waits is told by the caller.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Generic, TypeVar

from attrs import define, field

WaiterT = TypeVar("WaiterT")


@define
class Slots(Generic[WaiterT]):
    """Places for running runs: `per_user` for each owner and `in_all` for the server. Each run holds at most one."""

    per_user: int
    in_all: int
    in_line: int = 1000
    _known: dict[str, str] = field(factory=dict, init=False)  # the owner of each run
    _runs: Counter[str] = field(factory=Counter, init=False)  # of each owner, at work or not
    _running: dict[str, str] = field(factory=dict, init=False)
    _resting: set[str] = field(factory=set, init=False)
    _returning: dict[str, tuple[str, WaiterT]] = field(factory=dict, init=False)
    _waiting: dict[str, tuple[str, WaiterT]] = field(factory=dict, init=False)
    _held: Counter[str] = field(factory=Counter, init=False)

    def admit(self, run_id: str, owner: str, *, behind: bool = False) -> bool:
        """Count in a run that is about to be accepted; False when it would have to wait and may not.

        It gets a place at once if there is one, unless it comes `behind` another of its conversation. Either way it
        is given back with `free`.
        """
        if not behind and self._fits(owner):
            self._take(run_id, owner)
        elif not self._may_wait(owner):
            return False
        self._know(run_id, owner)
        return True

    def ask(self, run_id: str, owner: str, waiter: WaiterT) -> bool:
        """Take a place for `run_id`; False when it has to wait for one: `waiter` comes back from `free` then."""
        self._know(run_id, owner)
        if run_id in self._running:
            return True
        if self._fits(owner):
            self._resting.discard(run_id)
            self._take(run_id, owner)
            return True
        (self._returning if run_id in self._resting else self._waiting)[run_id] = (owner, waiter)
        return False

    def rest(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Give back the place of `run_id` until it asks again; returns (run, waiter) of all that may begin now."""
        if run_id not in self._running:
            return []
        begun = self._leave(run_id)
        self._resting.add(run_id)
        return begun

    def free(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Give back the place of `run_id`, or its place in line; returns (run, waiter) of all that may begin now.

        Giving back what one does not hold is harmless.
        """
        self._forget(run_id)
        self._resting.discard(run_id)
        self._waiting.pop(run_id, None)
        self._returning.pop(run_id, None)
        return self._leave(run_id)

    def place(self, run_id: str) -> int:
        """Say how many runs are before this one in line, plus one; 0 when it is not waiting."""
        for number, (waiting, _) in enumerate(self._line(), 1):
            if waiting == run_id:
                return number
        return 0

    def front(self, count: int) -> list[tuple[str, WaiterT]]:
        """Give (run, waiter) of the first `count` in line."""
        return [(run_id, waiter) for run_id, (_, waiter) in islice(self._line(), count)]

    @property
    def running(self) -> int:
        """How many runs hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many runs hold none: they stand in line, are behind another of their conversation, or rest."""
        return len(self._known) - len(self._running)

    def _line(self) -> Iterator[tuple[str, tuple[str, WaiterT]]]:
        return chain(self._returning.items(), self._waiting.items())

    def _know(self, run_id: str, owner: str) -> None:
        if run_id not in self._known:
            self._known[run_id] = owner
            self._runs[owner] += 1

    def _forget(self, run_id: str) -> None:
        owner = self._known.pop(run_id, None)
        if owner is not None:
            self._runs[owner] -= 1
            if not self._runs[owner]:
                del self._runs[owner]

    def _may_wait(self, owner: str) -> bool:
        free = self.in_line - self.waiting
        return free > 0 and self._runs[owner] - self._held[owner] <= free

    def _fits(self, owner: str) -> bool:
        return len(self._running) < self.in_all and self._held[owner] < self.per_user

    def _take(self, run_id: str, owner: str) -> None:
        self._running[run_id] = owner
        self._held[owner] += 1

    def _leave(self, run_id: str) -> list[tuple[str, WaiterT]]:
        owner = self._running.pop(run_id, None)
        if owner is None:
            return []
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        begun = []
        for waiting, (its_owner, waiter) in list(self._line()):
            if len(self._running) >= self.in_all:
                break
            if self._fits(its_owner):
                self._waiting.pop(waiting, None)
                self._returning.pop(waiting, None)
                self._resting.discard(waiting)
                self._take(waiting, its_owner)
                begun.append((waiting, waiter))
        return begun
