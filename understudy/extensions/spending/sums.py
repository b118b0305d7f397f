"""Sums of spending over days and months of UTC, from the rows of all nodes."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from understudy.storage import schema
from understudy.storage.spending import day_of

_s = schema.spending.c

SUMS: Final = select(func.coalesce(func.sum(_s.tokens), 0), func.coalesce(func.sum(_s.cost), 0.0))
"""A query of the tokens and cost of rows, to which callers add a `where`."""


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
    """Execute `SUMS` with a condition. Return the tokens and the cost."""
    tokens, cost = connection.execute(sums).one()
    return int(tokens), float(cost)
