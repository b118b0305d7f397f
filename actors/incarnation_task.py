"""The code that runs in the task of one incarnation: start, serve, close down.

1. `trio.Cancelled`, `KeyboardInterrupt`, `SystemExit` and `GeneratorExit` pass through; every other error is a crash.
2. The stop hook runs once if there is an actor, however the incarnation ends. It has the rest of the grace; if none is
   left, it is cancelled at its first await.
3. A batch ends with one checkpoint or one wait. It takes about a millisecond, unless one message takes longer.
4. If the caller of the current request leaves, its handling is cancelled, and the actor goes on.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

import trio

from . import termination
from .actor import Actor, ActorTimer
from .children import Children, ChildrenRequest
from .context_propagation import Values
from .errors import Ignore, StartTimeout, unwrap
from .events import ShutdownOverdue
from .exit_reasons import KILLED, Exit
from .lifecycle import State
from .mailbox import EMPTY
from .spec import Directive
from .watch import VitalTerminated, check_vital_watch

if TYPE_CHECKING:
    from .actor import Context
    from .incarnation import Incarnation
    from .interception import Receive
    from .spec import Supervision

BATCH_S = 0.001
"""Seconds after which a batch yields to other tasks."""


async def fail_start(life: Incarnation, error: BaseException) -> None:
    """Be the task of an incarnation whose factory raised `error`: there is no actor to run."""
    try:
        termination.handle_error(life, error)
    finally:
        termination.begin_stopping(life)
        life.cell.finish_incarnation()


async def run_with_children(life: Incarnation, actor: Actor, context: Context, supervision: Supervision) -> None:
    """Run an incarnation inside the nursery that its children will live in."""
    try:
        async with trio.open_nursery() as nursery:
            life.children = Children(life.cell, supervision, nursery)
            await runner_of(actor)(life, actor, context)
    finally:
        life.cell.finish_incarnation()


async def run(life: Incarnation, actor: Actor, context: Context) -> None:
    """Run an incarnation from its start hook to its stop hook."""
    _enter_task(life)
    try:
        with life.scope:
            if not life.started:
                await _start(life, actor, context)
            if not life.declined:
                await _serve(life, actor, context)
        while life.renew_scope():
            with life.scope:
                await _serve(life, actor, context)
    except BaseException as error:
        termination.handle_error(life, error)
    finally:
        try:
            await _close_down(life, actor, context)
        finally:
            if life.children is None:
                life.cell.finish_incarnation()


def runner_of(actor: Actor) -> Callable[[Incarnation, Actor, Context], Awaitable[None]]:
    """Return the function that runs this actor. Only an actor with a lifespan pays for the frame that enters it."""
    return run if type(actor).lifespan is Actor.lifespan else run_in_lifespan


async def run_in_lifespan(life: Incarnation, actor: Actor, context: Context) -> None:
    """Run an incarnation inside the actor's lifespan.

    While the lifespan is entered and left, `outer`, the scope around it, is the one whose cancellation ends the actor;
    in between it is the scope of the message loop. Scopes and the lifespan are entered and left in one task, nested.
    """
    _enter_task(life)
    outer, start_timeout_s = life.scope, life.cell.spec.start_timeout_s
    deadline = outer.deadline = trio.current_time() + start_timeout_s
    entered = False
    try:
        with outer, _report_overdue_start(life):
            async with actor.lifespan(context):
                entered = True
                outer.deadline = math.inf
                await _run_inside_lifespan(life, actor, context, outer, deadline)
        if not entered and outer.cancelled_caught and not life.killed and life.stop_mode is None:
            raise StartTimeout(life.cell.path, start_timeout_s)
    except BaseException as error:
        if isinstance(error, Ignore) and not entered:
            life.declined = True
        else:
            termination.handle_error(life, error)
    finally:
        try:
            if not entered:
                await _close_down(life, actor, context)
        finally:
            if life.children is None:
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
            while life.renew_scope():
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


def _enter_task(life: Incarnation) -> None:
    life.task = trio.lowlevel.current_task()
    propagator = life.cell.mailbox.propagator
    if propagator is not None:
        propagator.reset()


def _cancelled_within(outer: trio.CancelScope) -> bool:
    """Whether the cancelled scope is one that the lifespan opened, and none around it."""
    outer.shield = True
    within = trio.current_effective_deadline() == -math.inf
    outer.shield = False
    return within


@contextmanager
def _report_overdue_start(life: Incarnation) -> Iterator[None]:
    """Emit `ShutdownOverdue` if a start has not ended `OVERDUE_S` after its timeout."""
    cell = life.cell

    def report() -> None:
        if cell.state is State.STARTING:
            cell.system.emit(ShutdownOverdue(cell.path, termination.OVERDUE_S))

    timer = cell.system.timers.after(cell.spec.start_timeout_s + termination.OVERDUE_S, report)
    try:
        yield
    finally:
        timer.cancel()


async def _start(life: Incarnation, actor: Actor, context: Context, deadline: float | None = None) -> None:
    """Run the start hook within `start_timeout_s`, then start the children the supervisor was made with."""
    if type(actor).on_start is not Actor.on_start:
        timeout_s = life.cell.spec.start_timeout_s
        reporting = nullcontext() if deadline is not None else _report_overdue_start(life)
        deadline = trio.current_time() + timeout_s if deadline is None else deadline
        try:
            with (
                reporting,
                trio.CancelScope(deadline=deadline) as scope,
            ):
                await actor.on_start(context)
        except Ignore:
            life.declined = True
            return
        if scope.cancelled_caught:
            raise StartTimeout(life.cell.path, timeout_s)
    if life.children is not None:
        for spec in actor.static_children():
            await life.children.spawn_static(spec)
    life.cell.mark_started()


async def _serve(life: Incarnation, actor: Actor, context: Context) -> None:
    """Take messages until the actor has to end, or its current message is cancelled."""
    cell = life.cell
    mailbox = cell.mailbox
    interceptors = cell.system.interceptors
    version = interceptors.version
    receive = _receive(life, actor)
    idle = None if type(actor).on_idle is Actor.on_idle else actor.on_idle
    wait_task_rescheduled = trio.lowlevel.wait_task_rescheduled
    task = life.task

    mailbox.interrupt = True
    while True:
        if mailbox.interrupt:
            mailbox.interrupt = False
            if version != interceptors.version:
                version = interceptors.version
                receive = _receive(life, actor)
            await _drain_control(life, receive, context)
            if life.cancelling_current or life.must_stop:
                return
            if cell.control:
                mailbox.interrupt = True
                await trio.lowlevel.checkpoint()
                continue
        if cell.redeliveries:
            await _drain_redeliveries(life, receive, context)
        elif mailbox.barriers is not None:
            await _drain_with_notices(life, receive, context)
        elif len(mailbox.open_lanes) == 1:
            await _drain_lane(life, receive, context)
        else:
            await _drain_lanes(life, receive, context)
        if life.cancelling_current:
            return
        life.current = life.stashed_current = None
        if idle is not None:
            await idle(context)
        if cell.redeliveries or mailbox.has_messages():
            await trio.lowlevel.checkpoint()
        elif not mailbox.interrupt:
            if life.stop_mode is not None:
                return
            mailbox.parked = task
            await wait_task_rescheduled(mailbox.unpark)


def _receive(life: Incarnation, actor: Actor) -> Receive:
    """Return the actor's `receive` with the interceptors around it."""
    cell = life.cell
    receive = actor.receive if cell.spec.directives is None else _resuming(life, actor)
    return cell.system.interceptors.around(cell.ref, receive)


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


