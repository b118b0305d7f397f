"""Messages that their actor will not handle: dead letters, and errors for callers.

1. A request whose caller waits ends in that caller as an error, and is no dead letter.
2. A message lost in any other way becomes a dead letter, once.
3. A message that crashed its actor is handled again only if the spec has `redeliver`, and then at most that many times;
   the last failure makes it a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .ask import Call, call_of
from .errors import ActorDied, MailboxFull
from .events import DeadLetter
from .exit_reasons import Crashed, Exit
from .lanes import Lane, LaneQueue, Overflow
from .stash import StashEntry, current_entry, entries_of, redeliver

if TYPE_CHECKING:
    from .cell import Cell


def redeliver_crashed(cell: Cell, reason: Exit) -> None:
    """Queue the message that crashed this incarnation for the next one, or make it a dead letter after too many tries.

    Timers, notices and requests whose callers waited are not redelivered.
    """
    life = cell.incarnation
    message = life.current
    if message is None or life.current_is_control or call_of(message) is not None:
        return
    entry = current_entry(cell, message) or StashEntry(cell, message)
    entry.history = (*entry.history, cell.last_error or str(reason))
    if len(entry.history) > cell.spec.redeliver:
        cell.system.dead_letter(DeadLetter(cell.path, "again", message, "poison", entry.history))
    else:
        redeliver(cell, [entry])


def handle_overflow(cell: Cell, queue: LaneQueue, message: object) -> None:
    """Handle a message that `tell` could not append: the lane is full or conflates, or the actor drains or is dead.

    Raises `MailboxFull` if the policy is `WAIT` or `REJECT`, and `WrongLoop`.
    """
    cell.mailbox.check_loop()
    lane = queue.lane.name.lower()
    if cell.mailbox.closed:
        _lose(cell, lane, message, "dead" if cell.buried else "stopping", death_error(cell))
    elif queue.replace(message):
        cell.mailbox.wake()
    elif queue.overflow in (Overflow.WAIT, Overflow.REJECT):
        queue.rejected += 1
        raise MailboxFull(cell.path, lane, queue.bound)
    else:
        lost = queue.displace(message)
        _lose(cell, lane, lost, "overflow", MailboxFull(cell.path, lane, queue.bound))


def bury_message(cell: Cell, message: object, lane: Lane) -> None:
    """Handle a message that waited when its actor ended for good."""
    _lose(cell, lane.name.lower(), message, "stopped", death_error(cell))


def fail_request(request: object, error: Exception) -> None:
    """Fail the call of a request if it was asked and is not answered."""
    call = call_of(request)
    if call is not None and not call.settled:
        call.settle(None, error)


def fail_calls_in_work(cell: Cell, reason: Exit) -> None:
    """Fail the calls that the ended incarnation had taken; those that still wait in the mailbox go on waiting."""
    queued = {id(message) for message in cell.mailbox.waiting()} | {id(item) for item in cell.control or ()}
    queued |= {id(entry.message) for entry in entries_of(cell)}
    fail_calls(cell, [call for call in cell.calls or () if id(call.request) not in queued], reason)


def fail_calls(cell: Cell, calls: Iterable[Call], reason: Exit) -> None:
    """Fail each call with `ActorDied`."""
    for call in tuple(calls):
        call.settle(None, _died(cell.path, reason))


def death_error(cell: Cell) -> ActorDied:
    """Return the error for a request to an actor that is dead or drains."""
    drains = cell.mailbox.closed and not cell.buried
    return _died(cell.path, cell.incarnation.stop_reason if drains else cell.exit)


def _lose(cell: Cell, lane: str, message: object, why: str, error: Exception) -> None:
    if call_of(message) is not None:
        fail_request(message, error)
    else:
        cell.system.dead_letter(DeadLetter(cell.path, lane, message, why))


def _died(path: str, reason: Exit | None) -> ActorDied:
    error = ActorDied(path, reason)
    if isinstance(reason, Crashed):
        error.__cause__ = reason.error
    return error
