"""What a conversation decides, over a store, a limiter and subscribers in memory: no system, no clock."""

import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from actors import Ask, ChildSpec, Crashed, Killed, Shutdown, Terminated
from actors.ask import _set_call
from sanitization import Sanitized
from transport.wire.commands import Say
from transport.wire.events import (
    TERMINAL,
    AgentCompleted,
    AgentProgress,
    AgentStarted,
    Envelope,
    Error,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    Resync,
    RunStatus,
    Usage,
)
from understudy.agents.agent import Agent
from understudy.chat.conversation.conversation import (
    MAX_QUEUED,
    BackoffOver,
    Conversation,
    PublishPositions,
    RetryFinish,
)
from understudy.chat.messages import (
    Accept,
    CancelRun,
    Delete,
    Delta,
    EnsureRunning,
    FinishRun,
    FollowThread,
    OwnershipLost,
    PermitGranted,
    Record,
)
from understudy.chat.routing import Route
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_protocol import Ending, RunProtocolError
from understudy.storage.errors import AlreadyStored, Fenced, NotStored, SequenceConflict, StorageUnavailable
from understudy.storage.rows import LoggedEvent, Message, RunRecord, Thread
from understudy.storage.writes import Change, Fence

AGENTS = {"guide": Agent("guide")}
SPEAKER = ("guide", None)


def accept(number: int, text: str = "Hello", **names: Any) -> Accept:
    """A message `m<number>` whose run is `r<number>`."""
    route = Route("guide", "guide", None, "t", "c")
    return Accept(Say(text, "t", **names), Sanitized(text), route, f"r{number}", f"m{number}", None)


def answered(run_id: str) -> Record:
    """The answer of a run, from its agent's start to its end."""
    started = AgentStarted(f"a-{run_id}", "begins", 0.0)
    completed = AgentCompleted(f"a-{run_id}", "done", RunStatus.SUCCESS, Usage(), 0.0)
    return Record(run_id, [started, completed, FinalResponse("done", RunStatus.SUCCESS, Usage())], SPEAKER)


@define(eq=False)
class Reply:
    """The call of a request: how it was answered."""

    shell: "Shell"
    settled: bool = False

    def settle(self, value: Any, error: Exception | None) -> None:
        """Note the value, or the code of the error."""
        self.settled = True
        self.shell.did.append("reply")
        self.shell.replies.append(value if error is None else getattr(error, "code", error))


@define(eq=False)
class Ref:
    """The reference of an actor. `told` are the messages to it."""

    told: list[Any] = field(factory=list)

    def tell(self, message: object) -> None:
        self.told.append(message)

    try_tell = tell

    async def stop(self, mode: object) -> None:
        """Its exit comes as a request."""


@define(slots=False)
class Limiter(RunLimiter[Any]):
    """One permit; notes what is asked of it."""

    did: list[str] = field(factory=list)

    def reserve(self, run_id: str, owner: str, *, behind: bool = False) -> bool:
        self.did.append("reserve")
        return super().reserve(run_id, owner, behind=behind)

    def acquire(self, run_id: str, owner: str, waiter: Any) -> bool:
        self.did.append("acquire")
        return super().acquire(run_id, owner, waiter)


