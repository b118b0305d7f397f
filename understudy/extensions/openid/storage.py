"""Reads and writes of the sessions of users who signed in at the identity provider. What is secret in them is sealed.

1. A session changes only under the stamp that was read, and each change gives it a new one. So of several nodes one
   asks the provider, and what another stores late is dropped.
2. A session that has expired is found by nobody, and removed when the next user signs in.
"""

from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import Connection, delete, select, update

from understudy.extensions.openid.tables import provider_sessions
from understudy.storage.write import add_users, put, write

MOST: Final = 500
"""Sessions that are read at a time."""

PER_USER: Final = 100
"""Sessions of a user that are kept: as many browsers as nobody has."""

_s = provider_sessions.c


@frozen
class ProviderSession:
    """A user's session. `subject` and `provider_session` are digests of the provider's names of both, the latter empty
    if it has none. Times are Unix seconds: `claimed_until`, a node asks the provider.
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
    """Store a new session, with its user if there is none. Remove those that have expired at `now`, and the oldest of a
    user who has more than `PER_USER`."""
    add_users(connection, [(session.owner, now)])
    connection.execute(delete(provider_sessions).where(_s.expires_at <= now))
    connection.execute(put(connection, provider_sessions).values(**asdict(session)))
    kept = select(_s.id).where(_s.owner == session.owner).order_by(_s.signed_in_at.desc(), _s.id).limit(PER_USER)
    names = list(connection.scalars(kept))
    if len(names) == PER_USER:
        rest = delete(provider_sessions).where(_s.owner == session.owner, _s.id.not_in(names))
        connection.execute(rest)
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
    """Claim a session with a stamp until a time. Return whether this is the first to do so."""
    this = update(provider_sessions).where(*_of(owner, session_id), _s.stamp == replaces)
    return connection.execute(this.values(stamp=stamp, claimed_until=until)).rowcount > 0


@write
def drop_provider_session(connection: Connection, owner: str, session_id: str) -> bool:
    """Remove a session of a user. Return whether there was one."""
    return connection.execute(delete(provider_sessions).where(*_of(owner, session_id))).rowcount > 0


def _of(owner: str, session_id: str) -> tuple[Any, Any]:
    return _s.owner == owner, _s.id == session_id


def one(connection: Connection, owner: str, session_id: str, now: float) -> ProviderSession | None:
    """Return a user's session that has not expired."""
    found = connection.execute(_ALL.where(*_of(owner, session_id), _s.expires_at > now)).first()
    return None if found is None else ProviderSession(*found)


def of_owner(connection: Connection, owner: str) -> list[ProviderSession]:
    """Return the sessions of a user, oldest first."""
    rows = connection.execute(_ALL.where(_s.owner == owner).order_by(_s.signed_in_at).limit(MOST))
    return [ProviderSession(*row) for row in rows]


def record_of(row: ProviderSession) -> dict[str, float]:
    """Return when a session began, and until when it can last."""
    return {"signed_in_at": row.signed_in_at, "expires_at": row.expires_at}


def of_provider(connection: Connection, subject: str, provider_session: str) -> list[ProviderSession]:
    """Return the sessions with the provider's digest of a session; without one, those of a subject."""
    wanted = _ALL.where(_s.provider_session == provider_session) if provider_session else _ALL
    wanted = wanted.where(_s.subject == subject) if subject or not provider_session else wanted
    return [ProviderSession(*row) for row in connection.execute(wanted.limit(MOST))]


_ALL: Final = select(
    _s.owner, _s.id, _s.sealed, _s.stamp, _s.subject, _s.provider_session, _s.signed_in_at, _s.expires_at,
    _s.claimed_until,
)  # fmt: skip
