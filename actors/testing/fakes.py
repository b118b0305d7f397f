"""Fakes of the tree around an actor that runs alone: references, calls and a context that record their use.

A suite of scripts runs over these and over a real system, and must see the same: see `tests/actors/testing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from actors.actor import Context
from actors.ask import ActorDied, Ask, Call, _set_call, call_of
from actors.cell import Cell, Incarnation
from actors.errors import ActorError, AskTimeout, NotSupervising, SelfCall, TooManyChildren
from actors.exit_reasons import SHUTDOWN, Exit
from actors.inbox import ActorInbox
from actors.lanes import Lane, LaneStatistics, Notice
from actors.lifecycle import StopMode
from actors.redelivery import StashEntry
from actors.ref import ASK_TIMEOUT_S, ActorRef, AlreadyStarted
from actors.spec import ChildSpec
from actors.testing.effects import (
    Asked,
    KillOrdered,
    Outlived,
    Refused,
    Replied,
    SaidHealthy,
    Spawned,
    StopOrdered,
    Stopped,
    TaskStarted,
    TimerCancelled,
    TimerSet,
    Told,
    Unhandled,
    Unwatched,
    Watched,
)

if TYPE_CHECKING:
    from actors.system import ActorSystem
    from actors.testing.recorder import Recorder

T = TypeVar("T")


class FakeRef(ActorRef):
    """A reference that records its use, in place of another actor. `Recorder.actor_at` makes one."""

    __slots__ = ("_ended", "_recorder")

    def __init__(self, recorder: Recorder, path: str) -> None:
        self._recorder = recorder
        self.path = path
        self._ended: Exit | None = None
        self._mailbox = ActorInbox(path, recorder.system.lose)  # always empty: an `ActorChannel` checks it for room

    def __repr__(self) -> str:
        return f"<FakeRef {self.path}{'' if self.alive else ' dead'}>"

    @property
    def alive(self) -> bool:
        """Whether the fake was not ended by `Recorder.end` or `stop`."""
        return self._ended is None

    def children(self) -> list[ActorRef]:
        """Return the children of the recorded actor for its own reference; none for others."""
        return self._recorder.context.children() if self is self._recorder.ref else []

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Return no statistics: there is no mailbox."""
        return {}

    def tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        """Record the message; raise `TypeError` for a notice, as a real reference does."""
        if isinstance(message, Notice):
            raise TypeError("notices such as Terminated come from the runtime only")
        self._recorder.note(Told(self.path, message, lane))

    async def send(self, message: object, *, lane: Lane = Lane.NORMAL, timeout_s: float = 5.0) -> None:
        """Record the message: there is always room."""
        self.tell(message, lane=lane)

    async def ask(
        self,
        request: Ask[T],
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        lane: Lane = Lane.NORMAL,
        fail_fast: bool = False,
    ) -> T:
        """Record the request, and wait for the answer that `Recorder.answer` prepared, or `request.reply` gives."""
        if self is self._recorder.ref:
            raise SelfCall(self.path, "ask")
        call = RecordedCall(request, timeout_s)
        self._recorder.note(Asked(self.path, request, timeout_s))
        if self._ended is not None:
            raise ActorDied(self.path, self._ended)
        self._recorder.give_answer(request)
        if not call.settled:
            with trio.move_on_after(timeout_s):
                await call.wait()
        if not call.settled:
            call.settle(None, AskTimeout(self.path, type(request).__name__, timeout_s))
        answer: T = call.result()
        return answer

    async def stop(self, mode: StopMode = StopMode.AFTER_MESSAGE) -> Exit:
        """Record the stop; the fake reference is dead from now on."""
        if self is self._recorder.ref:
            raise SelfCall(self.path, "stop and await")
        self._recorder.note(StopOrdered(self.path, mode))
        if self._ended is None:
            self.end(SHUTDOWN)
        return self._ended or SHUTDOWN

    def kill(self) -> None:
        """Record the kill. The fake stays alive: its parent, which would decide, does not exist."""
        self._recorder.note(KillOrdered(self.path))

    async def wait_stopped(self) -> Exit:
        """Wait until `Recorder.end` ends the fake."""
        if self is self._recorder.ref:
            raise SelfCall(self.path, "await the end of")
        while self._ended is None:
            await self._recorder.changed.wait()
        return self._ended

    def end(self, reason: Exit) -> None:
        """Mark the fake as dead."""
        self._ended = reason
        self._recorder.ended(self)


