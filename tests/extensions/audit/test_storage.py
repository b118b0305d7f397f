"""The audit log on both databases: entries are appended once, selected, never changed, and expire only by age."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from understudy.auth.sessions import SESSIONS_ENDED
from understudy.chat.run.call import ALLOWED, DENIED
from understudy.extensions.audit import storage
from understudy.extensions.audit.storage import EXPIRED, READ, AuditFilter, StoredEntry, append_entry, expire_audit
from understudy.extensions.notices.alert_routes import SENT
from understudy.extensions.privacy import queries as archive_queries
from understudy.extensions.privacy.erasure import ERASED
from understudy.storage.acts import PAGE, Deed
from understudy.storage.database import Database
from understudy.storage.deletion import remove_user_rows
from understudy.storage.owners import owner_of
from understudy.storage.read_pool import Archive
from understudy.storage.store import Store

ALL = 2**62
ADA, BOB = owner_of("ada", "acme"), owner_of("bob", "other")


def run(database: Database, statement: str) -> int:
    """Execute a statement past all of storage's code, and commit it. Return how many rows it changed."""
    writing = database.writing
    engine = Engine(writing.pool.recreate(), writing.dialect, writing.url)  # without what storage listens to
    try:
        with engine.connect() as connection, connection.begin():
            return connection.execute(text(statement)).rowcount
    finally:
        engine.dispose()


async def entries(database: Database, wanted: AuditFilter | None = None) -> Sequence[StoredEntry]:
    return await Archive(database).read(storage.entries, wanted or AuditFilter(), ALL, 1000)


async def fill(store: Store) -> None:
    """Ada is erased by Bob, who is of another tenant; Bob ends his sessions; ann, of none, allows a tool."""
    for entry in (
        Deed(ERASED, BOB, PAGE, ADA, "server_operator"),
        Deed(SESSIONS_ENDED, BOB, PAGE, BOB, detail={"all": True}),
        Deed(ALLOWED, "ann", "socket", "ann", detail={"tool": "mail" * 100}),
    ):
        await store.commit(append_entry(entry))
        time.sleep(0.002)  # noqa: ASYNC251 - SQLite's time of an entry, by which tests select, is in milliseconds


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET who = 'eve'",
        "UPDATE audit SET at = 0",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE action = 'user.erased'",
    ],
)
async def test_the_database_itself_refuses_to_change_or_delete_an_entry(
    store: Any, database: Any, statement: str
) -> None:
    await fill(store)
    before = await entries(database)
    with pytest.raises(DBAPIError, match="entries of the audit log cannot be"):
        await trio.to_thread.run_sync(run, database, statement)
    assert await entries(database) == before
    assert len(before) == 3


async def test_the_log_is_not_emptied_and_no_entry_replaced_by_other_ways(store: Any, database: Any) -> None:
    """PostgreSQL's TRUNCATE is refused; SQLite's REPLACE, which fires no trigger of a deletion, changes nothing."""
    await fill(store)
    before = await entries(database)
    columns = "number, id, at, who, role, way, action, target, tenant, detail"
    other = f"{before[0].number}, 'x', 0, 'eve', '', '', 'alert.sent', NULL, NULL, '{{}}'"
    if database.writing.dialect.name == "postgresql":
        with pytest.raises(DBAPIError, match="cannot be changed or deleted"):
            await trio.to_thread.run_sync(run, database, "TRUNCATE audit")
    else:
        replace = f"INSERT OR REPLACE INTO audit ({columns}) VALUES ({other})"
        await trio.to_thread.run_sync(run, database, replace)
    assert await entries(database) == before


async def test_entries_are_selected_by_tenant_user_action_and_time(store: Any, database: Any) -> None:
    await fill(store)
    third, second, first = await entries(database)
    assert [first.tenant, second.tenant, third.tenant] == ["acme", "other", None]
    assert (first.who, first.target, first.role, first.way) == (BOB, ADA, "server_operator", PAGE)
    assert (third.detail, second.detail) == ({"tool": ("mail" * 100)[:200]}, {"all": True})
    for wanted, expected in (
        (AuditFilter(False, "acme"), [first]), (AuditFilter(False, None), [third]),
        (AuditFilter(user=BOB), [second, first]), (AuditFilter(user=ADA), [first]),
        (AuditFilter(action="tool.allowed"), [third]), (AuditFilter(since=second.at, until=third.at), [second]),
    ):  # fmt: skip
        assert await entries(database, wanted) == expected, wanted
    assert await Archive(database).read(storage.entries, AuditFilter(), second.number, 1) == [second]


async def test_an_entry_that_is_stored_again_is_stored_once_and_outlives_its_user(
    store: Any, database: Any, make: Any
) -> None:
    await store.commit(make.opening())
    entry = Deed(ERASED, "ann", PAGE, "ann")
    assert [await store.commit(append_entry(entry)) for _ in range(2)] == [True, True]
    await store.delete_thread("ann", "t1")
    await store.commit(remove_user_rows("ann"))
    assert await Archive(database).read(archive_queries.user, "ann") is None
    assert [entry.target for entry in await entries(database)] == ["ann"]


async def test_only_what_is_older_expires_and_afterwards_nothing_can_be_deleted(store: Any, database: Any) -> None:
    for _ in range(EXPIRED + 1):
        await store.commit(append_entry(Deed(SENT, "ann", PAGE)))
    last = (await entries(database))[0]
    await store.commit(append_entry(Deed(SENT, "bob", PAGE)))
    assert [await store.commit(expire_audit(0.0)), len(await entries(database))] == [0, EXPIRED + 2]
    newest = (await entries(database))[0]
    assert newest.at > last.at
    gone = [await store.commit(expire_audit(newest.at)) for _ in range(3)]
    assert gone == [EXPIRED, 1, 0]
    assert await entries(database) == [newest]
    assert await trio.to_thread.run_sync(run, database, "DELETE FROM audit_retention") == 0
    with pytest.raises(DBAPIError, match="entries of the audit log cannot be"):
        await trio.to_thread.run_sync(run, database, "DELETE FROM audit")
    assert [await store.commit(expire_audit(newest.at + 1)), await entries(database)] == [0, [newest]]


def test_a_deed_has_only_the_members_of_its_act() -> None:
    """No call can put a text of a user into a member of its own making."""
    with pytest.raises(ValueError, match=r"a deed of tool\.denied has no note"):
        Deed(DENIED, "ann", PAGE, detail={"note": "because"})


def number_of(connection: Connection, who: str, entry: Deed) -> int | None:
    return storage.number_of(connection, entry.id, who)


async def test_a_cursor_is_of_the_user_who_began_to_read(store: Any, database: Any) -> None:
    read, other = Deed(READ, "ann", PAGE), Deed(SENT, "ann", PAGE)
    await store.commit(append_entry(read))
    await store.commit(append_entry(other))
    archive = Archive(database)
    assert await archive.read(number_of, "ann", read) == (await entries(database))[1].number
    assert await archive.read(number_of, "bob", read) is None
    assert await archive.read(number_of, "ann", other) is None
