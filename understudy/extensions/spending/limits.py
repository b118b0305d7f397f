"""Limits of the spending of users, tenants and groups on models in a day and a month, checked before each turn."""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import trio
from attrs import define, evolve, field, frozen

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.chat.spending import Spender, SpendingOfUsers
from understudy.extensions.spending.memberships import memberships, set_memberships, spent_together
from understudy.extensions.spending.settings import SpendingSettings
from understudy.extensions.spending.sums import month_of
from understudy.extensions.spending.sums import spent as sum_of_days
from understudy.storage.owners import tenant_of
from understudy.storage.spending import DAY_S, day_of
from understudy.storage.store import Store

CODE: Final = "quota_exceeded"
WAIT_S: Final = 120.0
"""Seconds for which a turn waits until others release their reservations: a turn of a model takes less."""
OTHERS: Final = "Your other messages may use all that is left. Send this again when they are answered."


@frozen
class Exceeded:
    """A limit that is reached: the name and value of its setting, the spending, and a sentence for the user. `until` is
    when the next period begins, in Unix seconds."""

    name: str
    limit: float
    spent: float
    message: str
    until: float


class Budgets(Protocol):
    """The bounds by groups and roles. Bounds are by name, such as `tokens_per_day`.

    `raised` returns the bounds of a user that are greater than the server's limits of each user. `together` returns
    those of all users of an entry, by entry (`group:NAME` or `role:NAME`). `counted` returns the entries for which a
    user's spending counts, by the user's token.
    """

    def raised(self, who: Any) -> Mapping[str, float]: ...  # noqa: D102

    def together(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102

    def counted(self, who: Any) -> tuple[str, ...]: ...  # noqa: D102


@frozen
class _Period:
    """The current day or month: `first` is its first day (from 1970), `until` the time at which the next one begins."""

    name: str
    first: int
    until: float

    @property
    def bounds(self) -> tuple[str, str]:
        """The names of the bounds of tokens and of cost."""
        return f"tokens_per_{self.name}", f"cost_per_{self.name}"

    def reached(
        self, whose: str, whom: str, bounds: Mapping[str, float | None], sums: tuple[int, float], currency: str
    ) -> Exceeded | None:
        """Return the first of the period's bounds that the `sums` of tokens and cost have reached, or None. `whose`
        (such as "user") begins the name of the limit, and `whom` (such as "You have") the sentence."""
        for name, value in zip(self.bounds, sums, strict=True):
            bound = bounds.get(name)
            if bound is not None and value >= bound:
                amount = f"{bound:,} tokens" if "tokens" in name else f"{bound:,.6g} {currency}".rstrip()
                words = "today" if self.name == "day" else "this month"
                when = "00:00 UTC" if self.name == "day" else f"{datetime.fromtimestamp(self.until, UTC):%Y-%m-%d}"
                sentence = f"{whom} used the {amount} of {words}; there is more from {when} on."
                return Exceeded(f"{whose}_{name}", bound, value, sentence, self.until)
        return None


def _periods(now: float) -> tuple[_Period, _Period]:
    today, (first, next_month) = day_of(now), month_of(now)
    return _Period("day", today, (today + 1) * DAY_S), _Period("month", first, next_month)


class _Spent(NamedTuple):
    """The tokens and cost that a user, a tenant or a group, named by `key`, has spent in a period, with the bounds."""

    key: tuple[str, str]
    whom: str
    period: _Period
    bounds: Mapping[str, float | None]
    sums: tuple[int, float]

    def reached(self, currency: str, more: tuple[int, float] = (0, 0.0)) -> Exceeded | None:
        """Return the bound that is reached with `more` tokens and cost, or None."""
        sums = self.sums[0] + more[0], self.sums[1] + more[1]
        return self.period.reached(self.key[0], self.whom, self.bounds, sums, currency)


class _Reserved(NamedTuple):
    """The tokens and cost that a turn of a model may use; they count for these keys until its usage is recorded."""

    keys: frozenset[tuple[str, str]]
    tokens: int
    cost: float


@define(eq=False)
class SpendingLimits(SpendingOfUsers):
    """Refuses runs and turns of users, tenants or groups that have reached a limit of a day or a month.

    The most that a turn may use is reserved while the model answers, so that concurrent messages do not spend more than
    consecutive ones: a turn waits if the rest of a limit is reserved. Each server reserves for its own turns.

    `clock` gives Unix seconds.
    """

    store: Store
    limits: SpendingSettings
    tenants: bool
    budgets: Budgets
    currency: str = ""
    clock: Callable[[], float] = field(default=time.time)
    _reserved: dict[object, _Reserved] = field(factory=dict, init=False, repr=False)
    _released: trio.Event = field(factory=trio.Event, init=False, repr=False)

    async def exceeded(self, who: Spender) -> Exceeded | None:
        """Return a limit that the user, the user's tenant or one of the user's groups has reached by now, or None.

        Raises StorageUnavailable.
        """
        return _first(account.reached(self.currency) for account in await self._spent(who))

    async def reserve(self, who: Spender, holder: object, tokens: int, cost: float) -> Exceeded | None:
        """Reserve the most that the next turn of a run may use, until `release`. A `holder` has one reservation.

        Return None, or a limit that is reached; after `WAIT_S` a limit whose rest other turns have reserved.

        Raises:
            StorageUnavailable: The database cannot be read.
        """
        self.release(holder)
        reached: Exceeded | None = None
        with trio.move_on_after(WAIT_S):
            while True:
                released = self._released
                spent = await self._spent(who)
                if (reached := _first(account.reached(self.currency) for account in spent)) is not None:
                    return reached
                if released.is_set():
                    continue  # a turn was released after `spent` was read, which may lack its usage
                reached = _first(account.reached(self.currency, self._held(account.key)) for account in spent)
                if reached is None:
                    self._reserved[holder] = _Reserved(frozenset(account.key for account in spent), tokens, cost)
                    return None
                await released.wait()
        return reached and evolve(reached, message=OTHERS)

    def is_held_by(self, holder: object) -> bool:
        """Return whether a holder has a reservation."""
        return holder in self._reserved

    def release(self, holder: object) -> None:
        """End a reservation, if there is one, as the turn's usage is recorded."""
        if self._reserved.pop(holder, None) is not None:
            self._released.set()
            self._released = trio.Event()

    def _held(self, key: tuple[str, str]) -> tuple[int, float]:
        held = [reservation for reservation in self._reserved.values() if key in reservation.keys]
        return sum(reservation.tokens for reservation in held), sum(reservation.cost for reservation in held)

    async def _spent(self, who: Spender) -> list[_Spent]:
        """Return the spending in each period of all whose bounds apply to a user: the user, the tenant, the groups."""
        now, owner = self.clock(), who.user
        tenant = tenant_of(owner) if self.tenants else None
        today, periods = day_of(now), _periods(now)
        spent: list[_Spent] = []
        for whose, whom in (("user", "You have"), ("tenant", "Your organisation has")):
            if whose == "tenant" and tenant is None:
                continue
            bounds = {name: getattr(self.limits, f"{whose}_{name}") for period in periods for name in period.bounds}
            if whose == "user":
                bounds |= self.budgets.raised(who)
            of_user, of_tenant = (owner, None) if whose == "user" else (None, tenant)
            for period in periods:
                if any(bounds[name] is not None for name in period.bounds):
                    sums = await self.store.read(sum_of_days, period.first, today, of_user, of_tenant)
                    spent.append(_Spent((whose, of_user or of_tenant or ""), whom, period, bounds, sums))
        together = self.budgets.together()
        if not together:
            return spent
        firsts = [period.first for period in periods]
        sums_of = await self.store.read(spent_together, owner, tenant, tuple(together), firsts, today)
        for entry, of_periods in sums_of.items():
            kind, _, name = entry.partition(":")
            whom = f"Your group {name} has" if kind == "group" else f"All users with the role {name} together have"
            for period, sums in zip(periods, of_periods, strict=True):
                spent.append(_Spent(("group", f"{tenant or ''}/{entry}"), whom, period, together[entry], sums))
        return spent

    async def check(self, who: Identity) -> None:
        """Refuse a run of a user who has reached a limit.

        The groups and roles of the token are stored if they have changed: the user's spending counts for them from now
        on.

        Raises:
            CommandRejected: A limit is reached (`quota_exceeded`); `retry_after` is the time until the next period.
            StorageUnavailable: The database cannot be read or written.
        """
        if who.token_id:  # work without a token, such as a schedule's, counts for the groups of the last token
            counted = self.budgets.counted(who)
            if frozenset(counted) != await self.store.read(memberships, who.user):
                await self.store.commit(set_memberships(who.user, counted, self.clock()))
        reached = await self.exceeded(who)
        if reached is not None:
            raise CommandRejected(CODE, reached.message, reached.until - self.clock())


def _first(results: Iterable[Exceeded | None]) -> Exceeded | None:
    return next((reached for reached in results if reached is not None), None)
