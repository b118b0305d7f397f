"""Looking at a database before it is used: broken pages, and a new one where an old one should be."""

import logging

import pytest

from understudy.storage import schema, sqlite
from understudy.storage.errors import Damaged
from understudy.storage.sqlite import FILE_NAME, inspect_database, open_database
from understudy.storage.writer import commit_group


@pytest.fixture
def damaged(folder, make):
    """A data folder whose table of events has a broken page."""
    database = open_database(folder)
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", f"t{number}", f"r{number}") for number in range(50)])
        page_bytes = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        root = connection.exec_driver_sql("SELECT rootpage FROM sqlite_master WHERE name = 'events'").scalar_one()
    database.close()
    with (folder / FILE_NAME).open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        header = file.read(64)
        file.seek((root - 1) * page_bytes)
        file.write(bytes(byte ^ 0xFF for byte in header))
    return folder


def test_broken_pages_are_told_at_start(damaged) -> None:
    content = (damaged / FILE_NAME).read_bytes()
    for opens in (open_database, inspect_database):
        with pytest.raises(Damaged, match=r"is damaged \(.*\): put a backup in its place.*\.recover"):
            opens(damaged)
    assert (damaged / FILE_NAME).read_bytes() == content


def test_a_large_database_is_not_looked_through(damaged, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "LARGEST_CHECKED_BYTES", 1000)
    database = open_database(damaged)
    with database.reading.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM threads").scalar_one() == 50
    database.close()


def test_looking_says_the_schema_and_makes_nothing(folder, tmp_path) -> None:
    assert inspect_database(folder) == schema.HEAD
    empty = tmp_path / "empty"
    assert inspect_database(empty) is None
    empty.mkdir()
    assert inspect_database(empty) is None
    (empty / FILE_NAME).touch()
    assert inspect_database(empty) is None
    assert (empty / FILE_NAME).stat().st_size == 0


def warnings(caplog):
    return [record.reason for record in caplog.records if record.message == "storage.new_database"]


def test_an_emptied_database_is_warned_of(tmp_path, caplog) -> None:
    (tmp_path / FILE_NAME).touch()
    (tmp_path / "secret").write_text("s")
    with caplog.at_level(logging.WARNING):
        open_database(tmp_path).close()
    assert warnings(caplog) == ["empty"]
    assert caplog.records[0].beside == ["secret"]


def test_a_removed_database_is_warned_of_and_a_first_start_is_not(tmp_path, caplog) -> None:
    """A folder that had a server before, or has uploads; a secret alone is made by the first start itself."""
    (tmp_path / "secret").write_text("s")
    with caplog.at_level(logging.WARNING):
        open_database(tmp_path).close()
        open_database(tmp_path).close()
        assert warnings(caplog) == []
        (tmp_path / FILE_NAME).unlink()
        open_database(tmp_path).close()
    assert warnings(caplog) == ["missing"]
