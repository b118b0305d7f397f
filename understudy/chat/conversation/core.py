"""What a conversation decides, without I/O: requests in, effects out.

`ConversationCore.handle` gives the steps of one request: a generator of effects. The conversation actor performs each
effect, sends its result back (or throws its `StorageError`), and sets `now` (Unix seconds) before each step.

1. Each accepted message ends in exactly one terminal event: a run stays in `runs` until its end is committed, and an
   end that cannot be committed is retried until it can.
2. Events are published only after the `Commit` that holds them has succeeded, in the order of their numbers; `last_seq`
   and a run's protocol move on only then.
3. At most one run of a thread works. At most `MAX_QUEUED` wait behind it; a message beyond that is refused.
4. A refused request has changed nothing.
5. That a run is resumed is committed before work on it starts, so that a run that kills its servers is found out.
6. If another node has the thread, or the log holds more than this core has committed, `Relocate` ends the conversation
   and the request stays unanswered: its sender asks the next conversation of the thread, which starts from the log.
"""

import logging
import random
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from attrs import define, evolve, field, frozen

from actors import ActorRef, Ask
from transport.wire.codec import to_log
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import (
    AgentProgress,
    AskedAgent,
    Block,
    Envelope,
    Error,
    Event,
    FeedbackGiven,
    FinalResponse,
    MessageAccepted,
    PartialResult,
    Typing,
)
from understudy.agents.agent import Agent
from understudy.chat.conversation.resume import MAX_ATTEMPTS, ResumeAttempt
from understudy.chat.envelope import wrap
from understudy.chat.messages import (
    Accept,
    AnswerAgain,
    CancelRun,
    Decide,
    Delete,
    Delta,
    EnsureRunning,
    FinishRun,
    FollowThread,
    MessageInOtherThread,
    OwnershipLost,
    PermitGranted,
    PositionChanged,
    Progress,
    RateAnswer,
    Record,
    RequestSnapshot,
    RunRequest,
    Stop,
)
from understudy.chat.routing import ANSWER
from understudy.chat.run.replay import Replay
from understudy.chat.run_protocol import Ending, RunProtocol
from understudy.chat.storage_waits import AWAY
from understudy.content.summary import build_alert, build_summary
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
from understudy.storage.rows import LoggedEvent, Message, RawText, RunRecord, StepRecord, Thread
from understudy.storage.writes import Change, Fence, RunAttempt, RunEnd

T = TypeVar("T")

MAX_QUEUED: Final = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before an end, or a resumption, that could not be stored is tried again."""
TITLE_CHARS: Final = 80
"""Characters of a thread's first message that become its title."""
TENANT_BUSY: Final = "Too many messages of your organisation wait for an answer; try again in a moment."


@frozen
class RetryFinish:
    """To a conversation: try again to store the ends of runs that could not be stored."""


@frozen
class BackoffOver:
    """To a conversation: the run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """To a conversation: send every queued run its position again."""


@frozen
class RunExited:
    """To a core: the actor of a run has ended; `crash` is the error if it crashed."""

    run_id: str
    reason: str
    crash: BaseException | None = None


# effects: reads


@frozen
class FindMessage:
    """Read a message of the owner; the result is None if there is none."""

    message_id: str


@frozen
class FindRun:
    """Read a run; the result is None if there is none."""

    run_id: str


@frozen
class FindRunOfRequest:
    """Read the run that was started for a client's `request_id`; the result is None if there is none."""

    request_id: str


@frozen
class FindAcceptance:
    """Read the logged `message_accepted` of a message; the result is its envelope."""

    message: Message
    run_id: str


@frozen
class FindThread:
    """Read the thread's row; the result is None if there is none."""


# effects: writes


@frozen
class Commit:
    """Commit a change. `envelopes` are its events; if it takes long, the subscribers are told that `run` waits.

    `after_checkpoint`: first wait for the checkpoint that is being stored, so that an older step replaces no newer one.
    """

    change: Change
    envelopes: Sequence[Envelope] = ()
    run: "ActiveRun | None" = None
    after_checkpoint: bool = False


