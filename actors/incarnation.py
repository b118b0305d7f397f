"""What runs in the task of one incarnation: start, serve, close down.

1. `trio.Cancelled`, `KeyboardInterrupt` and `SystemExit` pass through; only `Exception` is a crash.
2. The stop hook runs once if there is an actor, however the incarnation ends. It has what is left of the grace; when
   nothing is left, it is cancelled at its first await.
3. A batch ends with one checkpoint or one wait, and takes about a millisecond at most.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import trio

from .actor import Actor, ActorTimer
from .errors import Ignore, StartTimeout, unwrap
from .family import Family, FamilyRequest
from .mailbox import EMPTY
from .spec import Directive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .actor import Context
    from .cell import Cell
    from .spec import Supervision

    Receive = Callable[[object, Context], Awaitable[None]]

BATCH_S = 0.001
"""How long a batch may keep the loop before it yields: one step of about a millisecond."""
_LOOK_AT_CLOCK_EVERY = 8
"""Messages between two looks at the clock: a look costs about a tenth of a message."""


async def never_live(cell: Cell) -> None:
    """The task of an incarnation whose factory failed: there is no actor to run."""
    cell.leave()
    cell.ended()


async def live_with_children(cell: Cell, actor: Actor, context: Context, supervision: Supervision) -> None:
    """The task of one incarnation of an actor that has children: they live in its nursery."""
    try:
        async with trio.open_nursery() as nursery:
            cell.family = Family(cell, supervision, nursery)
            await live(cell, actor, context)
    finally:
        cell.ended()


async def live(cell: Cell, actor: Actor, context: Context) -> None:
    """The task of one incarnation, from its start hook to its stop hook."""
    cell.task = trio.lowlevel.current_task()
    try:
        with cell.scope:
            await _start(cell, actor, context)
            if not cell.declined:
                await _serve(cell, actor, context)
    except Exception as error:
        cell.note_fault(unwrap(error))
    except BaseException:
        cell.kill()
        raise
    finally:
        await _close_down(cell, actor, context)
        if cell.family is None:
            cell.ended()


async def _start(cell: Cell, actor: Actor, context: Context) -> None:
    """Run the start hook within its time, then the children a supervisor was made with."""
    if type(actor).on_start is not Actor.on_start:
        timeout_s = cell.spec.start_timeout_s
        try:
            with trio.CancelScope(deadline=trio.current_time() + timeout_s) as scope:
                await actor.on_start(context)
        except Ignore:
            cell.declined = True
            return
        if scope.cancelled_caught:
            raise StartTimeout(cell.path, timeout_s)
    if cell.family is not None:
        for spec in actor.static_children():
            await cell.family.start_static(spec)
    cell.started()


async def _serve(cell: Cell, actor: Actor, context: Context) -> None:
    """Take messages until the actor has to end."""
    mailbox = cell.mailbox
    receive = actor.receive if cell.spec.directives is None else _resuming(cell, actor)
    idle = None if type(actor).on_idle is Actor.on_idle else actor.on_idle
    wait_task_rescheduled = trio.lowlevel.wait_task_rescheduled
    task = cell.task

    def unpark(_: object) -> trio.lowlevel.Abort:
        mailbox.parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    mailbox.interrupt = True
    while True:
        if mailbox.interrupt:
            mailbox.interrupt = False
            if cell.control and not cell.must_leave():
                await _serve_control(cell, receive, context)
            if cell.must_leave():
                return
        if len(mailbox.open_lanes) == 1:
            await _drain_lane(cell, receive, context)
        else:
            await _drain_lanes(cell, receive, context)
        cell.current = None
        if idle is not None:
            await idle(context)
        if mailbox.has_messages():
            await trio.lowlevel.checkpoint()
        elif not mailbox.interrupt:
            if cell.mode is not None:
                return
            mailbox.parked = task
            await wait_task_rescheduled(unpark)


def _resuming(cell: Cell, actor: Actor) -> Receive:
    """The actor's `receive`, going on after errors of the kinds its spec names."""

    async def receive(message: object, context: Context) -> None:
        try:
            await actor.receive(message, context)
        except Exception as error:
            if cell.spec.directive(unwrap(error)) is not Directive.RESUME:
                raise
            cell.resume(unwrap(error))

    return receive


async def _drain_lane(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch from the only lane in use."""
    mailbox = cell.mailbox
    queue = mailbox.open_lanes[0]
    items = queue.items
    end = perf_counter() + BATCH_S
    served = 0
    while items:
        if mailbox.interrupt:
            return
        cell.current = message = items.popleft()
        if queue.waiters:
            queue.admit()
        await receive(message, context)
        served += 1
        if not served % _LOOK_AT_CLOCK_EVERY and perf_counter() > end:
            return


async def _drain_lanes(cell: Cell, receive: Receive, context: Context) -> None:
    """One batch from several lanes, in fair turns."""
    mailbox = cell.mailbox
    end = perf_counter() + BATCH_S
    served = 0
    while not mailbox.interrupt:
        cell.current = message = mailbox.take()
        if message is EMPTY:
            return
        await receive(message, context)
        served += 1
        if not served % _LOOK_AT_CLOCK_EVERY and perf_counter() > end:
            return


async def _serve_control(cell: Cell, receive: Receive, context: Context) -> None:
    """Serve what goes before all lanes: notices, timers, and requests to a supervisor."""
    while cell.control and not cell.must_leave():
        item = cell.control.popleft()
        if isinstance(item, FamilyRequest):
            item.carry_out(cell)
            continue
        if isinstance(item, ActorTimer):
            if cell.timers is None or cell.timers.get(item.key) is not item:
                continue
            del cell.timers[item.key]
            item = item.message
        cell.current = item
        await receive(item, context)
    cell.current = None


async def _close_down(cell: Cell, actor: Actor, context: Context) -> None:
    """End the own tasks, then the children in reverse, then run the stop hook."""
    cell.leave()
    with trio.CancelScope(shield=True):
        if cell.tasks is not None:
            await cell.tasks.close()
        if cell.family is not None:
            await cell.family.close()
            cell.children_ended()
    if type(actor).on_stop is Actor.on_stop:
        return
    try:
        with trio.CancelScope(shield=True) as cell.scope:
            if cell.killed:
                cell.scope.cancel()
            await actor.on_stop(context, cell.verdict())
    except Exception as error:
        cell.note_fault(unwrap(error))
