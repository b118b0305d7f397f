"""What a conversation decides, without I/O: requests in, effects out.

`ConversationCore.handle` returns the steps of one request, a generator of effects. The conversation actor performs each
effect, sends its result back (or throws its `StorageError`), and sets `now` (Unix seconds) before each step. The
limiter is the one thing outside that a core calls itself: it is a table in memory, and never waits.

1. Each accepted message ends in exactly one terminal event: a run stays in `runs` until its end is committed, and an
   end that cannot be committed is retried until it can.
2. Events are published only after the `Commit` that holds them has succeeded, in the order of their numbers; `last_seq`
   and a run's protocol move on only then.
3. At most one run of a thread works. At most `MAX_QUEUED` wait behind it; a message beyond that is refused. A refused
   request has changed nothing.
4. That a run is resumed is committed before work on it starts, so that a run that kills its servers is found out. A run
   whose actor died is resumed like one whose server did.
5. If another node has the thread, or the log holds more than this core has committed (a commit whose answer was lost
   succeeded), `Relocate` ends the conversation and the request stays unanswered: its sender asks the next conversation
   of the thread, which starts from the log.
6. Each accepted steer is taken by its run once, or taken back by its user, or becomes an ordinary message in the
   transaction that withdraws it: before the end of its run is committed, none waits.
"""

import logging
import random
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from attrs import define, evolve, field, frozen

from actors import ActorRef, Ask, Lane
from transport.wire.codec import to_log
from transport.wire.commands import JsonObject, SteerMode
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import (
    TERMINAL,
    AgentProgress,
    AnswerOutcome,
    AskedAgent,
    CallSettled,
    Envelope,
    Event,
    FeedbackGiven,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    Resync,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
    ToolPartial,
    Typing,
)
from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, MAX_CRASHES, ActiveRun
from understudy.chat.conversation.event_log import read_acceptance, read_steer
from understudy.chat.conversation.undo import MAX_ATTEMPTS as MAX_UNDO_ATTEMPTS
from understudy.chat.conversation.undo import UndoWalk, plan_undo, template_after
from understudy.chat.envelope import wrap
from understudy.chat.messages import (
    Accept,
    AcceptSteer,
    AnswerAgain,
    AnswerQuestion,
    CancelRun,
    Decide,
    Delete,
    Delta,
    EndTurn,
    EnsureEffects,
    EnsureRunning,
    FinishRun,
    FollowThread,
    MessageInOtherThread,
    OwnershipLost,
    Partial,
    PermitGranted,
    PositionChanged,
    Progress,
    RateAnswer,
    Record,
    RequestSnapshot,
    RunRequest,
    Stop,
    TakeSteers,
    UndoCalls,
    WithdrawSteer,
)
from understudy.chat.routing import ANSWER
from understudy.chat.run.replay import SEPARATOR, Replay, steer_step
from understudy.chat.run_limiter import RunLimiter, queue_note, release_permit
from understudy.chat.run_protocol import Ending, OpenCall, RunProtocol
from understudy.chat.storage_away import AWAY
from understudy.content.summary import build_alert, build_summary, count_by_kind
from understudy.content.vault import equal_but_for_placeholders
from understudy.observe.logs import new_error_id
from understudy.storage.errors import (
    AlreadyStored,
    Fenced,
    NotStored,
    SequenceConflict,
    StorageUnavailable,
    Unstorable,
)
from understudy.storage.records import (
    Change,
    Fence,
    LoggedEvent,
    Message,
    RawText,
    RunAttempt,
    RunRecord,
    StepRecord,
    Thread,
)
from understudy.tools.tool import Tool

if TYPE_CHECKING:
    from understudy.storage.store import Store

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_QUEUED: Final = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
MAX_STEERS: Final = 16
"""Steers that may wait for one run; more are refused with `busy`."""
BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before an end, or a resumption, that could not be stored is tried again."""
TENANT_BUSY: Final = "Too many messages of your organisation wait for an answer; try again in a moment."
MAX_SETTLINGS: Final = 3
"""Attempts at settling one call after its run: a `reconcile` that kills its servers must not go on for ever."""
UNSETTLED: Final = "unsettled"
"""The status of the step of a call of an ended run whose tool is being asked whether it took effect."""
GOES_ON: Final = "Interrupted: goes on"
"""The note to the clients of a run whose actor died."""
RESYNC: Final = "You have seen more of this conversation than the server has; read the history and go on from here."
"""The message to a client that subscribes beyond the end of the log."""


@frozen
class RetryFinish:
    """To a conversation: store the ends of runs that could not be stored before."""


@frozen
class BackoffOver:
    """To a conversation: the run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """To a conversation: send every queued run its position again."""


@frozen
class ResumeEffects:
    """To a core: an undo of this run, or the settling of its calls, lost its server; go on. `steps` are the run's."""

    run: RunRecord
    steps: Sequence[StepRecord]


@frozen
class UndoEnded:
    """To a core: the attempt to undo the next call of a run has ended; `sentence` says why it failed, or is empty."""

    run_id: str
    sentence: str


@frozen
class Settled:
    """To a core: it is known whether a call of an ended run took effect; `steps` record its result."""

    template: Envelope
    event: CallSettled
    steps: Sequence[StepRecord]


@frozen
class RetryUndo:
    """To a conversation: go on with an undo whose progress could not be stored before."""

    run_id: str


@frozen
class RunExited:
    """To a core: the actor of a run has ended; `crash` is the error if it crashed."""

    run_id: str
    reason: str
    crash: BaseException | None = None


@frozen
class ResumeExited:
    """To a conversation: resume a run whose actor died, and which could not be read before."""

    died: RunExited
    error_id: str


# effects


@frozen
class Query:
    """Await a call of the store; what it returns is the result."""

    call: "Callable[[Store], Awaitable[Any]]"


@frozen
class Commit:
    """Commit a change, in which `answers` are final. If it takes long, the subscribers are notified that `run` waits.

    `after_checkpoint`: first wait for the checkpoint that is being stored, so that an older step replaces no newer one.
    """

    change: Change
    run: ActiveRun | None = None
    answers: Sequence[str] = ()
    after_checkpoint: bool = False


