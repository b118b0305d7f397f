"""Failover of PostgreSQL: the address names both servers, and connections find the primary."""

from typing import Any

import pytest
import trio

from tests.servers.postgresql import Pair
from understudy.storage.errors import CannotConnect, StorageUnavailable
from understudy.storage.postgresql import _url, _where, connect_database, inspect_server
from understudy.storage.store import Store

from .test_postgresql import execute
from .test_writer import running


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("postgresql://me:hunter2@db1,db2/chat?target_session_attrs=read-write", "db1,db2/chat"),
        ("postgresql://me:hunter2@db1:5433,db2/chat", "db1,db2/chat"),
        ("postgresql://db1:5433,[::1]:5434/chat", "db1,::1/chat"),
        ("postgresql://me:hun/ter2@db1,db2/chat", "db1,db2/chat"),
        ("postgresql:///chat?host=db1,db2&port=5433,5434", "db1,db2/chat"),
        ("postgresql:///chat?host=db1:5433&host=db2:5434", "db1:5433,db2:5434/chat"),
        ("postgresql://me@[::1]:5433/chat", "::1/chat"),
        ("postgresql:///chat", "the local socket/chat"),
    ],
)
def test_an_address_of_libpq_may_name_several_hosts(address: str, where: str) -> None:
    """Several hosts, with and without ports; the name for operators has no password."""
    assert _where(_url(address)) == where


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hun@ter2@db/chat",
        "postgresql://me:hun@ter2/x@db/chat",
        "postgresql://me:hun@ter2?x=y@db/chat",
        "postgresql://me:hunter2@db1:x,db2/chat",
        "postgresql://me:hunter2@db1:1:2,db2/chat",
        "postgresql://me:hunter2@db1:99999999999999999999,db2/chat?port=x",
    ],
)
def test_what_is_no_address_is_refused_without_a_word_of_the_password(address: str) -> None:
    """Addresses with a misplaced @ or an invalid port: the error repeats no part of the password."""
    with pytest.raises(CannotConnect) as caught:
        connect_database(address)
    assert "ter2" not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.slow
async def test_the_primary_dies_and_the_standby_is_promoted(postgres_pair: Pair, make: Any) -> None:
    """Meanwhile askers hear that storage is not available; then storing and reading go on, and nothing is lost."""
    address = postgres_pair.create()
    assert inspect_server(address)[1] is None
    database = connect_database(address)
    async with running(database, deadline_s=0.3) as (store, _):
        await store.commit(make.opening())
        await store.commit(make.change(events=make.events(2, 20)))
        await trio.to_thread.run_sync(postgres_pair.primary.stop, "immediate")
        for attempt in (lambda: store.commit(make.change(events=make.events(21, 21))), store.check):
            with pytest.raises(StorageUnavailable):
                await attempt()
        await trio.to_thread.run_sync(postgres_pair.standby.promote)
        store.deadline_s = 10.0
        await store.commit(make.change(events=make.events(21, 21)))
        await store.check()
        assert [event.seq for event in await store.events("ann", "t1", 0)] == list(range(1, 22))
    database.close()


@pytest.mark.slow
async def test_the_primary_takes_no_more_writes_and_lives(postgres_pair: Pair, make: Any) -> None:
    """As in a planned change: whoever wrote to it goes to the new one, and so does whoever only read, so that nobody is
    told what was so before."""
    database = connect_database(postgres_pair.create())
    async with running(database, deadline_s=0.3) as (store, _):
        await store.commit(make.opening())
        assert await store.last_seqs("ann", ["t1"]) == {"t1": 1}
        await trio.to_thread.run_sync(postgres_pair.primary.set, "default_transaction_read_only", "on")
        await until_refused(store)
        with pytest.raises(StorageUnavailable):
            await store.commit(make.change(events=make.events(2, 2)))
        await trio.to_thread.run_sync(postgres_pair.standby.promote)
        store.deadline_s = 10.0
        await store.commit(make.change(events=make.events(2, 2)))
        assert await store.last_seqs("ann", ["t1"]) == {"t1": 2}
    database.close()


async def until_refused(store: Store) -> None:
    """Wait until nothing can be written: a session hears of a setting a little later."""
    with trio.fail_after(10):
        while True:
            try:
                await store.check()
            except StorageUnavailable:
                return


@pytest.mark.slow
def test_a_standby_alone_is_not_served_from(postgres_pair: Pair) -> None:
    """With the address that wants one which takes writes, a start says that there is none."""
    address = postgres_pair.create()
    connect_database(address).close()
    postgres_pair.primary.stop("immediate")
    with pytest.raises(CannotConnect, match="read-only"):
        connect_database(address)
    execute(postgres_pair.standby.address(address.rpartition("/")[2].partition("?")[0]), "SELECT FROM alembic_version")
