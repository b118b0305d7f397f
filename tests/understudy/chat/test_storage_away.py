"""Conversations while nothing can be stored or it is unknown whether it was."""

import logging
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, evolve, field
from sqlalchemy import update
from trio.testing import MockClock

from actors import ChildSpec, open_system
from tests.rigs.conversation import ADA, Rig, say
from tests.rigs.conversation import rig as rig
from tests.rigs.scripted_model import Call, scripted
from tests.rigs.scripted_model import Say as SayTurn
from transport.wire.errors import CommandRejected
from transport.wire.events import Error
from understudy.chat.messages import EnsureRunning, OwnershipLost
from understudy.chat.storage_away import StorageWaitMonitor, StorageWaits
from understudy.storage import schema
from understudy.storage.changes import Change
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import Fence
from understudy.storage.store import Store
from understudy.wire.commands import Approve, Cancel, Decision
from understudy.wire.events import AgentStarted, ApprovalRequired, FinalResponse, RunStatus


@define
class Away:
    """Makes parts of a store fail: `writes`, `reads` of runs. With `stores` a write is made, and its reply is lost."""

    store: Store
    writes: bool = field(default=False, init=False)
    reads: bool = field(default=False, init=False)
    stores: bool = field(default=False, init=False)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> "Away":
        commit, delete, run = self.store.commit, self.store.delete_thread, self.store.run

        async def do(work: Any) -> Any:
            if not self.writes or self.stores:
                done = await work()
            if self.writes:
                raise StorageUnavailable("away")
            return done

        async def commits(change: Change) -> None:
            await do(lambda: commit(change))

        async def deletes(owner: str, thread_id: str, fence: Fence | None = None, **words: Any) -> Any:
            return await do(lambda: delete(owner, thread_id, fence, **words))

        async def reads(run_id: str) -> Any:
            if self.reads:
                raise StorageUnavailable("away")
            return await run(run_id)

        for name, stands in (("commit", commits), ("delete_thread", deletes), ("run", reads)):
            monkeypatch.setattr(self.store, name, stands)
        return self


@pytest.fixture
def away(rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """The store of the rig, with a short retry interval. Fails the test if anything logs an error."""
    monkeypatch.setattr("understudy.chat.conversation.run_queue.RETRY_S", 0.1)
    yield Away(rig.services.store).watch(monkeypatch)
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


async def test_a_decision_that_cannot_be_stored_is_not_acknowledged(rig: Rig, away: Away) -> None:
    mailing = scripted(Call([("send_mail", {"to": "anna"})]), SayTurn("Done"))
    rig.services.agents["script"] = mailing  # type: ignore[index]
    await rig.desk.dispatch(ADA, say("go", "t"), rig.outbox)
    (required,) = await rig.until(ApprovalRequired)
    away.writes = True
    with pytest.raises(CommandRejected) as refused:
        await rig.desk.dispatch(ADA, Approve(required.event.call_id, Decision.ALLOW), rig.outbox)  # type: ignore[union-attr]
    assert refused.value.code == "storage_unavailable"
    away.writes = False
    await rig.until(Error)
    assert "approval_decided" not in [event.type for event in await rig.services.store.events("ada", "t", 0)]


async def test_a_thread_that_could_not_be_deleted_goes_on(rig: Rig, away: Away) -> None:
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.until(AgentStarted)
    away.writes = True
    with pytest.raises(StorageUnavailable):
        await rig.desk.delete_thread("ada", "t")
    away.writes = False
    await rig.until(FinalResponse, 2)
    rig.open_gate()
    await rig.desk.dispatch(ADA, say("third", "t"), rig.outbox)
    assert getattr((await rig.until(FinalResponse, 3))[-1].event, "status", None) is RunStatus.SUCCESS
    assert (rig.services.limiter.running, rig.services.limiter.waiting) == (0, 0)


async def test_a_thread_that_was_deleted_after_all_begins_anew(rig: Rig, away: Away) -> None:
    rig.open_gate()
    await rig.answered()
    away.writes = away.stores = True
    with pytest.raises(StorageUnavailable):
        await rig.desk.delete_thread("ada", "t")
    away.writes = False
    await rig.answered("second", 2)
    assert [event.seq for event in await rig.services.store.events("ada", "t", 0)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seq", [1, 2])
async def test_a_run_whose_events_cannot_be_read_ends_and_its_thread_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, seq: int
) -> None:
    accepted = await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(AgentStarted)
    conversation = rig.conversation
    conversation.tell(OwnershipLost())
    with trio.fail_after(60):
        await conversation.wait_stopped()

    def damage() -> None:
        with rig.services.store.database.writing.begin() as connection:
            connection.execute(update(schema.events).where(schema.events.c.seq == seq).values(body=b"{}"))

    await trio.to_thread.run_sync(damage)
    rig.open_gate()
    await rig.desk.registry.ensure_running("ada", "t", accepted.run_id)
    (end,) = await rig.until(Error)
    assert (end.run_id, getattr(end.event, "code", None)) == (accepted.run_id, "run_interrupted")
    await rig.desk.dispatch(ADA, say("more", "t"), rig.outbox)
    await rig.until(FinalResponse)
    assert await rig.services.store.unfinished_runs() == []


@pytest.mark.parametrize("what", ["again", "another", "cancel"])
async def test_a_message_that_was_stored_after_all_is_at_work_at_once(rig: Rig, away: Away, what: str) -> None:
    rig.open_gate()
    await rig.answered()
    away.writes = away.stores = True
    message = evolve(say("more", "t"), message_id="m2")
    with pytest.raises(CommandRejected):
        await rig.desk.dispatch(ADA, message, rig.outbox)
    away.writes = False
    (run,) = await rig.services.store.unfinished_runs("ada", "t")
    if what == "cancel":
        await rig.desk.dispatch(ADA, Cancel(run.id), rig.outbox)
    else:
        accepted = await rig.desk.dispatch(ADA, message if what == "again" else say("and more", "t"), rig.outbox)
        assert (accepted.run_id == run.id) == (what == "again")
    answers = [envelope.run_id for envelope in await rig.until(FinalResponse, 3 if what == "another" else 2)]
    assert answers.count(run.id) == 1


async def test_a_conversation_that_is_woken_while_it_cannot_look_goes_on(rig: Rig, away: Away) -> None:
    await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(AgentStarted)
    away.reads = True
    rig.conversation.tell(EnsureRunning("some-run"))
    rig.open_gate()
    await rig.until(FinalResponse)
    away.reads = False
    assert len(await rig.until(AgentStarted)) == 1


async def test_the_monitor_sleeps_while_nobody_waits_and_is_woken_by_a_wait(autojump_clock: MockClock) -> None:
    looks, notified = list[float](), list[float]()

    class Counting(StorageWaitMonitor):
        async def receive(self, message: object, context: Any) -> None:
            looks.append(trio.current_time())
            await super().receive(message, context)

    waits = StorageWaits()
    async with open_system("s", [ChildSpec("waits", partial(Counting, waits))]):
        await trio.sleep(3600)
        assert len(looks) == 1
        for _ in range(2):
            began = trio.current_time()
            with waits.notify_if_slow(lambda: notified.append(trio.current_time())):
                await trio.sleep(1)
            assert notified.pop() - began < 0.9
            assert notified == []
            await trio.sleep(60)
