"""Schedules and the claims of their firings, on both databases."""

from typing import Any

from attrs import evolve

from understudy.extensions.schedules import storage
from understudy.extensions.schedules.due import When
from understudy.extensions.schedules.storage import (
    ADDED,
    FULL,
    REPEATED,
    LastFiring,
    Schedule,
    add_schedule,
    change_schedule,
    claim_firing,
    delete_schedule,
    end_firing,
)
from understudy.storage.deletion import remove_user

ONE = Schedule(
    "s1", "ann", "Digest", "guide", "What is new?", When("0 9 * * *", None, "UTC", 1.0), None, "once", {"max_turns": 3},
    True, 1.0, 10.0,
)  # fmt: skip


async def test_a_due_time_is_claimed_once_and_stays_until_its_end(store: Any) -> None:
    assert await store.commit(add_schedule(ONE, 9)) == ADDED
    assert (await store.read(storage.due)).schedules == [ONE]
    claims = [await store.commit(claim_firing("s1", 0, 10.0, 20.0, 0.0)) for _ in range(2)]
    assert claims == [True, False]
    (again,) = (await store.read(storage.due)).schedules
    assert (again.firing_at, again.next_due_at, again.version) == (10.0, 20.0, 1)
    assert await store.commit(claim_firing("s1", 1, 10.0, 20.0, 60.0))
    waiting = await store.read(storage.due)
    assert waiting.schedules == []
    assert 50 < waiting.next_at - waiting.now <= 60
    ends = [await store.commit(end_firing("s1", LastFiring(10.0, "t", "r"))) for _ in range(2)]
    assert ends == [True, False]
    (ended,) = (await store.read(storage.due)).schedules
    assert (ended.firing_at, ended.last) == (None, LastFiring(10.0, "t", "r"))
    assert await store.commit(claim_firing("s1", 2, None, None, 60.0, "missed"))
    (dropped,) = await store.read(storage.of_owner, "ann")
    assert dropped.last == LastFiring(20.0, message="missed")
    assert (await store.read(storage.due)).next_at is None


async def test_a_change_and_a_claim_exclude_each_other(store: Any) -> None:
    await store.commit(add_schedule(ONE, 9))
    paused = evolve(ONE, enabled=False, next_due_at=None)
    assert await store.commit(claim_firing("s1", 0, 10.0, 20.0, 0.0))
    assert not await store.commit(change_schedule(paused))
    assert await store.commit(change_schedule(evolve(paused, version=1)))
    assert not await store.commit(claim_firing("s1", 1, 10.0, 20.0, 0.0))
    (begun,) = (await store.read(storage.due)).schedules
    assert (begun.firing_at, begun.enabled) == (10.0, False)
    assert await store.commit(end_firing("s1", LastFiring(10.0, None, None, "busy", "later")))
    schedule, _ = await store.read(storage.one, "ann", "s1")
    assert (schedule.last, schedule.firing_at) == (LastFiring(10.0, code="busy", message="later"), None)
    assert (await store.read(storage.due)).schedules == []
    assert await store.commit(change_schedule(evolve(schedule, enabled=True, next_due_at=30.0)))
    assert len((await store.read(storage.due)).schedules) == 1


async def test_schedules_are_bounded_and_their_owners_own(store: Any, make: Any) -> None:
    await store.commit(make.opening("bob", "t", "r"))
    added = [await store.commit(add_schedule(evolve(ONE, id=name), 2)) for name in ("s1", "s1", "s2", "s3")]
    assert added == [ADDED, REPEATED, ADDED, FULL]
    assert await store.commit(add_schedule(evolve(ONE, id="s9", owner="bob"), 2)) == ADDED
    assert [schedule.id for schedule in await store.read(storage.of_owner, "ann")] == ["s1", "s2"]
    assert (await store.read(storage.one, "bob", "s1"))[0] is None
    assert not await store.commit(delete_schedule("bob", "s1"))
    assert await store.commit(delete_schedule("ann", "s1"))
    assert await store.delete_thread("bob", "t")
    assert await remove_user(store, "bob")
    assert await store.read(storage.of_owner, "bob") == []
