"""A run that is played to some event, and begun again from what was written."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio.testing
from attrs import define, field, frozen

from actors import ActorRef, ActorSystem, ChildSpec, Restart
from sanitization import STANDARD
from tests.rigs.agent_run import FakeServices, Idle, LogOfRun
from tests.rigs.scripted_model import Call, Hand, Say, ScriptedModel
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.messages import AnswerQuestion, Begin, Decide, EndTurn, FinishRun, RunRequest
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RunState
from understudy.content.filter import ContentFilter
from understudy.models.model import Emit, ModelEvent, Reply, TextDelta, Thought, Turn
from understudy.observe.metrics import Metrics
from understudy.storage.limits import Limits
from understudy.storage.records import StepRecord
from understudy.tools.tool import ToolContext, tool
from understudy.wire.events import (
    ApprovalDecision,
    ApprovalRequired,
    MessageAccepted,
    QuestionAsked,
    SteerAccepted,
    ToolCompleted,
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

    async def in_turn(self, act: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        async with self.turn:
            await trio.lowlevel.checkpoint()
            return await act(*arguments)

    async def append(self, live: ActiveRun, events: Sequence[Event], *, steps: Sequence[StepRecord]) -> None:
        """Record events in the order of the calls, and check them against the run's protocol."""
        recorded = self.recorded
        for text, mode in ((recorded.steer_next, "next"), (recorded.steer_soon, "now")):
            if text and any(isinstance(event, ToolCompleted) for event in events):
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
    """The actors of a run, what it commits, and where it is cut."""

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
    request = RunRequest("r", "ada", "t", "m", "go", (), agents[0].name)
    first = named.get(where.speaker or "", agents[0])
    run_log = Recording(recorded, arc).of_run(request, first, AtOnce, where.last_step)
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
            for question_id in [open_id for open_id, question in arc.questions.items() if question.waits and choices]:
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
    """A model that thinks before each of its turns."""

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


def past_of(events: Sequence[Event], steps: Sequence[StepRecord]) -> Past:
    """Return what a run finds of itself in the log."""
    return Past.of(RunState.read("r", events, steps))
