"""Admission control: how many messages are accepted at a time, so that each of these is accepted quickly.

1. What is too much is refused before its conversation is asked: nothing of it is stored.
2. Messages are admitted in the order in which they came. One that is not admitted within `WAIT_S` is refused, and one
   that finds that others have waited for `STANDING_S` at once: its own wait would be no shorter.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import define, field

from transport.wire.errors import CommandRejected
from understudy.chat.conversation.thread_log import BUSY_S

AT_A_TIME: Final = 64
"""Messages that are being accepted: enough to fill a commit, few enough to be through in a second or two even where
other processes leave the server a tenth of a processor."""
WAIT_S: Final = 5.0
"""Seconds after which a message that was not admitted is refused: as long as a write may take."""
STANDING_S: Final = 1.0
"""Seconds for which the first of those that wait may have waited before further messages are refused at once."""


@define(eq=False)
class AdmissionControl:
    """The messages that are being accepted on this node, and those that wait to be."""

    _permits: trio.Semaphore = field(factory=lambda: trio.Semaphore(AT_A_TIME), init=False)
    _waiting: dict[object, float] = field(factory=dict, init=False)
    """Since when each waits, on trio's clock, in the order of arrival."""

    def check(self) -> None:
        """Refuse a message that would wait for too long, before any work is done for it.

        Raises:
            CommandRejected: `busy`.
        """
        first = next(iter(self._waiting.values()), None)
        if first is not None and trio.current_time() >= first + STANDING_S:
            raise CommandRejected("busy", retry_after=BUSY_S)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for a permit, and hold it within the block.

        Raises:
            CommandRejected: There was none in time (`busy`).
        """
        self.check()
        try:
            self._permits.acquire_nowait()
        except trio.WouldBlock:
            waiting = object()
            self._waiting[waiting] = trio.current_time()
            try:
                with trio.move_on_after(WAIT_S) as limit:
                    await self._permits.acquire()
            finally:
                del self._waiting[waiting]
            if limit.cancelled_caught:
                raise CommandRejected("busy", retry_after=BUSY_S) from None
        try:
            yield
        finally:
            self._permits.release()
