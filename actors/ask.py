"""Requests that want an answer.

1. Every call ends exactly once: with a value, an error, its timeout, the death of its target, or its caller's cancel.
2. A late answer reaches nobody. It is counted.
3. A call that ended before it was taken leaves no request in the mailbox. The handling of one that was taken is
   cancelled, unless it must finish.
4. Tables keep the order of insertion, so that a run with the same seed is the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import trio

from .errors import ActorError, AskTimeout

if TYPE_CHECKING:
    from .cell import Cell
    from .timers import Expiring

T = TypeVar("T")


class Ask(Generic[T]):
    """A request whose answer is a T. Subclass it as the message; attrs classes, frozen or slotted, are fine.

    The actor answers with `reply` or `fail`: in `receive`, later, or from another task on the same trio loop. One
    instance can be asked once. When the caller is cancelled or its time is up, the handling of the request is cancelled
    too, at its next wait, and the actor goes on with its state; set `must_finish` for requests that may not be cut off.
    """

    __slots__ = ("__weakref__", "_call")
    _call: Call | None
    _control: ClassVar[bool] = False
    must_finish: ClassVar[bool] = False
    """Whether handling goes on when nobody waits for the answer any more. Set it in a class, not in an instance."""

    def reply(self, value: T) -> None:
        """Answer. If nobody waits any more, the answer is dropped and counted in `ActorSystem.late_replies`."""
        call = call_of(self)
        if call is not None:
            call.settle(value, None)

    def fail(self, error: Exception) -> None:
        """Answer with an error, which `ask` raises in the caller."""
        call = call_of(self)
        if call is not None:
            call.settle(None, error)

    @property
    def waiting(self) -> bool:
        """Whether somebody still waits for the answer: check it before an effect that only the caller wanted."""
        call = call_of(self)
        return call is not None and not call.settled

    def when_ended(self, act: Callable[[], None]) -> None:
        """Call `act` once nobody waits any more: when it is answered, or its caller left; at once if nobody does now.

        For who passes requests on or keeps them. `act` must be quick and must not raise.
        """
        call = call_of(self)
        if call is None or call.settled:
            act()
        else:
            call.on_end = [*(call.on_end or ()), act]


_set_call = vars(Ask)["_call"].__set__  # the slot itself: frozen subclasses refuse plain assignment


def call_of(message: object) -> Call | None:
    """The call this request was made in; None when it was told, not asked, or is no request."""
    return getattr(message, "_call", None) if isinstance(message, Ask) else None


class Call:
    """One ask in flight: who waits, for whom, and until when."""

    __slots__ = ("deadline", "error", "on_end", "parked", "request", "settled", "target", "task", "timeout_s", "value")

    def __init__(self, request: Ask[Any], target: Cell, task: trio.lowlevel.Task, timeout_s: float) -> None:
        if call_of(request) is not None:
            raise ActorError(f"this {type(request).__name__} was asked before: make a new one for each ask")
        _set_call(request, self)
        self.request: Ask[Any] = request
        self.target: Cell = target
        self.task: trio.lowlevel.Task = task
        self.parked: bool = False
        self.timeout_s: float = timeout_s
        self.deadline: dict[Expiring, None] | None = None
        self.settled: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        self.on_end: list[Callable[[], None]] | None = None

    def open(self) -> None:
        """The caller is about to wait: enter the tables."""
        target = self.target
        if target.calls is None:
            target.calls = {}
        target.calls[self] = None
        if self.timeout_s != math.inf:
            self.deadline = target.system.timers.share(self.timeout_s, self)
        self.parked = True

    def settle(self, value: Any, error: Exception | None) -> None:
        """End the call and wake its caller; a second answer is dropped and counted."""
        if self.settled:
            self.target.system.late_replies += 1
            return
        self.value = value
        self.error = error
        self.close()
        if self.parked:
            trio.lowlevel.reschedule(self.task)

    def close(self) -> None:
        """Leave every table."""
        self.settled = True
        if self.target.calls is not None:
            self.target.calls.pop(self, None)
        if self.deadline is not None:
            self.deadline.pop(self, None)
        if self.on_end is not None:
            for act in self.on_end:
                act()

    def expire(self) -> None:
        """The deadline has passed: fail the call, and take the request back if it still waits."""
        if not self.settled:
            self._take_back()
            self.settle(None, AskTimeout(self.target.path, type(self.request).__name__, self.timeout_s))

    def abandon(self, _: object) -> trio.lowlevel.Abort:
        """The caller is cancelled: take the request back if it still waits, and let a late answer be counted."""
        self.close()
        self._take_back()
        return trio.lowlevel.Abort.SUCCEEDED

    def _take_back(self) -> None:
        self.target.withdraw(self.request)
        if self.target.current is self.request and not self.request.must_finish:
            self.target.skip(self.request)


def closed_circle(target: Cell, task: trio.lowlevel.Task) -> tuple[str, ...] | None:
    """The paths of actors that each wait for the next, if `task`, asking `target`, would close the circle; else None.

    An actor waits when its own task does: what its other tasks wait for holds up no message. One that has done with a
    request, and will answer it later, is waited for by nobody here.
    """
    seen: dict[Cell, None] = {}
    cell = target
    while cell not in seen and (asleep := cell.task) is not None:
        seen[cell] = None
        call = asleep.custom_sleep_data
        if not isinstance(call, Call) or call.settled:
            return None
        cell = call.target
        if not cell.holds(call.request):
            return None
        if cell.task is task:
            return (cell.path, *(known.path for known in seen))
    return None
