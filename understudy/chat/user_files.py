"""The files of a user, as messages and runs use them. A server without the extension `files` has none."""

from collections.abc import AsyncGenerator, Callable, Sequence

from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy.content.summary import KindCount
from understudy.models.model import FileCard
from understudy.storage.records import File
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile

NO_FILES = "This server takes no files."


class UserFiles:
    """The files of one user: none. Ids of other users' files are unknown here."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    @property
    def limit_bytes(self) -> int:
        """The size of a file at most."""
        return 0

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id.

        Raises:
            LookupError: This user has no such file.
        """
        raise LookupError(f"there is no file {file_id!r}")

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user.

        Raises:
            FileTooLarge: It is larger than the server accepts.
            ToolError: It exceeds the user's quota (``quota_exceeded``), or this server takes none (``forbidden``).
            CommandRejected: Its name may not be stored.
            StorageUnavailable: It could not be stored; no part of it remains.
        """
        raise ToolError("forbidden", NO_FILES)

    async def upload(
        self, name: str, media_type: str, content: AsyncGenerator[bytes, None]
    ) -> tuple[File, list[KindCount]]:
        """Filter and store an upload. Return its row, and the counts of what was found in it.

        Raises:
            FileTooLarge: It is larger than the server accepts.
            CommandRejected: It may not be stored, or there is no more space for it.
        """
        raise CommandRejected("forbidden", NO_FILES)

    async def check_room(self, size: int) -> None:
        """Refuse files of about this size together before they are read, if they would not fit.

        Raises:
            CommandRejected: There is no room for them (`quota_exceeded`), or this server takes none (`forbidden`).
        """
        raise CommandRejected("forbidden", NO_FILES)

    async def rows(self, file_ids: Sequence[str]) -> list[File]:
        """Return the user's files among these ids, in order."""
        return []

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[FileCard, ...]:
        """Describe the user's files among these ids, in order; tables with their columns."""
        return ()

    async def content(self, file_id: str) -> bytes | None:
        """Return the bytes of a file of this user, None if it is not there. For small files."""
        return None


@frozen
class FilesOfUsers:
    """The part of a server that takes files: `of(owner)` are those of a user."""

    of: Callable[[str], UserFiles]
