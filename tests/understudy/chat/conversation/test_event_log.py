"""The log of a thread: an arc moves on with a commit only, and a connection reads pages without false holes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from transport.wire.codec import to_log
from transport.wire.events import (
    AgentThinking,
    AnswerText,
    Envelope,
    FinalResponse,
    RunStatus,
    Usage,
)
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.conversation.event_log import PAGE_ANSWERS, read_page
from understudy.storage.records import Change, LoggedEvent, Thread
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


class Busy(Store):
    """A store in which an event is committed between any two reads, as a run at work does."""

    last = 0

    async def commit_one(self) -> None:
        """Commit the next event of the thread."""
        self.last += 1
        body = to_log(Envelope(AgentThinking("a", "b", 0.0), 0.0, seq=self.last, thread_id="t"))
        thread = Thread("ada", "t", "title", "guide", None, 0.0, 0.0) if self.last == 1 else None
        await self.commit(Change("ada", "t", (LoggedEvent(self.last, "agent_thinking", None, body),), thread))

    async def thread(self, owner: str, thread_id: str) -> Thread | None:
        """Read, then commit."""
        found = await super().thread(owner, thread_id)
        await self.commit_one()
        return found

    async def events(self, owner: str, thread_id: str, after: int, limit: int = 500) -> list[LoggedEvent]:
        """Read, then commit."""
        found = await super().events(owner, thread_id, after, limit)
        await self.commit_one()
        return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Busy]:
    """A real store with one event in it."""
    database = await trio.to_thread.run_sync(open_database, tmp_path)
    async with ActorSystem("s", [ChildSpec("writer", lambda: StoreWriter(database))]) as system:
        busy = Busy(database, lambda: system.find("/s/writer"))
        await busy.commit_one()
        yield busy
    database.close()


async def test_what_is_committed_while_a_page_is_read_is_never_a_hole(store: Busy) -> None:
    """The page holds everything up to the head it names; an empty page never names a later head."""
    for after in range(6):
        page = await read_page(store, "ada", "t", after, 100)
        numbers = [envelope.seq for envelope in page.envelopes]
        assert numbers == list(range(after + 1, after + 1 + len(numbers)))
        assert page.last_seq <= after + len(numbers)


async def test_a_thread_that_is_not_there_is_an_empty_page(store: Busy) -> None:
    """It names no head beyond what was asked for."""
    page = await read_page(store, "bob", "t", 3, 100)
    assert (list(page.envelopes), page.last_seq) == ([], 3)


async def test_a_page_ends_after_so_much_of_answers(store: Busy) -> None:
    """What must be rendered for one page is bounded; the next page goes on where it ended, and nothing is lost."""
    final = FinalResponse("word " * (PAGE_ANSWERS // 8), RunStatus.SUCCESS, Usage())
    bodies = [to_log(Envelope(final, 0.0, seq=seq, thread_id="u")) for seq in range(1, 6)]
    events = tuple(LoggedEvent(seq, "final_response", None, body) for seq, body in enumerate(bodies, 1))
    await store.commit(Change("ada", "u", events, Thread("ada", "u", "title", "guide", None, 0.0, 0.0)))
    html = AnswerHtml()
    first = await read_page(store, "ada", "u", 0, 100, html=html)
    second = await read_page(store, "ada", "u", 2, 100, html=html)
    assert [envelope.seq for envelope in first.envelopes] == [1, 2]
    assert [envelope.seq for envelope in second.envelopes] == [3, 4]
    assert (first.last_seq, second.last_seq) == (5, 5)


async def test_answers_are_rendered_for_who_takes_html(store: Busy) -> None:
    """A page for anybody else comes without that work."""
    texts = [f"rendered for *some*: {number}" for number in range(3)]
    bodies = [to_log(Envelope(FinalResponse(text, RunStatus.SUCCESS, Usage()), 0.0, thread_id="u")) for text in texts]
    events = tuple(LoggedEvent(seq, "final_response", None, body) for seq, body in enumerate(bodies, 1))
    await store.commit(Change("ada", "u", events, Thread("ada", "u", "title", "guide", None, 0.0, 0.0)))
    html = AnswerHtml()
    for given in (None, html):
        assert len((await read_page(store, "ada", "u", 0, 100, html=given)).envelopes) == 3
        assert [html.cache.get(AnswerText(text)) is not None for text in texts] == [given is html] * 3
