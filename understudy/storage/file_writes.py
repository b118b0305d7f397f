"""Writes of the rows of uploaded files; their bytes are elsewhere."""

from attrs import asdict, frozen
from sqlalchemy import Connection, delete

from . import queries, schema
from .errors import AlreadyStored
from .records import File
from .write import Write, add_users, put

_f = schema.files.c


@frozen
class AddFile(Write):
    """Record an uploaded file."""

    file: File

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        add_users(connection, [(self.file.owner, self.file.created_at)])
        row = put(connection, schema.files).on_conflict_do_nothing(index_elements=["owner", "id"])
        added = connection.execute(row, asdict(self.file)).rowcount
        if not added and queries.file(connection, self.file.owner, self.file.id) != self.file:
            raise AlreadyStored("file", self.file.id)
        return True


@frozen
class RemoveFiles(Write):
    """Delete the rows of files whose bytes are deleted. The answer is their number."""

    owner: str
    ids: tuple[str, ...]

    def apply(self, connection: Connection) -> int:
        """As `Write.apply`."""
        return connection.execute(delete(schema.files).where(_f.owner == self.owner, _f.id.in_(self.ids))).rowcount
