"""Requests that want an answer.

1. Every call ends exactly once: with a value, an error, its timeout, the death of its target, or its caller's cancel.
2. A late answer reaches nobody. It is counted.
3. A call that ended before it was taken leaves no request in the mailbox.
"""

from __future__ import annotations

import math
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
    instance can be asked once.
    """

    __slots__ = ("__weakref__", "_call")
    _call: Call | None
    _control: ClassVar[bool] = False

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


_set_call = vars(Ask)["_call"].__set__  # the slot itself: frozen subclasses refuse plain assignment


def call_of(request: Ask[Any]) -> Call | None:
    """The call this request was made in; None when it was told, not asked."""
    call: Call | None = getattr(request, "_call", None)
    return call


class Call:
    """One ask in flight: who waits, for whom, and until when."""

    __slots__ = ("deadline", "error", "parked", "request", "settled", "target", "task", "timeout_s", "value")

    def __init__(self, request: Ask[Any], target: Cell, task: trio.lowlevel.Task, timeout_s: float) -> None:
        if call_of(request) is not None:
            raise ActorError(f"this {type(request).__name__} was asked before: make a new one for each ask")
        _set_call(request, self)
        self.request = request
        self.target = target
        self.task = task
        self.parked = False
        self.timeout_s = timeout_s
        self.deadline: set[Expiring] | None = None
        self.settled = False
        self.value: Any = None
        self.error: Exception | None = None

    def open(self) -> None:
        """The caller is about to wait: enter the tables."""
        target = self.target
        if target.calls is None:
            target.calls = set()
        target.calls.add(self)
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
            self.target.calls.discard(self)
        if self.deadline is not None:
            self.deadline.discard(self)

    def expire(self) -> None:
        """The deadline has passed: fail the call, and take the request back if it still waits."""
        if not self.settled:
            self.target.withdraw(self.request)
            self.settle(None, AskTimeout(self.target.path, type(self.request).__name__, self.timeout_s))

    def abandon(self, _: object) -> trio.lowlevel.Abort:
        """The caller is cancelled: take the request back if it still waits, and let a late answer be counted."""
        self.close()
        self.target.withdraw(self.request)
        return trio.lowlevel.Abort.SUCCEEDED
