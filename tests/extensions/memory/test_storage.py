"""The values that agents remember, on both databases."""

import pytest
import trio

from tests.rigs.database import opened
from understudy.extensions.memory import storage
from understudy.extensions.memory.storage import amend, forget, forget_all, forget_expired, remember, remembered
from understudy.storage import queries
from understudy.storage.errors import NotStored


@pytest.fixture
async def store(database, make):
    async with opened(database) as store:
        await store.commit(make.opening())
        await store.commit(make.opening("bob", "t2", "r2"))
        yield store


def note(name: str = "plan", value: object = "A", **fields: object) -> remember:
    """A value that the guide remembers about ann, by default from 100 to 200."""
    values = {"owner": "ann", "agent": "guide", "now": 100.0, "expires_at": 200.0} | fields
    return remember(name=name, value=value, **values)


async def names(store, owner: str = "ann", agent: str = "guide", now: float = 150.0) -> list[str]:
    return [fact.name for fact in await store.read(remembered, owner, agent, now)]


async def test_values_are_of_one_user_and_one_agent(store) -> None:
    value = {"days": [1, 2], "quiet": True, "none": None}
    assert await store.commit(note(value=value))
    assert await store.commit(note(owner="bob", value="B"))
    assert await store.commit(note(agent="finance", value="C"))
    assert [fact.value for fact in await store.read(remembered, "ann", "guide", 150.0)] == [value]
    assert [fact.value for fact in await store.read(remembered, "bob", "guide", 150.0)] == ["B"]
    assert await store.commit(forget("ann", "guide", "plan", 150.0))
    assert await names(store) == []
    assert await names(store, "bob") == await names(store, agent="finance") == ["plan"]
    assert not await store.commit(forget("ann", "guide", "plan", 150.0))


async def test_the_later_value_replaces_the_earlier_with_its_time(store) -> None:
    await store.commit(note())
    await store.commit(note("other", now=101.0))
    await store.commit(note(value="B", now=102.0, expires_at=300.0))
    (entry,) = await store.read(remembered, "ann", "guide", 250.0)
    assert (entry.name, entry.value) == ("plan", "B")
    assert await names(store) == ["plan", "other"]


async def test_a_value_is_replaced_or_deleted_only_as_it_was_seen(store) -> None:
    await store.commit(note())
    assert await store.commit(amend("ann", "guide", "plan", "B", 100.0, 110.0))
    assert not await store.commit(amend("ann", "guide", "plan", "C", 100.0, 111.0))
    assert not await store.commit(forget("ann", "guide", "plan", 111.0, seen=100.0))
    [entry] = await store.read(remembered, "ann", "guide", 150.0)
    assert (entry.value, entry.updated_at, entry.expires_at) == ("B", 110.0, 200.0)
    assert await store.commit(amend("ann", "guide", "plan", None, 110.0, 110.0, 300.0))
    [entry] = await store.read(remembered, "ann", "guide", 250.0)
    assert (entry.value, entry.updated_at > 110.0) == (None, True), "a change at the same time is another version"
    assert not await store.commit(amend("ann", "guide", "plan", "D", entry.updated_at, 300.0)), "it has expired"
    assert await store.commit(forget("ann", "guide", "plan", 120.0, seen=entry.updated_at))


async def test_all_of_a_notebook_or_of_a_user_is_deleted(store) -> None:
    for fields in ({}, {"name": "other"}, {"agent": "finance"}, {"owner": "bob"}):
        await store.commit(note(**{"name": "plan", **fields}))
    assert await store.commit(forget_all("ann", "guide"))
    assert await names(store) == []
    assert await names(store, agent="finance") == ["plan"]
    assert await store.commit(forget_all("ann"))
    assert not await store.commit(forget_all("ann"))
    assert await names(store, agent="finance") == []
    assert await names(store, "bob") == ["plan"]


async def test_what_has_expired_is_not_there_and_is_removed(store, database, monkeypatch) -> None:
    monkeypatch.setattr(storage, "FORGOTTEN", 2)
    for number in range(5):
        await store.commit(note(f"n{number}"))
    await store.commit(note("later", expires_at=300.0))
    assert await names(store, now=200.0) == ["later"]
    assert not await store.commit(forget("ann", "guide", "n0", 200.0)), "it was there no more"
    while await store.commit(forget_expired(200.0)):
        pass
    assert await names(store, now=0.0) == ["later"]


async def test_one_value_too_many_is_refused(store, monkeypatch) -> None:
    monkeypatch.setattr(storage, "KEPT", 2)
    assert await store.commit(note("a"))
    assert await store.commit(note("b", expires_at=300.0))
    assert not await store.commit(note("c"))
    assert await store.commit(note("a", "again"))
    assert await store.commit(note("c", owner="bob"))
    assert await store.commit(note("c", now=200.0, expires_at=300.0))
    assert await names(store, now=200.0) == ["c", "b"]


async def test_a_user_that_is_gone_is_not_made_anew(store) -> None:
    with pytest.raises(NotStored):
        await store.commit(note(owner="carl"))
    assert await names(store, "carl") == []


async def test_a_group_keeps_its_other_works(store, make) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.commit, make.change(events=make.events(2, 2)))
        nursery.start_soon(store.commit, note())
        nursery.start_soon(store.commit, make.change("bob", "t2", events=make.events(2, 3, "r2")))
        nursery.start_soon(store.commit, forget_expired(10.0))
    assert await names(store) == ["plan"]
    assert await store.read(queries.live_threads, "bob") == {"t2": 3}
    assert forget_expired(1.0) == forget_expired(1.0)
