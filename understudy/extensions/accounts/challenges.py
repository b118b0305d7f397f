"""Writes of the challenges that passkeys sign, for all nodes on the database.

A challenge is taken once, before what was signed with it is checked. There are at most `MOST`: beyond them those that
would expire next are forgotten at once.
"""

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, delete, func, select

from understudy.extensions.accounts.tables import passkey_challenges
from understudy.storage.write import Write, put

MOST: Final = 10_000
"""Challenges that are stored, of some 100 bytes each."""

_c = passkey_challenges.c


@frozen
class AddChallenge(Write):
    """Store a challenge under a key until it expires (Unix seconds). The answer is True."""

    key: str
    expires_at: float
    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        connection.execute(delete(passkey_challenges).where(_c.expires_at <= self.now))
        count = connection.scalar(select(func.count()).select_from(passkey_challenges)) or 0
        if count >= MOST:
            oldest = select(_c.key).order_by(_c.expires_at, _c.key).limit(count - MOST + 1)
            connection.execute(delete(passkey_challenges).where(_c.key.in_(oldest.scalar_subquery())))
        added = put(connection, passkey_challenges).values(key=self.key, expires_at=self.expires_at)
        connection.execute(added.on_conflict_do_nothing())
        return True


@frozen
class TakeChallenge(Write):
    """Remove a challenge. The answer is whether it was there, and valid at `now`."""

    key: str
    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        taken = delete(passkey_challenges).where(_c.key == self.key, _c.expires_at > self.now)
        return connection.execute(taken).rowcount > 0
