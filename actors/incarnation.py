"""One life of an actor: its state, and the code that runs in its task: start, serve, close down.

1. A cell has exactly one incarnation at any time: the one that runs, or the unused one that will start next.
2. Nothing in here outlives the incarnation. State that must is in the cell.
3. The first failure counts. If a kill came before it, the exit is `Killed` all the same.
4. `trio.Cancelled`, `KeyboardInterrupt` and `SystemExit` pass through; every other error is a crash.
5. The stop hook runs once if there is an actor, however the incarnation ends. It has the rest of the grace; if none is
   left, it is cancelled at its first await.
6. A batch ends with one checkpoint or one wait. It takes about a millisecond, unless one message takes longer.
7. If the caller of the current request leaves, its handling is cancelled, and the actor goes on.
8. Tasks that the actor started run in the nursery that holds it, each in its own cancel scope, which is cheaper than a
   nursery for each actor. One that raises crashes the actor; at the end all are cancelled and awaited.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import trio

from . import termination
from .actor import Actor, ActorTimer
from .checks import nothing_to_await
from .children import Children, ChildrenRequest
from .context_propagation import Values
from .errors import ActorDied, Ignore, StartTimeout, unwrap
from .events import ShutdownOverdue
from .exit_reasons import KILLED, NORMAL, Crashed, Exit
from .lifecycle import State, StopMode
from .mailbox import EMPTY
from .spec import WORKER_SHUTDOWN_S, Directive
from .watch import VitalTerminated, check_vital_watch
from .watchdog import owned_by

if TYPE_CHECKING:
    from .actor import Context, Receive
    from .cell import Cell
    from .ref import ActorRef
    from .spec import Supervision
    from .stash import Stash, StashEntry
    from .timers import Timer
    from .watch import Watch

BATCH_S = 0.001
"""Seconds after which a batch yields to other tasks."""
Run = Callable[["Incarnation", Actor, "Context"], Awaitable[None]]
"""The function that is the task of an actor: `run` or `run_in_lifespan`."""


class Incarnation:
    """One life of the actor in `cell`."""

    scope: trio.CancelScope
    """Around what the actor's own task is doing now. Cancelling it ends the incarnation or the current message.

    Unset before the start: no task waits in it, and many an incarnation is never started."""

    __slots__ = (
        "actor", "cancelling_current", "cell", "context", "current", "current_is_control", "declined", "failure",
        "grace_timer", "killed", "killed_before_failure", "no_restart", "scope", "started", "stashed_current",
        "stashes", "stop_mode", "stop_reason", "stopping", "task", "task_scopes", "tasks_ended", "timers",
        "vital_watch", "watching",
    )  # fmt: skip

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell
        self.actor: Actor | None = None
        self.context: Context | None = None
        self.task: trio.lowlevel.Task | None = None
        self.task_scopes: dict[trio.CancelScope, None] | None = None
        """The scopes of the running tasks that the actor started."""
        self.tasks_ended: trio.Event | None = None
        """Set by the last of those tasks once the incarnation waits for their end."""
        self.watching: dict[Cell, Watch] | None = None
        self.timers: dict[Hashable, ActorTimer] | None = None
        self.stashes: list[Stash] | None = None
        self.grace_timer: Timer | None = None

        self.current: object = None
        """The message being handled, or None."""
        self.current_is_control: bool = False
        """True if the current message was served before all lanes, or is a notice."""
        self.stashed_current: StashEntry | None = None
        """The stash entry of the current message, if the actor has stashed it."""
        self.vital_watch: ActorRef | None = None
        """The actor whose end is being reported, until this actor calls `outlive` for it."""
        self.cancelling_current: bool = False
        """True if the scope was cancelled for the current message only, since its caller left."""

        self.started: bool = False
        """True once the start hook has returned."""
        self.declined: bool = False
        """True if the start hook raised `Ignore`."""
        self.stop_mode: StopMode | None = None
        """The mode of the order to stop; None without such an order."""
        self.stop_reason: Exit = NORMAL
        self.failure: Exception | None = None
        self.killed: bool = False
        self.killed_before_failure: bool = False
        self.stopping: bool = False
        """True once the last message is over; the stop hook comes next."""
        self.no_restart: bool = False
        """True if the actor must not get another incarnation, whatever its restart type says."""

    @property
    def message_type(self) -> str | None:
        """The type name of the current message, or None."""
        return None if self.current is None else type(self.current).__name__

    @property
    def doomed(self) -> bool:
        """Whether this incarnation has ended or certainly will: it was ordered to stop, was killed, or has failed."""
        return self.stopping or self.killed or self.failure is not None or self.stop_mode is not None

    @property
    def must_stop(self) -> bool:
        """Whether the actor must not take another message."""
        mode = self.stop_mode
        return self.killed or self.failure is not None or mode is StopMode.NOW or mode is StopMode.AFTER_MESSAGE

    def exit_reason(self) -> Exit:
        """The exit of this incarnation, as far as it is known now."""
        if self.failure is not None and not self.killed_before_failure:
            return Crashed(self.failure)
        return KILLED if self.killed else self.stop_reason

    def record_failure(self, error: Exception) -> None:
        """Record the first error of this incarnation. After a kill it is reported, but is not the exit."""
        if self.failure is None:
            self.failure = error
            self.killed_before_failure = self.killed

    def cancel_current(self, request: object) -> None:
        """Cancel the handling of `request` if it is the current message; the actor goes on with the next one."""
        if self.current is request and self.started and not (self.stopping or self.killed):
            self.cancelling_current = True
            self.cell.mailbox.interrupt = True
            self.scope.cancel()

    def renew_scope(self) -> bool:
        """Make a new scope after the old one was cancelled for one message. Return False if the incarnation ends."""
        if self.killed or self.failure is not None or self.stop_mode is StopMode.NOW:
            return False
        self.cancelling_current = self.current_is_control = False
        self.current = self.stashed_current = None
        if self.cell.redeliveries is not None:
            self.cell.redeliveries.current = None
        self.scope = trio.CancelScope()
        return True

    def start_task(self, name: str | None, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Start a task that runs until it returns or the incarnation ends."""
        scope = trio.CancelScope()
        if self.task_scopes is None:
            self.task_scopes = {}
        self.task_scopes[scope] = None
        self.cell.host.nursery.start_soon(self._run_task, self.task_scopes, scope, function, args, name=name)

    async def _run_task(
        self,
        scopes: dict[trio.CancelScope, None],
        scope: trio.CancelScope,
        function: Callable[..., Awaitable[object]],
        args: tuple[Any, ...],
    ) -> None:
        owned_by.set(self.cell)
        try:
            with scope:
                result: object = function(*args)
                if not isinstance(result, Awaitable):
                    raise nothing_to_await(function, result)
                await result
        except BaseException as error:
            passing, fault = termination.split_error(error)
            if fault is not None and not self._is_of_own_end(failure := termination.as_exception(self.cell, fault)):
                termination.fail(self.cell, failure)
            if passing is not None:
                raise passing from None
        finally:
            del scopes[scope]
            if self.tasks_ended is not None and not scopes:
                self.tasks_ended.set()

    def _is_of_own_end(self, failure: Exception) -> bool:
        """Whether a task asked its own actor for something while that ended: it runs to its next checkpoint."""
        return self.stopping and isinstance(failure, ActorDied) and failure.path == self.cell.path


