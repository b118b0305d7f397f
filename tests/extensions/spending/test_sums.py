"""What a day cost: rows that are counted once, and that outlast their thread."""

from typing import Any

from attrs import evolve

from understudy.extensions.spending.sums import spent as sum_of_days
from understudy.storage.changes import Change
from understudy.storage.deletion import remove_user
from understudy.storage.spending import Spent, forget_spending

ANN = Spent("r1", 1, "acme\x1fann", "acme", 7, 100, 0.5)


async def test_a_turn_is_counted_once_however_often_it_is_stored(store: Any, make: Any) -> None:
    await store.commit(make.opening(ANN.owner, "t", "r1"))
    for spent in ((ANN,), (ANN, evolve(ANN, number=2)), (evolve(ANN, day=8, number=3),)):
        await store.commit(Change(ANN.owner, "t", spent=spent))
    assert await store.read(sum_of_days, 7, 7, ANN.owner, None) == (200, 1.0)
    assert await store.read(sum_of_days, 7, 7, None, "acme") == (200, 1.0)
    assert await store.read(sum_of_days, 7, 7, "acme\x1fbob", None) == (0, 0.0)
    assert await store.read(sum_of_days, 7, 8, ANN.owner, None) == (300, 1.5)
    assert not await store.commit(forget_spending(8))
    assert await store.read(sum_of_days, 7, 7, ANN.owner, None) == (0, 0.0)
    assert await store.read(sum_of_days, 8, 8, ANN.owner, None) == (100, 0.5)
    assert await store.delete_thread(ANN.owner, "t")
    assert await store.read(sum_of_days, 8, 8, ANN.owner, None) == (100, 0.5)
    assert await remove_user(store, ANN.owner)
    assert await store.read(sum_of_days, 8, 8, ANN.owner, None) == (0, 0.0)