class RecordedCall(Call):
    """An ask to or from an actor that runs alone. Ends once, and then calls `tell` with its outcome."""

    __slots__ = ("_done", "_request", "_tell")

    def __init__(
        self,
        request: Ask[Any],
        timeout_s: float,
        tell: Callable[[Ask[Any], Any, Exception | None], None] | None = None,
    ) -> None:
        if call_of(request) is not None:
            raise ActorError(f"this {type(request).__name__} was asked before: make a new one for each ask")
        _set_call(request, self)
        self._request: Ask[Any] = request
        self.timeout_s: float = timeout_s
        self.on_end: list[Callable[[], None]] | None = None
        self.settled: bool = False
        self.value: Any = None
        self.error: Exception | None = None
        self._tell = tell
        self._done = trio.Event()

    def settle(self, value: Any, error: Exception | None) -> None:
        """End the call; a second answer is dropped."""
        if self.settled:
            return
        self.settled = True
        self.value = value
        self.error = error
        self._done.set()
        for act in self.on_end or ():
            act()
        if self._tell is not None:
            self._tell(self._request, value, error)

    async def wait(self) -> None:
        """Wait for the end."""
        await self._done.wait()

    def result(self) -> Any:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class RecordedCell(Cell):
    """The part of a cell that a `Stash` uses."""

    __slots__ = ()

    def __init__(self, path: str, system: ActorSystem) -> None:
        self.path: str = path
        self.system: ActorSystem = system
        self.inbox: ActorInbox = ActorInbox(path, system.lose)
        self.incarnation: Incarnation = Incarnation()
        self.exit: Exit | None = None

    def next_redelivery(self) -> StashEntry | None:
        """Return the next entry that was unstashed, or None."""
        return self.inbox.redeliveries.popleft() if self.inbox.redeliveries else None


class RecordedContext(Context):
    """A context without a tree; it records its use."""

    __slots__ = ("_fakes", "_recorder")

    def __init__(self, recorder: Recorder, incarnation: int) -> None:
        self._recorder = recorder
        self._fakes: dict[str, FakeRef] = {}
        self._cell = recorder.cell
        self.ref: ActorRef = recorder.ref
        self.path: str = recorder.ref.path
        self.incarnation = incarnation

    @property
    def system(self) -> ActorSystem:
        """A system that was never opened: it has a `random`, counts and dead letters, and no actors."""
        return self._recorder.system

    @property
    def parent(self) -> ActorRef | None:
        """A fake reference for the supervisor."""
        return self._recorder.parent

    @property
    def stopping(self) -> StopMode | None:
        """`AFTER_MESSAGE` once the actor stopped itself, or `Recorder.stop` was called."""
        return StopMode.AFTER_MESSAGE if self._recorder.stopped else None

    async def spawn(self, spec: ChildSpec) -> ActorRef:
        """Record the child and return a fake reference, or raise the error that `Recorder.refuse` prepared."""
        self._recorder.check_alive()
        supervision = self._recorder.actor.supervision
        if supervision is None:
            raise NotSupervising(self.path)
        if spec.id in self._fakes:
            raise AlreadyStarted(self._fakes[spec.id])
        if supervision.max_children is not None and len(self._fakes) >= supervision.max_children:
            raise TooManyChildren(self.path, supervision.max_children)
        self._recorder.note(Spawned(spec))
        self._recorder.check_spawn(spec.id)
        self._fakes[spec.id] = self._recorder.actor_at(f"{self.path}/{spec.id}")
        return self._fakes[spec.id]

    def children(self) -> list[ActorRef]:
        """Return the fakes of the children that were not ended."""
        return list(self._fakes.values())

    def child(self, id: str) -> ActorRef | None:  # noqa: A002 - the spec's word
        """Return the fake reference of the child with this id, or None."""
        return self._fakes.get(id)

    def lose(self, ref: FakeRef) -> None:
        """Free the name of a child that ended."""
        self._fakes = {name: child for name, child in self._fakes.items() if child is not ref}

    def watch(self, ref: ActorRef, *, vital: bool = False, restarts: bool = False, urgent: bool = False) -> None:
        """Record it."""
        self._recorder.note(Watched(ref.path, vital, restarts, urgent))
        self._recorder.watching[ref] = vital

    def outlive(self, ref: ActorRef) -> None:
        """Record it."""
        self._recorder.note(Outlived(ref.path))
        if ref in self._recorder.watching:
            self._recorder.watching[ref] = False

    def unwatch(self, ref: ActorRef) -> None:
        """Record it."""
        self._recorder.note(Unwatched(ref.path))
        self._recorder.watching.pop(ref, None)

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> None:
        """Record the task, which does not run."""
        self._recorder.check_alive()
        self._recorder.note(TaskStarted(async_fn, args, name))

    def set_timer(self, key: Hashable, delay_s: float, message: object, *, every_s: float | None = None) -> None:
        """Record the timer; `Recorder.fire` lets it fire."""
        self._recorder.check_alive()
        timer = TimerSet(key, delay_s, message, every_s)
        self._recorder.note(timer)
        self._recorder.timers[key] = timer

    def cancel_timer(self, key: Hashable) -> None:
        """Record it."""
        self._recorder.note(TimerCancelled(key))
        self._recorder.timers.pop(key, None)

    def stop(self) -> None:
        """Record the stop; no message is taken after the current one."""
        self._recorder.note(Stopped())
        self._recorder.stopped = True

    def healthy(self) -> None:
        """Record it."""
        self._recorder.note(SaidHealthy())

    def unhandled(self, message: object) -> None:
        """Record the message; a request fails with `UnhandledMessage`, as in a real system."""
        self._recorder.note(Unhandled(message))
        super().unhandled(message)


def outcome(request: Ask[Any], value: Any, error: Exception | None) -> Replied | Refused:
    """Return the effect for the end of a request to the actor."""
    return Replied(request, value) if error is None else Refused(request, error)
