"""Revoked sessions are refused until their tokens have expired, also after a restart."""

import os
from pathlib import Path

import pytest
import trio

from tests.clock import Clock
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.auth.revocation import COMPACT_SLACK, RevocationFile
from understudy.storage.errors import StorageUnavailable

ADA = Identity("ada", "s1")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ended-sessions"


def loaded(path: Path, clock: Clock, cap: int = 100) -> RevocationFile:
    ended = RevocationFile(path, clock, cap=cap)
    ended.load()
    return ended


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def is_private(path: Path) -> bool:
    """Whether only its owner may read the file, and no other file is beside it."""
    return path.stat().st_mode & 0o777 == 0o600 and os.listdir(path.parent) == [path.name]


def fill(path: Path) -> None:
    """Write as many lines as may be expired before the file is compacted."""
    path.write_text('["abc", 1001]\n' * COMPACT_SLACK)


async def test_a_session_has_ended_until_its_tokens_have(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock)
    assert ADA not in ended
    await ended.revoke_session(ADA, 1100.0)
    assert ADA in ended
    assert Identity("ada", "s1", tenant="t", roles=("r",), expires_at=5.0) in ended
    for other in (Identity("ada", "s2"), Identity("bob", "s1"), Identity("adas", "1"), Identity("", "adas1")):
        assert other not in ended
    clock.now = 1100.0
    assert ADA not in ended


async def test_sessions_of_one_family_have_ended_but_for_the_spared_one(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock)
    spared = Identity("ada", "local-key-2")
    await ended.revoke_family(Identity("ada", "local-key-"), 1100.0, spared)
    for each in (ended, loaded(path, clock)):
        for name in ("local-key-1", "local-key-later"):
            assert Identity("ada", name) in each
        for other in (
            spared, Identity("bob", "local-key-1"), Identity("ada", "local-1"), Identity("ada", "local-key2-1"),
        ):  # fmt: skip
            assert other not in each
    clock.now = 1100.0
    assert Identity("ada", "local-key-1") not in ended
    assert not any(b"ada" in line for line in lines(path))


async def test_the_next_server_knows(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock)
    await ended.revoke_session(ADA, 1100.0)
    await ended.revoke_session(Identity("bob", "s1"), 1200.0)
    assert is_private(path)
    assert not any(b"bob" in line for line in lines(path))
    clock.now = 1150.0
    again = loaded(path, clock)
    assert ADA not in again
    assert Identity("bob", "s1") in again
    assert len(lines(path)) == 1
    assert is_private(path)


def test_no_file_is_no_session(path: Path, clock: Clock) -> None:
    assert len(loaded(path, clock)) == 0
    assert not path.exists()


async def test_half_a_line_at_the_end_was_never_acknowledged(path: Path, clock: Clock) -> None:
    """The server was killed while it wrote; the next line is not joined to it."""
    await RevocationFile(path, clock).revoke_session(ADA, 1100.0)
    with path.open("ab") as file:
        file.write(b'["abc", 11')
    ended = loaded(path, clock)
    assert len(ended) == 1
    await ended.revoke_session(Identity("bob", "s1"), 1100.0)
    again = loaded(path, clock)
    assert ADA in again
    assert Identity("bob", "s1") in again


@pytest.mark.parametrize("line", [b"nonsense", b"{}", b"[]", b'["a", "soon"]', b"\xff", b""])
def test_a_damaged_file_stops_the_start(path: Path, clock: Clock, line: bytes) -> None:
    """Otherwise revoked sessions would be accepted again."""
    path.write_bytes(line + b'\n["abc", 2000]\n')
    with pytest.raises(ValueError, match="damaged in line 1"):
        loaded(path, clock)
    assert path.read_bytes().startswith(line)


async def test_what_cannot_be_written_has_not_happened(path: Path, clock: Clock) -> None:
    os.mkdir(path)
    ended = RevocationFile(path, clock)
    with pytest.raises(StorageUnavailable):
        await ended.revoke_session(ADA, 1100.0)
    assert ADA not in ended
    os.rmdir(path)
    await ended.revoke_session(ADA, 1100.0)
    assert ADA in loaded(path, clock)


async def test_revocations_are_bounded_and_none_is_dropped_early(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock, cap=2)
    for name in ("s1", "s2"):
        await ended.revoke_session(Identity("ada", name), 1100.0)
    with pytest.raises(CommandRejected) as caught:
        await ended.revoke_session(Identity("ada", "s3"), 1200.0)
    assert caught.value.code == "busy"
    assert ADA in ended
    clock.now = 1100.0
    await ended.revoke_session(Identity("ada", "s3"), 1200.0)
    assert len(ended) == 1


async def test_the_file_does_not_grow_for_ever(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock)
    fill(path)
    ended._lines = COMPACT_SLACK
    for number in range(3):
        await ended.revoke_session(Identity("bob", f"s{number}"), 1010.0)
    assert len(lines(path)) == COMPACT_SLACK + 3
    clock.now = 1050.0
    for _ in range(10):
        await ended.revoke_session(ADA, 1100.0)
    assert len(lines(path)) < 10
    assert ADA in loaded(path, clock)


async def test_many_at_once_are_all_kept(path: Path, clock: Clock) -> None:
    ended = RevocationFile(path, clock)
    names = [Identity("ada", f"s{number}") for number in range(50)]
    async with trio.open_nursery() as nursery:
        for identity in names:
            nursery.start_soon(ended.revoke_session, identity, 1100.0)
    again = loaded(path, clock)
    assert all(identity in again for identity in names)
