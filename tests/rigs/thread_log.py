"""A thread's log without actors: its effects are written down in place of being done."""

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import define, evolve, field, frozen

from actors import ChildSpec, Crashed, Killed, Lane, Terminated
from transport.auth.identity import Identity
from transport.wire.events import Event
from understudy.agents.agent import Agent
from understudy.chat.conversation.acceptance import MAX_QUEUED
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.conversation import Conversation
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.conversation.workers import BackoffOver, RetryFinish
from understudy.chat.messages import (
    Accept,
    CancelRun,
    EnsureRunning,
    FinishRun,
    OwnershipLost,
    PermitGranted,
    RunOrder,
    RunRequest,
)
from understudy.chat.routing import Route
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.endings import Ending
from understudy.chat.run_state.past import Past
from understudy.chat.services import ChatSettings
from understudy.content.vault import Vault
from understudy.extension import Parts
from understudy.observe.health import ServerStatus
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.errors import AlreadyStored, Fenced, NotStored, SequenceConflict, StorageUnavailable
from understudy.storage.records import Fence, LoggedEvent, Message, RunRecord, StepRecord, Thread
from understudy.tools import NotDone, tool
from understudy.wire.commands import Say
from understudy.wire.events import (
    TERMINAL,
    AgentCompleted,
    AgentStarted,
    Envelope,
    FinalResponse,
    RunStatus,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    Usage,
)
from understudy.wire.vocabulary import from_log

AGENTS = {"guide": Agent("guide")}
OUTBOX: Any = object()
"""The connection from which messages come."""


def accept(number: int, text: str = "Hello", **names: Any) -> Accept:
    """A message `m<number>` whose run is `r<number>`."""
    route = Route("guide", "guide", None, "t", "c")
    return Accept(RunOrder(Say(text, "t", f"m{number}", **names), route, Identity("ada", "s")), f"r{number}", OUTBOX)