@frozen
class SaveFeedback:
    """Store a rating; the result is False if there is no such answer."""

    ask: RateAnswer


@frozen
class DeleteLog:
    """Delete the thread; the result is False if it is not old enough."""

    unless_since: float | None


# effects: subscribers


@frozen
class PublishEvents:
    """Send committed events to every subscriber; `arrived_at` is when the message came that they accept."""

    envelopes: Sequence[Envelope]
    arrived_at: float | None = None


@frozen
class Send:
    """Send an event that is not logged to every subscriber, or to `outbox` alone."""

    envelope: Envelope
    outbox: ActorRef | None = None


@frozen
class SendAlert:
    """Send an alert to all connections of the user, ahead of their queues."""

    envelope: Envelope


@frozen
class SendFeedback:
    """Send an event about an answer to every subscriber and to the sender of the rating."""

    event: FeedbackGiven
    ask: RateAnswer


@frozen
class SubscribeOutbox:
    """Subscribe an outbox: from where it stands, or from `after`."""

    outbox: ActorRef | None
    after: int | None = None


@frozen
class ResyncClient:
    """Tell an outbox that its client has seen more than the log has."""

    outbox: ActorRef


@frozen
class ReplayAcceptance:
    """Send a stored acceptance to an outbox, and all that came after it."""

    outbox: ActorRef | None
    accepted: Envelope


# effects: runs


@frozen
class ReservePermit:
    """Count in a run that is about to be accepted; the result is None, or the error if it may not wait."""

    run_id: str
    behind: bool


@frozen
class RequestPermit:
    """Acquire the permit of a run; the result is False if it has to wait for one."""

    run_id: str


@frozen
class ReleasePermit:
    """Release the permit of a run, or its position in the queue for one."""

    run_id: str


@frozen
class SendPosition:
    """Send the position of a run that waits for a permit; nothing if it does not wait."""

    run: "ActiveRun"


@frozen
class StartRun:
    """Start the actor of a run; with `replay` it resumes."""

    request: RunRequest
    replay: Replay | None


@frozen
class TellRun:
    """Tell the actor of a run a message."""

    run_id: str
    message: object


@frozen
class KillRun:
    """Stop the actor of a run now, and wait until it has stopped."""

    run_id: str


# effects: the conversation itself


@frozen
class AnswerRequest:
    """Answer a request with `value`, or fail it with `error`."""

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
class LogRun:
    """Log an event of a run, and count `resumed`, what became of a run that lost its server."""

    event: str
    level: int
    extra: Mapping[str, Any]
    resumed: str | None = None
    crash: BaseException | None = None


@frozen
class Relocate:
    """End the conversation: its subscribers go on with the next one. `why` None: another node owns the thread."""

    why: str | None = None


@frozen
class EndDeleted:
    """The thread is deleted: forget what this process knows of it, unsubscribe everybody, and end."""


Steps: TypeAlias = Generator[Any, Any, T]
"""A generator of effects that is sent their results; T is what it returns."""


