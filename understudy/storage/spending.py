"""What users and tenants spend on models in a day and a month: the rows, and the limits, checked before each turn.

1. A row is written in the transaction of the model's turn that it counts, under the turn's own key: it is counted once,
   whatever is repeated or killed.
2. Days and months are those of UTC. What was spent is summed from the rows of their days, of all nodes.
3. Deleting a conversation does not give back what it cost.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from attrs import define, field, frozen
from sqlalchemy import Connection, delete, func, select

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected

from . import schema

DAY_S: Final = 86_400
KEPT_DAYS: Final = 35
"""Days for which rows are kept: the sums of a month need 31."""
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


def forget(connection: Connection, work: ForgetSpending) -> bool:
    """Execute the write; return the answer that its class documents."""
    old = connection.execute(select(_s.run_id, _s.number).where(_s.day < work.before_day).limit(DELETED)).all()
    for run_id, number in old:
        connection.execute(delete(schema.spending).where(_s.run_id == run_id, _s.number == number))
    return len(old) == DELETED


def month_of(at: float) -> tuple[int, float]:
    """Return the first day of the month of a time in Unix seconds, and the time at which the next month begins."""
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return day_of(first.timestamp()), following.timestamp()


def spent(connection: Connection, first: int, last: int, owner: str | None, tenant: str | None) -> tuple[int, float]:
    """Return the tokens and the cost of the days from `first` to `last`, of a user or of all users of a tenant."""
    whose = _s.owner == owner if owner is not None else _s.tenant == tenant
    sums = select(func.coalesce(func.sum(_s.tokens), 0), func.coalesce(func.sum(_s.cost), 0.0))
    tokens, cost = connection.execute(sums.where(whose, _s.day.between(first, last))).one()
    return int(tokens), float(cost)


@frozen
class Exceeded:
    """A limit that is reached: its setting's name, value and what was spent, with a sentence for the user. `until` is
    the time, in Unix seconds, from which on there is more."""

    name: str
    limit: float
    spent: float
    message: str
    until: float


class Spender(Protocol):
    """The user who spends, by the key of the user's data; `SpendingLimits.raised` may read more of it."""

    @property
    def user(self) -> str: ...  # noqa: D102 - see the class


def _nothing_raised(_: Any) -> Mapping[str, float]:
    return {}


@define
class SpendingLimits:
    """Refuses runs and turns of users, or of tenants, that have spent what they may in a day or a month.

    `spent(first, last, owner, tenant)` reads the sums of days; `clock` gives Unix seconds. `raised(who)` has the
    bounds, as `tokens_per_day`, that are greater for this user than `limits`.
    """

    spent: Callable[..., Any]
    limits: Limits
    tenant_of: Callable[[str], str | None]
    currency: str = ""
    clock: Callable[[], float] = field(default=time.time)
    raised: Callable[[Any], Mapping[str, float]] = _nothing_raised

    async def exceeded(self, who: Spender) -> Exceeded | None:
        """Return the limit that the user, or the user's tenant, has reached by now; None if there is none.

        Raises StorageUnavailable.
        """
        now, owner = self.clock(), who.user
        today, tenant, (first, next_month) = day_of(now), self.tenant_of(owner), month_of(now)
        periods = (("day", today, (today + 1) * DAY_S, "of today"), ("month", first, next_month, "of this month"))
        raised = self.raised(who)
        for whose in ("user", "tenant"):
            if whose == "tenant" and tenant is None:
                continue
            user = owner if whose == "user" else None
            for period, since, until, words in periods:
                names = [f"{what}_per_{period}" for what in ("tokens", "cost")]
                bounds = [getattr(self.limits, f"{whose}_{name}") for name in names]
                if whose == "user":
                    bounds = [raised.get(name, bound) for name, bound in zip(names, bounds, strict=True)]
                if bounds == [None, None]:
                    continue
                sums = await self.spent(since, today, user, None if whose == "user" else tenant)
                for name, bound, value in zip(names, bounds, sums, strict=True):
                    if bound is not None and value >= bound:
                        amount = f"{bound:,} tokens" if "tokens" in name else f"{bound:,.6g} {self.currency}".rstrip()
                        owned = "You have" if whose == "user" else "Your organisation has"
                        when = "00:00 UTC" if period == "day" else f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d}"
                        sentence = f"{owned} used the {amount} {words}; there is more from {when} on."
                        return Exceeded(f"{whose}_{name}", bound, value, sentence, until)
        return None

    async def check(self, who: Spender) -> None:
        """Refuse a run of a user who has spent what they may.

        Raises:
            CommandRejected: A limit is reached (`quota_exceeded`); `retry_after` is the time until there is more.
            StorageUnavailable: The database cannot be read.
        """
        reached = await self.exceeded(who)
        if reached is not None:
            raise CommandRejected(CODE, reached.message, reached.until - self.clock())
