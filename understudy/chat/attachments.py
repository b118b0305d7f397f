"""The files of one user, as tools read them and as a model is told of them."""

import csv
from pathlib import Path

import trio

from understudy.models.model import FileCard
from understudy.storage.files import FileStore
from understudy.storage.rows import File
from understudy.storage.store import Store
from understudy.tools.tool import StoredFile

HEAD = 64 * 1024
"""Bytes of a table that are looked at for its column names."""


class Attachments:
    """What one user has uploaded; other users' files do not exist here."""

    def __init__(self, owner: str, store: Store, folder: FileStore) -> None:
        self._owner = owner
        self._store = store
        self._folder = folder

    async def get(self, file_id: str) -> StoredFile:
        """Give the file of that id.

        Raises:
            LookupError: This user has no such file.
        """
        row = await self._store.file(self._owner, file_id)
        if row is None:
            raise LookupError(f"there is no file {file_id!r}")
        return StoredFile(row.id, row.name, row.media_type, row.size, self._folder.path(row.id))

    async def has(self, file_id: str) -> bool:
        """Say whether this user has a file of that id."""
        return await self._store.file(self._owner, file_id) is not None

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[FileCard, ...]:
        """Describe the files of these ids that are here, in order, tables with their columns."""
        rows = [row for file_id in file_ids if (row := await self._store.file(self._owner, file_id)) is not None]
        return tuple([await self._card(row) for row in rows])

    async def _card(self, row: File) -> FileCard:
        columns = await trio.to_thread.run_sync(_columns, self._folder.path(row.id), row.name)
        return FileCard(row.id, row.name, row.media_type, row.size, columns)


def _columns(path: Path, name: str) -> tuple[str, ...] | None:
    """Read a delimited file's header; None when it does not look like one."""
    if not name.lower().endswith((".csv", ".tsv", ".txt")):
        return None
    with path.open("rb") as file:
        head = file.read(HEAD).decode("utf-8-sig", errors="replace")
    lines = head.splitlines()
    if not lines or "\0" in head:
        return None
    delimiter = max(",;\t|", key=lines[0].count)
    return tuple(next(csv.reader([lines[0]], delimiter=delimiter), ())) or None
