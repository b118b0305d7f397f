"""Calls of code that is not trio's, and reports of those that do not end.

1. A call that was cancelled and has not ended is in `late_calls`, with its waiter and the time; after a second it is
   logged, once.
2. If it can be interrupted, it is interrupted repeatedly until it has ended.
3. At most `MAX_ABANDONED` abandoned calls of a process run at a time.
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
"""Most abandoned calls of this process; beyond that, calls that could be abandoned raise `TooManyAbandoned`."""
LATE_S = 1.0
"""Seconds after which a cancelled call that has not ended is logged."""
INTERRUPT_EVERY_S = 0.1
"""Seconds between two interrupts of a call that does not end: the first may have come too early to have an effect."""

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
    """A call was refused because too many abandoned calls still run."""

    call: str
    abandoned: int

    def __str__(self) -> str:
        return f"{self.call} was not made: {self.abandoned} abandoned calls still run"


@frozen
class LateCall:
    """A foreign call that was cancelled at `since` (UTC) and has not ended.

    `who` is the path of the actor, or the name of the task, that waits for the call or waited until it was `abandoned`.
    """

    who: str
    call: str
    since: datetime
    abandoned: bool


def late_calls() -> tuple[LateCall, ...]:
    """Return all calls of this process that were cancelled and have not ended, the oldest first."""
    return tuple(_late.copy().values())


class ForeignCall:
    """One call of code that may not end when it is cancelled."""

    def __init__(self, call: str, interrupt: Callable[[], object] | None = None) -> None:
        self.call = call
        self.who: str = trio.lowlevel.current_task().name
        self.over: trio.Event = trio.Event()
        """Set once the call has no waiter."""
        self.begun = False
        """Set once the foreign code runs: only then can it be interrupted."""
        self.scope: trio.CancelScope | None = None
        """The scope around a function that the foreign code runs on the loop."""
        self._interrupt = interrupt
        self._since: datetime | None = None
        self._abandoned = False

    async def wait(self, foreign: Callable[[], Awaitable[T]], timeout_s: float = math.inf) -> T:
        """Await `foreign`, and return its result or raise its error; cancel it after `timeout_s` with `ForeignTimeout`.

        The error of an interrupted call is dropped in favour of the cancellation.
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
        except trio.Cancelled:  # `foreign` is cancelled as well: it raises this too, or ends in its own way
            with trio.CancelScope(shield=True):
                await self.interrupt_until_over()

    async def interrupt_until_over(self) -> None:
        """Interrupt the call repeatedly until it is over, and log once that it is late."""
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
        """Stop waiting for the call, though it still runs. Its thread calls `ended` at its end."""
        self._abandoned = True
        self._note_late()
        log.warning("foreign.abandoned who=%s call=%s abandoned=%d", self.who, self.call, _count_abandoned())

    def check_abandoned(self) -> None:
        """Raise `TooManyAbandoned` if too many abandoned calls run, since this one may be abandoned too."""
        abandoned = _count_abandoned()
        if abandoned >= MAX_ABANDONED:
            raise TooManyAbandoned(self.call, abandoned)

    def ended(self) -> None:
        """Remove the call from `late_calls`. May be called from any thread."""
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
    """Return the name of a function for events and logs."""
    return getattr(function, "__qualname__", None) or type(function).__name__
