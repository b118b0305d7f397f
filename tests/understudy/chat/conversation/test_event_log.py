"""The log of a thread: an arc moves on with a commit only, and a connection reads pages without false holes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from understudy.chat.conversation.event_log import read_page
from understudy.storage.changes import Change
from understudy.storage.records import LoggedEvent, Thread
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter
from understudy.wire.events import AgentThinking, Envelope
from understudy.wire.vocabulary import to_log


class Busy(Store):
    """A store in which an event is committed between any two reads, as a run at work does."""

    last = 0

    async def commit_one(self) -> None:
        self.last += 1
        body = to_log(Envelope(AgentThinking("a", "b", 0.0), 0.0, seq=self.last, thread_id="t"))
        thread = Thread("ada", "t", "title", "guide", None, 0.0, 0.0) if self.last == 1 else None
        await self.commit(Change("ada", "t", (LoggedEvent(self.last, "agent_thinking", None, body),), thread))

    async def thread(self, owner: str, thread_id: str) -> Thread | None:
        thread = await super().thread(owner, thread_id)
        await self.commit_one()
        return thread

    async def events(self, owner: str, thread_id: str, after: int, limit: int = 500) -> list[LoggedEvent]:
        events = await super().events(owner, thread_id, after, limit)
        await self.commit_one()
        return events


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Busy]:
    database = await trio.to_thread.run_sync(open_database, tmp_path)
    async with ActorSystem("s", [ChildSpec("writer", lambda: StoreWriter(database))]) as system:
        busy = Busy(database, lambda: system.find("/s/writer"))
        await busy.commit_one()
        yield busy
    database.close()


async def test_commits_while_a_page_is_read_leave_no_hole_in_it(store: Busy) -> None:
    """The page holds everything up to the head it names; an empty page never names a later head."""
    for after in range(6):
        page = await read_page(store, "ada", "t", after, 100)
        numbers = [envelope.seq for envelope in page.envelopes]
        assert numbers == list(range(after + 1, after + 1 + len(numbers)))
        assert page.last_seq <= after + len(numbers)


async def test_a_thread_that_is_not_there_is_an_empty_page(store: Busy) -> None:
    page = await read_page(store, "bob", "t", 3, 100)
    assert (list(page.envelopes), page.last_seq) == ([], 3)
