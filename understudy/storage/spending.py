"""What users spend on models, by days.

1. A row is written in the transaction of the model's turn that it counts, under the turn's own key: it is counted once,
   whatever is repeated or killed.
2. Days are those of UTC.
3. Deleting a conversation does not give back what it cost.
"""

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, select

from . import schema
from .deletion import delete_some
from .write import write

DAY_S: Final = 86_400
KEPT_DAYS: Final = 35
"""Days for which rows are kept: the sums of a month need 31."""
DELETED: Final = 500
"""Limit of old rows deleted per transaction, as all other writes wait for it."""

_s = schema.spending.c


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


@write
def forget_spending(connection: Connection, before_day: int) -> bool:
    """Delete what was spent before a day, at most DELETED rows. Return whether there may be more."""
    old = select(_s.run_id, _s.number).where(_s.day < before_day)
    return delete_some(connection, schema.spending, old, DELETED) == DELETED