def finished(call: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


@frozen
class Committed:
    """A change that the store was asked to commit."""

    change: Change


@frozen
class Published:
    """Committed events that were sent to all subscribers."""

    envelopes: Sequence[Envelope]


@frozen
class Sent:
    """An event that is not logged, sent to all subscribers, or one."""

    envelope: Envelope


@frozen
class Alerted:
    """An alert, sent ahead of all queues."""

    envelope: Envelope


@frozen
class Subscribed:
    """An outbox that was subscribed."""

    after: int | None


@frozen
class Replayed:
    """A stored acceptance that was sent again."""

    accepted: Envelope
    resend: bool


@frozen
class Answered:
    """The end of a request: its answer, or its error."""

    value: Any
    error: Exception | None


@frozen
class Started:
    """An actor of a run that was started."""

    request: RunRequest
    log: RunLog
    past: Past | None


@frozen
class Asked:
    """An actor that was started to ask a tool, by its name."""

    name: str


@frozen
class Told:
    """A message to the actor of a run."""

    run_id: str
    message: object
    lane: Lane


@frozen
class Timed:
    """A message that the conversation sends itself later."""

    name: str
    after_s: float
    message: object


@frozen
class Relocated:
    """The end of the conversation: the next one goes on."""


@frozen
class Forgotten:
    """The thread is deleted, and nothing of it is kept in memory."""


@define(eq=False)
class Call:
    """A call in flight, as `Ask` has it."""

    shell: "Shell"
    settled: bool = False

    def settle(self, value: object, error: Exception | None) -> None:
        self.settled = True
        self.shell.note(Answered(value, error))


@define(eq=False)
class Ref:
    """A reference to an actor. `run_id` is empty for that of the conversation, whose messages are `told`."""

    shell: "Shell"
    run_id: str = ""
    told: list[object] = field(factory=list)

    def tell(self, message: object, *, lane: Lane = Lane.NORMAL) -> None:
        if self.run_id:
            self.shell.note(Told(self.run_id, message, lane))
        self.told.append(message)

    async def stop(self, mode: object) -> None:
        """Do nothing: its end is told by `Shell.exit_runs`."""


@define(eq=False)
class Actors:
    """The context of the conversation."""

    shell: "Shell"
    ref: Ref
    path: str = "/conversation"

    async def spawn(self, spec: ChildSpec) -> Ref:
        make = spec.factory
        assert isinstance(make, partial)
        run_log, past = make.args[0], make.args[1:2]
        if not isinstance(run_log, RunLog):
            self.shell.note(Asked(spec.id))
            return Ref(self.shell, spec.id)
        assert not self.shell.at_work, "two runs of a thread at work"
        self.shell.at_work.add(spec.id)
        self.shell.note(Started(run_log.active.request, run_log, *past))
        self.shell.writes(run_log)
        return Ref(self.shell, spec.id)

    def watch(self, ref: Ref, *, urgent: bool = False) -> None:
        """Do nothing: ends are told by `Shell.exit_runs`."""

    def set_timer(self, name: str, after_s: float, message: object) -> None:
        self.shell.note(Timed(name, after_s, message))
        self.shell.timers[name] = message

    def stop(self) -> None:
        self.shell.ended = True


@define(eq=False)
class Followers:
    """The subscribers of the thread."""

    shell: "Shell"
    incarnation: float | None = None

    def __len__(self) -> int:
        return 1

    def subscribe(self, outbox: object, head: int, *, after: int | None = None, unasked: bool = False) -> None:
        self.shell.note(Subscribed(after))

    def replay_acceptance(self, outbox: object, accepted: Envelope, head: int, *, resend: bool = True) -> None:
        self.shell.note(Replayed(accepted, resend))

    def publish(self, envelopes: Sequence[Envelope], head: int, *, arrived_at: float | None = None) -> None:
        committed = {event.seq for event in self.shell.events}
        assert {envelope.seq for envelope in envelopes} <= committed, "published before it was committed"
        self.shell.note(Published(envelopes))
        self.shell.published += envelopes

    def show(self, envelope: Envelope, outbox: object = None) -> None:
        self.shell.note(Sent(envelope))

    def send_alert(self, envelope: Envelope) -> None:
        self.shell.note(Alerted(envelope))

    def remove(self, ref: object) -> bool:
        return False

    def unsubscribe_all(self) -> None:
        """Do nothing: there is nobody."""


@define(eq=False)
class FakeServices:
    """The services of the conversation: the store and the limiter are the shell's."""

    shell: "Shell"
    settings: ChatSettings = field(factory=ChatSettings)
    parts: Parts = field(init=False)
    now: float = 1.0
    agents: dict[str, Agent] = field(factory=lambda: dict(AGENTS))

    def __attrs_post_init__(self) -> None:
        self.parts = Parts()
        self.parts.add(object(), ServerStatus)

    @property
    def content_filter(self) -> Any:
        return SimpleNamespace(vault=Vault())

    @property
    def store(self) -> "Shell":
        return self.shell

    @property
    def limiter(self) -> RunLimiter[Any]:
        return self.shell.limiter

    def clock(self) -> float:
        return self.now

    @property
    def storage_waits(self) -> "FakeServices":
        return self

    def notify_if_slow(self, notify: object) -> Any:
        return nullcontext()

    @property
    def metrics(self) -> "FakeServices":
        return self

    def repeated(self) -> None:
        """Count nothing."""

    def run_resumed(self, outcome: str) -> None:
        """Count nothing."""

    def on_relocated(self, owner: str, thread_id: str, ref: object) -> None:
        self.shell.note(Relocated())

    def forget(self, owner: str, thread_id: str) -> None:
        self.shell.note(Forgotten())

    def attachments(self, owner: str) -> None:
        return None


@define(eq=False)
class Shell:
    """A conversation over tables in memory. `failing` commits raise in turn: None succeeds; `lost` ones are stored.
    `parts` are what extensions do in it."""

    fence: Fence | None = None
    limiter: RunLimiter[Any] = field(factory=lambda: RunLimiter(1, 1))
    failing: list[Exception | None] = field(factory=list)
    lost: bool = False
    parts: tuple[type[ThreadPart], ...] = ()
    thread: Thread | None = None
    messages: dict[str, Message] = field(factory=dict)
    runs: dict[str, RunRecord] = field(factory=dict)
    rows: list[LoggedEvent] = field(factory=list)
    events: list[Envelope] = field(factory=list)
    published: list[Envelope] = field(factory=list)
    done: list[Any] = field(factory=list)
    did: list[str] = field(factory=list)
    at_work: set[str] = field(factory=set)
    timers: dict[str, object] = field(factory=dict)
    ended: bool = False
    writes: Callable[[RunLog], None] = field(default=lambda log: None)
    """What a run writes while it is being started."""
    services: FakeServices = field(init=False)
    it: Conversation = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.services = FakeServices(self)
        self.renew()

    def renew(self) -> None:
        """Begin another conversation, which knows nothing yet."""
        self.it = Conversation("ada", "t", cast("Any", self.services), self.fence, self.parts)
        self.it.subscribers = self.it.thread.subscribers = cast("Any", Followers(self))
        self.it.workers.context = cast("Any", Actors(self, Ref(self)))

    def note(self, act: object) -> None:
        """Note something that the conversation has done."""
        self.done.append(act)
        self.did.append(type(act).__name__)

    def handle(self, request: object) -> list[Any]:
        """Have the conversation handle a request. Return that; `did` are the names, with the store's reads."""
        if hasattr(request, "reply"):
            object.__setattr__(request, "_call", Call(self))
        return self.doing(self.it.receive(request, self.it.workers.context))

    def doing(self, call: Coroutine[Any, Any, Any]) -> list[Any]:
        """Finish a call. Return what the conversation did meanwhile."""
        count = len(self.done)
        self.did.clear()
        finished(call)
        return self.done[count:]

    def finish(self, run_id: str, ending: Ending, **about: Any) -> list[Any]:
        """End a run whose work has stopped without an answer."""
        return self.doing(self.it.queue.finish(FinishRun(run_id, ending, **about)))

    def run_log(self, live: ActiveRun, last_step: int = 0) -> RunLog:
        """Return what a run at work writes into the log."""
        run_log = RunLog(live, self.it.queue, last_step)
        run_log.speaker = self.services.agents[live.request.agent]
        return run_log

    def record(self, run_id: str, *events: Event) -> None:
        """Have a run record events, unless its conversation ends meanwhile, or the store is away."""
        if (live := self.it.thread.runs.get(run_id)) is not None and live.state.end is None:
            self.guarded(self.run_log(live).commit(events, ()))

    # the store, as queries see it

    async def message(self, owner: str, message_id: str) -> Message | None:
        self.did.append("message")
        return self.messages.get(message_id)

    async def run(self, run_id: str) -> RunRecord | None:
        self.did.append("run")
        return self.runs.get(run_id)

    async def run_events(self, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
        self.did.append("run_events")
        return [row for row in self.rows if row.run_id == run_id]

    async def flush(self) -> None:
        """Store no checkpoints, as none wait; what reads a run again does this first."""
        if self.failing and self.failing[0] is not None and not self.lost:
            raise self.failing.pop(0)  # type: ignore[misc]

    async def steps(self, run_id: str) -> list[StepRecord]:
        return []

    async def commit(self, change: Change) -> None:
        error = self.failing.pop(0) if self.failing else None
        self.note(Committed(change))
        if error is None or self.lost:
            self.store(change)
        if error is not None:
            raise error

    async def read(self, query: object, owner: str, thread_id: str) -> tuple[Thread, list[RunRecord]] | None:
        assert query is queries.thread_with_open_runs
        self.did.append("thread")
        return None if self.thread is None else (self.thread, [])

    async def delete_thread(
        self, owner: str, thread_id: str, fence: Fence | None, *, unless_since: float | None
    ) -> bool:
        self.did.append("delete_thread")
        return True

    def store(self, change: Change) -> None:
        """Commit a change, as the database does."""
        last_seq = self.thread.last_seq if self.thread is not None else 0
        if change.events and change.events[0].seq != last_seq + 1:
            raise SequenceConflict("t", last_seq + 1, change.events[0].seq)
        if change.attempt is not None and self.runs[change.attempt.run_id].ended_at is not None:
            raise NotStored("run", change.attempt.run_id)
        for message in change.messages:
            if message.id in self.messages:
                raise AlreadyStored("message", message.id)
        if self.thread is None:
            self.thread = change.thread
        assert self.thread is not None
        self.thread = evolve(self.thread, last_seq=last_seq + len(change.events))
        self.messages |= {message.id: message for message in change.messages}
        if change.run is not None:
            self.runs[change.run.id] = change.run
        if change.run_end is not None:
            run = self.runs[change.run_end.run_id]
            self.runs[run.id] = evolve(run, status=change.run_end.status, ended_at=1.0)
        if change.attempt is not None:
            run = self.runs[change.attempt.run_id]
            self.runs[run.id] = evolve(run, attempts=change.attempt.attempts, resume_at=change.attempt.resume_at)
        self.rows += change.events
        self.events += [from_log(row.body) for row in change.events]

    def restart(self) -> None:
        """Start another core from the tables, as the next conversation of the thread does."""
        for run_id in self.it.thread.runs:
            self.limiter.release(run_id)
        self.at_work.clear()
        self.ended, self.failing = False, []
        self.renew()
        if self.thread is None:
            return
        assert self.it.thread.load(self.thread)
        for run_id in [run.id for run in self.runs.values() if run.ended_at is None]:
            self.runs[run_id] = evolve(self.runs[run_id], attempts=0)
            finished(self.it.queue.resume(self.read_run(run_id)))

    def read_run(self, run_id: str) -> ActiveRun:
        live: ActiveRun = finished(read_unfinished_run(cast("Any", self), self.runs[run_id], str))
        return live

    def exit_runs(self, crash: BaseException | None = None) -> None:
        for run_id in list(self.at_work):
            self.at_work.discard(run_id)
            ref = self.it.workers.runs[run_id]
            self.handle(Terminated(ref, Killed() if crash is None else Crashed(crash)))

    def guarded(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Finish a call; if the conversation is to end, it ends."""
        try:
            return finished(call)
        except (StorageUnavailable, Fenced, SequenceConflict, NotStored) as error:
            if not isinstance(error, StorageUnavailable):
                self.handle(OwnershipLost("outrun"))
            return None

    def fire(self) -> None:
        """Have the time of all timers be over."""
        while self.timers:
            self.handle(self.timers.pop(next(iter(self.timers))))
            self.timers.pop("waiting", None)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Return a shell with an empty log."""
    return Shell()


def answers(effects: list[Any]) -> list[Any]:
    """The answers among effects: the value, or the code of the error."""
    answered = [effect for effect in effects if isinstance(effect, Answered)]
    return [reply.value if reply.error is None else getattr(reply.error, "code", reply.error) for reply in answered]


def answer(shell: Shell, run_id: str = "r1") -> None:
    """Have a run record its answer, from its agent's start, if it has not started, to its end."""
    live = shell.it.thread.runs.get(run_id)
    agents = [] if live is None else [agent.agent_id for agent in live.state.open_agents]
    started = [] if agents else [AgentStarted(f"a-{run_id}", "begins", 0.0)]
    (agent_id,) = agents or [f"a-{run_id}"]
    completed = AgentCompleted(agent_id, "done", RunStatus.SUCCESS, Usage(), 0.0)
    shell.record(run_id, *started, completed, FinalResponse("done", RunStatus.SUCCESS, Usage()))


@tool(reconcile=lambda call_id, arguments: NotDone())
def pay() -> None:
    """Pay."""


def effects(shell: Shell, *steps: StepRecord) -> list[Any]:
    """Have the core go on with the effects of an ended run whose steps these are."""
    shell.handle(accept(1))
    answer(shell)
    shell.exit_runs()
    shell.services.agents["guide"] = Agent("guide", tools=[pay])
    return shell.doing(shell.it.resume_effects(shell.runs["r1"], steps))


def play(
    shell: Shell,
    steps: list[tuple[str, int]],
    seed: int,
    act: Callable[[Shell, str, str, int], None] = lambda *_: None,
) -> None:
    """Have steps happen in a conversation, then end all its runs. `act` has those of an extension happen."""
    chance = random.Random(seed)
    for kind, number in steps:
        run_id = next(iter(shell.at_work), f"r{number}")
        match kind:
            case "accept" | "repeat":
                shell.handle(accept(number))
            case "answer" if run_id in shell.at_work:
                live = shell.it.thread.runs[run_id]
                if live.state.end is None:
                    answer(shell, run_id)
            case "finish" if run_id in shell.at_work:
                shell.finish(run_id, chance.choice(list(Ending)))
            case "exit":
                shell.exit_runs(chance.choice((None, ValueError("broken"))))
            case "timers":
                shell.fire()
            case "cancel":
                shell.handle(CancelRun(f"r{number}"))
            case "retry":
                shell.handle(RetryFinish())
            case "wake":
                shell.handle(EnsureRunning(f"r{number}"))
            case "down" | "lost":
                shell.failing, shell.lost = [StorageUnavailable("disk")], kind == "lost"
            case _:
                act(shell, kind, run_id, number)
        assert len(shell.it.queue.order) <= MAX_QUEUED + 1
        assert shell.limiter.running <= 1
        if shell.ended:
            shell.restart()
    shell.failing = []
    for _ in range(100):
        if shell.ended:
            shell.restart()
        if not shell.it.thread.runs:
            break
        shell.handle(RetryFinish())
        shell.fire()
        for run_id in list(shell.it.thread.runs):
            shell.handle(BackoffOver(run_id))
            if run_id in shell.limiter.permits:
                shell.handle(PermitGranted(run_id))
        shell.exit_runs()
    # Runs that seemed not to be stored, and that nobody asked about again; their steers become further ones.
    while open_runs := [run_id for run_id, run in shell.runs.items() if run.ended_at is None]:
        shell.restart()
        shell.finish(open_runs[0], Ending.INTERRUPTED)
    ends = Counter(event.run_id for event in shell.events if isinstance(event.event, TERMINAL))
    assert ends == Counter(list(shell.runs))
    assert [event.seq for event in shell.events] == list(range(1, len(shell.events) + 1))
    seqs = [envelope.seq or 0 for envelope in shell.published]
    assert seqs == sorted(set(seqs))
    accepted = Counter(
        (event.run_id, event.event.steer_id) for event in shell.events if isinstance(event.event, SteerAccepted)
    )
    settled = [event for event in shell.events if isinstance(event.event, SteerTaken | SteerWithdrawn)]
    assert accepted == Counter((envelope.run_id, envelope.event.steer_id) for envelope in settled)
    followed = [envelope.event.message_id for envelope in settled if isinstance(envelope.event, SteerWithdrawn)]
    assert {message_id for message_id in followed if message_id is not None} <= shell.messages.keys()