async def fail_start(life: Incarnation, error: BaseException) -> None:
    """Be the task of an incarnation whose factory raised `error`: there is no actor to run."""
    try:
        termination.handle_error(life, error)
    finally:
        termination.begin_stopping(life)
        life.cell.finish_incarnation()


async def run_with_children(
    runner: Run, supervision: Supervision, life: Incarnation, actor: Actor, context: Context
) -> None:
    """Run an incarnation, with `runner`, inside the nursery that its children will live in."""
    try:
        async with trio.open_nursery() as nursery:
            life.cell.children = Children(life.cell, supervision, nursery)
            await runner(life, actor, context)
    finally:
        life.cell.finish_incarnation()


async def run(life: Incarnation, actor: Actor, context: Context) -> None:
    """Run an incarnation from its start hook to its stop hook."""
    life.task = trio.lowlevel.current_task()
    try:
        with life.scope:
            if not life.started:
                await _start(life, actor, context)
            if not life.declined:
                await _serve(life, actor, context)
        while life.cancelling_current and life.renew_scope():
            with life.scope:
                await _serve(life, actor, context)
    except BaseException as error:
        termination.handle_error(life, error)
    finally:
        try:
            await _close_down(life, actor, context)
        finally:
            if life.cell.children is None:
                life.cell.finish_incarnation()


async def run_in_lifespan(life: Incarnation, actor: Actor, context: Context) -> None:
    """Run an incarnation inside the actor's lifespan. Only an actor that has one pays for the frames that enter it.

    While the lifespan is entered and left, `outer`, the scope around it, is the one whose cancellation ends the actor;
    in between it is the scope of the message loop. Scopes and the lifespan are entered and left in one task, nested.
    """
    life.task = trio.lowlevel.current_task()
    outer, start_timeout_s = life.scope, life.cell.spec.start_timeout_s
    deadline = outer.deadline = trio.current_time() + start_timeout_s
    entered = False
    overdue = _arm_overdue_report(life.cell)
    try:
        with outer:
            async with actor.lifespan(context):
                entered = True
                outer.deadline = math.inf
                await _run_inside_lifespan(life, actor, context, outer, deadline)
        if not entered and outer.cancelled_caught and not life.killed and life.stop_mode is None:
            raise StartTimeout(life.cell.path, start_timeout_s)
    except BaseException as error:
        if isinstance(unwrap(error), Ignore) and not entered:
            life.declined = True
        else:
            termination.handle_error(life, error)
    finally:
        overdue.cancel()
        try:
            if not entered:
                await _close_down(life, actor, context)
        finally:
            if life.cell.children is None:
                life.cell.finish_incarnation()


