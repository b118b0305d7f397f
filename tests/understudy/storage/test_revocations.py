"""Sessions that were ended, as every server on a database learns of them."""

import contextlib
import sqlite3
from collections.abc import Callable

import pytest
import trio
import trio.testing

from actors import ActorSystem, ChildSpec
from tests.rigs.clock import Clock
from transport.auth.identity import Identity
from understudy.auth import revocation
from understudy.auth.revocation import RevocationPoller, StoredRevocations, session_key
from understudy.storage import revocations
from understudy.storage.errors import StorageUnavailable
from understudy.storage.revocations import revoke_session

ADA, BOB = Identity("ada", "s1"), Identity("bob", "s1")


@pytest.fixture
def server(store) -> Callable[..., StoredRevocations]:
    def make(**more: object) -> StoredRevocations:
        return StoredRevocations(Clock(1000.0), store, **more)

    return make


async def test_a_session_that_ends_on_one_server_ends_on_all(server) -> None:
    news: list[str] = []
    first, other = server(), server(on_revoked=news.extend)
    await other.poll()
    await first.revoke_session(ADA, 2000.0)
    assert ADA in first
    assert ADA not in other
    await other.poll()
    await other.poll()
    assert ADA in other
    assert BOB not in other
    assert news == [session_key(ADA)]
    later = server()
    await later.poll()
    assert ADA in later
    other.clock.now = 2000.0
    assert ADA not in other


async def test_a_revocation_that_is_committed_late_is_seen(server, store, monkeypatch) -> None:
    first, other = server(), server()
    await first.revoke_session(ADA, 2000.0)
    await other.poll()
    await store.commit(revoke_session(session_key(BOB), 2000.0, 1000.0))
    other._seen_to += 10.0  # as if something later had been seen before
    await other.poll()
    assert BOB in other


async def test_many_are_read_in_pages(server, store, monkeypatch) -> None:
    for module in (revocations, revocation):
        monkeypatch.setattr(module, "PAGE", 2)
    async with trio.open_nursery() as nursery:
        for number in range(7):
            nursery.start_soon(store.commit, revoke_session(f"n{number}", 2000.0, 1000.0))
    first = server()
    await first.poll()
    assert sorted(name for name, _ in first.entries()) == [f"n{number}" for number in range(7)]


async def test_the_later_end_counts_and_past_ones_go(server, store) -> None:
    first = server()
    await first.revoke_session(ADA, 2000.0)
    await first.revoke_session(ADA, 1500.0)
    await first.revoke_session(BOB, 1100.0)
    other = server()
    await other.poll()
    assert dict(other.entries()) == {session_key(ADA): 2000.0, session_key(BOB): 1100.0}
    changed = [bool(await store.commit(revoke_session("later", until, 1200.0))) for until in (4000.0, 5000.0, 5000.0)]
    assert changed == [True, True, False]
    revoked = await store.read(revocations.revoked_since, 0.0, "", 0.0)
    assert {row.name for row in revoked} == {session_key(ADA), "later"}


async def test_a_revocation_that_cannot_be_written_has_not_happened(on_sqlite, server, monkeypatch) -> None:
    first = server()

    async def away(*_: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(first.store, "commit", away)
    with pytest.raises(StorageUnavailable):
        await first.revoke_session(ADA, 2000.0)
    assert ADA not in first


async def test_it_is_read_only_after_a_commit(on_sqlite, server, store, monkeypatch) -> None:
    reads: list[object] = []
    first, read = server(), store.read
    monkeypatch.setattr(revocation, "SETTLING_S", 0.0)
    monkeypatch.setattr(store, "read", lambda *question: reads.append(question) or read(*question))
    await first.poll()
    await first.poll()  # the first read makes the log of the database
    reads.clear()
    for _ in range(3):
        await first.poll()
    assert not reads
    insert = "INSERT INTO ended_sessions (name, until, ended_at) VALUES (?, 2000, 1000)"
    with contextlib.closing(sqlite3.connect(store.database.path)) as connection, connection:
        connection.execute(insert, [session_key(ADA)])
    for _ in range(3):
        await first.poll()
    assert (ADA in first, len(reads)) == (True, 1)


async def test_it_is_looked_for_twice_a_second_and_again_after_a_fault(on_sqlite, server, monkeypatch) -> None:
    monkeypatch.setattr(revocation, "POLL_S", 0.01)
    first, other = server(), server()
    read, failures = other.store.read, iter([StorageUnavailable("away")] * 2)

    async def sometimes(*question: object) -> object:
        for failure in failures:
            raise failure
        return await read(*question)

    monkeypatch.setattr(other.store, "read", sometimes)
    async with ActorSystem("s", [ChildSpec("ended", lambda: RevocationPoller(other))]):
        await first.revoke_session(ADA, 2000.0)
        while ADA not in other:  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert next(failures, None) is None
