"""The run actor in virtual time: its limit, its wait for approval, and its progress meanwhile.

The model writes no text here: text is rendered in threads, which virtual time does not wait for.
"""

import itertools
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors import ActorDied, ActorRef
from tests.rigs.agent_run import one_permit, started
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from understudy.agents.agent import Agent
from understudy.chat.messages import Decide, PermitGranted, Stop
from understudy.chat.run.meter import CUT
from understudy.chat.run_state.endings import Ending
from understudy.models.model import Emit, Reply, ResultItem, TextDelta, Turn, fenced
from understudy.storage.limits import Limits
from understudy.tools.tool import tool
from understudy.wire import events as wire

ALLOW, DENY, EXPIRED = wire.ApprovalDecision
MAIL = ("send_mail", {"to": "anna"})
FOREVER = Call([("wait", {})])


async def decide(
    run: ActorRef, required: wire.ApprovalRequired, decision: wire.ApprovalDecision, note: str = ""
) -> bool:
    """Decide about a call. Return False if the run refuses the decision or has ended."""
    with suppress(ActorDied):
        return await run.ask(Decide(required.call_id, decision, note))
    return False


@pytest.mark.promise("wire.limit-approval")
async def test_the_wait_for_approval_does_not_count_as_work_and_expires(autojump_clock: MockClock) -> None:
    limits = Limits(approval_s=300)
    async with started(scripted(Call([MAIL]), FOREVER), limits, one_permit()) as (run, log, services):
        required = await log.until(wire.ApprovalRequired)
        await trio.testing.wait_all_tasks_blocked()
        assert services.limiter.running == 0
        await log.until(wire.ToolCompleted)
        assert not await decide(run, required, ALLOW)
    ((decided_at, decided),) = log.of(wire.ApprovalDecided)
    assert (decided_at, decided.decision, required.expires_at - log.began) == (300, EXPIRED, 300)
    _, ended = log.of(wire.ToolCompleted)[0]
    assert (ended.status, ended.duration_ms) == (wire.ToolStatus.DENIED, 0.0)
    waiting = [(at, note) for at, note in log.progress if at < 300]
    assert [at for at, _ in waiting] == [*range(10, 300, 10)]
    assert {note for _, note in waiting} == {"Waiting for your consent to send_mail"}


async def test_the_wait_for_approval_of_a_subagents_call_does_not_count_as_work(autojump_clock: MockClock) -> None:
    model = ScriptedModel(Call([("ask_script", {"request": "go"})]), FOREVER)
    boss = Agent("boss", tools=[scripted(Call([MAIL]), Say("Sent.")).as_tool()], model=model)
    async with started(boss, Limits(), one_permit()) as (run, log, services):
        required = await log.until(wire.ApprovalRequired)
        await trio.testing.wait_all_tasks_blocked()
        assert services.limiter.running == 0
        assert await decide(run, required, ALLOW)
        assert (await log.until(wire.ToolCompleted, 2)).result.strip() == "Sent."


async def test_the_rest_of_the_limit_holds_after_the_wait(autojump_clock: MockClock) -> None:
    class Slow(ScriptedModel):
        async def respond(self, turn: Any, emit: Any) -> Any:
            await trio.sleep(5)
            return await super().respond(turn, emit)

    agent = Agent("script", tools=scripted().tools, model=Slow(Call([MAIL]), FOREVER), timeout_s=30.0)
    async with started(agent, Limits(), one_permit()) as (run, log, _):
        required = await log.until(wire.ApprovalRequired)
        await trio.sleep(100)
        assert await decide(run, required, ALLOW)
        await log.until(wire.AgentCompleted)
    assert log.finished == [(130.0, Ending.TIMED_OUT)]
    assert [event.status for _, event in log.of(wire.ToolCompleted)] == [wire.ToolStatus.OK, wire.ToolStatus.TIMED_OUT]


async def test_the_clock_goes_on_while_another_call_works(autojump_clock: MockClock) -> None:
    agent = scripted(Call([MAIL, ("hang", {})]), FOREVER, timeout_s=30.0)
    limiter = one_permit()
    async with started(agent, Limits(), limiter) as (run, log, _):
        required = await log.until(wire.ApprovalRequired)
        assert limiter.running == 1
        await log.until(wire.ToolCompleted)  # of the one that hangs, stopped by its own limit of 0.2 s
        await trio.sleep(100)
        assert limiter.running == 0
        await decide(run, required, ALLOW)
        await log.until(wire.AgentCompleted)
    assert log.finished == [(130.0, Ending.TIMED_OUT)]


