"""One server to a data folder: refused while another has it, free again however that one ended."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from understudy.storage import data_folder, schema
from understudy.storage.data_folder import LOCK_NAME, lock_folder
from understudy.storage.errors import AlreadyOpen
from understudy.storage.sqlite import inspect_database, open_database

HOLDER = """
import sys
from pathlib import Path
from understudy.storage.sqlite import open_database

database = open_database(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
database.close()
"""


@contextmanager
def held_elsewhere(folder) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process


def test_a_folder_that_another_process_has_is_refused(folder) -> None:
    with held_elsewhere(folder) as process:
        with pytest.raises(AlreadyOpen, match=f"process {process.pid}.*stop it, or choose another.*--data-dir"):
            open_database(folder, wait_s=0.05)
        process.kill()
        process.wait()
        open_database(folder, wait_s=0).close()


def test_a_running_server_can_be_looked_at(folder) -> None:
    with held_elsewhere(folder):
        assert inspect_database(folder) == schema.HEAD
    open_database(folder, wait_s=0).close()


def test_an_end_that_comes_soon_is_waited_for(folder, monkeypatch) -> None:
    first = open_database(folder)
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            first.close()

    monkeypatch.setattr(data_folder.time, "sleep", sleep)
    open_database(folder).close()
    assert len(waits) == 3


def test_a_start_that_fails_lets_go(tmp_path) -> None:
    database = tmp_path / "understudy.db"
    database.write_bytes(b"no database " * 100)
    with pytest.raises(Exception, match="not a database"):
        open_database(tmp_path, wait_s=0)
    database.unlink()
    open_database(tmp_path, wait_s=0).close()


@pytest.mark.parametrize("text", ["", "soon", "99999999999999999999999"])
def test_a_lock_without_a_name_on_it(tmp_path, text) -> None:
    lock = lock_folder(tmp_path)
    (tmp_path / LOCK_NAME).write_text(text)
    with pytest.raises(AlreadyOpen, match="another understudy") as refused:
        lock_folder(tmp_path, wait_s=0)
    assert refused.value.folder == tmp_path
    lock.release()
    lock_folder(tmp_path, wait_s=0).release()
