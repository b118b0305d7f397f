"""What a user has open over all threads, and the marks up to where they have read, on both databases."""

from typing import Any

from attrs import evolve

from understudy.extensions.notices import inbox_storage as inbox
from understudy.extensions.notices.inbox_storage import mark_read
from understudy.storage.records import ONCE

TYPES = ("agent_thinking",)


async def test_an_answer_is_unread_from_its_end_until_it_is_marked(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t1", "r1"))
    await store.commit(make.opening("bob", "t1", "r2"))
    before = await store.read(inbox.open_items, "ann", TYPES)
    assert [(run.run.id, run.title, run.last_seq) for run in before.runs] == [("r1", before.runs[0].title, 1)]
    assert [event.seq for event in before.runs[0].events] == [1]
    assert before.unread == ()
    await store.commit(make.change("ann", "t1", events=make.events(2, 3), run_end=make.ending("r1")))
    after = await store.read(inbox.open_items, "ann", TYPES)
    assert (after.runs, after.unread_count) == ((), 1)
    assert [(thread.id, thread.answered_seq, thread.status) for thread in after.unread] == [("t1", 3, "success")]
    assert await store.commit(mark_read("ann", {"t1": 2, "none": 9})) == 1
    assert (await store.read(inbox.open_items, "ann", TYPES)).unread_count == 1
    assert await store.commit(mark_read("ann", {"t1": 99})) == 1
    assert await store.commit(mark_read("ann", {"t1": 2})) == 0
    assert (await store.read(inbox.open_items, "ann", TYPES)).unread == ()
    assert [run.run.id for run in (await store.read(inbox.open_items, "bob", TYPES)).runs] == ["r2"]


async def test_a_mark_does_not_cover_a_later_answer(store: Any, make: Any) -> None:
    await store.commit(make.opening("ann", "t1", "r1"))
    await store.commit(mark_read("ann", {"t1": 2**31 - 1}))
    await store.commit(make.change("ann", "t1", events=make.events(2, 3), run_end=make.ending("r1")))
    assert (await store.read(inbox.open_items, "ann", TYPES)).unread_count == 1
    assert await store.commit(mark_read("ann", None)) == 1
    assert (await store.read(inbox.open_items, "ann", TYPES)).unread_count == 0


async def test_a_cancelled_run_and_a_thread_for_one_answer_leave_nothing_to_read(store: Any, make: Any) -> None:
    ended = (("t1", "r1", "cancelled"), (f"{ONCE}2", "r2", "success"), ("t3", "r3", "failed"))
    for thread_id, run_id, status in ended:
        await store.commit(make.opening("ann", thread_id, run_id))
        end = evolve(make.ending(run_id), status=status)
        await store.commit(make.change("ann", thread_id, events=make.events(2, 2, run_id), run_end=end))
    items = await store.read(inbox.open_items, "ann", TYPES)
    assert [(thread.id, thread.status) for thread in items.unread] == [("t3", "failed")]
    assert (items.runs, items.unread_count) == ((), 1)
