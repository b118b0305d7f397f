"""Reads and writes of users' sign-ins at MCP servers. Secrets are sealed before they are stored.

1. A sign-in is changed only if its stamp is the one that was read, and each change gives it a new stamp. So only one of
   several nodes refreshes its token, and a late write of another is dropped.
2. A state is taken once: of two requests with the same state, one finds it.
"""

from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import Connection, delete, func, select, update

from understudy.extensions.mcp.tables import oauth_clients, sign_in_starts, sign_ins
from understudy.storage import schema
from understudy.storage.acts import Act
from understudy.storage.queries import Scope
from understudy.storage.write import add_users, put, write

SIGNED_IN: Final = Act("mcp.signed_in", "server")
SIGNED_OUT: Final = Act("mcp.signed_out", "server")

MOST: Final = 500
"""Limit of the sign-ins that are refreshed in one pass."""
STARTS: Final = 20
"""Limit of the unfinished sign-ins of a user."""

_s = sign_ins.c
_b = sign_in_starts.c
_c = oauth_clients.c


@frozen
class SignIn:
    """A user's sign-in at a server. Times are Unix seconds: a node refreshes its token until `claimed_until`; at
    `keep_at` the token must be refreshed although nobody uses it, None if it cannot be.
    """

    owner: str
    server: str
    sealed: bytes
    stamp: str
    signed_in_at: float
    claimed_until: float = 0.0
    keep_at: float | None = None


@frozen
class SignInRow:
    """A user's sign-in at an MCP server."""

    owner: str
    server: str
    signed_in_at: float


@write
def put_sign_in(connection: Connection, sign_in: SignIn, replaces: str | None = None) -> bool:
    """Store a sign-in, replacing the one with the stamp `replaces`, or, if that is None, any, if the user exists.

    Return whether it is stored.
    """
    values, same = asdict(sign_in), _of(sign_in.owner, sign_in.server)
    if replaces is not None:
        change = update(sign_ins).where(*same, _s.stamp == replaces)
        return connection.execute(change.values(**values)).rowcount > 0
    owner = select(schema.users.c.id).where(schema.users.c.id == sign_in.owner)
    if connection.execute(owner).first() is None:
        return False
    insert = put(connection, sign_ins).values(**values)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner", "server"], set_=values))
    return True


@write
def claim_sign_in(connection: Connection, owner: str, server: str, replaces: str, stamp: str, until: float) -> bool:
    """Claim the refresh of a sign-in with the stamp `replaces` until a time. Return False if that has changed."""
    claim = update(sign_ins).where(*_of(owner, server), _s.stamp == replaces)
    return connection.execute(claim.values(stamp=stamp, claimed_until=until)).rowcount > 0


@write
def drop_sign_in(connection: Connection, owner: str, server: str, stamp: str | None = None) -> bool:
    """Remove a sign-in; with a `stamp`, only if it still has that. Return whether it was removed."""
    query = delete(sign_ins).where(*_of(owner, server))
    return connection.execute(query if stamp is None else query.where(_s.stamp == stamp)).rowcount > 0


@write
def add_start(connection: Connection, state: str, owner: str, sealed: bytes, expires_at: float, now: float) -> bool:
    """Remove expired unfinished sign-ins, and store a new one. Return False if the user has `STARTS` already."""
    add_users(connection, [(owner, now)])
    connection.execute(delete(sign_in_starts).where(_b.expires_at <= now))
    count = select(func.count()).select_from(sign_in_starts).where(_b.owner == owner)
    if connection.execute(count).scalar_one() >= STARTS:
        return False
    values = {"state": state, "owner": owner, "sealed": sealed, "expires_at": expires_at}
    connection.execute(put(connection, sign_in_starts).values(**values))
    return True


@write
def drop_starts(connection: Connection, now: float) -> bool:
    """Remove the unfinished sign-ins that have expired. Return whether there were any."""
    return connection.execute(delete(sign_in_starts).where(_b.expires_at <= now)).rowcount > 0


@write
def take_start(connection: Connection, state: str) -> bool:
    """Remove an unfinished sign-in. Return whether it existed."""
    return connection.execute(delete(sign_in_starts).where(_b.state == state)).rowcount > 0


@write
def add_client(connection: Connection, name: str, sealed: bytes) -> bool:
    """Store a registered client. Return False if one is stored already."""
    insert = put(connection, oauth_clients).values(id=name, sealed=sealed)
    return connection.execute(insert.on_conflict_do_nothing(index_elements=["id"])).rowcount > 0


@write
def drop_client(connection: Connection, name: str) -> bool:
    """Remove a registered client. Return whether it existed."""
    return connection.execute(delete(oauth_clients).where(_c.id == name)).rowcount > 0


def _of(owner: str, server: str) -> tuple[Any, Any]:
    return _s.owner == owner, _s.server == server


def sign_in(connection: Connection, owner: str, server: str) -> SignIn | None:
    """Return a user's sign-in at a server, or None."""
    row = connection.execute(_ALL.where(*_of(owner, server))).first()
    return None if row is None else SignIn(*row)


def of_all(connection: Connection, limit: int, scope: Scope) -> list[SignInRow]:
    """Return the sign-ins of these users at MCP servers, by user and server."""
    query = select(_s.owner, _s.server, _s.signed_in_at).where(scope.of(_s.owner)).order_by(_s.owner, _s.server)
    return [SignInRow(*row) for row in connection.execute(query.limit(limit))]


def to_keep(connection: Connection, now: float) -> list[SignIn]:
    """Return up to `MOST` sign-ins whose unused token must be refreshed, the most urgent first."""
    return [SignIn(*row) for row in connection.execute(_ALL.where(_s.keep_at <= now).order_by(_s.keep_at).limit(MOST))]


def start(connection: Connection, state: str, now: float) -> tuple[str, bytes] | None:
    """Return the user and the sealed data of an unfinished sign-in that has not expired, or None."""
    row = connection.execute(select(_b.owner, _b.sealed).where(_b.state == state, _b.expires_at > now)).first()
    return None if row is None else (row[0], row[1])


def client(connection: Connection, name: str) -> bytes | None:
    """Return the sealed data of a registered client, or None."""
    return connection.execute(select(_c.sealed).where(_c.id == name)).scalar_one_or_none()


_ALL: Final = select(_s.owner, _s.server, _s.sealed, _s.stamp, _s.signed_in_at, _s.claimed_until, _s.keep_at)
