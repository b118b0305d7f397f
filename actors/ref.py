"""The reference to an actor, which is the only handle that others hold, and a channel that feeds an actor."""

from __future__ import annotations

import math
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import trio
from attrs import define

from .ask import Ask, Call, Handle, StartWait, call_of, find_cycle
from .errors import ActorError, ActorUnavailable, AskCycle, MailboxFull, SelfCall, WrongLoop
from .exit_reasons import Exit
from .lanes import RELEASED, Lane, LaneStatistics, Notice, Overflow, WaitingSends
from .lifecycle import State, StopMode

if TYPE_CHECKING:
    from .cell import Cell

T = TypeVar("T")

_WAITS = (Call, StartWait)
"""The marks of an actor's task that waits for another actor."""
ASK_TIMEOUT_S = 5.0
"""Default timeout of an ask, from Erlang/OTP's `gen_server:call`. It then fails with `AskTimeout`."""


class ActorRef(Handle):
    """Refers to one actor through all its restarts. Two references are equal if they mean the same actor.

    An actor started later under the same path is another actor: the old reference stays dead. Call all methods on the
    trio loop of the actor; those that would do harm elsewhere raise `WrongLoop`.
    """

    __slots__ = ("__weakref__", "_cell", "_mailbox", "path")

    path: str
    """The names from the root to the actor, as in `/system/chat/outbox`. Do not change it."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._mailbox = cell.inbox
        self.path = cell.path

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the reference to {self.path} cannot leave its process: send the path, and look the actor up")

    def __repr__(self) -> str:
        return f"<ActorRef {self._cell.path} {'dead' if self._cell.buried else self._cell.state.value}>"

    @property
    def alive(self) -> bool:
        """Whether the actor exists: running, or between two incarnations. False forever once it has ended for good."""
        return not self._cell.buried

    def children(self) -> list[ActorRef]:
        """Return the actor's live children in start order, including those that back off."""
        family = self._cell.children
        return [] if family is None else [cell.ref for cell in family.living()]

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Return the statistics of each lane in use."""
        return self._mailbox.statistics()

    def channel(self, lane: Lane = Lane.NORMAL) -> trio.abc.SendChannel[Any]:
        """Return a trio channel that feeds this lane of the actor, for code that takes channels."""
        return ActorChannel(self, lane)

    def tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into the mailbox; never blocks.

        To an actor that is dead or drains it becomes a dead letter. Raises `MailboxFull` if the lane is full and its
        policy is `WAIT` or `REJECT`, and `TypeError` for a `Terminated` or `Restarted`, which only the runtime sends.
        `WrongLoop`: this thread does not run the actor's loop. It is certain to be raised only if the actor is idle.
        """
        mailbox = self._mailbox
        queue = mailbox.lanes[lane] or mailbox.open(lane)
        depth = len(queue.items)
        if isinstance(message, Notice):
            raise TypeError("notices such as Terminated come from the runtime only")
        if depth >= queue.capacity:
            self._cell.overflow(queue, message)
            return
        if not depth:
            if mailbox.parked is not None:
                mailbox.wake()  # first, since it raises `WrongLoop` for a caller on another loop
            if queue.items is RELEASED:
                queue.items = queue.new_items()
        queue.items.append(message)
        if depth >= queue.high_water:
            queue.high_water = depth + 1

    def try_tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> bool:
        """Put a message into the mailbox; return False, without an error, if the lane is full and keeps what it holds.

        For messages that may be dropped. Otherwise like `tell`: to an actor that is dead or drains the message becomes
        a dead letter, and the result is True.
        """
        try:
            self.tell(message, lane=lane)
        except MailboxFull:
            return False
        return True

    async def send(self, message: object, *, lane: Lane = Lane.NORMAL, timeout_s: float = 5.0) -> None:
        """Like `tell`, but wait for room if the lane's policy is `WAIT`.

        Raises `MailboxFull` after `timeout_s` seconds, or at once if the policy is `REJECT`. A cancelled wait leaves no
        message behind. If the actor ends meanwhile, the message becomes a dead letter.
        """
        if not timeout_s >= 0:
            raise ValueError(f"timeout_s must be zero or more, not {timeout_s!r}")
        await trio.lowlevel.checkpoint_if_cancelled()
        mailbox = self._mailbox
        queue = mailbox.lanes[lane] or mailbox.open(lane)
        if mailbox.closed or queue.overflow is not Overflow.WAIT or len(queue.items) < queue.capacity:
            self.tell(message, lane=lane)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        if isinstance(message, Notice):
            raise TypeError("notices such as Terminated come from the runtime only")
        mailbox.check_loop()
        call = call_of(message)
        waiter = queue.enqueue(message, None if call is None else call.note_admitted)

        def give_up(_: object) -> trio.lowlevel.Abort:
            queue.dequeue(waiter)
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.move_on_after(timeout_s):
            await trio.lowlevel.wait_task_rescheduled(give_up)
        if not waiter.admitted:
            queue.rejected += 1
            raise MailboxFull(self.path, queue.lane.name.lower(), queue.bound)

    async def ask(
        self,
        request: Ask[T],
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        lane: Lane = Lane.NORMAL,
        fail_fast: bool = False,
    ) -> T:
        """Put a request into the mailbox, wait for its answer and return it.

        Waits for room first, if the lane is full and its policy is `WAIT`; raises `MailboxFull` if there is none within
        `timeout_s`, which is for both waits. A cycle of actors of which one waits for room ends by that timeout only.

        Raises `ActorDied` if the actor is dead, drains, or ends for good, and its subclass `IncarnationDied` if it is
        restarted but ended while it handled the request (one that still waits in the mailbox outlives a restart),
        `AskTimeout` after `timeout_s` seconds, `MailboxFull`, `UnhandledMessage` if the actor does not know the request
        (`Unanswered`, at once, if it releases the request without an answer), `SelfCall` from the actor's own task,
        `AskCycle` if the target waits for the asking actor, directly or through others, `ActorUnavailable` with
        `fail_fast` if no incarnation is running, or the error given to `request.fail`. A cancelled ask takes back its
        request if it still waits.
        """
        cell = self._cell
        task = trio.lowlevel.current_task()
        if self._mailbox.thread != get_ident():
            raise WrongLoop
        target_task = cell.task
        if task is target_task:
            raise SelfCall(cell.path, "ask")
        if not timeout_s >= 0:
            raise ValueError(f"timeout_s must be zero or more, not {timeout_s!r}")
        if fail_fast and cell.state is not State.RUNNING:
            if self._mailbox.closed or cell.incarnation.ending.no_restart:
                raise cell.death_error()
            raise ActorUnavailable(cell.path, cell.state.value)
        if target_task is not None and type(target_task.custom_sleep_data) in _WAITS:
            cycle = find_cycle(cell, request, task)
            if cycle is not None:
                raise AskCycle(cycle)
        call: Call = Call(request, cell, task, timeout_s)
        if request._control and not self._mailbox.closed:
            cell.put_control(request)
        else:
            try:
                self.tell(request, lane=lane)
            except MailboxFull:
                queue = self._mailbox.lanes[lane]
                if queue is None or queue.overflow is not Overflow.WAIT:
                    raise
                queue.rejected -= 1
                deadline = trio.current_time() + timeout_s
                await self.send(request, lane=lane, timeout_s=timeout_s)
                timeout_s = max(0.0, deadline - trio.current_time())
        if call.settled:
            await trio.lowlevel.checkpoint()
        else:
            del request  # so that the call fails at once if the actor releases it too
            mailbox = self._mailbox
            if mailbox.calls is None:
                mailbox.calls = {}
            mailbox.calls[call] = None
            if timeout_s != math.inf:
                call.deadline = cell.system.timers.share(timeout_s, call)
            call.parked = True
            task.custom_sleep_data = call
            await trio.lowlevel.wait_task_rescheduled(call.abandon)
        if call.error is not None:
            raise call.error
        answer: T = call.value
        return answer

    async def stop(self, mode: StopMode = StopMode.AFTER_MESSAGE) -> Exit:
        """End the actor for good, wait until it is dead, and return its exit.

        By default it finishes its current message within its grace, and waiting messages become dead letters. `mode`
        may ask for less (`NOW`) or more (`AFTER_DRAIN`). Harmless if it is dead already. Raises `SelfCall` from the
        actor's own task: use `Context.stop` there.
        """
        cell = self._cell
        self._mailbox.check_loop()
        if trio.lowlevel.current_task() is cell.task:
            raise SelfCall(cell.path, "stop and await")
        cell.order_stop(mode)
        return await cell.wait_dead()

    def kill(self) -> None:
        """Cancel the actor and all below it, with exit `Killed`. Its restart type decides what follows."""
        self._mailbox.check_loop()
        self._cell.kill()

    async def wait_stopped(self) -> Exit:
        """Wait until the actor has ended for good. Return its exit. Raises `SelfCall` from the actor's own task."""
        self._mailbox.check_loop()
        if trio.lowlevel.current_task() is self._cell.task:
            raise SelfCall(self._cell.path, "await the end of")
        return await self._cell.wait_dead()


