"""The interface of stores for uploaded files, and the display names of files."""

import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from .rows import File

MIB: Final = 1 << 20
CHUNK_BYTES: Final = 256 * 1024
"""Bytes of a file per call of a worker thread: a trip to a thread costs as much as writing 100 KiB."""
LONGEST_NAME: Final = 200
"""Limit of a display name in characters; longer names are cut. File systems commonly allow 255 bytes."""


class FileStore(Protocol):
    """Stores the bytes of uploaded files in a folder (`FolderFiles`) or the database (`DatabaseFiles`)."""

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Store an upload and return its row; both are durable when this returns.

        Raises FileTooLarge as soon as the limit is passed, StorageUnavailable if the bytes or the row cannot be stored,
        and the errors of `chunks`; after any of these, and a cancel, no file is left. The caller closes `chunks`.
        """

    def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """Return a generator of chunks, to be closed by the caller. Raises NotStored, StorageUnavailable."""

    async def local(self, file: File) -> Path:
        """Return a path on this machine with the bytes: valid for at least a minute, and while it is open.

        Raises NotStored, StorageUnavailable.
        """

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """Delete the bytes of these files and local copies, if they exist; the Store deletes the rows.

        Raises ValueError for an invalid id, and StorageUnavailable.
        """

    def sweep(self) -> int:
        """Delete partial uploads of a server that was killed. Return their number; blocks.

        For start-up, before the first upload. Raises OSError.
        """


def display_name(name: str) -> str:
    """Make a user's file name displayable: no folders, no control or direction characters, not too long."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip()
    if len(name) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        ending = dot + suffix if stem and len(suffix) < 20 else ""
        name = name[: LONGEST_NAME - len(ending)] + ending
    return name if name.strip(". ") else "file"
