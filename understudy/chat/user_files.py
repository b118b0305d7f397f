"""The files of a user, as messages and runs use them. A server without the extension `files` has none."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, Final

from attrs import define, frozen

from transport.wire.errors import CommandRejected
from understudy.content.summary import KindCount
from understudy.models.model import FileCard
from understudy.storage.records import File
from understudy.tools.context import Files
from understudy.tools.errors import ToolError
from understudy.tools.tool import StoredFile

NO_FILES = "This server takes no files."
MAX_OF_CALL: Final = 20
"""Files of one call that its user is shown; more are stored, and not listed."""
MAX_OF_ANSWER: Final = 50
"""Files of one answer that its user is shown."""


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


@define(eq=False)
class SavedFiles:
    """The user's files for one call. `cards` gets the card of each file that the call saves."""

    files: Files
    cards: list[dict[str, Any]]

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id. Raises LookupError if this user has none."""
        return await self.files.get(file_id)

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user. Raises ValueError if it is larger than the server accepts."""
        saved = await self.files.save(name, media_type, content)
        if len(self.cards) < MAX_OF_CALL:
            self.cards.append({"id": saved.id, "name": saved.name, "media_type": saved.media_type, "size": saved.size})
        return saved


def files_of_answer(cards: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each file once, in the order in which they were made; at most `MAX_OF_ANSWER`."""
    return list({card["id"]: card for card in cards}.values())[:MAX_OF_ANSWER]
