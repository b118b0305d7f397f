"""How an incarnation comes to its end: told to, killed, failed, or out of grace.

1. A stop takes effect in every state, and never waits behind the backlog unless it was asked to. Then the mailbox is
   closed at once: no stream of messages keeps an actor that drains from its end.
2. The grace is counted once for each incarnation. At its end the actor is killed; one that does not end even then is
   named.
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
from .spec import SUPERVISOR_SHUTDOWN_S, WORKER_SHUTDOWN_S
from .stash import discard_failed

if TYPE_CHECKING:
    from .cell import Cell

_PASS = (KeyboardInterrupt, SystemExit, GeneratorExit)
OVERDUE_S = 5.0
"""An actor that was killed and has not ended after this time is reported."""


def order_stop(cell: Cell, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
    """Tell the actor to end. `final`: whatever its restart type says, it does not come back."""
    if cell.buried:
        return
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        if cell.restart_timer is not None:
            cell.restart_timer.cancel()
            cell.restart_timer = None
        cell.step(Step.END)
        if final:
            cell.host.retire(cell, reason)
        return
    cell.no_restart = cell.no_restart or final
    if cell.stop_mode is None:
        cell.stop_reason = reason
    if cell.stopping:
        return
    starting = cell.state is State.STARTING
    cell.step(Step.END)
    cell.stop_mode = mode if cell.stop_mode is None or mode is StopMode.NOW else cell.stop_mode
    if cell.stop_mode is StopMode.AFTER_DRAIN:
        cell.mailbox.seal()
    _arm_grace(cell)
    if starting or mode is StopMode.NOW:
        cell.scope.cancel()
    cell.mailbox.interrupt = True
    cell.mailbox.wake()


def kill(cell: Cell) -> None:
    """Cancel hard, with everything below; harmless when nothing runs."""
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        return
    kill_alone(cell)
    if cell.children is not None:
        cell.system.reaper.kill_all(cell.children)


def kill_alone(cell: Cell) -> None:
    """Cancel the actor's own work, and take no further message."""
    if not cell.killed:
        _arm_overdue_report(cell)
    cell.killed = True
    cell.mailbox.interrupt = True
    cell.scope.cancel()


def _arm_overdue_report(cell: Cell) -> None:
    """Tell when an actor that was killed does not end: it holds on to a thread, or swallows its cancellation."""
    if cell.grace_timer is not None:
        cell.grace_timer.cancel()
    record = ShutdownOverdue(cell.path, OVERDUE_S)
    cell.grace_timer = cell.system.timers.after(OVERDUE_S, partial(cell.system.emit, record))


def renew_scope(cell: Cell) -> bool:
    """Whether the scope was cancelled for one message only; makes a new one then."""
    if not cell.cancelling_current or cell.killed or cell.failure is not None or cell.stop_mode is StopMode.NOW:
        return False
    cell.cancelling_current = cell.current_is_control = False
    cell.current = cell.stashed_current = None
    if cell.redeliveries is not None:
        cell.redeliveries.current = None
    cell.scope = trio.CancelScope()
    return True


def fail(cell: Cell, error: Exception) -> None:
    """Crash from outside of `receive`: an own task raised, or the children fail too often."""
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        return
    record_failure(cell, error)
    if not cell.stopping:
        cell.mailbox.interrupt = True
        cell.scope.cancel()


def record_failure(cell: Cell, error: Exception) -> None:
    """Remember the first error of this incarnation. One that comes after a kill is told of, and was not the reason."""
    if cell.failure is None:
        cell.failure = error
        cell.killed_before_failure = cell.killed


def handle_error(cell: Cell, error: BaseException) -> None:
    """Make an error the fault of the incarnation; or pass it on, when it is for those above the tree."""
    passing, fault = split_error(error)
    if fault is not None:
        record_failure(cell, as_exception(cell, fault))
    if passing is not None:
        cell.no_restart = True
        kill(cell)
        raise passing


def split_error(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What of an error is for those above the tree, and what is the actor's own; either may be None."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda inner: not isinstance(inner, BaseExceptionGroup) and must_propagate(inner))
    return (error, None) if must_propagate(error) else (None, error)


def as_exception(cell: Cell, error: BaseException) -> Exception:
    """The error as what a supervisor decides on: one that is no `Exception` becomes the cause of one."""
    error = unwrap(error)
    if isinstance(error, Exception):
        return error
    fault = RaisedBaseException(cell.path, type(error).__name__)
    fault.__cause__ = error
    return fault


def must_propagate(error: BaseException) -> bool:
    """Whether the error is for those above the tree, not for the supervisor.

    A `trio.Cancelled` is, unless nothing around the actor is cancelled: then it was kept, and raised outside its scope.
    """
    if isinstance(error, trio.Cancelled):
        return trio.current_effective_deadline() == -math.inf
    return isinstance(error, _PASS)


def resume_after(cell: Cell, error: Exception) -> None:
    """Go on after an error: its message is skipped, and its caller told."""
    cell.last_error = cell.system.redacted(text_of(error))
    cell.host.resumed(cell, error)
    if cell.stashed_current is not None:
        discard_failed(cell)
    dead_letters.fail_request(cell.current, error)


def must_stop(cell: Cell) -> bool:
    """Whether the next message is not to be taken."""
    return cell.killed or cell.failure is not None or cell.stop_mode in (StopMode.NOW, StopMode.AFTER_MESSAGE)


def begin_stopping(cell: Cell) -> None:
    """The work is over; the stop hook comes next. Starts the grace of an end that nobody ordered."""
    cell.stopping = True
    cell.step(Step.END)
    if cell.killed:
        return
    if _waits_for_children(cell) and cell.grace_timer is not None:
        cell.grace_timer.cancel()
    else:
        _arm_grace(cell)


def arm_stop_hook_grace(cell: Cell) -> None:
    """Only the stop hook is left: without a grace of its own, the actor has a worker's for it."""
    if _waits_for_children(cell) and not cell.killed:
        cell.grace_timer = cell.system.timers.after(WORKER_SHUTDOWN_S, partial(kill, cell))


def _arm_grace(cell: Cell) -> None:
    """Start to count the grace, once for each incarnation; at its end the actor is killed.

    An actor with children and no grace of its own waits for them without limit, but its own message in work gets
    no more time than a worker's: else one that hangs would hold up the whole tree for ever.
    """
    if cell.grace_timer is not None or cell.killed:
        return
    timers, seconds = cell.system.timers, grace_s(cell)
    if _waits_for_children(cell):
        cell.grace_timer = None if cell.stopping else timers.after(WORKER_SHUTDOWN_S, partial(kill_alone, cell))
    elif seconds <= 0:
        kill(cell)
    elif seconds != math.inf:
        cell.grace_timer = timers.after(seconds, partial(kill, cell))


def _waits_for_children(cell: Cell) -> bool:
    return cell.children is not None and cell.spec.shutdown_s is None


def grace_s(cell: Cell) -> float:
    """The grace in seconds: the spec's, else the default of a worker or of a supervisor."""
    if cell.spec.shutdown_s is not None:
        return cell.spec.shutdown_s
    return WORKER_SHUTDOWN_S if cell.children is None else SUPERVISOR_SHUTDOWN_S
