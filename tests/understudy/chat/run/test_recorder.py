"""The recorder of a run."""

from collections.abc import Sequence
from functools import partial

import pytest
import trio
import trio.testing
from attrs import define, field

from tests.understudy.chat.run.test_run import LogOfRun
from understudy.agents.agent import Agent
from understudy.chat.run.recorder import UNYIELDED, Recorder
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.services import ChatSettings
from understudy.storage.records import StepRecord
from understudy.wire.events import AgentStarted, AgentThinking, MessageAccepted, SteerAccepted


@define(eq=False)
class Heard(LogOfRun):
    """A log that notes what it is shown, and when, and has the steers that wait for the run."""

    heard: list[tuple[float, str]] = field(factory=list)
    waiting: list[SteerAccepted] = field(factory=list)
    asked: list[int] = field(factory=list)

    def append_text(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        self.heard.append((trio.current_time(), text))

    def show_progress(self, done: float, total: float | None, note: str) -> None:
        self.heard.append((trio.current_time(), note))

    async def take_steers(self, turn: int, last_step: int, finished: Sequence[StepRecord]) -> tuple[SteerAccepted, ...]:
        self.asked.append(turn)
        return tuple(self.waiting)


class Quiet:
    settings = ChatSettings(silence_s=10.0)


def recorder() -> tuple[Recorder, Heard]:
    log = Heard(0.0, RunProtocol("r"))
    return Recorder("r", log, Quiet(), Agent("support")), log  # type: ignore[arg-type]


async def test_progress_is_sent_after_each_silence(autojump_clock: trio.testing.MockClock) -> None:
    run, log = recorder()
    run.activity = "running query_table"
    began = trio.current_time()
    run.last_sent_at = began

    async def keep_alive() -> None:
        for _ in range(10):
            await trio.sleep(run.keep_alive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive)
        await trio.sleep(25)
        await run.send_delta("some text")
        await trio.sleep(9)
        assert len(log.heard) == 3
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    signs = [(round(at - began), note) for at, note in log.heard if note != "some text"]
    assert signs == [(at, "Still running query_table") for at in (10, 20, 35)]


async def test_steps_are_numbered_from_one() -> None:
    run, _ = recorder()
    steps = [run.next_step("model", "offline", None, None, 1.0), run.next_step("tool", "echo", "c", {}, 2.0)]
    assert [(step.number, step.kind, step.status) for step in steps] == [
        (1, "model", "started"),
        (2, "tool", "started"),
    ]


@pytest.mark.parametrize("piece", ["piece", ""], ids=["shown", "held back"])
async def test_a_model_that_writes_without_pause_lets_other_tasks_run(piece: str) -> None:
    """One step of theirs for so many pieces, and it can be cancelled meanwhile."""
    steps = pieces = 0
    run, _ = recorder()

    async def count() -> None:
        nonlocal steps
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1
            if steps == 20:
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        while True:
            await run.send_delta(piece)
            pieces += 1
    assert nursery.cancel_scope.cancelled_caught
    assert pieces <= 40 * UNYIELDED


async def test_the_log_is_asked_for_steers_only_if_some_wait() -> None:
    run, log = recorder()
    assert await run.take_steers(0) == ()
    log.steers_wait, log.waiting = True, [SteerAccepted("s", "shorter", "next")]
    assert [each.steer_id for each in await run.take_steers(1)] == ["s"]
    assert log.asked == [1]


async def test_what_was_gathered_is_committed_before_what_follows_it() -> None:
    """What a call yields needs the call's start in the log, and a steer enters after the thoughts before it."""
    run, log = recorder()
    log.protocol.apply(MessageAccepted("m", "r", "go"))
    log.protocol.apply(AgentStarted("a", "", 0.0))
    for number, follow in enumerate((partial(run.send_partial, "c", 0, []), partial(run.take_steers, 1))):
        log.steers_wait = True
        run.gather(AgentThinking("a", str(number), 0.0))
        await follow()
        assert [event.thought for _, event in log.of(AgentThinking)] == [str(each) for each in range(number + 1)]
        assert run.deferred_events == ()
