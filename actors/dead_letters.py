"""What becomes of messages that their actor will not handle: dead letters, and callers who are told.

1. A request somebody waits for ends in its caller, as an error, and is no dead letter.
2. A message lost in any other way is a dead letter, once.
3. A message that its actor crashed on is not handled again, unless the spec asks for that; then a bounded number of
   times, and the last failure makes it a dead letter.
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
    """The incarnation ended over a message: the next one gets it again, unless too many have tried.

    What came before all lanes, and what somebody was waiting for, is not given again.
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
    """One more message for a full or a conflating lane, or for an actor that drains or is dead.

    Raises `MailboxFull` when the policy keeps what it has, and `WrongLoop`.
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
    """A message that waited when its actor ended for good."""
    _lose(cell, lane.name.lower(), message, "stopped", death_error(cell))


def fail_request(request: object, error: Exception) -> None:
    """Fail the call of a request, if this is one that was asked and is not answered."""
    call = call_of(request)
    if call is not None and not call.settled:
        call.settle(None, error)


def fail_calls_in_work(cell: Cell, reason: Exit) -> None:
    """An incarnation ended: fail the calls it took; those that still wait in the mailbox go on waiting."""
    if cell.calls:
        queued = {id(message) for message in cell.mailbox.waiting()} | {id(item) for item in cell.control or ()}
        queued |= {id(entry.message) for entry in entries_of(cell)}
        fail_calls(cell, [call for call in cell.calls if id(call.request) not in queued], reason)


def fail_calls(cell: Cell, calls: Iterable[Call], reason: Exit) -> None:
    """Tell each caller that the actor ended."""
    for call in tuple(calls):
        call.settle(None, _died(cell.path, reason))


def death_error(cell: Cell) -> ActorDied:
    """The error for somebody who asks an actor that is dead, or will be when it has drained."""
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
