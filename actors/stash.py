"""Messages that an actor sets aside, to handle them later and before what waits in its mailbox.

1. What comes back is handled one message after the other, each in a turn of its own: it can be cancelled, crash the
   actor, be given again and be reported like any other. Only what goes before all lanes goes before it.
2. It comes back in the order in which it was set aside; one that is set aside again keeps its place.
3. What is set aside still waits: a request keeps its caller waiting, and is taken out when the caller leaves; a message
   outlives a crash, and is the first thing the next incarnation gets, in its own order. At the end for good, requests
   fail and messages become dead letters.
4. A message that the actor fails on is not kept, even if it was set aside before that: it is the failed message.
5. A timer's message or a notice belongs to its incarnation, and is forgotten with it.
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
from .errors import ActorDied, ActorError, InvalidSpec
from .events import DeadLetter

if TYPE_CHECKING:
    from .actor import Context
    from .cell import Cell

STASH_CAPACITY = 1024
"""Messages a stash holds unless told otherwise: as many as a lane of a mailbox."""


@define
class StashFull(ActorError, trio.WouldBlock):
    """The stash holds as many messages as it may. The message was not set aside: the actor still has it."""

    path: str
    capacity: int

    def __str__(self) -> str:
        return f"{self.path}: the stash holds {self.capacity} messages and is full"


@define
class StashCleared(ActorError, trio.BrokenResourceError):
    """The actor had set this request aside and gave it up with `Stash.clear`. The actor is alive."""

    path: str
    message_type: str

    def __str__(self) -> str:
        return f"{self.path} gave up {self.message_type}, which it had set aside"


_ages = count()
_age = attrgetter("age")


class StashEntry:
    """A message to be had again, and what came with it; `lasting` if the next incarnation is to have it.

    `history` has the errors of the incarnations that crashed on it.
    """

    __slots__ = ("age", "history", "lasting", "message", "stash", "values")

    def __init__(self, cell: Cell, message: object, *, lasting: bool = True) -> None:
        self.message: object = message
        self.age: int = next(_ages)
        """Its place in line: the lower, the sooner."""
        life = cell.incarnation
        self.lasting: bool = lasting and not (life.current_is_control and life.current is message)
        self.history: tuple[str, ...] = ()
        self.stash: Stash | None = None
        """The stash that holds it or that it comes back from; None when that belongs to an earlier incarnation."""
        carrier = cell.mailbox.propagator
        self.values: tuple[Any, ...] = () if carrier is None else carrier.current_values()


class RedeliveryQueue(deque[StashEntry]):
    """What comes back to an actor, the oldest first."""

    current: StashEntry | None = None
    """What came back last, as long as it is in work."""

    def take_oldest(self) -> StashEntry:
        """Remove and return the oldest: it is in work from now on."""
        self.current = self.popleft()
        return self.current


class Stash:
    """A bounded queue beside the mailbox, made in `on_start` or later and used in the actor's own task only.

    `len`, iteration (oldest first) and `in` see what is set aside, and not what comes back already. Raises
    `InvalidSpec` for a capacity below 1, and `ActorDied` when the incarnation is over.
    """

    __slots__ = ("_cell", "_context", "capacity", "entries")

    def __init__(self, context: Context, capacity: int = STASH_CAPACITY) -> None:
        if type(capacity) is not int or capacity < 1:
            raise InvalidSpec("capacity", "must be a whole number above zero")
        self.capacity: int = capacity
        """How many messages there is room for."""
        self.entries: deque[StashEntry] = deque()
        """What is set aside, for the runtime."""
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
        """Whether one more message would raise `StashFull`."""
        return len(self.entries) >= self.capacity

    @property
    def head(self) -> object:
        """The message that would come back first. Raises `IndexError` when there is none."""
        if not self.entries:
            raise IndexError("the stash is empty")
        return self.entries[0].message

    @property
    def returning(self) -> int:
        """How many messages come back to the actor just now, out of this stash or another."""
        return len(self._cell.redeliveries or ())

    def check_room(self) -> None:
        """Raise `StashFull` when one more message would."""
        if self.is_full:
            raise StashFull(self._cell.path, self.capacity)

    def stash(self, message: object, *, lasting: bool = True) -> None:
        """Set aside the message in work. Raises `StashFull`, and `ActorDied` when the incarnation is over.

        `lasting=False` is for what the actor made itself: it is forgotten with the incarnation, as its timers are.
        """
        self._check_life()
        self.check_room()
        entry = current_entry(self._cell, message) or StashEntry(self._cell, message, lasting=lasting)
        entry.stash = self
        _put(self.entries, [entry])
        life = self._cell.incarnation
        if life.current is message:
            life.stashed_current = entry
        self._cell.mailbox.interrupt = True  # ends the batch, and with it the time in which this is the message in work

    def unstash_all(self) -> None:
        """Have all messages again, oldest first, after the one in work and before what waits in the mailbox."""
        self.unstash(len(self.entries))

    def unstash(self, count: int) -> None:
        """As `unstash_all`, the `count` oldest messages only."""
        taken = [self.entries.popleft() for _ in range(min(count, len(self.entries)))]
        if taken:
            redeliver(self._cell, taken)
            self._cell.mailbox.interrupt = True
            self._cell.mailbox.wake()

    def clear(self) -> None:
        """Give up what is set aside, and what comes back from here: `unstash_all` first makes no difference.

        Requests fail with `StashCleared`, others become dead letters, `cleared`. What an earlier incarnation had set
        aside is given up too; what other stashes give back, and a message that is redelivered after a crash, is not.
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
    """What this very message was kept as, if it is in work because it came back."""
    entry = None if cell.redeliveries is None else cell.redeliveries.current
    return entry if entry is not None and entry.message is message else None


def redeliver(cell: Cell, entries: Sequence[StashEntry]) -> None:
    """Have these entries, which are in order and at least one, come back where their age says."""
    if cell.redeliveries is None:
        cell.redeliveries = RedeliveryQueue()
    _put(cell.redeliveries, entries)


def entries_of(cell: Cell) -> list[StashEntry]:
    """Everything the actor has set aside, and what comes back already, the oldest first."""
    queues = (stash.entries for stash in cell.incarnation.stashes or ())
    return sorted((*chain.from_iterable(queues), *(cell.redeliveries or ())), key=_age)


def discard(cell: Cell, message: object) -> None:
    """Let a message, found by identity, not come back."""
    queues = [stash.entries for stash in cell.incarnation.stashes or ()]
    if cell.redeliveries is not None:
        queues.append(cell.redeliveries)
    for queue in queues:
        for entry in tuple(queue):
            if entry.message is message:
                queue.remove(entry)


def discard_failed(cell: Cell) -> None:
    """The handling of the message in work failed: let it not come back, if it was set aside meanwhile.

    Others of the same object, such as a constant that is told again and again, were told by themselves and stay.
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
    """The incarnation is over: the next one is to have what lasts, without the message that this one failed on."""
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
    """The actor ended for good: what it had set aside is lost. The callers among it are told by who buries it."""
    entries, cell.redeliveries = cell.redeliveries, None
    for entry in entries or ():
        if call_of(entry.message) is None:
            lane = "again" if entry.history else "stash"
            cell.system.dead_letter(DeadLetter(cell.path, lane, entry.message, "stopped", entry.history))


def _put(queue: deque[StashEntry], entries: Sequence[StashEntry]) -> None:
    """Put entries, which are in order and at least one, where their age says."""
    if queue and entries[0].age < queue[-1].age:
        entries = sorted((*queue, *entries), key=_age)
        queue.clear()
    queue.extend(entries)
