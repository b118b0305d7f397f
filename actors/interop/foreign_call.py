"""Calls of code that is not trio's: who waits for them, and what is told of those that do not end.

1. A call that was cancelled and has not ended is in `late_calls`, with who waits for it and since when; after a second
   it is logged, once.
2. It is interrupted again and again until it has ended, where something can interrupt it.
3. At most `MAX_ABANDONED` calls of a process run that nobody waits for any more.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import trio
from attrs import define, frozen

from actors.errors import ActorError
from actors.events import log

T = TypeVar("T")

MAX_ABANDONED = 16
"""While so many calls of this process are left behind, no call is made that could be left behind too."""
LATE_S = 1.0
"""A cancelled call that has not ended after this time is logged."""
INTERRUPT_EVERY_S = 0.1
"""Time between two interrupts of a call that does not end: the first may have come too early to be noticed."""

_late: dict[ForeignCall, LateCall] = {}  # changed from any thread, by single operations only


@define
class ForeignTimeout(ActorError, trio.TooSlowError):
    """A call of foreign code took longer than its `timeout_s`, and was cancelled."""

    call: str
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.call} took longer than {self.timeout_s:g} s"


@define
class TooManyAbandoned(ActorError, trio.WouldBlock):
    """A call was refused because so many that were left behind still run."""

    call: str
    abandoned: int

    def __str__(self) -> str:
        return f"{self.call} was not made: {self.abandoned} calls that were left behind still run"


@frozen
class LateCall:
    """Foreign code that was cancelled at `since` (UTC) and has not ended.

    `who` is the path of the actor, or the name of the task, that waits for it, or waited until it was `left_behind`.
    """

    who: str
    call: str
    since: datetime
    abandoned: bool


def late_calls() -> tuple[LateCall, ...]:
    """All calls of this process that were cancelled and have not ended, the oldest first."""
    return tuple(_late.copy().values())


class ForeignCall:
    """One call of code that may not end when it is cancelled: who waits for it, and what is told of that."""

    def __init__(self, call: str, interrupt: Callable[[], object] | None = None) -> None:
        self.call = call
        self.who: str = trio.lowlevel.current_task().name
        self.over: trio.Event = trio.Event()
        """Set when nobody waits for the call any more."""
        self.begun = False
        """Set when the foreign code runs: before that, there is nothing to interrupt."""
        self.scope: trio.CancelScope | None = None
        """Around what the foreign code waits for on the loop."""
        self._interrupt = interrupt
        self._since: datetime | None = None
        self._abandoned = False

    async def wait(self, foreign: Callable[[], Awaitable[T]], timeout_s: float = math.inf) -> T:
        """Wait for `foreign`, and return or raise what it does; cancel it after `timeout_s` with `ForeignTimeout`.

        What an interrupted call raises is taken for its way to end, and gives way to the cancellation.
        """
        with trio.CancelScope(deadline=trio.current_time() + timeout_s):
            return await self._wait(foreign)
        raise ForeignTimeout(self.call, timeout_s)

    async def _wait(self, foreign: Callable[[], Awaitable[T]]) -> T:
        values: list[T] = []
        raised: BaseException | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notice_cancel)
            try:
                values.append(await foreign())
            except BaseException as error:  # raised below, where the nursery makes no group of it
                raised = error
            self.over.set()
        try:
            if self._since is not None and self._interrupt is not None and isinstance(raised, Exception):
                await trio.lowlevel.checkpoint_if_cancelled()
            if raised is not None:
                raise raised
        finally:
            del raised
        return values[0]

    async def _notice_cancel(self) -> None:
        try:
            await self.over.wait()
        except trio.Cancelled:  # `foreign` is in the same scopes: it raises this too, or ends in its own way
            with trio.CancelScope(shield=True):
                await self.interrupt_until_over()

    async def interrupt_until_over(self) -> None:
        """Interrupt the call again and again until it is over, and tell once that it is late."""
        late_at = trio.current_time() + LATE_S
        while not self.over.is_set():
            since = self._note_late()
            with trio.move_on_after(INTERRUPT_EVERY_S):
                await self.over.wait()
            if trio.current_time() >= late_at and not self.over.is_set():
                late_at = math.inf
                log.warning("foreign.late who=%s call=%s since=%s", self.who, self.call, since.isoformat())
        if not self._abandoned:
            self.ended()

    def abandon(self) -> None:
        """Wait no more for the call, though it still runs. Its thread says `ended` at its end."""
        self._abandoned = True
        self._note_late()
        log.warning("foreign.left_behind who=%s call=%s left_behind=%d", self.who, self.call, _count_abandoned())

    def check_abandoned(self) -> None:
        """Raise `TooManyAbandoned` when this call had better not be made, because it may be left behind too."""
        left_behind = _count_abandoned()
        if left_behind >= MAX_ABANDONED:
            raise TooManyAbandoned(self.call, left_behind)

    def ended(self) -> None:
        """The call is late no more. May be called from any thread."""
        _late.pop(self, None)

    def _note_late(self) -> datetime:
        self._since = self._since or datetime.now(UTC)
        _late[self] = LateCall(self.who, self.call, self._since, self._abandoned)
        try:
            if self.begun and self._interrupt is not None:
                self._interrupt()
        except Exception:
            log.exception("foreign.interrupt_failed who=%s call=%s", self.who, self.call)
        if self.scope is not None:
            self.scope.cancel()
        return self._since


def _count_abandoned() -> int:
    return sum(call.abandoned for call in late_calls())


def name_of(function: Callable[..., object]) -> str:
    """What to call a function in records and logs."""
    return getattr(function, "__qualname__", None) or type(function).__name__
