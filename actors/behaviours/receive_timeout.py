"""A timer that fires if an actor receives no message for some time.

One timer serves many messages: if it fires too early, it is set again for the rest.
"""

from __future__ import annotations

import trio
from attrs import frozen

from actors.actor import Context


@frozen
class ReceiveTimeout:
    """No message came for `timeout_s` seconds. Sent again after each further interval of that length."""

    timeout_s: float


class IdleTimer:
    """Measures the time since the end of the last message, by a timer of the actor."""

    __slots__ = ("_first", "_handled", "_since", "notice")

    def __init__(self, context: Context, timeout_s: float) -> None:
        self.notice: ReceiveTimeout = ReceiveTimeout(timeout_s)
        """The message that the actor will receive."""
        self._handled = 0
        self.start(context)

    def start(self, context: Context) -> None:
        """Count from now."""
        self._since = trio.current_time()
        self._first: int | None = None
        context.set_timer(ReceiveTimeout, self.notice.timeout_s, self.notice)

    def heard(self, *, counts: bool) -> None:
        """Record that a message was handled; `counts` if it restarts the timer."""
        self._handled += 1
        if counts:
            self._since = trio.current_time()

    def due(self, context: Context) -> bool:
        """Return whether the timer, which has fired, is due; if not, set it again.

        Messages that wait in the mailbox at that moment are handled first: they may restart the timer.
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
    """Cancel the timer."""
    context.cancel_timer(ReceiveTimeout)
