"""The progress notes of a run's calls, paced before they are scanned.

1. At most one note each `PUBLISH_S` is scanned and published, however many the calls give, from any threads. Only the
   newest note of a call waits; the calls take turns.
2. The last note of a call is published by the end of the call.
3. A note wakes the server's loop only if no other waits for publication already.
4. A note that replaces one which was not published yet costs its tool `BRAKE_S`, but not on the server's own loop: a
   tool that tells of progress without pause would hold the interpreter, which the server's loop shares.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import trio
from attrs import define, field

from actors import ActorDied
from understudy.content.filter import MAX_NOTE

PUBLISH_S: Final = 0.1
"""Seconds between two notes of a run; a person reads no faster."""

BRAKE_S: Final = 0.001
"""Seconds that a tool sleeps for a note that comes too fast."""

Note: TypeAlias = tuple[float, float | None, str]
"""The amount of work that is done, the total (None: unknown), and a line about it."""


@define(eq=False)
class CallProgress:
    """Takes the notes of one call, in any thread; none after the call has ended."""

    notes: "ProgressNotes"
    ended: bool = False

    def __call__(self, done: float, total: float | None, note: str) -> None:
        """Have a note published, unless a newer one comes first."""
        if not self.ended:
            self.notes.add(self, (done, total, str(note)[:MAX_NOTE]))


@define(eq=False)
class ProgressNotes:
    """The newest note of each call of a run, in the order of their turns. `publish` scans a note and sends it.

    `start_soon` starts the task that publishes, with the first note: most calls give none.
    """

    publish: Callable[[float, float | None, str], Awaitable[None]]
    start_soon: Callable[[Callable[[], Awaitable[None]]], None] | None = None
    _waiting: OrderedDict[CallProgress, Note] = field(factory=OrderedDict, init=False, repr=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _publishing: trio.Lock = field(factory=trio.Lock, init=False, repr=False)
    _idle: bool = field(default=False, init=False)
    _server: trio.lowlevel.TrioToken | None = field(default=None, init=False)
    _server_thread: int = field(factory=threading.get_ident, init=False)  # which makes this object

    @asynccontextmanager
    async def of_call(self) -> AsyncGenerator[CallProgress, None]:
        """Take the notes of one call. Publish the last when the block ends; drop it if the block raises."""
        call = CallProgress(self)
        if self._server is None:
            self._server, self._idle = trio.lowlevel.current_trio_token(), True
        try:
            yield call
        except BaseException:
            call.ended = True
            self._waiting.pop(call, None)
            raise
        call.ended = True
        last = self._waiting.pop(call, None)
        if last is not None or self._publishing.locked():  # a free lock costs a step of the loop to take
            async with self._publishing:  # an earlier note of the call comes first
                if last is not None:
                    await self.publish(*last)

    def add(self, call: CallProgress, note: Note) -> None:
        """Keep a note of a call instead of the one that waits. For any thread: each step here is atomic."""
        too_fast = call in self._waiting
        self._waiting[call] = note
        if too_fast and threading.get_ident() != self._server_thread:
            time.sleep(BRAKE_S)
        if self._idle and self._server is not None:
            self._idle = False
            with suppress(trio.RunFinishedError):
                self._server.run_sync_soon(self._wake)

    def _wake(self) -> None:
        if self.start_soon is None:
            self._news.set()
            return
        start_soon, self.start_soon = self.start_soon, None
        with suppress(ActorDied):  # the run ends now
            start_soon(self._publish_forever)

    async def _publish_forever(self) -> None:
        """Publish the notes as they come, at most one each `PUBLISH_S`."""
        while True:
            self._idle = True  # set before `_waiting` is read: a note that comes in between is seen, or wakes
            if not self._waiting:
                await self._news.wait()
            self._idle, self._news = False, trio.Event()
            async with self._publishing:
                if self._waiting:  # else the call of the note has ended meanwhile
                    call, note = self._waiting.popitem(last=False)
                    if not call.ended:
                        await self.publish(*note)
            await trio.sleep(PUBLISH_S)
