"""Links by which strangers read a thread: a snapshot of one branch, as its messages are stored.

1. A link's token is stored nowhere: the id of a share is its digest, so who reads the database cannot open it.
2. A share names the run at the end of its branch and the last message of the thread at the time: what comes later is
   not read, not even the answer of a run that was at work.
3. All times are by the database's clock. A share is gone when it expires, before its row is deleted.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Table, delete, func, select

from . import schema
from .schema import Now

MOST: Final = 100
"""Shares of a user."""
NOTHING, FULL, SHARED = 0, 1, 2
"""Answers of `AddShare`: there is no such run in such a thread, the user has MOST shares, or it is stored."""

_s = schema.shares.c
_m = schema.messages.c
_r = schema.runs.c
_t = schema.threads.c


@frozen
class Share:
    """A link to a thread; see above. Times are Unix seconds."""

    id: str
    owner: str
    thread_id: str
    run_id: str
    last_message: int
    created_at: float
    expires_at: float


@frozen
class AddShare:
    """Store a share of the branch that ends with a run, None: the newest, for so many seconds.

    The answer is NOTHING, FULL or SHARED.
    """

    id: str
    owner: str
    thread_id: str
    run_id: str | None
    lifetime_s: float


@frozen
class DropShare:
    """Delete a share. The answer is whether it was there."""

    owner: str
    id: str


@frozen
class DropExpiredShares:
    """Delete the shares that have expired. The answer is how many they were."""


ShareWrite: TypeAlias = AddShare | DropShare | DropExpiredShares


def digest_of(token: str) -> str:
    """Return the id of the share that a token opens."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def write(connection: Connection, work: ShareWrite, put: Callable[[Table], Any]) -> int:
    """Execute a write; return the answer that its class documents. `put` makes the database's own insert."""
    match work:
        case AddShare():
            return _add(connection, work, put)
        case DropShare(owner, name):
            return connection.execute(delete(schema.shares).where(_s.owner == owner, _s.id == name)).rowcount
        case DropExpiredShares():
            return connection.execute(delete(schema.shares).where(_s.expires_at <= Now())).rowcount


def _add(connection: Connection, work: AddShare, put: Callable[[Table], Any]) -> int:
    # The lock makes two nodes count one after the other.
    connection.execute(select(schema.users.c.id).where(schema.users.c.id == work.owner).with_for_update())
    newest = select(_t.newest_run).where(_t.owner == work.owner, _t.id == work.thread_id)
    tip = work.run_id or connection.execute(newest).scalar_one_or_none()
    of_thread = select(_r.id).where(_r.id == tip, _r.owner == work.owner, _r.thread_id == work.thread_id)
    last = select(func.max(_m.number)).where(_m.owner == work.owner, _m.thread_id == work.thread_id)
    if connection.execute(of_thread).one_or_none() is None or (number := connection.execute(last).scalar()) is None:
        return NOTHING
    connection.execute(delete(schema.shares).where(_s.owner == work.owner, _s.expires_at <= Now()))
    count = select(func.count()).select_from(schema.shares).where(_s.owner == work.owner)
    if connection.execute(count).scalar_one() >= MOST:
        return FULL
    row = {"id": work.id, "owner": work.owner, "thread_id": work.thread_id, "run_id": tip, "last_message": number}
    connection.execute(put(schema.shares).values(**row, created_at=Now(), expires_at=Now() + work.lifetime_s))
    return SHARED


def of_thread(connection: Connection, owner: str, thread_id: str) -> list[Share]:
    """Return the shares of a thread that have not expired, oldest first."""
    mine = select(*_s).where(_s.owner == owner, _s.thread_id == thread_id, _s.expires_at > Now())
    return [Share(*row) for row in connection.execute(mine.order_by(_s.created_at, _s.id).limit(MOST))]


def exists(connection: Connection, name: str) -> bool:
    """Return whether there is a share of this id that has not expired."""
    return connection.execute(select(_s.id).where(_s.id == name, _s.expires_at > Now())).one_or_none() is not None
