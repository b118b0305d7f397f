"""What runs in the task of one incarnation: start, serve, close down.

1. `trio.Cancelled`, `KeyboardInterrupt`, `SystemExit` and `GeneratorExit` pass through; everything else is a crash.
2. The stop hook runs once if there is an actor, however the incarnation ends. It has what is left of the grace; when
   nothing is left, it is cancelled at its first await.
3. A batch ends with one checkpoint or one wait, and takes about a millisecond at most, unless one message takes longer.
4. When nobody waits for the answer to the request in work any more, its handling is cancelled, and the actor goes on.
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
    from .cell import Cell
    from .interception import Receive
    from .spec import Supervision

BATCH_S = 0.001
"""How long a batch may keep the loop before it yields: one step of about a millisecond."""


async def fail_start(cell: Cell, error: BaseException) -> None:
    """The task of an incarnation whose factory failed: there is no actor to run."""
    try:
        termination.handle_error(cell, error)
    finally:
        termination.begin_stopping(cell)
        cell.finish_incarnation()


async def run_with_children(cell: Cell, actor: Actor, context: Context, supervision: Supervision) -> None:
    """The task of one incarnation of an actor that has children: they live in its nursery."""
    try:
        async with trio.open_nursery() as nursery:
            cell.children = Children(cell, supervision, nursery)
            await runner_of(actor)(cell, actor, context)
    finally:
        cell.finish_incarnation()


async def run(cell: Cell, actor: Actor, context: Context) -> None:
    """The task of one incarnation, from its start hook to its stop hook."""
    cell.task = trio.lowlevel.current_task()
    if cell.mailbox.propagator is not None:
        cell.mailbox.propagator.reset()
    try:
        with cell.scope:
            if not cell.started:
                await _start(cell, actor, context)
            if not cell.declined:
                await _serve(cell, actor, context)
        while termination.renew_scope(cell):
            with cell.scope:
                await _serve(cell, actor, context)
    except BaseException as error:
        termination.handle_error(cell, error)
    finally:
        try:
            await _close_down(cell, actor, context)
        finally:
            if cell.children is None:
                cell.finish_incarnation()


def runner_of(actor: Actor) -> Callable[[Cell, Actor, Context], Awaitable[None]]:
    """What runs an incarnation of this actor; a lifespan costs a frame more, which only those with one pay."""
    return run if type(actor).lifespan is Actor.lifespan else run_in_lifespan


async def run_in_lifespan(cell: Cell, actor: Actor, context: Context) -> None:
    """As `live`, within the actor's lifespan.

    `life`, the scope around it, is what ends the actor while it enters and while it leaves; in between, the scopes of
    `live` do. All are entered and left in one task and in order, as what the lifespan opens is.
    """
    cell.task = trio.lowlevel.current_task()
    if cell.mailbox.propagator is not None:
        cell.mailbox.propagator.reset()
    life = cell.scope
    deadline = life.deadline = trio.current_time() + cell.spec.start_timeout_s
    entered = False
    try:
        with life, _report_if_overdue(cell):
            async with actor.lifespan(context):
                entered = True
                life.deadline = math.inf
                await _run_inside_lifespan(cell, actor, context, life, deadline)
        if not entered and life.cancelled_caught and not cell.killed and cell.stop_mode is None:
            raise StartTimeout(cell.path, cell.spec.start_timeout_s)
    except BaseException as error:
        if isinstance(error, Ignore) and not entered:
            cell.declined = True
        else:
            termination.handle_error(cell, error)
    finally:
        try:
            if not entered:
                await _close_down(cell, actor, context)
        finally:
            if cell.children is None:
                cell.finish_incarnation()


async def _run_inside_lifespan(
    cell: Cell, actor: Actor, context: Context, life: trio.CancelScope, deadline: float
) -> None:
    """Start, serve and close down inside of the lifespan, which sees what is raised."""
    reason: Exit | None = None
    try:
        if not life.cancel_called:
            cell.scope = trio.CancelScope()
            with cell.scope:
                await _start(cell, actor, context, deadline)
                if not cell.declined:
                    await _serve(cell, actor, context)
            while termination.renew_scope(cell):
                with cell.scope:
                    await _serve(cell, actor, context)
    except BaseException as error:
        passing, fault = termination.split_error(error)
        if fault is not None:
            termination.record_failure(cell, termination.as_exception(cell, fault))
        if passing is not None:
            if _cancelled_within(life):
                reason = KILLED  # the error that cancelled the lifespan is known when that is left
            else:
                cell.no_restart = True
                termination.kill(cell)
        raise
    finally:
        await _close_down(cell, actor, context, reason)
        life.shield = True  # as for the stop hook: to leave has what is left of the grace
        cell.scope = life
        if cell.killed:
            life.cancel()


def _cancelled_within(life: trio.CancelScope) -> bool:
    """Whether what is cancelled is something the lifespan opened, and nothing around it."""
    life.shield = True
    within = trio.current_effective_deadline() == -math.inf
    life.shield = False
    return within


@contextmanager
def _report_if_overdue(cell: Cell) -> Iterator[None]:
    """Tell if a start does not end though its time is over."""
    record = ShutdownOverdue(cell.path, termination.OVERDUE_S)
    after_s = cell.spec.start_timeout_s + termination.OVERDUE_S

    def tell() -> None:
        if cell.state is State.STARTING:
            cell.system.emit(record)

    lingers = cell.system.timers.after(after_s, tell)
    try:
        yield
    finally:
        lingers.cancel()


async def _start(cell: Cell, actor: Actor, context: Context, deadline: float | None = None) -> None:
    """Run the start hook within its time, then the children a supervisor was made with."""
    if type(actor).on_start is not Actor.on_start:
        timeout_s = cell.spec.start_timeout_s
        named = deadline is not None
        deadline = trio.current_time() + timeout_s if deadline is None else deadline
        try:
            with nullcontext() if named else _report_if_overdue(cell), trio.CancelScope(deadline=deadline) as scope:
                await actor.on_start(context)
        except Ignore:
            cell.declined = True
            return
        if scope.cancelled_caught:
            raise StartTimeout(cell.path, timeout_s)
    if cell.children is not None:
        for spec in actor.static_children():
            await cell.children.spawn_static(spec)
    cell.mark_started()


async def _serve(cell: Cell, actor: Actor, context: Context) -> None:
    """Take messages until the actor has to end, or the message in work was cancelled."""
    mailbox = cell.mailbox
    interceptors = cell.system.interceptors
    version = interceptors.version
    receive = _receive(cell, actor)
    idle = None if type(actor).on_idle is Actor.on_idle else actor.on_idle
    wait_task_rescheduled = trio.lowlevel.wait_task_rescheduled
    task = cell.task

    mailbox.interrupt = True
    while True:
        if mailbox.interrupt:
            mailbox.interrupt = False
            if version != interceptors.version:
                version = interceptors.version
                receive = _receive(cell, actor)
            await _drain_control(cell, receive, context)
            if cell.cancelling_current or termination.must_stop(cell):
                return
            if cell.control:
                mailbox.interrupt = True
                await trio.lowlevel.checkpoint()
                continue
        if cell.redeliveries:
            await _drain_redeliveries(cell, receive, context)
        elif mailbox.barriers is not None:
            await _drain_with_notices(cell, receive, context)
        elif len(mailbox.open_lanes) == 1:
            await _drain_lane(cell, receive, context)
        else:
            await _drain_lanes(cell, receive, context)
        if cell.cancelling_current:
            return
        cell.current = cell.stashed_current = None
        if idle is not None:
            await idle(context)
        if cell.redeliveries or mailbox.has_messages():
            await trio.lowlevel.checkpoint()
        elif not mailbox.interrupt:
            if cell.stop_mode is not None:
                return
            mailbox.parked = task
            await wait_task_rescheduled(mailbox.unpark)


def _receive(cell: Cell, actor: Actor) -> Receive:
    """The actor's `receive` with what stands around it."""
    receive = actor.receive if cell.spec.directives is None else _resuming(cell, actor)
    return cell.system.interceptors.around(cell.ref, receive)


