"""Persistence of a client's unacknowledged commands across restarts of the program."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import trio

from transport.client.unacked import MAX_BYTES

JsonObject: TypeAlias = Mapping[str, Any]


class OutboxStore(Protocol):
    """Stores a client's commands. Calls do not overlap; an error ends the client."""

    async def load(self) -> Sequence[JsonObject]:
        """Return the commands that were saved last; none at first."""

    async def save(self, commands: Sequence[JsonObject]) -> None:
        """Replace all stored commands. They are durable when this returns."""


class FileOutbox:
    """Stores commands in a JSON file that only its owner can read. One client per file.

    The file is replaced atomically, once the new one is synced to disk: after any crash the old or the new one exists.
    Both methods raise OSError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def load(self) -> Sequence[JsonObject]:
        """Read the file. Raises ValueError if it is not an outbox."""
        return await trio.to_thread.run_sync(self._load)

    async def save(self, commands: Sequence[JsonObject]) -> None:
        """Replace the file. Not interrupted by cancellation."""
        await trio.to_thread.run_sync(self._save, list(commands))

    def _load(self) -> Sequence[JsonObject]:
        try:
            with self._path.open("rb") as file:
                body = file.read(2 * MAX_BYTES)
        except FileNotFoundError:
            return []
        try:
            commands = json.loads(body)["commands"]
            valid = all(isinstance(entry["type"], str) and isinstance(entry["payload"], dict) for entry in commands)
        except (ValueError, LookupError, TypeError):
            valid = False
        if not valid:
            raise ValueError(f"{self._path} is not an outbox")
        checked: Sequence[JsonObject] = commands
        return checked

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
