"""What users, tenants and groups spend on models in a day and a month.

1. A row is written in the transaction of the model's turn that it counts, under the turn's own key: it is counted once,
   whatever is repeated or killed.
2. Days and months are those of UTC. What was spent is summed from the rows of their days, of all nodes.
3. Deleting a conversation does not give back what it cost.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Select, func, select

from . import schema

DAY_S: Final = 86_400
KEPT_DAYS: Final = 35
"""Days for which rows are kept: the sums of a month need 31."""
DELETED: Final = 500
"""Limit of old rows deleted per transaction, as all other writes wait for it."""

_s = schema.spending.c

SUMS: Final = select(func.coalesce(func.sum(_s.tokens), 0), func.coalesce(func.sum(_s.cost), 0.0))
"""The tokens and the cost of rows, to be chosen by `where`."""


@frozen
class Spent:
    """What one turn of the model cost: step `number` of a run. `day` counts from 1970-01-01, UTC."""

    run_id: str
    number: int
    owner: str
    tenant: str | None
    day: int
    tokens: int
    cost: float


def day_of(at: float) -> int:
    """Return the day of a time in Unix seconds."""
    return int(at // DAY_S)


def month_of(at: float) -> tuple[int, float]:
    """Return the first day of the month of a time in Unix seconds, and the time at which the next month begins."""
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return day_of(first.timestamp()), following.timestamp()


def spent(connection: Connection, first: int, last: int, owner: str | None, tenant: str | None) -> tuple[int, float]:
    """Return the tokens and the cost of the days from `first` to `last`, of a user or of all users of a tenant."""
    whose = _s.owner == owner if owner is not None else _s.tenant == tenant
    return add_up(connection, SUMS.where(whose, _s.day.between(first, last)))


def add_up(connection: Connection, sums: Select[Any]) -> tuple[int, float]:
    """Return the tokens and the cost of the rows that were chosen of `SUMS`."""
    tokens, cost = connection.execute(sums).one()
    return int(tokens), float(cost)
