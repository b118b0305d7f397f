"""The run actor in virtual time: its limit, its wait for consent, and what it tells meanwhile.

No model speaks here: text is worked on in threads, and virtual time does not wait for those.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from actors import Actor, ActorDied, ActorRef, ActorSystem, ChildSpec, Context, MailboxSpec, Restart
from sanitization import STANDARD
from tests.end_to_end.script import Call, Script, scripted
from transport.connection.limits import Limits
from transport.wire.events import (
    AgentCompleted,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    Event,
    MessageAccepted,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
)
from understudy.agents.agent import Agent
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.messages import Decide, Delta, FinishRun, PermitGranted, Progress, Record, RunRequest, Stop
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_protocol import Ending, RunProtocol
from understudy.content.filter import ContentFilter
from understudy.models.model import Model, fenced
from understudy.observe.metrics import Metrics
from understudy.storage.rows import History
from understudy.tools.tool import tool

ALLOW, DENY, EXPIRED = ApprovalDecision
MAIL = ("send_mail", {"to": "anna"})
FOREVER = Call([("wait", {})])


class NoHistory:
    """A store in which nothing was said before."""

    async def history(self, owner: str, message_id: str, limit: int) -> History:
        """None."""
        return History(())


class NoFiles:
    """A user without files."""

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[()]:
        """None."""
        return ()


@define
class House:
    """As much of the services as a run looks at; its clock is trio's."""

    agents: Mapping[str, Agent]
    limits: Limits
    limiter: RunLimiter[ActorRef]
    store: NoHistory = field(factory=NoHistory)
    content_filter: ContentFilter = field(factory=lambda: ContentFilter(STANDARD, Metrics()))
    metrics: Metrics = field(factory=Metrics)
    html: AnswerHtml = field(factory=AnswerHtml)
    server: Callable[..., None] = field(default=lambda *_: None)
    memory: None = None
    summary_from: int = 1
    silence_s: float = 10.0

    def attachments(self, owner: str) -> NoFiles:
        """The files of a user."""
        return NoFiles()

    def model_of(self, model: str | Model | None) -> Model:
        """The agent's own model."""
        assert model is not None
        assert not isinstance(model, str)
        return model

    def clock(self) -> float:
        """Seconds, as trio counts them."""
        return trio.current_time()


@define(eq=False)
class Told:
    """What the conversation of a run has heard: events with their times, signs of life, and how it was closed."""

    began: float
    arc: RunProtocol
    events: list[tuple[float, Event]] = field(factory=list)
    signs: list[tuple[float, str]] = field(factory=list)
    closed: list[tuple[float, Ending]] = field(factory=list)
    news: trio.Event = field(factory=trio.Event)

    def since(self) -> float:
        """Seconds of virtual time since the beginning."""
        return round(trio.current_time() - self.began, 3)

    def of(self, kind: type[Event]) -> list[tuple[float, Any]]:
        """The events of one kind, with their times."""
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[Event], count: int = 1) -> Any:
        """Wait for so many events of a kind; returns the last of them."""
        while len(self.of(kind)) < count:
            self.news = trio.Event()
            await self.news.wait()
        return self.of(kind)[count - 1][1]


class Listener(Actor):
    """A conversation that commits in no time, and holds what it is told against the arc."""

    mailbox = MailboxSpec(capacity=1000)

    def __init__(self, told: Told) -> None:
        self.told = told

    async def receive(self, message: object, context: Context) -> None:
        """Note it."""
        told = self.told
        match message:
            case Record(events=events):
                for event in events:
                    told.arc.apply(event)
                    told.events.append((told.since(), event))
                message.reply(None)
            case FinishRun(ending=ending):
                for event in told.arc.closing_events(ending, now=trio.current_time()):
                    told.arc.apply(event)
                    told.events.append((told.since(), event))
                told.closed.append((told.since(), ending))
                message.reply(None)
            case Progress(note=note):
                told.signs.append((told.since(), note))
            case Delta() | PermitGranted():
                pass
        told.news.set()


