"""Copies of files: held for a while, bounded together, gone in time."""

import os
from pathlib import Path

import pytest
import trio

from actors import ActorSystem, ChildSpec
from tests.rigs.clock import Clock
from understudy.extensions.files.cache import HELD_S, KEPT_S, PART_S, FileCache, FileCacheSweeper
from understudy.storage.errors import StorageUnavailable

IDS = [letter * 32 for letter in "abcd"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def copies(tmp_path: Path, clock: Clock) -> FileCache:
    return FileCache(tmp_path / "copies", limit_bytes=100, clock=clock)


def put(copies: FileCache, name: str, size: int) -> Path:
    copies.folder.mkdir(exist_ok=True)
    path = copies.folder / name
    path.write_bytes(bytes(size))
    copies.hold(path)
    return path


def names(copies: FileCache) -> list[str]:
    return sorted(path.name for path in copies.folder.iterdir())


def test_a_folder_that_is_not_there_has_no_copies(copies: FileCache) -> None:
    assert copies.find(IDS[0], 5) is None
    copies.make_room(100)
    copies.forget(IDS[0])
    assert copies.expire() == 0


def test_the_longest_unused_make_room(copies: FileCache, clock: Clock) -> None:
    for name in IDS[:3]:
        put(copies, name, 30)
        clock.now += 10
    assert copies.find(IDS[0], 30) is not None
    clock.now += HELD_S
    copies.make_room(10)
    assert names(copies) == IDS[:3]
    copies.make_room(11)
    assert names(copies) == [IDS[0], IDS[2]]


def test_what_is_held_stays(copies: FileCache, clock: Clock) -> None:
    """A copy that was just asked for is about to be opened; without room for more, more is refused."""
    put(copies, IDS[0], 60)
    clock.now += HELD_S - 1
    with pytest.raises(StorageUnavailable, match="at once"):
        copies.make_room(50)
    assert names(copies) == [IDS[0]]
    clock.now += 1
    copies.make_room(50)
    assert names(copies) == []


def test_a_copy_that_is_let_go_is_the_first_to_go(copies: FileCache) -> None:
    pinned, loose = put(copies, IDS[0], 50), put(copies, IDS[1], 50)
    copies.let_go(loose)
    copies.make_room(0)
    assert names(copies) == IDS[:2]
    copies.make_room(10)
    assert names(copies) == [pinned.name]


def test_old_copies_go_and_halves_of_servers_that_live_do_not(copies: FileCache, clock: Clock) -> None:
    put(copies, IDS[0], 1)
    half = put(copies, f"{IDS[1]}.00000000.part", 1)
    clock.now += KEPT_S
    put(copies, IDS[2], 1)
    assert copies.expire() == 0
    clock.now += 1
    assert copies.expire() == 1
    assert names(copies) == [half.name, IDS[2]]
    os.utime(half, (clock.now - PART_S - 1,) * 2)
    assert copies.expire() == 1


@pytest.mark.parametrize("name", ["..", "../x", "a" * 31])
def test_only_ids_are_looked_for(copies: FileCache, name: str) -> None:
    for attempt in (lambda: copies.find(name, 1), lambda: copies.forget(name)):
        with pytest.raises(ValueError, match="not the id"):
            attempt()


async def test_copies_go_though_nobody_asks(copies: FileCache, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    put(copies, IDS[0], 1)
    clock.now += KEPT_S + 1
    put(copies, IDS[1], 1)
    expire, expired = copies.expire, trio.Event()

    def sweep() -> int:
        count = expire()
        trio.from_thread.run_sync(expired.set)
        return count

    monkeypatch.setattr(copies, "expire", sweep)
    with trio.fail_after(60):
        async with ActorSystem("test", children=[ChildSpec("copies", lambda: FileCacheSweeper(copies, every_s=0.01))]):
            await expired.wait()
    assert names(copies) == [IDS[1]]