def _resuming(cell: Cell, actor: Actor) -> Receive:
    """The actor's `receive`, going on after errors of the kinds its spec names."""

    async def receive(message: object, context: Context) -> None:
        try:
            await actor.receive(message, context)
        except Exception as error:
            if cell.spec.directive(unwrap(error)) is not Directive.RESUME:
                raise
            termination.resume_after(cell, unwrap(error))

    return receive


async def _drain_redeliveries(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch of what comes back."""
    mailbox = cell.mailbox
    end = perf_counter() + BATCH_S
    while cell.redeliveries and not mailbox.interrupt:
        entry = cell.redeliveries.take_oldest()
        if mailbox.propagator is not None:
            mailbox.propagator.restore(entry.values)
        cell.current_is_control = not entry.lasting
        cell.current = entry.message
        await receive(entry.message, context)
        cell.current_is_control = False
        cell.redeliveries.current = None
        if perf_counter() > end:
            return


async def _drain_lane(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch from the only lane in use."""
    mailbox = cell.mailbox
    queue = mailbox.open_lanes[0]
    items = queue.items
    end = perf_counter() + BATCH_S
    while items:
        if mailbox.interrupt:
            return
        cell.current = message = items.popleft()
        if queue.waiters:
            queue.admit()
        await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_lanes(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch from several lanes, in fair turns."""
    mailbox = cell.mailbox
    end = perf_counter() + BATCH_S
    while not mailbox.interrupt:
        cell.current = message = mailbox.take()
        if message is EMPTY:
            return
        await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_with_notices(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch of messages in fair turns, with each notice when what it stands behind is done."""
    mailbox = cell.mailbox
    end = perf_counter() + BATCH_S
    while mailbox.barriers is not None and not mailbox.interrupt:
        notice = mailbox.take_due_notice()
        if notice is not EMPTY:
            cell.current_is_control = True
            await _serve_control(cell, receive, context, notice)
            cell.current_is_control = False
        else:
            cell.current = message = mailbox.take()
            await receive(message, context)
        if perf_counter() > end:
            return


async def _drain_control(cell: Cell, receive: Receive, context: Context) -> None:
    """Serve what goes before all lanes: timers, requests to a supervisor, and notices of urgent watches."""
    if not cell.control:
        return
    cell.current_is_control = True
    end = perf_counter() + BATCH_S
    while cell.control and not (cell.cancelling_current or termination.must_stop(cell)):
        cell.stashed_current = None
        await _serve_control(cell, receive, context, cell.control.popleft())
        if perf_counter() > end:
            break
    if not cell.control:
        cell.control = None  # an empty queue is as large as an actor's cell
    if not cell.cancelling_current:
        cell.current = None
    cell.current_is_control = False


async def _serve_control(cell: Cell, receive: Receive, context: Context, item: Any) -> None:
    if isinstance(item, ChildrenRequest):
        item.execute(cell)
        return
    values: Values = ()
    if isinstance(item, ActorTimer):
        if cell.timers is None or cell.timers.get(item.key) is not item:
            return
        del cell.timers[item.key]
        item, values = item.message, item.values
    if cell.mailbox.propagator is not None:
        cell.mailbox.propagator.restore(values)
    if isinstance(item, VitalTerminated):
        notice = cell.current = item.notice
        cell.vital_watch = notice.ref
        await receive(notice, context)
        check_vital_watch(cell, notice)
        return
    cell.current = item
    await receive(item, context)


async def _close_down(cell: Cell, actor: Actor, context: Context, reason: Exit | None = None) -> None:
    """End the own tasks, then the children in reverse, then run the stop hook, with `reason` unless that is None."""
    termination.begin_stopping(cell)
    if cell.tasks is not None or cell.children is not None:
        with trio.CancelScope(shield=True):
            if cell.tasks is not None:
                await cell.tasks.close()
            if cell.children is not None:
                await cell.children.close()
                termination.arm_stop_hook_grace(cell)
    if type(actor).on_stop is Actor.on_stop:
        return
    try:
        with trio.CancelScope(shield=True) as cell.scope:
            if cell.killed:
                cell.scope.cancel()
            await actor.on_stop(context, cell.exit_reason() if reason is None else reason)
    except BaseException as error:
        termination.handle_error(cell, error)
