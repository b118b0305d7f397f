"""Links to threads: a snapshot of one branch, bounded, gone in time or with their thread; on both databases."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.rigs.store import running
from understudy.extensions.shares import EXTENSION, storage
from understudy.extensions.shares.shared_page import shared_page
from understudy.extensions.shares.storage import (
    FULL,
    NOTHING,
    SHARED,
    add_share,
    digest_of,
    drop_expired_shares,
    drop_share,
    exists,
    of_owner,
)
from understudy.storage import deletion, polling
from understudy.storage.thread_writes import delete_thread

DAY_S = 86_400.0


async def exchange(store: Any, make: Any, number: int, after: int | None = None, *, answered: bool = True) -> None:
    run_id, message_id = f"r{number}", f"m{number}"
    parent = None if after is None else f"answer-r{after}"
    question = make.message(message_id=message_id, run_id=run_id, content=f"Question {number}", parent_id=parent)
    seq = 1 if number == 1 else (await store.thread("ann", "t1")).last_seq + 1
    opened = make.change(
        events=make.events(seq, seq, run_id),
        thread=make.thread() if number == 1 else None,
        messages=(question,),
        run=make.run(run_id=run_id, message_id=message_id),
    )
    await store.commit(opened)
    if answered:
        await answer(store, make, number)


async def answer(store: Any, make: Any, number: int) -> None:
    reply = make.message(
        message_id=f"answer-r{number}", run_id=f"r{number}", role="assistant", content=f"Answer {number}",
        parent_id=f"m{number}", status="success",
    )  # fmt: skip
    seq = (await store.thread("ann", "t1")).last_seq + 1
    events = make.events(seq, seq, f"r{number}")
    await store.commit(make.change(events=events, messages=(reply,), run_end=make.ending(f"r{number}")))


async def texts(store: Any, token: str, skip: int = 0, limit: int = 20) -> list[str] | None:
    """Return what a reader sees, None if the link is gone."""
    page = await store.read(shared_page, digest_of(token), skip, limit)
    return None if page is None else [row.content for row in page.messages]


async def test_a_share_shows_one_branch_as_it_was(store: Any, make: Any) -> None:
    await exchange(store, make, 1)
    await exchange(store, make, 2, after=1)
    await exchange(store, make, 3, after=1, answered=False)
    for token, tip in (("one", "r2"), ("other", "r3")):
        assert await store.commit(add_share(digest_of(token), "ann", "t1", tip, DAY_S)) == SHARED
    await answer(store, make, 3)
    await exchange(store, make, 4, after=3)
    assert await texts(store, "one") == ["Question 1", "Answer 1", "Question 2", "Answer 2"]
    assert await texts(store, "other") == ["Question 1", "Answer 1", "Question 3"], "its answer came later"
    assert await texts(store, "one", 0, 1) == ["Question 2", "Answer 2"]
    assert await texts(store, "one", 1, 1) == ["Question 1", "Answer 1"]
    assert [(await store.read(shared_page, digest_of("one"), skip, 1)).older for skip in (0, 1)] == [True, False]
    assert await texts(store, "one", 5, 1) == []
    assert await texts(store, digest_of("one")) is None, "the id does not open it"


async def test_only_what_is_there_and_ones_own_is_shared(store: Any, make: Any) -> None:
    await exchange(store, make, 1)
    await store.commit(make.opening("ann", "t2", "r2"))
    for owner, thread_id, run_id in (
        ("bob", "t1", "r1"), ("ann", "t3", None), ("ann", "t1", "r9"), ("ann", "t1", "r2"),
    ):  # fmt: skip
        assert await store.commit(add_share("s", owner, thread_id, run_id, DAY_S)) == NOTHING
    assert await store.commit(add_share("s", "ann", "t1", "r1", DAY_S)) == SHARED
    assert not await store.commit(drop_share("bob", "s"))
    assert await store.read(of_owner, "bob", "t1") == []


async def test_shares_are_bounded_and_end(database: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MOST", 2)
    async with running(database) as (store, _):
        await exchange(store, make, 1)
        assert await store.commit(add_share(digest_of("old"), "ann", "t1", "r1", -1.0)) == SHARED
        assert await texts(store, "old") is None
        assert not await store.read(exists, digest_of("old"))
        assert await store.read(of_owner, "ann", "t1") == []
        assert await store.commit(drop_expired_shares()) == 1
        for token in ("a", "b"):
            assert await store.commit(add_share(digest_of(token), "ann", "t1", "r1", DAY_S)) == SHARED
        assert await store.commit(add_share(digest_of("c"), "ann", "t1", "r1", DAY_S)) == FULL
        assert await store.commit(drop_share("ann", digest_of("a")))
        assert await texts(store, "a") is None
        (left,) = await store.read(of_owner, "ann", "t1")
        assert (left.id, left.run_id) == (digest_of("b"), "r1")
        assert left.expires_at - left.created_at == pytest.approx(DAY_S, abs=1)
        await store.delete_thread("ann", "t1")
        assert not await store.read(exists, digest_of("b"))


async def test_shares_that_have_expired_are_deleted(store: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "RESTS", 0.0)
    await exchange(store, make, 1)
    for token, lifetime_s in (("over", -1.0), ("left", DAY_S)):
        await store.commit(add_share(digest_of(token), "ann", "t1", "r1", lifetime_s))
    server: Any = SimpleNamespace(store=store)
    (child,) = EXTENSION.children(server)
    await child.factory().poll()  # type: ignore[attr-defined]
    assert await store.commit(drop_expired_shares()) == 0, "they are gone"
    assert [share.id for share in await store.read(of_owner, "ann")] == [digest_of("left")]


async def test_a_link_ends_with_the_first_part_of_its_threads_deletion(
    store: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "EVENTS", 1)
    await exchange(store, make, 1)
    assert await store.commit(add_share(digest_of("a"), "ann", "t1", "r1", DAY_S)) == SHARED
    assert await store.commit(delete_thread("ann", "t1")) == deletion.MORE
    assert not await store.read(exists, digest_of("a"))
