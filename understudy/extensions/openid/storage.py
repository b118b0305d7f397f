"""Reads and writes of the sessions of users who signed in at the identity provider. Their secrets are sealed.

1. A write replaces only the session with the stamp that was read, and sets a new stamp. So only one of several nodes
   asks the provider, and the late write of another is dropped.
2. No read returns an expired session; expired sessions are removed when the next user signs in.
"""

from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import Connection, delete, select, update

from understudy.extensions.openid.tables import provider_sessions
from understudy.storage.write import add_users, put, write

MOST: Final = 500
"""Limit of sessions in one read."""

PER_USER: Final = 100
"""Limit of stored sessions of a user, more than anybody has browsers; the oldest are removed."""

_s = provider_sessions.c


@frozen
class ProviderSession:
    """A user's session. `subject` and `provider_session` are digests of the provider's names of the user and of its
    session; the latter is empty if it gave none. Until `claimed_until` a node asks the provider. Times: Unix seconds.
    """

    owner: str
    id: str
    sealed: bytes
    stamp: str
    subject: str
    provider_session: str
    signed_in_at: float
    expires_at: float
    claimed_until: float = 0.0


@write
def add_provider_session(connection: Connection, session: ProviderSession, now: float) -> bool:
    """Store a new session, with its user if that is new. Remove the sessions that have expired at `now`, and the oldest
    sessions of the user beyond `PER_USER`."""
    add_users(connection, [(session.owner, now)])
    connection.execute(delete(provider_sessions).where(_s.expires_at <= now))
    connection.execute(put(connection, provider_sessions).values(**asdict(session)))
    newest = select(_s.id).where(_s.owner == session.owner).order_by(_s.signed_in_at.desc(), _s.id).limit(PER_USER)
    names = list(connection.scalars(newest))
    if len(names) == PER_USER:
        older = delete(provider_sessions).where(_s.owner == session.owner, _s.id.not_in(names))
        connection.execute(older)
    return True


@write
def change_provider_session(connection: Connection, session: ProviderSession, replaces: str) -> bool:
    """Store a session in place of the one with the stamp `replaces`. Return whether it is stored."""
    this = update(provider_sessions).where(*_of(session.owner, session.id), _s.stamp == replaces)
    return connection.execute(this.values(**asdict(session))).rowcount > 0


@write
def claim_provider_session(
    connection: Connection, owner: str, session_id: str, replaces: str, stamp: str, until: float
) -> bool:
    """Claim a session until a time, if its stamp is `replaces`. Return False if another claim or write came first."""
    this = update(provider_sessions).where(*_of(owner, session_id), _s.stamp == replaces)
    return connection.execute(this.values(stamp=stamp, claimed_until=until)).rowcount > 0


@write
def drop_provider_session(connection: Connection, owner: str, session_id: str) -> bool:
    """Remove a session of a user. Return whether there was one."""
    return connection.execute(delete(provider_sessions).where(*_of(owner, session_id))).rowcount > 0


def _of(owner: str, session_id: str) -> tuple[Any, Any]:
    return _s.owner == owner, _s.id == session_id


def one(connection: Connection, owner: str, session_id: str, now: float) -> ProviderSession | None:
    """Return a session of a user, None if there is none or it has expired."""
    row = connection.execute(_ALL.where(*_of(owner, session_id), _s.expires_at > now)).first()
    return None if row is None else ProviderSession(*row)


def of_owner(connection: Connection, owner: str) -> list[ProviderSession]:
    """Return the sessions of a user, oldest first."""
    rows = connection.execute(_ALL.where(_s.owner == owner).order_by(_s.signed_in_at).limit(MOST))
    return [ProviderSession(*row) for row in rows]


def record_of(row: ProviderSession) -> dict[str, float]:
    """Return the times of a session's begin and end, for an export."""
    return {"signed_in_at": row.signed_in_at, "expires_at": row.expires_at}


def of_provider(connection: Connection, subject: str, provider_session: str) -> list[ProviderSession]:
    """Return the sessions with these digests; an empty digest matches any, unless both are empty."""
    query = _ALL.where(_s.provider_session == provider_session) if provider_session else _ALL
    query = query.where(_s.subject == subject) if subject or not provider_session else query
    return [ProviderSession(*row) for row in connection.execute(query.limit(MOST))]


_ALL: Final = select(
    _s.owner, _s.id, _s.sealed, _s.stamp, _s.subject, _s.provider_session, _s.signed_in_at, _s.expires_at,
    _s.claimed_until,
)  # fmt: skip
