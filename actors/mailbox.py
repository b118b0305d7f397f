"""The mailbox: four bounded lanes, an overflow policy each, and fair turns between them.

1. A higher lane goes first, but a lane that was passed over `FAIR_SHARE` times gets the next turn.
2. Lanes are made when first used: most actors use one, and an idle one uses none.
3. What a lane does is in `lanes`.
4. A notice takes no lane and no room. It is due when every message that waited in any lane when it came is gone: taken,
   or lost. So nobody hears of an end before what the dead actor had sent, whatever lanes that was sent on.
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

DEFAULT_CAPACITY = 1024
"""Messages a lane holds unless told otherwise: about 8 KB of references."""
FAIR_SHARE = 8
"""A lane waits for at most this many messages of higher lanes: a flood keeps 7/8 of the actor, not all of it."""


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

    Each is given once for all lanes, or as a mapping from `Lane` (the lanes left out keep the default: 1024, `WAIT`).
    A policy is an `Overflow`, or `conflate(key)`.
    Raises `InvalidSpec` for a capacity below 1 or an unknown policy.
    """

    capacity: tuple[int, ...] = field(default=DEFAULT_CAPACITY, converter=_capacities)
    overflow: tuple[Policy, ...] = field(default=Overflow.WAIT, converter=_policies)

    def __attrs_post_init__(self) -> None:
        if not all(type(bound) is int and bound >= 1 for bound in self.capacity):
            raise InvalidSpec("capacity", "must be a whole number above zero for every lane")
        if not all(isinstance(policy, Overflow | Conflate) for policy in self.overflow):
            raise InvalidSpec("overflow", "must be an Overflow or conflate(key) for every lane")


EMPTY: Any = object()
"""What `Mailbox.take` returns when no message waits; no message is ever this object."""
_UNUSED: list[LaneQueue | None] = [None] * len(Lane)
"""The lanes of every mailbox that was not used yet; never written to."""
_CLOSED: list[LaneQueue | None] = [LaneQueue(lane, -1, Overflow.REJECT) for lane in Lane]
"""The lanes of every closed mailbox: never any room, so that the check for room is also the check for life."""


class Barrier:
    """Notices that stand behind the same messages. `behind` says by lane how many must have left it since the start."""

    __slots__ = ("behind", "notices")

    def __init__(self, behind: list[int], notice: object) -> None:
        self.behind: list[int] = behind
        self.notices: deque[Any] = deque((notice,))


