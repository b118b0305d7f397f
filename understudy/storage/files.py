"""Uploaded files: what everyone else calls, wherever the bytes are; and the names that users see of them."""

import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from .rows import File

MIB: Final = 1 << 20
CHUNK_BYTES: Final = 256 * 1024
"""How much of a file goes to or from a worker thread at a time: a trip to a thread costs as much as 100 KiB."""
LONGEST_NAME: Final = 200
"""Of a display name, in characters; the common limit of file systems is 255 bytes."""


class FileStore(Protocol):
    """Where the bytes of uploaded files are: a folder (`FolderFiles`) or the database (`DatabaseFiles`)."""

    async def save(self, owner: str, name: str, media_type: str, chunks: AsyncIterable[bytes]) -> File:
        """Take an upload in and return its row; both are durable when this returns.

        Raises FileTooLarge as soon as the limit is passed, StorageUnavailable when the bytes or the row cannot be
        stored, and what `chunks` raises; whatever it is, also a cancel, no file is left that a user could name. A
        source that needs closing is the caller's to close.
        """

    def read(self, file: File) -> AsyncGenerator[bytes, None]:
        """The bytes, some at a time; close it. Raises NotStored when they are gone, StorageUnavailable."""

    async def local(self, file: File) -> Path:
        """Where the bytes can be read on this machine: for a minute at least, and then as long as it is open.

        Raises NotStored when they are gone, StorageUnavailable.
        """

    async def remove(self, owner: str, file_ids: Sequence[str]) -> None:
        """Remove the bytes of these files, and copies here; what is gone already is fine. Rows are the Store's.

        Raises ValueError for what is not an id that a store of files makes, and StorageUnavailable.
        """

    def sweep(self) -> int:
        """Remove what uploads left behind when a server was killed, and say how many; blocks.

        For start-up, before the first upload. Raises OSError.
        """


def display_name(name: str) -> str:
    """The user's name of a file made fit for showing: no folders, no control or direction characters, not too long."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip()
    if len(name) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        ending = dot + suffix if stem and len(suffix) < 20 else ""
        name = name[: LONGEST_NAME - len(ending)] + ending
    return name if name.strip(". ") else "file"
