"""Conversations, and messages that wait, while nothing can be stored or it is unknown whether it was."""

import logging
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve, field
from sqlalchemy import update

from actors import ChildSpec, open_system
from tests.end_to_end.scripted_model import Call, scripted
from tests.end_to_end.scripted_model import Say as SayTurn
from transport.wire.commands import Approve, Cancel, Decision
from transport.wire.errors import CommandRejected
from transport.wire.events import AgentProgress, AgentStarted, ApprovalRequired, Error, FinalResponse, RunStatus
from understudy.chat.messages import EnsureRunning, OwnershipLost
from understudy.chat.storage_away import StorageRetry, StorageWaitMonitor, StorageWaits
from understudy.storage import schema
from understudy.storage.changes import Change
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import Fence
from understudy.storage.store import Store

from .conversation.test_conversation import ADA, Rig, say
from .conversation.test_conversation import rig as rig


@define
class Away:
    """Makes parts of a store fail: `writes`, `reads` of runs. With `stores` a write is made, and its reply is lost."""

    store: Store
    writes: bool = field(default=False, init=False)
    reads: bool = field(default=False, init=False)
    stores: bool = field(default=False, init=False)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> "Away":
        """Replace the store's methods."""
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
    assert [each.getMessage() for each in caplog.get_records("call") if each.levelno >= logging.ERROR] == []


def open_gate(rig: Rig) -> None:
    """Open the gate of the agent's word for all runs."""
    rig.services.agents["script"].model.turns[0].gate.opened.set()  # type: ignore[union-attr]


def notes(rig: Rig) -> list[str]:
    """The progress notes so far."""
    return [each.event.note for each in rig.told if isinstance(each.event, AgentProgress)]


@pytest.mark.parametrize("how", ["stopped", "failed"])
async def test_an_ending_that_cannot_be_stored_is_the_one_that_is_stored_later(rig: Rig, away: Away, how: str) -> None:
    """A run is cancelled, or fails, while writes fail: progress is sent meanwhile, and the same end is stored later."""
    accepted = await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    assert accepted is not None
    await rig.until(AgentStarted)
    away.writes = True
    if how == "stopped":
        await rig.desk.dispatch(ADA, Cancel(accepted.run_id), rig.outbox)
    else:
        open_gate(rig)
    with trio.fail_after(60):
        while notes(rig).count("Waiting for the database") < 3:  # noqa: ASYNC110 - that is what is waited for
            await trio.sleep(0.01)
    away.writes = False
    if how == "stopped":
        (end,) = await rig.until(FinalResponse)
        assert getattr(end.event, "status", None) is RunStatus.CANCELLED
    else:
        (end,) = await rig.until(Error)
        assert getattr(end.event, "code", None) == "storage_unavailable"


async def test_a_decision_that_cannot_be_stored_is_not_acknowledged(rig: Rig, away: Away) -> None:
    """A user allows a call while writes fail: the approval is refused, and the log holds no decision."""
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
    assert "approval_decided" not in [each.type for each in await rig.services.store.events("ada", "t", 0)]


