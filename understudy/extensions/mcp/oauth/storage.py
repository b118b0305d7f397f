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
from understudy.storage.write import Write, add_users, put

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


@frozen
class PutSignIn(Write):
    """Store a sign-in in place of the one with the stamp `replaces`; None: in place of any, if the user exists.

    The answer is whether it is stored.
    """

    sign_in: SignIn
    replaces: str | None = None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        values, of_this = asdict(self.sign_in), _of(self.sign_in.owner, self.sign_in.server)
        if self.replaces is not None:
            this = update(sign_ins).where(*of_this, _s.stamp == self.replaces)
            return connection.execute(this.values(**values)).rowcount > 0
        known = select(schema.users.c.id).where(schema.users.c.id == self.sign_in.owner)
        if connection.execute(known).first() is None:
            return False
        insert = put(connection, sign_ins).values(**values)
        connection.execute(insert.on_conflict_do_update(index_elements=["owner", "server"], set_=values))
        return True


@frozen
class ClaimSignIn(Write):
    """Claim the refresh of a sign-in with a stamp until a time. The answer is whether this is the first to do so."""

    owner: str
    server: str
    replaces: str
    stamp: str
    until: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        this = update(sign_ins).where(*_of(self.owner, self.server), _s.stamp == self.replaces)
        return connection.execute(this.values(stamp=self.stamp, claimed_until=self.until)).rowcount > 0


@frozen
class DropSignIn(Write):
    """Remove a sign-in, or only the one with a stamp. The answer is whether it was there."""

    owner: str
    server: str
    stamp: str | None = None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        gone = delete(sign_ins).where(*_of(self.owner, self.server))
        return connection.execute(gone if self.stamp is None else gone.where(_s.stamp == self.stamp)).rowcount > 0


@frozen
class AddStart(Write):
    """Store a sign-in that is begun, and remove those that expired. The answer is whether the user has fewer than
    `STARTS`."""

    state: str
    owner: str
    sealed: bytes
    expires_at: float
    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        add_users(connection, [(self.owner, self.now)])
        connection.execute(delete(sign_in_starts).where(_b.expires_at <= self.now))
        mine = select(func.count()).select_from(sign_in_starts).where(_b.owner == self.owner)
        if connection.execute(mine).scalar_one() >= STARTS:
            return False
        values = {"state": self.state, "owner": self.owner, "sealed": self.sealed, "expires_at": self.expires_at}
        connection.execute(put(connection, sign_in_starts).values(**values))
        return True


@frozen
class DropStarts(Write):
    """Remove the sign-ins that were begun and have expired. The answer is whether there were any."""

    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        return connection.execute(delete(sign_in_starts).where(_b.expires_at <= self.now)).rowcount > 0


@frozen
class TakeStart(Write):
    """Remove a sign-in that was begun. The answer is whether it was there."""

    state: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        return connection.execute(delete(sign_in_starts).where(_b.state == self.state)).rowcount > 0


@frozen
class AddClient(Write):
    """Store a client that was registered, unless there is one. The answer is whether there was none."""

    id: str
    sealed: bytes

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        insert = put(connection, oauth_clients).values(id=self.id, sealed=self.sealed)
        return connection.execute(insert.on_conflict_do_nothing(index_elements=["id"])).rowcount > 0


@frozen
class DropClient(Write):
    """Remove a registered client. The answer is whether it was there."""

    id: str

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        return connection.execute(delete(oauth_clients).where(_c.id == self.id)).rowcount > 0


def _of(owner: str, server: str) -> tuple[Any, Any]:
    return _s.owner == owner, _s.server == server


def sign_in(connection: Connection, owner: str, server: str) -> SignIn | None:
    """Return a user's sign-in at a server."""
    found = connection.execute(_ALL.where(*_of(owner, server))).first()
    return None if found is None else SignIn(*found)


def of_all(connection: Connection, limit: int, scope: Scope) -> list[SignInRow]:
    """Return the sign-ins of these users at MCP servers, by user and server."""
    wanted = select(_s.owner, _s.server, _s.signed_in_at).where(scope.of(_s.owner)).order_by(_s.owner, _s.server)
    return [SignInRow(*row) for row in connection.execute(wanted.limit(limit))]


def to_keep(connection: Connection, now: float) -> list[SignIn]:
    """Return sign-ins whose token is to be refreshed although nobody uses it, the most urgent first."""
    return [SignIn(*row) for row in connection.execute(_ALL.where(_s.keep_at <= now).order_by(_s.keep_at).limit(MOST))]


def start(connection: Connection, state: str, now: float) -> tuple[str, bytes] | None:
    """Return the user of a sign-in that was begun and has not expired, and what is sealed of it."""
    found = connection.execute(select(_b.owner, _b.sealed).where(_b.state == state, _b.expires_at > now)).first()
    return None if found is None else (found[0], found[1])


def client(connection: Connection, name: str) -> bytes | None:
    """Return what is sealed of a registered client."""
    return connection.execute(select(_c.sealed).where(_c.id == name)).scalar_one_or_none()


_ALL: Final = select(_s.owner, _s.server, _s.sealed, _s.stamp, _s.signed_in_at, _s.claimed_until, _s.keep_at)
