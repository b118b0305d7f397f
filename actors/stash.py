"""Stashes: an actor sets messages aside, and handles them later, before its mailbox.

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

from collections.abc import Iterator

import trio
from attrs import define

from .actor import Context
from .ask import ActorDied, call_of
from .checks import check_count
from .errors import ActorError
from .events import DeadLetter
from .redelivery import StashEntry, StashQueue, by_age

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


class Stash:
    """A bounded queue beside the mailbox, made in `on_start` or later and used in the actor's own task only.

    `len`, iteration (oldest first) and `in` see the stashed messages, not those that were unstashed already. Raises
    `InvalidSpec` for a capacity below 1, and `ActorDied` if the incarnation is over.
    """

    __slots__ = ("_cell", "_context", "capacity", "entries")

    def __init__(self, context: Context, capacity: int = STASH_CAPACITY) -> None:
        check_count("capacity", capacity)
        self.capacity: int = capacity
        """The most messages that the stash holds."""
        self.entries: StashQueue = StashQueue()
        """The stashed messages, for the runtime."""
        self._context = context
        self._cell = context._cell
        self._check_life()
        inbox = self._cell.inbox
        inbox.stashes = [*(inbox.stashes or ()), self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[object]:
        return iter([entry.message for entry in self.entries])

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
        return len(self._cell.inbox.redeliveries or ())

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
        inbox = self._cell.inbox
        entry = inbox.entry_of_current(message, lasting=lasting)
        entry.stash = self.entries
        self.entries.merge([entry])
        if inbox.current is message:
            inbox.stashed_current = entry
        inbox.interrupt = True  # ends the batch, and so clears the current message

    def unstash_all(self) -> None:
        """Handle all stashed messages again, oldest first, after the current message and before the mailbox."""
        self.unstash(len(self.entries))

    def unstash(self, count: int) -> None:
        """Handle the `count` oldest stashed messages again, after the current message and before the mailbox."""
        taken = [self.entries.popleft() for _ in range(min(count, len(self.entries)))]
        if taken:
            inbox = self._cell.inbox
            inbox.redeliver(taken)
            inbox.interrupt = True
            inbox.wake()

    def clear(self) -> None:
        """Drop the stashed messages, and those unstashed from here that were not handled yet.

        Requests fail with `StashCleared`, other messages become dead letters, `cleared`. Messages that an earlier
        incarnation had stashed are dropped too; those of other stashes and redelivered ones are not.
        """
        inbox = self._cell.inbox
        returning = [entry for entry in inbox.redeliveries or () if self._may_clear(entry)]
        for entry in returning:
            inbox.discard(entry.message)
        given_up = sorted((*self.entries, *returning), key=by_age)
        self.entries.clear()
        for entry in given_up:
            message = entry.message
            call = call_of(message)
            if call is None:
                inbox.lose(DeadLetter(self._cell.path, "stash", message, "cleared"))
            elif not call.settled:
                call.settle(None, StashCleared(self._cell.path, type(message).__name__))

    def _may_clear(self, entry: StashEntry) -> bool:
        return entry.stash is self.entries or (entry.stash is None and not entry.history)

    def _check_life(self) -> None:
        if self._cell.incarnation.context is not self._context:
            raise ActorDied(self._cell.path, self._cell.exit)
