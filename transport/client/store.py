"""Where a client keeps what is not settled, so that a program that is started again loses nothing."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import trio

from transport.client.unacked import MAX_BYTES

JsonObject: TypeAlias = Mapping[str, Any]


class OutboxStore(Protocol):
    """Keeps a client's commands. Calls do not overlap; what they raise ends the client."""

    async def load(self) -> Sequence[JsonObject]:
        """The commands that were saved last; none at first."""

    async def save(self, commands: Sequence[JsonObject]) -> None:
        """Keep these in place of all earlier ones. They are kept for good when this returns."""


class FileOutbox:
    """Keeps them in a file of JSON, which only its owner may read. One client a file.

    A new file takes the place of the old one in a single step, after it has reached the disk: whenever the program or
    the machine dies, one of the two is there. Both methods raise OSError as the disk does.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def load(self) -> Sequence[JsonObject]:
        """What is in the file. Raises ValueError when it is not an outbox."""
        return await trio.to_thread.run_sync(self._load)

    async def save(self, commands: Sequence[JsonObject]) -> None:
        """Write the file anew. Not cut short by a cancellation."""
        await trio.to_thread.run_sync(self._save, list(commands))

    def _load(self) -> Sequence[JsonObject]:
        try:
            with self._path.open("rb") as file:
                body = file.read(2 * MAX_BYTES)
        except FileNotFoundError:
            return []
        try:
            commands = json.loads(body)["commands"]
            whole = all(isinstance(each["type"], str) and isinstance(each["payload"], dict) for each in commands)
        except (ValueError, LookupError, TypeError):
            whole = False
        if not whole:
            raise ValueError(f"{self._path} is not an outbox")
        kept: Sequence[JsonObject] = commands
        return kept

    def _save(self, commands: Sequence[JsonObject]) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(json.dumps({"version": 1, "commands": commands}).encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
