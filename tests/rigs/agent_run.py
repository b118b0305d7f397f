"""A run in an actor tree of its own, whose conversation is a log in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import trio.testing
from attrs import define, evolve, field

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, Restart
from sanitization import STANDARD
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.branch import RecentBranch
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.thread_part import ThreadHooks
from understudy.chat.messages import Begin, FinishRun, RunRequest
from understudy.chat.presence import Presence
from understudy.chat.run.call_attempt import AskedAgents
from understudy.chat.run.patience import Patience
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.endings import Ending, closing_events
from understudy.chat.run_state.state import RunState
from understudy.chat.services import ChatSettings
from understudy.chat.stops import Stops
from understudy.content.filter import ContentFilter
from understudy.extension import Parts
from understudy.extensions.subagents.subagent import Subagent
from understudy.models.registry import Models
from understudy.observe.health import ServerStatus
from understudy.observe.metrics import Metrics
from understudy.observe.run_metrics import RunMetrics
from understudy.storage import queries
from understudy.storage.limits import Limits
from understudy.storage.records import History, StepRecord
from understudy.wire.events import AgentProgress, Envelope, MessageAccepted, Typing


class NoHistory:
    """A store that has no messages."""

    async def read(self, query: Callable[..., object], *_: object) -> History:
        assert query is queries.history
        return History(())


class NoFiles:
    """Attachments of a user who has none."""

    async def cards(self, file_ids: tuple[str, ...]) -> tuple[()]:
        return ()


@define
class FakeServices:
    """The services that a run uses; the clock is trio's."""

    agents: Mapping[str, Agent]
    limits: Limits
    limiter: RunLimiter[ActorRef]
    store: NoHistory = field(factory=NoHistory)
    content_filter: ContentFilter = field(factory=lambda: ContentFilter(STANDARD, Metrics().findings))
    metrics: RunMetrics = field(factory=lambda: Metrics().runs)
    parts: Parts = field(factory=Parts)
    settings: ChatSettings = field(factory=partial(ChatSettings, undo=True))
    presence: Presence = field(factory=lambda: Presence(1))
    stops: Stops = field(factory=Stops)
    permissions: Permissions = field(factory=Permissions)
    models: Models = field(factory=lambda: Models("offline", 50))

    def __attrs_post_init__(self) -> None:
        self.settings.limits = self.limits
        self.parts.add(object(), ServerStatus)
        self.parts.add(AskedAgents(Subagent))

    @property
    def patience(self) -> Patience:
        return Patience(evolve(self.limits, approval_unseen_s=self.limits.approval_s))

    def attachments(self, owner: str) -> NoFiles:
        return NoFiles()

    def models_of(self, agent: Agent) -> tuple[str, ...]:
        return (self.models.of(agent.model).name,)

    def clock(self) -> float:
        return trio.current_time()


@define(eq=False)
class LogOfRun:
    """The log of the thread, and the queue, of one run, which commits at once and checks events against its protocol:
    what was written, and when."""

    began: float
    state: RunState
    services: Any = None
    events: list[tuple[float, Event]] = field(factory=list)
    progress: list[tuple[float, str]] = field(factory=list)
    finished: list[tuple[float, Ending]] = field(factory=list)
    steps: list[StepRecord] = field(factory=list)
    last_steps: list[StepRecord] = field(factory=list)
    news: trio.Event = field(factory=trio.Event)
    turn: trio.Lock = field(factory=trio.Lock)
    hooks: ThreadHooks = field(factory=ThreadHooks)
    branch: RecentBranch = field(factory=RecentBranch)

    def of(self, kind: type[Event]) -> list[tuple[float, Any]]:
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    def of_run(self, request: RunRequest, agent: Agent, kind: type[RunLog] = RunLog, last_step: int = 0) -> RunLog:
        """Return what a run at work writes here."""
        live = ActiveRun(request, self.state, Envelope(Typing(), 0.0, agent_type=agent.agent_type), started=True)
        run_log = kind(live, cast("Any", self), last_step)
        run_log.speaker = agent
        return run_log

    @property
    def thread(self) -> "LogOfRun":
        return self

    @property
    def now(self) -> float:
        return trio.current_time()

    def since(self) -> float:
        """Return the seconds of virtual time since the beginning."""
        return round(trio.current_time() - self.began, 3)

    async def until(self, kind: type[Event], count: int = 1) -> Any:
        while len(self.of(kind)) < count:
            self.news = trio.Event()
            await self.news.wait()
        return self.of(kind)[count - 1][1]

    async def in_turn(self, act: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await act(*arguments)

    async def append(self, live: ActiveRun, events: Sequence[Event], *, steps: Sequence[StepRecord]) -> None:
        self.steps += [step for step in steps if step.ended_at is not None]
        self._take(events)

    async def before_end(self, live: ActiveRun) -> None:
        """Do nothing."""

    async def finish(self, finish: FinishRun) -> None:
        self.last_steps += finish.steps
        self._take(finish.events)
        self._take(closing_events(self.state, finish.ending, now=trio.current_time()))
        self.finished.append((self.since(), finish.ending))

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            self.state.apply(event)
            self.events.append((self.since(), event))
        self.news.set()

    def show(self, live: ActiveRun, event: Event) -> None:
        if isinstance(event, AgentProgress):
            self.progress.append((self.since(), event.note))
            self.news.set()

    def show_text(self, live: ActiveRun) -> None:
        """Show nothing."""

    def commit_later(self, step: StepRecord) -> None:
        """Save nothing."""

    def linger(self, live: ActiveRun, tools: tuple[str, ...]) -> None:
        """Hold up nothing."""


class Idle(Actor):
    """A conversation that is told of permits."""

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages."""


@asynccontextmanager
async def started(
    agent: Agent, limits: Limits, limiter: RunLimiter[ActorRef]
) -> AsyncIterator[tuple[ActorRef, LogOfRun, FakeServices]]:
    """Start a run with a permit. Yield the run, its log and its services."""
    log = LogOfRun(trio.current_time(), RunState("r"))
    log.state.apply(MessageAccepted("m", "r", "go"))
    log.services = services = FakeServices({agent.name: agent}, limits, limiter)
    request = RunRequest("r", "ada", "t", "m", "go", (), agent.name)
    listener = ChildSpec("conversation", Idle, restart=Restart.TEMPORARY)
    async with ActorSystem("s", [listener]) as system:
        conversation = system.find("/s/conversation")
        assert conversation is not None
        limiter.acquire("r", "ada", conversation)
        spec = ChildSpec("run", lambda: Run(log.of_run(request, agent)), restart=Restart.TEMPORARY)
        run = await system.spawn(spec)
        run.tell(Begin())
        with trio.fail_after(1000):
            yield run, log, services


def one_permit() -> RunLimiter[ActorRef]:
    """Return a limiter with one permit."""
    return RunLimiter(1, 1)
