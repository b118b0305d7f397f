"""The log of a run at work: what it gathers is committed once, before what follows it, whoever writes that."""

from functools import partial
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from tests.rigs.agent_run import LogOfRun
from tests.rigs.thread_log import Shell, accept
from tests.rigs.thread_log import shell as shell
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.conversation.run_log import UNYIELDED, RunLog
from understudy.chat.messages import RunRequest
from understudy.chat.run_state.state import RunState
from understudy.chat.services import ChatSettings
from understudy.storage.errors import Fenced, StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.wire import events as wire

STEP = StepRecord("r1", 1, "tool", "echo", "c", {}, None, "started", 0.0)
ENDED = wire.ToolCompleted("a", "c", "echo", None, "done", wire.ToolStatus.OK, 1.0, 0.0)


@pytest.fixture
def log(shell: Shell) -> RunLog:
    """The log of a run at work that has gathered the start of a call."""
    shell.handle(accept(1))
    shell.record("r1", wire.AgentStarted("a", "", 0.0))
    log = shell.run_log(shell.it.thread.runs["r1"])
    log.gathered.add(wire.ToolExecuting("a", "c", "echo", {}, "", 0.0), steps=(STEP,))
    return log


def logged(shell: Shell) -> list[str]:
    return [row.type for row in shell.rows[3:]]


async def write(log: RunLog, event: Event, scope: trio.CancelScope | None = None) -> None:
    with scope or trio.CancelScope():
        await log.record(event)


async def test_a_writer_that_is_cancelled_before_its_turn_takes_nothing_with_it(shell: Shell, log: RunLog) -> None:
    """A call ends behind another writer, such as a tool that keeps its handle, whose time is over as it waits."""
    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery, shell.it.thread.turn:
        nursery.start_soon(write, log, wire.AgentThinking("a", "hm", 0.0), scope)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write, log, ENDED)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
    assert logged(shell) == ["tool_executing", "tool_completed"]


async def test_events_that_could_not_be_stored_are_committed_with_the_next_ones(shell: Shell, log: RunLog) -> None:
    """A subagent that could not be stored fails alone: the call beside it, whose start it would have stored, ends."""
    shell.failing = [StorageUnavailable("away")]
    with pytest.raises(StorageUnavailable):
        await write(log, wire.AgentThinking("a", "hm", 0.0))
    assert logged(shell) == []
    await write(log, ENDED)
    assert logged(shell) == ["tool_executing", "tool_completed"]


async def test_a_log_that_is_lost_is_lost_for_each_that_writes(shell: Shell, log: RunLog) -> None:
    """A call ends after another writer has learned that the thread is another node's, and before the run is stopped."""
    shell.failing = [Fenced("t", "b"), Fenced("t", "b")]
    for event in (wire.AgentThinking("a", "hm", 0.0), ENDED):
        with pytest.raises(Fenced):
            await log.commit([event], [])


async def test_events_that_another_writer_has_committed_are_not_committed_again(shell: Shell, log: RunLog) -> None:
    """The end of a call takes its start, for which the run had the turn as well, as it had waited long enough."""
    async with trio.open_nursery() as nursery, shell.it.thread.turn:
        nursery.start_soon(write, log, ENDED)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(log.record)
    assert logged(shell) == ["tool_executing", "tool_completed"]


def at_work() -> tuple[RunLog, LogOfRun]:
    log = LogOfRun(0.0, RunState("r"), SimpleNamespace(settings=ChatSettings(silence_s=10.0)))
    log.state.apply(wire.MessageAccepted("m", "r", "go"))
    return log.of_run(RunRequest("r", "ada", "t", "m", "go", (), "support"), Agent("support")), log


async def test_progress_is_sent_after_each_silence(autojump_clock: trio.testing.MockClock) -> None:
    run, log = at_work()
    run.activity = "running query_table"
    log.began = run.last_sent_at = trio.current_time()

    async def keep_alive() -> None:
        for _ in range(10):
            await trio.sleep(run.keep_alive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive)
        await trio.sleep(25)
        await run.send_delta("some text")
        await trio.sleep(11)
        nursery.cancel_scope.cancel()
    assert log.progress == [(at, "Still running query_table") for at in (10, 20, 35)]


@pytest.mark.parametrize("piece", ["piece", ""], ids=["shown", "held back"])
async def test_a_model_that_writes_without_pause_lets_other_tasks_run(piece: str) -> None:
    steps = pieces = 0
    run, _ = at_work()

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


async def test_only_steers_that_wait_are_taken() -> None:
    run, log = at_work()
    assert await run.take_steers(0) == ()
    log.state.apply(wire.SteerAccepted("s", "shorter", "next"))
    assert [steer.steer_id for steer in await run.take_steers(1)] == ["s"]
    assert await run.take_steers(2) == ()
    assert [(event.steer_id, event.turn) for _, event in log.of(wire.SteerTaken)] == [("s", 1)]


async def test_gathered_events_are_committed_before_those_that_follow() -> None:
    """What a call yields needs the call's start in the log, and a steer enters after the thoughts before it."""
    run, log = at_work()
    log.state.apply(wire.AgentStarted("a", "", 0.0))
    log.state.apply(wire.SteerAccepted("s", "shorter", "next"))
    for number, follow in enumerate((partial(run.send_partial, "c", 0, []), partial(run.take_steers, 1))):
        run.gather(wire.AgentThinking("a", str(number), 0.0))
        await follow()
        assert [event.thought for _, event in log.of(wire.AgentThinking)] == [
            str(thought) for thought in range(number + 1)
        ]
        assert run.gathered.events == ()
