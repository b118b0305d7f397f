"""What a day cost: rows that are counted once, and the sentence for those who have spent it."""

from typing import Any

import pytest
from attrs import evolve

from transport.connection.limits import Limits
from transport.wire.errors import CommandRejected
from understudy.storage.records import Change, tenant_of
from understudy.storage.spending import DAY_S, SpendingLimits, Spent, day_of

from .test_writer import running

ANN = Spent("r1", 1, "acme\x1fann", "acme", 7, 100, 0.5)


async def test_a_turn_is_counted_once_however_often_it_is_stored(database: Any, make: Any) -> None:
    async with running(database) as (store, _):
        await store.commit(make.opening(ANN.owner, "t", "r1"))
        for spent in ((ANN,), (ANN, evolve(ANN, number=2)), (evolve(ANN, day=8, number=3),)):
            await store.commit(Change(ANN.owner, "t", spent=spent))
        assert await store.spent(7, ANN.owner, None) == (200, 1.0)
        assert await store.spent(7, None, "acme") == (200, 1.0)
        assert await store.spent(7, "acme\x1fbob", None) == (0, 0.0)
        assert not await store.forget_spending(8)
        assert await store.spent(7, ANN.owner, None) == (0, 0.0)
        assert await store.spent(8, ANN.owner, None) == (100, 0.5)
        assert await store.delete_thread(ANN.owner, "t")
        assert await store.spent(8, ANN.owner, None) == (100, 0.5)
        assert await store.remove_user(ANN.owner)
        assert await store.spent(8, ANN.owner, None) == (0, 0.0)


async def test_a_refusal_says_when_there_is_more() -> None:
    """At 22:00 UTC, after the tenant spent its limit."""

    async def spent(day: int, owner: str | None, tenant: str | None) -> tuple[int, float]:
        assert day == day_of(7 * DAY_S + 1)
        return (10, 0.1) if owner is not None else (900, 2.5)

    limits = Limits(user_tokens_per_day=11, tenant_cost_per_day=2.5)
    spending = SpendingLimits(spent, limits, tenant_of, "EUR", lambda: 7 * DAY_S + 22 * 3600)
    await spending.check("ann")
    with pytest.raises(CommandRejected) as refused:
        await spending.check(ANN.owner)
    assert (refused.value.code, refused.value.retry_after) == ("quota_exceeded", 7200)
    assert refused.value.message == "Your organisation has used the 2.5 EUR of today; there is more from 00:00 UTC on."