@frozen
class PublishEvents:
    """Send committed events to every subscriber; `arrived_at` is when the message came that they accept."""

    envelopes: Sequence[Envelope]
    arrived_at: float | None = None


@frozen
class Send:
    """Send an event that is not logged to every subscriber, or to `outbox` alone, as a `reply` or not.

    `alert`: to all connections of the user, ahead of their queues.
    """

    envelope: Envelope
    outbox: ActorRef | None = None
    reply: bool = False
    alert: bool = False


@frozen
class SendFeedback:
    """Count a rating, and send its event to every subscriber and to the sender of the rating."""

    event: FeedbackGiven
    ask: RateAnswer


@frozen
class Subscribe:
    """Subscribe an outbox: from its own cursor, from `after`, or from `accepted`, which it is sent again."""

    outbox: ActorRef | None
    after: int | None = None
    accepted: Envelope | None = None


@frozen
class ReadRun:
    """Read an unfinished run from the log, after the checkpoint that is being stored; None if it has ended there."""

    run_id: str


@frozen
class StartRun:
    """Start the actor of a run; with `replay` it resumes."""

    request: RunRequest
    replay: Replay | None


@frozen
class SettleCall:
    """Ask the tool of a call of an ended run, beside other work, whether the call took effect.

    `step` is that of the call: its status says so until the answer is stored, its result has agent and attempts.
    """

    template: Envelope
    step: StepRecord
    tool: Tool

    def with_attempts(self, more: int) -> "SettleCall":
        """Return it with so many more attempts."""
        kept = self.step.result
        return evolve(self, step=evolve(self.step, result=kept | {"attempts": kept["attempts"] + more}))


@frozen
class StartUndo:
    """Start the actor that undoes the next call of this undo with the tool's `undo`."""

    undo: UndoWalk
    tool: Tool


@frozen
class TellRun:
    """Send the actor of a run a message. `lane` HIGH: ahead of the messages that wait in its mailbox."""

    run_id: str
    message: object
    lane: Lane = Lane.NORMAL


@frozen
class StopRun:
    """Stop the actor of a run now, and wait until it has stopped."""

    run_id: str


@frozen
class AnswerRequest:
    """Reply to a request with `value`, or fail it with `error`."""

    ask: Ask[Any]
    value: Any = None
    error: Exception | None = None


@frozen
class StartTimer:
    """Have `message` sent to the conversation after `after_s` seconds; it replaces a timer of the same name."""

    name: str
    after_s: float
    message: object


@frozen
class CountResumed:
    """Count a run that had lost its server, by what became of it."""

    outcome: str


@frozen
class Relocate:
    """End the conversation: its subscribers go on with the next one. `why` None: another node owns the thread."""

    why: str | None = None


@frozen
class ForgetThread:
    """The thread is deleted: drop all data of it in this process, unsubscribe all, and end the conversation."""


def given_up(step: StepRecord) -> StepRecord:
    """Return the step of an unsettled call as that of any interrupted one."""
    return evolve(step, status="started", result=None)


Steps: TypeAlias = Generator[Any, Any, T]
"""A generator of effects that is sent their results; T is what it returns."""


