"""Encrypted original texts are read in pages, and replaced only if they are still as they were read."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, delete, insert
from sqlalchemy.pool import NullPool

from understudy.storage import schema
from understudy.storage.raw_texts import Sealed, replace_sealed, sealed_after
from understudy.storage.sqlite import FILE_NAME

ROWS: list[Sealed] = [("ada", "m1", b"1"), ("ada", "m2", b"2"), ("bob", "m1", b"3")]


@pytest.fixture
def connection(migrated: Path, tmp_path: Path) -> Iterator[Connection]:
    """A connection to a database with three texts, whose threads do not matter here."""
    shutil.copytree(migrated, tmp_path / "data")
    engine = create_engine(f"sqlite:///{tmp_path / 'data' / FILE_NAME}", poolclass=NullPool)
    with engine.connect() as connection:
        rows = [dict(zip(("owner", "message_id", "sealed"), row, strict=True)) | {"thread_id": "t"} for row in ROWS]
        connection.execute(insert(schema.raw_texts), rows)
        yield connection


def test_all_are_read_in_pages(connection: Connection) -> None:
    assert sealed_after(connection, ("", ""), 2) == ROWS[:2]
    assert sealed_after(connection, ("ada", "m2"), 2) == ROWS[2:]
    assert sealed_after(connection, ("bob", "m1"), 2) == []


def test_one_that_was_replaced_or_deleted_meanwhile_is_left(connection: Connection) -> None:
    assert replace_sealed(connection, ROWS[0], b"new")
    assert not replace_sealed(connection, ROWS[0], b"newer")
    connection.execute(delete(schema.raw_texts).where(schema.raw_texts.c.owner == "bob"))
    assert not replace_sealed(connection, ROWS[2], b"new")
    assert sealed_after(connection, ("", ""), 9) == [("ada", "m1", b"new"), ROWS[1]]
