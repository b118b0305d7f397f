"""Requests that want an answer.

1. Every call ends exactly once: with a value, an error, its timeout, the death of its target, or its caller's
   cancellation.
2. A late answer is dropped and counted.
3. A call that ended before its request was taken leaves none in the mailbox. If the request was taken, its handling is
   cancelled, unless it must finish.
4. A call does not keep its request alive. If nothing else does, no answer is possible, and the call fails at once.
5. Tables keep the order of insertion, so that a simulation with the same seed is the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from logging import Logger, getLogger
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar
from weakref import ref

import trio
from attrs import define

from .errors import ActorError, AskTimeout, NotAnAsk, Unanswered, WrongLoop, own_copy
from .exit_reasons import Crashed, Exit
from .wakeup import WOKEN

if TYPE_CHECKING:
    from .timers import Expiring

log: Logger = getLogger("actors")
T_co = TypeVar("T_co", covariant=True)
H = TypeVar("H", bound="Handle")


class Ask(Generic[T_co]):
    """A request whose answer is a T_co. Subclass it as the message; attrs classes, frozen or slotted, are fine.

    The actor answers with `reply` or `fail`: in `receive`, later, or from another task on the same trio loop. One
    instance can be asked once. If the caller is cancelled or its time is up, the handling of the request is cancelled
    too, at its next wait, and the actor keeps its state; set `must_finish` for requests that must not be cut off.
    """

    __slots__ = ("__weakref__", "_call")
    _call: Call | None
    _control: ClassVar[bool] = False
    must_finish: ClassVar[bool] = False
    """Whether handling goes on after the caller has left. Set it in a class, not in an instance."""

    # Covariant although it takes the answer: `print(await ref.ask(Count()))` is an Ask[int] where an object is wanted.
    def reply(self, value: T_co) -> None:  # type: ignore[misc]
        """Answer. If the call has ended, the answer is dropped and counted in `ActorSystem.late_replies`."""
        call: Call | None = getattr(self, "_call", None)
        if call is not None:
            call.settle(value, None)

    def fail(self, error: Exception) -> None:
        """Answer with an error: `ask` raises a copy of it in the caller. Raises `TypeError` for anything else."""
        if not isinstance(error, Exception):
            raise TypeError(f"a request fails with an exception, not with {type(error).__name__}: {error!r:.80}")
        call: Call | None = getattr(self, "_call", None)
        if call is not None:
            call.settle(None, own_copy(error))

    @property
    def waiting(self) -> bool:
        """Whether the caller still waits for the answer: check it before an effect that only the caller wanted."""
        call = call_of(self)
        return call is not None and not call.settled

    def when_ended(self, act: Callable[[], None]) -> None:
        """Call `act` once the call ends: it is answered, or its caller leaves. At once if it has ended.

        For actors that forward or keep requests. `act` must be quick. Its errors are logged, and reach no caller.
        """
        call = call_of(self)
        if call is None:
            act()
        elif call.settled:
            call.notify(act)
        else:
            call.on_end = [*(call.on_end or ()), act]


_set_call = vars(Ask)["_call"].__set__  # the slot itself: frozen subclasses refuse plain assignment


def call_of(message: object) -> Call | None:
    """Return the call of this request; None if it was sent with `tell`, or is no request."""
    return getattr(message, "_call", None) if isinstance(message, Ask) else None


def _described(request: object) -> str:
    """Describe an object that was asked though it is no `Ask`, and say what to ask instead."""
    if isinstance(request, type):
        return f"the class {request.__name__} (ask an instance: `{request.__name__}(...)`)"
    kind = type(request).__name__
    return f"a {kind} (tell it, or declare `class {kind}(Ask[...])` with the type of the answer)"


class Handle:
    """A live object, such as a reference or a call. It is its own copy and its own deep copy.

    So `copy.copy` and `dataclasses.asdict` work on messages that hold one.
    """

    __slots__ = ()

    def __copy__(self: H) -> H:
        return self

    def __deepcopy__(self: H, _: object) -> H:
        return self


@define
class ActorDied(ActorError, trio.BrokenResourceError):
    """The target of an ask has ended for good, or does so before it answers: look for another actor.

    `reason` is its exit. Raised as well by a `Context` whose incarnation is over.
    """

    path: str
    reason: Exit | None = None

    def __str__(self) -> str:
        return f"{self.path} is dead" if self.reason is None else f"{self.path} ended: {self.reason}"


@define
class IncarnationDied(ActorDied):
    """The target of an ask ended while it handled the request, which may have had its effect, and is restarted.

    A new request to the same reference waits for the next incarnation.
    """

    def __str__(self) -> str:
        return f"{self.path} ended: {self.reason}; it is restarted"


def death(path: str, reason: Exit | None, kind: type[ActorDied] = ActorDied) -> ActorDied:
    """Return the error for a request to the actor at `path`, whose exit is `reason`; a crash is its cause."""
    error = kind(path, reason)
    if isinstance(reason, Crashed):
        error.__cause__ = reason.error
    return error


class Counts(Protocol):
    """The system of a call's target, as the call sees it: its counts and its loop."""

    late_replies: int
    event_errors: int
    token: trio.lowlevel.TrioToken

    def note_unhandled(self, path: str, message_type: str, /) -> None:
        """Count and report a message that its actor did not know."""


class Queues(Protocol):
    """The messages of an actor, as its callers see them."""

    calls: dict[Call, None] | None
    thread: int

    def withdraw(self, request: object, /) -> None:
        """Take back a request that the actor has not taken yet."""

    def holds(self, request: object, /) -> bool:
        """Whether the request is being handled, or waits to be."""


