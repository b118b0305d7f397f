"""One lane of a mailbox: its messages, its bound, its overflow policy and its counts.

1. Within a lane, order is first in, first out; senders that wait for room stand in that order too.
2. Every message that is refused, pushed out or replaced is counted.
3. In a conflating lane every new message must be compared with the waiting ones, so the fast path of `tell` must see no
   room: its `capacity` is negative, and `bound` is the real one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

import trio
from attrs import field, frozen

from .errors import InvalidSpec

if TYPE_CHECKING:
    from .context_propagation import ContextPropagator


class Lane(IntEnum):
    """A queue of a mailbox; the lower the number, the sooner it is served."""

    ALERT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class Notice:
    """A message that only the runtime sends, past the lanes: `tell` raises `TypeError` for one."""

    __slots__ = ()


class Overflow(Enum):
    """The policy of a full lane for one more message."""

    WAIT = "wait"
    """`ActorRef.send` and `ask` wait for room; `tell`, which cannot, raises `MailboxFull`."""
    REJECT = "reject"
    """`tell`, `send` and `ask` raise `MailboxFull`."""
    DROP_OLDEST = "drop_oldest"
    """The message that waited longest becomes a dead letter."""
    DROP_NEWEST = "drop_newest"
    """The new message becomes a dead letter."""


def _check_full(_: object, __: object, value: Any) -> None:
    if value not in (Overflow.REJECT, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST):
        raise InvalidSpec("overflow", "a conflating lane is full with reject, drop_oldest or drop_newest")


def _check_key(_: object, __: object, value: Any) -> None:
    if not callable(value):
        raise InvalidSpec("overflow", "the key of a conflating lane must be callable with a message")


@frozen
class Conflate:
    """A lane in which a newer message replaces a waiting one with the same `key(message)`.

    The position is kept, so that a key that changes all the time is served too. A message with the key None is never
    replaced, nor is a request that was asked. `full` is the policy for one more key. Errors of `key` are raised by
    `tell`.
    """

    key: Callable[[Any], Hashable] = field(validator=_check_key)
    full: Overflow = field(default=Overflow.REJECT, validator=_check_full)


def conflate(key: Callable[[Any], Hashable], full: Overflow = Overflow.REJECT) -> Conflate:
    """Return the overflow policy `Conflate(key, full)`. Raises `InvalidSpec` for an invalid `key` or `full`."""
    return Conflate(key, full)


Policy = Overflow | Conflate
"""The type of a lane's overflow policy."""


@frozen
class LaneStatistics:
    """Statistics of one lane: messages and senders waiting, bound, most messages ever waiting, dropped, rejected.

    `conflated` counts the messages that a newer one replaced.
    """

    depth: int
    waiting_senders: int
    capacity: int
    high_water: int
    dropped: int
    rejected: int
    conflated: int = 0


class Waiter:
    """A sender that waits for room in a lane."""

    __slots__ = ("admitted", "message", "task", "when_admitted")

    def __init__(
        self, message: object, task: trio.lowlevel.Task, when_admitted: Callable[[], None] | None = None
    ) -> None:
        self.message: object = message
        self.task: trio.lowlevel.Task = task
        self.when_admitted: Callable[[], None] | None = when_admitted
        self.admitted: bool = False


RELEASED: Any = ()
"""The items of a lane without a queue: the lane is empty, and its actor waits."""


class LaneQueue:
    """A lane that does not conflate."""

    __slots__ = (
        "bound", "capacity", "conflated", "dropped", "high_water", "items", "lane", "left", "new_items", "overflow",
        "rejected", "released", "skipped", "waiters",
    )  # fmt: skip

    bound: int
    capacity: int
    conflated: int
    dropped: int
    high_water: int
    left: int
    """Number of messages taken from the front while the mailbox had barriers: see `Mailbox`."""
    rejected: int
    skipped: int

    def __init__(self, lane: Lane, bound: int, policy: Policy, carrier: ContextPropagator | None = None) -> None:
        self.lane: Lane = lane
        self.new_items: Callable[[], Any] = deque if carrier is None else carrier.queue
        """Makes a queue for a message, after one was given up."""
        self.items: Any = self.new_items()
        self.released: Any = RELEASED
        """The stand-in for the queue while it is empty and its actor waits: a deque without items takes 760 bytes."""
        self.waiters: deque[Waiter] | None = None
        self.dropped = self.rejected = self.conflated = self.high_water = self.skipped = self.left = 0
        self.configure(bound, policy)

    def configure(self, bound: int, policy: Policy) -> None:
        """Apply a bound and a policy; waiting messages stay."""
        self.bound = self.capacity = bound
        self.overflow: Overflow = policy.full if isinstance(policy, Conflate) else policy

    def replace(self, message: object) -> bool:
        """Replace a waiting message of the same key, if the lane conflates. Return whether `message` is placed."""
        return False

    def displace(self, message: object) -> object:
        """Apply a dropping policy to one more message in a full lane. Return the message that is lost."""
        self.dropped += 1
        if self.overflow is Overflow.DROP_NEWEST:
            return message
        oldest = self.discard(0)
        self.items.append(message)
        return oldest

    def note_depth(self) -> None:
        """Update the most messages that ever waited."""
        self.high_water = max(self.high_water, len(self.items))

    def note_replaced(self) -> None:
        """Count a message that a newer one replaced."""
        self.conflated += 1

    def discard(self, index: int) -> object:
        """Remove a message that will not be handled, and return it."""
        message: object = self.items[index]
        del self.items[index]
        if not index:
            self.left += 1
        return message

    def admit(self) -> None:
        """Admit waiting senders, the oldest first, while there is room."""
        while self.waiters and len(self.items) < self.bound:
            waiter = self.waiters.popleft()
            waiter.task.context.run(self.items.append, waiter.message)
            waiter.admitted = True
            if waiter.when_admitted is not None:
                waiter.when_admitted()
            trio.lowlevel.reschedule(waiter.task)

    def enqueue(self, message: object, when_admitted: Callable[[], None] | None = None) -> Waiter:
        """Register the current task as a sender that waits for room; `when_admitted` is called when there is some."""
        waiter = Waiter(message, trio.lowlevel.current_task(), when_admitted)
        if self.waiters is None:
            self.waiters = deque()
        self.waiters.append(waiter)
        return waiter

    def dequeue(self, waiter: Waiter) -> None:
        """Remove a waiting sender."""
        if self.waiters is not None and waiter in self.waiters:
            self.waiters.remove(waiter)

    def statistics(self) -> LaneStatistics:
        """Return the statistics of this lane."""
        waiting = len(self.waiters) if self.waiters else 0
        counts = (self.high_water, self.dropped, self.rejected, self.conflated)
        return LaneStatistics(len(self.items), waiting, self.bound, *counts)


