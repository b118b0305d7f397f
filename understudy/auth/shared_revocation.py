"""Revocations shared through the database: every server that uses it polls for new ones twice a second."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import trio
from attrs import define, field

from actors import Actor, Context
from transport.wire.errors import CommandRejected
from understudy.auth.revocation import MAX_REVOCATIONS, POLL_S, RevocationFile, RevokedSessions
from understudy.storage.errors import StorageUnavailable
from understudy.storage.revocations import PAGE, SETTLED_S, RevokeSession
from understudy.storage.store import Store

log = logging.getLogger(__name__)

POLL_INTERVAL_S: Final = POLL_S
"""Seconds between two polls. A token revoked on another server is refused here after that and the time of a read."""


@define
class SharedRevocations(RevokedSessions):
    """Revocations in memory and in the database.

    A revocation is committed before it is acknowledged, and reaches every other server by its next poll. Entries of the
    file `path`, from a time when this server ran alone, are moved to the database at the start.
    """

    path: Path
    clock: Callable[[], float]
    store: Store
    cap: int = MAX_REVOCATIONS
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
            await self.store.revoke_session(RevokeSession(name, until, self.clock()))
        await trio.to_thread.run_sync(self._unlink)
        await self.poll()

    def _unlink(self) -> None:
        self.path.unlink(missing_ok=True)

    async def persist(self, name: str, until: float) -> None:
        """Commit an entry to the database, then apply it here."""
        if len(self) >= self.cap:
            self.drop_expired()
        if len(self) >= self.cap:
            raise CommandRejected("busy", retry_after=60.0)
        await self.store.revoke_session(RevokeSession(name, until, self.clock()))
        self.merge({name: until})

    async def wait_propagated(self) -> None:
        """Wait for two polls: the other servers poll every POLL_INTERVAL_S, and a read takes less than that."""
        await trio.sleep(2 * POLL_INTERVAL_S)

    async def poll(self) -> None:
        """Read new entries, and apply them. Raises StorageUnavailable.

        Reads from SETTLED_S before the newest known entry: an entry written then may have been committed since.
        """
        since, after, newest = self._seen_to - SETTLED_S, "", self._seen_to
        found: dict[str, float] = {}
        while True:
            page = await self.store.revoked_since(since, after, self.clock())
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

    async def poll_forever(self) -> NoReturn:
        """Poll every POLL_INTERVAL_S."""
        while True:
            try:
                await self.poll()
            except StorageUnavailable as error:  # no server can write revocations meanwhile
                log.debug("ended_sessions.not_read", extra={"reason": error.reason})
            await trio.sleep(POLL_INTERVAL_S)


class RevocationPoller(Actor):
    """Polls for revocations by other processes."""

    def __init__(self, ended: RevocationFile | SharedRevocations) -> None:
        self.ended = ended

    async def on_start(self, context: Context) -> None:
        """Start polling."""
        context.start_soon(self.ended.poll_forever, name="watch")