class Callee(Protocol):
    """An actor as its callers see it: a `Cell`."""

    path: str

    @property
    def system(self) -> Counts:
        """The system in which calls are counted."""

    @property
    def inbox(self) -> Queues:
        """The actor's messages."""

    @property
    def task(self) -> trio.lowlevel.Task | None:
        """The actor's own task; None if none runs."""

    @property
    def doomed(self) -> bool:
        """Whether the actor ends: then its calls fail with `ActorDied`."""

    def cancel_current(self, request: Ask[Any], /) -> None:
        """Cancel the handling of `request` if it is the current message."""


class Call(Handle):
    """One ask in flight: the caller's task, the target and the deadline."""

    __slots__ = (
        "_lifeline", "deadline", "error", "kind", "on_end", "parked", "settled", "target", "task", "timeout_s", "value",
    )  # fmt: skip

    def __init__(self, request: Ask[Any], target: Callee, task: trio.lowlevel.Task, timeout_s: float) -> None:
        candidate: object = request
        if isinstance(candidate, Ask) and getattr(candidate, "_call", None) is not None:
            raise ActorError(f"this {type(request).__name__} was asked before: make a new one for each ask")
        try:
            _set_call(request, self)
        except TypeError:
            raise NotAnAsk(target.path, _described(request)) from None
        self._lifeline: ref[Ask[Any]] | None = ref(request, self._lose)
        self.kind: type[Ask[Any]] = type(request)
        self.target: Callee = target
        self.task: trio.lowlevel.Task = task
        self.parked: bool = False
        self.timeout_s: float = timeout_s
        self.deadline: dict[Expiring, None] | None = None
        self.settled: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        self.on_end: list[Callable[[], None]] | None = None

    @property
    def request(self) -> Ask[Any] | None:
        """The request, or None once nothing but this call refers to it."""
        return None if self._lifeline is None else self._lifeline()

    def settle(self, value: Any, error: Exception | None) -> None:
        """End the call and wake its caller; drop and count a second answer. Raises `WrongLoop`."""
        if self.settled:
            self.target.system.late_replies += 1
            return
        if self.target.inbox.thread != get_ident():
            raise WrongLoop
        self.value = value
        self.error = error
        self.close()
        if self.parked:
            trio.lowlevel.reschedule(self.task, WOKEN)

    def note_admitted(self) -> None:
        """Register the call with its target: the request, which waited for room, is in the mailbox from now on."""
        if not (self.settled or self.parked):
            queues = self.target.inbox
            queues.calls = {} if queues.calls is None else queues.calls
            queues.calls[self] = None

    def _lose(self, _: object) -> None:
        """Fail the call with `Unanswered`: its request was released without an answer."""
        target = self.target
        if self.settled or not (self.parked or self in (target.inbox.calls or ())):
            return
        if target.doomed:
            return
        if target.inbox.thread != get_ident():
            with suppress(trio.RunFinishedError):
                target.system.token.run_sync_soon(self._lose, None)
            return
        target.system.note_unhandled(target.path, self.kind.__name__)
        self.settle(None, Unanswered(target.path, self.kind.__name__))

    def close(self) -> None:
        """Remove the call from all tables, and call the functions given to `when_ended`."""
        self.settled = True
        self._lifeline = None
        if (calls := self.target.inbox.calls) is not None:
            calls.pop(self, None)
        if self.deadline is not None:
            self.deadline.pop(self, None)
        if self.on_end is not None:
            for act in self.on_end:
                self.notify(act)

    def notify(self, act: Callable[[], None]) -> None:
        """Call a function given to `when_ended`. Its error is counted and logged: trio itself may be the caller."""
        try:
            act()
        except Exception:
            self.target.system.event_errors += 1
            log.exception("a function given to `when_ended` raised")

    def expire(self) -> None:
        """Fail the call with `AskTimeout`, and take the request back if it still waits."""
        if not self.settled:
            request = self.request  # keep it alive while it is taken back
            self._take_back(request)
            self.settle(None, AskTimeout(self.target.path, self.kind.__name__, self.timeout_s))

    def abandon(self, _: object) -> trio.lowlevel.Abort:
        """End the call of a cancelled caller, and take the request back if it still waits."""
        request = self.request
        self.close()
        self._take_back(request)
        return trio.lowlevel.Abort.SUCCEEDED

    def _take_back(self, request: Ask[Any] | None) -> None:
        if request is None:
            return
        self.target.inbox.withdraw(request)
        if not request.must_finish:
            self.target.cancel_current(request)


class StartWait:
    """Marks a task that waits for the start of `cell`. `serves`: meanwhile it serves requests about children."""

    __slots__ = ("cell", "serves")

    def __init__(self, cell: Callee, *, serves: bool) -> None:
        self.cell: Callee = cell
        self.serves: bool = serves


def find_cycle(target: Callee, request: Ask[Any], task: trio.lowlevel.Task) -> tuple[str, ...] | None:
    """Return the paths of a cycle of waiting actors that `task` would close by asking `target`; None if there is none.

    An actor waits if its own task does, for an answer or for the start of another actor; its other tasks block no
    message. A request that its actor has handled, to be answered later, closes no cycle.
    """
    chain: dict[Callee, None] = {}
    cell = target
    while cell not in chain and (own_task := cell.task) is not None:
        chain[cell] = None
        wait = own_task.custom_sleep_data
        if isinstance(wait, StartWait):
            if wait.serves and request._control:
                return None
            cell = wait.cell
        elif isinstance(wait, Call) and not wait.settled:
            awaited = wait.request
            if awaited is None or not wait.target.inbox.holds(awaited):
                return None
            cell, request = wait.target, awaited
        else:
            return None
        if cell.task is task:
            return (cell.path, *(waiting.path for waiting in chain))
    return None
