"""The mailbox: four bounded lanes with an overflow policy each, served in fair order.

1. A higher lane goes first, but a lane that waits is served at least once in `FAIR_SHARE` messages.
2. Lanes are made when first used: most actors use one, and an idle one uses none.
3. A notice takes no lane and no room. It is due once every message that waited in any lane when it came has been taken
   or lost. So no watcher learns of an end before it got the dead actor's messages, on whatever lanes they were sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

import trio
from attrs import field, frozen

from .context_propagation import ContextPropagator
from .errors import InvalidSpec, WrongLoop
from .lanes import Conflate, Lane, LaneQueue, LaneStatistics, Overflow, Policy, make_queue
from .wakeup import WOKEN

DEFAULT_CAPACITY = 1024
"""Default capacity of a lane in messages: about 8 KB of references. A full lane applies its overflow policy."""
FAIR_SHARE = 8
"""A lane that waits has one of this many messages: it is passed over 7 times at most, so a flood takes at most 7/8."""


def _per_lane(default: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple) and len(value) == len(Lane):
        return value
    if isinstance(value, Mapping):
        return tuple(value.get(lane, default) for lane in Lane)
    return (value,) * len(Lane)


def _capacities(value: int | Mapping[Lane, int] | tuple[int, ...]) -> tuple[int, ...]:
    return _per_lane(DEFAULT_CAPACITY, value)


def _policies(value: Policy | Mapping[Lane, Policy] | tuple[Policy, ...]) -> tuple[Policy, ...]:
    return _per_lane(Overflow.WAIT, value)


@frozen
class MailboxSpec:
    """Capacity in messages, and overflow policy, of each lane.

    Each is given once for all lanes, or as a mapping from `Lane` (the lanes left out keep the default: 1024, `WAIT`). A
    policy is an `Overflow`, or `conflate(key)`. Raises `InvalidSpec` for a capacity below 1 or an unknown policy.
    """

    capacity: tuple[int, ...] = field(default=DEFAULT_CAPACITY, converter=_capacities)
    overflow: tuple[Policy, ...] = field(default=Overflow.WAIT, converter=_policies)

    def __attrs_post_init__(self) -> None:
        if not all(type(bound) is int and bound >= 1 for bound in self.capacity):
            raise InvalidSpec("capacity", "must be a whole number above zero for every lane")
        if not all(isinstance(policy, Overflow | Conflate) for policy in self.overflow):
            raise InvalidSpec("overflow", "must be an Overflow or conflate(key) for every lane")


EMPTY: Any = object()
"""The result of `Mailbox.take` if no message waits; no message is ever this object."""
_UNUSED: list[LaneQueue | None] = [None] * len(Lane)
"""The lanes of every unused mailbox; never written to."""
_CLOSED: list[LaneQueue | None] = [LaneQueue(lane, -1, Overflow.REJECT) for lane in Lane]
"""The lanes of every closed mailbox: without room, so that the check for room is also the check for life."""


class Barrier:
    """Notices that wait for the same messages: until `due_counts` messages in all have left each lane."""

    __slots__ = ("due_counts", "notices")

    def __init__(self, due_counts: list[int], notice: object) -> None:
        self.due_counts: list[int] = due_counts
        self.notices: deque[Any] = deque((notice,))

    def forget(self, lane: Lane, place: int) -> None:
        """Wait for one message less if the one removed from the lane, number `place` since its start, was awaited."""
        if self.due_counts[lane] > place:
            self.due_counts[lane] -= 1


class Mailbox:
    """The queues of one actor, kept across its incarnations. One consumer: the actor's task.

    `interrupt` ends the consumer's batch: there is a control message, a stop, a notice or a new lane. While there are
    `barriers`, which belong to one incarnation, messages are taken by `take` only, since it counts them.
    """

    __slots__ = ("barriers", "closed", "interrupt", "lanes", "open_lanes", "parked", "propagator", "spec", "thread")

    def __init__(self, spec: MailboxSpec, carrier: ContextPropagator | None = None) -> None:
        self.spec: MailboxSpec = spec
        self.propagator: ContextPropagator | None = carrier
        self.lanes: list[LaneQueue | None] = _UNUSED
        self.open_lanes: tuple[LaneQueue, ...] = ()
        self.parked: trio.lowlevel.Task | None = None
        self.interrupt: bool = False
        self.barriers: deque[Barrier] | None = None
        self.closed: bool = False
        """True once the mailbox takes no more messages: the actor drains, or is dead."""
        self.thread: int = get_ident()
        """The thread of the consumer's trio loop."""

    def configure(self, spec: MailboxSpec) -> None:
        """Apply the bounds and policies of `spec`; waiting messages stay."""
        previous, self.spec = self.spec, spec
        for queue in self.open_lanes:
            lane = queue.lane
            if isinstance(spec.overflow[lane], Conflate) or isinstance(previous.overflow[lane], Conflate):
                self._exchange(queue)
            else:
                queue.configure(spec.capacity[lane], spec.overflow[lane])

    def _exchange(self, old: LaneQueue) -> None:
        new = self.open(old.lane)
        for message in old.items:
            new.items.append(message)
        new.waiters = old.waiters
        for count in ("dropped", "rejected", "conflated", "high_water"):
            setattr(new, count, getattr(old, count))

    def open(self, lane: Lane) -> LaneQueue:
        """Make the lane's queue, and end the consumer's batch so that it sees the lane."""
        lane = lane if type(lane) is Lane else Lane(lane)
        queue = make_queue(lane, self.spec.capacity[lane], self.spec.overflow[lane], self.propagator, self.is_unique)
        if self.lanes is _UNUSED:
            self.lanes = list(_UNUSED)
            self.lanes[lane] = queue
            self.open_lanes = (queue,)
        else:
            self.lanes[lane] = queue
            self.open_lanes = tuple([opened for opened in self.lanes if opened is not None])
        self.interrupt = True
        return queue

    def is_unique(self, message: object) -> bool:
        """Whether the message replaces no other in a conflating lane, whatever its key."""
        return False

    def check_loop(self) -> None:
        """Raise `WrongLoop` unless the consumer's loop runs in this thread."""
        if self.thread != get_ident():
            raise WrongLoop

    def wake(self) -> None:
        """Wake the consumer if it waits for work. Raises `WrongLoop`, so call it before changing anything."""
        if self.parked is not None:
            if self.thread != get_ident():
                raise WrongLoop
            trio.lowlevel.reschedule(self.parked, WOKEN)
            self.parked = None

    def park(self, task: trio.lowlevel.Task) -> bool:
        """Have `task`, which waits next, woken by the first message. Return False if a message or notice waits now.

        Empty lanes give up their queues: `tell` makes one for its message.
        """
        if self.barriers is not None:
            return False
        for queue in self.open_lanes:
            if queue.items:
                return False
            queue.items = queue.released
        self.parked = task
        return True

    def unpark(self, _: object) -> trio.lowlevel.Abort:
        """Abort the consumer's wait."""
        self.parked = None
        return trio.lowlevel.Abort.SUCCEEDED

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
        chosen.left += 1
        message = chosen.items.popleft()
        if chosen.waiters:
            chosen.admit()
        return message

    def add_notice(self, notice: object) -> None:
        """Queue a notice that is due once all waiting messages are gone. Adjacent notices share a barrier."""
        due_counts = [0] * len(Lane)
        for queue in self.open_lanes:
            due_counts[queue.lane] = queue.left + len(queue.items)
        if self.barriers is None:
            self.barriers = deque()
        if self.barriers and self.barriers[-1].due_counts == due_counts:
            self.barriers[-1].notices.append(notice)
        else:
            self.barriers.append(Barrier(due_counts, notice))
        self.interrupt = True
        self.wake()

    def take_due_notice(self) -> Any:
        """Remove and return the first notice if all messages before it are gone, else `EMPTY`."""
        if self.barriers is None:
            return EMPTY
        barrier = self.barriers[0]
        for queue in self.open_lanes:
            if queue.left < barrier.due_counts[queue.lane]:
                return EMPTY
        notice = barrier.notices.popleft()
        if not barrier.notices:
            self.barriers.popleft()
            self.barriers = self.barriers or None
        return notice

    def remove_notices(self, unwanted: Callable[[Any], bool]) -> None:
        """Remove the notices for which `unwanted` returns true."""
        for barrier in self.barriers or ():
            barrier.notices = deque(notice for notice in barrier.notices if not unwanted(notice))
        self.barriers = deque(barrier for barrier in self.barriers or () if barrier.notices) or None

    def remove(self, message: object) -> bool:
        """Remove one queued message, found by identity. Return whether it was there."""
        for queue in self.open_lanes:
            for index, queued in enumerate(queue.items):
                if queued is message:
                    queue.discard(index)
                    if index:  # else the queue has counted it as gone from its front
                        for barrier in self.barriers or ():
                            barrier.forget(queue.lane, queue.left + index)
                    queue.admit()
                    return True
        return False

    def has_messages(self) -> bool:
        """Whether any lane holds a message, or a notice waits."""
        if self.barriers is not None:
            return True
        for queue in self.open_lanes:  # noqa: SIM110 - no generator on the way to every wait
            if queue.items:
                return True
        return False

    def seal(self) -> None:
        """Take no more messages. Waiting ones stay to be handled, as do those of senders that wait for room."""
        self.lanes, self.closed = _CLOSED, True

    def close(self, bury: Callable[[object, Lane], None]) -> None:
        """Close forever. Call `bury` with each queued message and each that waited for room, in order of lanes."""
        queues, self.open_lanes, self.lanes, self.barriers = self.open_lanes, (), _CLOSED, None
        self.closed = True
        for queue in queues:
            for message in queue.items:
                bury(message, queue.lane)
            for waiter in queue.waiters or ():
                waiter.admitted = True
                trio.lowlevel.reschedule(waiter.task)
                bury(waiter.message, queue.lane)

    def waiting(self) -> list[Any]:
        """Return all queued messages, by lane."""
        return [message for queue in self.open_lanes for message in queue.items]

    def depths(self) -> dict[str, int]:
        """Return the number of waiting messages in each lane in use, by the lane's name."""
        return {queue.lane.name.lower(): len(queue.items) for queue in self.open_lanes}

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Return the statistics of each lane in use."""
        return {queue.lane: queue.statistics() for queue in self.open_lanes}
