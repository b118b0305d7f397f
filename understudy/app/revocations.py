"""Reads which sessions were revoked when the server starts."""

import time
from functools import partial

import trio

from actors import ChildSpec
from understudy.app.settings import Settings
from understudy.app.tree import BACKOFF, Tree
from understudy.auth.revocation import RevocationFile, RevocationPoller, SharedRevocations
from understudy.auth.sessions import REVOCATIONS_FILE, Sessions
from understudy.chat.presence import Presence
from understudy.storage.store import Store


async def open_revocations(
    settings: Settings, sessions: Sessions, store: Store, presence: Presence, tree: Tree
) -> ChildSpec:
    """Read which sessions were revoked, and have `sessions` refuse them. Return the actor that polls for more.

    A revoked session's connections are closed, also if another process revoked it.

    Raises:
        StorageUnavailable, OSError, ValueError: The revocations cannot be read; the text says why.
    """
    path = settings.data_dir / REVOCATIONS_FILE

    def close_revoked(_keys: object) -> None:
        presence.close_revoked(lambda identity: identity in sessions.revoked, tree.system.find)

    revoked: RevocationFile | SharedRevocations
    if settings.on_postgresql:
        revoked = SharedRevocations(path, time.time, store, on_revoked=close_revoked)
        await revoked.load()
    else:
        revoked = RevocationFile(path, time.time, on_revoked=close_revoked)
        await trio.to_thread.run_sync(revoked.load)
    sessions.revoked = revoked
    sessions.on_end.append(lambda identity: presence.close_session(identity, tree.system.find))
    return ChildSpec("ended", partial(RevocationPoller, revoked), backoff=BACKOFF)
