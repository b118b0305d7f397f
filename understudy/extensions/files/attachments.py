"""Reads, stores and describes the files of one user, for tools, models and uploads."""

import csv
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from transport.wire.errors import CommandRejected
from understudy.chat.user_files import UserFiles
from understudy.content.filter import ContentFilter
from understudy.content.summary import KindCount, count_by_kind, is_suspect
from understudy.extensions.files.preview import head_text
from understudy.extensions.files.storage import among
from understudy.extensions.files.stores import BoundedFiles
from understudy.models.model import FileCard
from understudy.storage.errors import NotStored
from understudy.storage.records import File
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile

UNNAMED = "file"
"""The name of a file if the redaction leaves nothing of its own name."""
LEFT_OUT = "(left out)"
"""The replacement for a name that reads like an instruction."""
TABLES = (".csv", ".tsv", ".txt")
"""Suffixes of files that may have named columns."""
HEAD = 64 * 1024
"""Bytes of a table in which its column names are searched."""


class Attachments(UserFiles):
    """The files of one user. `UserFiles` documents the methods."""

    def __init__(self, owner: str, store: Store, files: BoundedFiles, content_filter: ContentFilter) -> None:
        self.owner = owner  # set here, not by the base class, because each message would pay for that call
        self._filter = content_filter
        self._store = store
        self._files = files

    @property
    def limit_bytes(self) -> int:
        """The largest size of a file, in bytes."""
        return self._files.limit_bytes

    async def get(self, file_id: str) -> StoredFile:
        """Return a file with its local path. Raises LookupError if the user has none of this id."""
        for row in await self.rows([file_id]):
            return await self._stored_file(row)
        raise LookupError(f"there is no file {file_id!r}")

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store the redacted content of a tool's new file. Raises ToolError if it is refused."""
        name = str(await self._filter.filter_for_storage(name) or LEFT_OUT)
        async with (
            aclosing(_once(content)) as whole,
            aclosing(self._filter.filter_file(self._filter.new_file_filter(), whole)) as passing,
        ):
            try:
                row = await self._files.save(self.owner, name, media_type, passing)
            except CommandRejected as error:
                raise ToolError(error.code, error.message) from error
        return await self._stored_file(row)

    async def upload(
        self, name: str, media_type: str, content: AsyncGenerator[bytes, None]
    ) -> tuple[File, list[KindCount]]:
        """Store the redacted content of an upload. Return its row, and the counts of findings by kind."""
        name = await self._filter.filter_note(self.owner, name) or UNNAMED
        media_type = await self._filter.filter_note(self.owner, media_type) or "application/octet-stream"
        passage = self._filter.new_file_filter()
        async with aclosing(content) as chunks, aclosing(self._filter.filter_file(passage, chunks)) as passing:
            row = await self._files.save(self.owner, name, media_type, passing)
        return row, count_by_kind(passage.result.findings)

    async def check_room(self, size: int) -> None:
        """Raise CommandRejected if the user's quota has no room for `size` bytes."""
        await self._files.quotas.check(self.owner, size)

    async def _stored_file(self, row: File) -> StoredFile:
        return StoredFile(row.id, row.name, row.media_type, row.size, await self._files.files.local(row))

    async def rows(self, file_ids: Sequence[str]) -> list[File]:
        """Return the rows of those of these files that the user has."""
        return await self._store.read(among, self.owner, file_ids)

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[FileCard, ...]:
        """Return the descriptions of these files for a model."""
        return tuple([await self._card(row) for row in await self.rows(file_ids)])

    async def content(self, file_id: str) -> bytes | None:
        """Return the bytes of a file, or None if they are not stored any more."""
        for row in await self.rows([file_id]):
            async with aclosing(self._files.files.read(row)) as content:
                with suppress(NotStored):
                    return b"".join([part async for part in content])
        return None

    async def _card(self, row: File) -> FileCard:
        columns = await self._columns(row) if row.name.lower().endswith(TABLES) else None
        name, media_type, *column_names = await self._clean([row.name, row.media_type, *(columns or ())])
        return FileCard(row.id, name, media_type, row.size, tuple(column_names) or None)

    async def _columns(self, row: File) -> tuple[str, ...] | None:
        async with aclosing(self._files.files.read(row)) as content:
            try:
                return _columns(await anext(content, b""))
            except NotStored:
                return None  # a tool that reads the file will report that it is gone

    async def _clean(self, words: list[str]) -> list[str]:
        """Sanitize the names of a file, which a model reads beside its instructions: none may read like one."""
        clean = await self._filter.filter_value(words, self._filter.tool)
        if not (clean.blocked or is_suspect(clean.findings)):
            return list(clean.value)
        shown = []
        for word in words:
            cleaned = await self._filter.filter_value(word, self._filter.tool)
            shown.append(LEFT_OUT if cleaned.blocked or is_suspect(cleaned.findings) else cleaned.value)
        return shown


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def _columns(begin: bytes) -> tuple[str, ...] | None:
    """Return the column names in the header of a delimited file; None if it has no header."""
    lines = (head_text(begin[:HEAD], whole=False) or "").splitlines()
    if not lines:
        return None
    delimiter = max(",;\t|", key=lines[0].count)
    return tuple(next(csv.reader([lines[0]], delimiter=delimiter), ())) or None
