"""The recovery of one node after a start with many unfinished runs; stand-ins for the store and the registry."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, cast

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from actors import ActorSystem, ChildSpec, open_system
from understudy.chat.conversation.recovery import BATCH, EVERY_S, QUEUED, QUEUED_OF_OWNER, Recovery
from understudy.chat.run_limiter import RunLimiter
from understudy.storage import queries
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import RunRecord


@define(eq=False)
class Unfinished:
    """The unfinished runs of a store, oldest first, each in a thread of its own, and the registry that wakes them."""

    runs: list[RunRecord]
    limiter: RunLimiter[Any] = field(factory=lambda: RunLimiter(per_user=2, total=8))
    woken: dict[str, None] = field(factory=dict)
    most_queued: int = 0
    relocated: tuple[()] = ()
    missed: tuple[str, ...] = ()
    away: bool = False
    tried: int = 0
    starts: int = 0
    reads: int = 0
    node: None = None
    parts: tuple[()] = ()

    @property
    def empty(self) -> bool:
        return not self.woken

    async def unfinished_runs(self) -> Sequence[RunRecord]:
        self.reads += 1
        return list(self.runs)

    async def read(self, query: object, *_: object) -> Sequence[RunRecord]:
        assert query is queries.open_effects
        return []

    async def dead_with_subscribers(self) -> Sequence[tuple[str, str]]:
        return []

    def remind(self, _owner: str, thread_id: str, _run_id: str) -> bool:
        return thread_id in self.woken

    async def subscribe_missed(self, owner: str) -> None:
        """Fail while the store is away; a user who was tried goes to the end, as in the registry."""
        self.tried += 1
        await trio.lowlevel.checkpoint()
        rest = tuple(other for other in self.missed if other != owner)
        self.missed = (*rest, owner) if self.away else rest
        if self.away:
            raise StorageUnavailable("it did not answer lately")

    async def ensure_running(self, owner: str, thread_id: str, run_id: str) -> None:
        """Resume the run as its conversation would: it waits for its permit."""
        await trio.lowlevel.checkpoint()
        if thread_id not in self.woken:
            self.woken[thread_id] = None
            self.limiter.acquire(run_id, owner, None)
            self.most_queued = max(self.most_queued, self.limiter.queue.by_owner().total())

    def end(self, run_id: str) -> None:
        self.runs = [run for run in self.runs if run.id != run_id]
        self.limiter.release(run_id)


def recovery(store: Unfinished) -> AbstractAsyncContextManager[ActorSystem]:
    make = partial(Recovery, cast(Any, store), cast(Any, store), store.limiter)
    return open_system("s", [ChildSpec("recovery", make)])


def run(number: int, owner: str) -> RunRecord:
    """An unfinished run; the numbers are in the order of their starts."""
    name = f"r{number:04}"
    return RunRecord(name, owner, name, name, None, "guide", None, "running", float(number))


async def test_many_unfinished_runs_are_woken_oldest_first_as_room_appears(autojump_clock: MockClock) -> None:
    runs = [run(number, "many" if number < 300 else f"u{number % 200}") for number in range(600)]
    store = Unfinished(runs)
    limiter = store.limiter
    async with recovery(store):
        await trio.sleep(5.0)
        assert len(store.woken) <= QUEUED + limiter.total
        first = sorted(name for name in store.woken if name < "r0300")
        assert first == [f"r{number:04}" for number in range(len(first))]
        assert QUEUED_OF_OWNER <= len(first) <= QUEUED_OF_OWNER + limiter.per_user
        with trio.fail_after(3600):
            while store.runs:
                for name in [run_id for run_id in store.woken if run_id in limiter.permits]:
                    store.end(name)
                await trio.sleep(0.1)
        assert store.most_queued <= QUEUED
        assert len(store.woken) == 600


async def test_an_idle_server_reads_nothing_until_a_conversation_was_started(autojump_clock: MockClock) -> None:
    """A run that is unfinished then is found, also if its conversation is gone again."""
    store = Unfinished([])
    async with recovery(store):
        await trio.sleep(3600)
        assert store.reads == 1
        store.runs, store.starts = [run(1, "ada")], 1
        await trio.sleep(5)
        assert list(store.woken) == ["r0001"]


async def test_a_store_that_is_away_is_not_pressed_and_fills_no_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unfinished([], missed=tuple(f"u{number}" for number in range(300)), away=True)
    async with recovery(store):
        await trio.sleep(EVERY_S * 10.5)
        assert store.tried == 11 * BATCH
        postponed = [vars(record) for record in caplog.records if record.getMessage() == "recovery.postponed"]
        assert [(entry["count"], entry["run_ids"]) for entry in postponed] == [(BATCH, [])] * 11
        store.away = False
        await trio.sleep(EVERY_S + 1)
        assert store.missed == ()
