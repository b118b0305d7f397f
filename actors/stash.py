"""Messages that an actor sets aside, to handle them later and before what waits in its mailbox.

1. What comes back is handled one message after the other, each in a turn of its own: it can be cancelled, crash the
   actor, be given again and be reported like any other. Only what goes before all lanes goes before it.
2. It comes back in the order in which it was set aside; one that is set aside again keeps its place.
3. What is set aside still waits: a request keeps its caller waiting, and is taken out when the caller leaves; a message
   outlives a crash, and is the first thing the next incarnation gets, in its own order. At the end for good, requests
   fail and messages become dead letters.
4. A timer's message or a notice belongs to its incarnation, and is forgotten with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from .ask import Ask
from .errors import ActorDied, ActorError, InvalidSpec
from .records import DeadLetter

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


class Kept:
    """A message set aside, and what came with it; `lasting` if the next incarnation is to have it."""

    __slots__ = ("lasting", "message", "values")

    def __init__(self, cell: Cell, message: object) -> None:
        self.message: object = message
        self.lasting: bool = not cell.on_control
        carrier = cell.mailbox.carrier
        self.values: tuple[Any, ...] = () if carrier is None else carrier.capture()


class Stash:
    """A bounded queue beside the mailbox, made in `on_start` or later and used in the actor's own task only.

    `len`, iteration (oldest first) and `in` see what is set aside. Raises `InvalidSpec` for a capacity below 1.
    """

    __slots__ = ("_cell", "_context", "capacity", "kept")

    def __init__(self, context: Context, capacity: int = STASH_CAPACITY) -> None:
        if type(capacity) is not int or capacity < 1:
            raise InvalidSpec("capacity", "must be a whole number above zero")
        self.capacity: int = capacity
        """How many messages there is room for."""
        self.kept: deque[Kept] = deque()
        """What is set aside, for the runtime."""
        self._context = context
        self._cell = context._cell
        self._cell.stashes = [*(self._cell.stashes or ()), self]

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[object]:
        return iter([kept.message for kept in self.kept])

    @property
    def is_full(self) -> bool:
        """Whether one more message would raise `StashFull`."""
        return len(self.kept) >= self.capacity

    @property
    def head(self) -> object:
        """The message that would come back first. Raises `IndexError` when there is none."""
        if not self.kept:
            raise IndexError("the stash is empty")
        return self.kept[0].message

    def check_room(self) -> None:
        """Raise `StashFull` when one more message would."""
        if self.is_full:
            raise StashFull(self._cell.path, self.capacity)

    def stash(self, message: object) -> None:
        """Set aside the message in work. Raises `StashFull`, and `ActorDied` when the incarnation is over."""
        if self._cell.context is not self._context:
            raise ActorDied(self._cell.path, self._cell.exit)
        self.check_room()
        self.kept.append(Kept(self._cell, message))

    def unstash_all(self) -> None:
        """Have all messages again, oldest first, after the one in work and before what waits in the mailbox."""
        self.unstash(len(self.kept))

    def unstash(self, count: int) -> None:
        """As `unstash_all`, the `count` oldest messages only."""
        cell = self._cell
        taken = [self.kept.popleft() for _ in range(min(count, len(self.kept)))]
        if not taken or cell.context is not self._context:
            return
        if cell.again is None:
            cell.again = deque()
        cell.again.extendleft(reversed(taken))  # older than what is coming back already: it was set aside a second time
        cell.mailbox.interrupt = True
        cell.mailbox.wake()

    def clear(self) -> None:
        """Give everything up: requests fail with `StashCleared`, other messages become dead letters, `cleared`."""
        while self.kept:
            message = self.kept.popleft().message
            if isinstance(message, Ask) and message.waiting:
                message.fail(StashCleared(self._cell.path, type(message).__name__))
            else:
                self._cell.system.dead_letter(DeadLetter(self._cell.path, "stash", message, "cleared"))


def kept_by(cell: Cell) -> list[Kept]:
    """Everything the actor has set aside: what is coming back after what is still in its stashes."""
    kept = [entry for stash in cell.stashes or () for entry in stash.kept]
    return [*kept, *(cell.again or ())]


def take_out(cell: Cell, message: object) -> None:
    """Let a message, found by identity, not come back."""
    queues = [stash.kept for stash in cell.stashes or ()]
    if cell.again is not None:
        queues.append(cell.again)
    for queue in queues:
        for entry in tuple(queue):
            if entry.message is message:
                queue.remove(entry)


def keep_for_next(cell: Cell) -> None:
    """The incarnation is over: the next one is to have what lasts."""
    lasting = deque(entry for entry in kept_by(cell) if entry.lasting)
    cell.stashes = None
    cell.again = lasting or None


def bury_kept(cell: Cell) -> None:
    """The actor ended for good: what it had set aside is lost. The callers among it are told by who buries it."""
    entries, cell.again = cell.again, None
    for entry in entries or ():
        if not (isinstance(entry.message, Ask) and getattr(entry.message, "_call", None) is not None):
            cell.system.dead_letter(DeadLetter(cell.path, "stash", entry.message, "stopped"))
