"""Revocations of sessions, of all sessions of a user, and of single tokens that were renewed.

They are stored in the database, so they survive restarts, and each process polls it for new ones twice a second.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.storage import revocations
from understudy.storage.errors import StorageUnavailable
from understudy.storage.polling import until_next
from understudy.storage.revocations import PAGE, SETTLED_S, revoke_session
from understudy.storage.store import Store

log = logging.getLogger(__name__)

MAX_REVOCATIONS: Final = 100_000
"""Entries in memory, of some 150 bytes each. None is dropped before it expires: at the limit, new ones are refused."""
USER_REVOCATION_S: Final = 400 * 24 * 3600.0
"""Seconds for which the sign-out of a user everywhere is kept. A token that is valid for longer would be accepted again
afterwards."""
_RENEWED: Final = "token-"
_USER: Final = "user-"
_FAMILY: Final = "family-"
_SPARED: Final = "spared-"
OVERLAP_S: Final = 30.0
"""Seconds for which a renewed token is still accepted: for requests in flight, and for two tabs that renew at once."""
POLL_S: Final = 0.5
"""Seconds between two polls. A token revoked by another process is refused here after that and the time of a read."""

SETTLING_S: Final = 1.0
"""Seconds for which polls read after a commit was seen: another one in the same tick of the file system's clock does
not change the file's stamp."""


@define
class RevokedSessions:
    """Sessions that were ended, tokens that were renewed, and users that were signed out everywhere.

    All of it is one table of keys, each with its expiry (Unix seconds):

    - the digest of a user and a session: no token of that session is accepted.
    - `token-` and the digest of a token: a later token has replaced it; `logout-`, of a provider's: it was used.
    - `user-` and the digest of a user: no token is accepted that was issued `USER_REVOCATION_S` before the expiry, or
      earlier.
    - `family-` and the digest of a user and of session names up to their last dash: no token of such a session is
      accepted, unless there is an entry `spared-` with the digest of the user and the session.

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
        """Return whether the token of this identity was renewed, and its overlap is over."""
        name = token_key(identity)
        return self._until.get(name, 0.0) > self.clock() and self._overlaps.get(name, 0.0) <= self.clock()

    def entries(self) -> list[tuple[str, float]]:
        """Return all entries with their expiry, expired ones included."""
        return list(self._until.items())

    def merge(self, entries: Mapping[str, float]) -> list[str]:
        """Add entries. Return the keys that are new, or expire later than before."""
        changed = [name for name, until in entries.items() if until > self._until.get(name, 0.0)]
        self._until.update({name: entries[name] for name in changed})
        now = self.clock()
        self._overlaps.update({name: now + OVERLAP_S for name in changed if name.startswith(_RENEWED)})
        return changed

    def merge_remote(self, entries: Mapping[str, float]) -> None:
        """Add entries that another process wrote. Call `on_revoked` with the changed keys of sessions and users."""
        if changed := [name for name in self.merge(entries) if not name.startswith(_RENEWED)]:
            self.on_revoked(changed)

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
        """Revoke all sessions of a user with the name of this one up to its last dash, including later ones, except
        `spared`. The entries may be dropped after `until` (Unix seconds). Raises as `revoke_session`."""
        await self.persist(spared_key(spared), until + OVERLAP_S)  # first, as other processes may read in between
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
        """Wait until every server applies the entries written so far."""

    async def poll(self) -> None:
        """Apply entries that another process wrote."""

    async def poll_forever(self) -> NoReturn:
        """Poll every POLL_S."""
        while True:
            try:
                await self.poll()
            except StorageUnavailable as error:  # then no server can write revocations either
                log.debug("ended_sessions.not_read", extra={"reason": error.reason})
            await trio.sleep(until_next(POLL_S))

    def check_room(self) -> None:
        """Drop expired entries at the bound. Raises CommandRejected (`busy`) if there is still no room."""
        if len(self) >= self.cap:
            self.drop_expired()
        if len(self) >= self.cap:
            raise CommandRejected("busy", retry_after=60.0)


def session_key(identity: Identity) -> str:
    """Return the key of a user's session. The separator is unambiguous, because claims have no control characters."""
    return _digest(f"{identity.user}\0{identity.session}")


def family_key(identity: Identity) -> str:
    """Return the key of all sessions of a user with the name of this one up to its last dash."""
    return _FAMILY + _digest(f"{identity.user}\0{identity.session.rpartition('-')[0]}")


def spared_key(identity: Identity) -> str:
    """Return the key of a session that stays valid although its family is revoked."""
    return _SPARED + session_key(identity)


def token_key(identity: Identity) -> str:
    """Return the key of the token that an identity was read from."""
    return _RENEWED + _digest(f"{identity.user}\0{identity.session}\0{identity.token_id}")


def user_key(user: str) -> str:
    """Return the key of the sign-out of a user everywhere."""
    return _USER + _digest(user)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@define
class StoredRevocations(RevokedSessions):
    """Revocations in memory and in the database. An entry is committed before it is acknowledged, and reaches the other
    servers by their next poll. `shared`: there may be other servers."""

    store: Store
    shared: bool = False
    _seen_to: float = field(default=0.0, init=False)
    _stamp: tuple[int, int] | None = field(default=None, init=False)
    _changed_at: float = field(default=0.0, init=False)

    async def persist(self, name: str, until: float) -> None:
        """Commit an entry to the database, then apply it here."""
        self.check_room()
        await self.store.commit(revoke_session(name, until, self.clock()))
        self.merge({name: until})

    async def wait_propagated(self) -> None:
        """Wait for two polls of the other servers, if there may be any: a poll and its read take less than that."""
        if self.shared:
            await trio.sleep(2 * POLL_S)

    async def poll(self) -> None:
        """Read new entries if anything was committed since the last read, and apply them. Raises StorageUnavailable.

        Reads from SETTLED_S before the newest known entry, because an earlier one may have been committed since.
        """
        stamp = self.store.database.stamp()
        if stamp is None or stamp != self._stamp:
            self._changed_at = trio.current_time()
        elif trio.current_time() > self._changed_at + SETTLING_S:
            return
        since, after, newest = self._seen_to - SETTLED_S, "", self._seen_to
        until: dict[str, float] = {}
        while True:
            page = await self.store.read(revocations.revoked_since, since, after, self.clock())
            until |= {row.name: row.until for row in page}
            if page:
                since, after = page[-1].ended_at, page[-1].name
                newest = max(newest, since)
            if len(page) < PAGE:
                break
        self._seen_to, self._stamp = newest, stamp
        if len(self) > self.cap:
            self.drop_expired()
        self.merge_remote(until)


class RevocationPoller(Actor):
    """Polls for revocations by other processes."""

    def __init__(self, revoked: RevokedSessions) -> None:
        self.revoked = revoked

    async def on_start(self, context: Context) -> None:
        """Start polling."""
        context.start_soon(self.revoked.poll_forever, name="watch")