async def _run_inside_lifespan(
    life: Incarnation, actor: Actor, context: Context, outer: trio.CancelScope, deadline: float
) -> None:
    """Start, serve and close down. What is raised here reaches the lifespan at its `yield`."""
    reason: Exit | None = None
    try:
        if not outer.cancel_called:
            life.scope = trio.CancelScope()
            with life.scope:
                await _start(life, actor, context, deadline)
                if not life.declined:
                    await _serve(life, actor, context)
            while life.cancelling_current and life.renew_scope():
                with life.scope:
                    await _serve(life, actor, context)
    except BaseException as error:
        passing, crash = termination.split_error(error)
        if crash is not None:
            life.record_failure(termination.as_exception(life.cell, crash))
        if passing is not None:
            if _cancelled_within(outer):
                reason = KILLED  # the error that cancelled the lifespan is known once it has been left
            else:
                life.no_restart = True
                termination.kill(life.cell)
        raise
    finally:
        await _close_down(life, actor, context, reason)
        outer.shield = True  # as for the stop hook: leaving the lifespan has the rest of the grace
        life.scope = outer
        if life.killed:
            outer.cancel()


def _cancelled_within(outer: trio.CancelScope) -> bool:
    """Whether the cancelled scope is one that the lifespan opened, and none around it."""
    outer.shield = True
    within = trio.current_effective_deadline() == -math.inf
    outer.shield = False
    return within


def _arm_overdue_report(cell: Cell) -> Timer:
    """Emit `ShutdownOverdue` if the start has not ended `OVERDUE_S` after its timeout. Return the timer to cancel."""

    def report() -> None:
        if cell.state is State.STARTING:
            cell.system.emit(ShutdownOverdue(cell.path, termination.OVERDUE_S))

    return cell.system.timers.after(cell.spec.start_timeout_s + termination.OVERDUE_S, report)


async def _start(life: Incarnation, actor: Actor, context: Context, deadline: float | None = None) -> None:
    """Run the start hook within `start_timeout_s`, then start the children the supervisor was made with."""
    cell = life.cell
    if type(actor).on_start is not Actor.on_start:
        timeout_s = cell.spec.start_timeout_s
        overdue = None
        if deadline is None:
            overdue, deadline = _arm_overdue_report(cell), trio.current_time() + timeout_s
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                await actor.on_start(context)
        except Exception as error:
            if not isinstance(unwrap(error), Ignore):
                raise
            life.declined = True
            return
        finally:
            if overdue is not None:
                overdue.cancel()
        if scope.cancelled_caught:
            raise StartTimeout(cell.path, timeout_s)
    if cell.children is not None:
        for spec in actor.static_children():
            await cell.children.spawn_static(spec)
    cell.mark_started()


async def _serve(life: Incarnation, actor: Actor, context: Context) -> None:
    """Take messages until the actor has to end, or its current message is cancelled."""
    cell = life.cell
    mailbox, system = cell.mailbox, cell.system
    receive: Receive = actor.receive
    version = -1
    idle = None if type(actor).on_idle is Actor.on_idle else actor.on_idle
    task, wait_task_rescheduled = trio.lowlevel.current_task(), trio.lowlevel.wait_task_rescheduled

    mailbox.interrupt = True
    while True:
        if mailbox.interrupt:
            mailbox.interrupt = False
            if version != system.interceptors_version:
                version = system.interceptors_version
                receive = actor.receive if cell.spec.directives is None else _resuming(life, actor)
                if system.interceptors:
                    receive = system.intercepted(cell.ref, receive)
            if cell.control:
                await _drain_control(life, receive, context)
            if life.cancelling_current or life.must_stop:
                return
            if cell.control:
                mailbox.interrupt = True
                await trio.lowlevel.checkpoint()
                continue
        if cell.redeliveries:
            await _drain_redeliveries(life, receive, context)
        elif mailbox.barriers is not None or len(mailbox.open_lanes) > 1:
            await _drain_lanes(life, receive, context)
        else:
            for queue in mailbox.open_lanes:  # no function of its own: its coroutine would cost a tenth of a wake-up
                end = perf_counter() + BATCH_S if len(queue.items) > 1 else 0.0
                while queue.items and not mailbox.interrupt:
                    life.current = queue.items.popleft()
                    if queue.waiters:
                        queue.admit()
                    await receive(life.current, context)
                    if queue.items:
                        end = end or perf_counter() + BATCH_S
                        if perf_counter() > end:
                            break
        if life.cancelling_current:
            return
        life.current = life.stashed_current = None
        if idle is not None:
            await idle(context)
        if not (mailbox.interrupt or cell.redeliveries) and life.stop_mode is None and mailbox.park(task):
            await wait_task_rescheduled(mailbox.unpark)
        elif cell.redeliveries or mailbox.has_messages():
            await trio.lowlevel.checkpoint()
        elif not mailbox.interrupt:
            return


