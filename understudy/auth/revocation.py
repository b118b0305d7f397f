"""Tokens that are refused before they run out, also by the next start of the server: of a session that was ended, of a
user who was signed out everywhere, and those that were replaced by a renewal."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

import trio
from attrs import define, field

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)

MAX_REVOCATIONS: Final = 100_000
"""Entries that are kept at once, of some 150 bytes each. They are never forgotten early: one more is refused."""
COMPACT_SLACK: Final = 1_000
"""Lines of the file that may be past before it is written anew."""


USER_REVOCATION_S: Final = 400 * 24 * 3600.0
"""How long it is kept that a user was signed out everywhere. A token that is valid for longer than that would count
again afterwards."""
_RENEWED: Final = "token-"
_USER: Final = "user-"
OVERLAP_S: Final = 30.0
"""How long a token that was renewed still counts: for requests on their way, and for two tabs that renew at once."""
POLL_S: Final = 0.5
"""How often it is looked for what other processes have written."""


@define
class RevokedSessions:
    """Which sessions have ended, which tokens were renewed, and which users were signed out everywhere.

    All of it is one table of names, each with the time (Unix seconds) from which the entry has no effect any more:

    - the digest of a user and a session: no token of that session counts.
    - `token-` and the digest of one token: it was replaced by a later one.
    - `user-` and the digest of a user: no token counts that was issued `LASTS_S` before that time, or earlier.

    `on_news` is told the names of sessions and users that were signed out by another process.
    """

    clock: Callable[[], float]
    on_revoked: Callable[[Collection[str]], object] = field(default=len, kw_only=True, repr=False)
    _until: dict[str, float] = field(factory=dict, init=False, repr=False)
    _overlaps: dict[str, float] = field(factory=dict, init=False, repr=False)

    def __contains__(self, who: Identity) -> bool:
        if not self._until:
            return False
        if self._until.get(session_key(who), 0.0) > self.clock():
            return True
        signed_out = self._until.get(user_key(who.user), 0.0)
        return signed_out > self.clock() and (who.issued_at or 0.0) < signed_out - USER_REVOCATION_S

    def __len__(self) -> int:
        return len(self._until)

    def is_replaced(self, who: Identity) -> bool:
        """Whether the token of this identity was renewed, and the overlap is over."""
        name = token_key(who)
        return self._until.get(name, 0.0) > self.clock() and self._overlaps.get(name, 0.0) <= self.clock()

    def entries(self) -> list[tuple[str, float]]:
        """All that is known, past or not."""
        return list(self._until.items())

    def merge(self, found: Mapping[str, float]) -> list[str]:
        """Know of these too; gives the names of those that were not known."""
        news = [name for name, until in found.items() if until > self._until.get(name, 0.0)]
        self._until.update({name: found[name] for name in news})
        now = self.clock()
        self._overlaps.update({name: now + OVERLAP_S for name in news if name.startswith(_RENEWED)})
        return news

    def merge_remote(self, found: Mapping[str, float]) -> None:
        """Know of what another process has written, and tell `on_news` who was signed out."""
        if news := [name for name in self.merge(found) if not name.startswith(_RENEWED)]:
            self.on_revoked(news)

    def drop_expired(self) -> None:
        """Let go of what no token can come back from."""
        now = self.clock()
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._overlaps = {name: until for name, until in self._overlaps.items() if until > now}

    async def revoke_session(self, who: Identity, until: float) -> None:
        """End a session; it may be forgotten at `until` (Unix seconds).

        Raises:
            CommandRejected: So many sessions are ended already that one more cannot be kept (`busy`).
            StorageUnavailable: It cannot be written; the session goes on.
        """
        await self.persist(session_key(who), until)

    async def revoke_user(self, user: str) -> None:
        """End all sessions of a user: no token counts that was issued before now. Raises as `add`."""
        await self.persist(user_key(user), self.clock() + USER_REVOCATION_S)

    async def revoke_token(self, who: Identity) -> None:
        """Have a token count no longer than the overlap. Raises as `add`; then it goes on to count."""
        if token_key(who) not in self._until:
            await self.persist(token_key(who), who.expires_at)

    async def persist(self, name: str, until: float) -> None:
        """Keep an entry, durably. Raises as `add`."""
        raise NotImplementedError

    async def wait_propagated(self) -> None:
        """Wait until every server has learned of what was written before; here there is one."""


@define
class RevocationFile(RevokedSessions):
    """As `RevokedSessions`, in memory and in the file `path`. `clock` gives Unix seconds.

    The file has a line of JSON for each entry, appended and synced before anybody is told that the session has ended.
    Other processes may append to it too: commands of an operator. A lock on the folder keeps them apart.
    """

    path: Path
    clock: Callable[[], float]
    cap: int = MAX_REVOCATIONS
    _lines: int = field(default=0, init=False)
    _seen: tuple[int, int] = field(default=(0, 0), init=False)
    _lock: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def load(self) -> None:
        """Read the file; blocks. One that is not there is empty, and half a line at its end was never acknowledged.

        Raises:
            OSError: It cannot be read or written.
            ValueError: It is damaged; the text says what to do.
        """
        with contextlib.suppress(FileNotFoundError):
            self._until = self._read_entries()
            self._rewrite()

    def load_read_only(self) -> None:
        """As `load`, and write nothing: a server may be using the file."""
        with contextlib.suppress(FileNotFoundError):
            self._until = self._read_entries()

    def _read_entries(self) -> dict[str, float]:
        """Read what stands in the file. A name that stands there twice counts until the later time."""
        lines, found = self.path.read_bytes().split(b"\n"), dict[str, float]()
        for number, line in enumerate(lines[:-1], 1):
            name, until = self._parse_line(number, line)
            found[name] = max(until, found.get(name, 0.0))
        return found

    def _parse_line(self, number: int, line: bytes) -> tuple[str, float]:
        try:
            name, until = json.loads(line)
            return str(name), float(until)
        except (ValueError, TypeError):
            raise ValueError(
                f"{self.path} is damaged in line {number}: restore it, or remove it to forget which sessions have ended"
            ) from None

    async def persist(self, name: str, until: float) -> None:
        """As `RevokedSessions.persist`; on the disk before here."""
        async with self._lock:
            if len(self._until) >= self.cap:
                self.drop_expired()
            if len(self._until) >= self.cap:
                raise CommandRejected("busy", retry_after=60.0)
            try:
                await trio.to_thread.run_sync(self.append, json.dumps([name, until]).encode() + b"\n")
            except OSError as error:
                raise StorageUnavailable(f"{self.path.name} cannot be written: {error.strerror}") from error
            self.merge({name: until})
            if self._lines > 2 * len(self._until) + COMPACT_SLACK:
                await self._compact()

    async def _compact(self) -> None:
        self.drop_expired()
        try:
            await trio.to_thread.run_sync(self._rewrite)
        except OSError as error:  # the lines that are past do no harm, and the next end of a session tries again
            log.warning("ended_sessions.not_tidied", extra={"reason": error.strerror})

    async def poll(self) -> None:
        """Take over what another process has written, and tell `on_news`. Raises OSError and ValueError as `load`."""
        if self._file_identity() == self._seen:
            return
        async with self._lock:
            found = await trio.to_thread.run_sync(self._read_entries)
            self.merge_remote(found)
            self._seen = self._file_identity()

    async def poll_forever(self) -> NoReturn:
        """Look again and again."""
        while True:
            try:
                await self.poll()
            except (OSError, ValueError) as error:
                log.warning("ended_sessions.not_read", extra={"reason": str(error)})
            await trio.sleep(POLL_S)

    def _file_identity(self) -> tuple[int, int]:
        """Which file it is, and how large: either changes when another process writes."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_ino, found.st_size)

    def append(self, line: bytes) -> None:
        """Write a line at the end, durably; blocks. Raises OSError, and nothing is changed then."""
        with self._locked():
            known = self._file_identity() == self._seen
            self._append(line)
            if known:  # else another process has written something that is still to be read
                self._seen = self._file_identity()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing; they are done in milliseconds."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

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
        with self._locked():
            self._rewrite_locked()
            self._seen = self._file_identity()

    def _rewrite_locked(self) -> None:
        now, kept = self.clock(), dict(self._until)
        for name, until in self._read_entries().items():  # what another process wrote a moment ago
            kept[name] = max(until, kept.get(name, 0.0))
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


def session_key(who: Identity) -> str:
    """A user's session: the same name of another user is another session. Claims hold no control characters."""
    return _digest(f"{who.user}\0{who.session}")


def token_key(who: Identity) -> str:
    """The name of the token that an identity came from."""
    return _RENEWED + _digest(f"{who.user}\0{who.session}\0{who.token_id}")


def user_key(user: str) -> str:
    """The name under which it is kept that a user was signed out everywhere."""
    return _USER + _digest(user)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
