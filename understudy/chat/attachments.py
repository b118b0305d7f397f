"""A user's uploaded files: read and stored by tools, and described to models."""

import csv
from collections.abc import AsyncGenerator
from contextlib import aclosing

from transport.wire.errors import CommandRejected
from understudy.chat.file_preview import head_text
from understudy.content.filter import ContentFilter
from understudy.content.summary import is_suspect
from understudy.models.model import FileCard
from understudy.storage import queries
from understudy.storage.errors import NotStored
from understudy.storage.files import FileStore
from understudy.storage.records import File
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile

LEFT_OUT = "(left out)"
"""The replacement for a name that reads like an instruction."""
TABLES = (".csv", ".tsv", ".txt")
"""Suffixes of files that may have named columns."""
HEAD = 64 * 1024
"""Bytes of a table that are searched for its column names."""


class Attachments:
    """The uploads of one user. Ids of other users' files are unknown here."""

    def __init__(self, owner: str, store: Store, files: FileStore, content_filter: ContentFilter) -> None:
        self._owner = owner
        self._filter = content_filter
        self._store = store
        self._files = files

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id.

        Raises:
            LookupError: This user has no such file.
        """
        row = await self._store.read(queries.file, self._owner, file_id)
        if row is None:
            raise LookupError(f"there is no file {file_id!r}")
        return await self._stored_file(row)

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user.

        Raises:
            FileTooLarge: It is larger than the server accepts.
            ToolError: It exceeds the user's quota (``quota_exceeded``).
            CommandRejected: Its name may not be stored.
            StorageUnavailable: It could not be stored; no part of it remains.
        """
        name = str(await self._filter.filter_for_storage(name) or LEFT_OUT)
        async with (
            aclosing(_once(content)) as whole,
            aclosing(self._filter.filter_file(self._filter.new_file_filter(), whole)) as passing,
        ):
            try:
                row = await self._files.save(self._owner, name, media_type, passing)
            except CommandRejected as refused:
                raise ToolError(refused.code, refused.message) from refused
        return await self._stored_file(row)

    async def _stored_file(self, row: File) -> StoredFile:
        return StoredFile(row.id, row.name, row.media_type, row.size, await self._files.local(row))

    async def has(self, file_id: str) -> bool:
        """Say whether this user has a file of that id."""
        return await self._store.read(queries.file, self._owner, file_id) is not None

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[FileCard, ...]:
        """Describe the user's files among these ids, in order; tables with their columns."""
        rows = await self._store.read(queries.files, self._owner, file_ids)
        return tuple([await self._card(row) for row in rows])

    async def content(self, file_id: str) -> bytes | None:
        """Return the bytes of a file of this user, None if it is not there. For small files."""
        row = await self._store.read(queries.file, self._owner, file_id)
        if row is None:
            return None
        async with aclosing(self._files.read(row)) as content:
            try:
                return b"".join([part async for part in content])
            except NotStored:
                return None

    async def _card(self, row: File) -> FileCard:
        columns = await self._columns(row) if row.name.lower().endswith(TABLES) else None
        name, media_type, *named = await self._clean([row.name, row.media_type, *(columns or ())])
        return FileCard(row.id, name, media_type, row.size, tuple(named) or None)

    async def _columns(self, row: File) -> tuple[str, ...] | None:
        async with aclosing(self._files.read(row)) as content:
            try:
                return _columns(await anext(content, b""))
            except NotStored:
                return None  # a tool that asks for it will say so

    async def _clean(self, words: list[str]) -> list[str]:
        """Sanitize the names of a file for a model: they are part of its instructions, so none may read like one."""
        clean = await self._filter.filter_value(words, self._filter.tool)
        if not (clean.blocked or is_suspect(clean.findings)):
            return list(clean.value)
        shown = []
        for word in words:
            one = await self._filter.filter_value(word, self._filter.tool)
            shown.append(LEFT_OUT if one.blocked or is_suspect(one.findings) else one.value)
        return shown


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _columns(begin: bytes) -> tuple[str, ...] | None:
    """Return the column names in a delimited file's header; None if it does not look like one."""
    lines = (head_text(begin[:HEAD], whole=False) or "").splitlines()
    if not lines:
        return None
    delimiter = max(",;\t|", key=lines[0].count)
    return tuple(next(csv.reader([lines[0]], delimiter=delimiter), ())) or None
