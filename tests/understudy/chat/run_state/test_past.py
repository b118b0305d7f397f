"""A run that is interrupted at any moment resumes from its records, ends the same way, and repeats nothing."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve, field, frozen

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from sanitization import STANDARD
from tests.end_to_end.scripted_model import Call, Hand, Say, ScriptedModel
from tests.understudy.chat.run.test_run import FakeServices, Idle, LogOfRun
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions
from understudy.chat.answer import stream
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.messages import AnswerQuestion, Begin, Decide, EndTurn, FinishRun, RunRequest
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.turns import UnreadableSteps
from understudy.content.filter import ContentFilter
from understudy.models.model import (
    Emit,
    MessageItem,
    ModelEvent,
    Reply,
    ResultItem,
    TextDelta,
    Thought,
    ToolRequest,
    Turn,
)
from understudy.observe.metrics import Metrics
from understudy.storage.limits import Limits
from understudy.storage.records import StepRecord
from understudy.tools.tool import ToolContext, tool
from understudy.wire.events import (
    AgentStarted,
    AgentThinking,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    MessageAccepted,
    QuestionAsked,
    SteerAccepted,
    SteerTaken,
    ToolCompleted,
    ToolExecuting,
    Usage,
)

GUARD = ContentFilter(STANDARD, Metrics().findings)
ASKED = MessageAccepted("m", "r", "go")


@define
class Cut:
    """One commit of a run: the stored events and steps, and the text shown so far."""

    events: tuple[Event, ...]
    steps: tuple[StepRecord, ...]
    screen: str


class Recording(LogOfRun):
    """A log that commits at once, allows every call that waits, and records everything.

    The user steers the run by the texts of its services: one `next` or `now` beside the first result of a tool, one
    `now` in the middle of the text.
    """

    def __init__(self, recorded: "Recorded", state: RunState) -> None:
        super().__init__(0.0, state, recorded.services)
        self.recorded, self.turn = recorded, trio.StrictFIFOLock()

    async def in_turn(self, act: Callable[..., Awaitable[Any]], *given: Any) -> Any:
        async with self.turn:
            await trio.lowlevel.checkpoint()
            return await act(*given)

    async def append(self, live: ActiveRun, events: Sequence[Event], *, steps: Sequence[StepRecord]) -> None:
        """Record events in the order of the calls, and check them against the run's protocol."""
        recorded = self.recorded
        for text, mode in ((recorded.steer_next, "next"), (recorded.steer_soon, "now")):
            if text and any(isinstance(each, ToolCompleted) for each in events):
                events = (*events, *self.steer(text, mode))
        for event in events:
            self.state.apply(event)
        recorded.cuts.append(Cut(tuple(events), tuple(steps), recorded.screen))
        for event in events:
            if isinstance(event, SteerAccepted) and event.mode == "now":
                recorded.tell(EndTurn(event.steer_id))
            if isinstance(event, ApprovalRequired):
                recorded.tell(Decide(event.call_id, ApprovalDecision.ALLOW, "fine"))
            if isinstance(event, QuestionAsked) and recorded.choices:
                chosen = {"choice": recorded.choices.pop(0)}
                recorded.tell(AnswerQuestion(event.question_id, chosen, "ada", "socket"))

    def commit_later(self, step: StepRecord) -> None:
        self.recorded.cuts.append(Cut((), (step,), self.recorded.screen))

    def show_text(self, live: ActiveRun) -> None:
        """Steer the run, if it is to be, in the middle of its text."""
        recorded, screen = self.recorded, live.text.whole.text
        recorded.screen = screen
        if recorded.steer_now and "two" in screen and (steer := self.steer(recorded.steer_now, "now")):
            self.state.apply(steer[0])
            recorded.cuts.append(Cut(steer, (), screen))
            recorded.tell(EndTurn(recorded.steer_now))

    async def finish(self, finish: FinishRun) -> None:
        self.recorded.closed.append(finish)

    def steer(self, text: str, mode: str) -> tuple[SteerAccepted, ...]:
        """Return the acceptance of a steer, which is named by its text; nothing if it was accepted before."""
        return () if text in self.state.steers else (SteerAccepted(text, text, mode),)


