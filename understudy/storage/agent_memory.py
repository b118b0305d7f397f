"""Reads and writes of the values that agents remember about users between sessions.

1. An expired value is never returned, whether it has been deleted yet or not.
2. Every query and every write is bound to one owner.

The column `agent` is the name of a notebook: that of the agent that writes in it, or the one that several agents name.
"""

import math
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from . import queries, schema
from .errors import NotStored
from .prepared import Prepared
from .records import History, Json
from .write import Write, add_users, put

_c = schema.contexts.c

KEPT: Final = 50
"""Limit of values per notebook and user; concurrent writes of several nodes may exceed it by a few."""
PAGE: Final = 200
"""Values per page."""
FORGOTTEN: Final = 500
"""Limit of expired values deleted per transaction, as all other writes wait for it."""
_remembered = Prepared(  # each message reads it
    select(_c.name, _c.value, _c.updated_at, _c.expires_at)
    .where(_c.owner == bindparam("owner"), _c.agent == bindparam("agent"), _c.expires_at > bindparam("now"))
    .order_by(_c.updated_at.desc(), _c.name)
    .limit(2 * KEPT)
)


@frozen
class Remember(Write):
    """Store a value under its name, replacing an earlier one. The answer is False at the limit of values.

    `now` and `expires_at` are Unix seconds. `by_user`: the user asks for it, who is stored if nothing is yet; an agent
    does not store one again who was deleted meanwhile: NotStored refuses it.
    """

    owner: str
    agent: str
    name: str
    value: Any = field(repr=False)
    now: float
    expires_at: float
    by_user: bool = False

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        if self.by_user:
            add_users(connection, [(self.owner, self.now)])
        mine = (_c.owner == self.owner, _c.agent == self.agent)
        others = select(func.count()).where(*mine, _c.name != self.name, _c.expires_at > self.now)
        if connection.execute(others).scalar_one() >= KEPT:
            return False
        if connection.execute(select(schema.users.c.id).where(schema.users.c.id == self.owner)).first() is None:
            raise NotStored("user", self.owner)  # deleted meanwhile: do not create the user again
        row = put(connection, schema.contexts)
        new = {name: row.excluded[name] for name in ("value", "updated_at", "expires_at")}
        connection.execute(
            row.on_conflict_do_update(index_elements=["owner", "agent", "name"], set_=new),
            {
                "owner": self.owner,
                "agent": self.agent,
                "name": self.name,
                "value": self.value,
                "updated_at": self.now,
                "expires_at": self.expires_at,
            },
        )
        return True


@frozen
class Amend(Write):
    """Replace a value that was last written at `seen`. The answer is False if it was written or deleted since then.

    `now` and `expires_at` are Unix seconds; an `expires_at` of None leaves the old one.
    """

    owner: str
    agent: str
    name: str
    value: Any = field(repr=False)
    seen: float
    now: float
    expires_at: float | None = None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        this = (_c.owner == self.owner, _c.agent == self.agent, _c.name == self.name)
        same = (*this, _c.updated_at == self.seen, _c.expires_at > self.now)
        new = {"value": self.value, "updated_at": max(self.now, math.nextafter(self.seen, math.inf))}
        if self.expires_at is not None:
            new["expires_at"] = self.expires_at
        return connection.execute(update(schema.contexts).where(*same).values(new)).rowcount > 0


@frozen
class Forget(Write):
    """Delete a value, unless it was written since `seen`. The answer is whether it was there to be deleted."""

    owner: str
    agent: str
    name: str
    now: float
    seen: float | None = None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        this = [_c.owner == self.owner, _c.agent == self.agent, _c.name == self.name]
        if self.seen is not None:
            this.append(_c.updated_at == self.seen)
        there = connection.execute(select(_c.expires_at).where(*this)).scalar_one_or_none()
        deleted = connection.execute(delete(schema.contexts).where(*this)).rowcount
        return deleted > 0 and there is not None and there > self.now


@frozen
class ForgetAll(Write):
    """Delete all values of a user, or those in one notebook if `agent` is not None. The answer is whether there were
    any."""

    owner: str
    agent: str | None = None

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        mine = (_c.owner == self.owner,) if self.agent is None else (_c.owner == self.owner, _c.agent == self.agent)
        return connection.execute(delete(schema.contexts).where(*mine)).rowcount > 0


@frozen
class ForgetExpired(Write):
    """Delete values that have expired by `now`, at most FORGOTTEN. The answer is whether there may be more."""

    now: float

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        names = (_c.owner, _c.agent, _c.name)
        past = connection.execute(select(*names).where(_c.expires_at <= self.now).limit(FORGOTTEN)).all()
        for owner, agent, name in past:
            # Check the time again: another node may have stored a new value meanwhile.
            this = (_c.owner == owner, _c.agent == agent, _c.name == name, _c.expires_at <= self.now)
            connection.execute(delete(schema.contexts).where(*this))
        return len(past) == FORGOTTEN


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


def history_and_memory(
    connection: Connection, owner: str, message_id: str, limit: int, agent: str, now: float
) -> tuple[History, list[Remembered]]:
    """Return the `queries.history` of a message, and what is remembered of the owner in a notebook."""
    return queries.history(connection, owner, message_id, limit), remembered(connection, owner, agent, now)


@frozen
class StoredMemory:
    """A value that an agent remembers about a user."""

    agent: str
    name: str
    value: Json = field(repr=False)
    updated_at: float
    expires_at: float


def memories(connection: Connection, owner: str, after: tuple[str, str]) -> list[StoredMemory]:
    """Return what agents remember of the owner, after this agent and name, including expired values."""
    wanted = select(_c.agent, _c.name, _c.value, _c.updated_at, _c.expires_at).where(_c.owner == owner)
    wanted = wanted.where(tuple_(_c.agent, _c.name) > tuple_(*after)).order_by(_c.agent, _c.name)
    return [StoredMemory(*row) for row in connection.execute(wanted.limit(PAGE))]