def _resuming(life: Incarnation, actor: Actor) -> Receive:
    """Return the actor's `receive`, changed to go on after the errors for which its spec says `RESUME`."""

    async def receive(message: object, context: Context) -> None:
        try:
            await actor.receive(message, context)
        except Exception as error:
            if life.cell.spec.directive(unwrap(error)) is not Directive.RESUME:
                raise
            termination.resume_after(life, unwrap(error))

    return receive


async def _drain_redeliveries(life: Incarnation, receive: Receive, context: Context) -> None:
    """Handle one batch of unstashed and redelivered messages."""
    cell = life.cell
    mailbox = cell.mailbox
    end = perf_counter() + BATCH_S
    while cell.redeliveries and not mailbox.interrupt:
        entry = cell.redeliveries.take_oldest()
        if mailbox.propagator is not None:
            mailbox.propagator.restore(entry.values)
        life.current_is_control = not entry.lasting
        life.current = entry.message
        await receive(entry.message, context)
        life.current_is_control = False
        cell.redeliveries.current = None
        if perf_counter() > end:
            return


async def _drain_lanes(life: Incarnation, receive: Receive, context: Context) -> None:
    """Handle one batch from all lanes in fair order, and each notice once the messages before it are handled."""
    mailbox = life.cell.mailbox
    end = perf_counter() + BATCH_S
    while not mailbox.interrupt:
        if mailbox.barriers is not None and (notice := mailbox.take_due_notice()) is not EMPTY:
            life.current_is_control = True
            await _serve_control(life, receive, context, notice)
            life.current_is_control = False
        else:
            life.current = message = mailbox.take()
            if message is EMPTY:
                return
            await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_control(life: Incarnation, receive: Receive, context: Context) -> None:
    """Serve one batch of the control queue: timers, requests to a supervisor, and notices of urgent watches."""
    cell = life.cell
    life.current_is_control = True
    end = perf_counter() + BATCH_S
    while cell.control and not (life.cancelling_current or life.must_stop):
        life.stashed_current = None
        await _serve_control(life, receive, context, cell.control.popleft())
        if perf_counter() > end:
            break
    if not cell.control:
        cell.control = None  # an empty deque takes as much memory as a cell
    if not life.cancelling_current:
        life.current = None
    life.current_is_control = False


async def _serve_control(life: Incarnation, receive: Receive, context: Context, item: Any) -> None:
    if isinstance(item, ChildrenRequest):
        item.execute(life.cell)
        return
    values: Values = ()
    if isinstance(item, ActorTimer):
        if life.timers is None or life.timers.get(item.key) is not item:
            return
        if item.every_s is None:
            del life.timers[item.key]
        else:
            item.set_again(item.every_s)
        item, values = item.message, item.values
    propagator = life.cell.mailbox.propagator
    if propagator is not None:
        propagator.restore(values)
    if isinstance(item, VitalTerminated):
        notice = life.current = item.notice
        life.vital_watch = notice.ref
        await receive(notice, context)
        check_vital_watch(life, notice)
        return
    life.current = item
    await receive(item, context)


async def _close_down(life: Incarnation, actor: Actor, context: Context, reason: Exit | None = None) -> None:
    """End the actor's tasks, then its children in reverse, then run the stop hook. `reason` replaces the exit known."""
    termination.begin_stopping(life)
    cell = life.cell
    children = cell.children
    if life.task_scopes or children is not None:
        with trio.CancelScope(shield=True):
            if life.task_scopes:
                life.tasks_ended = trio.Event()
                for task_scope in tuple(life.task_scopes):
                    task_scope.cancel()
                await life.tasks_ended.wait()
            if children is not None:
                await children.close()
                if cell.spec.shutdown_s is None and not life.killed:  # the stop hook has a worker's grace from here on
                    life.grace_timer = cell.system.timers.after(WORKER_SHUTDOWN_S, partial(termination.kill, cell))
    if type(actor).on_stop is Actor.on_stop:
        return
    try:
        with trio.CancelScope(shield=True) as life.scope:
            if life.killed:
                life.scope.cancel()
            await actor.on_stop(context, life.exit_reason() if reason is None else reason)
    except BaseException as error:
        termination.handle_error(life, error)