class AtOnce(RunLog):
    """What a run writes: its text is shown at once."""

    def append_text(self, text: str, stored: str | None = None, *, restart: bool = False) -> None:
        super().append_text(text, stored, restart=restart)
        self.show_text()


@define
class Recorded:
    services: FakeServices
    cuts: list[Cut] = field(factory=list)
    closed: list[FinishRun] = field(factory=list)
    choices: list[str] = field(factory=list)
    screen: str = ""
    run: ActorRef | None = None
    steer_next: str = ""
    steer_now: str = ""
    steer_soon: str = ""
    early: list[object] = field(factory=list)

    def tell(self, message: object) -> None:
        """Tell the run something; at first it may be at work before there is a reference to it."""
        if self.run is None:
            self.early.append(message)
        else:
            self.run.tell(message)

    @property
    def events(self) -> list[Event]:
        return [event for cut in self.cuts for event in cut.events]

    @property
    def steps(self) -> list[StepRecord]:
        """The stored steps: the last version of each number."""
        return list({step.number: step for cut in self.cuts for step in cut.steps}.values())


NOBODY_ANSWERS = Limits(approval_s=0.2)


async def played(
    agents: Sequence[Agent],
    before: Sequence[Cut] = (),
    choices: Sequence[str] = (),
    permissions: Permissions | None = None,
    limits: Limits | None = None,
    **steers: str,
) -> Recorded:
    """Run to the end, from the beginning or resumed from records. Questions are answered by these choices, in order."""
    named = {agent.name: agent for agent in agents}
    services = FakeServices(named, limits or Limits(), RunLimiter(1, 1), content_filter=GUARD)
    services.permissions = permissions or services.permissions
    recorded, arc = Recorded(services, list(before), choices=list(choices), **steers), RunState("r")
    for event in (ASKED, *recorded.events):
        arc.apply(event)
    where = past_of([ASKED, *recorded.events], recorded.steps)
    waits = [call.call_id for call in arc.calls.values() if call.waits]
    job = RunRequest("r", "ada", "t", "m", "go", (), agents[0].name)
    first = named.get(where.speaker or "", agents[0])
    run_log = Recording(recorded, arc).of_run(job, first, AtOnce, where.last_step)
    async with ActorSystem("s", [ChildSpec("conversation", Idle, restart=Restart.TEMPORARY)]) as system:
        ref = system.find("/s/conversation")
        assert ref is not None
        services.limiter.acquire("r", "ada", ref)
        spec = ChildSpec("run", lambda: Run(run_log, where), restart=Restart.TEMPORARY)
        run = recorded.run = await system.spawn(spec)
        run.tell(Begin())
        for message in recorded.early:
            run.tell(message)
        with trio.fail_after(60):
            for steer in arc.waiting_steers:
                if steer.mode == "now":
                    run.tell(EndTurn(steer.steer_id))
            for call_id in waits:  # before their calls are here again
                run.tell(Decide(call_id, ApprovalDecision.ALLOW, "fine"))
            for question_id in [each for each, question in arc.questions.items() if question.waits and choices]:
                run.tell(AnswerQuestion(question_id, {"choice": recorded.choices.pop(0)}, "ada", "socket"))
            await run.wait_stopped()
    assert not recorded.closed
    assert arc.end is not None
    return recorded


def published(events: Sequence[Event]) -> list[tuple[str, Any]]:
    """Return the published events without random ids and times; the calls of a turn are sorted."""
    plain = []
    for event in events:
        words = [
            getattr(event, name, None) for name in ("thought", "tool_name", "result", "to_agent", "message", "counts")
        ]
        plain.append((event.type, tuple(map(str, words))))
    return sorted(plain)


CALLED: Counter[str] = Counter()


@tool
async def once(text: str, context: ToolContext) -> str:
    """Do something that must not be done twice."""
    CALLED[context.call_id] += 1
    return text


@tool(retry_safe=True)
async def again(text: str, context: ToolContext) -> str:
    """Do something that may be done twice."""
    CALLED[context.call_id] += 1
    return text


