"""What a day cost: rows that are counted once, and the sentence for those who have spent it."""

from typing import Any

import pytest
from attrs import evolve, frozen

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected
from understudy.storage.records import Change, tenant_of
from understudy.storage.spending import DAY_S, SpendingLimits, Spent, day_of

from .test_writer import running


@frozen
class Person:
    """A user who spends."""

    user: str


ANN = Spent("r1", 1, "acme\x1fann", "acme", 7, 100, 0.5)


async def test_a_turn_is_counted_once_however_often_it_is_stored(database: Any, make: Any) -> None:
    async with running(database) as (store, _):
        await store.commit(make.opening(ANN.owner, "t", "r1"))
        for spent in ((ANN,), (ANN, evolve(ANN, number=2)), (evolve(ANN, day=8, number=3),)):
            await store.commit(Change(ANN.owner, "t", spent=spent))
        assert await store.spent(7, 7, ANN.owner, None) == (200, 1.0)
        assert await store.spent(7, 7, None, "acme") == (200, 1.0)
        assert await store.spent(7, 7, "acme\x1fbob", None) == (0, 0.0)
        assert await store.spent(7, 8, ANN.owner, None) == (300, 1.5)
        assert not await store.forget_spending(8)
        assert await store.spent(7, 7, ANN.owner, None) == (0, 0.0)
        assert await store.spent(8, 8, ANN.owner, None) == (100, 0.5)
        assert await store.delete_thread(ANN.owner, "t")
        assert await store.spent(8, 8, ANN.owner, None) == (100, 0.5)
        assert await store.remove_user(ANN.owner)
        assert await store.spent(8, 8, ANN.owner, None) == (0, 0.0)


async def test_a_refusal_says_when_there_is_more() -> None:
    """At 22:00 UTC, after the tenant spent its limit."""

    async def spent(first: int, last: int, owner: str | None, tenant: str | None) -> tuple[int, float]:
        assert (first, last) == (day_of(7 * DAY_S + 1),) * 2
        return (10, 0.1) if owner is not None else (900, 2.5)

    limits = Limits(user_tokens_per_day=11, tenant_cost_per_day=2.5)
    spending = SpendingLimits(spent, limits, tenant_of, "EUR", lambda: 7 * DAY_S + 22 * 3600)
    await spending.check(Person("ann"))
    with pytest.raises(CommandRejected) as refused:
        await spending.check(Person(ANN.owner))
    assert (refused.value.code, refused.value.retry_after) == ("quota_exceeded", 7200)
    assert refused.value.message == "Your organisation has used the 2.5 EUR of today; there is more from 00:00 UTC on."


async def test_a_month_is_one_of_the_calendar_and_may_be_greater_for_some() -> None:
    """On 15 February 1970, day 45: the month began with day 31, and the next begins with day 59."""

    async def spent(first: int, last: int, *_: Any) -> tuple[int, float]:
        assert (first, last) in ((31, 45), (45, 45))
        return (900, 2.5) if first == 31 else (90, 0.5)

    limits = Limits(user_tokens_per_day=100, user_tokens_per_month=900)
    spending = SpendingLimits(spent, limits, lambda _: None, "EUR", lambda: 45 * DAY_S + 3600.0)
    with pytest.raises(CommandRejected) as refused:
        await spending.check(Person("ann"))
    assert refused.value.retry_after == 14 * DAY_S - 3600
    assert refused.value.message == "You have used the 900 tokens of this month; there is more from 1970-03-01 on."
    spending.raised = lambda who: {"tokens_per_month": 901} if who.user == "bob" else {}
    await spending.check(Person("bob"))
    reached = await spending.exceeded(Person("ann"))
    assert reached is not None
    assert (reached.name, reached.limit, reached.spent) == ("user_tokens_per_month", 900, 900)
