"""Reads and writes of the rows of uploaded files; their bytes are elsewhere."""

from collections.abc import Sequence
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, select

from understudy.extensions.files.tables import files
from understudy.storage.errors import AlreadyStored
from understudy.storage.queries import LARGEST_PAGE
from understudy.storage.records import File
from understudy.storage.write import Write, add_users, put

_f = files.c


@frozen
class AddFile(Write):
    """Record an uploaded file."""

    file: File

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        add_users(connection, [(self.file.owner, self.file.created_at)])
        row = put(connection, files).on_conflict_do_nothing(index_elements=["owner", "id"])
        added = connection.execute(row, asdict(self.file)).rowcount
        if not added and among(connection, self.file.owner, [self.file.id]) != [self.file]:
            raise AlreadyStored("file", self.file.id)
        return True


def among(connection: Connection, owner: str, ids: Sequence[str]) -> list[File]:
    """Return the owner's files among these ids, in the same order."""
    ids = ids[:LARGEST_PAGE]
    rows = connection.execute(select(*_f).where(_f.owner == owner, _f.id.in_(set(ids))))
    found = {row.id: File(*row) for row in rows}
    return [found[name] for name in dict.fromkeys(ids) if name in found]


def record_of(row: Any) -> dict[str, Any]:
    """Return the metadata of a file; its bytes are downloaded by its id."""
    return {name: value for name, value in row._mapping.items() if name != "owner"}
