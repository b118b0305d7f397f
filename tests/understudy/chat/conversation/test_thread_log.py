"""A conversation without an actor, a database or a clock: what it does for each request, and in which order."""

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from actors import ChildSpec, Crashed, Killed, Lane, Terminated
from transport.auth.identity import Identity
from transport.wire.events import Error, Event, PartialResult, Resync
from transport.wire.messages import Deliver, Reply
from understudy.agents.agent import Agent
from understudy.chat.conversation.acceptance import MAX_QUEUED
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, MAX_CRASHES, ActiveRun, ResumeAttempt
from understudy.chat.conversation.conversation import Conversation
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.run_queue import GOES_ON
from understudy.chat.conversation.settling import UNSETTLED
from understudy.chat.conversation.thread_log import FairLock
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.conversation.workers import BackoffOver, PublishPositions, RetryFinish, Settled
from understudy.chat.messages import (
    Accept,
    CancelRun,
    Delete,
    EnsureRunning,
    FinishRun,
    FollowThread,
    OwnershipLost,
    PermitGranted,
    RequestSnapshot,
    RunOrder,
    RunRequest,
)
from understudy.chat.routing import Route
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.endings import Ending
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.transitions import RunProtocolError
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
    AgentProgress,
    AgentStarted,
    AgentThinking,
    CallSettled,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    ToolCompleted,
    ToolExecuting,
    ToolPartial,
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


# what a conversation does


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
class Outbox:
    """A connection; what is sent to it alone counts as sent."""

    shell: "Shell"

    def try_tell(self, message: object) -> None:
        assert isinstance(message, Deliver | Reply)
        for envelope in [message.envelope] if isinstance(message, Reply) else message.envelopes:
            self.shell.note(Sent(envelope))


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
        self.shell.note(Started(run_log.live.request, run_log, *past))
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
        committed = {each.seq for each in self.shell.events}
        assert {each.seq for each in envelopes} <= committed, "published before it was committed"
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
        before = len(self.done)
        self.did.clear()
        finished(call)
        return self.done[before:]

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
        for each in change.messages:
            if each.id in self.messages:
                raise AlreadyStored("message", each.id)
        if self.thread is None:
            self.thread = change.thread
        assert self.thread is not None
        self.thread = evolve(self.thread, last_seq=last_seq + len(change.events))
        self.messages |= {each.id: each for each in change.messages}
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
        for run_id in [each.id for each in self.runs.values() if each.ended_at is None]:
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
    return Shell()


def answers(effects: list[Any]) -> list[Any]:
    """The answers among effects: the value, or the code of the error."""
    found = [each for each in effects if isinstance(each, Answered)]
    return [each.value if each.error is None else getattr(each.error, "code", each.error) for each in found]


def test_a_message_is_committed_then_published_then_answered_then_run(shell: Shell) -> None:
    effects = shell.handle(accept(1))
    assert shell.did == ["Committed", "Subscribed", "Published", "Answered", "Started", "Told"]
    assert answers(effects) == ["r1"]
    accepted, started = shell.published
    assert isinstance(accepted.event, MessageAccepted)
    assert isinstance(started.event, AgentStarted)
    assert (started.seq, shell.it.thread.last_seq, shell.it.thread.newest_answer) == (2, 2, "answer-r1")
    (request,) = [each.request for each in effects if isinstance(each, Started)]
    assert request.agent_id == started.event.agent_id


def test_the_same_message_again_has_its_acceptance_replayed(shell: Shell) -> None:
    shell.handle(accept(1))
    again = evolve(accept(1), run_id="other")
    effects = shell.handle(again)
    assert shell.did == ["Committed", "message", "run_events", "Replayed", "Answered"]
    (replayed,) = [each.accepted for each in effects if isinstance(each, Replayed)]
    assert replayed.seq == 1
    assert answers(effects) == ["r1"]
    assert answers(shell.handle(accept(1, "Something else"))) == ["message_id_reused"]
    assert len(shell.events) == 2


