"""Mailboxes for plain trio code: trio's channel interfaces, with lanes, bounds and overflow policies.

`open_mailbox` makes a mailbox that belongs to no actor, as `trio.open_memory_channel` makes a channel.
"""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import Any, Protocol

import trio

from .errors import MailboxFull
from .lanes import Lane, LaneStatistics, Overflow, WaitingSends
from .mailbox import EMPTY, Mailbox, MailboxSpec

_RECEIVER_CLOSED = "the receiver of this mailbox closed it"


class OnLost(Protocol):
    """A function that is called with each message that a mailbox without an actor loses."""

    def __call__(self, message: object, lane: Lane, /) -> None:
        """Take a message that was pushed out, or left when the receiver closed."""


class MailboxSender(trio.abc.SendChannel[Any]):
    """The sending end of a mailbox, for any lane."""

    def __init__(self, mailbox: Mailbox, lose: OnLost | None) -> None:
        self._mailbox = mailbox
        self._lose = lose
        self._waiting = WaitingSends()
        self.closed: bool = False

    async def send(self, value: Any, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into a lane, waiting for room if its policy is `WAIT`.

        Raises `MailboxFull` if the policy is `REJECT`, `trio.BrokenResourceError` if the receiver is closed, and
        `trio.ClosedResourceError` after `aclose`; both also while it waits, and then nothing was sent.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check()
        queue = self._mailbox.lanes[lane] or self._mailbox.open(lane)
        if queue.overflow is not Overflow.WAIT or len(queue.items) < queue.bound:
            self.send_nowait(value, lane=lane)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        await self._waiting.wait(queue, value)

    def send_nowait(self, value: Any, *, lane: Lane = Lane.NORMAL) -> None:
        """Put a message into a lane, or raise `MailboxFull`, which is a `trio.WouldBlock`."""
        self._check()
        self._mailbox.wake()
        queue = self._mailbox.lanes[lane] or self._mailbox.open(lane)
        if len(queue.items) < queue.capacity:
            queue.items.append(value)
            queue.note_depth()
        elif not queue.replace(value):
            self._overflow(lane, value)

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
        """Close this end. The receiver gets the messages in the lanes, then the end; waiting sends raise an error."""
        self.closed = True
        self.refuse_waiting(trio.ClosedResourceError)
        self._mailbox.wake()
        await trio.lowlevel.checkpoint()

    def refuse_waiting(self, error: type[Exception], *about: str) -> None:
        """Make each send that waits for room raise an error of this type. For the other end."""
        self._waiting.refuse(error, *about)

    def _check(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError
        if self._mailbox.closed:
            raise trio.BrokenResourceError(_RECEIVER_CLOSED)


class MailboxReceiver(trio.abc.ReceiveChannel[Any]):
    """The receiving end of a mailbox, in fair order. One task may receive at a time."""

    def __init__(self, mailbox: Mailbox, sender: MailboxSender, lose: OnLost | None) -> None:
        self._mailbox = mailbox
        self._sender = sender
        self._lose = lose
        self._closed = False

    async def receive(self) -> Any:
        """Return the next message.

        Raises `trio.EndOfChannel` if the sender has closed and no message is left, `trio.ClosedResourceError` after
        `aclose`, and `trio.BusyResourceError` if another task receives.
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
            self._mailbox.thread = get_ident()
            self._mailbox.parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def receive_nowait(self) -> Any:
        """Return the next message, or raise `trio.WouldBlock` or an error of `receive`."""
        if self._closed:
            raise trio.ClosedResourceError
        message = self._mailbox.take()
        if message is not EMPTY:
            return message
        raise trio.EndOfChannel if self._sender.closed else trio.WouldBlock

    def statistics(self) -> dict[Lane, LaneStatistics]:
        """Return the statistics of each lane in use."""
        return self._mailbox.statistics()

    async def aclose(self) -> None:
        """Close this end. Waiting messages are lost, and waiting sends raise `trio.BrokenResourceError`."""
        if not self._closed:
            self._closed = True
            self._sender.refuse_waiting(trio.BrokenResourceError, _RECEIVER_CLOSED)
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
    spec: MailboxSpec | None = None, *, on_lost: OnLost | None = None
) -> tuple[MailboxSender, MailboxReceiver]:
    """Make a mailbox that belongs to no actor. Return its sending and its receiving end.

    `on_lost` is called with each message that a dropping policy or the receiver's `aclose` loses, but not with one for
    which a send raised an error.
    """
    mailbox = Mailbox(spec or MailboxSpec())
    sender = MailboxSender(mailbox, on_lost)
    return sender, MailboxReceiver(mailbox, sender, on_lost)
