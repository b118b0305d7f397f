"""What becomes of messages that their actor will not handle: dead letters, and callers who are told.

1. A request somebody waits for ends in its caller, as an error, and is no dead letter.
2. A message lost in any other way is a dead letter, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .ask import Ask, Call, call_of
from .errors import ActorDied, MailboxFull
from .exits import Crashed, Exit
from .mailbox import Lane, LaneQueue, Overflow
from .records import DeadLetter

if TYPE_CHECKING:
    from .cell import Cell


def overflow(cell: Cell, queue: LaneQueue, message: object) -> None:
    """One more message for a full lane, or for a dead actor. Raises `MailboxFull` when the policy keeps what it has."""
    lane = queue.lane.name.lower()
    if cell.mailbox.closed:
        _lose(cell, lane, message, "dead", death(cell))
    elif queue.overflow in (Overflow.WAIT, Overflow.REJECT):
        queue.rejected += 1
        raise MailboxFull(cell.path, lane, queue.capacity)
    else:
        lost = cell.mailbox.displace(queue, message)
        _lose(cell, lane, lost, "overflow", MailboxFull(cell.path, lane, queue.capacity))


def bury_message(cell: Cell, message: object, lane: Lane) -> None:
    """A message that waited when its actor ended for good."""
    _lose(cell, lane.name.lower(), message, "stopped", death(cell))


def refuse(request: Ask[Any], error: Exception) -> None:
    """Fail the call of a request, if it is one that was asked and is not answered."""
    call = call_of(request)
    if call is not None and not call.settled:
        call.settle(None, error)


def fail_calls_in_work(cell: Cell, reason: Exit) -> None:
    """An incarnation ended: fail the calls it took; those that still wait in the mailbox go on waiting."""
    if cell.calls:
        queued = cell.mailbox.queued()
        fail_calls(cell, [call for call in cell.calls if id(call.request) not in queued], reason)


def fail_calls(cell: Cell, calls: Iterable[Call], reason: Exit) -> None:
    """Tell each caller that the actor ended."""
    for call in tuple(calls):
        call.settle(None, _died(cell.path, reason))


def death(cell: Cell) -> ActorDied:
    """The error for somebody who asks a dead actor."""
    return _died(cell.path, cell.exit)


def _lose(cell: Cell, lane: str, message: object, why: str, error: Exception) -> None:
    if isinstance(message, Ask) and call_of(message) is not None:
        refuse(message, error)
    else:
        cell.system.dead_letter(DeadLetter(cell.path, lane, message, why))


def _died(path: str, reason: Exit | None) -> ActorDied:
    error = ActorDied(path, reason)
    if isinstance(reason, Crashed):
        error.__cause__ = reason.error
    return error