def test_a_second_message_waits_until_the_first_run_has_exited(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    assert "Started" not in shell.did
    assert [type(each.event) for each in shell.events] == [MessageAccepted, AgentStarted, MessageAccepted]
    answer(shell)
    shell.done.clear()
    shell.exit_runs()
    (request,) = [each.request for each in shell.done if isinstance(each, Started)]
    assert (request.run_id, request.agent_id) == ("r2", None), "it starts its agent itself"
    assert list(shell.it.thread.runs) == ["r2"]


def test_more_messages_than_the_queue_holds_are_refused(shell: Shell) -> None:
    got = [answers(shell.handle(accept(number)))[0] for number in range(MAX_QUEUED + 2)]
    assert got == [f"r{number}" for number in range(MAX_QUEUED + 1)] + ["busy"]


@pytest.mark.parametrize("error", [StorageUnavailable("disk"), AlreadyStored("message", "m1")])
def test_a_message_that_cannot_be_stored_is_refused_and_changes_nothing(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    assert answers(shell.handle(accept(1))) == ["storage_unavailable"]
    assert (shell.it.thread.runs, shell.it.thread.last_seq, shell.it.thread.exists) == ({}, 0, False)
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)


@pytest.mark.parametrize("error", [Fenced("t", "other"), SequenceConflict("t", 2, 1), NotStored("thread", "t")])
def test_a_core_that_was_outrun_relocates_and_does_not_answer(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    effects = shell.handle(accept(1))
    assert isinstance(effects[-1], Relocated)
    assert answers(effects) == []
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)


def test_a_commit_whose_answer_was_lost_relocates_at_the_next_request(shell: Shell) -> None:
    shell.failing, shell.lost = [StorageUnavailable("lost")], True
    assert answers(shell.handle(accept(1))) == ["storage_unavailable"]
    shell.handle(accept(1))
    assert shell.did[-1] == "Relocated"
    shell.restart()
    assert shell.at_work == {"r1"}


def test_an_end_that_cannot_be_stored_is_retried(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.failing = [StorageUnavailable("disk")]
    effects = shell.finish("r1", Ending.FAILED)
    assert [each.envelope.event.note for each in effects if isinstance(each, Sent)] == ["Waiting for the database"]
    timer = next(each for each in effects if isinstance(each, Timed))
    assert isinstance(timer.message, RetryFinish)
    shell.handle(timer.message)
    assert isinstance(shell.published[-1].event, Error)
    assert shell.it.queue.unfinished == {}


def test_what_a_run_has_not_committed_is_committed_with_its_end(shell: Shell) -> None:
    shell.handle(accept(1))
    step = StepRecord("r1", 1, "ask", "cut off", None, None, {"usage": {}}, "ok", 1.0, 2.0)
    shell.failing = [StorageUnavailable("disk")]
    shell.finish("r1", Ending.CANCELLED, steps=(step,))
    shell.handle(RetryFinish())
    changes = [each.change for each in shell.done if isinstance(each, Committed)]
    assert [step in each.steps for each in changes if each.events][-2:] == [True, True]
    assert shell.it.queue.unfinished == {}


def test_a_call_that_a_run_has_not_committed_yet_ends_with_it(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.record("r1", AgentStarted("a-1", "On it", 1.0))
    shell.finish("r1", Ending.CANCELLED, events=(ToolExecuting("a-1", "c", "add", {}, "Add", 1.0),))
    kinds = [type(each.event) for each in shell.published]
    assert kinds[kinds.index(ToolExecuting) :][:2] == [ToolExecuting, ToolCompleted]
    assert kinds[-1] is FinalResponse


def attempts_of(shell: Shell) -> list[int]:
    changes = [each.change for each in shell.done if isinstance(each, Committed)]
    return [each.attempt.attempts for each in changes if each.attempt is not None]


def test_a_run_whose_actor_was_killed_is_resumed_until_it_was_tried_too_often(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.exit_runs()
    assert (shell.at_work, attempts_of(shell)) == ({"r1"}, [1])
    assert [each.envelope.event for each in shell.done if isinstance(each, Sent)] == [AgentProgress(0, GOES_ON)]
    for _ in range(MAX_ATTEMPTS):
        assert shell.it.thread.runs
        shell.exit_runs()
        shell.fire()
    assert attempts_of(shell) == [1, 1, 2, 2, 3, 3, 4, 4, 5]  # from the second on: put off, and begun
    assert isinstance(shell.published[-1].event, Error)
    assert shell.published[-1].event.code == "run_interrupted"
    assert (shell.it.thread.runs, shell.limiter.running) == ({}, 0)


def test_a_run_whose_own_code_raises_each_time_fails_after_two_attempts(shell: Shell) -> None:
    shell.handle(accept(1))
    for _ in range(MAX_CRASHES + 1):
        assert shell.it.thread.runs
        shell.exit_runs(ValueError("broken"))
        shell.fire()
    assert attempts_of(shell) == [1, 1, 2]
    end = shell.published[-1].event
    assert isinstance(end, Error)
    assert (end.code, bool(end.error_id)) == ("agent_failed", True)


def test_a_killed_run_holds_no_permit_while_it_backs_off(shell: Shell) -> None:
    shell.limiter = RunLimiter(1, 1)
    shell.renew()
    shell.handle(accept(1))
    shell.exit_runs()
    assert shell.limiter.running == 1  # the first attempt is made at once
    shell.exit_runs()
    assert (shell.limiter.running, shell.limiter.waiting, shell.at_work) == (0, 1, set())
    shell.fire()
    assert (shell.limiter.running, shell.at_work) == (1, {"r1"})


def test_a_restart_does_not_put_off_a_run_again_that_backs_off(shell: Shell) -> None:
    """Servers that restart more often than a run backs off would never resume it."""
    shell.handle(accept(1))
    shell.exit_runs()
    shell.exit_runs()
    due = shell.runs["r1"].resume_at
    assert due is not None
    shell.limiter.release("r1")
    shell.renew()
    shell.services.now = due - 0.1
    assert shell.thread is not None
    assert shell.it.thread.load(shell.thread)
    shell.done.clear()
    finished(shell.it.queue.resume(shell.read_run("r1")))
    (rested,) = [each for each in shell.done if isinstance(each, Timed) and each.name == "rested r1"]
    assert rested.after_s == pytest.approx(0.1)
    assert attempts_of(shell) == []
    shell.fire()
    assert (shell.at_work, shell.runs["r1"].attempts, shell.runs["r1"].resume_at) == ({"r1"}, 2, None)


def test_a_killed_run_keeps_its_users_roles_and_the_text_of_the_log(shell: Shell) -> None:
    asked = accept(1)
    shell.handle(evolve(asked, order=evolve(asked.order, sender=Identity("ada", "s", roles=("admin",)))))
    shell.it.thread.runs["r1"].text.append("never stored")
    shell.exit_runs()
    assert shell.it.thread.runs["r1"].text.stored == ""
    request = [each.request for each in shell.done if isinstance(each, Started)][-1]
    assert request.roles == ("admin",)


async def test_what_a_dead_attempt_writes_is_not_shown(shell: Shell) -> None:
    """Such as a call that could not be interrupted."""
    shell.handle(accept(1))

    def logs() -> RunLog:
        return [each.log for each in shell.done if isinstance(each, Started)][-1]

    def shown(log: RunLog) -> list[Event]:
        before = len(shell.done)
        log.append_text("late")
        log.show_text()
        return [each.envelope.event for each in shell.done[before:]]

    first = logs()
    assert shown(first) == [PartialResult("late", 0)]
    shell.failing = [StorageUnavailable("disk")]
    shell.exit_runs()
    assert (shown(first), shell.at_work) == ([], set())
    shell.fire()
    again = logs()
    assert (shown(first), shell.at_work) == ([], {"r1"})
    assert shown(again) == [PartialResult("late", 0)]


async def test_what_a_run_writes_while_it_is_being_started_is_shown(shell: Shell) -> None:
    shell.writes = lambda log: log.append_text("at once")
    shell.handle(accept(1))
    assert [each.envelope.event for each in shell.done if isinstance(each, Sent)] == [PartialResult("at once", 0)]


async def test_what_a_call_yields_is_shown_while_it_is_at_work(shell: Shell) -> None:
    shell.handle(accept(1))
    (log,) = [each.log for each in shell.done if isinstance(each, Started)]
    shell.done.clear()
    await log.send_partial("c1", 0, ["early"])
    assert shell.done == []
    shell.record("r1", ToolExecuting("guide", "c1", "t", {}, "", 0.0))
    await log.send_partial("c1", 0, ["a"])
    assert shell.done[-1].envelope.event == ToolPartial("c1", 0, ["a"])


def test_a_run_that_was_killed_as_it_was_cancelled_ends_as_cancelled(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(CancelRun("r1"))
    shell.exit_runs()
    end = shell.published[-1].event
    assert isinstance(end, FinalResponse)
    assert (end.status, shell.it.thread.runs, shell.at_work) == (RunStatus.CANCELLED, {}, set())


def test_a_killed_run_that_cannot_be_read_is_read_again(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.failing = [StorageUnavailable("disk")]
    shell.exit_runs()
    assert (shell.at_work, bool(shell.it.thread.runs)) == (set(), True)
    shell.fire()
    assert shell.at_work == {"r1"}


def test_events_that_break_the_protocol_leave_the_run_as_it_was(shell: Shell) -> None:
    shell.handle(accept(1))
    before = shell.it.thread.runs["r1"].state
    started = AgentStarted("a", "begins", 0.0)
    with pytest.raises(RunProtocolError):
        shell.record("r1", started, started)
    assert shell.it.thread.runs["r1"].state == before
    assert shell.it.thread.last_seq == 2


async def test_streamed_text_is_sent_with_its_offset_and_restarts_as_another_text(shell: Shell) -> None:
    shell.handle(accept(1))
    (log,) = [each.log for each in shell.done if isinstance(each, Started)]
    shell.done.clear()
    for text, restart in (("one ", False), ("two", False), ("x", True)):
        log.append_text(text, restart=restart)
        log.show_text()
    shell.handle(RequestSnapshot(cast("Any", Outbox(shell))))
    pieces = [each.envelope for each in shell.done if isinstance(each, Sent)]
    assert [each.event for each in pieces] == [
        PartialResult(text, offset) for text, offset in (("one ", 0), ("two", 4), ("x", 0), ("x", 0))
    ]
    first, second, third, whole = (each.text_epoch for each in pieces)
    assert (first == second, second == third, third == whole) == (True, False, True)


async def test_text_that_waits_is_shown_before_the_next_event_and_before_a_snapshot(shell: Shell) -> None:
    """Pieces that come soon after one that was shown wait for the window's end; nothing overtakes them."""
    shell.handle(accept(1))
    (log,) = [each.log for each in shell.done if isinstance(each, Started)]
    woken: list[float] = []
    log.wake = lambda _name, after_s, _due: woken.append(after_s)
    shell.done.clear()
    for word in ("at once, ", "later, ", "together"):
        log.append_text(word)
    assert [each.envelope.event for each in shell.done] == [PartialResult("at once, ", 0)]
    assert len(woken) == 1
    shell.record("r1", ToolExecuting("guide", "c1", "t", {}, "", 0.0))
    _, committed, text, published = shell.done
    assert (type(committed), type(published)) == (Committed, Published)
    assert text.envelope.event == PartialResult("later, together", 9)
    log.append_text("!")
    shell.handle(RequestSnapshot(cast("Any", Outbox(shell))))
    assert [each.envelope.event for each in shell.done[4:]] == [
        PartialResult("!", 24),
        PartialResult("at once, later, together!", 0),
    ]


def test_a_second_cancel_of_a_run_whose_end_cannot_be_stored_changes_nothing(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    shell.failing = [StorageUnavailable("disk"), StorageUnavailable("disk")]
    assert [answers(shell.handle(CancelRun("r2"))) for _ in range(2)] == [[True], [True]]
    shell.handle(RetryFinish())
    shell.handle(RetryFinish())
    assert list(shell.it.thread.runs) == ["r1"]


def test_a_resumed_run_is_recorded_before_it_is_started_and_writes_another_text(shell: Shell) -> None:
    shell.handle(accept(1))
    before = shell.it.thread.runs["r1"].text.epoch
    shell.restart()
    order = [type(each).__name__ for each in shell.done if isinstance(each, Committed | Started)]
    assert order == ["Committed", "Started", "Committed", "Started"]
    assert shell.it.thread.runs["r1"].text.epoch != before


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_resumed_run_that_cannot_be_recorded_backs_off_unless_it_is_cancelled(
    shell: Shell, *, cancelled: bool
) -> None:
    shell.handle(accept(1))
    run = shell.it.thread.runs["r1"]
    shell.renew()
    shell.at_work.clear()
    shell.failing = [StorageUnavailable("disk")] * (1 + cancelled)
    run.started, run.attempt = False, ResumeAttempt(1, 0, Past(), "guide")
    finished(shell.it.queue.resume(run))
    assert (shell.at_work, shell.limiter.running) == (set(), 0)
    if cancelled:
        shell.handle(CancelRun("r1"))
    shell.handle(BackoffOver("r1"))
    assert shell.at_work == (set() if cancelled else {"r1"})


def test_a_stop_of_the_server_takes_back_the_recorded_attempt(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart()
    finished(shell.it.suspend())
    commit = shell.done[-1]
    assert commit.change.attempt is not None
    assert commit.change.attempt.attempts == 0
    assert "r1" in shell.it.thread.runs


async def test_deleting_ends_every_run_before_the_thread(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    shell.handle(Delete())
    assert shell.did[-4:] == ["delete_thread", "Forgotten", "Relocated", "Answered"]
    assert sum(isinstance(each.event, TERMINAL) for each in shell.published) == 3


def test_a_thread_with_a_run_is_not_deleted_for_its_age(shell: Shell) -> None:
    shell.handle(accept(1))
    assert answers(shell.handle(Delete(unless_since=5.0))) == [False]
    assert shell.it.thread.runs


def test_a_client_that_has_seen_more_than_the_log_is_resynced_once_that_is_verified(shell: Shell) -> None:
    shell.handle(accept(1))
    outbox = cast("Any", Outbox(shell))
    effects = shell.handle(FollowThread(outbox, 9))
    assert shell.did == ["thread", "Subscribed", "Sent", "Answered"]
    assert [each.envelope.event for each in effects if isinstance(each, Sent)] == [Resync(2)]
    assert shell.thread is not None
    shell.thread = evolve(shell.thread, last_seq=9)
    shell.handle(FollowThread(outbox, 9))
    assert shell.did == ["thread", "Relocated"]


def test_a_thread_that_another_node_claimed_is_not_loaded() -> None:
    mine = Shell(Fence("here", 3)).it
    thread = Thread("ada", "t", "title", "guide", None, 0.0, 0.0, last_seq=4, node="here", fence=3)
    assert mine.thread.load(thread)
    assert not mine.thread.load(evolve(thread, node="other", fence=4))
    assert mine.thread.last_seq == 4


def test_queued_runs_are_sent_their_positions(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    events = [each.envelope.event for each in shell.handle(PublishPositions()) if isinstance(each, Sent)]
    notes = [each.note for each in events if isinstance(each, AgentProgress)]
    assert notes == [f"Waiting: {ahead} before this one in this conversation" for ahead in (1, 2)]


def test_a_core_that_lost_ownership_relocates(shell: Shell) -> None:
    assert shell.handle(OwnershipLost()) == [Relocated()]


def answer(shell: Shell, run_id: str = "r1") -> None:
    """Have a run record its answer, from its agent's start, if it has not started, to its end."""
    live = shell.it.thread.runs.get(run_id)
    agents = [] if live is None else [agent.agent_id for agent in live.state.open_agents]
    started = [] if agents else [AgentStarted(f"a-{run_id}", "begins", 0.0)]
    (agent_id,) = agents or [f"a-{run_id}"]
    completed = AgentCompleted(agent_id, "done", RunStatus.SUCCESS, Usage(), 0.0)
    shell.record(run_id, *started, completed, FinalResponse("done", RunStatus.SUCCESS, Usage()))


def test_an_acceptance_is_sent_again_only_if_the_client_repeats_its_message(shell: Shell) -> None:
    """The reply to an attempt of the server was lost: its next attempt finds the run that the first one gave."""
    shell.handle(accept(1))
    resent = []
    for earlier in ((), ("r0", "r1")):
        again = evolve(accept(1), run_id="r2", earlier=earlier)
        effects = shell.handle(again)
        assert answers(effects) == ["r1"]
        resent += [each.resend for each in effects if isinstance(each, Replayed)]
    assert resent == [True, False]


@pytest.mark.parametrize("at_work", [True, False])
def test_a_run_that_an_operator_ends_says_so_before_its_end(shell: Shell, *, at_work: bool) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    run_id = "r1" if at_work else "r2"
    shell.handle(CancelRun(run_id, by="op", reason="Too dear"))
    if at_work:
        shell.finish(run_id, Ending.CANCELLED)
    notice, completed, final = [each.event for each in shell.events[-3:]]
    assert isinstance(notice, AgentThinking)
    assert (notice.thought, notice.by) == ("An operator has ended this run: Too dear", "op")
    assert isinstance(completed, AgentCompleted)
    assert isinstance(final, FinalResponse)
    assert final.status is RunStatus.CANCELLED
    shell.handle(CancelRun("r1" if not at_work else "r2"))
    shell.handle(CancelRun("r1" if not at_work else "r2", by="op"))
    shell.finish("r1", Ending.CANCELLED)
    assert sum(isinstance(each.event, AgentThinking) for each in shell.events) == 1


# effects


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


def unsettled(attempts: int) -> StepRecord:
    return StepRecord("r1", 2, "tool", "pay", "c1", {}, {"attempts": attempts, "agent": "guide"}, UNSETTLED, 1.0)


def test_a_call_that_is_being_settled_is_settled_three_times_at_most(shell: Shell) -> None:
    assert Asked("reconcile-c1") in effects(shell, unsettled(2))
    assert shell.it.settling.doubts["c1"].step.result == {"attempts": 3, "agent": "guide"}
    last = effects(Shell(), unsettled(3))
    (commit,) = [each for each in last if isinstance(each, Committed)]
    (event,) = [envelope.event for each in last if isinstance(each, Published) for envelope in each.envelopes]
    assert (commit.change.steps[0].status, event) == ("started", CallSettled("c1", "pay", "unknown"))
    assert not [each for each in last if isinstance(each, Asked)]


def test_what_became_of_a_call_is_stored_later_if_it_cannot_be_now(shell: Shell) -> None:
    effects(shell, unsettled(0))
    settled = Settled(shell.it.settling.doubts["c1"].template, CallSettled("c1", "pay", "none"), ())
    shell.failing = [StorageUnavailable("disk")]
    shell.handle(settled)
    assert "c1" in shell.it.settling.doubts
    del shell.timers["reconcile c1"]
    shell.fire()
    assert (shell.it.settling.doubts, shell.published[-1].event) == ({}, settled.event)


def test_a_stop_of_the_server_is_no_attempt_at_settling_a_call(shell: Shell) -> None:
    (began,) = [each for each in effects(shell, unsettled(1)) if isinstance(each, Committed)]
    assert began.change.steps[0].result["attempts"] == 2
    finished(shell.it.suspend())
    (step,) = shell.done[-1].change.steps
    assert (step.call_id, step.result["attempts"]) == ("c1", 1)


STEP = st.sampled_from(
    ["accept", "repeat", "answer", "finish", "exit", "cancel", "retry", "timers", "wake", "down", "lost"]
)


@given(st.lists(st.tuples(STEP, st.integers(0, 12)), max_size=60), st.integers(0, 3))
def test_every_accepted_message_ends_once_whatever_fails(steps: list[tuple[str, int]], seed: int) -> None:
    """Commits fail, or seem to, in any order; afterwards the storage works and the queue is drained."""
    play(Shell(), steps, seed)


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
    ends = Counter(each.run_id for each in shell.events if isinstance(each.event, TERMINAL))
    assert ends == Counter(list(shell.runs))
    assert [each.seq for each in shell.events] == list(range(1, len(shell.events) + 1))
    seqs = [each.seq or 0 for each in shell.published]
    assert seqs == sorted(set(seqs))
    accepted = Counter(
        (each.run_id, each.event.steer_id) for each in shell.events if isinstance(each.event, SteerAccepted)
    )
    settled = [each for each in shell.events if isinstance(each.event, SteerTaken | SteerWithdrawn)]
    assert accepted == Counter((each.run_id, each.event.steer_id) for each in settled)
    followed = [each.event.message_id for each in settled if isinstance(each.event, SteerWithdrawn)]
    assert {each for each in followed if each is not None} <= shell.messages.keys()


async def test_one_task_at_a_time_has_the_turn_in_the_order_of_arrival() -> None:
    turn, had, leave = FairLock(), list[int](), trio.Event()

    async def take(number: int) -> None:
        async with turn:
            had.append(number)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(take, number)
            await trio.testing.wait_all_tasks_blocked()
        assert had == [0]
        leave.set()
    assert had == [0, 1, 2]


async def test_a_task_that_is_cancelled_while_it_waits_or_works_blocks_nobody() -> None:
    turn, cancelled = FairLock(), trio.CancelScope()

    async def wait() -> None:
        with cancelled:
            async with turn:
                raise AssertionError("it has the turn")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as work:
            async with turn:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                cancelled.cancel()
                work.cancel()
                await trio.sleep_forever()
    with trio.fail_after(1):
        async with turn:
            pass
