"""The mailbox: four bounded lanes, an overflow policy each, and fair turns between them.

1. Within a lane, order is first in, first out; senders that wait for room stand in that order too.
2. A higher lane goes first, but a lane that was passed over `FAIR_SHARE` times gets the next turn.
3. Every message that does not get in, or is pushed out, is counted.
4. Lanes are made when first used: most actors use one, and an idle one uses none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from typing import Any

import trio
from attrs import field, frozen

from .errors import InvalidSpec

DEFAULT_CAPACITY = 1024
"""Messages a lane holds unless told otherwise: about 8 KB of references."""
FAIR_SHARE = 8
"""A lane waits for at most this many messages of higher lanes: a flood keeps 7/8 of the actor, not all of it."""


class Lane(IntEnum):
    """Which queue of a mailbox a message takes; the lower the number, the sooner it is served."""

    ALERT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class Overflow(Enum):
    """What a full lane does with one more message."""

    WAIT = "wait"
    """`ActorRef.send` waits for room; `tell` and `ask`, which cannot, raise `MailboxFull`."""
    REJECT = "reject"
    """`MailboxFull` for everybody."""
    DROP_OLDEST = "drop_oldest"
    """The message that waited longest becomes a dead letter."""
    DROP_NEWEST = "drop_newest"
    """The new message becomes a dead letter."""


def _per_lane(default: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple) and len(value) == len(Lane):
        return value
    if isinstance(value, Mapping):
        return tuple(value.get(lane, default) for lane in Lane)
    return (value,) * len(Lane)


def _capacities(value: int | Mapping[Lane, int] | tuple[int, ...]) -> tuple[int, ...]:
    return _per_lane(DEFAULT_CAPACITY, value)


def _policies(value: Overflow | Mapping[Lane, Overflow] | tuple[Overflow, ...]) -> tuple[Overflow, ...]:
    return _per_lane(Overflow.WAIT, value)


@frozen
class MailboxSpec:
    """Capacity in messages, and overflow policy, of each lane.

    Each is given once for all lanes, or as a mapping from `Lane` (the lanes left out keep the default: 1024, `WAIT`).
    Raises `InvalidSpec` for a capacity below 1 or an unknown policy.
    """

    capacity: tuple[int, ...] = field(default=DEFAULT_CAPACITY, converter=_capacities)
    overflow: tuple[Overflow, ...] = field(default=Overflow.WAIT, converter=_policies)

    def __attrs_post_init__(self) -> None:
        if not all(type(bound) is int and bound >= 1 for bound in self.capacity):
            raise InvalidSpec("capacity", "must be a whole number above zero for every lane")
        if not all(isinstance(policy, Overflow) for policy in self.overflow):
            raise InvalidSpec("overflow", "must be an Overflow for every lane")


@frozen
class LaneStatistics:
    """One lane in numbers: messages waiting, senders waiting, bound, most ever waiting, lost to the policy, refused."""

    depth: int
    waiting_senders: int
    capacity: int
    high_water: int
    dropped: int
    rejected: int


class Waiter:
    """A sender that waits for room in a lane."""

    __slots__ = ("admitted", "message", "task")

    def __init__(self, message: object, task: trio.lowlevel.Task) -> None:
        self.message = message
        self.task = task
        self.admitted = False


class LaneQueue:
    """One lane: its messages, its bound and its counts."""

    __slots__ = ("capacity", "dropped", "high_water", "items", "lane", "overflow", "rejected", "skipped", "waiters")

    def __init__(self, lane: Lane, capacity: int, overflow: Overflow) -> None:
        self.lane = lane
        self.capacity = capacity
        self.overflow = overflow
        self.items: deque[object] = deque()
        self.waiters: deque[Waiter] | None = None
        self.dropped = 0
        self.rejected = 0
        self.high_water = 0
        self.skipped = 0

    def admit(self) -> None:
        """Let in the senders that waited longest, as far as there is room."""
        while self.waiters and len(self.items) < self.capacity:
            waiter = self.waiters.popleft()
            self.items.append(waiter.message)
            waiter.admitted = True
            trio.lowlevel.reschedule(waiter.task)

    def enqueue(self, message: object) -> Waiter:
        """Let the current task stand in line with its message."""
        waiter = Waiter(message, trio.lowlevel.current_task())
        if self.waiters is None:
            self.waiters = deque()
        self.waiters.append(waiter)
        return waiter

    def dequeue(self, waiter: Waiter) -> None:
        """Let a sender leave the line."""
        if self.waiters is not None and waiter in self.waiters:
            self.waiters.remove(waiter)

    def statistics(self) -> LaneStatistics:
        """This lane in numbers."""
        waiting = len(self.waiters) if self.waiters else 0
        return LaneStatistics(len(self.items), waiting, self.capacity, self.high_water, self.dropped, self.rejected)


EMPTY: Any = object()
"""What `Mailbox.take` returns when no message waits; no message is ever this object."""
_CLOSED: list[LaneQueue | None] = [LaneQueue(lane, -1, Overflow.REJECT) for lane in Lane]
"""The lanes of every dead mailbox: never any room, so that the check for room is also the check for life."""


class Mailbox:
    """The queues of one actor, kept across its incarnations. One consumer: the actor's task.

    `interrupt` asks the consumer to look up from its batch: a control message, a stop, or a new lane is there.
    """

    __slots__ = ("interrupt", "lanes", "open_lanes", "parked", "spec")

    def __init__(self, spec: MailboxSpec) -> None:
        self.spec = spec
        self.lanes: list[LaneQueue | None] = [None] * len(Lane)
        self.open_lanes: tuple[LaneQueue, ...] = ()
        self.parked: trio.lowlevel.Task | None = None
        self.interrupt = False

    @property
    def closed(self) -> bool:
        """Whether the actor is dead: nothing gets in any more."""
        return self.lanes is _CLOSED

    def configure(self, spec: MailboxSpec) -> None:
        """Take over the bounds and policies of `spec`; what waits already stays."""
        self.spec = spec
        for queue in self.open_lanes:
            queue.capacity = spec.capacity[queue.lane]
            queue.overflow = spec.overflow[queue.lane]

    def open(self, lane: Lane) -> LaneQueue:
        """Make the lane's queue; the consumer is told that there is one more to look after."""
        lane = Lane(lane)
        queue = self.lanes[lane] = LaneQueue(lane, self.spec.capacity[lane], self.spec.overflow[lane])
        self.open_lanes = tuple(known for known in self.lanes if known is not None)
        self.interrupt = True
        return queue

    def wake(self) -> None:
        """Let the consumer run if it waits for something to do."""
        if self.parked is not None:
            task, self.parked = self.parked, None
            trio.lowlevel.reschedule(task)

    def take(self) -> Any:
        """Remove and return the next message in fair order, or `EMPTY`."""
        chosen: LaneQueue | None = None
        for queue in self.open_lanes:
            if queue.items:
                if chosen is None:
                    chosen = queue
                    continue
                queue.skipped += 1
                if queue.skipped >= FAIR_SHARE:
                    chosen = queue
                    break
        if chosen is None:
            return EMPTY
        chosen.skipped = 0
        message = chosen.items.popleft()
        if chosen.waiters:
            chosen.admit()
        return message

    def displace(self, queue: LaneQueue, message: object) -> object:
        """Apply a dropping policy to one more message in a full lane; return the message that is lost."""
        queue.dropped += 1
        if queue.overflow is Overflow.DROP_NEWEST:
            return message
        oldest = queue.items.popleft()
        queue.items.append(message)
        return oldest

    def remove(self, message: object) -> bool:
        """Take out one queued message, found by identity; return whether it was there."""
        for queue in self.open_lanes:
            for index, queued in enumerate(queue.items):
                if queued is message:
                    del queue.items[index]
                    queue.admit()
                    return True
        return False

    def has_messages(self) -> bool:
        """Whether any lane holds a message."""
        for queue in self.open_lanes:  # noqa: SIM110 - no generator on the way to every wait
            if queue.items:
                return True
        return False

    def close(self, bury: Callable[[object, Lane], None]) -> None:
        """Close for ever: each queued message, and each that waited for room, goes to `bury` in order of its lane."""
        queues, self.open_lanes, self.lanes = self.open_lanes, (), _CLOSED
        for queue in queues:
            for message in queue.items:
                bury(message, queue.lane)
            for waiter in queue.waiters or ():
                waiter.admitted = True
                trio.lowlevel.reschedule(waiter.task)
                bury(waiter.message, queue.lane)

    def queued(self) -> set[int]:
        """The identities (`id`) of all queued messages."""
        return {id(message) for queue in self.open_lanes for message in queue.items}

    def depths(self) -> dict[str, int]:
        """How many messages wait in each lane in use, by the lane's name."""
        return {queue.lane.name.lower(): len(queue.items) for queue in self.open_lanes}

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Each lane in use, in numbers."""
        return {queue.lane: queue.statistics() for queue in self.open_lanes}
