"""Reads and writes of the rows of uploaded files. Their bytes are in a `FileStore`."""

from collections.abc import Sequence
from typing import Any

from attrs import asdict
from sqlalchemy import Connection, select

from understudy.extensions.files.tables import files
from understudy.storage.errors import AlreadyStored
from understudy.storage.queries import LARGEST_PAGE
from understudy.storage.records import File
from understudy.storage.write import add_users, put, write

_f = files.c


@write
def add_file(connection: Connection, file: File) -> bool:
    """Store the row of an uploaded file. Raises AlreadyStored if its id has another row. Return True."""
    add_users(connection, [(file.owner, file.created_at)])
    row = put(connection, files).on_conflict_do_nothing(index_elements=["owner", "id"])
    added = connection.execute(row, asdict(file)).rowcount
    if not added and among(connection, file.owner, [file.id]) != [file]:
        raise AlreadyStored("file", file.id)
    return True


def among(connection: Connection, owner: str, ids: Sequence[str]) -> list[File]:
    """Return the owner's files among these ids, in the same order."""
    ids = ids[:LARGEST_PAGE]
    rows = connection.execute(select(*_f).where(_f.owner == owner, _f.id.in_(set(ids))))
    by_id = {row.id: File(*row) for row in rows}
    return [by_id[name] for name in dict.fromkeys(ids) if name in by_id]


def record_of(row: Any) -> dict[str, Any]:
    """Return the metadata of a file in the form of an export; its bytes are downloaded by its id."""
    return {name: value for name, value in row._mapping.items() if name != "owner"}
