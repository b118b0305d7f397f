"""The life of an actor, from top to bottom: setup, running, crash, restart, stop, gone. The table is in `lifecycle`.

1. The first failure makes the exit `Crashed`, unless a kill came before it: then the exit is `Killed`.
2. `trio.Cancelled`, `KeyboardInterrupt` and `SystemExit` pass through; every other error is a crash.
3. The stop hook runs once if there is an actor, however the incarnation ends. It has the rest of the grace; if none is
   left, it is cancelled at its first await.
4. A stop takes effect in every state, and only `AFTER_DRAIN` waits for the backlog. It seals the mailbox at once, so
   that new messages cannot prolong the drain. A failure after which the actor would be restarted does not end the
   drain: another incarnation handles the remaining messages, without a delay, within the remaining grace.
5. The grace is counted once for each incarnation. At its end the actor is killed; if it does not end even then, that is
   reported.
6. A cancelled request ends the handling of its message, not the incarnation.
7. `finish` is the last act of an incarnation's task: no code of the user runs there after it.
8. Tasks that the actor started run in the nursery that holds it, each in its own cancel scope, which is cheaper than a
   nursery for each actor. One that raises crashes the actor; at the end all are cancelled and awaited.
9. An actor without a start hook and without children has started when its task is created, so its parent never waits.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import ReferenceType

import trio

from . import reaper
from . import watch as watching
from .actor import Actor, ActorTimer, Context, Receive
from .ask import ActorDied, IncarnationDied
from .cell import Cell, Incarnation, Watch
from .checks import nothing_to_await
from .children import Children, ChildrenRequest
from .context_propagation import Values
from .ending import IncarnationEnd, as_exception, split_error
from .errors import Ignore, InvalidActor, InvalidSpec, StartDeclined, StartFailed, StartTimeout, text_of, unwrap
from .events import ActorStarted, ActorStopped, ShutdownOverdue
from .exit_reasons import KILLED, SHUTDOWN, Crashed, Exit
from .inbox import fail_calls, fail_request
from .lifecycle import State, Step, StopMode
from .mailbox import MailboxSpec
from .serving import serve
from .spec import WORKER_SHUTDOWN_S, ChildSpec, Directive, Restart, Supervision
from .timers import Timer
from .watchdog import owned_by

OVERDUE_S = 5.0
"""Seconds from a kill until an actor that has not ended is reported."""
Run = Callable[["LiveCell", Actor, Context], Awaitable[None]]
"""The function that is the task of an actor: `run` or `run_in_lifespan`."""
_NO_RELEASE = vars(Actor)["on_undelivered"].__func__
_mark_taken = vars(Actor)["_taken"].__set__  # the slot itself: an actor may be a frozen class


class LiveCell(Cell):
    """An actor that runs."""

    __slots__ = ()

    # Setup

    def start(self) -> None:
        """Start the next incarnation in the host's nursery."""
        history = self.history
        if history.incarnations:
            self._renew()
        history.incarnations += 1
        self.step(Step.START)
        history.restart_timer = history.start_error = None
        if self.inbox.propagator is not None:
            self.inbox.propagator.reset()
        life = self.incarnation
        life.scope = trio.CancelScope()
        context = life.context = Context(self)
        nursery, start_soon = self.host.nursery, self.system.start_soon
        try:
            actor = life.actor = self._make_actor()
        except BaseException as error:
            start_soon(nursery, self.path, fail_start, self, error)
            return
        kind = type(actor)
        plain = kind.lifespan is Actor.lifespan
        runner = run if plain else run_in_lifespan
        if actor.supervision is not None:
            start_soon(nursery, self.path, run_with_children, runner, actor.supervision, self, actor, context)
            return
        start_soon(nursery, self.path, runner, self, actor, context)
        if plain and kind.on_start is Actor.on_start:
            self.mark_started()

    def _renew(self) -> None:
        """Replace the incarnation that has ended by an unused one."""
        self.incarnation: Incarnation = Incarnation()
        self.children: Children | None = None
        self.inbox.renew()

    def _make_actor(self) -> Actor:
        actor = self.spec.factory()
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {self.path} made a {type(actor).__name__}, not an Actor")
        if getattr(actor, "_taken", False):
            again = "as in `ChildSpec(id, lambda: Kind(...))`"
            used = f"the factory of {self.path} returned an actor that was used before; make a new one each time"
            raise InvalidActor(type(actor).__name__, f"{used}, {again}")
        _mark_taken(actor, True)
        if not isinstance(actor.mailbox, MailboxSpec):
            raise InvalidSpec("mailbox", f"must be a MailboxSpec, not {actor.mailbox!r}")
        if actor.supervision is not None and not isinstance(actor.supervision, Supervision):
            raise InvalidSpec("supervision", f"must be a Supervision or None, not {actor.supervision!r}")
        kind = type(actor)
        self.kind: type[object] = kind
        if getattr(kind.on_undelivered, "__func__", None) is not _NO_RELEASE:
            self.inbox.lose = partial(self.system.lose_of, kind)
        if self.spec.restart is Restart.TEMPORARY:
            self.spec: ChildSpec = self.spec.without_factory()  # there is no second incarnation
        if actor.mailbox is not self.inbox.spec and not self.inbox.closed:
            self.inbox.configure(actor.mailbox)
        return actor

    def mark_started(self) -> None:
        """Enter `RUNNING` after the start hook returned; do nothing if the actor was ordered to stop meanwhile."""
        if self.state is not State.STARTING:
            return
        self.step(Step.STARTED)
        history, life = self.history, self.incarnation
        life.started = history.ever_started = True
        history.since = self.system.timers.now()
        if self.system.has_listeners():
            self.system.emit(ActorStarted(self.path, history.incarnations))
        for act in self.take_waiting(Step.STARTED) if self.waiting else ():
            act()
        if self.watchers and history.incarnations > 1:
            watching.notify_restart(self)
        if life.ending.stop_mode is not None:
            self.step(Step.END)

    # Running

    def start_task(self, name: str | None, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Start a task that runs until it returns or the incarnation ends."""
        life = self.incarnation
        scope = trio.CancelScope()
        if life.task_scopes is None:
            life.task_scopes = {}
        life.task_scopes[scope] = None
        self.host.nursery.start_soon(_run_task, self, life.task_scopes, scope, function, args, name=name)

    def watch(self, target: Cell, options: Watch) -> None:
        """Get one `Terminated` when `target` ends."""
        watching.watch(self, target, options)

    def unwatch(self, target: Cell) -> None:
        """Remove the watch, and a notice that was not received yet."""
        watching.unwatch(self, target)

    def outlive(self, target: Cell) -> None:
        """Make the watch of `target` no longer vital."""
        watching.outlive(self, target)

    # Crash

    def fail(self, error: Exception) -> None:
        """Crash from outside of `receive`: a task of the actor raised, or its children fail too often."""
        if self.down:
            return
        ending = self.incarnation.end()
        ending.record_failure(error)
        if not ending.stopping:
            self.inbox.interrupt = True
            self.incarnation.scope.cancel()

    def kill(self) -> None:
        """Cancel the actor and everything below it; harmless if no incarnation runs."""
        if self.down:
            return
        self.kill_alone()
        if self.children is not None:
            reaper.kill_all(self.system, self.children.close_for_kill())

    def kill_alone(self) -> None:
        """Cancel the actor's own work and let it take no further message; leave its children alone."""
        ending = self.incarnation.end()
        if not ending.killed:
            if ending.grace_timer is not None:
                ending.grace_timer.cancel()
            report = partial(self.system.emit, ShutdownOverdue(self.path, OVERDUE_S))
            ending.grace_timer = self.system.timers.after(OVERDUE_S, report)
        ending.killed = True
        self.inbox.interrupt = True
        self.incarnation.scope.cancel()

    # Restart

    def restart_after(self, delay_s: float) -> None:
        """Start the next incarnation after a delay, or at once if it is zero."""
        if delay_s > 0:
            self.back_off()
            self.history.restart_timer = self.system.timers.after(delay_s, self.start)
        else:
            self.start()

    def back_off(self) -> None:
        """Enter `BACKING_OFF`; the caller measures the delay."""
        self.history.since = self.system.timers.now()
        self.step(Step.WAIT)

    def continue_drain(self) -> None:
        """Start another incarnation without delay, for the messages left in a drain. It has the rest of the grace."""
        ended = self.incarnation.ending
        self.start()
        ending = self.incarnation.end()
        ending.no_restart, ending.stop_mode, ending.stop_reason = ended.no_restart, ended.stop_mode, ended.stop_reason
        if ended.grace_timer is not None:
            left_s = max(0.0, ended.grace_timer.at - self.system.timers.now())
            ending.grace_timer = self.system.timers.after(left_s, self.kill)
        if self.incarnation.started:
            self.step(Step.END)

    # Stop

    def order_stop(self, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
        """Order the actor to end. If `final`, it gets no other incarnation, whatever its restart type."""
        if self.buried:
            return
        drains = mode is StopMode.AFTER_DRAIN and self.inbox.has_work()
        if self.down:
            self.history.wait_no_longer()
            if not drains or self.state is State.STOPPED:
                self.step(Step.END)
                if final:
                    self.host.retire(self, reason)
                return  # else it backs off with messages to drain: another incarnation is started below
        life = self.incarnation
        ending = life.end()
        ending.no_restart = ending.no_restart or final
        if ending.stop_mode is None:
            ending.stop_reason = reason
        if ending.stopping:
            return
        cancels_start = self.state is State.STARTING and ending.stop_mode is None and not drains  # nothing needs it
        ending.stop_mode = mode if ending.stop_mode is None or mode is StopMode.NOW else ending.stop_mode
        if ending.stop_mode is StopMode.AFTER_DRAIN:
            self.inbox.seal()
        self._arm_grace(ending)
        if self.state is State.BACKING_OFF:
            self.continue_drain()
            return
        if life.started or cancels_start or mode is StopMode.NOW:
            self.step(Step.END)  # otherwise the start goes on: the messages to drain need it
        if cancels_start or mode is StopMode.NOW:
            life.scope.cancel()
        self.inbox.interrupt = True
        self.inbox.wake()

    def begin_stopping(self) -> None:
        """Note that the last message is over and the stop hook is next. Start the grace unless it runs already."""
        ending = self.incarnation.end()
        ending.stopping = True
        self.step(Step.END)
        if ending.killed:
            return
        if ending.grace_timer is not None and self.children is not None and self.spec.shutdown_s is None:
            ending.grace_timer.cancel()  # that of its last message; for its children it waits without limit
        else:
            self._arm_grace(ending)

    def _arm_grace(self, ending: IncarnationEnd) -> None:
        """Start the grace, once for each incarnation; at its end the actor is killed.

        An actor with children and no grace of its own waits for them without limit. Its own current message gets a
        worker's grace all the same: otherwise one handler that hangs would hold up the whole tree for ever.
        """
        if ending.grace_timer is not None or ending.killed:
            return
        timers, seconds = self.system.timers, self.spec.shutdown_s
        if seconds is None and self.children is not None:
            ending.grace_timer = None if ending.stopping else timers.after(WORKER_SHUTDOWN_S, self.kill_alone)
        elif seconds is None:
            ending.grace_timer = timers.after(WORKER_SHUTDOWN_S, self.kill)
        elif seconds <= 0:
            self.kill()
        elif seconds != math.inf:
            ending.grace_timer = timers.after(seconds, self.kill)

    def finish(self) -> None:
        """End the incarnation: cancel its timers and watches, record its exit, and let the host decide what follows."""
        life, inbox, history = self.incarnation, self.inbox, self.history
        ending = life.ending
        reason = self.exit = ending.reason()
        self.step(Step.ENDED)
        if isinstance(reason, Crashed):
            history.last_error = self.system.redacted(text_of(reason.error))
        if ending.grace_timer is not None:
            ending.grace_timer.cancel()
        for timer in tuple(life.timers.values()) if life.timers else ():
            timer.entry.cancel()
        if life.watching:
            watching.unwatch_all(self)
        if inbox.stashes is not None:
            inbox.carry_over(failed=reason.abnormal)
        in_work = inbox.calls_in_work() if inbox.calls else None  # callers whose requests this incarnation had taken
        if self.spec.redeliver and reason.abnormal:
            inbox.redeliver_crashed(history.last_error or str(reason), self.spec.redeliver)
        waiting: list[Callable[[], None]] = []
        if not life.started:
            history.start_error = (StartDeclined if life.declined else StartFailed)(self.path, ending.failure)
            if ending.no_restart or not history.in_group_restart:  # else the group starts it again: its starter waits
                waiting = self.take_waiting(Step.STARTED)
        if self.waiting:
            waiting += self.take_waiting(Step.ENDED)
        self.host.child_ended(self, reason)
        if in_work:  # they are settled if the actor was buried; in a drain that goes on, none of them can ask again
            fail_calls(in_work, self.path, reason, ActorDied if inbox.closed else IncarnationDied)
        if self.state is State.STOPPED or self.state is State.BACKING_OFF:
            self._renew()
        for act in waiting:
            act()

    # Gone

    def bury(self, reason: Exit) -> None:
        """End the actor for good. The host has freed the name already.

        In this order: close the mailbox, fail the callers, wake starters and waiting tasks, notify the watchers.
        """
        self.step(Step.BURY)
        self.exit: Exit | None = reason
        self.inbox.bury(reason)
        self.system.ended(self, reason)
        if self.system.has_listeners():
            self.system.emit(ActorStopped(self.path, reason, self.inbox.message_type))
        for act in self.take_waiting(Step.STARTED, Step.BURY):
            act()
        if self.watchers:
            watching.notify_watchers(self, reason)
        self._ref = ReferenceType(self.ref)
        self._renew()


# The task of an incarnation


async def fail_start(cell: LiveCell, error: BaseException) -> None:
    """End an incarnation whose factory raised `error`, in its task: there is no actor to run."""
    try:
        handle_error(cell, error)
    finally:
        cell.begin_stopping()
        cell.finish()


async def run_with_children(
    runner: Run, supervision: Supervision, cell: LiveCell, actor: Actor, context: Context
) -> None:
    """Run an incarnation, with `runner`, inside the nursery that its children will live in."""
    try:
        async with trio.open_nursery() as nursery:
            cell.children = Children(cell, supervision, nursery)
            await runner(cell, actor, context)
    finally:
        cell.finish()


async def run(
    cell: LiveCell,
    actor: Actor,
    context: Context,
    outer: trio.CancelScope | None = None,
    deadline: float | None = None,
) -> None:
    """Run an incarnation from its start hook to its stop hook, and without a lifespan or children to its end.

    Inside a lifespan, `outer` is the scope around the lifespan and `deadline` that of the start. An error raised here
    then reaches the lifespan at its `yield`, and `run_in_lifespan` ends the incarnation once the lifespan was left.
    """
    life = cell.incarnation
    life.task = trio.lowlevel.current_task()
    reason: Exit | None = None
    try:
        if outer is None or not outer.cancel_called:
            with life.scope:
                if not life.started:
                    await _start(cell, actor, context, deadline)
                if not life.declined:
                    await _serve(cell, actor, context)
            while life.cancelling_current and _renew_scope(cell):  # only a request was cancelled: go on serving
                with life.scope:
                    await _serve(cell, actor, context)
    except BaseException as error:
        if outer is None:
            handle_error(cell, error)
        else:
            reason = _note_error(cell, error, outer)
            raise
    finally:
        try:
            await _close_down(cell, actor, context, reason)
            if outer is not None:
                outer.shield = True  # as for the stop hook: leaving the lifespan has the rest of the grace
                life.scope = outer
                if life.ending.killed:
                    outer.cancel()
        finally:
            if outer is None and cell.children is None:
                cell.finish()


async def run_in_lifespan(cell: LiveCell, actor: Actor, context: Context) -> None:
    """Run an incarnation inside the actor's lifespan. Only an actor that has one pays for the frames that enter it.

    While the lifespan is entered and left, `outer`, the scope around it, is the one whose cancellation ends the actor;
    in between it is the scope of the message loop. Scopes and the lifespan are entered and left in one task, nested.
    """
    life = cell.incarnation
    life.task = trio.lowlevel.current_task()
    outer, start_timeout_s = life.scope, cell.spec.start_timeout_s
    deadline = outer.deadline = trio.current_time() + start_timeout_s
    entered = False
    overdue = _report_overdue_start(cell)
    try:
        with outer:
            async with actor.lifespan(context):
                entered = True
                outer.deadline = math.inf
                life.scope = trio.CancelScope()
                await run(cell, actor, context, outer, deadline)
        if not entered and outer.cancelled_caught and not life.ending.killed and life.ending.stop_mode is None:
            raise StartTimeout(cell.path, start_timeout_s)
    except BaseException as error:
        if isinstance(unwrap(error), Ignore) and not entered:
            life.declined = True
        else:
            handle_error(cell, error)
    finally:
        overdue.cancel()
        try:
            if not entered:
                await _close_down(cell, actor, context)
        finally:
            if cell.children is None:
                cell.finish()


def _note_error(cell: LiveCell, error: BaseException, outer: trio.CancelScope) -> Exit | None:
    """Record an error that propagates to the lifespan. Return the exit for the stop hook, None for the recorded one."""
    passing, crash = split_error(error)
    if crash is not None:
        cell.incarnation.end().record_failure(as_exception(cell.path, crash))
    if passing is None:
        return None
    if _cancelled_within(outer):
        return KILLED  # the error that cancelled the lifespan is recorded once the lifespan has been left
    cell.incarnation.end().no_restart = True
    cell.kill()
    return None


def _cancelled_within(outer: trio.CancelScope) -> bool:
    """Whether the cancelled scope is one that the lifespan opened, and none around it."""
    outer.shield = True  # so that the deadline is that of the scopes within it
    within = trio.current_effective_deadline() == -math.inf
    outer.shield = False
    return within


def _report_overdue_start(cell: Cell) -> Timer:
    """Emit `ShutdownOverdue` if the start has not ended `OVERDUE_S` after its timeout. Return the timer to cancel."""

    def report() -> None:
        if cell.state is State.STARTING:
            cell.system.emit(ShutdownOverdue(cell.path, OVERDUE_S))

    return cell.system.timers.after(cell.spec.start_timeout_s + OVERDUE_S, report)


async def _start(cell: LiveCell, actor: Actor, context: Context, deadline: float | None = None) -> None:
    """Run the start hook within `start_timeout_s`, then start the children the supervisor was made with."""
    if type(actor).on_start is not Actor.on_start:
        timeout_s = cell.spec.start_timeout_s
        overdue = None
        if deadline is None:
            overdue, deadline = _report_overdue_start(cell), trio.current_time() + timeout_s
        try:
            with trio.CancelScope(deadline=deadline) as scope:
                await actor.on_start(context)
        except Exception as error:
            if not isinstance(unwrap(error), Ignore):
                raise
            cell.incarnation.declined = True
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


def _serve(cell: Cell, actor: Actor, context: Context) -> Awaitable[None]:
    """Take messages until the actor has to end, or its current message is cancelled."""
    idle = None if type(actor).on_idle is Actor.on_idle else actor.on_idle
    return serve(cell, context, _receiver, _serve_control, idle)


def _receiver(cell: Cell) -> Receive:
    """Return the function that handles messages: the actor's `receive`, with its directives and the interceptors."""
    actor: Any = cell.incarnation.actor
    receive: Receive = actor.receive if cell.spec.directives is None else _resuming(cell, actor)
    return cell.system.intercepted(cell.ref, receive) if cell.system.interceptors else receive


async def _serve_control(cell: Cell, receive: Receive, context: Context, item: Any) -> None:
    """Serve a timer, a request to a supervisor, or a notice."""
    if isinstance(item, ChildrenRequest):
        item.execute(cell)
        return
    life, inbox = cell.incarnation, cell.inbox
    values: Values = ()
    if isinstance(item, ActorTimer):
        if life.timers is None or life.timers.get(item.key) is not item:
            return
        if item.every_s is None:
            del life.timers[item.key]
        else:
            item.set_again(item.every_s)
        item, values = item.message, item.values
    if inbox.propagator is not None:
        inbox.propagator.restore(values)
    if isinstance(item, watching.VitalTerminated):
        notice = inbox.current = item.notice
        life.vital_watch = notice.ref
        await receive(notice, context)
        watching.check_vital_watch(cell, notice)
        return
    inbox.current = item
    await receive(item, context)


def _renew_scope(cell: Cell) -> bool:
    """Make a new scope after the old one was cancelled for one message. Return False if the incarnation ends."""
    life = cell.incarnation
    if life.ending.at_once:
        return False
    life.cancelling_current = False
    cell.inbox.let_go()
    life.scope = trio.CancelScope()
    return True


async def _run_task(
    cell: LiveCell,
    scopes: dict[trio.CancelScope, None],
    scope: trio.CancelScope,
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
) -> None:
    """Run a function as a task of the actor, which crashes if the function raises."""
    owned_by.set(cell)
    life = cell.incarnation
    try:
        with scope:
            result: object = function(*args)
            if not isinstance(result, Awaitable):
                raise nothing_to_await(function, result)
            await result
    except BaseException as error:
        passing, fault = split_error(error)
        if fault is not None:
            failure = as_exception(cell.path, fault)
            # a task runs on until its next checkpoint: a call to its own, ending actor is no crash
            if not (life.ending.stopping and isinstance(failure, ActorDied) and failure.path == cell.path):
                cell.fail(failure)
        if passing is not None:
            raise passing from None
    finally:
        del scopes[scope]
        if life.tasks_ended is not None and not scopes:
            life.tasks_ended.set()


def _resuming(cell: Cell, actor: Actor) -> Receive:
    """Return the actor's `receive`, changed to go on after the errors for which its spec says `RESUME`. The message is
    skipped then, and its caller gets the error."""

    async def receive(message: object, context: Context) -> None:
        try:
            await actor.receive(message, context)
        except Exception as raised:
            error = unwrap(raised)
            if cell.spec.directive(error) is not Directive.RESUME:
                raise
            cell.history.last_error = cell.system.redacted(text_of(error))
            cell.host.resumed(cell, error)
            if cell.inbox.stashed_current is not None:
                cell.inbox.discard_failed()
            fail_request(cell.inbox.current, error)

    return receive


def handle_error(cell: LiveCell, error: BaseException) -> None:
    """Record an error as the failure of the incarnation, and raise the part of it that must leave the tree."""
    passing, crash = split_error(error)
    if crash is not None:
        cell.incarnation.end().record_failure(as_exception(cell.path, crash))
    if passing is not None:
        cell.incarnation.end().no_restart = True
        cell.kill()
        raise passing


async def _close_down(cell: LiveCell, actor: Actor, context: Context, reason: Exit | None = None) -> None:
    """End the actor's tasks, then its children in reverse; run the stop hook with `reason` or the recorded exit."""
    cell.begin_stopping()
    life, children = cell.incarnation, cell.children
    ending = life.ending
    if life.task_scopes or children is not None:
        with trio.CancelScope(shield=True):
            if life.task_scopes:
                life.tasks_ended = trio.Event()
                for task_scope in tuple(life.task_scopes):
                    task_scope.cancel()
                await life.tasks_ended.wait()
            if children is not None:
                await children.close()
                if cell.spec.shutdown_s is None and not ending.killed:  # the stop hook has a worker's grace from here
                    ending.grace_timer = cell.system.timers.after(WORKER_SHUTDOWN_S, cell.kill)
    if type(actor).on_stop is Actor.on_stop:
        return
    try:
        with trio.CancelScope(shield=True) as life.scope:
            if ending.killed:
                life.scope.cancel()
            await actor.on_stop(context, ending.reason() if reason is None else reason)
    except BaseException as error:
        handle_error(cell, error)