@tool(retry_safe=True, approval=True)
async def ask(text: str, context: ToolContext) -> str:
    """Do something with the user's consent."""
    CALLED[context.call_id] += 1
    return text


class Writing(ScriptedModel):
    """A script that emits its text word by word, and continues after the shown text. It reports no thoughts."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        step = self.turns[min(turn.rounds, len(self.turns) - 1)]
        if isinstance(step, Say):
            self.inputs.append(turn)
            rest = step.text.removeprefix(turn.partial_text)
            for word in rest.split(" "):
                await emit(TextDelta(word + " "))
                await trio.lowlevel.checkpoint()
            return Reply(rest + " ")

        async def silent(event: ModelEvent) -> None:
            if not isinstance(event, Thought):
                await emit(event)

        return await super().respond(turn, silent)


class Thinking(Writing):
    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        await emit(Thought(f"turn {turn.rounds}"))
        return await super().respond(turn, emit)


@frozen
class Words:
    """The answer of an agent with an output type."""

    words: str


TOOLS = (once, again, ask)
WORDS = "one two three four"
STORIES: dict[str, list[Agent]] = {
    "words": [Agent("a", tools=TOOLS, model=Thinking(Say(WORDS)))],
    "a secret": [
        Agent("a", model=Thinking(Say("the key is AKIAQ3EGRZXVRU7PKL2M and more words follow it, here and there")))
    ],
    "tools": [
        Agent(
            "a",
            tools=TOOLS,
            model=Thinking(
                Call([("once", {"text": "x"}), ("again", {"text": "y"})]), Call([("again", {"text": "z"})]), Say(WORDS)
            ),
        )
    ],
    "no thoughts": [Agent("a", tools=TOOLS, model=Writing(Call([("again", {"text": "x"})]), Say(WORDS)))],
    "consent": [Agent("a", tools=TOOLS, model=Thinking(Call([("ask", {"text": "x"})]), Say(WORDS)))],
    "handoff": [
        Agent("a", colleagues=["b"], model=Thinking(Hand("b"))),
        Agent("b", tools=TOOLS, model=Thinking(Call([("again", {"text": "x"})]), Say(WORDS))),
    ],
    "an object": [
        Agent(
            "a",
            tools=TOOLS,
            model=Thinking(Call([("again", {"text": "x"})]), Say('{"words":"' + WORDS * 40 + '"}')),
            output_type=Words,
        )
    ],
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_run_that_is_cut_at_any_commit_goes_on_to_the_same_end(
    story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    agents = STORIES[story]
    whole = await played(agents)
    unknown = 0
    assert any(step.status == "started" and step.kind == "model" for cut in whole.cuts for step in cut.steps)
    for number in range(len(whole.cuts)):
        before = whole.cuts[:number]
        where = past_of([ASKED, *(e for cut in before for e in cut.events)], Recorded(whole.services, before).steps)
        speaker = next((agent for agent in agents if agent.name == where.speaker), None)
        assert where.calls_in_doubt(speaker) == ()
        if any(call.in_doubt and call.request.name == "once" for turn in where.turns for call in turn.calls):
            unknown += 1  # its user is asked
            continue
        finished = {step.call_id for step in Recorded(whole.services, before).steps if step.ended_at is not None}
        CALLED.clear()
        resumed = await played(agents, before)
        assert published(resumed.events) == published(whole.events)
        assert resumed.screen == whole.screen
        assert not finished & CALLED.keys()
        assert set(CALLED.values()) <= {1}
        assert [step.number for step in resumed.steps] == list(range(1, len(whole.steps) + 1))
    assert (unknown > 0) == (story == "tools")


async def test_the_thought_of_a_silent_model_is_committed_with_its_first_call() -> None:
    """A transaction of its own for "is working out an answer" would cost as much as the call."""
    whole = await played(STORIES["no thoughts"])
    kinds = [[event.type for event in cut.events] for cut in whole.cuts if cut.events]
    assert kinds[0] == ["agent_started"]
    assert kinds[1][:2] == ["agent_thinking", "tool_executing"]
    assert sum("agent_thinking" in each for each in kinds) == 1


async def test_a_resumed_turn_has_the_messages_of_the_interrupted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    model = Thinking(Call([("once", {"text": "x"}), ("again", {"text": "y"})]), Say(WORDS))
    agents = [Agent("a", tools=TOOLS, model=model)]
    whole = await played(agents)
    cut = next(number for number, each in enumerate(whole.cuts) if each.steps and each.steps[0].number == 4)
    first, last = model.inputs
    model.inputs.clear()
    await played(agents, whole.cuts[: cut + 2])
    (resumed,) = model.inputs
    assert resumed.items == last.items
    assert WORDS.startswith(resumed.partial_text.strip())
    assert (first.partial_text, last.partial_text, bool(resumed.partial_text)) == ("", "", True)


def steps_of(*, whole: bool = True, calls: int = 1, ended: bool = False) -> list[StepRecord]:
    """Return the step of a turn with `calls` tool calls, and that of its first call, finished if `ended`."""
    wanted = [
        {"id": f"c{number}", "call_id": f"x{number}", "name": "again", "arguments": {"text": "x"}, "whole": whole}
        for number in range(calls)
    ]
    usage = {"input": 1, "output": 2, "turns": 1}
    said = {"text": "Let me see.", "calls": wanted, "handoff": None, "usage": usage, "thoughts": 1}
    model = StepRecord("r", 1, "model", "script", None, None, said, "ok", 1.0, 2.0)
    call = StepRecord("r", 2, "tool", "again", "x0", {"text": "x"}, None, "started", 3.0)
    kept = {"value": "x", "summary": "x", "visualization": None, "note": "", "suspect": True}
    return [model, evolve(call, result=kept, status="ok", ended_at=4.0) if ended else call]


def past_of(events: Sequence[Event], steps: Sequence[StepRecord]) -> Past:
    return Past.of(RunState.read("r", events, steps))


BEGUN: tuple[Event, ...] = (ASKED, AgentStarted("a-12345678", "…", 1.0), AgentThinking("a-12345678", "hm", 1.0))
EXECUTING = ToolExecuting("a-12345678", "x0", "again", {"text": "x"}, "…", 3.0)
AGENT = Agent("a", tools=TOOLS)


def test_an_empty_log_is_a_run_that_has_not_begun() -> None:
    assert past_of([ASKED], []) == Past()


def test_where_a_recorded_turn_stands() -> None:
    where = past_of([*BEGUN, EXECUTING], steps_of())
    assert (where.shown_text, where.recorded_text, where.cut) == ("Let me see.", "Let me see.", None)
    assert (where.agents, where.speaker) == ((("a-12345678", "a"),), "a")
    assert (where.turns[0].reply.usage, where.last_step) == (Usage(1, 2, 1), 2)
    assert (where.thoughts, where.turns[0].thoughts) == (("hm",), 1)
    assert where.worked_s == 1.0
    assert past_of([*BEGUN, EXECUTING], steps_of(ended=True)).worked_s == 2.0
    (call,) = where.turns[0].calls
    assert (call.request, call.call_id) == (ToolRequest("x0", "again", {"text": "x"}), "x0")
    assert (call.result, call.in_doubt, where.calls_in_doubt(AGENT)) == (None, True, ())


def test_a_call_in_doubt_whose_tool_is_gone_cannot_be_settled() -> None:
    """Any other is: by its tool, by repeating it, or by its user."""
    events = [*BEGUN, EXECUTING]
    assert past_of(events, steps_of()).calls_in_doubt(AGENT) == ()
    assert past_of(events, steps_of()).calls_in_doubt(Agent("a", tools=[once])) == ("again",)
    assert past_of(events, steps_of()).calls_in_doubt(None) == ("again",)
    assert past_of(events, steps_of(ended=True)).calls_in_doubt(None) == ()


def test_a_call_is_in_doubt_once_it_was_allowed() -> None:
    """A call is in doubt once it was allowed; redacted arguments do not matter, because the approved ones run."""
    asked = ApprovalRequired("a-12345678", "x0", "again", {"text": "x"}, 300.0)
    for decision, doubt in ((None, False), (ApprovalDecision.ALLOW, True), (ApprovalDecision.DENY, False)):
        decided = [] if decision is None else [ApprovalDecided("x0", decision, None)]
        where = past_of([*BEGUN, EXECUTING, asked, *decided], steps_of(whole=False))
        assert where.turns[0].calls[0].in_doubt is doubt
        assert where.calls_in_doubt(AGENT) == ()
        assert where.calls_in_doubt(Agent("a", tools=[once])) == (("again",) if doubt else ())


def test_a_turn_whose_calls_cannot_be_made_is_asked_again() -> None:
    where = past_of(BEGUN, steps_of(whole=False, calls=2)[:1])
    assert (where.turns, where.thoughts) == ((), ("hm",))
    assert where.cut is not None
    assert (where.cut.text, where.cut.continues) == ("Let me see.", True)
    assert (where.cut.step.number, where.cut.step.status, where.cut.step.ended_at) == (1, "started", None)
    begun = past_of([*BEGUN, EXECUTING], steps_of(whole=False, calls=2, ended=True))
    assert len(begun.turns[0].calls) == 2


def test_a_call_that_no_turn_knows_of_is_named() -> None:
    assert past_of([*BEGUN, EXECUTING], []).calls_in_doubt(AGENT) == ("again",)


@pytest.mark.parametrize("result", [None, {"text": "x"}, "text", {"text": 1, "calls": []}])
def test_steps_that_cannot_be_read_are_refused(result: Any) -> None:
    with pytest.raises(UnreadableSteps):
        past_of(BEGUN, [evolve(steps_of()[0], result=result)])
    with pytest.raises(UnreadableSteps):
        past_of([*BEGUN, EXECUTING], [steps_of()[0], evolve(steps_of(ended=True)[1], result=result)])


def test_a_run_of_a_later_release_is_not_replayed_without_what_it_did() -> None:
    model, call = steps_of(ended=True)
    with pytest.raises(UnreadableSteps, match="a later release: prophecy"):
        past_of(BEGUN, [model, call, evolve(call, number=3, kind="prophecy")])


class Steerable(Thinking):
    """Calls a tool, then counts until it is told `stop`."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        called = any(isinstance(each, ResultItem) for each in turn.items)
        self.turns = (Say(WORDS) if called else Call([("again", {"text": "x"})]),)
        if turn.request == "stop" and not turn.work:
            self.inputs.append(turn)
            await emit(TextDelta("Stopped."))
            return Reply("Stopped.")
        return await super().respond(turn, emit)


