"""Reads and writes of shares: links by which anonymous readers read a snapshot of one branch, as it is stored.

1. A link's token is stored nowhere: the id of a share is the digest of the token, so a reader of the database cannot
   open it.
2. A share names the run at the end of its branch and the last message of the thread at the time. Later messages are not
   read, not even the answer of a run that was in progress.
3. All times are by the database's clock. No read returns an expired share, even before its row is deleted.
"""

import hashlib
from typing import Final

from attrs import frozen
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select

from understudy.extensions.shares.tables import shares
from understudy.storage import schema
from understudy.storage.schema import Now
from understudy.storage.write import put, write

MOST: Final = 100
"""Limit of shares of a user."""
NOTHING, FULL, SHARED = 0, 1, 2
"""Results of `add_share`: there is no such run in such a thread, the user has MOST shares, or it is stored."""

_s = shares.c
_m = schema.messages.c
_r = schema.runs.c
_t = schema.threads.c


@frozen
class Share:
    """A link to a branch of a thread, up to the message with the number `last_message`. Times are Unix seconds."""

    id: str
    owner: str
    thread_id: str
    run_id: str
    last_message: int
    created_at: float
    expires_at: float


@write
def add_share(
    connection: Connection, share_id: str, owner: str, thread_id: str, run_id: str | None, lifetime_s: float
) -> int:
    """Store a share, for `lifetime_s` seconds, of the branch that ends with a run (None: the newest run).

    Return NOTHING, FULL or SHARED.
    """
    # The lock makes two nodes count one after the other.
    connection.execute(select(schema.users.c.id).where(schema.users.c.id == owner).with_for_update())
    newest = select(_t.newest_run).where(_t.owner == owner, _t.id == thread_id)
    tip = run_id or connection.execute(newest).scalar_one_or_none()
    of_thread = select(_r.id).where(_r.id == tip, _r.owner == owner, _r.thread_id == thread_id)
    last = select(func.max(_m.number)).where(_m.owner == owner, _m.thread_id == thread_id)
    if connection.execute(of_thread).one_or_none() is None or (number := connection.execute(last).scalar()) is None:
        return NOTHING
    connection.execute(delete(shares).where(_s.owner == owner, _s.expires_at <= Now()))
    count = select(func.count()).select_from(shares).where(_s.owner == owner)
    if connection.execute(count).scalar_one() >= MOST:
        return FULL
    row = {"id": share_id, "owner": owner, "thread_id": thread_id, "run_id": tip, "last_message": number}
    connection.execute(put(connection, shares).values(**row, created_at=Now(), expires_at=Now() + lifetime_s))
    return SHARED


@write
def drop_share(connection: Connection, owner: str, share_id: str) -> bool:
    """Delete a share of a user. Return whether there was one."""
    return connection.execute(delete(shares).where(_s.owner == owner, _s.id == share_id)).rowcount > 0


@write
def drop_expired_shares(connection: Connection) -> int:
    """Delete the expired shares. Return their number."""
    return connection.execute(delete(shares).where(_s.expires_at <= Now())).rowcount


def digest_of(token: str) -> str:
    """Return the id of the share that a token opens."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def of_owner(connection: Connection, owner: str, thread_id: str | None = None) -> list[Share]:
    """Return a user's shares, or those of one thread, that have not expired, oldest first."""
    mine = select(*_s).where(_s.owner == owner, _s.expires_at > Now()).order_by(_s.created_at, _s.id).limit(MOST)
    return [
        Share(*row) for row in connection.execute(mine if thread_id is None else mine.where(_s.thread_id == thread_id))
    ]


class ShownShare(Struct):
    """A link to a thread, without its token, which is stored nowhere."""

    share_id: str
    thread_id: str
    created_at: float
    expires_at: float


def record_of(row: Share) -> ShownShare:
    """Return a link in the form that its owner is shown."""
    return ShownShare(row.id, row.thread_id, row.created_at, row.expires_at)


def exists(connection: Connection, name: str) -> bool:
    """Return whether there is a share of this id that has not expired."""
    return connection.execute(select(_s.id).where(_s.id == name, _s.expires_at > Now())).one_or_none() is not None
