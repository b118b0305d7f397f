"""Uploads, in a folder and in PostgreSQL: whole or not at all, bounded, named by the server."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
import trio

from tests.extensions.files.content import read_all, stream
from tests.rigs.store import running
from understudy.extensions.files.cache import FileCache
from understudy.extensions.files.database import DatabaseFiles
from understudy.extensions.files.folder import FolderFiles, display_name
from understudy.extensions.files.storage import among
from understudy.extensions.files.tables import file_parts
from understudy.extensions.files.tables import files as files_table
from understudy.storage.errors import FileTooLarge, NotStored, StorageUnavailable, Unstorable

BINARY = "application/octet-stream"


@pytest.fixture
async def store(database):
    async with running(database) as (store, _):
        yield store


@pytest.fixture
def folder_of(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "files"


@pytest.fixture
def files(database, kind, store, folder_of):
    options: Any = {"limit_bytes": 1_000_000, "clock": lambda: 42.0}
    if kind == "sqlite":
        return FolderFiles(folder_of, store.commit, **options)
    return DatabaseFiles(database, FileCache(folder_of), **options)


@pytest.fixture
def nothing_is_left(database, folder_of):
    """Whether there is neither a row nor a byte of any file."""

    def look() -> bool:
        with database.reading.begin() as connection:
            rows = [connection.execute(table.select()).all() for table in (files_table, file_parts)]
        return rows == [[], []] and not (folder_of.exists() and list(folder_of.iterdir()))

    return partial(trio.to_thread.run_sync, look)


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 0, 7], [300_000, 300_000, 1], [1_000_000]])
async def test_the_bytes_are_kept_as_they_came(files, store, sizes) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    file = await files.save("ann", "a.bin", BINARY, stream(chunks))
    content = b"".join(chunks)
    assert await read_all(files, file) == content
    assert (await files.local(file)).read_bytes() == content
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (file.owner, file.name, file.created_at) == ("ann", "a.bin", 42.0)
    assert await store.read(among, "ann", [file.id]) == [file]


async def test_an_upload_past_the_limit_is_not_read_to_its_end(files, nothing_is_left) -> None:
    chunks_read = []

    def endless():
        while True:
            chunks_read.append(1)
            yield bytes(100_000)

    async with aclosing(stream(endless())) as body:
        with pytest.raises(FileTooLarge, match="larger than 1000000 bytes"):
            await files.save("ann", "big", "text/plain", body)
    assert len(chunks_read) == 11
    assert await nothing_is_left()


async def test_a_cancelled_upload_leaves_nothing(files, nothing_is_left) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await files.save("ann", "half", "text/plain", stalls())
    assert scope.cancelled_caught
    assert await nothing_is_left()


async def test_an_upload_whose_source_fails_leaves_nothing(files, nothing_is_left) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        await files.save("ann", "half", "text/plain", breaks())
    assert await nothing_is_left()


async def test_an_upload_whose_row_cannot_be_stored_leaves_nothing(files, nothing_is_left) -> None:
    with pytest.raises(Unstorable):
        await files.save("ann", "a", "text/\ud800", stream([b"x"]))
    assert await nothing_is_left()


async def test_a_folder_that_cannot_be_written(files, folder_of) -> None:
    folder_of.write_text("in the way")
    with pytest.raises(StorageUnavailable):
        await files.save("ann", "a", "text/plain", stream([b"x"]))


async def test_many_uploads_at_once(files) -> None:
    saved = []

    async def upload(number: int) -> None:
        content = str(number).encode() * 1000
        saved.append((await files.save("ann", "same.txt", "text/plain", stream([content])), content))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(upload, number)
    assert len({file.id for file, _ in saved}) == 20
    assert all([await read_all(files, file) == content for file, content in saved])


async def test_removed_files_are_gone(files) -> None:
    first, second = [await files.save("ann", "a", "text/plain", stream([b"x"])) for _ in range(2)]
    await files.remove("ann", [first.id])
    await files.remove("ann", [first.id, "0" * 32])
    for gone in (read_all(files, first), files.local(first)):
        with pytest.raises(NotStored):
            await gone
    assert await read_all(files, second) == b"x"


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "0" * 32 + "\n", "0" * 32 + ".part"]
)
async def test_only_the_servers_own_names_are_paths(files, make, name) -> None:
    for call in (files.local(make.file(file_id=name)), files.remove("ann", [name])):
        with pytest.raises(ValueError, match="not the id of a stored file"):
            await call


async def test_what_a_killed_process_left_is_swept(on_sqlite, files) -> None:
    assert files.sweep() == 0
    file = await files.save("ann", "a", "text/plain", stream([b"x"]))
    (files.folder / ("1" * 32 + ".part")).write_bytes(b"half")
    assert files.sweep() == 1
    assert [path.name for path in files.folder.iterdir()] == [file.id]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("report.pdf", "report.pdf"), ("../../etc/passwd", "passwd"), ("C:\\Users\\ann\\report.pdf", "report.pdf"),
        ("a\x00b\r\nc\x1b[31m.txt", "abc[31m.txt"), ("exe.\u202efdp.txt", "exe.fdp.txt"), ("  spaced  ", "spaced"),
        ("e\u0301t\u00e9.txt", "été.txt"), ("broken\ud800.txt", "broken.txt"), ("", "file"), ("..", "file"),
        ("folder/", "file"), ("x" * 300 + ".csv", "x" * 196 + ".csv"), ("x" * 300, "x" * 200),
        ("." + "x" * 300, "." + "x" * 199),
    ],
)  # fmt: skip
def test_display_names(raw, expected) -> None:
    assert display_name(raw) == expected