@asynccontextmanager
async def started(
    agent: Agent, limits: Limits, slots: RunLimiter[ActorRef]
) -> AsyncIterator[tuple[ActorRef, Told, House]]:
    """A run at work in virtual time, with its place, and its conversation."""
    told = Told(trio.current_time(), RunProtocol("r"))
    told.arc.apply(MessageAccepted("m", "r", "go"))
    house = House({agent.name: agent}, limits, slots)
    job = RunRequest("r", "ada", "t", "m", "go", (), agent.name)
    listener = ChildSpec("conversation", lambda: Listener(told), restart=Restart.TEMPORARY)
    async with ActorSystem("s", [listener]) as system:
        conversation = system.find("/s/conversation")
        assert conversation is not None
        slots.acquire("r", "ada", conversation)
        spec = ChildSpec("run", lambda: Run(job, conversation, house), restart=Restart.TEMPORARY)  # type: ignore[arg-type]
        run = await system.spawn(spec)
        with trio.fail_after(1000):
            yield run, told, house


async def decide(run: ActorRef, required: ApprovalRequired, decision: ApprovalDecision, note: str = "") -> bool:
    """Tell a run what its user decided; False when it does not take it, or is not there any more."""
    with suppress(ActorDied):
        return await run.ask(Decide(required.call_id, decision, note))
    return False


def places() -> RunLimiter[ActorRef]:
    """One place."""
    return RunLimiter(1, 1)


async def test_the_wait_for_consent_is_not_counted_and_expires(autojump_clock: trio.testing.MockClock) -> None:
    """A run that may work for 30 s waits for 300; a sign of life every 10 s says for what; then it goes on."""
    async with started(scripted(Call([MAIL]), FOREVER), Limits(), places()) as (run, told, house):
        required = await told.until(ApprovalRequired)
        await trio.testing.wait_all_tasks_blocked()
        assert house.limiter.running == 0
        await told.until(ToolCompleted)
        assert not await decide(run, required, ALLOW)
    ((decided_at, decided),) = told.of(ApprovalDecided)
    assert (decided_at, decided.decision, required.expires_at - told.began) == (300, EXPIRED, 300)
    _, ended = told.of(ToolCompleted)[0]
    assert (ended.status, ended.duration_ms) == (ToolStatus.DENIED, 0.0)
    waiting = [(at, note) for at, note in told.signs if at < 300]
    assert [at for at, _ in waiting] == [*range(10, 300, 10)]
    assert {note for _, note in waiting} == {"Waiting for your consent to send_mail"}


async def test_what_is_left_of_the_limit_holds_after_the_wait(autojump_clock: trio.testing.MockClock) -> None:
    """5 s of work before the question, 100 s of waiting, and 25 s are left."""

    class Slow(Script):
        async def respond(self, turn: Any, emit: Any) -> Any:
            await trio.sleep(5)
            return await super().respond(turn, emit)

    agent = Agent("script", tools=scripted().tools, model=Slow(Call([MAIL]), FOREVER), timeout_s=30.0)
    async with started(agent, Limits(), places()) as (run, told, _):
        required = await told.until(ApprovalRequired)
        await trio.sleep(100)
        assert await decide(run, required, ALLOW)
        await told.until(AgentCompleted)
    assert told.closed == [(130.0, Ending.TIMED_OUT)]
    assert [event.status for _, event in told.of(ToolCompleted)] == [ToolStatus.OK, ToolStatus.TIMED_OUT]


async def test_the_clock_goes_on_while_another_call_works(autojump_clock: trio.testing.MockClock) -> None:
    """It stands still from the end of that one on, and the place is given back then, not before."""
    agent = scripted(Call([MAIL, ("hang", {})]), FOREVER, timeout_s=30.0)
    slots = places()
    async with started(agent, Limits(), slots) as (run, told, _):
        required = await told.until(ApprovalRequired)
        assert slots.running == 1
        await told.until(ToolCompleted)  # of the one that hangs, stopped by its own limit of 0.2 s
        await trio.sleep(100)
        assert slots.running == 0
        await decide(run, required, ALLOW)
        await told.until(AgentCompleted)
    assert told.closed == [(130.0, Ending.TIMED_OUT)]


async def test_a_second_decision_is_not_taken(autojump_clock: trio.testing.MockClock) -> None:
    """Another one; who says the same again is told that it counts, also when the run has gone on."""
    agent = scripted(Call([MAIL, ("hang_with_consent", {})]), FOREVER)
    async with started(agent, Limits(), places()) as (run, told, _):
        first, second = await told.until(ApprovalRequired), await told.until(ApprovalRequired, 2)
        assert await decide(run, first, DENY, "no")
        assert await decide(run, first, DENY)
        assert not await decide(run, first, ALLOW)
        assert await decide(run, second, DENY)
        await told.until(ToolCompleted, 2)
    assert [event.decision for _, event in told.of(ApprovalDecided)] == [DENY, DENY]


