"""Files in the database: other servers read them, local copies, and outages of the database."""

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, closing
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.extensions.files.content import read_all, stream
from tests.servers.pgbouncer import POOL, PgBouncer
from tests.servers.postgresql import Postgres, execute
from understudy.extensions.files import database as files_in_database
from understudy.extensions.files.cache import FileCache
from understudy.extensions.files.database import DatabaseFiles
from understudy.storage.errors import NotStored, StorageUnavailable
from understudy.storage.postgresql import PostgresDatabase, connect_database


@pytest.fixture
def shared(address: str) -> Any:
    opened = connect_database(address)
    yield opened
    opened.close()


@pytest.fixture
def nodes(shared: PostgresDatabase, tmp_path) -> list[DatabaseFiles]:
    return [DatabaseFiles(shared, FileCache(tmp_path / name)) for name in "ab"]


@pytest.fixture
def own_files(own_postgres: Postgres, tmp_path) -> Iterator[DatabaseFiles]:
    """Files in a database of a server that only this test has."""
    with closing(connect_database(own_postgres.create())) as opened:
        yield DatabaseFiles(opened, FileCache(tmp_path / "copies"))


async def nobody_at_work(files: DatabaseFiles) -> None:
    with trio.fail_after(60):
        while files.transfers:  # noqa: ASYNC110 - they tell nobody
            await trio.sleep(0.01)


async def test_an_upload_is_read_on_the_other_server(nodes: list[DatabaseFiles]) -> None:
    here, there = nodes
    content = bytes(range(256)) * 4000
    file = await here.save("ann", "a.bin", "text/plain", stream([content]))
    assert await read_all(there, file) == content
    copy = await there.local(file)
    assert copy.read_bytes() == content
    assert copy.parent == there.copies.folder
    copy.write_bytes(content[::-1])
    assert await there.local(file) == copy
    assert copy.read_bytes() == content[::-1]


async def test_a_half_copy_is_no_copy(nodes: list[DatabaseFiles]) -> None:
    here, there = nodes
    file = await here.save("ann", "a.bin", "text/plain", stream([b"whole"]))
    there.copies.folder.mkdir()
    (there.copies.folder / file.id).write_bytes(b"ha")
    assert (await there.local(file)).read_bytes() == b"whole"


async def test_uploads_take_no_more_room_than_copies_may(shared: PostgresDatabase, tmp_path) -> None:
    files = DatabaseFiles(shared, FileCache(tmp_path / "copies", limit_bytes=2500), limit_bytes=1000)
    saved = [await files.save("ann", "a", "text/plain", stream([bytes([number]) * 1000])) for number in range(5)]
    assert sum(path.stat().st_size for path in files.copies.folder.iterdir()) <= 2500
    assert [(await read_all(files, file))[0] for file in saved] == list(range(5))
    for file in saved[:2]:
        await files.local(file)  # held from here on
    with pytest.raises(StorageUnavailable, match="at once"):
        await files.save("ann", "a", "text/plain", stream([b"x"]))


async def test_a_file_that_is_not_what_was_uploaded(address: str, nodes: list[DatabaseFiles]) -> None:
    here, there = nodes
    file = await here.save("ann", "a.bin", "text/plain", stream([b"right"]))
    await trio.to_thread.run_sync(execute, address, "UPDATE file_parts SET body = 'wrong'")
    with pytest.raises(StorageUnavailable, match="not what was uploaded"):
        await there.local(file)
    assert list(there.copies.folder.iterdir()) == []


async def test_the_bytes_go_with_their_owner(address: str, nodes: list[DatabaseFiles]) -> None:
    here, there = nodes
    gone, stays = [await here.save(owner, "a", "text/plain", stream([b"x"])) for owner in ("ann", "bob")]
    await trio.to_thread.run_sync(execute, address, "DELETE FROM users WHERE id = 'ann'")
    with pytest.raises(NotStored):
        await read_all(there, gone)
    assert await read_all(there, stays) == b"x"
    assert await trio.to_thread.run_sync(execute, address, "SELECT count(*) FROM file_parts") == [(1,)]


async def test_the_id_of_anothers_file_gives_nothing(nodes: list[DatabaseFiles]) -> None:
    here, there = nodes
    file = await here.save("ann", "a", "text/plain", stream([b"x"]))
    with pytest.raises(NotStored):
        await read_all(there, evolve(file, owner="bob"))
    await there.remove("bob", [file.id])
    assert await read_all(there, file) == b"x"


