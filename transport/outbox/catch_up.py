"""Read the events that a connection lacks from the log: one thread after the other, a page at a time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import trio
from attrs import frozen

from transport.outbox.delivery import DeliveryCursors, Verdict
from transport.wire.events import Envelope


@frozen
class LogPage:
    """A page of a thread's log, in order, and the last seq in the log."""

    envelopes: Sequence[Envelope]
    last_seq: int


ReadLog: TypeAlias = Callable[[str, int, int, bool], Awaitable[LogPage]]


class LogUnreadable(Exception):
    """A page of the log could not be read; the cause says why."""

    def __init__(self, thread_id: str, after: int) -> None:
        super().__init__(f"the log of {thread_id} cannot be read after {after}")
        self.thread_id = thread_id
        self.after = after


@frozen
class CatchUpPage:
    """Events to send of a thread. `resync`: the log was trimmed; read the history and go on after this seq."""

    thread_id: str
    envelopes: Sequence[Envelope] = ()
    resync: int | None = None


class CatchUp:
    """The queue of threads to be read from the log. `page_s` is the deadline of reading a page, in seconds."""

    def __init__(self, cursors: DeliveryCursors, read_log: ReadLog, page_events: int, page_s: float) -> None:
        self._cursors = cursors
        self._read_log = read_log
        self._page_events = page_events
        self._page_s = page_s
        self._threads: dict[str, None] = {}
        self._reading: str | None = None

    def __len__(self) -> int:
        return len(self._threads)

    def __contains__(self, thread_id: object) -> bool:
        return thread_id in self._threads or (thread_id is not None and thread_id == self._reading)

    def add(self, thread_id: str, head: int | None = None) -> None:
        """Queue a thread whose log reaches at least to `head`. No-op if it is not subscribed or not behind."""
        if head is not None:
            self._cursors.extend_log(thread_id, head)
        if self._cursors.is_behind(thread_id):
            self._threads[thread_id] = None

    def discard(self, thread_id: str) -> None:
        """Remove a thread from the queue."""
        self._threads.pop(thread_id, None)

    async def read_page(self, *, html: bool) -> CatchUpPage:
        """Read the next page of the next thread, and queue the thread again if it is still behind.

        `html`: see `Outbox`. Raises LogUnreadable.
        """
        thread_id = next(iter(self._threads))
        del self._threads[thread_id]
        after = self._cursors.cursor(thread_id)
        if after is None:
            return CatchUpPage(thread_id)
        following = self._cursors.subscription_id(thread_id)
        self._reading = thread_id
        try:
            with trio.fail_after(self._page_s):
                page = await self._read_log(thread_id, after, self._page_events, html)
        except Exception as error:
            raise LogUnreadable(thread_id, after) from error
        finally:
            self._reading = None
        if self._cursors.subscription_id(thread_id) != following:
            self.add(thread_id)  # subscribed again while the page was read
            return CatchUpPage(thread_id)
        self._cursors.extend_log(thread_id, page.last_seq)
        fresh = self._accept_events(thread_id, page.envelopes)
        if self._cursors.cursor(thread_id) == after:
            return self._skip_missing(thread_id, after, page.last_seq)
        self.add(thread_id)
        return CatchUpPage(thread_id, fresh)

    def _accept_events(self, thread_id: str, envelopes: Sequence[Envelope]) -> list[Envelope]:
        fresh = []
        for envelope in envelopes:
            match self._cursors.offer(thread_id, envelope.seq or 0):
                case Verdict.SEND:
                    fresh.append(envelope)
                case Verdict.BEHIND | Verdict.NOT_SUBSCRIBED:
                    break
        return fresh

    def _skip_missing(self, thread_id: str, after: int, head: int) -> CatchUpPage:
        """Skip to the end: the page lacks the event after the cursor, as the log was trimmed or ends before it."""
        self._cursors.skip_to(thread_id, max(after, head))
        return CatchUpPage(thread_id, resync=head if head > after else None)
