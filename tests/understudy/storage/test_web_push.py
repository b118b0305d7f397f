"""Browsers and their notices: queued with the event, claimed once, gone with the browser; on both databases."""

from typing import Any

from attrs import evolve

from understudy.storage import web_push
from understudy.storage.records import LoggedEvent
from understudy.storage.web_push import Browser, ClaimNotice, DelayNotice, DropBrowser, EndNotice, PutBrowser

from .test_writer import running

PHONE = Browser("ann", "phone", "push.example", b"sealed", True, 10.0)


def event(seq: int, kind: str) -> tuple[LoggedEvent, ...]:
    return (LoggedEvent(seq, kind, "r1", b"{}"),)


async def test_a_notice_is_queued_with_its_event_for_each_browser_that_wants_it(
    database: Any, make: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(web_push, "DELAY_S", 0.0)
    async with running(database) as (store, _):
        await store.commit(PutBrowser(PHONE))
        await store.commit(PutBrowser(evolve(PHONE, id="desk", answers=False)))
        await store.commit(PutBrowser(evolve(PHONE, owner="bob")))
        await store.commit(make.opening("ann", "t1", "r1"))
        await store.commit(make.change("ann", "t1", events=event(2, "approval_required")))
        await store.commit(make.change("ann", "t1", events=event(3, "tool_completed")))
        await store.commit(make.change("ann", "t1", events=event(4, "final_response"), run_end=make.ending("r1")))
        await store.commit(make.change("ann", "t1", events=event(4, "final_response"), run_end=make.ending("r1")))
        with database.reading.connect() as connection:
            rows = connection.exec_driver_sql("SELECT seq, browser, type FROM notices ORDER BY 1, 2").all()
        assert [tuple(row) for row in rows] == [
            (2, "desk", "approval_required"), (2, "phone", "approval_required"), (4, "phone", "final_response"),
        ]  # fmt: skip


async def test_a_notice_is_claimed_by_one_and_due_again_if_that_one_dies(
    database: Any, make: Any, monkeypatch: Any
) -> None:
    async with running(database) as (store, _):
        await store.commit(PutBrowser(PHONE))
        await store.commit(make.opening("ann", "t1", "r1"))
        for delay_s, seq in ((3600.0, 2), (-1.0, 3)):  # the first is not due yet
            monkeypatch.setattr(web_push, "DELAY_S", delay_s)
            await store.commit(make.change("ann", "t1", events=event(seq, "approval_required")))
        (notice,) = await store.read(web_push.due)
        assert (notice.seq, notice.type, notice.browser.id, notice.seen) == (3, "approval_required", "phone", False)
        assert 0 <= notice.age_s < 600
        assert await store.commit(ClaimNotice(notice, 60.0))
        assert not await store.commit(ClaimNotice(notice, 60.0))
        assert await store.read(web_push.due) == []
        await store.commit(DelayNotice(notice, -1.0))
        (again,) = await store.read(web_push.due)
        assert again.attempts == 1
        await store.mark_read("ann", {"t1": 3})
        assert (await store.read(web_push.due))[0].seen
        await store.commit(EndNotice(again))
        assert await store.read(web_push.due) == []


async def test_browsers_are_bounded_and_go_with_their_notices(database: Any, make: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(web_push, "MOST", 2)
    async with running(database) as (store, _):
        for name in ("a", "b", "c", "b"):
            await store.commit(PutBrowser(evolve(PHONE, id=name)))
        assert [each.id for each in await store.browsers("ann")] == ["b", "c"]
        await store.commit(make.opening("ann", "t1", "r1"))
        await store.commit(make.change("ann", "t1", events=event(2, "question_asked")))
        assert await store.commit(DropBrowser("ann", "b"))
        assert not await store.commit(DropBrowser("ann", "b"))
        with database.reading.connect() as connection:
            assert connection.exec_driver_sql("SELECT browser FROM notices").scalars().all() == ["c"]