async def test_the_model_gets_the_note_of_the_user(autojump_clock: MockClock) -> None:
    heard: list[str] = []
    for decision, note in ((DENY, "Ask her first."), (ALLOW, "Only this once.")):
        model = ScriptedModel(Call([MAIL]), FOREVER)
        agent = Agent("script", tools=scripted().tools, model=model)
        async with started(agent, Limits(), one_permit()) as (run, log, _):
            await decide(run, await log.until(wire.ApprovalRequired), decision, note)
            await log.until(wire.ToolExecuting, 2)
        heard += [item.content for turn in model.inputs for item in turn.items if isinstance(item, ResultItem)]
    assert heard == [
        '{"status":"denied","error":"Not allowed: Ask her first."}',
        fenced({"summary": "sent to anna", "value": "sent to anna"})
        + "\nThe user allowed this call and said: Only this once.",
    ]


async def test_the_parameters_shown_are_those_that_run(autojump_clock: MockClock) -> None:
    @tool(approval=True)
    async def invite(guests: list[str]) -> list[str]:
        """Invite guests."""
        return guests

    arguments: dict[str, Any] = {"guests": ["anna"]}
    agent = Agent("script", tools=[invite], model=ScriptedModel(Call([("invite", arguments)]), FOREVER))
    async with started(agent, Limits(), one_permit()) as (run, log, _):
        required = await log.until(wire.ApprovalRequired)
        arguments["guests"].append("mallory")
        await decide(run, required, ALLOW)
        ended = await log.until(wire.ToolCompleted)
    assert required.parameters == {"guests": ["anna"]}
    assert ended.result == ["anna"]


async def test_a_cancel_ends_the_wait_at_once(autojump_clock: MockClock) -> None:
    async with started(scripted(Call([MAIL])), Limits(), one_permit()) as (run, log, _):
        required = await log.until(wire.ApprovalRequired)
        run.tell(Stop())
        await run.wait_stopped()
        assert not await decide(run, required, ALLOW)
    assert log.finished == [(0.0, Ending.CANCELLED)]
    assert [event.status for _, event in log.of(wire.ToolCompleted)] == [wire.ToolStatus.CANCELLED]


async def test_uncommitted_steps_of_a_stopped_run_are_committed_with_its_end(autojump_clock: MockClock) -> None:
    """A finished turn in a commit of its own would be the answer of a run that its server did not live to end."""

    class Endless:
        name = "endless"

        async def respond(self, turn: Turn, emit: Emit) -> Reply:
            await emit(TextDelta("It begins"))
            begun.set()
            await trio.sleep_forever()
            raise AssertionError("it sleeps for ever")

    begun = trio.Event()
    agent = Agent("writer", "Write.", model=Endless())
    async with started(agent, Limits(), one_permit()) as (run, log, _):
        await begun.wait()
        run.tell(Stop())
        await run.wait_stopped()
    assert [ending for _, ending in log.finished] == [Ending.CANCELLED]
    assert log.steps == []
    assert [(step.kind, step.name) for step in log.last_steps] == [CUT[:2]]


async def test_an_allowed_run_waits_for_a_place_without_its_clock(autojump_clock: MockClock) -> None:
    limiter = one_permit()
    agent = scripted(Call([MAIL]), FOREVER, timeout_s=30.0)
    async with started(agent, Limits(), limiter) as (run, log, _):
        required = await log.until(wire.ApprovalRequired)
        limiter.acquire("other", "ada", run)
        await decide(run, required, ALLOW)
        await trio.sleep(100)
        assert not log.of(wire.ToolCompleted)
        for begun, waiter in limiter.release("other"):
            waiter.tell(PermitGranted(begun))
        await log.until(wire.AgentCompleted)
    assert log.finished == [(130.0, Ending.TIMED_OUT)]
    assert log.progress[0] == (0.0, "Waiting for a free place: number 1 in line")
    assert {note for at, note in log.progress if at < 100} == {log.progress[0][1]}


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_decisions_fits_the_protocol(autojump_clock: MockClock, seed: int) -> None:
    orders = list(itertools.permutations((ALLOW, DENY, None)))
    order = [*orders[seed % 6], *orders[(seed + 1) % 6], *orders[seed % 5]][:8]
    agent = scripted(Call([("send_mail", {"to": str(number)}) for number in range(8)]), FOREVER)
    async with started(agent, Limits(approval_s=60), one_permit()) as (run, log, _):
        await log.until(wire.ApprovalRequired, 8)
        for (_, required), decision in zip(log.of(wire.ApprovalRequired), order, strict=True):
            await trio.sleep(seed)
            if decision is not None:
                taken = await decide(run, required, decision)
                assert taken == (log.since() < 60)
        await log.until(wire.ToolCompleted, 8)
        run.tell(Stop())
        await run.wait_stopped()
    assert log.state.end is not None
    statuses = {event.call_id: event.status for _, event in log.of(wire.ToolCompleted)[:8]}
    for _, event in log.of(wire.ApprovalDecided):
        assert statuses[event.call_id] is (wire.ToolStatus.OK if event.decision is ALLOW else wire.ToolStatus.DENIED)
    assert len(statuses) == 8
