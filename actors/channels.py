"""Mailboxes for plain trio code: trio's channel interfaces, with lanes, bounds and overflow policies.

`ActorRef.channel` feeds an actor from anything that writes to a `trio.abc.SendChannel`. `open_mailbox` makes a mailbox
that belongs to no actor, as `trio.open_memory_channel` makes a channel.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import trio

from .errors import MailboxFull
from .lanes import Lane, LaneStatistics, Overflow
from .mailbox import EMPTY, Mailbox, MailboxSpec

if TYPE_CHECKING:
    from .ref import ActorRef


class ActorChannel(trio.abc.SendChannel[Any]):
    """Feeds one lane of an actor. `send` waits for room as long as it takes; put a cancel scope around it.

    Raises `trio.ClosedResourceError` after `aclose`, `trio.BrokenResourceError` when the actor is dead, and
    `MailboxFull` when the lane's policy is `REJECT`. What waits when the actor dies becomes a dead letter.
    """

    def __init__(self, ref: ActorRef, lane: Lane = Lane.NORMAL) -> None:
        self._ref = ref
        self._lane = lane
        self._closed = False

    async def send(self, value: Any) -> None:
        """Put a message into the lane, waiting for room when its policy is `WAIT`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        await self._ref.send(value, lane=self._lane, timeout_s=float("inf"))

    def send_nowait(self, value: Any) -> None:
        """Put a message into the lane, or raise `MailboxFull`, which is a `trio.WouldBlock`."""
        self._check()
        self._ref.tell(value, lane=self._lane)

    async def aclose(self) -> None:
        """Send no more through this channel; the actor goes on."""
        self._closed = True
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if not self._ref.alive:
            raise trio.BrokenResourceError(f"{self._ref.path} is dead")


class DeadLetterSink(Protocol):
    """What is called with each message that a mailbox without an actor loses."""

    def __call__(self, message: object, lane: Lane, /) -> None:
        """A message that was pushed out, or left when the receiver closed."""


class MailboxSender(trio.abc.SendChannel[Any]):
    """The end of a mailbox that takes messages, on any lane."""

    def __init__(self, mailbox: Mailbox, lose: DeadLetterSink | None) -> None:
        self._mailbox = mailbox
        self._lose = lose
        self.closed: bool = False

    async def send(self, value: Any, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into a lane, waiting for room when its policy is `WAIT`.

        Raises `MailboxFull` when the policy is `REJECT`, `trio.BrokenResourceError` when the receiver is closed, also
        while it waits, and `trio.ClosedResourceError` after `aclose`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        queue = self._mailbox.lanes[lane] or self._mailbox.open(lane)
        if queue.overflow is not Overflow.WAIT or len(queue.items) < queue.bound:
            self.send_nowait(value, lane=lane)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        waiter = queue.enqueue(value)

        def give_up(_: object) -> trio.lowlevel.Abort:
            queue.dequeue(waiter)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        if self._mailbox.closed:
            raise trio.BrokenResourceError("the receiver of this mailbox closed it")

    def send_nowait(self, value: Any, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into a lane, or raise `MailboxFull`, which is a `trio.WouldBlock`."""
        self._check()
        queue = self._mailbox.lanes[lane] or self._mailbox.open(lane)
        if len(queue.items) < queue.capacity:
            queue.items.append(value)
            queue.high_water = max(queue.high_water, len(queue.items))
        elif not queue.replace(value):
            self._overflow(lane, value)
        self._mailbox.wake()

    def _overflow(self, lane: Lane, value: Any) -> None:
        queue = self._mailbox.lanes[lane]
        assert queue is not None  # noqa: S101 - it was opened a moment ago
        if queue.overflow in (Overflow.WAIT, Overflow.REJECT):
            queue.rejected += 1
            raise MailboxFull("this mailbox", queue.lane.name.lower(), queue.bound)
        lost = queue.displace(value)
        if self._lose is not None:
            self._lose(lost, lane)

    async def aclose(self) -> None:
        """Send no more: the receiver gets what waits, then the end."""
        self.closed = True
        self._mailbox.wake()
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError
        if self._mailbox.closed:
            raise trio.BrokenResourceError("the receiver of this mailbox closed it")


class MailboxReceiver(trio.abc.ReceiveChannel[Any]):
    """The end of a mailbox that gives messages, in fair order. One task may receive at a time."""

    def __init__(self, mailbox: Mailbox, sender: MailboxSender, lose: DeadLetterSink | None) -> None:
        self._mailbox = mailbox
        self._sender = sender
        self._lose = lose
        self._closed = False

    async def receive(self) -> Any:
        """Return the next message.

        Raises `trio.EndOfChannel` when the sender closed and nothing is left, `trio.ClosedResourceError` after
        `aclose`, and `trio.BusyResourceError` when another task receives.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            message = self._mailbox.take()
            if message is not EMPTY:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return message
            if self._sender.closed:
                raise trio.EndOfChannel
            if self._mailbox.parked is not None:
                raise trio.BusyResourceError("another task receives from this mailbox")
            self._mailbox.parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def receive_nowait(self) -> Any:
        """Return the next message, or raise `trio.WouldBlock`; the other errors are those of `receive`."""
        if self._closed:
            raise trio.ClosedResourceError
        message = self._mailbox.take()
        if message is not EMPTY:
            return message
        raise trio.EndOfChannel if self._sender.closed else trio.WouldBlock

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """The mailbox in numbers, for each lane in use."""
        return self._mailbox.statistics()

    async def aclose(self) -> None:
        """Receive no more; what waits is lost, and who waits to send gets `trio.BrokenResourceError`."""
        if not self._closed:
            self._closed = True
            lost: deque[tuple[object, Lane]] = deque()
            self._mailbox.close(lambda message, lane: lost.append((message, lane)))
            self._mailbox.wake()
            for message, lane in lost:
                if self._lose is not None:
                    self._lose(message, lane)
        await trio.lowlevel.checkpoint()

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._mailbox.parked = None
        return trio.lowlevel.Abort.SUCCEEDED


def open_mailbox(
    spec: MailboxSpec | None = None, *, on_lost: DeadLetterSink | None = None
) -> tuple[MailboxSender, MailboxReceiver]:
    """Make a mailbox that belongs to no actor; return the end to send to and the end to receive from.

    `on_lost` is called with each message that a dropping policy or the receiver's `aclose` loses.
    """
    mailbox = Mailbox(spec or MailboxSpec())
    sender = MailboxSender(mailbox, on_lost)
    return sender, MailboxReceiver(mailbox, sender, on_lost)