async def test_a_thread_that_could_not_be_deleted_goes_on(rig: Rig, away: Away) -> None:
    """A deletion fails: the queued runs have ended too, all permits are released, and the next message is answered."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.until(AgentStarted)
    away.writes = True
    with pytest.raises(StorageUnavailable):
        await rig.desk.delete_thread("ada", "t")
    away.writes = False
    await rig.until(FinalResponse, 2)
    open_gate(rig)
    await rig.desk.dispatch(ADA, say("third", "t"), rig.outbox)
    assert getattr((await rig.until(FinalResponse, 3))[-1].event, "status", None) is RunStatus.SUCCESS
    assert rig.services.limiter.running == 0
    assert rig.services.limiter.waiting == 0


async def test_a_thread_that_was_deleted_after_all_begins_anew(rig: Rig, away: Away) -> None:
    """A deletion succeeds, but its reply is lost: the next message starts the thread at event 1."""
    open_gate(rig)
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.until(FinalResponse)
    away.writes = away.stores = True
    with pytest.raises(StorageUnavailable):
        await rig.desk.delete_thread("ada", "t")
    away.writes = False
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.until(FinalResponse, 2)
    events = await rig.services.store.events("ada", "t", 0)
    assert [each.seq for each in events] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seq", [1, 2])
async def test_a_run_whose_events_cannot_be_read_ends_and_its_thread_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture, seq: int
) -> None:
    """An event of the run is damaged: the run ends once with `run_interrupted`, and the next message is answered."""
    accepted = await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    assert accepted is not None
    await rig.until(AgentStarted)
    (conversation,) = rig.system.find("/s/conversations").children()  # type: ignore[union-attr]
    conversation.tell(OwnershipLost())
    with trio.fail_after(60):
        await conversation.wait_stopped()

    def damage() -> None:
        with rig.services.store.database.writing.begin() as connection:
            connection.execute(update(schema.events).where(schema.events.c.seq == seq).values(body=b"{}"))

    await trio.to_thread.run_sync(damage)
    open_gate(rig)
    await rig.desk.registry.ensure_running("ada", "t", accepted.run_id)
    (end,) = await rig.until(Error)
    assert (end.run_id, getattr(end.event, "code", None)) == (accepted.run_id, "run_interrupted")
    await rig.desk.dispatch(ADA, say("more", "t"), rig.outbox)
    await rig.until(FinalResponse)
    assert await rig.services.store.unfinished_runs() == []


@pytest.mark.parametrize("what", ["again", "another", "cancel"])
async def test_a_message_that_was_stored_after_all_is_at_work_at_once(rig: Rig, away: Away, what: str) -> None:
    """A message is stored, but its reply is lost: the next command of the thread starts its run, once."""
    open_gate(rig)
    await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(FinalResponse)
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
        assert accepted is not None
        assert (accepted.run_id == run.id) == (what == "again")
    answers = [each.run_id for each in await rig.until(FinalResponse, 3 if what == "another" else 2)]
    assert answers.count(run.id) == 1


async def test_a_conversation_that_is_woken_while_it_cannot_look_goes_on(rig: Rig, away: Away) -> None:
    """An `EnsureRunning` arrives while reads fail: the current run goes on."""
    await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(AgentStarted)
    (conversation,) = rig.system.find("/s/conversations").children()  # type: ignore[union-attr]
    away.reads = True
    conversation.tell(EnsureRunning("some-run"))
    open_gate(rig)
    await rig.until(FinalResponse)
    away.reads = False
    assert len(await rig.until(AgentStarted)) == 1


class Base:
    """A database that is away until `back_at`. `looks` counts its probes, `tries` the attempts at a message."""

    def __init__(self, back_at: float) -> None:
        self.back_at = back_at
        self.looks = 0
        self.tries = 0

    @property
    def away(self) -> bool:
        return trio.current_time() < self.back_at

    async def check(self) -> None:
        self.looks += 1
        await trio.sleep(0.05)
        if self.away:
            raise StorageUnavailable("away")

    async def take(self) -> str:
        self.tries += 1
        if self.away:
            raise CommandRejected("storage_unavailable", retry_after=1.0)
        return "taken"


async def test_nobody_waits_while_all_is_well(autojump_clock: Any) -> None:
    """An available database is not probed."""
    store = Base(trio.current_time() + 0)
    patience = StorageRetry(store, 5.0, 10)
    assert await patience.run(store.take) == "taken"
    assert (store.tries, store.looks, patience.waiting) == (1, 0, 0)


async def test_a_message_waits_until_the_database_is_back(autojump_clock: Any) -> None:
    """The message is tried twice: at once, and when a probe has succeeded."""
    store = Base(trio.current_time() + 2.0)
    patience, began = StorageRetry(store, 5.0, 10), trio.current_time()
    assert await patience.run(store.take) == "taken"
    assert 2.0 <= trio.current_time() - began < 2.6
    assert (store.tries, patience.waiting) == (2, 0)


async def test_one_that_waited_in_vain_is_refused(autojump_clock: Any) -> None:
    """After `wait_s` the message is refused with `storage_unavailable`."""
    store = Base(trio.current_time() + 60.0)
    patience, began = StorageRetry(store, 5.0, 10), trio.current_time()
    with pytest.raises(CommandRejected) as caught:
        await patience.run(store.take)
    assert (caught.value.code, caught.value.retry_after) == ("storage_unavailable", 1.0)
    assert trio.current_time() - began == pytest.approx(5.0)
    assert (store.tries, patience.waiting) == (1, 0)


async def test_what_is_refused_for_another_reason_does_not_wait(autojump_clock: Any) -> None:
    """Another refusal is raised at once, at the first attempt and at a retry."""
    store = Base(trio.current_time() + 1.0)

    async def empty() -> None:
        raise CommandRejected("empty_message")

    async def later_busy() -> str:
        if store.away:
            return await store.take()
        raise CommandRejected("busy")

    patience = StorageRetry(store, 5.0, 10)
    with pytest.raises(CommandRejected, match="empty"):
        await patience.run(empty)
    assert store.looks == 0
    with pytest.raises(CommandRejected) as caught:
        await patience.run(later_busy)
    assert caught.value.code == "busy"


async def test_so_many_wait_and_one_looks_for_all(autojump_clock: Any) -> None:
    """One message beyond the capacity is refused at once; a message that ends in any way frees its position."""
    store = Base(trio.current_time() + 2.0)
    patience = StorageRetry(store, 5.0, 3)
    taken: list[str] = []

    async def say() -> None:
        taken.append(await patience.run(store.take))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(say)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(CommandRejected):
            await patience.run(store.take)
        assert trio.current_time() == began
        leaving = trio.CancelScope()

        async def leave() -> None:
            with leaving:
                await say()

        patience.capacity = 4
        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        leaving.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert patience.waiting == 3
    assert taken == ["taken"] * 3
    assert store.looks <= 10
    assert patience.waiting == 0


async def test_who_looks_may_leave(autojump_clock: Any) -> None:
    """The message whose task probes is cancelled: the other one probes, and is accepted."""
    store = Base(trio.current_time() + 1.0)
    patience = StorageRetry(store, 5.0, 3)
    with trio.CancelScope() as first:
        async with trio.open_nursery() as nursery:

            async def other() -> None:
                with trio.CancelScope(shield=True), trio.fail_after(3):
                    assert await patience.run(store.take) == "taken"

            nursery.start_soon(patience.run, store.take)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            first.cancel()
    assert patience.waiting == 0


async def test_the_monitor_sleeps_while_nobody_waits_and_is_woken_by_a_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In an hour without waits it looks once; a slow wait is told as soon as before."""
    looks, told = list[float](), list[float]()

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
            with waits.notify_if_slow(lambda: told.append(trio.current_time())):
                await trio.sleep(1)
            assert told.pop() - began < 0.9
            assert told == []
            await trio.sleep(60)
