"""Stashed messages: an actor sets them aside, and handles them later, before its mailbox.

1. Unstashed messages are handled one by one like any other: each can be cancelled, crash the actor, be redelivered and
   be reported. Only the control queue is served before them.
2. They are unstashed in the order in which they were stashed; one that is stashed again keeps its position.
3. A stashed message still waits: a request keeps its caller waiting, and is removed if the caller leaves; a message
   outlives a crash and is handed to the next incarnation first, in order. When the actor ends for good, requests fail
   and messages become dead letters.
4. A message that crashes the actor is not kept, even if it was stashed before that: it is the failed message.
5. A timer's message or a notice belongs to its incarnation, and is dropped with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, count
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from .ask import call_of
from .checks import check_count
from .errors import ActorDied, ActorError
from .events import DeadLetter

if TYPE_CHECKING:
    from .actor import Context
    from .cell import Cell

STASH_CAPACITY = 1024
"""Default capacity of a stash in messages, that of a lane. `stash` raises `StashFull` beyond it."""


@define
class StashFull(ActorError, trio.WouldBlock):
    """The stash is full. The message was not stashed: it is still the current message."""

    path: str
    capacity: int

    def __str__(self) -> str:
        return f"{self.path}: the stash holds {self.capacity} messages and is full"


@define
class StashCleared(ActorError, trio.BrokenResourceError):
    """The actor had stashed this request and dropped it with `Stash.clear`. The actor is alive."""

    path: str
    message_type: str

    def __str__(self) -> str:
        return f"{self.path} gave up {self.message_type}, which it had set aside"


_ages = count()
_age = attrgetter("age")


class StashEntry:
    """A stashed or redelivered message with its context values; `lasting` if it is kept for the next incarnation.

    `history` has the errors of the incarnations that crashed on it.
    """

    __slots__ = ("age", "history", "lasting", "message", "stash", "values")

    def __init__(self, cell: Cell, message: object, *, lasting: bool = True) -> None:
        self.message: object = message
        self.age: int = next(_ages)
        """Its position in the order of redelivery: the lower, the sooner."""
        life = cell.incarnation
        self.lasting: bool = lasting and not (life.current_is_control and life.current is message)
        self.history: tuple[str, ...] = ()
        self.stash: Stash | None = None
        """The stash that holds it or held it last; None if that belonged to an earlier incarnation."""
        carrier = cell.mailbox.propagator
        self.values: tuple[Any, ...] = () if carrier is None else carrier.current_values()


class RedeliveryQueue(deque[StashEntry]):
    """The unstashed and redelivered messages of an actor, the oldest first."""

    current: StashEntry | None = None
    """The entry of the message that is being handled, if it came from here."""

    def take_oldest(self) -> StashEntry:
        """Remove and return the oldest entry, and make it `current`."""
        self.current = self.popleft()
        return self.current


class Stash:
    """A bounded queue beside the mailbox, made in `on_start` or later and used in the actor's own task only.

    `len`, iteration (oldest first) and `in` see the stashed messages, not those that were unstashed already. Raises
    `InvalidSpec` for a capacity below 1, and `ActorDied` if the incarnation is over.
    """

    __slots__ = ("_cell", "_context", "capacity", "entries")

    def __init__(self, context: Context, capacity: int = STASH_CAPACITY) -> None:
        check_count("capacity", capacity)
        self.capacity: int = capacity
        """The most messages it holds."""
        self.entries: deque[StashEntry] = deque()
        """The stashed messages, for the runtime."""
        self._context = context
        self._cell = context._cell
        self._check_life()
        life = self._cell.incarnation
        life.stashes = [*(life.stashes or ()), self]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[object]:
        return iter([kept.message for kept in self.entries])

    @property
    def is_full(self) -> bool:
        """Whether stashing one more message raises `StashFull`."""
        return len(self.entries) >= self.capacity

    @property
    def head(self) -> object:
        """The message that would be unstashed first. Raises `IndexError` if there is none."""
        if not self.entries:
            raise IndexError("the stash is empty")
        return self.entries[0].message

    @property
    def returning(self) -> int:
        """Number of unstashed messages that the actor has not handled yet, from this stash or another."""
        return len(self._cell.redeliveries or ())

    def check_room(self) -> None:
        """Raise `StashFull` if there is no room for one more message."""
        if self.is_full:
            raise StashFull(self._cell.path, self.capacity)

    def stash(self, message: object, *, lasting: bool = True) -> None:
        """Stash the current message. Raises `StashFull`, and `ActorDied` if the incarnation is over.

        `lasting=False` is for a message that the actor made itself: it is dropped with the incarnation, as timers are.
        """
        self._check_life()
        self.check_room()
        entry = current_entry(self._cell, message) or StashEntry(self._cell, message, lasting=lasting)
        entry.stash = self
        _put(self.entries, [entry])
        life = self._cell.incarnation
        if life.current is message:
            life.stashed_current = entry
        self._cell.mailbox.interrupt = True  # ends the batch, and so clears the current message

    def unstash_all(self) -> None:
        """Handle all stashed messages again, oldest first, after the current message and before the mailbox."""
        self.unstash(len(self.entries))

    def unstash(self, count: int) -> None:
        """Handle the `count` oldest stashed messages again, after the current message and before the mailbox."""
        taken = [self.entries.popleft() for _ in range(min(count, len(self.entries)))]
        if taken:
            redeliver(self._cell, taken)
            self._cell.mailbox.interrupt = True
            self._cell.mailbox.wake()

    def clear(self) -> None:
        """Drop the stashed messages, and those unstashed from here that were not handled yet.

        Requests fail with `StashCleared`, other messages become dead letters, `cleared`. Messages that an earlier
        incarnation had stashed are dropped too; those of other stashes and redelivered ones are not.
        """
        returning = [entry for entry in self._cell.redeliveries or () if self._may_clear(entry)]
        for entry in returning:
            discard(self._cell, entry.message)
        given_up = sorted((*self.entries, *returning), key=_age)
        self.entries.clear()
        for entry in given_up:
            message = entry.message
            call = call_of(message)
            if call is None:
                self._cell.system.dead_letter(DeadLetter(self._cell.path, "stash", message, "cleared"))
            elif not call.settled:
                call.settle(None, StashCleared(self._cell.path, type(message).__name__))

    def _may_clear(self, entry: StashEntry) -> bool:
        return entry.stash is self or (entry.stash is None and not entry.history)

    def _check_life(self) -> None:
        if self._cell.incarnation.context is not self._context:
            raise ActorDied(self._cell.path, self._cell.exit)


def current_entry(cell: Cell, message: object) -> StashEntry | None:
    """Return the entry of `message` if it is the current message and was unstashed or redelivered, else None."""
    entry = None if cell.redeliveries is None else cell.redeliveries.current
    return entry if entry is not None and entry.message is message else None


def redeliver(cell: Cell, entries: Sequence[StashEntry]) -> None:
    """Add a non-empty, age-sorted batch of entries to the redelivery queue, keeping that sorted by age."""
    if cell.redeliveries is None:
        cell.redeliveries = RedeliveryQueue()
    _put(cell.redeliveries, entries)


def entries_of(cell: Cell) -> list[StashEntry]:
    """Return all stashed and unstashed entries of the actor, the oldest first."""
    queues = (stash.entries for stash in cell.incarnation.stashes or ())
    return sorted((*chain.from_iterable(queues), *(cell.redeliveries or ())), key=_age)


def discard(cell: Cell, message: object) -> None:
    """Remove a message, found by identity, from the stashes and the redelivery queue."""
    queues = [stash.entries for stash in cell.incarnation.stashes or ()]
    if cell.redeliveries is not None:
        queues.append(cell.redeliveries)
    for queue in queues:
        for entry in tuple(queue):
            if entry.message is message:
                queue.remove(entry)


def discard_failed(cell: Cell) -> None:
    """Remove the entry of the current message, whose handling failed, if the actor had stashed it.

    Other entries of the same object, such as a constant that is sent repeatedly, are messages of their own and stay.
    """
    life = cell.incarnation
    entry, life.stashed_current = life.stashed_current, None
    if entry is None:
        return
    for stash in cell.incarnation.stashes or ():
        if entry in stash.entries:
            stash.entries.remove(entry)
    if cell.redeliveries is not None and entry in cell.redeliveries:
        cell.redeliveries.remove(entry)


def carry_over(cell: Cell) -> None:
    """Move the lasting entries of an ended incarnation to the next one, except the message that it crashed on."""
    if cell.exit is not None and cell.exit.abnormal:
        discard_failed(cell)
    lasting = [entry for entry in entries_of(cell) if entry.lasting]
    for entry in lasting:
        entry.stash = None
    for stash in cell.incarnation.stashes or ():
        stash.entries.clear()
    cell.incarnation.stashes = None
    if cell.redeliveries is not None:
        cell.redeliveries.clear()
    if lasting:
        redeliver(cell, lasting)


def bury_entries(cell: Cell) -> None:
    """Make the stashed messages of an actor that ended for good dead letters. Its buried calls fail elsewhere."""
    entries, cell.redeliveries = cell.redeliveries, None
    for entry in entries or ():
        if call_of(entry.message) is None:
            lane = "again" if entry.history else "stash"
            cell.system.dead_letter(DeadLetter(cell.path, lane, entry.message, "stopped", entry.history))


def _put(queue: deque[StashEntry], entries: Sequence[StashEntry]) -> None:
    """Merge a non-empty, age-sorted batch of entries into `queue`, keeping it sorted by age."""
    if queue and entries[0].age < queue[-1].age:
        entries = sorted((*queue, *entries), key=_age)
        queue.clear()
    queue.extend(entries)
