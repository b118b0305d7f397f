"""Reading what a connection lacks: in turn, a page at a time, to the end of the log or past what was trimmed."""

import pytest
import trio
from attrs import define, field

from transport.outbox.catch_up import CatchUp, LogPage, LogUnreadable
from transport.outbox.delivery import DeliveryCursors
from transport.wire.events import AgentThinking, Envelope


@define
class Log:
    """The events after `trimmed`, up to `head`, of every thread."""

    head: int
    trimmed: int = 0
    asked: list[tuple[str, int]] = field(factory=list)

    async def read(self, thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        """A page."""
        self.asked.append((thread_id, after))
        await trio.lowlevel.checkpoint()
        first = max(after, self.trimmed) + 1
        last = min(first + limit - 1, self.head)
        told = AgentThinking("a", "x", 1.0)
        return LogPage([Envelope(told, 1.0, seq, thread_id) for seq in range(first, last + 1)], self.head)


def follow(log: Log, *threads: str, after: int = 0) -> CatchUp:
    """A backlog of these threads."""
    session = DeliveryCursors()
    backlog = CatchUp(session, log.read, 3, 10.0)
    for thread_id in threads:
        session.subscribe(thread_id, after, log.head)
        backlog.add(thread_id)
    return backlog


async def told(backlog: CatchUp) -> tuple[str, list[int | None]]:
    """The thread and the numbers of the next portion."""
    portion = await backlog.read_page(html=False)
    assert portion.resync is None
    return portion.thread_id, [envelope.seq for envelope in portion.envelopes]


async def test_threads_take_turns_until_they_have_all() -> None:
    """A page each; a thread that has caught up stands in line no more."""
    backlog = follow(Log(5), "a", "b")
    assert [await told(backlog) for _ in range(4)] == [("a", [1, 2, 3]), ("b", [1, 2, 3]), ("a", [4, 5]), ("b", [4, 5])]
    assert not backlog


async def test_only_what_is_behind_is_read() -> None:
    """Not a thread that has all, nor one that is not followed, nor one that was forgotten."""
    log = Log(5)
    backlog = follow(log, "a", after=5)
    backlog.add("a", 5)
    backlog.add("other", 9)
    assert not backlog
    log.head = 6
    backlog.add("a", 6)
    assert "a" in backlog
    backlog.discard("a")
    assert not backlog
    assert log.asked == []


async def test_a_trimmed_log_is_jumped_over() -> None:
    """The portion names where it goes on, and the thread is done."""
    backlog = follow(Log(9, trimmed=6), "a", after=2)
    portion = await backlog.read_page(html=False)
    assert (portion.envelopes, portion.resync) == ((), 9)
    assert not backlog


async def test_a_log_that_cannot_be_read_says_where(autojump_clock: trio.testing.MockClock) -> None:
    """Both a failure and a page that does not come."""

    async def fail(thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        raise OSError("the disk")

    async def hang(thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        await trio.sleep_forever()

    for read, cause in ((fail, OSError), (hang, trio.TooSlowError)):
        session = DeliveryCursors()
        session.subscribe("a", 2, 5)
        backlog = CatchUp(session, read, 3, 10.0)
        backlog.add("a")
        with pytest.raises(LogUnreadable) as unreadable:
            await backlog.read_page(html=False)
        assert (unreadable.value.thread_id, unreadable.value.after) == ("a", 2)
        assert isinstance(unreadable.value.__cause__, cause)
