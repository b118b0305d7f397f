"""Limits of what users, tenants and groups spend on models in a day and a month, checked before each turn."""

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
"""Seconds for which a turn waits for the rest of a limit that others have reserved: a turn of a model takes less."""
OTHERS: Final = "Your other messages may use all that is left. Send this again when they are answered."


@frozen
class Exceeded:
    """A limit that is reached: its setting's name, value and what was spent, with a sentence for the user. `until` is
    the time, in Unix seconds, from which on there is more."""

    name: str
    limit: float
    spent: float
    message: str
    until: float


class Budgets(Protocol):
    """What users may spend by their groups. Bounds are by name, such as `tokens_per_day`.

    `raised` has those that are greater for a user than the server's limits of each user. `together` has those of all
    users of an entry, by entry (`group:NAME` or `role:NAME`). `counted` names the entries for which a user's spending
    counts by the token of a message.
    """

    def raised(self, who: Any) -> Mapping[str, float]: ...  # noqa: D102

    def together(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102

    def counted(self, who: Any) -> tuple[str, ...]: ...  # noqa: D102


@frozen
class _Period:
    """A day or a month at work: `first` is its first day, `until` the time at which the next one begins."""

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
        """Return the first of these bounds, by name, that the sums of tokens and cost have reached."""
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
    """What was spent in a period of somebody's bounds: of a user, a tenant or a group, named by `key`."""

    key: tuple[str, str]
    whom: str
    period: _Period
    bounds: Mapping[str, float | None]
    sums: tuple[int, float]

    def reached(self, currency: str, more: tuple[int, float] = (0, 0.0)) -> Exceeded | None:
        """Return the bound that is reached with so many more tokens and cost."""
        sums = self.sums[0] + more[0], self.sums[1] + more[1]
        return self.period.reached(self.key[0], self.whom, self.bounds, sums, currency)


class _Reserved(NamedTuple):
    """What a turn of a model may use, which counts for these keys until it is recorded."""

    keys: frozenset[tuple[str, str]]
    tokens: int
    cost: float


@define(eq=False)
class SpendingLimits(SpendingOfUsers):
    """Refuses runs and turns of users, tenants or groups that have spent what they may in a day or a month.

    What a turn may use is reserved while a model answers, so that messages sent at once do not spend more than one
    after the other: where the rest is reserved, a turn waits. Each server reserves for its own turns.

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
        """Return the limit that the user, the user's tenant or one of the user's groups has reached by now, or None.

        Raises StorageUnavailable.
        """
        return _first(account.reached(self.currency) for account in await self._spent(who))

    async def reserve(self, who: Spender, holder: object, tokens: int, cost: float) -> Exceeded | None:
        """Reserve what the next turn of a run may use, until `release`. `holder` holds one reservation at a time.

        Return the limit that is reached; or, after `WAIT_S`, the one whose rest other turns have reserved.

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
                    continue  # what is reserved no longer may not be counted yet
                reached = _first(account.reached(self.currency, self._held(account.key)) for account in spent)
                if reached is None:
                    self._reserved[holder] = _Reserved(frozenset(account.key for account in spent), tokens, cost)
                    return None
                await released.wait()
        return reached and evolve(reached, message=OTHERS)

    def is_held_by(self, holder: object) -> bool:
        """Return whether there is a reservation."""
        return holder in self._reserved

    def release(self, holder: object) -> None:
        """End a reservation, if there is one: what the turn has used is recorded."""
        if self._reserved.pop(holder, None) is not None:
            self._released.set()
            self._released = trio.Event()

    def _held(self, key: tuple[str, str]) -> tuple[int, float]:
        held = [reservation for reservation in self._reserved.values() if key in reservation.keys]
        return sum(reservation.tokens for reservation in held), sum(reservation.cost for reservation in held)

    async def _spent(self, who: Spender) -> list[_Spent]:
        """Return what was spent, by period, of those whose bounds hold for a user."""
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
        """Refuse a run of a user who has spent what they may.

        The groups and roles of the token are stored if they are others than before: what the user spends counts for
        them from now on.

        Raises:
            CommandRejected: A limit is reached (`quota_exceeded`); `retry_after` is the time until there is more.
            StorageUnavailable: The database cannot be read or written.
        """
        if who.token_id:  # work without a token, such as a schedule's, counts for the groups of the last one
            counted = self.budgets.counted(who)
            if frozenset(counted) != await self.store.read(memberships, who.user):
                await self.store.commit(set_memberships(who.user, counted, self.clock()))
        reached = await self.exceeded(who)
        if reached is not None:
            raise CommandRejected(CODE, reached.message, reached.until - self.clock())


def _first(found: Iterable[Exceeded | None]) -> Exceeded | None:
    return next((reached for reached in found if reached is not None), None)