async def _drain_lane(life: Incarnation, receive: Receive, context: Context) -> None:
    """Handle one batch from the only lane in use."""
    mailbox = life.cell.mailbox
    queue = mailbox.open_lanes[0]
    items = queue.items
    end = perf_counter() + BATCH_S
    while items:
        if mailbox.interrupt:
            return
        life.current = message = items.popleft()
        if queue.waiters:
            queue.admit()
        await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_lanes(life: Incarnation, receive: Receive, context: Context) -> None:
    """Handle one batch from several lanes, in fair order."""
    mailbox = life.cell.mailbox
    end = perf_counter() + BATCH_S
    while not mailbox.interrupt:
        life.current = message = mailbox.take()
        if message is EMPTY:
            return
        await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_with_notices(life: Incarnation, receive: Receive, context: Context) -> None:
    """Handle one batch in fair order, and each notice once the messages that came before it are handled."""
    mailbox = life.cell.mailbox
    end = perf_counter() + BATCH_S
    while mailbox.barriers is not None and not mailbox.interrupt:
        notice = mailbox.take_due_notice()
        if notice is not EMPTY:
            life.current_is_control = True
            await _serve_control(life, receive, context, notice)
            life.current_is_control = False
        else:
            life.current = message = mailbox.take()
            await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_control(life: Incarnation, receive: Receive, context: Context) -> None:
    """Serve one batch of the control queue: timers, requests to a supervisor, and notices of urgent watches."""
    cell = life.cell
    if not cell.control:
        return
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
        del life.timers[item.key]
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
    if life.tasks is not None or life.children is not None:
        with trio.CancelScope(shield=True):
            if life.tasks is not None:
                await life.tasks.close()
            if life.children is not None:
                await life.children.close()
                termination.arm_stop_hook_grace(life)
    if type(actor).on_stop is Actor.on_stop:
        return
    try:
        with trio.CancelScope(shield=True) as life.scope:
            if life.killed:
                life.scope.cancel()
            await actor.on_stop(context, life.exit_reason() if reason is None else reason)
    except BaseException as error:
        termination.handle_error(life, error)
