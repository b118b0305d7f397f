"""An operator backs up beside a running server, and restores from a shell; and the errors of each."""

import contextlib
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import ActorSystem, ChildSpec
from tests.rigs import http
from tests.rigs.chat_client import connected
from tests.rigs.command import refusal, said, understudy
from tests.rigs.database import Make
from tests.rigs.process import started
from tests.servers.postgresql import Postgres
from understudy.extensions.backups.backup import BackupError, back_up
from understudy.storage.sqlite import FILE_NAME, open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


def add_file(folder: Path, name: str, content: bytes, owner: str = "ann") -> None:
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / name).write_bytes(content)
    with sqlite3.connect(folder / FILE_NAME) as connection:
        connection.execute("INSERT OR IGNORE INTO users (id, created_at) VALUES (?, 1.0)", [owner])
        row = [owner, name, "notes.txt", "text/plain", len(content), hashlib.sha256(content).hexdigest(), 1.0]
        connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()


@pytest.fixture
def folder(migrated: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(migrated, tmp_path / "data"))
    add_file(folder, "a" * 32, b"first")
    add_file(folder, "b" * 32, b"second" * 500_000)
    return folder


async def test_a_backup_of_a_running_server_goes_on_elsewhere(tmp_path: Path) -> None:
    secret = {"UNDERSTUDY_SECRET": "0123456789abcdef" * 3}
    token = said("token", "--user", "ada", "--data-dir", tmp_path, **secret).strip()
    async with started(tmp_path / "data", **secret) as server, connected(server.address, token) as client:
        await client.ask("What is 2 + 2?", thread_id="sums")
        result = await trio.to_thread.run_sync(backup_of(tmp_path, secret))
        assert (result.exit_code, result.stderr) == (0, "")
        assert "and 0 files" in result.stdout
        await client.ask("What is 3 + 3?", thread_id="sums")
    said("restore", tmp_path / "saved", "--data-dir", tmp_path / "other", **secret)
    async with started(tmp_path / "other", **secret) as server, connected(server.address, token) as client:
        status, _, body = await http.request(server.address, "GET", "/api/threads/sums/messages", token=token)
        assert status == 200
        assert [message["content"] for message in body["messages"] if message["role"] == "user"] == ["What is 2 + 2?"]
        assert (await client.ask("What is 4 + 4?", thread_id="sums"))["type"] == "final_response"


def backup_of(tmp_path: Path, secret: dict[str, str]) -> Any:
    return lambda: understudy("backup", tmp_path / "saved", "--data-dir", tmp_path / "data", **secret)


