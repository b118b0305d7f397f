"""Receivers of push notifications: each is told of what follows, in order, by one node; gone with its thread."""

from typing import Any

from attrs import evolve

from tests.rigs.store import running
from understudy.extensions.a2a import storage
from understudy.extensions.a2a.storage import Push, add_push, claim_push, drop_push, move_push

TYPES = ("agent_thinking", "final_response")
ONE = Push("ann", "t", "r1", "c1", "https://a.example/", b"sealed", 10.0)


async def test_a_receiver_is_told_of_events_in_order_and_by_one_node(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t", "r1"))
    await store.commit(make.change("ann", "t", events=make.events(2, 2)))
    assert await store.commit(add_push(ONE, ("none",)))
    ((first, seq),) = await store.read(storage.due, 0.0, TYPES)
    assert (first, seq) == (ONE, 1)
    assert await store.commit(claim_push(first, 30.0))
    assert not await store.commit(claim_push(first, 30.0))
    assert await store.read(storage.due, 29.0, TYPES) == []
    ((again, _),) = await store.read(storage.due, 30.0, TYPES)
    assert again.attempts == 1
    await store.commit(move_push(evolve(again, due_at=40.0, failing_since=30.0)))
    assert await store.read(storage.due, 39.0, TYPES) == []
    await store.commit(move_push(evolve(again, sent=seq, due_at=0.0, attempts=0, failing_since=None)))
    assert [seq for _, seq in await store.read(storage.due, 40.0, TYPES)] == [2]
    assert await store.read(storage.due, 40.0, ("none",)) == []
    assert await store.commit(drop_push("ann", "r1", "c1"))
    assert not await store.commit(drop_push("ann", "r1", "c1"))


async def test_a_new_receiver_is_told_how_the_run_is_and_replaces_the_one_of_its_id(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t", "r1"))
    for url in ("https://a.example/", "https://b.example/"):
        assert await store.commit(add_push(evolve(ONE, url=url), TYPES))
    ((push, seq),) = await store.read(storage.due, 0.0, TYPES)
    assert (push.url, push.sent, seq) == ("https://b.example/", seq - 1, push.sent + 1)
    assert await store.read(storage.of_run, "ann", "r1") == [push]
    assert await store.read(storage.of_run, "bob", "r1") == []


async def test_receivers_are_bounded_and_old_ones_removed(database: Any, make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(storage, "MOST_OF_RUN", 2)
    monkeypatch.setattr(storage, "MOST_OF_USER", 3)
    async with running(database) as (store, _):
        for run_id in ("r1", "r2"):
            await store.commit(make.opening("ann", f"t-{run_id}", run_id))
        added = [
            await store.commit(add_push(evolve(ONE, thread_id=f"t-{run_id}", run_id=run_id, id=name), TYPES))
            for run_id, name in (("r1", "a"), ("r1", "b"), ("r1", "c"), ("r2", "a"), ("r2", "b"), ("r1", "b"))
        ]
        assert list(map(bool, added)) == [True, True, False, True, False, True]
        late = evolve(ONE, thread_id="t-r2", run_id="r2", id="late", created_at=11.0 + storage.OLDEST_S)
        assert await store.commit(add_push(late, TYPES))
        assert await store.read(storage.of_run, "ann", "r1") == []
        assert await store.delete_thread("ann", "t-r2")
        assert await store.read(storage.of_run, "ann", "r2") == []
