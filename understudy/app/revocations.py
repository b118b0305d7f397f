"""Reads the revoked sessions when the server starts."""

import time
from functools import partial

from actors import ChildSpec
from understudy.app.settings import Settings
from understudy.app.tree import BACKOFF, Tree
from understudy.auth.revocation import RevocationPoller, StoredRevocations
from understudy.auth.sessions import Sessions
from understudy.chat.presence import Presence
from understudy.storage.store import Store


async def open_revocations(
    settings: Settings, sessions: Sessions, store: Store, presence: Presence, tree: Tree
) -> ChildSpec:
    """Read the revoked sessions, and make `sessions` refuse them. Return the actor that polls for later revocations.

    The connections of a revoked session are closed, even if another process revoked it.

    Raises StorageUnavailable if the revocations cannot be read.
    """

    def close_revoked(_keys: object) -> None:
        presence.close_revoked(lambda identity: identity in sessions.revoked, tree.system.find)

    revoked = StoredRevocations(time.time, store, settings.on_postgresql, on_revoked=close_revoked)
    await revoked.poll()
    sessions.revoked = revoked
    sessions.on_end.append(lambda identity: presence.close_session(identity, tree.system.find))
    return ChildSpec("ended", partial(RevocationPoller, revoked), backoff=BACKOFF)
