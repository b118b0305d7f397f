"""The sentence for users who have spent what they may in a day or a month, alone or together."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
from attrs import define, field, frozen

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.extensions.spending import memberships
from understudy.extensions.spending.limits import SpendingLimits
from understudy.extensions.spending.settings import SpendingSettings
from understudy.extensions.spending.sums import spent as sum_of_days
from understudy.storage.spending import DAY_S
from understudy.storage.write import Call

ANN = "acme\x1fann"


@frozen
class Person:
    user: str


@define
class Books:
    """A ledger and budgets: `sums` by user, tenant or group, and by the first day; `groups` are those of every user."""

    sums: Mapping[tuple[str, int], tuple[int, float]]
    bounds: Mapping[str, Mapping[str, float]] = field(factory=dict)
    more: Mapping[str, Mapping[str, float]] = field(factory=dict)
    groups: frozenset[str] = frozenset()
    stored: list[tuple[str, ...]] = field(factory=list)

    async def read(self, query: Callable[..., object], *arguments: Any) -> object:
        if query is memberships.memberships:
            return self.groups
        if query is memberships.spent_together:
            _, _, entries, firsts, _ = arguments
            return {name: [self.sums[name, first] for first in firsts] for name in sorted(self.groups & set(entries))}
        assert query is sum_of_days
        first, _, owner, tenant = arguments
        return self.sums[owner or tenant, first]

    async def commit(self, write: Call) -> None:
        self.stored.append(write.given["entries"])
        self.groups = frozenset(write.given["entries"])

    def raised(self, who: Any) -> Mapping[str, float]:
        return self.more.get(who.user, {})

    def together(self) -> Mapping[str, Mapping[str, float]]:
        return self.bounds

    def counted(self, who: Any) -> tuple[str, ...]:
        return tuple(f"group:{group}" for group in who.groups)


def limits_of(books: Books, limits: SpendingSettings, at: float) -> SpendingLimits:
    """Return limits of spending in EUR at this time, with the tenants of the users' names."""
    return SpendingLimits(books, limits, tenants=True, budgets=books, currency="EUR", clock=lambda: at)


async def test_a_refusal_says_when_there_is_more() -> None:
    """At 22:00 UTC, after the tenant spent its limit."""
    books = Books({("ann", 7): (10, 0.1), (ANN, 7): (10, 0.1), ("acme", 7): (900, 2.5)})
    limits = SpendingSettings(user_tokens_per_day=11, tenant_cost_per_day=2.5)
    spending = limits_of(books, limits, 7 * DAY_S + 22 * 3600)
    await spending.check(Identity("ann", "s"))
    with pytest.raises(CommandRejected) as refused:
        await spending.check(Identity(ANN, "s"))
    assert (refused.value.code, refused.value.retry_after) == ("quota_exceeded", 7200)
    assert refused.value.message == "Your organisation has used the 2.5 EUR of today; there is more from 00:00 UTC on."


async def test_a_month_is_one_of_the_calendar_and_may_be_greater_for_some() -> None:
    """On 15 February 1970, day 45: the month began with day 31, and the next begins with day 59."""
    books = Books({(who, day): (900, 2.5) if day == 31 else (90, 0.5) for who in ("ann", "bob") for day in (31, 45)})
    limits = SpendingSettings(user_tokens_per_day=100, user_tokens_per_month=900)
    spending = limits_of(books, limits, 45 * DAY_S + 3600.0)
    with pytest.raises(CommandRejected) as refused:
        await spending.check(Identity("ann", "s"))
    assert refused.value.retry_after == 14 * DAY_S - 3600
    assert refused.value.message == "You have used the 900 tokens of this month; there is more from 1970-03-01 on."
    books.more = {"bob": {"tokens_per_month": 901}}
    await spending.check(Identity("bob", "s"))
    reached = await spending.exceeded(Person("ann"))
    assert (reached.name, reached.limit, reached.spent) == ("user_tokens_per_month", 900, 900)


async def test_the_first_budget_together_that_is_used_up_refuses() -> None:
    """Of a user in two groups and a role, on the same day as above."""
    sums = {("group:staff", 45): (5, 0.1), ("group:staff", 31): (70, 8.0), ("group:all", 45): (5, 0.1)}
    sums |= {("group:all", 31): (70, 8.0), ("role:clerk", 45): (9, 0.2), ("role:clerk", 31): (9, 0.2)}
    bounds = {
        "group:all": {"tokens_per_day": 6},
        "group:staff": {"cost_per_month": 8.0},
        "role:clerk": {"tokens_per_day": 9},
    }
    books = Books(sums, bounds)
    spending = limits_of(books, SpendingSettings(), 45 * DAY_S)
    assert await spending.exceeded(Person("ann")) is None
    books.groups = frozenset(["group:all", "group:staff"])
    reached = await spending.exceeded(Person("ann"))
    assert (reached.name, reached.limit, reached.spent) == ("group_cost_per_month", 8.0, 8.0)
    assert reached.message == "Your group staff has used the 8 EUR of this month; there is more from 1970-03-01 on."
    books.groups = frozenset(["role:clerk"])
    reached = await spending.exceeded(Person("ann"))
    assert reached.message == (
        "All users with the role clerk together have used the 9 tokens of today; there is more from 00:00 UTC on."
    )


async def test_groups_are_stored_when_a_token_names_others() -> None:
    books = Books({})
    spending = limits_of(books, SpendingSettings(), 45 * DAY_S)
    member, former = (Identity("ann", "s", groups=groups, token_id="t") for groups in (("staff",), ()))
    for who in (former, member, member, Identity("ann", "schedule"), former):
        await spending.check(who)
    assert books.stored == [("group:staff",), ()]


async def test_messages_at_once_spend_no_more_than_one_after_the_other() -> None:
    """Forty turns of 20 tokens each, of which each may use 8,000: a budget of 600 is enough for 30."""
    books = Books({("ann", 7): (0, 0.0)})
    spending, refused = limits_of(books, SpendingSettings(user_tokens_per_day=600), 7 * DAY_S), list[str]()

    async def turn(number: int) -> None:
        reached = await spending.reserve(Person("ann"), number, 8_000, 0.0)
        if reached is not None:
            refused.append(reached.message)
            return
        await trio.testing.wait_all_tasks_blocked()
        books.sums = {("ann", 7): (books.sums["ann", 7][0] + 20, 0.0)}
        spending.release(number)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(turn, number)
    assert books.sums["ann", 7][0] == 600
    assert refused == ["You have used the 600 tokens of today; there is more from 00:00 UTC on."] * 10


async def test_turns_wait_only_for_those_whose_limit_is_theirs(autojump_clock: trio.testing.MockClock) -> None:
    books = Books({("ann", 7): (0, 0.0), ("bob", 7): (0, 0.0)})
    spending = limits_of(books, SpendingSettings(user_tokens_per_day=600), 7 * DAY_S)
    for holder in range(3):
        assert await spending.reserve(Person("ann"), holder, 200, 0.0) is None, "there is room for all"
    assert await spending.reserve(Person("bob"), "b", 900, 0.0) is None
    began = trio.current_time()
    reached = await spending.reserve(Person("ann"), "late", 1, 0.0)
    assert reached.message.startswith("Your other messages may use all that is left.")
    assert trio.current_time() - began == pytest.approx(120)
    assert await spending.reserve(Person("ann"), 2, 1, 0.0) is None, "a holder's own reservation does not count"
