"""The timer that fires when an actor hears nothing for a while.

One timer is set for many messages: when it fires too early, it is set again for the rest.
"""

from __future__ import annotations

import trio
from attrs import frozen

from actors.actor import Context


@frozen
class ReceiveTimeout:
    """Nothing was heard for `timeout_s` seconds. Comes again after each further silence of that length."""

    timeout_s: float


class IdleTimer:
    """Counts from the end of the last message; a timer of the actor, and gone with it."""

    __slots__ = ("_first", "_handled", "_since", "notice")

    def __init__(self, context: Context, timeout_s: float) -> None:
        self.notice: ReceiveTimeout = ReceiveTimeout(timeout_s)
        """What the actor will receive."""
        self._handled = 0
        self.start(context)

    def start(self, context: Context) -> None:
        """Count from now."""
        self._since = trio.current_time()
        self._first: int | None = None
        context.set_timer(ReceiveTimeout, self.notice.timeout_s, self.notice)

    def heard(self, *, counts: bool) -> None:
        """A message has been handled; `counts` unless it leaves the silence alone."""
        self._handled += 1
        if counts:
            self._since = trio.current_time()

    def due(self, context: Context) -> bool:
        """The timer has fired: whether it was silent for all the time. If not, it is set again.

        What waits in the mailbox in that very moment is handled first: it may end the silence.
        """
        left_s = max(0.0, self._since + self.notice.timeout_s - trio.current_time())
        if left_s > 0:
            self._first = None
        elif self._first is None and any(lane.depth for lane in context.ref.statistics().values()):
            self._first = self._handled + 1
        elif self._first is None or self._handled >= self._first:
            return True
        context.set_timer(ReceiveTimeout, left_s, self.notice)
        return False


def cancel_idle_timer(context: Context) -> None:
    """Let the actor's silence pass without a notice."""
    context.cancel_timer(ReceiveTimeout)
