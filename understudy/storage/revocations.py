"""Reads and writes of revoked sessions and tokens, shared by all servers on a database.

`name` is a digest of user and session, or of a token, and reveals none. `ended_at` is by the database's clock, so that
servers that poll for new revocations need not agree on the time.
"""

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, delete, or_, select

from . import schema
from .schema import Now
from .write import put, write

_s = schema.ended_sessions.c

SETTLED_S: Final = 30.0
"""How long after its `ended_at` a revocation may still be committed: longer than any transaction lasts."""
PAGE: Final = 10_000
TIDIED: Final = 100
"""Limit of expired rows deleted with each write."""


@write
def revoke_session(connection: Connection, name: str, until: float, now: float) -> bool:
    """Revoke a session until its tokens expire at `until` (Unix seconds). `now` decides which rows have expired.

    A repeated one changes only `until`, and only to a later time. Return whether it is new, or later.
    """
    past = select(_s.name).where(_s.until <= now, _s.name != name).limit(TIDIED)
    connection.execute(delete(schema.ended_sessions).where(_s.name.in_(past.scalar_subquery())))
    row = put(connection, schema.ended_sessions).values(name=name, until=until, ended_at=Now())
    later = row.excluded.until > _s.until
    new = {"until": row.excluded.until, "ended_at": row.excluded.ended_at}
    revoked = row.on_conflict_do_update(index_elements=["name"], set_=new, where=later)
    return connection.execute(revoked).rowcount > 0


@frozen
class RevokedSession:
    """A revoked session."""

    name: str
    until: float
    ended_at: float


def revoked_since(connection: Connection, since: float, after: str, now: float) -> list[RevokedSession]:
    """Return up to PAGE unexpired revocations since a time by the database's clock, earliest first.

    `after` is the name of the last known revocation of exactly that time.
    """
    wanted = select(_s.name, _s.until, _s.ended_at).where(
        _s.ended_at >= since, or_(_s.ended_at > since, _s.name > after), _s.until > now
    )
    return [RevokedSession(*row) for row in connection.execute(wanted.order_by(_s.ended_at, _s.name).limit(PAGE))]
