"""The state of other frameworks' agents, on both databases."""

import pytest

from understudy.extensions.frameworks import states
from understudy.extensions.frameworks.states import save_state
from understudy.storage.errors import NotStored
from understudy.storage.quotas import thread_bytes_used


async def test_a_run_has_its_state_until_the_thread_ends_and_its_bytes_count(store, make) -> None:
    await store.commit(make.opening())
    used = await store.read(thread_bytes_used, "user", "ann")
    with pytest.raises(NotStored):
        await store.commit(save_state("bob", "t1", "r1", 1.0, (("a", b"1"),)))
    await store.commit(save_state("ann", "t1", "r1", 1.0, (("a", b"old"), ("b", b"\x00\xff"))))
    await store.commit(save_state("ann", "t1", "r1", 2.0, (("a", b"newer"), ("c", b"3")), ("b", "none")))
    await store.commit(save_state("ann", "t1", "r2", 3.0, (("a", b"of r2"),)))
    assert await store.read(states.state, "ann", "t1", "r1") == {"a": b"newer", "c": b"3"}
    assert await store.read(states.state, "bob", "t1", "r1") == {}
    assert await store.read(thread_bytes_used, "user", "ann") == used + 11
    assert await store.delete_thread("ann", "t1")
    await store.commit(make.opening())
    assert await store.read(states.state, "ann", "t1", "r1") == {}


async def test_the_states_of_the_oldest_runs_go(store, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MAX_RUNS", 3)
    monkeypatch.setattr(states, "MAX_THREAD_BYTES", 100)
    await store.commit(make.opening())
    used = await store.read(thread_bytes_used, "user", "ann")
    for number in range(1, 6):
        await store.commit(save_state("ann", "t1", f"r{number}", number, (("a", b"x" * 10),)))
    present = [bool(await store.read(states.state, "ann", "t1", f"r{number}")) for number in range(1, 6)]
    assert present == [False, False, True, True, True]
    await store.commit(save_state("ann", "t1", "r6", 6.0, (("a", b"x" * 95),)))
    assert not await store.read(states.state, "ann", "t1", "r5")
    assert await store.read(thread_bytes_used, "user", "ann") == used + 95