@define(eq=False)
class ConversationCore:
    """The state of one thread. `last_seq` is the number of its last event, 0 if there is none.

    `runs` has all runs without a committed end, by id, in `queue` in the order of work; `unfinished` the ends that are
    not stored yet; `undos` the undos at work, by the id of their run; `doubts` the calls that are being settled, by id.
    `newest_answer` is the id of the answer with which the newest branch ends or will end. `fence` is the right of this
    node to write the log, None on a single node; `waiter` is sent the permits that are granted.
    `summary_from` is the number of findings from which the user is sent a summary; `silence_s` the interval of
    positions.
    """

    owner: str
    thread_id: str
    agents: Mapping[str, Agent]
    limiter: RunLimiter[Any]
    fence: Fence | None = None
    summary_from: int = 1
    silence_s: float = 10.0
    chance: random.Random = field(factory=random.Random)
    waiter: Any = field(default=None, init=False)
    now: float = field(default=0.0, init=False)
    last_seq: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)
    newest_answer: str | None = field(default=None, init=False)
    runs: dict[str, ActiveRun] = field(factory=dict, init=False)
    queue: deque[ActiveRun] = field(factory=deque, init=False)
    unfinished: dict[str, FinishRun] = field(factory=dict, init=False)
    undos: dict[str, UndoWalk] = field(factory=dict, init=False)
    doubts: dict[str | None, SettleCall] = field(factory=dict, init=False)

    def load(self, thread: Thread) -> bool:
        """Continue at the end of the log. Return False if another node has claimed the thread since."""
        self.exists, self.last_seq = True, thread.last_seq
        self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
        return self._owns(thread)

    def _owns(self, thread: Thread) -> bool:
        return self.fence is None or (thread.node, thread.fence) == (self.fence.node, self.fence.token)

    def resume(self, live: ActiveRun) -> Steps[None]:
        """Enqueue a run that lost its server; it resumes once it is the first."""
        release_permit(self.limiter, live.request.run_id)
        yield from self._enqueue(live)

    def suspend(self) -> Steps[None]:
        """Leave unfinished runs in the log, to be resumed by the thread's next owner.

        A stop of the server is no failed attempt, at a run, an undo or the settling of a call: those that were recorded
        are taken back.
        """
        for run_id, live in self.runs.items():
            if live.protocol.ended:
                continue
            log.info("run.put_down", extra={"run_id": run_id})
            if (attempt := live.attempt) is not None and attempt.recorded:
                try:
                    yield Commit(self._attempt(run_id, attempt.number - 1, attempt.progress))
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": run_id})
        steps = [undo.attempted(-1) for undo in self.undos.values() if undo.at_work]
        steps += [doubt.with_attempts(-1).step for doubt in self.doubts.values()]
        if steps:
            try:
                yield Commit(Change(self.owner, self.thread_id, steps=tuple(steps), fence=self.fence))
            except StorageUnavailable:
                log.warning("effects.attempts_not_given_back", extra={"calls": len(steps)})

    def handle(self, request: object) -> Steps[None]:
        """Return the steps of one request; `understudy.chat.messages` says what each request means."""
        try:
            match request:
                case Delta(run_id):
                    if (live := self.runs.get(run_id)) is not None and not live.protocol.ended:
                        if request.restart:
                            live.restart_text()
                        piece = live.append_text(request.text, tuple(request.blocks), request.stored)
                        if request.text:
                            yield Send(self._wrap_text(live, piece))
                case Partial(run_id, call_id, offset, items):
                    if (live := self.runs.get(run_id)) is not None and call_id in live.protocol.calls:
                        yield self._send(live, ToolPartial(call_id, offset, items))
                case Progress(run_id, note, done, total):
                    if (live := self.runs.get(run_id)) is not None:
                        yield self._send(live, AgentProgress(done, note, total))
                case Record():
                    yield from self._record(request)
                case Accept() | AnswerAgain():
                    yield from self._accept(request)
                case FinishRun():
                    yield from self._finish(request)
                    yield AnswerRequest(request)
                case RunExited():
                    yield from self._run_exited(request)
                case ResumeExited(died, error_id):
                    if (live := self.runs.get(died.run_id)) is not None and not live.started and not live.stopped:
                        yield from self._resume_exited(live, died, error_id)
                case CancelRun():
                    yield from self._cancel(request)
                case AcceptSteer():
                    yield from self._accept_steer(request)
                case WithdrawSteer():
                    yield from self._withdraw_steer(request)
                case TakeSteers():
                    yield from self._take_steers(request)
                case Decide():
                    yield from self._decide(request)
                case AnswerQuestion():
                    yield from self._answer_question(request)
                case UndoCalls():
                    yield from self._undo(request)
                case ResumeEffects(run, steps):
                    if (undo := UndoWalk.resumed(run, steps)).left:
                        self.undos[run.id] = undo
                        yield from self._undo_next(undo)
                    for step in steps:
                        if step.status == UNSETTLED:
                            yield from self._settle_again(run, step)
                case UndoEnded(run_id, sentence):
                    if (undone := self.undos.get(run_id)) is not None:
                        undone.outcome, undone.at_work = sentence, False
                        yield from self._undo_next(undone)
                case Settled():
                    yield from self._settled(request)
                case RetryUndo(run_id):
                    if (undone := self.undos.get(run_id)) is not None:
                        yield from self._undo_next(undone)
                case PermitGranted(run_id):
                    yield from self._start_run(run_id)
                case BackoffOver(run_id):
                    live = self.runs.get(run_id)
                    if live is not None and not live.started and live.attempt and self.queue and self.queue[0] is live:
                        live.attempt.due = True
                        yield from self._start_next()
                case PositionChanged(run_id):
                    if (live := self.runs.get(run_id)) is not None:
                        yield from self._send_position(live)
                case PublishPositions():
                    yield from self._publish_positions()
                case RetryFinish():
                    for finish in list(self.unfinished.values()):
                        yield from self._finish(finish)
                case EnsureRunning(run_id):
                    with suppress(StorageUnavailable):  # the recovery actor asks again
                        yield from self._ensure_queued(run_id)
                case EnsureEffects(run_id):
                    with suppress(StorageUnavailable):  # the recovery actor asks again
                        known = run_id in self.undos or any(each.step.run_id == run_id for each in self.doubts.values())
                        if not known:
                            open_effects = yield Query(lambda store: store.open_effects(self.owner, self.thread_id))
                            if any(run.id == run_id for run in open_effects):
                                yield Relocate("EffectsNotKnown")
                case FollowThread():
                    yield from self._subscribe(request)
                case RequestSnapshot(outbox):
                    for live in self.runs.values():
                        if (text := live.snapshot()) is not None:
                            yield Send(self._wrap_text(live, text), outbox)
                case RateAnswer():
                    yield from self._rate(request)
                case Delete():
                    yield from self._delete(request)
                case OwnershipLost():
                    yield Relocate()
        except Fenced:
            yield Relocate()
        except (SequenceConflict, NotStored) as outrun:
            yield Relocate(type(outrun).__name__)  # its text may have the thread's id, which is the user's own word

    # accepting messages

    def _accept(self, ask: Accept | AnswerAgain) -> Steps[None]:
        limiter, live = self.limiter, None
        try:
            known = yield from self._accepted_before(ask)
            if known:
                return
            if len(self.queue) > MAX_QUEUED:
                raise CommandRejected("busy", f"{MAX_QUEUED} messages wait in this conversation already.", BUSY_S)
            if not limiter.reserve(ask.run_id, self.owner, behind=bool(self.queue)):
                sentence = TENANT_BUSY if limiter.tenant_fills_queue(self.owner) else ""
                raise CommandRejected("busy", sentence, BUSY_S)
            try:
                live = yield from self._store_message(ask)
            except AlreadyStored:
                pass  # in another thread, at this moment
            finally:
                if live is None:
                    release_permit(limiter, ask.run_id)
            if live is not None:
                yield from self._enqueue(live)
                return
            known = yield from self._accepted_before(ask)
            if not known:
                raise CommandRejected("storage_unavailable", retry_after=RETRY_S)
        except (CommandRejected, MessageInOtherThread) as refused:
            yield AnswerRequest(ask, error=refused)
        except StorageUnavailable:
            yield AnswerRequest(ask, error=CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except Unstorable:
            yield AnswerRequest(ask, error=CommandRejected("invalid_command", "That text cannot be stored."))

    def _accepted_before(self, ask: Accept | AnswerAgain) -> Steps[bool]:
        """Reply to a repeated request with its acceptance and all that came after. Return False if it is not repeated.

        Raises:
            CommandRejected, MessageInOtherThread: Another request was accepted under this id.
        """
        if isinstance(ask, Accept):
            prior = yield Query(lambda store: store.message(self.owner, ask.message_id))
            if prior is None:
                return False
            yield from self._check_same(ask, prior)
            run_id = prior.run_id
        else:
            prior, run, request_id = ask.message, None, ask.request_id
            if request_id is not None:
                run = yield Query(lambda store: store.run_of_request(self.owner, request_id))
                if run is not None and run.message_id != ask.message.id:
                    raise CommandRejected("message_id_reused", "That request_id names another request already.")
            run_id = None if run is None else run.id
        if run_id is None:
            return False
        queued = yield from self._ensure_queued(run_id)
        if queued:
            accepted = yield Query(lambda store: read_acceptance(store, prior, run_id))
            yield Subscribe(ask.outbox, accepted=accepted)
            yield AnswerRequest(ask, run_id)
        return True

    def _check_same(self, ask: Accept, prior: Message) -> Steps[None]:
        """Raise if the stored message under the id of this one is another, or stands in another thread."""
        say = ask.say
        if prior.thread_id != self.thread_id:
            # A message that names no thread or conversation may mean the one in the other thread.
            named = say.thread_id is not None
            if not named and say.conversation_id is not None:
                run = yield Query(lambda store: store.run(prior.run_id or ""))
                named = run is None or run.conversation_id != say.conversation_id
            raise CommandRejected("message_id_reused") if named else MessageInOtherThread(prior.thread_id)
        same_place = prior.branch_of == ask.branch_of and say.parent_id in (None, prior.parent_id)
        same_text = equal_but_for_placeholders(prior.content, ask.filtered.text)
        if not (same_place and same_text and prior.references == say.references):
            raise CommandRejected("message_id_reused")

    def _ensure_queued(self, run_id: str) -> Steps[bool]:
        """Return True if a run is queued or has ended; else the log holds more than this core knows: relocate."""
        if run_id not in self.runs:
            run = yield Query(lambda store: store.run(run_id))
            if run is not None and run.ended_at is None:
                yield Relocate("RunNotQueued")
                return False
        return True

    def _store_message(self, ask: Accept | AnswerAgain) -> Steps[ActiveRun]:
        """Commit a message with its run, publish its acceptance, and reply."""
        found, raw, request_id = None, None, None
        if isinstance(ask, Accept):
            filtered, references = ask.filtered, ask.say.references
            message_id, content, parent, branch_of = ask.message_id, filtered.text, ask.say.parent_id, ask.branch_of
            if branch_of is None:
                if parent is None:
                    parent = self.newest_answer
                else:
                    yield from self._check_parent(parent)
            beside, from_ = ask.context_findings, self.summary_from
            found = build_summary("inbound", filtered.findings, from_, omitted=filtered.omitted, beside=beside)
            if ask.raw is not None:
                raw = RawText(self.owner, message_id, self.thread_id, ask.raw)
            context, settings = ask.say.context, ask.say.settings
        else:
            message_id, content, references = ask.message.id, ask.message.content, ask.message.references
            parent, branch_of, request_id = ask.message.parent_id, ask.message.id, ask.request_id
        if branch_of is not None:
            if not self.exists:  # the thread was deleted at this moment
                raise CommandRejected("not_found", "There is no message of that name.")
            context, settings = yield from self._earlier_context(branch_of)
        route = ask.route
        live = ActiveRun(
            RunRequest(
                ask.run_id,
                self.owner,
                self.thread_id,
                message_id,
                content,
                references,
                route.agent,
                found,
                ask.roles,
                context,
                settings,
                ask.groups,
            ),
            RunProtocol(ask.run_id),
            Envelope(
                event=Typing(),
                timestamp=0.0,
                thread_id=self.thread_id,
                run_id=ask.run_id,
                message_id=message_id,
                conversation_id=route.conversation_id,
                agent_type=route.agent_type,
                pillar=route.pillar,
            ),
            regenerates=isinstance(ask, AnswerAgain),
            request_id=request_id,
        )
        yield Subscribe(ask.outbox)
        names = (message_id, ask.run_id, content, references, parent, branch_of)
        accepted = MessageAccepted(*names, context or None, settings or None)
        yield from self._commit(live, [accepted], raw=raw, arrived_at=ask.arrived_at)
        if isinstance(ask, Accept):
            alert = build_alert((*ask.filtered.findings, *ask.context_findings))
            if alert is not None:
                yield Send(wrap(alert, live.envelope_template, now=self.now), alert=True)
        yield AnswerRequest(ask, ask.run_id)
        return live

    def _check_parent(self, named: str) -> Steps[None]:
        """Raise if a message does not follow an answer of this thread."""
        run = None
        if named.startswith(ANSWER):
            run = yield Query(lambda store: store.run(named.removeprefix(ANSWER)))
        if run is None or (run.owner, run.thread_id) != (self.owner, self.thread_id):
            raise CommandRejected("not_found", "There is no answer of that name in this conversation.")

    def _earlier_context(self, message_id: str) -> Steps[tuple[JsonObject, JsonObject]]:
        """Return the context and settings that a stored message was accepted with, from the log."""
        earlier = yield Query(lambda store: store.message(self.owner, message_id))
        run_id = None if earlier is None else earlier.run_id
        if run_id is None:
            return {}, {}
        try:
            accepted = (yield Query(lambda store: read_acceptance(store, earlier, run_id))).event
        except UnreadableEvent:  # the message itself can be read, and is answered without what came with it
            return {}, {}
        if not isinstance(accepted, MessageAccepted):
            return {}, {}
        return accepted.context or {}, accepted.settings or {}

    # the log

    def _commit(
        self,
        live: ActiveRun,
        events: Sequence[Event],
        *,
        steps: Sequence[StepRecord] = (),
        raw: RawText | None = None,
        arrived_at: float | None = None,
        after_checkpoint: bool = False,
        beside: tuple[ActiveRun, Sequence[Event]] | None = None,
    ) -> Steps[None]:
        """Number, commit and publish events of a run.

        `arrived_at` is when the message came that the first event accepts. `beside` are events of another run that
        precede them in the same transaction.

        Raises:
            RunProtocolError: An event breaks the run's protocol. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        opening, run_id, before, ended = not live.protocol.accepted, live.request.run_id, list[Envelope](), None
        if beside is not None:
            ended, before = self._number(*beside, self.last_seq)
        protocol, envelopes = self._number(live, events, self.last_seq + len(before))
        answers = [each.message for each in events if isinstance(each, FinalResponse)]
        change = live.change(envelopes, self.fence, steps=steps, raw=raw, new_thread=not self.exists)
        if beside is not None:
            change = evolve(change, events=(*beside[0].change(before, self.fence).events, *change.events))
        # The dispatcher notifies the sender of a message until it is accepted.
        yield Commit(change, None if opening else live, answers, after_checkpoint)
        live.protocol = protocol
        if beside is not None and ended is not None:
            beside[0].protocol = ended
        envelopes = [*before, *envelopes]
        self.last_seq += len(envelopes)
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + run_id
        yield PublishEvents(envelopes, arrived_at)

    def _number(self, live: ActiveRun, events: Sequence[Event], last: int) -> tuple[RunProtocol, list[Envelope]]:
        """Number events of a run from `last` + 1. Return the protocol state after them, and their envelopes.

        Raises:
            RunProtocolError: An event breaks the run's protocol.
        """
        protocol, envelopes = live.protocol.copy(), []
        for number, event in enumerate(events, last + 1):
            protocol.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=self.now, seq=number))
        return protocol, envelopes

    # runs

    def _enqueue(self, live: ActiveRun) -> Steps[None]:
        self.runs[live.request.run_id] = live
        self.queue.append(live)
        if self.queue[0] is live:
            yield from self._start_next()
        yield from self._publish_positions()

    def _dequeue(self, live: ActiveRun) -> Steps[None]:
        first = bool(self.queue) and self.queue[0] is live
        self.queue.remove(live)
        release_permit(self.limiter, live.request.run_id)
        for ask in live.decisions:
            if ask.waiting:
                yield AnswerRequest(ask, False)
        if live.protocol.ended:
            del self.runs[live.request.run_id]
        if first:
            yield from self._start_next()
        yield from self._publish_positions()

    def _start_next(self) -> Steps[None]:
        """Start the first run of the queue: now, when it is granted a permit, or when its backoff is over."""
        if not self.queue:
            return
        live = self.queue[0]
        run_id, attempt = live.request.run_id, live.attempt
        if attempt is not None and not attempt.recorded:
            if (reason := attempt.unresumable_reason(self.agents)) is not None:
                yield from self._abandon(live, *reason)
                return
            if not attempt.due:
                yield StartTimer(f"rested {run_id}", attempt.backoff_s(self.chance), BackoffOver(run_id))
                return
        if self.limiter.acquire(run_id, self.owner, self.waiter):
            yield from self._start_run(run_id)

    def _start_run(self, run_id: str) -> Steps[None]:
        """Start a run that has its permit, or resume it."""
        live = self.runs.get(run_id)
        if live is None or live.stopped or live.started:
            return
        replay, attempt = None, live.attempt
        if attempt is not None:
            try:
                yield Commit(self._attempt(run_id, attempt.number, attempt.progress), live)
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                yield self._send(live, AgentProgress(0, AWAY))
                release_permit(self.limiter, run_id)
                yield StartTimer(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            attempt.recorded = True
            live.request = evolve(live.request, agent=attempt.agent(self.agents) or live.request.agent)
            extra = {"run_id": run_id, "attempt": attempt.number, "steps": attempt.progress}
            log.warning("run.taken_up", extra=extra)
            yield CountResumed("resumed")
            replay, attempt.replay = attempt.replay, None
        yield StartRun(live.request, replay)
        live.started = True
        for steer in live.protocol.waiting_steers:
            if steer.mode == SteerMode.NOW:
                yield TellRun(run_id, EndTurn(steer.steer_id), Lane.HIGH)
        for ask in live.decisions:
            if ask.waiting:  # otherwise its user got an error for the decision
                yield TellRun(run_id, ask)

    def _attempt(self, run_id: str, number: int, progress: int) -> Change:
        return Change(self.owner, self.thread_id, attempt=RunAttempt(run_id, number, progress), fence=self.fence)

    def _record(self, ask: Record) -> Steps[None]:
        live = self.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            yield AnswerRequest(ask, error=LookupError(f"run {ask.run_id} has ended"))
            return
        if ask.speaker != (live.envelope_template.agent_type, live.envelope_template.pillar):
            live.set_speaker(*ask.speaker)
        try:
            if isinstance(ask.events[-1] if ask.events else None, TERMINAL):
                yield from self._turn_into_message(live)
            yield from self._commit(live, ask.events, steps=ask.steps, after_checkpoint=True)
        except StorageUnavailable as error:
            yield self._send(live, AgentProgress(0, AWAY))
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask)

    def _finish(self, finish: FinishRun) -> Steps[None]:
        """Commit the end of a run that has no answer; retry later if it cannot be stored now."""
        run_id = finish.run_id
        live = self.runs.get(run_id)
        if live is None or live.protocol.ended:
            self.unfinished.pop(run_id, None)
            return
        doubts = {
            call.call_id: tool
            for call in live.protocol.calls.values()
            if (tool := self._tool_in_doubt(call)) is not None
        }
        events = live.protocol.closing_events(
            finish.ending,
            now=self.now,
            text=live.text,
            sentence=finish.sentence,
            error_id=finish.error_id,
            retry_after=finish.retry_after_s,
            retryable=finish.retryable,
            in_doubt=doubts,
        )
        settling: list[SettleCall] = []
        try:
            for call_id, tool in doubts.items():
                step = None if tool.reconcile is None else (yield from self._step_of(call_id))
                if step is not None:
                    kept = {"attempts": 1, "agent": live.protocol.calls[call_id].agent_id.rpartition("-")[0]}
                    step = evolve(step, status=UNSETTLED, result=kept)
                    settling.append(SettleCall(live.envelope_template, step, tool))
            yield from self._turn_into_message(live)
            yield from self._commit(live, events, steps=[each.step for each in settling])
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": run_id})
            yield self._send(live, AgentProgress(0, AWAY))  # the run itself gives no sign of life any more
            self.unfinished[run_id] = finish
            yield StartTimer("retry", RETRY_S, RetryFinish())
            return
        self.unfinished.pop(run_id, None)
        for doubt in settling:
            self.doubts[doubt.step.call_id] = doubt
            yield doubt
        if not live.started and live not in self.queue:
            del self.runs[run_id]

    def _tool_in_doubt(self, call: OpenCall) -> Tool | None:
        """Return the tool of an open call that may have taken effect: it was at work, and may not be repeated."""
        agent = self.agents.get(call.agent_id.rpartition("-")[0])
        tool = None if agent is None else agent.tool(call.tool_name)
        return None if call.waits or tool is None or tool.retry_safe else tool

    def _step_of(self, call_id: str) -> Steps[StepRecord | None]:
        found = yield Query(lambda store: store.step_of_call(call_id))
        return None if found is None else found[0]

    def _settle_again(self, run: RunRecord, step: StepRecord) -> Steps[None]:
        """Go on with the settling of a call that lost its server; after too many attempts the call stays unknown."""
        agent = self.agents.get(step.result["agent"])
        tool = None if agent is None else agent.tool(step.name)
        if tool is None or tool.reconcile is None or step.result["attempts"] >= MAX_SETTLINGS:
            unknown = CallSettled(step.call_id or "", step.name, "unknown")
            yield from self._settled(Settled(template_after(run), unknown, (given_up(step),)))
            return
        doubt = SettleCall(template_after(run), step, tool).with_attempts(1)
        try:
            yield Commit(Change(self.owner, self.thread_id, steps=(doubt.step,), fence=self.fence))
        except StorageUnavailable:  # the recovery actor asks again
            log.warning("call.not_settled", extra={"run_id": run.id})
            return
        self.doubts[step.call_id] = doubt
        yield doubt

    def _settled(self, settled: Settled) -> Steps[None]:
        """Commit whether a call of an ended run took effect. If it cannot be stored now, it is tried again later."""
        call_id = settled.event.call_id
        try:
            yield from self._commit_after_end(settled.template, settled.event, settled.steps)
        except StorageUnavailable:
            log.warning("call.not_settled", extra={"run_id": settled.template.run_id})
            yield StartTimer(f"settle {call_id}", RETRY_S, settled)
        else:
            self.doubts.pop(call_id, None)

    def _run_exited(self, exited: RunExited) -> Steps[None]:
        """Start the next run, or resume this one, if its actor died before its end was committed."""
        run_id = exited.run_id
        live = self.runs.get(run_id)
        if live is None:
            return
        live.started = False
        if live.protocol.ended or run_id in self.unfinished:
            yield from self._dequeue(live)
            return
        error_id, crash = new_error_id(), exited.crash
        extra = {"run_id": run_id, "reason": exited.reason, "error_id": error_id}
        log.log(logging.WARNING if crash is None else logging.ERROR, "run.died", extra=extra, exc_info=crash)
        if live.stopped:
            yield from self._finish(FinishRun(run_id, Ending.CANCELLED))
            yield from self._dequeue(live)
        else:
            yield from self._resume_exited(live, exited, error_id)

    def _resume_exited(self, live: ActiveRun, died: RunExited, error_id: str) -> Steps[None]:
        """Resume a run from the log, as after the death of its server; end it if its own code crashes repeatedly."""
        run_id = died.run_id
        try:
            recorded = yield ReadRun(run_id)
        except StorageUnavailable:
            log.warning("run.not_taken_up", extra={"run_id": run_id})
            yield self._send(live, AgentProgress(0, AWAY))
            yield StartTimer(f"rested {run_id}", RETRY_S, ResumeExited(died, error_id))
            return
        attempt = None if recorded is None else recorded.attempt
        if attempt is None:  # the end was stored, although that seemed to fail
            raise SequenceConflict(self.thread_id, self.last_seq, self.last_seq)
        if died.crash is not None and attempt.number > MAX_CRASHES:
            yield from self._finish(FinishRun(run_id, Ending.FAILED, error_id=error_id))
            yield from self._dequeue(live)
            return
        live.resume_as(recorded)
        if attempt.due:
            yield self._send(live, AgentProgress(0, GOES_ON))
        else:
            release_permit(self.limiter, run_id, resting=True)
        if (text := live.snapshot()) is not None:
            yield Send(self._wrap_text(live, text))
        yield from self._start_next()
        yield from self._publish_positions()

    def _abandon(self, live: ActiveRun, why: str, sentence: str) -> Steps[None]:
        """End a run that cannot be resumed, and start the next one."""
        error_id, run_id = new_error_id(), live.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        yield CountResumed(why)
        yield from self._finish(FinishRun(run_id, Ending.INTERRUPTED, sentence, error_id))
        yield from self._dequeue(live)

    def _cancel(self, ask: CancelRun) -> Steps[None]:
        live = self.runs.get(ask.run_id)
        if live is None:
            try:
                queued = yield from self._ensure_queued(ask.run_id)
            except StorageUnavailable as error:
                yield AnswerRequest(ask, error=error)
                return
            if queued:
                yield AnswerRequest(ask, False)
            return
        if ask.waiting and live.started:
            yield AnswerRequest(ask, False)
            return
        if (finish := self.unfinished.get(ask.run_id)) is not None:  # its end is not stored yet
            yield AnswerRequest(ask, finish.ending is Ending.CANCELLED)
            return
        live.stopped = True
        if live.started:
            yield TellRun(ask.run_id, Stop())
        else:
            yield from self._finish(FinishRun(ask.run_id, Ending.CANCELLED))
            yield from self._dequeue(live)
        yield AnswerRequest(ask, True)

    def _decide(self, ask: Decide) -> Steps[None]:
        """Pass a decision to the run whose call waits for it, or keep it until that run is started."""
        live = next((each for each in self.runs.values() if ask.call_id in each.protocol.calls), None)
        if live is None or not (call := live.protocol.calls[ask.call_id]).waits:
            same = live is not None and call.decision is ask.decision and call.parameters == ask.parameters
            yield AnswerRequest(ask, same)  # a repeat of the decision is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            yield TellRun(live.request.run_id, ask)

    def _answer_question(self, ask: AnswerQuestion) -> Steps[None]:
        """Pass an answer to the run that asked, or keep it until that run is started."""
        live = next((each for each in self.runs.values() if ask.question_id in each.protocol.questions), None)
        if live is None or not (question := live.protocol.questions[ask.question_id]).waits:
            given = None if live is None else question.answer
            same = given is not None and given.outcome is not AnswerOutcome.EXPIRED and given.answer == ask.answer
            yield AnswerRequest(ask, same)  # a repeat of the answer is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            yield TellRun(live.request.run_id, ask)

    # steers

    def _accept_steer(self, ask: AcceptSteer) -> Steps[None]:
        """Commit a steer of a run that has not ended, and notify the run if its turn is to end."""
        live, run_id, steer_id = self.runs.get(ask.run_id), ask.run_id, ask.steer_id
        try:
            if live is None:
                queued = yield from self._ensure_queued(run_id)
                if not queued:
                    return
            if live is None or steer_id in live.protocol.steers:
                known = yield from self._steered_before(ask)
                if known:
                    return
            if live is None or live.protocol.ended or live.stopped or run_id in self.unfinished:
                raise CommandRejected("run_ended")
            if len(live.protocol.waiting_steers) >= MAX_STEERS:
                raise CommandRejected("busy", f"{MAX_STEERS} messages wait for this run already.", BUSY_S)
            other = yield Query(lambda store: store.message(self.owner, steer_id))
            if other is not None:
                raise CommandRejected("message_id_reused")
            raw = None if ask.raw is None else RawText(self.owner, steer_id, self.thread_id, ask.raw)
            mode = SteerMode.NOW if ask.now else SteerMode.NEXT
            findings = count_by_kind(ask.filtered.findings) or None
            yield Subscribe(ask.outbox)
            steer = SteerAccepted(steer_id, ask.filtered.text, mode.value, findings)
            yield from self._commit(live, [steer], raw=raw)
        except CommandRejected as refused:
            yield AnswerRequest(ask, error=refused)
            return
        except StorageUnavailable:
            yield AnswerRequest(ask, error=CommandRejected("storage_unavailable", retry_after=RETRY_S))
            return
        except Unstorable:
            yield AnswerRequest(ask, error=CommandRejected("invalid_command", "That text cannot be stored."))
            return
        if ask.now and live.started:
            yield TellRun(run_id, EndTurn(steer_id), Lane.HIGH)
        alert = build_alert(ask.filtered.findings)
        if alert is not None:
            yield Send(wrap(alert, live.envelope_template, now=self.now), alert=True)
        yield AnswerRequest(ask, True)

    def _steered_before(self, ask: AcceptSteer) -> Steps[bool]:
        """Reply to a repeated steer with its acceptance. Return False if it is not repeated, or not in the log.

        Raises:
            CommandRejected: Another steer was accepted under this id.
        """
        accepted = yield Query(lambda store: read_steer(store, self.owner, self.thread_id, ask.run_id, ask.steer_id))
        if accepted is None:
            return False
        if not equal_but_for_placeholders(accepted.event.content, ask.filtered.text):
            raise CommandRejected("message_id_reused")
        yield Subscribe(ask.outbox, accepted=accepted)
        yield AnswerRequest(ask, False)
        return True

    def _withdraw_steer(self, ask: WithdrawSteer) -> Steps[None]:
        """Commit that a waiting steer is taken back. One that ends the turn of a working run cannot be."""
        live = self.runs.get(ask.run_id)
        try:
            if live is None:
                queued = yield from self._ensure_queued(ask.run_id)
                if not queued:
                    return
            steer = None if live is None else live.protocol.steers.get(ask.steer_id)
            if live is None or steer is None or (live.started and steer.mode == SteerMode.NOW):
                yield AnswerRequest(ask, False)
                return
            yield from self._commit(live, [SteerWithdrawn(ask.steer_id)])
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask, True)

    def _take_steers(self, ask: TakeSteers) -> Steps[None]:
        """Commit that a run takes the steers that wait, each with a step that keeps its place in the run."""
        live = self.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            yield AnswerRequest(ask, error=LookupError(f"run {ask.run_id} has ended"))
            return
        waiting = tuple(live.protocol.waiting_steers)
        events = [SteerTaken(each.steer_id, ask.turn) for each in waiting]
        numbered = enumerate(waiting, ask.last_step + 1)
        steps = [steer_step(ask.run_id, number, each, self.now) for number, each in numbered]
        try:
            if waiting:
                yield from self._commit(live, events, steps=steps, after_checkpoint=True)
        except StorageUnavailable as error:
            yield self._send(live, AgentProgress(0, AWAY))
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask, waiting)

    def _turn_into_message(self, live: ActiveRun) -> Steps[None]:
        """Make the steers that a run did not take one message that follows it, as the run is about to end.

        Raises:
            StorageError: They are not stored as a message, and still wait for the run.
        """
        waiting = live.protocol.waiting_steers
        if not waiting:
            return
        message_id = waiting[0].steer_id
        taken = yield Query(lambda store: store.message(self.owner, message_id))
        if taken is not None:
            message_id = uuid.uuid4().hex
        content, run_id = SEPARATOR.join(each.content for each in waiting), uuid.uuid4().hex
        template = live.envelope_template
        asked = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)
        following = ActiveRun(
            evolve(live.request, run_id=run_id, message_id=message_id, content=content, references=(),
                   findings_summary=None),
            RunProtocol(run_id),
            template.replace(
                run_id=run_id, message_id=message_id, agent_type=asked.agent_type, pillar=asked.pillar, asked_agent=None
            ),
        )  # fmt: skip
        names = (message_id, run_id, content, (), self.newest_answer, None)
        accepted = MessageAccepted(*names, live.request.context or None, live.request.settings or None)
        withdrawn = [SteerWithdrawn(each.steer_id, message_id) for each in waiting]
        yield from self._commit(following, [accepted], beside=(live, withdrawn))
        yield from self._enqueue(following)

    # undo

    def _undo(self, ask: UndoCalls) -> Steps[None]:
        """Commit which calls of an ended run are to be undone, reply, and begin with the newest."""
        run_id = ask.run_id
        try:
            live, undo = self.runs.get(run_id), self.undos.get(run_id)
            if live is not None and not live.protocol.ended:
                raise CommandRejected("busy", "The run is still at work: stop it, or wait for its end.", BUSY_S)
            if undo is not None:
                if not undo.takes_back(ask.call_id):
                    raise CommandRejected("busy", "Another call of this run is being undone.", RETRY_S)
                yield AnswerRequest(ask)
                return
            queued = yield from self._ensure_queued(run_id)
            if not queued:
                return
            run = yield Query(lambda store: store.run(run_id))
            if run is None:
                raise CommandRejected("not_found")
            steps = yield Query(lambda store: store.steps(run_id))
            undo = plan_undo(run, steps, ask.call_id, self.now, ask.roles)
            yield from self._commit_after_end(template_after(undo.run), undo.started, undo.left)
        except CommandRejected as refused:
            yield AnswerRequest(ask, error=refused)
            return
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        self.undos[run_id] = undo
        yield AnswerRequest(ask)
        yield from self._undo_next(undo)

    def _undo_next(self, undo: UndoWalk) -> Steps[None]:
        """Commit the outcome of the last attempt, if there is one, and begin the next, until none is left.

        What cannot be committed now is tried again later.
        """
        run_id = undo.run.id
        try:
            while True:
                if undo.outcome is not None:
                    event, steps = undo.ended(undo.outcome, self.now)
                    yield from self._commit_after_end(template_after(undo.run), event, steps)
                    del undo.left[: len(steps)]
                    undo.outcome = None
                if not undo.left:
                    del self.undos[run_id]
                    return
                tool, step = undo.tool(self.agents), undo.next_attempt()
                if tool is None:
                    undo.outcome = "Its tool cannot undo it any more."
                elif step is None:
                    undo.outcome = f"It was interrupted {MAX_UNDO_ATTEMPTS} times."
                else:
                    yield Commit(Change(self.owner, self.thread_id, steps=(step,), fence=self.fence))
                    undo.left[0], undo.at_work = step, True
                    yield StartUndo(undo, tool)
                    return
        except StorageUnavailable:
            log.warning("undo.not_stored", extra={"run_id": run_id})
            yield StartTimer(f"undo {run_id}", RETRY_S, RetryUndo(run_id))

    def _commit_after_end(self, template: Envelope, event: Event, steps: Sequence[StepRecord]) -> Steps[None]:
        """Commit and publish an event about an ended run, with steps."""
        envelope = wrap(event, template, now=self.now, seq=self.last_seq + 1)
        logged = LoggedEvent(self.last_seq + 1, event.type, template.run_id, to_log(envelope))
        change = Change(self.owner, self.thread_id, events=(logged,), steps=tuple(steps), fence=self.fence)
        yield Commit(change)
        self.last_seq += 1
        yield PublishEvents([envelope])

    # subscribers

    def _send(self, live: ActiveRun, event: Event) -> Send:
        """Return the effect that sends every subscriber an event that is not logged."""
        return Send(wrap(event, live.envelope_template, now=self.now))

    def _wrap_text(self, live: ActiveRun, piece: PartialResult) -> Envelope:
        """Put a piece of a run's text into an envelope that names the text it is a piece of."""
        return wrap(piece, live.envelope_template, now=self.now).replace(text_epoch=live.text_epoch)

    def _send_position(self, live: ActiveRun) -> Steps[None]:
        if note := queue_note(self.limiter, live.request.run_id):
            yield self._send(live, AgentProgress(0, note))

    def _publish_positions(self) -> Steps[None]:
        """Send every queued run its position, and again after `silence_s`."""
        unended = [live for live in self.queue if not live.protocol.ended]
        waiting = [live for live in unended if not live.started]
        for ahead, live in enumerate(waiting, len(unended) - len(waiting)):
            if not ahead and live.attempt is not None and not live.attempt.due:
                note = f"Interrupted: goes on soon (attempt {live.attempt.number} of {MAX_ATTEMPTS})"
                yield self._send(live, AgentProgress(0, note))
            elif ahead:
                note = f"Waiting: {ahead} before this one in this conversation"
                yield self._send(live, AgentProgress(0, note))
            else:
                yield from self._send_position(live)
        if waiting:
            yield StartTimer("waiting", self.silence_s, PublishPositions())

    def _subscribe(self, ask: FollowThread) -> Steps[None]:
        if ask.after > self.last_seq:
            # Verify the log before the client is told to reset: this server may have been suspended so long that
            # another one continued the thread, or a commit that seemed to fail may have succeeded.
            try:
                opening = yield Query(lambda store: store.thread_with_open_runs(self.owner, self.thread_id))
            except StorageUnavailable as error:
                yield AnswerRequest(ask, error=error)
                return
            if opening is None:
                if self.exists:
                    raise NotStored("thread", self.thread_id)
            elif not self._owns(thread := opening[0]):
                raise Fenced(self.thread_id, thread.node)
            elif thread.last_seq != self.last_seq:
                raise SequenceConflict(self.thread_id, thread.last_seq + 1, self.last_seq + 1)
        if not self.exists:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no conversation of that name."))
            return
        yield Subscribe(ask.outbox, min(ask.after, self.last_seq))
        if ask.after > self.last_seq:  # as after a restore of the database
            resync = Envelope(Resync(self.last_seq), self.now, thread_id=self.thread_id, message=RESYNC)
            yield Send(resync, ask.outbox, reply=True)
        yield AnswerRequest(ask)

    def _rate(self, ask: RateAnswer) -> Steps[None]:
        answer = ask.answer
        try:
            found = yield Query(lambda store: store.give_feedback(answer.owner, answer.id, ask.rating, ask.note))
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if not found:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no answer of that name."))
            return
        yield SendFeedback(FeedbackGiven(answer.id, ask.rating), ask)
        yield AnswerRequest(ask)

    def _delete(self, ask: Delete) -> Steps[None]:
        """Cancel all runs so that their subscribers see an end, then delete the thread, then end."""
        since = ask.unless_since
        if since is not None and self.runs:
            yield AnswerRequest(ask, False)
            return
        for live in self.runs.values():
            live.stopped = True
        for run_id, live in list(self.runs.items()):
            if live.started:
                yield StopRun(run_id)
            live.protocol.steers.clear()  # they go with the thread
            yield from self._finish(FinishRun(run_id, Ending.CANCELLED))
        for live in reversed(list(self.queue)):  # the last first, so that none of them is started now
            if not live.started:
                yield from self._dequeue(live)
        try:
            deleted = yield Query(
                lambda store: store.delete_thread(self.owner, self.thread_id, self.fence, unless_since=since)
            )
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if since is not None and not deleted:
            yield AnswerRequest(ask, False)
            return
        self.undos.clear()
        self.doubts.clear()
        yield ForgetThread()
        yield AnswerRequest(ask, True)
