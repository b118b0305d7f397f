"""Uploads: whole or not at all, bounded, named by the server."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

import pytest
import trio

from understudy.storage import FileStore, FileTooLarge, StorageUnavailable, display_name


async def stream(chunks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The body of an upload as a server hands it over."""
    for chunk in chunks:
        await trio.lowlevel.checkpoint()
        yield chunk


@pytest.fixture
def store(tmp_path) -> FileStore:
    """A folder that takes files up to a megabyte."""
    return FileStore(tmp_path / "files", limit_bytes=1_000_000, clock=lambda: 42.0)


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 0, 7], [300_000, 300_000, 1], [1_000_000]])
async def test_the_bytes_are_kept_as_they_came(store, sizes) -> None:
    """Size, hash and bytes are the upload's, in pieces of any size, up to the limit itself."""
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    file = await store.save("ann", "a.bin", "application/octet-stream", stream(chunks))
    whole = b"".join(chunks)
    assert store.path(file.id).read_bytes() == whole
    assert (file.size, file.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert (file.owner, file.name, file.created_at) == ("ann", "a.bin", 42.0)
    assert [path.name for path in store.folder.iterdir()] == [file.id]


async def test_an_upload_past_the_limit_is_not_read_to_its_end(store) -> None:
    """Refused when the limit is passed; nothing of it stays, and what follows is not asked for."""
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield bytes(100_000)

    async with aclosing(stream(endless())) as body:
        with pytest.raises(FileTooLarge, match="larger than 1000000 bytes"):
            await store.save("ann", "big", "text/plain", body)
    assert len(asked) == 11
    assert list(store.folder.iterdir()) == []


async def test_a_cancelled_upload_leaves_nothing(store) -> None:
    """A client that goes away in the middle."""

    async def stalls() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await store.save("ann", "half", "text/plain", stalls())
    assert scope.cancelled_caught
    assert list(store.folder.iterdir()) == []


async def test_an_upload_whose_source_fails_leaves_nothing(store) -> None:
    """The source's own error reaches the caller."""

    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        await store.save("ann", "half", "text/plain", breaks())
    assert list(store.folder.iterdir()) == []


async def test_a_folder_that_cannot_be_written(tmp_path) -> None:
    """The disk's refusal is storage's error."""
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StorageUnavailable):
        await FileStore(tmp_path / "files").save("ann", "a", "text/plain", stream([b"x"]))


async def test_many_uploads_at_once(store) -> None:
    """Each has a file of its own, also under the same name."""
    saved = []

    async def upload(number: int) -> None:
        content = str(number).encode() * 1000
        saved.append((await store.save("ann", "same.txt", "text/plain", stream([content])), content))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(upload, number)
    assert len({file.id for file, _ in saved}) == 20
    assert all(store.path(file.id).read_bytes() == content for file, content in saved)


async def test_a_removed_file_is_gone(store) -> None:
    """Once or twice."""
    file = await store.save("ann", "a", "text/plain", stream([b"x"]))
    await store.remove(file.id)
    await store.remove(file.id)
    assert not store.path(file.id).exists()


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "0" * 32 + "\n", "0" * 32 + ".part"]
)
def test_only_the_servers_own_names_are_paths(store, name) -> None:
    """Whatever a client sends as an id, nothing outside the folder is named."""
    with pytest.raises(ValueError, match="not the id of a stored file"):
        store.path(name)


async def test_what_a_killed_process_left_is_swept(store) -> None:
    """Halves go, whole files stay; a folder that is not there yet is fine."""
    assert store.sweep() == 0
    file = await store.save("ann", "a", "text/plain", stream([b"x"]))
    (store.folder / ("1" * 32 + ".part")).write_bytes(b"half")
    assert store.sweep() == 1
    assert [path.name for path in store.folder.iterdir()] == [file.id]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\report.pdf", "report.pdf"),
        ("a\x00b\r\nc\x1b[31m.txt", "abc[31m.txt"),
        ("exe.\u202efdp.txt", "exe.fdp.txt"),
        ("  spaced  ", "spaced"),
        ("e\u0301t\u00e9.txt", "été.txt"),
        ("broken\ud800.txt", "broken.txt"),
        ("", "file"),
        ("..", "file"),
        ("folder/", "file"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("x" * 300, "x" * 200),
        ("." + "x" * 300, "." + "x" * 199),
    ],
)
def test_display_names(given, shown) -> None:
    """No folders, no control or direction characters, not endless, never empty; the ending is kept."""
    assert display_name(given) == shown
