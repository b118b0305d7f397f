"""Places for work that a server can do only so much of at once, handed out to its users in turn."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import define, field

from understudy.storage.tenancy import tenant_of
from understudy.tools.errors import ToolError

PLACES: Final = 4
EACH: Final = 2
OF_TENANT: Final = 3
"""Places that the users of one tenant hold together: one is always left to others."""
LINE: Final = 20
"""Calls of one user that wait for a place; one more is refused. A run makes eight at once."""
FULL: Final = "You have too many tables and charts at work already; wait for some to end."


@define(eq=False)
class Turns:
    """At most `places` at once, at most `each` of them one user's and `of_tenant` of them one tenant's users'.

    Whoever waits is served in order of arrival among the calls of the same user; users take turns, so that one who
    asks for ten things keeps nobody else waiting for more than the end of one.
    """

    places: int = PLACES
    each: int = EACH
    of_tenant: int = OF_TENANT
    line: int = LINE
    _taken: Counter[str] = field(factory=Counter, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    _waiting: dict[str, deque[trio.Event]] = field(factory=dict, init=False)  # whose turn is next stands first

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """Hold one of the places for the time of the block; wait, for as long as it takes, until there is one.

        Raises:
            ToolError: `line` calls of this user wait already (``busy``).
        """
        if self.waiting(owner) >= self.line:
            raise ToolError("busy", FULL)
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

    def _may_have_one(self, owner: str) -> bool:
        tenant = tenant_of(owner)
        return self._taken[owner] < self.each and (tenant is None or self._by_tenant[tenant] < self.of_tenant)

    def _hand_out(self) -> None:
        while self._taken.total() < self.places:
            owner = next(filter(self._may_have_one, self._waiting), None)
            if owner is None:
                return
            queue = self._waiting.pop(owner)
            self._taken[owner] += 1
            if (tenant := tenant_of(owner)) is not None:
                self._by_tenant[tenant] += 1
            queue.popleft().set()
            if queue:
                self._waiting[owner] = queue  # behind everybody else who waits

    def _leave(self, owner: str, turn: trio.Event) -> None:
        if turn.is_set():
            self._taken[owner] -= 1
            self._taken += Counter()  # forgets users who hold nothing
            if (tenant := tenant_of(owner)) is not None:
                self._by_tenant[tenant] -= 1
                self._by_tenant += Counter()
        else:
            self._waiting[owner].remove(turn)
            if not self._waiting[owner]:
                del self._waiting[owner]
        self._hand_out()
