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
from .events import ActorLingers
from .exit_reasons import SHUTDOWN, Exit
from .lifecycle import State, Step, StopMode
from .spec import SUPERVISOR_SHUTDOWN_S, WORKER_SHUTDOWN_S
from .stash import take_out_failed

if TYPE_CHECKING:
    from .cell import Cell

_PASS = (KeyboardInterrupt, SystemExit, GeneratorExit)
LINGER_S = 5.0
"""An actor that was killed and has not ended after this time is reported."""


def order_stop(cell: Cell, mode: StopMode, *, final: bool = True, reason: Exit = SHUTDOWN) -> None:
    """Tell the actor to end. `final`: whatever its restart type says, it does not come back."""
    if cell.buried:
        return
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        if cell.retry is not None:
            cell.retry.cancel()
            cell.retry = None
        cell.step(Step.END)
        if final:
            cell.host.give_up(cell, reason)
        return
    cell.final = cell.final or final
    if cell.mode is None:
        cell.stop_reason = reason
    if cell.leaving:
        return
    starting = cell.state is State.STARTING
    cell.step(Step.END)
    cell.mode = mode if cell.mode is None or mode is StopMode.NOW else cell.mode
    if cell.mode is StopMode.AFTER_DRAIN:
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
    condemn(cell)
    if cell.family is not None:
        cell.system.reaper.kill_all(cell.family)


def condemn(cell: Cell) -> None:
    """Cancel the actor's own work, and take no further message."""
    if not cell.killed:
        _expect_the_end(cell)
    cell.killed = True
    cell.mailbox.interrupt = True
    cell.scope.cancel()


def _expect_the_end(cell: Cell) -> None:
    """Tell when an actor that was killed does not end: it holds on to a thread, or swallows its cancellation."""
    if cell.grace is not None:
        cell.grace.cancel()
    record = ActorLingers(cell.path, LINGER_S)
    cell.grace = cell.system.timers.after(LINGER_S, partial(cell.system.emit, record))


def goes_on(cell: Cell) -> bool:
    """Whether the scope was cancelled for one message only; makes a new one then."""
    if not cell.skipping or cell.killed or cell.fault is not None or cell.mode is StopMode.NOW:
        return False
    cell.skipping = cell.on_control = False
    cell.current = cell.kept_now = None
    if cell.again is not None:
        cell.again.in_work = None
    cell.scope = trio.CancelScope()
    return True


def fail(cell: Cell, error: Exception) -> None:
    """Crash from outside of `receive`: an own task raised, or the children fail too often."""
    if cell.state in (State.STOPPED, State.BACKING_OFF):
        return
    note_fault(cell, error)
    if not cell.leaving:
        cell.mailbox.interrupt = True
        cell.scope.cancel()


def note_fault(cell: Cell, error: Exception) -> None:
    """Remember the first error of this incarnation. One that comes after a kill is told of, and was not the reason."""
    if cell.fault is None:
        cell.fault = error
        cell.killed_first = cell.killed


def take_error(cell: Cell, error: BaseException) -> None:
    """Make an error the fault of the incarnation; or pass it on, when it is for those above the tree."""
    passing, fault = part(error)
    if fault is not None:
        note_fault(cell, as_fault(cell, fault))
    if passing is not None:
        cell.final = True
        kill(cell)
        raise passing


def part(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What of an error is for those above the tree, and what is the actor's own; either may be None."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(lambda inner: not isinstance(inner, BaseExceptionGroup) and passes(inner))
    return (error, None) if passes(error) else (None, error)


def as_fault(cell: Cell, error: BaseException) -> Exception:
    """The error as what a supervisor decides on: one that is no `Exception` becomes the cause of one."""
    error = unwrap(error)
    if isinstance(error, Exception):
        return error
    fault = RaisedBaseException(cell.path, type(error).__name__)
    fault.__cause__ = error
    return fault


def passes(error: BaseException) -> bool:
    """Whether the error is for those above the tree, not for the supervisor.

    A `trio.Cancelled` is, unless nothing around the actor is cancelled: then it was kept, and raised outside its scope.
    """
    if isinstance(error, trio.Cancelled):
        return trio.current_effective_deadline() == -math.inf
    return isinstance(error, _PASS)


def resume(cell: Cell, error: Exception) -> None:
    """Go on after an error: its message is skipped, and its caller told."""
    cell.last_error = cell.system.redacted(text_of(error))
    cell.host.resumed(cell, error)
    if cell.kept_now is not None:
        take_out_failed(cell)
    dead_letters.refuse(cell.current, error)


def must_leave(cell: Cell) -> bool:
    """Whether the next message is not to be taken."""
    return cell.killed or cell.fault is not None or cell.mode in (StopMode.NOW, StopMode.AFTER_MESSAGE)


def leave(cell: Cell) -> None:
    """The work is over; the stop hook comes next. Starts the grace of an end that nobody ordered."""
    cell.leaving = True
    cell.step(Step.END)
    if cell.killed:
        return
    if _waits_for_children(cell) and cell.grace is not None:
        cell.grace.cancel()
    else:
        _arm_grace(cell)


def children_ended(cell: Cell) -> None:
    """Only the stop hook is left: without a grace of its own, the actor has a worker's for it."""
    if _waits_for_children(cell) and not cell.killed:
        cell.grace = cell.system.timers.after(WORKER_SHUTDOWN_S, partial(kill, cell))


def _arm_grace(cell: Cell) -> None:
    """Start to count the grace, once for each incarnation; at its end the actor is killed.

    An actor with children and no grace of its own waits for them without limit, but its own message in work gets
    no more time than a worker's: else one that hangs would hold up the whole tree for ever.
    """
    if cell.grace is not None or cell.killed:
        return
    timers, seconds = cell.system.timers, grace_s(cell)
    if _waits_for_children(cell):
        cell.grace = None if cell.leaving else timers.after(WORKER_SHUTDOWN_S, partial(condemn, cell))
    elif seconds <= 0:
        kill(cell)
    elif seconds != math.inf:
        cell.grace = timers.after(seconds, partial(kill, cell))


def _waits_for_children(cell: Cell) -> bool:
    return cell.family is not None and cell.spec.shutdown_s is None


def grace_s(cell: Cell) -> float:
    """The grace in seconds: the spec's, else the default of a worker or of a supervisor."""
    if cell.spec.shutdown_s is not None:
        return cell.spec.shutdown_s
    return WORKER_SHUTDOWN_S if cell.family is None else SUPERVISOR_SHUTDOWN_S
