"""What agents remember of users, from one session to the next: how it is written and read.

1. What has expired is not there, whether it was removed yet or not.
2. Every question and every change names its owner and its agent; nothing crosses either.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from sqlalchemy import Connection, Table, delete, func, select

from . import schema
from .errors import NotStored
from .rows import Json

_c = schema.contexts.c

KEPT: Final = 50
"""Values that one agent remembers of one user. Nodes that write at the same moment may pass it by a few."""
FORGOTTEN: Final = 500
"""Expired values removed in one transaction, which all other writes wait for."""


@frozen
class Remember:
    """Keep a value under its name, in place of what was kept. The answer is whether there was room for it.

    `now` and `expires_at` are Unix seconds.
    """

    owner: str
    agent: str
    name: str
    value: Json = field(repr=False)
    now: float
    expires_at: float


@frozen
class Forget:
    """Remove a value. The answer is whether there was one."""

    owner: str
    agent: str
    name: str
    now: float


@frozen
class ForgetExpired:
    """Remove what has expired by `now`, at most FORGOTTEN of it. The answer is whether there may be more."""

    now: float


@frozen
class Remembered:
    """A value that an agent remembers."""

    name: str
    value: Json = field(repr=False)
    updated_at: float
    expires_at: float


MemoryWrite: TypeAlias = Remember | Forget | ForgetExpired


def write(connection: Connection, work: MemoryWrite, put: Callable[[Table], Any]) -> bool:
    """Write one piece of work; the answer is the one its class names.

    `put` makes the database's own insert, which knows of rows that are there. Raises NotStored when there is no such
    user.
    """
    match work:
        case Remember():
            return _remember(connection, work, put)
        case Forget():
            return _forget(connection, work)
        case ForgetExpired():
            return _forget_expired(connection, work)


def _remember(connection: Connection, work: Remember, put: Callable[[Table], Any]) -> bool:
    mine = (_c.owner == work.owner, _c.agent == work.agent)
    others = select(func.count()).where(*mine, _c.name != work.name, _c.expires_at > work.now)
    if connection.execute(others).scalar_one() >= KEPT:
        return False
    if connection.execute(select(schema.users.c.id).where(schema.users.c.id == work.owner)).first() is None:
        raise NotStored("user", work.owner)  # deleted meanwhile, and not made anew
    row = put(schema.contexts)
    new = {name: row.excluded[name] for name in ("value", "updated_at", "expires_at")}
    connection.execute(
        row.on_conflict_do_update(index_elements=["owner", "agent", "name"], set_=new),
        {
            "owner": work.owner,
            "agent": work.agent,
            "name": work.name,
            "value": work.value,
            "updated_at": work.now,
            "expires_at": work.expires_at,
        },
    )
    return True


def _forget(connection: Connection, work: Forget) -> bool:
    this = (_c.owner == work.owner, _c.agent == work.agent, _c.name == work.name)
    there = connection.execute(select(_c.expires_at).where(*this)).scalar_one_or_none()
    connection.execute(delete(schema.contexts).where(*this))
    return there is not None and there > work.now


def _forget_expired(connection: Connection, work: ForgetExpired) -> bool:
    names = (_c.owner, _c.agent, _c.name)
    past = connection.execute(select(*names).where(_c.expires_at <= work.now).limit(FORGOTTEN)).all()
    for owner, agent, name in past:
        # Once more with the time: another node may have renewed it meanwhile.
        this = (_c.owner == owner, _c.agent == agent, _c.name == name, _c.expires_at <= work.now)
        connection.execute(delete(schema.contexts).where(*this))
    return len(past) == FORGOTTEN


def remembered(connection: Connection, owner: str, agent: str, now: float) -> list[Remembered]:
    """What an agent remembers of a user, the latest first."""
    wanted = select(_c.name, _c.value, _c.updated_at, _c.expires_at)
    mine = wanted.where(_c.owner == owner, _c.agent == agent, _c.expires_at > now)
    rows = connection.execute(mine.order_by(_c.updated_at.desc(), _c.name).limit(2 * KEPT))
    return [Remembered(*row) for row in rows]