async def test_the_model_is_told_what_the_user_said(autojump_clock: trio.testing.MockClock) -> None:
    """With a denied call, and with one that was allowed."""
    heard: list[str] = []

    class Hearing(Script):
        async def respond(self, turn: Any, emit: Any) -> Any:
            heard.extend(message.content for message in turn.messages if message.role == "tool")
            return await super().respond(turn, emit)

    for decision, note in ((DENY, "Ask her first."), (ALLOW, "Only this once.")):
        agent = Agent("script", tools=scripted().tools, model=Hearing(Call([MAIL]), FOREVER))
        async with started(agent, Limits(), places()) as (run, told, _):
            await decide(run, await told.until(ApprovalRequired), decision, note)
            await told.until(ToolExecuting, 2)
    assert heard == [
        '{"status":"denied","error":"Not allowed: Ask her first."}',
        fenced({"summary": "sent to anna", "value": "sent to anna"})
        + "\nThe user allowed this call and said: Only this once.",
    ]


async def test_what_was_shown_is_what_runs(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever holds the model's call and changes it after the question changes nothing."""

    @tool(approval=True)
    async def invite(guests: list[str]) -> list[str]:
        """Invite guests."""
        return guests

    arguments: dict[str, Any] = {"guests": ["anna"]}
    agent = Agent("script", tools=[invite], model=Script(Call([("invite", arguments)]), FOREVER))
    async with started(agent, Limits(), places()) as (run, told, _):
        required = await told.until(ApprovalRequired)
        arguments["guests"].append("mallory")
        await decide(run, required, ALLOW)
        ended = await told.until(ToolCompleted)
    assert required.parameters == {"guests": ["anna"]}
    assert ended.result == ["anna"]


async def test_a_cancel_ends_the_wait_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """No time passes, the call is closed as cancelled, and nobody can decide about it any more."""
    async with started(scripted(Call([MAIL])), Limits(), places()) as (run, told, _):
        required = await told.until(ApprovalRequired)
        run.tell(Stop())
        await run.wait_stopped()
        assert not await decide(run, required, ALLOW)
    assert told.closed == [(0.0, Ending.CANCELLED)]
    assert [event.status for _, event in told.of(ToolCompleted)] == [ToolStatus.CANCELLED]


async def test_an_allowed_run_waits_for_a_place_without_its_clock(autojump_clock: trio.testing.MockClock) -> None:
    """Another run took the place: this one says where it stands, and has all of its time when it goes on."""
    slots = places()
    agent = scripted(Call([MAIL]), FOREVER, timeout_s=30.0)
    async with started(agent, Limits(), slots) as (run, told, _):
        required = await told.until(ApprovalRequired)
        slots.acquire("other", "ada", run)
        await decide(run, required, ALLOW)
        await trio.sleep(100)
        assert not told.of(ToolCompleted)
        for begun, waiter in slots.release("other"):
            waiter.tell(PermitGranted(begun))
        await told.until(AgentCompleted)
    assert told.closed == [(130.0, Ending.TIMED_OUT)]
    assert told.signs[0] == (0.0, "Waiting for a free place: number 1 in line")
    assert {note for at, note in told.signs if at < 100} == {told.signs[0][1]}


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_decisions_keeps_the_arc(autojump_clock: trio.testing.MockClock, seed: int) -> None:
    """Eight calls that wait are allowed, denied and left alone in every order; the arc refuses what does not fit."""
    orders = list(itertools.permutations((ALLOW, DENY, None)))
    order = [*orders[seed % 6], *orders[(seed + 1) % 6], *orders[seed % 5]][:8]
    agent = scripted(Call([("send_mail", {"to": str(number)}) for number in range(8)]), FOREVER)
    async with started(agent, Limits(approval_s=60), places()) as (run, told, _):
        await told.until(ApprovalRequired, 8)
        for (_, required), decision in zip(told.of(ApprovalRequired), order, strict=True):
            await trio.sleep(seed)
            if decision is not None:
                taken = await decide(run, required, decision)
                assert taken == (told.since() < 60)
        await told.until(ToolCompleted, 8)
        run.tell(Stop())
        await run.wait_stopped()
    assert told.arc.ended
    statuses = {event.call_id: event.status for _, event in told.of(ToolCompleted)[:8]}
    for _, event in told.of(ApprovalDecided):
        assert statuses[event.call_id] is (ToolStatus.OK if event.decision is ALLOW else ToolStatus.DENIED)
    assert len(statuses) == 8