@define(eq=False)
class ActiveRun:
    """One run that has not ended. `started` while its actor lives.

    `regenerates`: it answers a message once more; `request_id` is the client's name for the request to do so.
    `attempt` is set if the run lost its server and is resumed. `decisions` of its user are not answered yet.
    `addressed` is the agent that the message was addressed to.
    """

    request: RunRequest
    protocol: RunProtocol
    envelope_template: Envelope
    started: bool = False
    stopped: bool = False
    regenerates: bool = False
    request_id: str | None = None
    attempt: ResumeAttempt | None = None
    decisions: list[Decide] = field(factory=list)
    addressed: AskedAgent = field(init=False)
    _stored: list[str] = field(factory=list, init=False, repr=False)
    _blocks: list[Block] = field(factory=list, init=False, repr=False)
    _shown: list[str] = field(factory=list, init=False, repr=False)
    _length: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        template = self.envelope_template
        self.addressed = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)

    @property
    def text(self) -> str:
        """The answer streamed so far, as it is stored."""
        return "".join(self._stored)

    def set_speaker(self, agent_type: str, pillar: str | None) -> None:
        """Have the events come from this agent from now on."""
        same = (agent_type, pillar) == (self.addressed.agent_type, self.addressed.pillar)
        asked = None if same else self.addressed
        self.envelope_template = self.envelope_template.replace(agent_type=agent_type, pillar=pillar, asked_agent=asked)

    def append_text(self, text: str, blocks: tuple[Block, ...], stored: str | None = None) -> PartialResult:
        """Append text to the answer. Return the event that shows it; `stored` is the text as stored if it differs."""
        piece = PartialResult(text, self._length, blocks)
        self._stored.append(text if stored is None else stored)
        self._shown.append(text)
        self._blocks.extend(blocks)
        self._length += len(text)
        return piece

    def restart_text(self) -> PartialResult:
        """Drop the answer streamed so far. Return the event that says so."""
        for part in (self._stored, self._shown, self._blocks):
            part.clear()
        self._length = 0
        return PartialResult("", 0)

    def snapshot(self) -> Event | None:
        """Return the text so far as one event from offset 0; None if there is none or the run has ended."""
        if not self._length or self.protocol.ended:
            return None
        return PartialResult("".join(self._shown), 0, tuple(self._blocks))