class ActorChannel(trio.abc.SendChannel[Any]):
    """Feeds one lane of an actor. `send` waits for room without limit; put a cancel scope around it.

    Raises `trio.ClosedResourceError` after `aclose`, `trio.BrokenResourceError` if the actor drains or is dead, both
    also while `send` waits (a drain admits a waiting message), and `MailboxFull` if the lane's policy is `REJECT`.
    Messages that the actor has not handled when it dies, waiting ones included, become dead letters.
    """

    def __init__(self, ref: ActorRef, lane: Lane = Lane.NORMAL) -> None:
        self._ref = ref
        self._lane = lane
        self._waiting = WaitingSends()
        self._closed = False

    async def send(self, value: Any) -> None:
        """Put a message into the lane, waiting for room if its policy is `WAIT`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        mailbox = self._ref._mailbox
        queue = mailbox.lanes[self._lane] or mailbox.open(self._lane)
        if queue.overflow is not Overflow.WAIT or len(queue.items) < queue.bound or isinstance(value, Notice):
            self._ref.tell(value, lane=self._lane)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        mailbox.check_loop()
        await self._waiting.wait(queue, value)
        self._check_life()

    def send_nowait(self, value: Any) -> None:
        """Put a message into the lane, or raise `MailboxFull`, which is a `trio.WouldBlock`."""
        self._check()
        self._ref.tell(value, lane=self._lane)

    async def aclose(self) -> None:
        """Close the channel and refuse its waiting sends; the actor goes on."""
        self._closed = True
        self._waiting.refuse(trio.ClosedResourceError)
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._ref._mailbox.closed:
            raise trio.BrokenResourceError(f"{self._ref.path} {'drains' if self._ref.alive else 'is dead'}")

    def _check_life(self) -> None:
        if not self._ref.alive:
            raise trio.BrokenResourceError(f"{self._ref.path} is dead")


@define
class AlreadyStarted(ActorError, ValueError):
    """The id is taken by a live sibling, `ref`, which goes on."""

    ref: ActorRef

    def __str__(self) -> str:
        return f"{self.ref.path} is already started"