async def test_a_backup_under_load_is_the_state_of_one_moment(tmp_path: Path) -> None:
    make, database = Make(), open_database(tmp_path / "data")
    growing = trio.Semaphore(0)
    async with ActorSystem("test") as system:
        writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
        store = Store(database, lambda: writer)

        async def grow(thread: str) -> None:
            await store.commit(make.opening("ann", thread, f"r-{thread}"))
            for number in count(2):
                events = make.events(number, number, f"r-{thread}", "x" * 500)
                await store.commit(make.change("ann", thread, events=events))
                if number == 5:
                    growing.release()

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for thread in range(8):
                    nursery.start_soon(grow, f"t{thread}")
                for _ in range(8):
                    await growing.acquire()
                for number in range(3):
                    back = partial(back_up, tmp_path / "data", tmp_path / "data" / "files", tmp_path / f"saved{number}")
                    await trio.to_thread.run_sync(back)
                nursery.cancel_scope.cancel()
    database.close()
    heads = []
    for number in range(3):
        with contextlib.closing(sqlite3.connect(tmp_path / f"saved{number}" / FILE_NAME)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute(
                "SELECT t.last_seq, count(*), min(seq), max(seq) FROM threads t JOIN events e ON e.owner = t.owner "
                "AND e.thread_id = t.id GROUP BY t.id"
            ).fetchall()
        assert len(rows) == 8
        assert all(last == number == most and least == 1 for last, number, least, most in rows)
        heads.append(sum(last for last, *_ in rows))
    assert heads == sorted(heads)
    assert heads[0] < heads[-1]


def test_files_come_along(folder: Path, tmp_path: Path) -> None:
    assert "2 files" in said("backup", tmp_path / "saved", "--data-dir", folder)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["files", FILE_NAME]
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o700
    said("restore", tmp_path / "saved", "--data-dir", tmp_path / "other")
    assert (tmp_path / "other" / "files" / ("b" * 32)).read_bytes() == b"second" * 500_000
    said("doctor", "--data-dir", tmp_path / "other", UNDERSTUDY_PORT="0")


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_upload_is_named(folder: Path, tmp_path: Path, damage: str) -> None:
    path = folder / "files" / ("a" * 32)
    path.unlink() if damage == "missing" else path.write_bytes(b"frist")
    result = understudy("backup", tmp_path / "saved", "--data-dir", folder)
    assert result.exit_code == 1
    assert "1 file; already missing or damaged in the source: " + "a" * 32 in result.stdout
    assert (tmp_path / "saved" / "files" / ("b" * 32)).exists()


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    said("backup", saved, "--data-dir", folder)
    before = (saved / FILE_NAME).read_bytes()
    for arguments in (("backup", saved), ("restore", saved)):
        assert "is there already" in refusal(*arguments, "--data-dir", folder)
    assert (saved / FILE_NAME).read_bytes() == before
    running = open_database(folder)
    (folder / FILE_NAME).unlink()
    result = understudy("restore", saved, "--data-dir", folder)
    running.close()
    assert result.exit_code == 1
    assert "another understudy" in result.stderr
    assert not (folder / FILE_NAME).exists()


def test_a_folder_that_is_no_backup_is_not_restored(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / FILE_NAME).write_text("not a database at all, but long enough to be looked at" * 20)
    newer = Path(shutil.copytree(folder, tmp_path / "newer"))
    with sqlite3.connect(newer / FILE_NAME) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE compatibility SET oldest_revision = '9999'")
    connection.close()
    for name, word in (("empty", "no backup"), ("text", "not a database"), ("newer", "9999"), ("nowhere", "no backup")):
        assert word in refusal("restore", tmp_path / name, "--data-dir", tmp_path / "other")
        assert not (tmp_path / "other" / FILE_NAME).exists()


def test_a_backup_is_not_put_beside_the_log_of_another_database(folder: Path, tmp_path: Path) -> None:
    """A server was killed, and its database was moved away: SQLite would apply the remaining log to the backup. An
    empty database is not created there either, because that would delete the log."""
    said("backup", tmp_path / "saved", "--data-dir", folder)
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA journal_mode=WAL'); c.execute(\"UPDATE files SET name = 'of the other'\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, folder / FILE_NAME], check=True)
    (folder / FILE_NAME).rename(tmp_path / "aside")
    log = (folder / f"{FILE_NAME}-wal").read_bytes()
    for arguments, word in (
        (("restore", tmp_path / "saved"), "-wal is there already"),
        (("migrate",), "put it back"),
        (("doctor",), "put it back"),
    ):
        result = understudy(*arguments, "--data-dir", folder, COLUMNS="1000", UNDERSTUDY_PORT="0")
        assert (result.exit_code, word in result.output) == (1, True)
    assert (folder / f"{FILE_NAME}-wal").read_bytes() == log
    (folder / f"{FILE_NAME}-wal").unlink()
    said("restore", tmp_path / "saved", "--data-dir", folder)
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert {name for (name,) in connection.execute("SELECT name FROM files")} == {"notes.txt"}


def test_what_was_cut_off_is_begun_anew_or_named(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    (tmp_path / "saved.part").mkdir()
    assert "saved.part is there" in refusal("backup", saved, "--data-dir", folder)
    (tmp_path / "saved.part").rmdir()
    said("backup", saved, "--data-dir", folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{FILE_NAME}.part").write_bytes(b"half a database " * 1000)
    said("restore", saved, "--data-dir", tmp_path / "other")
    said("doctor", "--data-dir", tmp_path / "other", UNDERSTUDY_PORT="0")


def test_a_backup_that_cannot_be_written_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("")
    with pytest.raises(BackupError, match="is there already"):
        back_up(folder, folder / "files", tmp_path / "saved")
    with pytest.raises(BackupError, match="cannot copy"):
        back_up(folder, folder / "files", tmp_path / "saved" / "below")
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        "from understudy.cli.main import main; main()"
    )
    command = [sys.executable, "-c", script, "backup", str(tmp_path / "full"), "--data-dir", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "cannot copy" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("full")] == []


def test_a_folder_without_a_database_has_no_backup(tmp_path: Path) -> None:
    assert "there is no database" in refusal("backup", tmp_path / "saved", "--data-dir", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_postgresql_has_backups_of_its_own(postgres: Postgres, tmp_path: Path) -> None:
    address = {"UNDERSTUDY_DATABASE_URL": postgres.create()}
    assert "pg_dump" in refusal("backup", tmp_path / "saved", "--data-dir", tmp_path, **address)