async def test_row_and_bytes_are_one_transaction(
    address: str, nodes: list[DatabaseFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = nodes
    await trio.to_thread.run_sync(execute, address, "ALTER TABLE file_parts ADD CHECK (number < 1)")
    with pytest.raises(StorageUnavailable):
        await here.save("ann", "a", "text/plain", stream([bytes(300_000)]))
    assert await trio.to_thread.run_sync(execute, address, "SELECT id FROM files") == []
    assert list(here.copies.folder.iterdir()) == []


async def test_slow_readers_hold_no_session_of_a_pooler(
    postgres: Postgres, pgbouncer: PgBouncer, template: str, tmp_path
) -> None:
    """More readers than the pooler has sessions are in the middle of a file; an upload goes through all the same."""
    opened = await trio.to_thread.run_sync(connect_database, pgbouncer.address(postgres.create(template)))
    files = DatabaseFiles(opened, FileCache(tmp_path / "copies"))
    content = bytes(range(256)) * 2000
    file = await files.save("ann", "a", "text/plain", stream([content]))
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(aclosing(files.read(file))) for _ in range(POOL + 1)]
        begun = [await anext(reader) for reader in readers]
        await files.save("ann", "b", "text/plain", stream([content]))
        read = [begin + await anext(reader) for begin, reader in zip(begun, readers, strict=True)]
    assert read == [content] * (POOL + 1)
    opened.close()


async def test_a_database_that_says_nothing_is_not_waited_for(own_postgres: Postgres, own_files: DatabaseFiles) -> None:
    first = await own_files.save("ann", "a", "text/plain", stream([b"first"]))
    own_postgres.pause()
    own_files.deadline_s = 0.2
    try:
        with trio.fail_after(60):
            for attempt in (own_files.save("ann", "b", "text/plain", stream([b"second"])), read_all(own_files, first)):
                with pytest.raises(StorageUnavailable):
                    await attempt
    finally:
        own_postgres.resume()
    own_files.deadline_s = 10.0
    assert await read_all(own_files, first) == b"first"
    assert await trio.to_thread.run_sync(execute, own_postgres.address("db1"), "SELECT name FROM files") == [("a",)]
    await nobody_at_work(own_files)


async def test_a_transfer_that_is_late_is_ended_in_its_middle(
    own_postgres: Postgres, own_files: DatabaseFiles, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is held while pieces go there: the thread comes back although nobody answers, its place is free, and
    nothing of the file is there when the database goes on."""
    own_files.deadline_s = 0.3
    monkeypatch.setattr(files_in_database, "SLOWEST", 1 << 40)
    store = files_in_database._store

    def held_in_the_middle(connection: Any, file: Any, path: Any) -> None:
        store(connection, file, path)
        own_postgres.pause()
        connection.exec_driver_sql("SELECT 1")

    monkeypatch.setattr(files_in_database, "_store", held_in_the_middle)
    try:
        with trio.fail_after(60):
            with pytest.raises(StorageUnavailable):
                await own_files.save("ann", "a", "text/plain", stream([b"never"]))
            await nobody_at_work(own_files)
    finally:
        own_postgres.resume()
    assert await trio.to_thread.run_sync(execute, own_postgres.address("db1"), "SELECT name FROM files") == []
    assert list((tmp_path / "copies").iterdir()) == []


async def test_a_database_whose_disk_is_full(own_postgres: Postgres, own_files: DatabaseFiles, tmp_path) -> None:
    first = await own_files.save("ann", "a", "text/plain", stream([b"first"]))
    large = os.urandom(4 * 1024 * 1024)
    await trio.to_thread.run_sync(own_postgres.limit_files, 2 * 1024 * 1024)
    with pytest.raises(StorageUnavailable, match="could not extend file"):
        await own_files.save("ann", "b", "text/plain", stream([large]))
    assert await read_all(own_files, first) == b"first"
    assert await trio.to_thread.run_sync(execute, own_postgres.address("db1"), "SELECT name FROM files") == [("a",)]
    assert [path.name for path in (tmp_path / "copies").iterdir()] == [first.id]
    await trio.to_thread.run_sync(own_postgres.limit_files, -1)
    assert await read_all(own_files, await own_files.save("ann", "b", "text/plain", stream([large]))) == large
