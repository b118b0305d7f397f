"""Sessions that were ended, as every server on a database knows of them: how they are written and read.

`name` is a digest of a user and a session, nothing of either. `ended_at` is by the database's clock, so that whoever
looks for what is new need not agree with who wrote it.
"""

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Table, delete, or_, select

from . import schema
from .clock import Now

_s = schema.ended_sessions.c

SETTLED_S: Final = 30.0
"""How long after its time an ending may still be committed: longer than any transaction lasts."""
PAGE: Final = 10_000
TIDIED: Final = 100
"""Past ones that are removed with each that is written."""


@frozen
class RevokeSession:
    """End a session, until its tokens have run out at `until` (Unix seconds). `now` tells which are past."""

    name: str
    until: float
    now: float


@frozen
class RevokedSession:
    """A session that was ended."""

    name: str
    until: float
    ended_at: float


def write(connection: Connection, work: RevokeSession, put: Callable[[Table], Any]) -> bool:
    """Write one ending; the same again changes nothing but its end, which may only be later."""
    past = select(_s.name).where(_s.until <= work.now, _s.name != work.name).limit(TIDIED)
    connection.execute(delete(schema.ended_sessions).where(_s.name.in_(past.scalar_subquery())))
    row = put(schema.ended_sessions).values(name=work.name, until=work.until, ended_at=Now())
    later = row.excluded.until > _s.until
    new = {"until": row.excluded.until, "ended_at": row.excluded.ended_at}
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=new, where=later))
    return True


def revoked_since(connection: Connection, since: float, after: str, now: float) -> list[RevokedSession]:
    """Those since a time by the database's clock that still count, the earliest first, at most PAGE.

    `after` is the name of the last one of that very time that is known.
    """
    wanted = select(_s.name, _s.until, _s.ended_at).where(
        _s.ended_at >= since, or_(_s.ended_at > since, _s.name > after), _s.until > now
    )
    return [RevokedSession(*row) for row in connection.execute(wanted.order_by(_s.ended_at, _s.name).limit(PAGE))]
