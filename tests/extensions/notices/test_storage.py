"""The queue of webhooks: each event once, claimed by one node, gone with its thread."""

from typing import Any

from understudy.extensions.notices import storage
from understudy.extensions.notices.storage import Delivery, add_delivery, claim_delivery, delay_delivery, end_delivery
from understudy.storage.changes import Change

ONE = Delivery("r1-2", "ann", "t", "r1", 2, "https://a.example/", 10.0, 10.0)


async def test_a_delivery_is_queued_once_and_claimed_once(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t", "r1"))
    for _ in range(2):
        await store.commit(Change("ann", "t", also=(add_delivery(ONE),)))
    assert await store.read(storage.due, 9.0) == []
    assert await store.read(storage.due, 10.0) == [ONE]
    assert await store.commit(claim_delivery(ONE.id, 0, 30.0))
    assert not await store.commit(claim_delivery(ONE.id, 0, 30.0))
    assert await store.read(storage.due, 29.0) == []
    (again,) = await store.read(storage.due, 30.0)
    assert (again.id, again.attempts) == (ONE.id, 1)
    await store.commit(delay_delivery(ONE.id, 40.0))
    assert await store.read(storage.due, 39.0) == []
    await store.commit(end_delivery(ONE.id))
    assert await store.read(storage.due, 100.0) == []


async def test_a_deleted_thread_takes_its_webhooks_along(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t", "r1"))
    await store.commit(Change("ann", "t", also=(add_delivery(ONE),)))
    assert await store.delete_thread("ann", "t")
    assert await store.read(storage.due, 100.0) == []