class Mailbox:
    """The queues of one actor, kept across its incarnations. One consumer: the actor's task.

    `interrupt` asks the consumer to look up from its batch: a control message, a stop, a notice or a new lane is there.
    While there are `barriers`, which belong to one incarnation, messages are taken by `take` only, since it counts.
    """

    __slots__ = ("barriers", "interrupt", "lanes", "open_lanes", "parked", "propagator", "spec", "thread")

    def __init__(self, spec: MailboxSpec, carrier: ContextPropagator | None = None) -> None:
        self.spec: MailboxSpec = spec
        self.propagator: ContextPropagator | None = carrier
        self.lanes: list[LaneQueue | None] = _UNUSED
        self.open_lanes: tuple[LaneQueue, ...] = ()
        self.parked: trio.lowlevel.Task | None = None
        self.interrupt: bool = False
        self.barriers: deque[Barrier] | None = None
        self.thread: int = get_ident()
        """The thread of the consumer's trio loop."""

    @property
    def closed(self) -> bool:
        """Whether nothing gets in any more: the actor drains, or is dead."""
        return self.lanes is _CLOSED

    def configure(self, spec: MailboxSpec) -> None:
        """Take over the bounds and policies of `spec`; what waits already stays."""
        before, self.spec = self.spec, spec
        for queue in self.open_lanes:
            lane = queue.lane
            if isinstance(spec.overflow[lane], Conflate) or isinstance(before.overflow[lane], Conflate):
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
        """Make the lane's queue; the consumer is told that there is one more to look after."""
        lane = lane if type(lane) is Lane else Lane(lane)
        if self.lanes is _UNUSED:
            self.lanes = list(_UNUSED)
        queue = self.lanes[lane] = make_queue(lane, self.spec.capacity[lane], self.spec.overflow[lane], self.propagator)
        self.open_lanes = tuple([known for known in self.lanes if known is not None])
        self.interrupt = True
        return queue

    def check_loop(self) -> None:
        """Raise `WrongLoop` unless the consumer's loop runs in this thread."""
        if self.thread != get_ident():
            raise WrongLoop

    def wake(self) -> None:
        """Let the consumer run if it waits for something to do. Raises `WrongLoop`: call it before anything changes."""
        if self.parked is not None:
            if self.thread != get_ident():
                raise WrongLoop
            task, self.parked = self.parked, None
            trio.lowlevel.reschedule(task)

    def unpark(self, _: object) -> trio.lowlevel.Abort:
        """The consumer's wait was cancelled."""
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
        """Let a notice be due when all that waits now is gone. Notices with no message between them share a barrier."""
        behind = [0] * len(Lane)
        for queue in self.open_lanes:
            behind[queue.lane] = queue.left + len(queue.items)
        if self.barriers is None:
            self.barriers = deque()
        if self.barriers and self.barriers[-1].behind == behind:
            self.barriers[-1].notices.append(notice)
        else:
            self.barriers.append(Barrier(behind, notice))
        self.interrupt = True
        self.wake()

    def take_due_notice(self) -> Any:
        """Remove and return the first notice if nothing that it stands behind is left, else `EMPTY`."""
        if self.barriers is None:
            return EMPTY
        barrier = self.barriers[0]
        for queue in self.open_lanes:
            if queue.left < barrier.behind[queue.lane]:
                return EMPTY
        notice = barrier.notices.popleft()
        if not barrier.notices:
            self.barriers.popleft()
            self.barriers = self.barriers or None
        return notice

    def remove_notices(self, unwanted: Callable[[Any], bool]) -> None:
        """Remove the notices of which `unwanted` is true."""
        for barrier in self.barriers or ():
            barrier.notices = deque(notice for notice in barrier.notices if not unwanted(notice))
        self.barriers = deque(barrier for barrier in self.barriers or () if barrier.notices) or None

    def remove(self, message: object) -> bool:
        """Take out one queued message, found by identity; return whether it was there."""
        for queue in self.open_lanes:
            for index, queued in enumerate(queue.items):
                if queued is message:
                    queue.discard(index)
                    if index:  # else the queue has counted it as gone from its front
                        self._note_removed(queue, queue.left + index)
                    queue.admit()
                    return True
        return False

    def _note_removed(self, queue: LaneQueue, place: int) -> None:
        for barrier in self.barriers or ():
            if barrier.behind[queue.lane] > place:
                barrier.behind[queue.lane] -= 1

    def holds(self, message: object) -> bool:
        """Whether this very message waits."""
        return any(queued is message for queued in self.waiting())

    def has_messages(self) -> bool:
        """Whether any lane holds a message, or a notice waits."""
        if self.barriers is not None:
            return True
        for queue in self.open_lanes:  # noqa: SIM110 - no generator on the way to every wait
            if queue.items:
                return True
        return False

    def seal(self) -> None:
        """Let nothing more in. What waits stays to be handled, and so do the messages of senders that wait for room."""
        self.lanes = _CLOSED

    def close(self, bury: Callable[[object, Lane], None]) -> None:
        """Close for ever: each queued message, and each that waited for room, goes to `bury` in order of its lane."""
        queues, self.open_lanes, self.lanes, self.barriers = self.open_lanes, (), _CLOSED, None
        for queue in queues:
            for message in queue.items:
                bury(message, queue.lane)
            for waiter in queue.waiters or ():
                waiter.admitted = True
                trio.lowlevel.reschedule(waiter.task)
                bury(waiter.message, queue.lane)

    def waiting(self) -> list[Any]:
        """All queued messages, by lane."""
        return [message for queue in self.open_lanes for message in queue.items]

    def depths(self) -> dict[str, int]:
        """How many messages wait in each lane in use, by the lane's name."""
        return {queue.lane.name.lower(): len(queue.items) for queue in self.open_lanes}

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Each lane in use, in numbers."""
        return {queue.lane: queue.statistics() for queue in self.open_lanes}
