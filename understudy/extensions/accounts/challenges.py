"""Stores the challenges that passkeys sign in the database, so that any node can check the signature.

A challenge is taken once, before the signature is checked. At most `MOST` are stored: beyond that the challenges that
would expire next are deleted at once.
"""

from typing import Final

from sqlalchemy import Connection, delete, func, select

from understudy.extensions.accounts.tables import passkey_challenges
from understudy.storage.write import put, write

MOST: Final = 10_000
"""Limit of stored challenges, of some 100 bytes each."""

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
    """Remove a challenge. Return whether it was stored and still valid at `now`."""
    query = delete(passkey_challenges).where(_c.key == key, _c.expires_at > now)
    return connection.execute(query).rowcount > 0
