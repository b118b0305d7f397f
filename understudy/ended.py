"""Sessions that were ended before their tokens ran out: refused until then, also by the next start of the server."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from transport.auth import Identity
from transport.errors import CommandRejected
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)

MAX_ENDED: Final = 100_000
"""Sessions that are kept at once, of some 150 bytes each. They are never forgotten early: one more is refused."""
SLACK: Final = 1_000
"""Lines of the file that may be past before it is written anew."""


@define
class Ended:
    """Which sessions have ended, by a digest of user and session, each until no token of it can count any more."""

    clock: Callable[[], float]
    _until: dict[str, float] = field(factory=dict, init=False, repr=False)

    def __contains__(self, who: Identity) -> bool:
        return bool(self._until) and self._until.get(name_of(who), 0.0) > self.clock()

    def __len__(self) -> int:
        return len(self._until)

    def kept(self) -> list[tuple[str, float]]:
        """All that is known, past or not."""
        return list(self._until.items())

    def keep(self, found: Mapping[str, float]) -> list[str]:
        """Know of these too; gives the names of those that were not known."""
        news = [name for name, until in found.items() if until > self._until.get(name, 0.0)]
        self._until.update({name: found[name] for name in news})
        return news

    def forget_past(self) -> None:
        """Let go of what no token can come back from."""
        now = self.clock()
        self._until = {name: until for name, until in self._until.items() if until > now}

    async def add(self, who: Identity, until: float) -> None:
        """End a session; it may be forgotten at `until` (Unix seconds).

        Raises:
            CommandRejected: So many sessions are ended already that one more cannot be kept (`busy`).
            StorageUnavailable: It cannot be written; the session goes on.
        """
        raise NotImplementedError


@define
class EndedSessions(Ended):
    """Which sessions have ended, in memory and in the file `path`. `clock` gives Unix seconds.

    The file has a line of JSON for each, appended and synced before anybody is told that the session has ended. It
    holds a digest of user and session, and the time (Unix seconds) from which no token of it can count any more.
    """

    path: Path
    clock: Callable[[], float]
    cap: int = MAX_ENDED
    _lines: int = field(default=0, init=False)
    _turn: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def load(self) -> None:
        """Read the file; blocks. One that is not there is empty, and half a line at its end was never acknowledged.

        Raises:
            OSError: It cannot be read or written.
            ValueError: It is damaged; the text says what to do.
        """
        with contextlib.suppress(FileNotFoundError):
            lines = self.path.read_bytes().split(b"\n")
            self._until = dict(self._read(number, line) for number, line in enumerate(lines[:-1], 1))
            self._rewrite()

    def _read(self, number: int, line: bytes) -> tuple[str, float]:
        try:
            name, until = json.loads(line)
            return str(name), float(until)
        except (ValueError, TypeError):
            raise ValueError(
                f"{self.path} is damaged in line {number}: restore it, or remove it to forget which sessions have ended"
            ) from None

    async def add(self, who: Identity, until: float) -> None:
        """As `Ended.add`; on the disk before here."""
        async with self._turn:
            if len(self._until) >= self.cap:
                self.forget_past()
            if len(self._until) >= self.cap:
                raise CommandRejected("busy", retry_after=60.0)
            name = name_of(who)
            try:
                await trio.to_thread.run_sync(self._append, json.dumps([name, until]).encode() + b"\n")
            except OSError as error:
                raise StorageUnavailable(f"{self.path.name} cannot be written: {error.strerror}") from error
            self._until[name] = until
            if self._lines > 2 * len(self._until) + SLACK:
                await self._tidy()

    async def _tidy(self) -> None:
        self.forget_past()
        try:
            await trio.to_thread.run_sync(self._rewrite)
        except OSError as error:  # the lines that are past do no harm, and the next end of a session tries again
            log.warning("ended_sessions.not_tidied", extra={"reason": error.strerror})

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
                if size == 0:
                    self._sync_folder()
            except OSError:
                os.ftruncate(descriptor, size)  # or the next line would be joined to half of this one
                raise
        finally:
            os.close(descriptor)
        self._lines += 1

    def _rewrite(self) -> None:
        """Write what still counts into a new file, and put that in the old one's place."""
        now, kept = self.clock(), dict(self._until)
        lines = [json.dumps([name, until]) + "\n" for name, until in kept.items() if until > now]
        handle, aside = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        try:
            with os.fdopen(handle, "w") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self.path)
            self._sync_folder()
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)
            raise
        self._lines = len(lines)

    def _sync_folder(self) -> None:
        """A new name is on the disk only when its folder is."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def name_of(who: Identity) -> str:
    """A user's session: the same name of another user is another session. Claims hold no control characters."""
    return hashlib.blake2b(f"{who.user}\0{who.session}".encode(), digest_size=16).hexdigest()
