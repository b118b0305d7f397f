"""Revoked tokens, across restarts of the server: of ended sessions, of users signed out everywhere, and of tokens that
a renewal replaced.

A server on SQLite keeps them in a file. Servers that share a PostgreSQL keep them there. Each process polls for new
ones twice a second.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.storage import revocations
from understudy.storage.errors import StorageUnavailable
from understudy.storage.revocations import PAGE, SETTLED_S, revoke_session
from understudy.storage.store import Store

log = logging.getLogger(__name__)

MAX_REVOCATIONS: Final = 100_000
"""Entries kept at once, of some 150 bytes each. None is dropped before it expires: at the bound, new ones are refused.
"""
COMPACT_SLACK: Final = 1_000
"""Expired lines in the file beyond which it is rewritten."""
USER_REVOCATION_S: Final = 400 * 24 * 3600.0
"""Seconds for which the sign-out of a user everywhere is kept. A token valid for longer would be accepted again
afterwards."""
_RENEWED: Final = "token-"
_USER: Final = "user-"
_FAMILY: Final = "family-"
_SPARED: Final = "spared-"
OVERLAP_S: Final = 30.0
"""Seconds for which a renewed token is still accepted: for requests in flight, and for two tabs that renew at once."""
POLL_S: Final = 0.5
"""Seconds between two polls. A token revoked by another process is refused here after that and the time of a read."""


@define
class RevokedSessions:
    """Sessions that were ended, tokens that were renewed, and users that were signed out everywhere.

    All of it is one table of keys, each with its expiry (Unix seconds):

    - the digest of a user and a session: no token of that session is accepted.
    - `token-` and the digest of one token: a later token replaced it; `logout-`, of a provider's: it was used.
    - `user-` and the digest of a user: no token is accepted that was issued `USER_REVOCATION_S` before the expiry, or
      earlier.
    - `family-` and the digest of a user and of session names up to their last dash: no token of such a session
      is accepted, except of one that is there with `spared-` and the digest of user and session.

    `on_revoked` is called with the keys of sessions and users that another process revoked. At most `cap` entries are
    kept.
    """

    clock: Callable[[], float]
    on_revoked: Callable[[Collection[str]], object] = field(default=len, kw_only=True, repr=False)
    cap: int = field(default=MAX_REVOCATIONS, kw_only=True)
    _until: dict[str, float] = field(factory=dict, init=False, repr=False)
    _overlaps: dict[str, float] = field(factory=dict, init=False, repr=False)

    def __contains__(self, identity: Identity) -> bool:
        if not self._until:
            return False
        if self._until.get(session_key(identity), 0.0) > self.clock():
            return True
        if self._until.get(family_key(identity), 0.0) > self.clock() and spared_key(identity) not in self._until:
            return True
        signed_out = self._until.get(user_key(identity.user), 0.0)
        return signed_out > self.clock() and (identity.issued_at or 0.0) < signed_out - USER_REVOCATION_S

    def __len__(self) -> int:
        return len(self._until)

    def is_replaced(self, identity: Identity) -> bool:
        """Whether the token of this identity was renewed, and its overlap is over."""
        name = token_key(identity)
        return self._until.get(name, 0.0) > self.clock() and self._overlaps.get(name, 0.0) <= self.clock()

    def entries(self) -> list[tuple[str, float]]:
        """Return all entries with their expiry, expired ones included."""
        return list(self._until.items())

    def merge(self, found: Mapping[str, float]) -> list[str]:
        """Add entries. Return the keys that are new, or expire later than was known."""
        news = [name for name, until in found.items() if until > self._until.get(name, 0.0)]
        self._until.update({name: found[name] for name in news})
        now = self.clock()
        self._overlaps.update({name: now + OVERLAP_S for name in news if name.startswith(_RENEWED)})
        return news

    def merge_remote(self, found: Mapping[str, float]) -> None:
        """Add entries that another process wrote. Call `on_revoked` with the new ones of sessions and users."""
        if news := [name for name in self.merge(found) if not name.startswith(_RENEWED)]:
            self.on_revoked(news)

    def drop_expired(self) -> None:
        """Drop expired entries: the tokens they concern have expired too."""
        now = self.clock()
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._overlaps = {name: until for name, until in self._overlaps.items() if until > now}

    async def revoke_session(self, identity: Identity, until: float) -> None:
        """Revoke a session. The entry may be dropped after `until` (Unix seconds).

        Raises:
            CommandRejected: MAX_REVOCATIONS entries are kept already (`busy`).
            StorageUnavailable: The entry cannot be written; the session is still valid.
        """
        await self.persist(session_key(identity), until)

    async def revoke_family(self, identity: Identity, until: float, spared: Identity) -> None:
        """Revoke all sessions of a user with the name of this one up to its last dash, also such as begin later, except
        `spared`. The entries may be dropped after `until` (Unix seconds). Raises as `revoke_session`."""
        await self.persist(spared_key(spared), until + OVERLAP_S)  # first: other processes may read in between
        await self.persist(family_key(identity), until)

    async def revoke_user(self, user: str) -> None:
        """Revoke all sessions of a user: no token issued before now is accepted. Raises as `revoke_session`."""
        await self.persist(user_key(user), self.clock() + USER_REVOCATION_S)

    async def revoke_token(self, identity: Identity) -> None:
        """Revoke one token after OVERLAP_S. Raises as `revoke_session`; then the token is still valid."""
        if token_key(identity) not in self._until:
            await self.persist(token_key(identity), identity.expires_at)

    async def persist(self, name: str, until: float) -> None:
        """Store an entry durably, then apply it. Raises as `revoke_session`."""
        raise NotImplementedError

    async def wait_propagated(self) -> None:
        """Wait until every server applies the entries written so far. Returns at once, as there is one server."""

    async def poll(self) -> None:
        """Apply entries that another process wrote."""

    async def poll_forever(self) -> NoReturn:
        """Poll every POLL_S."""
        while True:
            try:
                await self.poll()
            except StorageUnavailable as error:  # no server can write revocations meanwhile
                log.debug("ended_sessions.not_read", extra={"reason": error.reason})
            except (OSError, ValueError) as error:
                log.warning("ended_sessions.not_read", extra={"reason": str(error)})
            await trio.sleep(POLL_S)

    def _check_room(self) -> None:
        """Drop expired entries at the bound. Raises CommandRejected (`busy`) if there is still no room."""
        if len(self) >= self.cap:
            self.drop_expired()
        if len(self) >= self.cap:
            raise CommandRejected("busy", retry_after=60.0)


@define
class RevocationFile(RevokedSessions):
    """Revocations in memory and in the file `path`. `clock` returns Unix seconds.

    The file has a line of JSON for each entry. A line is appended and synced before the revocation is acknowledged.
    Commands of an operator may append too: a lock on the folder serialises the writers.
    """

    path: Path
    clock: Callable[[], float]
    _lines: int = field(default=0, init=False)
    _seen: tuple[int, int] = field(default=(0, 0), init=False)
    _lock: trio.Lock = field(factory=trio.Lock, init=False, repr=False)

    def load(self) -> None:
        """Read the file, and compact it. Blocks.

        A missing file is empty. Half a line at its end is ignored, because it was never acknowledged.

        Raises:
            OSError: The file cannot be read or written.
            ValueError: The file is damaged; the text says how to repair it.
        """
        with contextlib.suppress(FileNotFoundError):
            self._until = self._read_entries()
            self._rewrite()

    def load_read_only(self) -> None:
        """Read the file without compacting it, because a server may be using it. Raises as `load`."""
        with contextlib.suppress(FileNotFoundError):
            self._until = self._read_entries()

    def _read_entries(self) -> dict[str, float]:
        """Read the file's entries. A key that occurs twice has the later expiry."""
        lines, found = self.path.read_bytes().split(b"\n"), dict[str, float]()
        for number, line in enumerate(lines[:-1], 1):
            try:
                key, until = json.loads(line)
                key, until = str(key), float(until)
            except (ValueError, TypeError):
                raise ValueError(
                    f"{self.path} is damaged in line {number}: restore it, or remove it to forget which sessions have "
                    "ended"
                ) from None
            found[key] = max(until, found.get(key, 0.0))
        return found

    async def persist(self, name: str, until: float) -> None:
        """Append an entry to the file and sync it, then apply it."""
        async with self._lock:
            self._check_room()
            try:
                await trio.to_thread.run_sync(self.append, json.dumps([name, until]).encode() + b"\n")
            except OSError as error:
                raise StorageUnavailable(f"{self.path.name} cannot be written: {error.strerror}") from error
            self.merge({name: until})
            if self._lines > 2 * len(self._until) + COMPACT_SLACK:
                self.drop_expired()
                try:
                    await trio.to_thread.run_sync(self._rewrite)
                except OSError as error:  # expired lines do no harm, and the next revocation retries
                    log.warning("ended_sessions.not_tidied", extra={"reason": error.strerror})

    async def poll(self) -> None:
        """Apply entries that another process wrote. Raises OSError and ValueError as `load`."""
        if self._file_identity() == self._seen:
            return
        async with self._lock:
            found = await trio.to_thread.run_sync(self._read_entries)
            self.merge_remote(found)
            self._seen = self._file_identity()

    def _file_identity(self) -> tuple[int, int]:
        """Return the file's inode and size, one of which changes when another process writes."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_ino, found.st_size)

    def append(self, line: bytes) -> None:
        """Append a line durably. Blocks. Raises OSError, and the file is unchanged then."""
        with self._locked():
            known = self._file_identity() == self._seen
            self._append(line)
            if known:  # otherwise entries of another process are still to be polled
                self._seen = self._file_identity()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock against writes by other processes, which take milliseconds."""
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
        """Write the entries that have not expired to a new file, and replace the old one."""
        with self._locked():
            self._write_new_file()
            self._seen = self._file_identity()

    def _write_new_file(self) -> None:
        now, entries = self.clock(), dict(self._until)
        for name, until in self._read_entries().items():  # another process may have written since
            entries[name] = max(until, entries.get(name, 0.0))
        lines = [json.dumps([name, until]) + "\n" for name, until in entries.items() if until > now]
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
        """Sync the folder, so that the file's name is on the disk too."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def session_key(identity: Identity) -> str:
    """Return the key of a user's session. Sessions of one name of two users have two keys: claims hold no control
    characters."""
    return _digest(f"{identity.user}\0{identity.session}")


def family_key(identity: Identity) -> str:
    """Return the key of all sessions of a user with the name of this one up to its last dash."""
    return _FAMILY + _digest(f"{identity.user}\0{identity.session.rpartition('-')[0]}")


def spared_key(identity: Identity) -> str:
    """Return the key of a session that goes on although its family was revoked."""
    return _SPARED + session_key(identity)


def token_key(identity: Identity) -> str:
    """Return the key of the token that an identity was read from."""
    return _RENEWED + _digest(f"{identity.user}\0{identity.session}\0{identity.token_id}")


def user_key(user: str) -> str:
    """Return the key under which the sign-out of a user everywhere is kept."""
    return _USER + _digest(user)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@define
class SharedRevocations(RevokedSessions):
    """Revocations in memory and in the database.

    A revocation is committed before it is acknowledged, and reaches every other server by its next poll. Entries of the
    file `path`, from a time when this server ran alone, are moved to the database at the start.
    """

    path: Path
    clock: Callable[[], float]
    store: Store
    _seen_to: float = field(default=0.0, init=False)

    async def load(self) -> None:
        """Read all revocations, after moving those of the file to the database.

        Raises:
            StorageUnavailable: The database does not answer.
            OSError, ValueError: The file cannot be read, or is damaged.
        """
        alone = RevocationFile(self.path, self.clock)
        await trio.to_thread.run_sync(alone.load)
        for name, until in alone.entries():
            await self.store.commit(revoke_session(name, until, self.clock()))
        await trio.to_thread.run_sync(partial(self.path.unlink, missing_ok=True))
        await self.poll()

    async def persist(self, name: str, until: float) -> None:
        """Commit an entry to the database, then apply it here."""
        self._check_room()
        await self.store.commit(revoke_session(name, until, self.clock()))
        self.merge({name: until})

    async def wait_propagated(self) -> None:
        """Wait for two polls: the other servers poll every POLL_S, and a read takes less than that."""
        await trio.sleep(2 * POLL_S)

    async def poll(self) -> None:
        """Read new entries, and apply them. Raises StorageUnavailable.

        Reads from SETTLED_S before the newest known entry: an entry written then may have been committed since.
        """
        since, after, newest = self._seen_to - SETTLED_S, "", self._seen_to
        found: dict[str, float] = {}
        while True:
            page = await self.store.read(revocations.revoked_since, since, after, self.clock())
            found |= {each.name: each.until for each in page}
            if page:
                since, after = page[-1].ended_at, page[-1].name
                newest = max(newest, since)
            if len(page) < PAGE:
                break
        self._seen_to = newest
        if len(self) > self.cap:
            self.drop_expired()
        self.merge_remote(found)


class RevocationPoller(Actor):
    """Polls for revocations by other processes."""

    def __init__(self, revoked: RevokedSessions) -> None:
        self.revoked = revoked

    async def on_start(self, context: Context) -> None:
        """Start polling."""
        context.start_soon(self.revoked.poll_forever, name="watch")
