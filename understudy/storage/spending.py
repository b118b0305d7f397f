"""What users and tenants spend on models in a day: the rows, and the limits that are checked before each turn.

1. A row is written in the transaction of the model's turn that it counts, under the turn's own key: it is counted once,
   whatever is repeated or killed.
2. A day is a day of UTC. What was spent is summed from the rows of the day, of all nodes.
3. Deleting a conversation does not give back what it cost.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, field, frozen
from sqlalchemy import Connection, Table, delete, func, select

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected

from . import schema

DAY_S: Final = 86_400
KEPT_DAYS: Final = 35
"""Days for which rows are kept."""
DELETED: Final = 500
"""Limit of old rows deleted per transaction, as all other writes wait for it."""
CODE: Final = "quota_exceeded"

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


@frozen
class ForgetSpending:
    """Delete rows of days before this one, at most DELETED. The answer is whether there may be more."""

    before_day: int


def day_of(at: float) -> int:
    """Return the day of a time in Unix seconds."""
    return int(at // DAY_S)


def store(connection: Connection, rows: Sequence[dict[str, Any]], put: Callable[[Table], Any]) -> None:
    """Insert rows that are not there yet. `put` makes the database's own insert."""
    connection.execute(put(schema.spending).on_conflict_do_nothing(index_elements=["run_id", "number"]), rows)


def forget(connection: Connection, work: ForgetSpending) -> bool:
    """Execute the write; return the answer that its class documents."""
    old = connection.execute(select(_s.run_id, _s.number).where(_s.day < work.before_day).limit(DELETED)).all()
    for run_id, number in old:
        connection.execute(delete(schema.spending).where(_s.run_id == run_id, _s.number == number))
    return len(old) == DELETED


def spent(connection: Connection, day: int, owner: str | None, tenant: str | None) -> tuple[int, float]:
    """Return the tokens and the cost of a day, of a user or of all users of a tenant."""
    whose = _s.owner == owner if owner is not None else _s.tenant == tenant
    sums = select(func.coalesce(func.sum(_s.tokens), 0), func.coalesce(func.sum(_s.cost), 0.0))
    tokens, cost = connection.execute(sums.where(whose, _s.day == day)).one()
    return int(tokens), float(cost)


@frozen
class Exceeded:
    """A limit that is reached: its setting's name, value and what was spent, with a sentence for the user."""

    name: str
    limit: float
    spent: float
    message: str


@define
class SpendingLimits:
    """Refuses runs and turns of users, or of tenants, that have spent what they may in a day.

    `spent(day, owner, tenant)` reads the sums; `clock` gives Unix seconds.
    """

    spent: Callable[..., Any]
    limits: Limits
    tenant_of: Callable[[str], str | None]
    currency: str = ""
    clock: Callable[[], float] = field(default=time.time)

    async def exceeded(self, owner: str) -> Exceeded | None:
        """Return the limit that the user, or the user's tenant, has reached today; None if there is none.

        Raises StorageUnavailable.
        """
        now, limits = self.clock(), self.limits
        day, tenant = day_of(now), self.tenant_of(owner)
        of_user = (limits.user_tokens_per_day, limits.user_cost_per_day)
        of_tenant = (limits.tenant_tokens_per_day, limits.tenant_cost_per_day) if tenant is not None else (None, None)
        for whose, bounds in (("user", of_user), ("tenant", of_tenant)):
            if bounds == (None, None):
                continue
            user = owner if whose == "user" else None
            sums = await self.spent(day, user, None if whose == "user" else tenant)
            for what, bound, value in zip(("tokens", "cost"), bounds, sums, strict=True):
                if bound is not None and value >= bound:
                    amount = f"{bound:,} tokens" if what == "tokens" else f"{bound:,.6g} {self.currency}".rstrip()
                    owned = "You have" if whose == "user" else "Your organisation has"
                    sentence = f"{owned} used the {amount} of today; there is more from 00:00 UTC on."
                    return Exceeded(f"{whose}_{what}_per_day", bound, value, sentence)
        return None

    async def check(self, owner: str) -> None:
        """Refuse a run of a user who has spent what they may today.

        Raises:
            CommandRejected: A limit is reached (`quota_exceeded`); `retry_after` is the time until the next day.
            StorageUnavailable: The database cannot be read.
        """
        reached = await self.exceeded(owner)
        if reached is not None:
            raise CommandRejected(CODE, reached.message, DAY_S - self.clock() % DAY_S)
