"""How many runs may work at once, per user and in all; the others wait in line, in the order they came.

Pure: `ask` and `free` say who may begin; whoever waits is told by the caller.
"""

from collections import Counter
from typing import Generic, TypeVar

from attrs import define, field

WaiterT = TypeVar("WaiterT")


@define
class Slots(Generic[WaiterT]):
    """Places for running runs: `per_user` for each owner and `in_all` for the server. Each run holds at most one."""

    per_user: int
    in_all: int
    _running: dict[str, str] = field(factory=dict, init=False)
    _waiting: dict[str, tuple[str, WaiterT]] = field(factory=dict, init=False)
    _held: Counter[str] = field(factory=Counter, init=False)

    def ask(self, run_id: str, owner: str, waiter: WaiterT) -> bool:
        """Take a place for `run_id`; False when it has to wait for one: `waiter` comes back from `free` then."""
        if run_id in self._running:
            return True
        if self._fits(owner):
            self._take(run_id, owner)
            return True
        self._waiting[run_id] = (owner, waiter)
        return False

    def free(self, run_id: str) -> list[tuple[str, WaiterT]]:
        """Give back the place of `run_id`, or its place in line; returns (run, waiter) of all that may begin now.

        Giving back what one does not hold is harmless.
        """
        self._waiting.pop(run_id, None)
        owner = self._running.pop(run_id, None)
        if owner is None:
            return []
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        begun = []
        for waiting, (its_owner, waiter) in list(self._waiting.items()):
            if len(self._running) >= self.in_all:
                break
            if self._fits(its_owner):
                del self._waiting[waiting]
                self._take(waiting, its_owner)
                begun.append((waiting, waiter))
        return begun

    def place(self, run_id: str) -> int:
        """Say how many runs are before this one in line, plus one; 0 when it is not waiting."""
        for number, waiting in enumerate(self._waiting, 1):
            if waiting == run_id:
                return number
        return 0

    @property
    def running(self) -> int:
        """How many runs hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many runs stand in line."""
        return len(self._waiting)

    def _fits(self, owner: str) -> bool:
        return len(self._running) < self.in_all and self._held[owner] < self.per_user

    def _take(self, run_id: str, owner: str) -> None:
        self._running[run_id] = owner
        self._held[owner] += 1