class WaitingSends:
    """The sends of one channel that wait for room. Each ends by being admitted, cancelled or refused."""

    def __init__(self) -> None:
        self._waiting: dict[Waiter, LaneQueue] = {}
        self._refused: dict[Waiter, Exception] = {}

    async def wait(self, queue: LaneQueue, value: object) -> None:
        """Wait until the message is in the lane. Raises the error given to `refuse`."""
        waiter = queue.enqueue(value)
        self._waiting[waiter] = queue

        def give_up(_: object) -> trio.lowlevel.Abort:
            queue.dequeue(waiter)
            self._waiting.pop(waiter, None)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        self._waiting.pop(waiter, None)
        if waiter in self._refused:
            raise self._refused.pop(waiter)

    def refuse(self, error: type[Exception], *about: str) -> None:
        """End all waiting sends, each with an error of this type; their messages are not sent."""
        for waiter, queue in self._waiting.items():
            if not waiter.admitted:
                queue.dequeue(waiter)
                self._refused[waiter] = error(*about)
                trio.lowlevel.reschedule(waiter.task)
        self._waiting.clear()


class KeyedItems:
    """The messages of a conflating lane: a queue with access by key. Has the interface of a deque.

    A message for which `unique` returns true has no key.
    """

    __slots__ = ("_carrier", "_entries", "_key", "_unique")

    def __init__(
        self, key: Callable[[Any], Hashable], carrier: ContextPropagator | None, unique: Callable[[object], bool]
    ) -> None:
        self._key = key
        self._unique = unique
        self._carrier = carrier
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries.values())

    def __getitem__(self, index: int) -> Any:
        return self._entries[self._key_at(index)]

    def __delitem__(self, index: int) -> None:
        del self._entries[self._key_at(index)]

    def append(self, message: Any) -> None:
        """Append a message, or replace the waiting one with its key."""
        self.put(self.key(message), message)

    def put(self, key: Hashable, message: Any) -> None:
        """Append a message under this key, or replace the waiting one with this key."""
        self._entries[key] = message

    def popleft(self) -> Any:
        """Remove and return the oldest message. It carries no context variables."""
        if self._carrier is not None:
            self._carrier.restore()
        return self._entries.popitem(last=False)[1]

    def key(self, message: Any) -> Hashable:
        """Return the key of a message; a unique one if the message must not be replaced."""
        key = None if self._unique(message) else self._key(message)
        return object() if key is None else key

    def holds(self, key: Hashable) -> bool:
        """Whether a message with this key waits."""
        return key in self._entries

    def _key_at(self, index: int) -> Hashable:
        return next(iter(self._entries)) if index == 0 else list(self._entries)[index]


class ConflatingQueue(LaneQueue):
    """A conflating lane: a newer message replaces the waiting one with its key."""

    __slots__ = ()
    items: KeyedItems
    released: KeyedItems

    def __init__(
        self,
        lane: Lane,
        bound: int,
        policy: Conflate,
        carrier: ContextPropagator | None = None,
        unique: Callable[[object], bool] = lambda _: False,
    ) -> None:
        super().__init__(lane, bound, policy)
        self.items = self.released = KeyedItems(policy.key, carrier, unique)  # an empty one of this kind is small

    def configure(self, bound: int, policy: Policy) -> None:
        """Apply a bound, and make `tell` hand every message to `replace`."""
        super().configure(bound, policy)
        self.capacity = -1

    def replace(self, message: object) -> bool:
        """Replace the waiting message with the same key, or append if there is room. Return whether either was done."""
        key = self.items.key(message)
        if self.items.holds(key):
            self.note_replaced()
        elif len(self.items) >= self.bound:
            return False
        self.items.put(key, message)
        self.note_depth()
        return True


def make_queue(
    lane: Lane, bound: int, policy: Policy, carrier: ContextPropagator | None, unique: Callable[[object], bool]
) -> LaneQueue:
    """Make the queue of a lane for this policy. A message for which `unique` returns true replaces no other."""
    if isinstance(policy, Conflate):
        return ConflatingQueue(lane, bound, policy, carrier, unique)
    return LaneQueue(lane, bound, policy, carrier)