@define(eq=False)
class ConversationCore:
    """The state of one thread. `last_seq` is the number of its last event, 0 if it has none.

    `runs` has all runs without a committed end, by id, in `queue` in the order of work; `unfinished` the ends that are
    not stored yet. `reserved` is the run that is being accepted. `newest_answer` is the id of the answer with which the
    newest branch ends or will end. `summary_from` is the number of findings from which a user is told of them;
    `silence_s` the interval of positions. `fence` is the right to write the log, None on a single node.
    """

    owner: str
    thread_id: str
    agents: Mapping[str, Agent]
    fence: Fence | None = None
    summary_from: int = 1
    silence_s: float = 10.0
    chance: random.Random = field(factory=random.Random)
    now: float = field(default=0.0, init=False)
    last_seq: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)
    newest_answer: str | None = field(default=None, init=False)
    runs: dict[str, ActiveRun] = field(factory=dict, init=False)
    queue: deque[ActiveRun] = field(factory=deque, init=False)
    unfinished: dict[str, FinishRun] = field(factory=dict, init=False)
    reserved: str | None = field(default=None, init=False)

    def load(self, thread: Thread) -> bool:
        """Take over where the log ends. Return False if another node has claimed the thread since."""
        self.exists, self.last_seq = True, thread.last_seq
        self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
        return self._owns(thread)

    def _owns(self, thread: Thread) -> bool:
        return self.fence is None or (thread.node, thread.fence) == (self.fence.node, self.fence.token)

    def handle(self, request: object) -> Steps[None]:
        """Give the steps of one request."""
        try:
            yield from self._serve(request)
        except Fenced:
            yield Relocate()
        except (SequenceConflict, NotStored) as outrun:
            yield Relocate(type(outrun).__name__)  # its text may have the thread's id, which is the user's own word

    def _serve(self, request: object) -> Steps[None]:
        match request:
            case Delta(run_id):
                if (live := self.runs.get(run_id)) is not None and not live.protocol.ended:
                    if request.restart:
                        yield self._send(live, live.restart_text())
                    piece = live.append_text(request.text, tuple(request.blocks), request.stored)
                    if request.text:
                        yield self._send(live, piece)
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
            case RunExited(run_id):
                yield from self._run_exited(request)
            case CancelRun(run_id):
                yield from self._cancel(request)
            case Decide():
                yield from self._decide(request)
            case PermitGranted(run_id):
                yield from self._start_run(run_id)
            case BackoffOver(run_id):
                live = self.runs.get(run_id)
                if live is not None and live.attempt is not None and not live.started and self.queue[0] is live:
                    live.attempt.due = True
                    yield from self._start_next()
            case PositionChanged(run_id):
                if (live := self.runs.get(run_id)) is not None:
                    yield SendPosition(live)
            case PublishPositions():
                yield from self._publish_positions()
            case RetryFinish():
                for finish in list(self.unfinished.values()):
                    yield from self._finish(finish)
            case EnsureRunning(run_id):
                with suppress(StorageUnavailable):  # the recovery actor asks again
                    yield from self._ensure_queued(run_id)
            case FollowThread():
                yield from self._subscribe(request)
            case RequestSnapshot(outbox):
                for live in self.runs.values():
                    if (text := live.snapshot()) is not None:
                        yield Send(wrap(text, live.envelope_template, now=self.now), outbox)
            case RateAnswer():
                yield from self._rate(request)
            case Delete():
                yield from self._delete(request)
            case OwnershipLost():
                yield Relocate()

    # accepting messages

    def _accept(self, ask: Accept | AnswerAgain) -> Steps[None]:
        try:
            known = yield from self._accepted_before(ask)
            if known:
                return
            if len(self.queue) > MAX_QUEUED:
                raise CommandRejected("busy", f"{MAX_QUEUED} messages wait in this conversation already.", BUSY_S)
            if (refused := (yield ReservePermit(ask.run_id, behind=bool(self.queue)))) is not None:
                raise refused
            self.reserved = ask.run_id
            try:
                live = yield from self._store_message(ask)
            except (CommandRejected, StorageUnavailable, Unstorable, AlreadyStored) as error:
                yield from self._cancel_reservation()
                if not isinstance(error, AlreadyStored):
                    raise
                # The same message was stored in another thread at this moment.
                known = yield from self._accepted_before(ask)
                if not known:
                    raise CommandRejected("storage_unavailable", retry_after=RETRY_S) from None
                return
            self.reserved = None
            yield from self._enqueue(live)
        except (CommandRejected, MessageInOtherThread) as refused:
            yield AnswerRequest(ask, error=refused)
        except StorageUnavailable:
            yield AnswerRequest(ask, error=CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except Unstorable:
            yield AnswerRequest(ask, error=CommandRejected("invalid_command", "That text cannot be stored."))

    def _cancel_reservation(self) -> Steps[None]:
        assert self.reserved is not None  # noqa: S101 - for the type checker: set by `_accept`
        yield ReleasePermit(self.reserved)
        self.reserved = None

    def _accepted_before(self, ask: Accept | AnswerAgain) -> Steps[bool]:
        """Answer a request that was accepted before: replay its acceptance and all that came after. Else return False.

        The same id with another content is refused.
        """
        if isinstance(ask, Accept):
            prior = yield FindMessage(ask.message_id)
            if prior is not None:
                yield from self._check_same(ask, prior)
            run_id = None if prior is None else prior.run_id
        else:
            prior, run = ask.message, None
            if ask.request_id is not None:
                run = yield FindRunOfRequest(ask.request_id)
                if run is not None and run.message_id != ask.message.id:
                    raise CommandRejected("message_id_reused", "That request_id names another request already.")
            run_id = None if run is None else run.id
        if run_id is None:
            return False
        queued = yield from self._ensure_queued(run_id)
        if queued:
            accepted = yield FindAcceptance(prior, run_id)
            yield ReplayAcceptance(ask.outbox, accepted)
            yield AnswerRequest(ask, run_id)
        return True

    def _check_same(self, ask: Accept, prior: Message) -> Steps[None]:
        """Raise if the stored message under the id of this one is another, or stands in another thread."""
        say, content = ask.say, ask.filtered.text
        if prior.thread_id != self.thread_id:
            # A message that names no thread or conversation may mean the one in the other thread.
            named = say.thread_id is not None
            if not named and say.conversation_id is not None:
                run = yield FindRun(prior.run_id or "")
                named = run is None or run.conversation_id != say.conversation_id
            raise CommandRejected("message_id_reused") if named else MessageInOtherThread(prior.thread_id)
        same_place = prior.branch_of == ask.branch_of and say.parent_id in (None, prior.parent_id)
        same_content = equal_but_for_placeholders(prior.content, content) and prior.references == say.references
        if not (same_place and same_content):
            raise CommandRejected("message_id_reused")

    def _ensure_queued(self, run_id: str) -> Steps[bool]:
        """Return True if a run is queued or has ended; else the log holds more than this core knows: relocate."""
        if run_id not in self.runs:
            run = yield FindRun(run_id)
            if run is not None and run.ended_at is None:
                yield Relocate("RunNotQueued")
                return False
        return True

    def _store_message(self, ask: Accept | AnswerAgain) -> Steps[ActiveRun]:
        """Commit a message with its run, publish its acceptance, and answer."""
        found, raw = None, None
        if isinstance(ask, Accept):
            filtered, branch_of = ask.filtered, ask.branch_of
            parent = yield from self._parent(ask)
            message_id, content, references = ask.message_id, filtered.text, ask.say.references
            beside, from_ = ask.context_findings, self.summary_from
            found = build_summary("inbound", filtered.findings, from_, omitted=filtered.omitted, beside=beside)
            if ask.raw is not None:
                raw = RawText(self.owner, message_id, self.thread_id, ask.raw)
        else:
            message_id, content, references = ask.message.id, ask.message.content, ask.message.references
            parent, branch_of = ask.message.parent_id, ask.message.id
        if branch_of is not None and not self.exists:  # the thread was deleted at this moment
            raise CommandRejected("not_found", "There is no message of that name.")
        context, settings = yield from self._context_and_settings(ask)
        live = ActiveRun(
            RunRequest(
                ask.run_id,
                self.owner,
                self.thread_id,
                message_id,
                content,
                references,
                ask.route.agent,
                found,
                ask.roles,
                context,
                settings,
            ),
            RunProtocol(ask.run_id),
            Envelope(
                event=Typing(),
                timestamp=0.0,
                thread_id=self.thread_id,
                run_id=ask.run_id,
                message_id=message_id,
                conversation_id=ask.route.conversation_id,
                agent_type=ask.route.agent_type,
                pillar=ask.route.pillar,
            ),
            regenerates=isinstance(ask, AnswerAgain),
            request_id=ask.request_id if isinstance(ask, AnswerAgain) else None,
        )
        yield SubscribeOutbox(ask.outbox)
        names = (message_id, ask.run_id, content, references, parent, branch_of)
        accepted = MessageAccepted(*names, context or None, settings or None)
        envelopes = yield from self._commit(live, [accepted], opening=True, raw=raw)
        yield PublishEvents(envelopes, ask.arrived_at)
        if isinstance(ask, Accept):
            alert = build_alert((*ask.filtered.findings, *ask.context_findings))
            if alert is not None:
                yield SendAlert(wrap(alert, live.envelope_template, now=self.now))
        yield AnswerRequest(ask, ask.run_id)
        return live

    def _parent(self, ask: Accept) -> Steps[str | None]:
        """Return the id of the answer that a message follows."""
        named = ask.say.parent_id
        if ask.branch_of is not None:
            return named
        if named is None:
            return self.newest_answer
        run = (yield FindRun(named.removeprefix(ANSWER))) if named.startswith(ANSWER) else None
        if run is None or (run.owner, run.thread_id) != (self.owner, self.thread_id):
            raise CommandRejected("not_found", "There is no answer of that name in this conversation.")
        return named

    def _context_and_settings(self, ask: Accept | AnswerAgain) -> Steps[tuple[JsonObject, JsonObject]]:
        """Return the context and settings of a message: its own, or those of the message that it edits, logged."""
        if isinstance(ask, AnswerAgain):
            earlier: Message | None = ask.message
        elif ask.branch_of is not None:
            earlier = yield FindMessage(ask.branch_of)
        else:
            return ask.say.context, ask.say.settings
        if earlier is None or earlier.run_id is None:
            return {}, {}
        try:
            accepted = (yield FindAcceptance(earlier, earlier.run_id)).event
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
        opening: bool = False,
        raw: RawText | None = None,
        after_checkpoint: bool = False,
    ) -> Steps[list[Envelope]]:
        """Number and commit the events of a run. Return their envelopes. `opening` also stores the run and its thread.

        Raises:
            RunProtocolError: An event breaks the run's protocol. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        protocol = evolve(live.protocol, agents=dict(live.protocol.agents), calls=dict(live.protocol.calls))
        now, run_id, envelopes, rows, run_end = self.now, live.request.run_id, [], [], None
        for number, event in enumerate(events, self.last_seq + 1):
            protocol.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=now, seq=number))
            match event:
                case MessageAccepted() if not live.regenerates:
                    row = self._message_row(live, event.message_id, "user", event.content, "accepted", now)
                    parent, branch_of = event.parent_id, event.branch_of
                    rows.append(evolve(row, references=event.references, parent_id=parent, branch_of=branch_of))
                case FinalResponse(message=content, status=status, visualization=chart):
                    row = self._message_row(live, ANSWER + run_id, "assistant", content, status.value, now)
                    asked = live.request.message_id
                    branch_of = asked if live.regenerates else None
                    rows.append(evolve(row, visualization=chart, parent_id=asked, branch_of=branch_of))
                    run_end = RunEnd(run_id, status.value, now)
                case Error(code=code):
                    run_end = RunEnd(run_id, "interrupted" if code == "run_interrupted" else "failed", now)
        change = Change(
            owner=self.owner,
            thread_id=self.thread_id,
            events=tuple(
                LoggedEvent(number, each.event.type, run_id, to_log(each))
                for number, each in enumerate(envelopes, self.last_seq + 1)
            ),
            thread=self._thread_row(live, now) if opening and not self.exists else None,
            messages=tuple(rows),
            run=self._run_row(live, now) if opening else None,
            run_end=run_end,
            steps=tuple(steps),
            raw=raw,
            fence=self.fence,
        )
        yield Commit(change, envelopes, None if opening else live, after_checkpoint)
        live.protocol = protocol
        self.last_seq += len(envelopes)
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + run_id
        return envelopes

    def _thread_row(self, live: ActiveRun, now: float) -> Thread:
        words = live.request.content.split(maxsplit=TITLE_CHARS)[:TITLE_CHARS]  # a title cannot show more words
        title = " ".join(words)[:TITLE_CHARS] or "New conversation"
        agent_type, pillar = live.envelope_template.agent_type or "", live.envelope_template.pillar
        return Thread(self.owner, self.thread_id, title, agent_type, pillar, now, now)

    def _run_row(self, live: ActiveRun, now: float) -> RunRecord:
        found = live.request.findings_summary
        return RunRecord(
            id=live.request.run_id,
            owner=self.owner,
            thread_id=self.thread_id,
            message_id=live.request.message_id,
            conversation_id=live.envelope_template.conversation_id,
            agent_type=live.envelope_template.agent_type or "",
            pillar=live.envelope_template.pillar,
            status="running",
            started_at=now,
            request_id=live.request_id,
            found=None if found is None else msgspec.json.encode(found),
        )

    def _message_row(
        self, live: ActiveRun, message_id: str, role: str, content: str, status: str, now: float
    ) -> Message:
        return Message(
            owner=self.owner,
            id=message_id,
            thread_id=self.thread_id,
            run_id=live.request.run_id,
            role=role,
            content=content,
            agent_type=live.envelope_template.agent_type or "",
            pillar=live.envelope_template.pillar,
            status=status,
            created_at=now,
        )

    # runs

    def resume(self, live: ActiveRun) -> Steps[None]:
        """Enqueue a run that lost its server; it goes on when it is the first."""
        yield ReleasePermit(live.request.run_id)
        yield from self._enqueue(live)

    def _enqueue(self, live: ActiveRun) -> Steps[None]:
        self.runs[live.request.run_id] = live
        self.queue.append(live)
        if self.queue[0] is live:
            yield from self._start_next()
        yield from self._publish_positions()

    def _dequeue(self, live: ActiveRun) -> Steps[None]:
        first = bool(self.queue) and self.queue[0] is live
        self.queue.remove(live)
        yield ReleasePermit(live.request.run_id)
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
        granted = yield RequestPermit(run_id)
        if granted:
            yield from self._start_run(run_id)

    def _start_run(self, run_id: str) -> Steps[None]:
        """Start a run that has its permit, or resume it."""
        live = self.runs.get(run_id)
        if live is None or live.stopped or live.started:
            return
        replay, attempt = None, live.attempt
        if attempt is not None:
            try:
                yield Commit(self._attempt(run_id, attempt.number, attempt.progress), run=live)
            except StorageUnavailable:
                yield LogRun("run.not_taken_up", logging.WARNING, {"run_id": run_id})
                yield self._send(live, AgentProgress(0, AWAY))
                yield ReleasePermit(run_id)
                yield StartTimer(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            attempt.recorded = True
            live.request = evolve(live.request, agent=attempt.agent(self.agents) or live.request.agent)
            extra = {"run_id": run_id, "attempt": attempt.number, "steps": attempt.progress}
            yield LogRun("run.taken_up", logging.WARNING, extra, resumed="resumed")
            replay, attempt.replay = attempt.replay, None
        yield StartRun(live.request, replay)
        live.started = True
        for ask in live.decisions:
            if ask.waiting:  # else its user was told that the decision was not taken
                yield TellRun(run_id, ask)

    def _attempt(self, run_id: str, number: int, progress: int) -> Change:
        return Change(self.owner, self.thread_id, attempt=RunAttempt(run_id, number, progress), fence=self.fence)

    def _record(self, ask: Record) -> Steps[None]:
        live = self.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            yield AnswerRequest(ask, error=LookupError(f"run {ask.run_id} has ended"))
            return
        live.set_speaker(*ask.speaker)
        try:
            envelopes = yield from self._commit(live, ask.events, steps=ask.steps, after_checkpoint=True)
        except StorageUnavailable as error:
            yield self._send(live, AgentProgress(0, AWAY))
            yield AnswerRequest(ask, error=error)
            return
        yield PublishEvents(envelopes)
        yield AnswerRequest(ask)

    def _finish(self, finish: FinishRun) -> Steps[None]:
        """Commit the end of a run that has no answer; retry later if it cannot be stored now."""
        run_id = finish.run_id
        live = self.runs.get(run_id)
        if live is None or live.protocol.ended:
            self.unfinished.pop(run_id, None)
            return
        events = live.protocol.closing_events(
            finish.ending,
            now=self.now,
            text=live.text,
            sentence=finish.sentence,
            error_id=finish.error_id,
            retry_after=finish.retry_after_s,
        )
        try:
            envelopes = yield from self._commit(live, events)
        except StorageUnavailable:
            yield LogRun("run.end_not_stored", logging.WARNING, {"run_id": run_id})
            yield self._send(live, AgentProgress(0, AWAY))  # the run itself gives no sign of life any more
            self.unfinished[run_id] = finish
            yield StartTimer("retry", RETRY_S, RetryFinish())
            return
        yield PublishEvents(envelopes)
        self.unfinished.pop(run_id, None)
        if not live.started and live not in self.queue:
            del self.runs[run_id]

    def _run_exited(self, exited: RunExited) -> Steps[None]:
        """Commit the end of a run whose actor died without one, and start the next run."""
        live, run_id = self.runs.get(exited.run_id), exited.run_id
        if live is None:
            return
        live.started = False
        if not live.protocol.ended and run_id not in self.unfinished:
            error_id = new_error_id()
            extra = {"run_id": run_id, "reason": exited.reason, "error_id": error_id}
            yield LogRun("run.died", logging.ERROR, extra, crash=exited.crash)
            ending = Ending.INTERRUPTED if exited.crash is None else Ending.FAILED
            yield from self._finish(FinishRun(run_id, ending, error_id=error_id))
        yield from self._dequeue(live)

    def _abandon(self, live: ActiveRun, why: str, sentence: str) -> Steps[None]:
        """End a run that cannot be resumed, and start the next one."""
        error_id, run_id = new_error_id(), live.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        extra = {"run_id": run_id, "why": why, "error_id": error_id}
        yield LogRun("run.set_aside", level, extra, resumed=why)
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
            yield AnswerRequest(
                ask, live is not None and call.decision is ask.decision
            )  # a repeat of the decision is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            yield TellRun(live.request.run_id, ask)

    def suspend(self) -> Steps[None]:
        """Leave unfinished runs in the log, to be resumed later. A stop of the server is no failed attempt."""
        for run_id, live in self.runs.items():
            if live.protocol.ended:
                continue
            yield LogRun("run.put_down", logging.INFO, {"run_id": run_id})
            if (attempt := live.attempt) is not None and attempt.recorded:
                try:
                    yield Commit(self._attempt(run_id, attempt.number - 1, attempt.progress))
                except StorageUnavailable:
                    yield LogRun("run.attempt_not_given_back", logging.WARNING, {"run_id": run_id})

    # subscribers

    def _send(self, live: ActiveRun, event: Event) -> Send:
        return Send(wrap(event, live.envelope_template, now=self.now))

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
                yield SendPosition(live)
        if waiting:
            yield StartTimer("waiting", self.silence_s, PublishPositions())

    def _subscribe(self, ask: FollowThread) -> Steps[None]:
        if ask.after > self.last_seq:
            # Before the client is told to forget what it has: this server may have been held so long that another one
            # went on with the thread, or a commit that seemed to fail may have succeeded.
            try:
                thread = yield FindThread()
            except StorageUnavailable as error:
                yield AnswerRequest(ask, error=error)
                return
            if thread is None and self.exists:
                raise NotStored("thread", self.thread_id)
            if thread is not None and not self._owns(thread):
                raise Fenced(self.thread_id, thread.node)
            if thread is not None and thread.last_seq != self.last_seq:
                raise SequenceConflict(self.thread_id, thread.last_seq + 1, self.last_seq + 1)
        if not self.exists:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no conversation of that name."))
            return
        yield SubscribeOutbox(ask.outbox, min(ask.after, self.last_seq))
        if ask.after > self.last_seq:  # as after a restore of the database
            yield ResyncClient(ask.outbox)
        yield AnswerRequest(ask)

    def _rate(self, ask: RateAnswer) -> Steps[None]:
        try:
            found = yield SaveFeedback(ask)
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if found:
            yield SendFeedback(FeedbackGiven(ask.answer.id, ask.rating), ask)
            yield AnswerRequest(ask)
        else:
            yield AnswerRequest(ask, error=CommandRejected("not_found", "There is no answer of that name."))

    def _delete(self, ask: Delete) -> Steps[None]:
        """Cancel all runs so that their subscribers see an end, then delete the thread, then end."""
        if ask.unless_since is not None and self.runs:
            yield AnswerRequest(ask, False)
            return
        for live in self.runs.values():
            live.stopped = True
        for run_id, live in list(self.runs.items()):
            if live.started:
                yield KillRun(run_id)
            yield from self._finish(FinishRun(run_id, Ending.CANCELLED))
        for live in reversed(list(self.queue)):  # the last first, so that none of them is started now
            if not live.started:
                yield from self._dequeue(live)
        try:
            deleted = yield DeleteLog(ask.unless_since)
        except StorageUnavailable as error:
            yield AnswerRequest(ask, error=error)
            return
        if ask.unless_since is not None and not deleted:
            yield AnswerRequest(ask, False)
            return
        yield EndDeleted()
        yield AnswerRequest(ask, True)