@define(eq=False)
class Shell:
    """A conversation, and tables in memory. `failing` commits raise in turn: None succeeds; `lost` ones are stored.

    It stands for the store, the context and the subscribers of the conversation. `did` are the names of all that was
    done, `sent` the events that are not logged.
    """

    failing: list[Exception | None] = field(factory=list)
    lost: bool = False
    fence: Fence | None = None
    thread: Thread | None = None
    messages: dict[str, Message] = field(factory=dict)
    records: dict[str, RunRecord] = field(factory=dict)
    rows: list[LoggedEvent] = field(factory=list)
    changes: list[Change] = field(factory=list)
    did: list[str] = field(factory=list)
    replies: list[Any] = field(factory=list)
    published: list[Envelope] = field(factory=list)
    sent: list[Envelope] = field(factory=list)
    timers: dict[str, object] = field(factory=dict)
    at_work: dict[str, Ref] = field(factory=dict)
    ended: bool = False
    ref: Ref = field(factory=Ref)
    path: str = "/s/conversations/t"
    it: Conversation = field(init=False)
    limiter: Limiter = field(init=False)
    services: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.limiter = Limiter(1, 1)
        self.limiter.did = self.did

        async def prefetch(answers: list[str], owner: str) -> None:
            """Render nothing."""

        ignore = SimpleNamespace(run_resumed=lambda what: None, prefetch=prefetch)
        vault = SimpleNamespace(restore_text=lambda *ids: ids[-1], restore_envelope=lambda owner, each: each)
        self.services = SimpleNamespace(
            store=self,
            limiter=self.limiter,
            agents=AGENTS,
            metrics=ignore,
            html=ignore,
            content_filter=SimpleNamespace(vault=vault),
            storage_waits=SimpleNamespace(notify_if_slow=lambda notify: nullcontext()),
            clock=lambda: 0.0,
            summary_from=1,
            silence_s=10.0,
            idle_s=300.0,
            on_relocated=lambda *names: self.did.append("relocate"),
            forget=lambda owner, thread_id: self.did.append("forget"),
        )
        self.start()

    def start(self) -> None:
        """Start the conversation from the tables."""
        self.it = Conversation("ada", "t", self.services, self.fence)
        self.it.subscribers = self  # type: ignore[assignment]
        drive(self.it.on_start(self))  # type: ignore[arg-type]

    def restart(self, *failing: Exception) -> None:
        """Start another conversation from the tables, as when the one before died with its runs."""
        for run_id in self.it.runs:
            self.limiter.release(run_id)
        self.at_work.clear()
        self.ended, self.failing = False, list(failing)
        self.start()

    def handle(self, request: object) -> list[str]:
        """Have the conversation handle a request. Return what it did."""
        before = len(self.did)
        if isinstance(request, Ask):
            _set_call(request, Reply(self))
        drive(self.it.receive(request, self))  # type: ignore[arg-type]
        return self.did[before:]

    def answer(self, request: object) -> list[Any]:
        """Have the conversation handle a request. Return its replies."""
        before = len(self.replies)
        self.handle(request)
        return self.replies[before:]

    def exit(self, run_id: str, crash: Exception | None = None) -> list[str]:
        """Have the actor of a run end."""
        reason = Killed() if crash is None else Crashed(crash)
        return self.handle(Terminated(self.at_work.pop(run_id), reason))  # type: ignore[arg-type]

    def exit_runs(self) -> None:
        """Have the actors of all runs end."""
        for run_id in list(self.at_work):
            self.exit(run_id)

    # the store

    async def message(self, owner: str, message_id: str) -> Message | None:
        self.did.append("message")
        return self.messages.get(message_id)

    async def run(self, run_id: str) -> RunRecord | None:
        return self.records.get(run_id)

    async def run_events(self, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
        self.did.append("run_events")
        return [row for row in self.rows if row.run_id == run_id]

    async def steps(self, run_id: str) -> list[Any]:
        return []

    async def thread_with_open_runs(self, owner: str, thread_id: str) -> tuple[Thread, list[RunRecord]] | None:
        self.did.append("thread")
        unfinished = [run for run in self.records.values() if run.ended_at is None]
        return None if self.thread is None else (self.thread, unfinished)

    async def commit(self, change: Change) -> None:
        self.did.append("commit")
        error = self.failing.pop(0) if self.failing else None
        if error is None or self.lost:
            self.store(change)
        if error is not None:
            raise error

    def store(self, change: Change) -> None:
        """Commit a change, as the database does."""
        last_seq = self.thread.last_seq if self.thread is not None else 0
        if change.events and change.events[0].seq != last_seq + 1:
            raise SequenceConflict("t", last_seq + 1, change.events[0].seq)
        if (attempt := change.attempt) is not None:
            if self.records[attempt.run_id].ended_at is not None:
                raise NotStored("run", attempt.run_id)
            run = self.records[attempt.run_id]
            self.records[run.id] = evolve(run, attempts=attempt.attempts, progress=attempt.progress)
        if self.thread is None:
            self.thread = change.thread
        assert self.thread is not None
        self.thread = evolve(self.thread, last_seq=last_seq + len(change.events))
        self.messages |= {each.id: each for each in change.messages}
        if change.run is not None:
            self.records[change.run.id] = change.run
        if change.run_end is not None:
            run = self.records[change.run_end.run_id]
            self.records[run.id] = evolve(run, status=change.run_end.status, ended_at=1.0)
        self.rows += change.events
        self.changes.append(change)

    async def delete_thread(self, *names: object, **options: object) -> bool:
        self.did.append("delete")
        return True

    # the context

    async def spawn(self, spec: ChildSpec) -> Ref:
        assert not self.at_work, "two runs of a thread at work"
        self.did.append("start")
        self.at_work[spec.id] = Ref()
        return self.at_work[spec.id]

    def watch(self, ref: Ref) -> None:
        """Its exit comes as a request."""

    def set_timer(self, name: str, after_s: float, message: object) -> None:
        self.timers[name] = message

    def stop(self) -> None:
        self.did.append("stop")
        self.ended = True

    # the subscribers

    def publish(self, envelopes: list[Envelope], head: int, context: object, *, arrived_at: float | None) -> None:
        stored = {(row.seq, row.type) for row in self.rows}
        assert {(each.seq, each.event.type) for each in envelopes} <= stored, "published before it was committed"
        self.did.append("publish")
        self.published += envelopes

    def deliver(self, envelope: Envelope) -> None:
        self.sent.append(envelope)

    def subscribe(self, *names: object, **options: object) -> None:
        self.did.append("subscribe")

    def replay_acceptance(self, *names: object) -> None:
        self.did.append("replay_acceptance")

    def remove(self, ref: Ref) -> bool:
        return False

    def subscribe_all(self, head: int, context: object) -> None:
        self.did.append("subscribe_all")

    def unsubscribe_stale(self) -> None:
        """There is no outbox."""

    def unsubscribe_all(self) -> None:
        self.did.append("unsubscribe_all")


def drive(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits, as nothing here does."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("the conversation waited")


@pytest.fixture
def shell() -> Shell:
    """A core with empty tables."""
    return Shell()


def test_a_message_is_committed_then_published_then_answered_then_run(shell: Shell) -> None:
    did = shell.handle(accept(1))
    assert did == ["message", "reserve", "subscribe", "commit", "publish", "reply", "acquire", "start"]
    assert shell.replies == ["r1"]
    (envelope,) = shell.published
    assert isinstance(envelope.event, MessageAccepted)
    assert (envelope.seq, shell.it.last_seq, shell.it.newest_answer) == (1, 1, "answer-r1")


def test_the_same_message_again_has_its_acceptance_replayed(shell: Shell) -> None:
    shell.handle(accept(1))
    again = evolve(accept(1), run_id="other")
    assert shell.handle(again) == ["message", "run_events", "replay_acceptance", "reply"]
    assert shell.replies == ["r1", "r1"]


def test_another_message_under_the_same_id_is_refused(shell: Shell) -> None:
    shell.handle(accept(1))
    assert shell.answer(accept(1, "Something else")) == ["message_id_reused"]
    assert len(shell.rows) == 1


def test_a_second_message_waits_until_the_first_run_has_exited(shell: Shell) -> None:
    shell.handle(accept(1))
    assert "start" not in shell.handle(accept(2))
    shell.handle(answered("r1"))
    assert "start" in shell.exit("r1")
    assert list(shell.at_work) == ["r2"]
    assert list(shell.it.runs) == ["r2"]


def test_more_messages_than_the_queue_holds_are_refused(shell: Shell) -> None:
    got = [shell.answer(accept(number))[0] for number in range(MAX_QUEUED + 2)]
    assert got == [f"r{number}" for number in range(MAX_QUEUED + 1)] + ["busy"]


@pytest.mark.parametrize("error", [StorageUnavailable("disk"), AlreadyStored("message", "m1")])
def test_a_message_that_cannot_be_stored_is_refused_and_changes_nothing(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    assert shell.answer(accept(1)) == ["storage_unavailable"]
    assert (shell.it.runs, shell.it.last_seq, shell.it.exists) == ({}, 0, False)
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)


@pytest.mark.parametrize("error", [Fenced("t", "other"), SequenceConflict("t", 2, 1), NotStored("thread", "t")])
def test_a_conversation_that_was_outrun_stops_and_does_not_answer(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    assert shell.handle(accept(1))[-1] == "stop"
    assert shell.replies == []
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)


def test_a_commit_whose_answer_was_lost_relocates_at_the_next_request(shell: Shell) -> None:
    shell.failing, shell.lost = [StorageUnavailable("lost")], True
    assert shell.answer(accept(1)) == ["storage_unavailable"]
    assert shell.handle(accept(1))[-2:] == ["relocate", "stop"]
    shell.restart()
    assert list(shell.at_work) == ["r1"]


def test_an_end_that_cannot_be_stored_is_retried(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.failing = [StorageUnavailable("disk")]
    shell.handle(FinishRun("r1", Ending.FAILED))
    assert [each.message for each in shell.sent] == ["Waiting for the database"]
    assert isinstance(shell.timers["retry"], RetryFinish)
    shell.handle(shell.timers["retry"])
    assert isinstance(shell.published[-1].event, Error)
    assert shell.it.unfinished == {}


def test_a_run_whose_actor_crashed_has_failed_and_one_that_was_killed_was_interrupted(shell: Shell) -> None:
    codes = []
    for number, crash in enumerate((ValueError("broken"), None)):
        shell.handle(accept(number))
        shell.exit(f"r{number}", crash)
        event = shell.published[-1].event
        assert isinstance(event, Error)
        codes.append(event.code)
    assert codes == ["agent_failed", "run_interrupted"]


def test_events_that_break_the_protocol_leave_the_run_as_it_was(shell: Shell) -> None:
    shell.handle(accept(1))
    before = shell.it.runs["r1"].protocol
    started = AgentStarted("a", "begins", 0.0)
    with pytest.raises(RunProtocolError):
        shell.handle(Record("r1", [started, started], SPEAKER))
    assert shell.it.runs["r1"].protocol == before
    assert shell.it.last_seq == 1


def test_streamed_text_is_sent_with_its_offset_and_restarts_at_zero(shell: Shell) -> None:
    shell.handle(accept(1))
    for text, restart in (("one ", False), ("two", False), ("x", True)):
        shell.handle(Delta("r1", text, restart=restart))
    pieces = [each.event for each in shell.sent]
    assert [(each.text, each.offset) for each in pieces if isinstance(each, PartialResult)] == [
        ("one ", 0), ("two", 4), ("", 0), ("x", 0),
    ]  # fmt: skip


def test_a_resumed_run_is_recorded_before_it_is_started(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart()
    assert [each for each in shell.did if each in ("commit", "start")] == ["commit", "start", "commit", "start"]
    assert shell.records["r1"].attempts == 1


def test_a_resumed_run_that_cannot_be_recorded_releases_its_permit_and_backs_off(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart(StorageUnavailable("disk"))
    assert (shell.at_work, shell.limiter.running) == ({}, 0)
    shell.handle(shell.timers["rested r1"])
    assert list(shell.at_work) == ["r1"]


def test_a_backoff_that_ends_after_its_run_was_cancelled_starts_nothing(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart(*[StorageUnavailable("disk")] * 2)
    shell.handle(CancelRun("r1"))
    assert list(shell.it.unfinished) == ["r1"]
    assert shell.handle(BackoffOver("r1")) == []


def test_a_stop_of_the_server_takes_back_the_recorded_attempt(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart()
    drive(shell.it.on_stop(shell, Shutdown()))  # type: ignore[arg-type]
    assert shell.changes[-1].attempt is not None
    assert shell.changes[-1].attempt.attempts == 0
    assert "r1" in shell.it.runs


def test_deleting_ends_every_run_before_the_thread(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    assert shell.handle(Delete())[-5:] == ["delete", "forget", "unsubscribe_all", "stop", "reply"]
    assert sum(isinstance(each.event, TERMINAL) for each in shell.published) == 3


def test_a_thread_with_a_run_is_not_deleted_for_its_age(shell: Shell) -> None:
    shell.handle(accept(1))
    assert shell.answer(Delete(unless_since=5.0)) == [False]
    assert shell.it.runs


def test_a_client_that_has_seen_more_than_the_log_is_resynced_once_that_is_verified(shell: Shell) -> None:
    shell.handle(accept(1))
    outbox: Any = Ref()
    assert shell.handle(FollowThread(outbox, 9)) == ["thread", "subscribe", "reply"]
    assert [each.envelope.event for each in outbox.told] == [Resync(1)]
    assert shell.thread is not None
    shell.thread = evolve(shell.thread, last_seq=9)
    assert shell.handle(FollowThread(outbox, 9)) == ["thread", "relocate", "stop"]
    assert len(outbox.told) == 1


def test_a_thread_that_another_node_claimed_is_given_up_at_the_start() -> None:
    thread = Thread("ada", "t", "title", "guide", None, 0.0, 0.0, last_seq=4, node="here", fence=3)
    mine = Shell(fence=Fence("here", 3), thread=thread)
    assert (mine.it.last_seq, mine.ref.told) == (4, [])
    other = Shell(fence=Fence("here", 3), thread=evolve(thread, node="other", fence=4))
    assert (other.it.last_seq, other.ref.told) == (4, [OwnershipLost()])


def test_queued_runs_are_sent_their_positions(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    shell.sent.clear()
    shell.handle(PublishPositions())
    notes = [each.event.note for each in shell.sent if isinstance(each.event, AgentProgress)]
    assert notes == [f"Waiting: {ahead} before this one in this conversation" for ahead in (1, 2)]


def test_a_conversation_that_lost_ownership_stops(shell: Shell) -> None:
    assert shell.handle(OwnershipLost()) == ["relocate", "stop"]


STEP = st.sampled_from(["accept", "repeat", "answer", "finish", "exit", "cancel", "retry", "wake", "down", "lost"])


@given(st.lists(st.tuples(STEP, st.integers(0, 12)), max_size=60), st.integers(0, 3))
def test_every_accepted_message_ends_once_whatever_fails(steps: list[tuple[str, int]], seed: int) -> None:
    """Commits fail, or seem to, in any order; afterwards the storage works and the queue is drained."""
    shell, chance = Shell(), random.Random(seed)
    for kind, number in steps:
        run_id = next(iter(shell.at_work), f"r{number}")
        match kind:
            case "accept" | "repeat":
                shell.handle(accept(number))
            case "answer" if run_id in shell.at_work:
                live = shell.it.runs[run_id]
                if not live.protocol.ended and not live.protocol.any_agent:
                    shell.handle(answered(run_id))
            case "finish" if run_id in shell.at_work:
                shell.handle(FinishRun(run_id, chance.choice(list(Ending))))
            case "exit":
                shell.exit_runs()
            case "cancel":
                shell.handle(CancelRun(f"r{number}"))
            case "retry":
                shell.handle(RetryFinish())
            case "wake":
                shell.handle(EnsureRunning(f"r{number}"))
            case "down" | "lost":
                shell.failing, shell.lost = [StorageUnavailable("disk")], kind == "lost"
        assert len(shell.it.queue) <= MAX_QUEUED + 1
        assert shell.limiter.running <= 1
        if shell.ended:
            shell.restart()
    shell.failing = []
    for _ in range(100):
        if shell.ended:
            shell.restart()
        if not shell.it.runs:
            break
        shell.handle(RetryFinish())
        for run_id in list(shell.it.runs):
            shell.handle(BackoffOver(run_id))
            if run_id in shell.limiter._running:
                shell.handle(PermitGranted(run_id))
        shell.exit_runs()
    for run_id, run in shell.records.items():  # one that seemed not to be stored, and that nobody asked about again
        if run.ended_at is None:
            shell.restart()
            shell.handle(FinishRun(run_id, Ending.INTERRUPTED))
    ends = Counter(row.run_id for row in shell.rows if row.type in {each.type for each in TERMINAL})
    assert ends == Counter(list(shell.records))
    assert [row.seq for row in shell.rows] == list(range(1, len(shell.rows) + 1))
    seqs = [each.seq or 0 for each in shell.published]
    assert seqs == sorted(set(seqs))
