"""The message loop of an actor: batches from its inbox, and the wait for the next message.

1. A batch ends with one checkpoint or one wait. It takes about a millisecond, unless one message takes longer.
2. Control comes first, then redelivered messages, then the lanes.
3. The loop returns when the actor has to end, and when its current message is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import trio

from .cell import Cell
from .mailbox import EMPTY

BATCH_S = 0.001
"""Seconds after which a batch yields to other tasks."""
Receive = Callable[[Any, Any], Awaitable[None]]
Control = Callable[[Cell, Receive, Any, Any], Awaitable[None]]
"""Serves one item of the control queue, or one notice."""


async def serve(
    cell: Cell,
    context: object,
    receiver: Callable[[Cell], Receive],
    serve_control: Control,
    idle: Callable[[Any], Awaitable[None]] | None,
) -> None:
    """Take messages until the actor has to end, or its current message is cancelled.

    `receiver` returns the function that handles them; it is called again when the interceptors change. `idle` is called
    after each batch.
    """
    life, inbox, system = cell.incarnation, cell.inbox, cell.system
    receive = receiver(cell)
    version = system.interceptors_version
    task, wait_task_rescheduled = trio.lowlevel.current_task(), trio.lowlevel.wait_task_rescheduled

    inbox.interrupt = True
    while True:
        if inbox.interrupt:
            inbox.interrupt = False
            if version != system.interceptors_version:
                version = system.interceptors_version
                receive = receiver(cell)
            if inbox.control:
                await _drain_control(cell, receive, context, serve_control)
            if life.cancelling_current or life.ending.before_next_message:
                return
            if inbox.control:
                inbox.interrupt = True
                await trio.lowlevel.checkpoint()
                continue
        if inbox.redeliveries:
            await _drain_redeliveries(cell, receive, context)
        elif inbox.barriers is not None or len(inbox.open_lanes) > 1:
            await _drain_lanes(cell, receive, context, serve_control)
        else:
            for queue in inbox.open_lanes:  # no function of its own: its coroutine would cost a tenth of a wake-up
                end = perf_counter() + BATCH_S if len(queue.items) > 1 else 0.0
                while queue.items and not inbox.interrupt:
                    inbox.current = queue.items.popleft()
                    if queue.waiters:
                        queue.admit()
                    await receive(inbox.current, context)
                    if queue.items:
                        end = end or perf_counter() + BATCH_S
                        if perf_counter() > end:
                            break
        if life.cancelling_current:
            return
        inbox.current = inbox.stashed_current = None
        if idle is not None:
            await idle(context)
        if not (inbox.interrupt or inbox.redeliveries) and life.ending.stop_mode is None and inbox.park(task):
            await wait_task_rescheduled(inbox.unpark)
        elif inbox.redeliveries or inbox.has_messages():
            await trio.lowlevel.checkpoint()
        elif not inbox.interrupt:
            return


async def _drain_control(cell: Cell, receive: Receive, context: object, serve_control: Control) -> None:
    """Serve one batch of the control queue: timers, requests to a supervisor, and notices of urgent watches."""
    life, inbox = cell.incarnation, cell.inbox
    inbox.current_is_control = True
    end = perf_counter() + BATCH_S
    while inbox.control and not (life.cancelling_current or life.ending.before_next_message):
        inbox.stashed_current = None
        await serve_control(cell, receive, context, inbox.control.popleft())
        if perf_counter() > end:
            break
    if not inbox.control:
        inbox.control = None  # an empty deque takes as much memory as a cell
    if not life.cancelling_current:
        inbox.current = None
    inbox.current_is_control = False


async def _drain_redeliveries(cell: Cell, receive: Receive, context: object) -> None:
    """Handle one batch of unstashed and redelivered messages."""
    inbox = cell.inbox
    end = perf_counter() + BATCH_S
    while inbox.redeliveries and not inbox.interrupt:
        entry = inbox.redeliveries.take_oldest()
        if inbox.propagator is not None:
            inbox.propagator.restore(entry.values)
        inbox.current_is_control = not entry.lasting
        inbox.current = entry.message
        await receive(entry.message, context)
        inbox.current_is_control = False
        inbox.redeliveries.current = None
        if perf_counter() > end:
            return


async def _drain_lanes(cell: Cell, receive: Receive, context: object, serve_control: Control) -> None:
    """Handle one batch from all lanes in fair order, and each notice once the messages before it are handled."""
    inbox = cell.inbox
    end = perf_counter() + BATCH_S
    while not inbox.interrupt:
        if inbox.barriers is not None and (notice := inbox.take_due_notice()) is not EMPTY:
            inbox.current_is_control = True
            await serve_control(cell, receive, context, notice)
            inbox.current_is_control = False
        else:
            inbox.current = message = inbox.take()
            if message is EMPTY:
                return
            await receive(message, context)
        if perf_counter() > end:
            return
