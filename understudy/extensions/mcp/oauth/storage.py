"""Reads and writes of users' sign-ins at MCP servers. What is secret is sealed by whoever writes it.

1. A sign-in changes only under the stamp that was read, and each change gives it a new one. So of several nodes one
   refreshes its token, and what another stores late is dropped.
2. A state is taken once: of two requests with it, one finds it.
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
"""Sign-ins of a user that are read, and that are kept alive at a time; agents name fewer servers."""
STARTS: Final = 20
"""Sign-ins that a user may have begun at a time."""

_s = sign_ins.c
_b = sign_in_starts.c
_c = oauth_clients.c


@frozen
class SignIn:
    """A user's sign-in at a server. Times are Unix seconds: `claimed_until`, a node refreshes its token; at `keep_at`
    the token is to be refreshed although nobody uses it, if it can be.
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
    """Store a sign-in in place of the one with the stamp `replaces`; None: in place of any, if the user exists.

    Return whether it is stored.
    """
    values, of_this = asdict(sign_in), _of(sign_in.owner, sign_in.server)
    if replaces is not None:
        this = update(sign_ins).where(*of_this, _s.stamp == replaces)
        return connection.execute(this.values(**values)).rowcount > 0
    owner = select(schema.users.c.id).where(schema.users.c.id == sign_in.owner)
    if connection.execute(owner).first() is None:
        return False
    insert = put(connection, sign_ins).values(**values)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner", "server"], set_=values))
    return True


@write
def claim_sign_in(connection: Connection, owner: str, server: str, replaces: str, stamp: str, until: float) -> bool:
    """Claim the refresh of a sign-in with a stamp until a time. Return whether this is the first to do so."""
    this = update(sign_ins).where(*_of(owner, server), _s.stamp == replaces)
    return connection.execute(this.values(stamp=stamp, claimed_until=until)).rowcount > 0


@write
def drop_sign_in(connection: Connection, owner: str, server: str, stamp: str | None = None) -> bool:
    """Remove a sign-in, or only the one with a stamp. Return whether it was there."""
    gone = delete(sign_ins).where(*_of(owner, server))
    return connection.execute(gone if stamp is None else gone.where(_s.stamp == stamp)).rowcount > 0


@write
def add_start(connection: Connection, state: str, owner: str, sealed: bytes, expires_at: float, now: float) -> bool:
    """Store a sign-in that is begun, and remove those that expired. Return whether the user has fewer than
    `STARTS`."""
    add_users(connection, [(owner, now)])
    connection.execute(delete(sign_in_starts).where(_b.expires_at <= now))
    mine = select(func.count()).select_from(sign_in_starts).where(_b.owner == owner)
    if connection.execute(mine).scalar_one() >= STARTS:
        return False
    values = {"state": state, "owner": owner, "sealed": sealed, "expires_at": expires_at}
    connection.execute(put(connection, sign_in_starts).values(**values))
    return True


@write
def drop_starts(connection: Connection, now: float) -> bool:
    """Remove the sign-ins that were begun and have expired. Return whether there were any."""
    return connection.execute(delete(sign_in_starts).where(_b.expires_at <= now)).rowcount > 0


@write
def take_start(connection: Connection, state: str) -> bool:
    """Remove a sign-in that was begun. Return whether it was there."""
    return connection.execute(delete(sign_in_starts).where(_b.state == state)).rowcount > 0


@write
def add_client(connection: Connection, name: str, sealed: bytes) -> bool:
    """Store a client that was registered, unless there is one. Return whether there was none."""
    insert = put(connection, oauth_clients).values(id=name, sealed=sealed)
    return connection.execute(insert.on_conflict_do_nothing(index_elements=["id"])).rowcount > 0


@write
def drop_client(connection: Connection, name: str) -> bool:
    """Remove a registered client. Return whether it was there."""
    return connection.execute(delete(oauth_clients).where(_c.id == name)).rowcount > 0


def _of(owner: str, server: str) -> tuple[Any, Any]:
    return _s.owner == owner, _s.server == server


def sign_in(connection: Connection, owner: str, server: str) -> SignIn | None:
    """Return a user's sign-in at a server."""
    row = connection.execute(_ALL.where(*_of(owner, server))).first()
    return None if row is None else SignIn(*row)


def of_all(connection: Connection, limit: int, scope: Scope) -> list[SignInRow]:
    """Return the sign-ins of these users at MCP servers, by user and server."""
    wanted = select(_s.owner, _s.server, _s.signed_in_at).where(scope.of(_s.owner)).order_by(_s.owner, _s.server)
    return [SignInRow(*row) for row in connection.execute(wanted.limit(limit))]


def to_keep(connection: Connection, now: float) -> list[SignIn]:
    """Return sign-ins whose token is to be refreshed although nobody uses it, the most urgent first."""
    return [SignIn(*row) for row in connection.execute(_ALL.where(_s.keep_at <= now).order_by(_s.keep_at).limit(MOST))]


def start(connection: Connection, state: str, now: float) -> tuple[str, bytes] | None:
    """Return the user of a sign-in that was begun and has not expired, and what is sealed of it."""
    row = connection.execute(select(_b.owner, _b.sealed).where(_b.state == state, _b.expires_at > now)).first()
    return None if row is None else (row[0], row[1])


def client(connection: Connection, name: str) -> bytes | None:
    """Return what is sealed of a registered client."""
    return connection.execute(select(_c.sealed).where(_c.id == name)).scalar_one_or_none()


_ALL: Final = select(_s.owner, _s.server, _s.sealed, _s.stamp, _s.signed_in_at, _s.claimed_until, _s.keep_at)
