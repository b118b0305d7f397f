"""Reads and writes of the values that agents remember about users between sessions.

1. An expired value is never returned, whether it has been deleted yet or not.
2. Every query and every write is bound to one owner.

The column `agent` has the name of a notebook: by default its agent's name, or a name that several agents share.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from understudy.extensions.memory.tables import contexts
from understudy.storage import schema
from understudy.storage.errors import NotStored
from understudy.storage.prepared import Prepared
from understudy.storage.write import add_users, put, write

_c = contexts.c

KEPT: Final = 50
"""Limit of values per notebook and user; concurrent writes of several nodes may exceed it by a few."""
PAGE: Final = 200
"""Values per page."""
FORGOTTEN: Final = 500
"""Limit of expired values deleted per transaction, because all other writes wait for it."""
_remembered = Prepared(  # prepared because each message reads it
    select(_c.name, _c.value, _c.updated_at, _c.expires_at)
    .where(_c.owner == bindparam("owner"), _c.agent == bindparam("agent"), _c.expires_at > bindparam("now"))
    .order_by(_c.updated_at.desc(), _c.name)
    .limit(2 * KEPT)
)


@write
def remember(
    connection: Connection,
    owner: str,
    agent: str,
    name: str,
    value: Any,
    now: float,
    expires_at: float,
    by_user: bool = False,
) -> bool:
    """Store a value under its name, replacing an earlier one. Return False at the limit of values.

    `now` and `expires_at` are Unix seconds. `by_user`: the user stores it, and is created if they are not stored yet.
    An agent's value does not create its user again after their deletion: it raises NotStored.
    """
    if by_user:
        add_users(connection, [(owner, now)])
    same_notebook = (_c.owner == owner, _c.agent == agent)
    others = select(func.count()).where(*same_notebook, _c.name != name, _c.expires_at > now)
    if connection.execute(others).scalar_one() >= KEPT:
        return False
    if connection.execute(select(schema.users.c.id).where(schema.users.c.id == owner)).first() is None:
        raise NotStored("user", owner)
    row = put(connection, contexts)
    new = {column: row.excluded[column] for column in ("value", "updated_at", "expires_at")}
    values = {"owner": owner, "agent": agent, "name": name, "value": value, "updated_at": now, "expires_at": expires_at}
    connection.execute(row.on_conflict_do_update(index_elements=["owner", "agent", "name"], set_=new), values)
    return True


@write
def amend(
    connection: Connection,
    owner: str,
    agent: str,
    name: str,
    value: Any,
    seen: float,
    now: float,
    expires_at: float | None = None,
) -> bool:
    """Replace a value that was last written at `seen`. Return False if it was written, deleted or expired since then.

    All times are Unix seconds; if `expires_at` is None the old one stays.
    """
    this_value = (_c.owner == owner, _c.agent == agent, _c.name == name)
    unchanged = (*this_value, _c.updated_at == seen, _c.expires_at > now)
    new = {"value": value, "updated_at": max(now, math.nextafter(seen, math.inf))}
    if expires_at is not None:
        new["expires_at"] = expires_at
    return connection.execute(update(contexts).where(*unchanged).values(new)).rowcount > 0


@write
def forget(connection: Connection, owner: str, agent: str, name: str, now: float, seen: float | None = None) -> bool:
    """Delete a value, unless it was written since `seen`. Return whether an unexpired value was deleted."""
    conditions = [_c.owner == owner, _c.agent == agent, _c.name == name]
    if seen is not None:
        conditions.append(_c.updated_at == seen)
    expires_at = connection.execute(select(_c.expires_at).where(*conditions)).scalar_one_or_none()
    deleted = connection.execute(delete(contexts).where(*conditions)).rowcount
    return deleted > 0 and expires_at is not None and expires_at > now


@write
def forget_all(connection: Connection, owner: str, agent: str | None = None) -> bool:
    """Delete all values of a user, or only those in the notebook `agent`. Return whether there were any."""
    conditions = (_c.owner == owner,) if agent is None else (_c.owner == owner, _c.agent == agent)
    return connection.execute(delete(contexts).where(*conditions)).rowcount > 0


@write
def forget_expired(connection: Connection, now: float) -> bool:
    """Delete values that have expired by `now`, at most FORGOTTEN. Return whether there may be more."""
    names = (_c.owner, _c.agent, _c.name)
    expired = connection.execute(select(*names).where(_c.expires_at <= now).limit(FORGOTTEN)).all()
    for owner, agent, name in expired:
        # Check the time again: another node may have stored a new value meanwhile.
        conditions = (_c.owner == owner, _c.agent == agent, _c.name == name, _c.expires_at <= now)
        connection.execute(delete(contexts).where(*conditions))
    return len(expired) == FORGOTTEN


@frozen
class Remembered:
    """A value that agents remember."""

    name: str
    value: Any = field(repr=False)
    updated_at: float
    expires_at: float


def remembered(connection: Connection, owner: str, agent: str, now: float) -> list[Remembered]:
    """Return the unexpired values about a user in a notebook, latest first."""
    return [Remembered(*row) for row in _remembered.each(connection, owner=owner, agent=agent, now=now)]


def memories(connection: Connection, owner: str, after: tuple[str, str]) -> Sequence[Any]:
    """Return a page of the values about a user after this pair of notebook and name, including expired ones."""
    query = select(_c.agent, _c.name, _c.value, _c.updated_at, _c.expires_at).where(_c.owner == owner)
    query = query.where(tuple_(_c.agent, _c.name) > tuple_(*after)).order_by(_c.agent, _c.name)
    return connection.execute(query.limit(PAGE)).all()


def record_of(row: Any) -> dict[str, Any]:
    """Return a value in the form of an export."""
    return {name: getattr(row, name) for name in ("agent", "name", "value", "updated_at", "expires_at")}


CHANGES: Final = (remember, amend, forget, forget_all)
"""The writes that change the result of `remembered` for their `owner`."""


def question_of(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the key in `CachedReads` of the read that a write changes; None for all reads of its owner."""
    return None if arguments["agent"] is None else ("remembered", arguments["agent"])
