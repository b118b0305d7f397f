"""How an incarnation comes to its end: by an order, a kill, a failure, or the end of its grace.

1. A stop takes effect in every state, and only `AFTER_DRAIN` waits behind the backlog. The mailbox is sealed at once
   then, so no stream of messages keeps a draining actor from its end. A failure that the supervisor would survive
   does not end the drain: another incarnation handles the rest, without a delay, in what is left of the grace.
2. The grace is counted once for each incarnation. At its end the actor is killed; if it does not end even then, that is
   reported.
3. A cancelled request ends the handling of its message, not the incarnation.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import trio

from . import dead_letters
from .errors import RaisedBaseException, text_of, unwrap
from .events import ShutdownOverdue
from .exit_reasons import SHUTDOWN, Exit
from .lifecycle import State, Step, StopMode
from .spec import WORKER_SHUTDOWN_S
from .stash import discard_failed

if TYPE_CHECKING:
    from .cell import Cell
    from .incarnation import Incarnation

_PASS = (KeyboardInterrupt, SystemExit)
OVERDUE_S = 5.0
"""Seconds from a kill until an actor that has not ended is reported."""


def order_stop(cell: Cell, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
    """Order the actor to end. If `final`, it does not come back, whatever its restart type says."""
    if cell.buried:
        return
    life, drains = cell.incarnation, mode is StopMode.AFTER_DRAIN and cell.has_work()
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        if cell.restart_timer is not None:
            cell.restart_timer.cancel()
            cell.restart_timer = None
        if not drains or cell.state is State.STOPPED:
            cell.step(Step.END)
            if final:
                cell.host.retire(cell, reason)
            return
    life.no_restart = life.no_restart or final
    if life.stop_mode is None:
        life.stop_reason = reason
    if life.stopping:
        return
    begins = cell.state is State.STARTING and life.stop_mode is None and not drains
    life.stop_mode = mode if life.stop_mode is None or mode is StopMode.NOW else life.stop_mode
    if life.stop_mode is StopMode.AFTER_DRAIN:
        cell.mailbox.seal()
    _arm_grace(life)
    if cell.state is State.BACKING_OFF:
        continue_drain(cell)
        return
    if life.started or begins or mode is StopMode.NOW:
        cell.step(Step.END)  # else it starts, for what it drains
    if begins or mode is StopMode.NOW:
        life.scope.cancel()
    cell.mailbox.interrupt = True
    cell.mailbox.wake()


def continue_drain(cell: Cell) -> None:
    """Start another incarnation for what waits at an actor that drains. It has the rest of the grace, and no delay."""
    ended = cell.incarnation
    cell.start_incarnation()
    life = cell.incarnation
    life.no_restart, life.stop_mode, life.stop_reason = ended.no_restart, ended.stop_mode, ended.stop_reason
    if ended.grace_timer is not None:
        rest_s = max(0.0, ended.grace_timer.at - cell.system.timers.now())
        life.grace_timer = cell.system.timers.after(rest_s, partial(kill, cell))
    if life.started:
        cell.step(Step.END)


def kill(cell: Cell) -> None:
    """Cancel the actor and everything below it; harmless if no incarnation runs."""
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        return
    kill_alone(cell)
    if cell.children is not None:
        cell.system.reaper.kill_all(cell.children)


def kill_alone(cell: Cell) -> None:
    """Cancel the actor's own work and let it take no further message; leave its children alone."""
    life = cell.incarnation
    if not life.killed:
        _arm_overdue_report(life)
    life.killed = True
    cell.mailbox.interrupt = True
    life.scope.cancel()


def _arm_overdue_report(life: Incarnation) -> None:
    """Report the killed actor if it does not end: it keeps a thread, or swallows its cancellation."""
    if life.grace_timer is not None:
        life.grace_timer.cancel()
    system = life.cell.system
    life.grace_timer = system.timers.after(OVERDUE_S, partial(system.emit, ShutdownOverdue(life.cell.path, OVERDUE_S)))


def fail(cell: Cell, error: Exception) -> None:
    """Crash the actor from outside of `receive`: one of its tasks raised, or its children fail too often."""
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        return
    life = cell.incarnation
    life.record_failure(error)
    if not life.stopping:
        cell.mailbox.interrupt = True
        life.scope.cancel()


def handle_error(life: Incarnation, error: BaseException) -> None:
    """Record an error as the failure of the incarnation, and raise the part of it that must leave the tree."""
    passing, crash = split_error(error)
    if crash is not None:
        life.record_failure(as_exception(life.cell, crash))
    if passing is not None:
        life.no_restart = True
        kill(life.cell)
        raise passing


def split_error(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split an error into the part that must leave the tree and the part that is the actor's crash; either may be None.

    `Cancelled`, `KeyboardInterrupt` and `SystemExit` leave the tree: see `must_propagate`.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda inner: not isinstance(inner, BaseExceptionGroup) and must_propagate(inner))
    return (error, None) if must_propagate(error) else (None, error)


def as_exception(cell: Cell, error: BaseException) -> Exception:
    """Return the error for the supervisor to decide on, wrapped in `RaisedBaseException` if it is no `Exception`."""
    error = unwrap(error)
    if isinstance(error, Exception):
        return error
    wrapped = RaisedBaseException(cell.path, type(error).__name__)
    wrapped.__cause__ = error
    return wrapped


def must_propagate(error: BaseException) -> bool:
    """Whether the error must leave the tree instead of going to the supervisor.

    A `trio.Cancelled` does if a scope around the actor is cancelled. Otherwise it was kept, and raised outside of its
    scope: a crash. So is a `GeneratorExit`, unless Python throws it into the coroutine after the end of the trio run.
    """
    if isinstance(error, GeneratorExit):
        return not trio.lowlevel.in_trio_run()
    if isinstance(error, trio.Cancelled):
        return trio.current_effective_deadline() == -math.inf
    return isinstance(error, _PASS)


def resume_after(life: Incarnation, error: Exception) -> None:
    """Let the actor go on after an error: its message is skipped, and its caller gets the error."""
    cell = life.cell
    cell.last_error = cell.system.redacted(text_of(error))
    cell.host.resumed(cell, error)
    if life.stashed_current is not None:
        discard_failed(cell)
    dead_letters.fail_request(life.current, error)


def begin_stopping(life: Incarnation) -> None:
    """Mark the work as over: the stop hook comes next. Start the grace unless a stop or a kill has done so."""
    life.stopping = True
    life.cell.step(Step.END)
    if life.killed:
        return
    if life.grace_timer is not None and life.cell.children is not None and life.cell.spec.shutdown_s is None:
        life.grace_timer.cancel()
    else:
        _arm_grace(life)


def _arm_grace(life: Incarnation) -> None:
    """Start the grace, once for each incarnation; at its end the actor is killed.

    An actor with children and no grace of its own waits for them without limit. Its own current message gets a worker's
    grace all the same: otherwise one handler that hangs would hold up the whole tree for ever.
    """
    if life.grace_timer is not None or life.killed:
        return
    cell, timers, seconds = life.cell, life.cell.system.timers, life.cell.spec.shutdown_s
    if seconds is None and cell.children is not None:
        life.grace_timer = None if life.stopping else timers.after(WORKER_SHUTDOWN_S, partial(kill_alone, cell))
    elif seconds is None:
        life.grace_timer = timers.after(WORKER_SHUTDOWN_S, partial(kill, cell))
    elif seconds <= 0:
        kill(cell)
    elif seconds != math.inf:
        life.grace_timer = timers.after(seconds, partial(kill, cell))
