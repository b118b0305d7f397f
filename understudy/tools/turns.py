"""Places for work that a server can do only so much of at once, handed out to its users in turn."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import define, field

PLACES: Final = 4
EACH: Final = 2


@define(eq=False)
class Turns:
    """At most `places` at once, at most `each` of them one user's.

    Whoever waits is served in order of arrival among the calls of the same user; users take turns, so that one who
    asks for ten things keeps nobody else waiting for more than the end of one.
    """

    places: int = PLACES
    each: int = EACH
    _taken: Counter[str] = field(factory=Counter, init=False)
    _waiting: dict[str, deque[trio.Event]] = field(factory=dict, init=False)  # whose turn is next stands first

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """Hold one of the places for the time of the block; waits, for as long as it takes, until there is one."""
        turn = trio.Event()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._hand_out()
        try:
            await turn.wait()
            yield
        finally:
            self._leave(owner, turn)

    def waiting(self, owner: str) -> int:
        """How many calls of this user wait for a place."""
        return len(self._waiting.get(owner, ()))

    def _hand_out(self) -> None:
        while self._taken.total() < self.places:
            owner = next((each for each in self._waiting if self._taken[each] < self.each), None)
            if owner is None:
                return
            queue = self._waiting.pop(owner)
            self._taken[owner] += 1
            queue.popleft().set()
            if queue:
                self._waiting[owner] = queue  # behind everybody else who waits

    def _leave(self, owner: str, turn: trio.Event) -> None:
        if turn.is_set():
            self._taken[owner] -= 1
            self._taken += Counter()  # forgets users who hold nothing
        else:
            self._waiting[owner].remove(turn)
            if not self._waiting[owner]:
                del self._waiting[owner]
        self._hand_out()
