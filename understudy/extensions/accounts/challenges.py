"""Writes of the challenges that passkeys sign, for all nodes on the database.

A challenge is taken once, before what was signed with it is checked. There are at most `MOST`: beyond them those that
would expire next are forgotten at once.
"""

from typing import Final

from sqlalchemy import Connection, delete, func, select

from understudy.extensions.accounts.tables import passkey_challenges
from understudy.storage.write import put, write

MOST: Final = 10_000
"""Challenges that are stored, of some 100 bytes each."""

_c = passkey_challenges.c


@write
def add_challenge(connection: Connection, key: str, expires_at: float, now: float) -> bool:
    """Store a challenge under a key until it expires (Unix seconds). Return True."""
    connection.execute(delete(passkey_challenges).where(_c.expires_at <= now))
    count = connection.scalar(select(func.count()).select_from(passkey_challenges)) or 0
    if count >= MOST:
        oldest = select(_c.key).order_by(_c.expires_at, _c.key).limit(count - MOST + 1)
        connection.execute(delete(passkey_challenges).where(_c.key.in_(oldest.scalar_subquery())))
    added = put(connection, passkey_challenges).values(key=key, expires_at=expires_at)
    connection.execute(added.on_conflict_do_nothing())
    return True


@write
def take_challenge(connection: Connection, key: str, now: float) -> bool:
    """Remove a challenge. Return whether it was there, and valid at `now`."""
    taken = delete(passkey_challenges).where(_c.key == key, _c.expires_at > now)
    return connection.execute(taken).rowcount > 0