async def test_a_steered_run_that_is_cut_at_any_commit_takes_each_steer_once_at_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A `next` steer enters after the tool's result, a `now` steer after the stored text that it ended."""
    monkeypatch.setattr(stream, "CHECKPOINT_S", 0.0)
    model = Steerable()
    agents, steers = [Agent("a", tools=TOOLS, model=model)], {"steer_next": "look", "steer_now": "stop"}
    whole = await played(agents, **steers)
    assert len(whole.cuts) > 10
    for number in range(len(whole.cuts)):
        model.inputs.clear()
        resumed = await played(agents, whole.cuts[:number], **steers)
        assert [each.steer_id for each in resumed.events if isinstance(each, SteerTaken)] == ["look", "stop"]
        assert [each.kind for each in sorted(resumed.steps, key=lambda each: each.number)] == [
            "model", "tool", "steer", "model", "steer", "model",
        ]  # fmt: skip
        assert resumed.screen.startswith("one")
        assert resumed.screen.endswith("\n\nStopped.")
        spoken = resumed.screen.removesuffix("\n\nStopped.").strip()
        for turn in model.inputs[-1:]:
            kinds = [type(each).__name__.removesuffix("Item") for each in turn.items]
            assert kinds[-5:] == ["Call", "Result", "Message", "Message", "Message"]
            said = [(each.role, each.content.strip()) for each in turn.items[-3:] if isinstance(each, MessageItem)]
            assert said == [("user", "look"), ("assistant", spoken), ("user", "stop")]
