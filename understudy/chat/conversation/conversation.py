"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

1. Each accepted message ends in exactly one terminal event: a run stays in `runs` until its end is committed, and an
   end that cannot be committed is retried until it can.
2. Events are published only after the transaction that holds them is committed, in the order of their numbers;
   `last_seq` and a run's protocol move on only then.
3. At most one run of a thread works; each is a child, and its death is an ending, never the conversation's. At most
   `MAX_QUEUED` wait behind it; a message beyond that is refused. A refused request has changed nothing.
4. A conversation resumes the runs that it finds unfinished when it starts: its state is the log, and nothing else. That
   a run is resumed is committed before work on it starts, so that a run that kills its servers is found out.
5. A conversation ends without another write if another node has claimed its thread, or if the log holds more than it
   has committed (a commit whose answer was lost succeeded). The request stays unanswered: its sender asks the next
   conversation of the thread, which starts from the log.
6. It never waits for a subscriber, a model or a tool; it waits for the store only, within the store's own limit.
"""

import logging
import random
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Final

import trio
from attrs import evolve, frozen

from actors import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    Crashed,
    Exit,
    MailboxSpec,
    Normal,
    Restart,
    Shutdown,
    StopMode,
    Supervision,
    Terminated,
)
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import (
    AgentProgress,
    Envelope,
    Event,
    FeedbackGiven,
    FinalResponse,
    MessageAccepted,
    Resync,
    Typing,
)
from transport.wire.messages import Deliver, Reply
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, ActiveRun
from understudy.chat.conversation.event_log import read_acceptance, read_unfinished_run
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap
from understudy.chat.messages import (
    Accept,
    AnswerAgain,
    CancelRun,
    Checkpoint,
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
    WaitIdle,
)
from understudy.chat.routing import ANSWER
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import queue_note, release_permit
from understudy.chat.run_protocol import Ending, RunProtocol
from understudy.chat.services import Services
from understudy.chat.storage_away import AWAY
from understudy.content.summary import build_alert, build_summary
from understudy.content.vault import equal_but_for_placeholders
from understudy.observe.logs import new_error_id
from understudy.storage.errors import (
    AlreadyStored,
    Fenced,
    NotStored,
    SequenceConflict,
    StorageError,
    StorageUnavailable,
    Unstorable,
)
from understudy.storage.rows import Message, RawText, StepRecord, Thread
from understudy.storage.writes import Change, Fence, RunAttempt

log = logging.getLogger(__name__)

MAX_QUEUED: Final = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
BUSY_S: Final = 5.0
"""Seconds after which a client that was refused with `busy` is advised to retry."""
RETRY_S: Final = 1.0
"""Seconds before an end, or a resumption, that could not be stored is tried again."""
TENANT_BUSY: Final = "Too many messages of your organisation wait for an answer; try again in a moment."
RESYNC: Final = "You have seen more of this conversation than the server has; read the history and go on from here."
"""The message to a client that subscribes beyond the end of the log."""


@frozen
class RetryFinish:
    """To itself: store the ends of runs that could not be stored before."""


@frozen
class BackoffOver:
    """To itself: the run at the front of the queue has backed off long enough before its next attempt."""

    run_id: str


@frozen
class PublishPositions:
    """To itself: send every queued run its position again."""


class _CheckIdle:
    """To itself: stop if the conversation is idle."""


class Conversation(Actor):
    """One thread of one user. Started by `understudy.chat.registry` when a command first names the thread.

    `fence` is the right of this node to write the thread's log; None on a single node. `last_seq` is the number of the
    last event, 0 if there is none. `runs` has all runs without a committed end, by id, in `queue` in the order of work;
    `unfinished` the ends that are not stored yet. `newest_answer` is the id of the answer with which the newest branch
    ends or will end. `checkpoints` has the checkpoints that are being stored, by run.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)
    context: Context

    def __init__(self, owner: str, thread_id: str, services: Services, fence: Fence | None = None) -> None:
        self.owner = owner
        self.thread_id = thread_id
        self.services = services
        self.store = services.store
        self.fence = fence
        self.subscribers = Subscribers(owner, thread_id, services)
        self.chance = random.Random()  # noqa: S311 - spreads backoffs
        self.last_seq = 0
        self.exists = False
        self.newest_answer: str | None = None
        self.runs: dict[str, ActiveRun] = {}
        self.queue: deque[ActiveRun] = deque()
        self.unfinished: dict[str, FinishRun] = {}
        self.run_actors: dict[str, ActorRef] = {}
        self.checkpoints: dict[str, trio.Event] = {}
        self.idle_waiters: list[WaitIdle] = []

    async def on_start(self, context: Context) -> None:
        """Read the end of the log, subscribe the user's connections again, and resume unfinished runs."""
        self.context = context
        unfinished, owned = [], True
        if (opening := await self.store.thread_with_open_runs(self.owner, self.thread_id)) is not None:
            thread, runs = opening
            self.exists, self.last_seq = True, thread.last_seq
            self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
            if owned := self._owns(thread):
                restore = partial(self.services.content_filter.vault.restore_text, self.owner, self.thread_id)
                unfinished = [await read_unfinished_run(self.store, run, restore) for run in runs]
        if self.exists:
            self.subscribers.subscribe_all(self.last_seq, context)
        else:
            self.subscribers.unsubscribe_stale()
        try:
            for live in unfinished:
                release_permit(self.services.limiter, live.request.run_id)
                await self._enqueue(live)
        except Fenced:
            owned = False
        if not owned:  # claimed while this actor backed off after a crash: its subscribers are to find the new owner
            context.ref.tell(OwnershipLost())
        context.set_timer("idle", self.services.idle_s, _CheckIdle())

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` says what each means."""
        try:
            match message:
                case Delta(run_id):
                    if (live := self.runs.get(run_id)) is not None and not live.protocol.ended:
                        if message.restart:
                            self._send(live, live.restart_text())
                        piece = live.append_text(message.text, tuple(message.blocks), message.stored)
                        if message.text:
                            self._send(live, piece)
                case Progress(run_id, note, done, total):
                    if (live := self.runs.get(run_id)) is not None:
                        self._send(live, AgentProgress(done, note, total))
                case Record():
                    await self._record(message)
                case Checkpoint(run_id, step):
                    live = self.runs.get(run_id)
                    if live is not None and run_id not in self.checkpoints and not live.protocol.ended:
                        self.checkpoints[run_id] = trio.Event()
                        context.start_soon(self._save_checkpoint, step)
                case Accept() | AnswerAgain():
                    await self._accept(message)
                case FinishRun():
                    await self._finish(message)
                    message.reply(None)
                case Terminated(ref, reason):
                    ended = next((each for each, run in self.run_actors.items() if run == ref), None)
                    if not self.subscribers.remove(ref) and ended is not None:
                        del self.run_actors[ended]
                        await self._run_exited(ended, reason)
                case CancelRun():
                    await self._cancel(message)
                case Decide():
                    self._decide(message)
                case PermitGranted(run_id):
                    await self._start_run(run_id)
                case BackoffOver(run_id):
                    live = self.runs.get(run_id)
                    if live is not None and not live.started and live.attempt and self.queue and self.queue[0] is live:
                        live.attempt.due = True
                        await self._start_next()
                case PositionChanged(run_id):
                    if (live := self.runs.get(run_id)) is not None:
                        self._send_position(live)
                case PublishPositions():
                    self._publish_positions()
                case RetryFinish():
                    for finish in list(self.unfinished.values()):
                        await self._finish(finish)
                case EnsureRunning(run_id):
                    with suppress(StorageUnavailable):  # the recovery actor asks again
                        await self._ensure_queued(run_id)
                case FollowThread():
                    await self._subscribe(message)
                case RequestSnapshot(outbox):
                    for live in self.runs.values():
                        if (text := live.snapshot()) is not None:
                            now = self.services.clock()
                            outbox.try_tell(Deliver(wrap(text, live.envelope_template, now=now)))
                case RateAnswer():
                    await self._rate(message)
                case Delete():
                    await self._delete(message)
                case OwnershipLost():
                    self._relocate()
                case WaitIdle():
                    self.idle_waiters.append(message)
                case _CheckIdle():
                    # Connections of this server lose nothing: the next conversation subscribes them when it starts.
                    if self.runs or self.subscribers.has_remote():
                        context.set_timer("idle", self.services.idle_s, _CheckIdle())
                    else:
                        context.stop()
        except Fenced:
            self._relocate()
        except (SequenceConflict, NotStored) as outrun:
            self._relocate(type(outrun).__name__)  # its text may have the thread's id, which is the user's own word

    async def on_idle(self, context: Context) -> None:
        """Reply to every `WaitIdle` once no run is left."""
        while self.idle_waiters and not self.runs:
            self.idle_waiters.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave unfinished runs in the log, to be resumed by the thread's next owner.

        A stop of the server is no failed attempt: it takes back the attempt that was recorded.
        """
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self._suspend()
        finally:  # also if that took longer than there is time for
            for run_id in self.runs:
                release_permit(self.services.limiter, run_id)
        if isinstance(reason, Normal) and self.fence is not None:
            with suppress(StorageError):  # else the thread belongs to this node until its lease ends
                await self.store.release(self.owner, self.thread_id, self.fence)

    async def _suspend(self) -> None:
        for run_id, live in self.runs.items():
            if live.protocol.ended:
                continue
            log.info("run.put_down", extra={"run_id": run_id})
            if (attempt := live.attempt) is not None and attempt.recorded:
                try:
                    await self.store.commit(self._attempt(run_id, attempt.number - 1, attempt.progress))
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": run_id})

    def _owns(self, thread: Thread) -> bool:
        return self.fence is None or (thread.node, thread.fence) == (self.fence.node, self.fence.token)

    def _relocate(self, why: str | None = None) -> None:
        """Stop; the subscribers go on with the next actor of the thread. `why` None: another node owns the thread."""
        if why is None:
            log.warning("conversation.fenced", extra={"conversation": self.context.path, "runs": len(self.runs)})
        else:
            log.warning("conversation.outrun", extra={"conversation": self.context.path, "why": why})
        if why is not None or self.subscribers:
            self.services.on_relocated(self.owner, self.thread_id, self.context.ref)
        self.context.stop()

    # accepting messages

    async def _accept(self, ask: Accept | AnswerAgain) -> None:
        limiter, live = self.services.limiter, None
        try:
            if await self._accepted_before(ask):
                return
            if len(self.queue) > MAX_QUEUED:
                raise CommandRejected("busy", f"{MAX_QUEUED} messages wait in this conversation already.", BUSY_S)
            if not limiter.reserve(ask.run_id, self.owner, behind=bool(self.queue)):
                sentence = TENANT_BUSY if limiter.tenant_fills_queue(self.owner) else ""
                raise CommandRejected("busy", sentence, BUSY_S)
            try:
                live = await self._store_message(ask)
            except AlreadyStored:
                pass  # in another thread, at this moment
            finally:
                if live is None:
                    release_permit(limiter, ask.run_id)
            if live is not None:
                await self._enqueue(live)
            elif not await self._accepted_before(ask):
                raise CommandRejected("storage_unavailable", retry_after=RETRY_S)
        except (CommandRejected, MessageInOtherThread) as refused:
            ask.fail(refused)
        except StorageUnavailable:
            ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except Unstorable:
            ask.fail(CommandRejected("invalid_command", "That text cannot be stored."))

    async def _accepted_before(self, ask: Accept | AnswerAgain) -> bool:
        """Reply to a repeated request with its acceptance and all that came after. Return False if it is not repeated.

        Raises:
            CommandRejected, MessageInOtherThread: Another request was accepted under this id.
        """
        if isinstance(ask, Accept):
            prior = await self.store.message(self.owner, ask.message_id)
            if prior is None:
                return False
            await self._check_same(ask, prior)
            run_id = prior.run_id
        else:
            prior, run = ask.message, None
            if ask.request_id is not None:
                run = await self.store.run_of_request(self.owner, ask.request_id)
                if run is not None and run.message_id != ask.message.id:
                    raise CommandRejected("message_id_reused", "That request_id names another request already.")
            run_id = None if run is None else run.id
        if run_id is None:
            return False
        if await self._ensure_queued(run_id):
            accepted = await read_acceptance(self.store, prior, run_id)
            self.subscribers.replay_acceptance(ask.outbox, accepted, self.last_seq, self.context)
            ask.reply(run_id)
        return True

    async def _check_same(self, ask: Accept, prior: Message) -> None:
        """Raise if the stored message under the id of this one is another, or stands in another thread."""
        say = ask.say
        if prior.thread_id != self.thread_id:
            # A message that names no thread or conversation may mean the one in the other thread.
            named = say.thread_id is not None
            if not named and say.conversation_id is not None:
                run = await self.store.run(prior.run_id or "")
                named = run is None or run.conversation_id != say.conversation_id
            raise CommandRejected("message_id_reused") if named else MessageInOtherThread(prior.thread_id)
        same_place = prior.branch_of == ask.branch_of and say.parent_id in (None, prior.parent_id)
        same_text = equal_but_for_placeholders(prior.content, ask.filtered.text)
        if not (same_place and same_text and prior.references == say.references):
            raise CommandRejected("message_id_reused")

    async def _ensure_queued(self, run_id: str) -> bool:
        """Return True if a run is queued or has ended; else the log holds more than this actor knows: relocate."""
        if run_id not in self.runs:
            run = await self.store.run(run_id)
            if run is not None and run.ended_at is None:
                self._relocate("RunNotQueued")
                return False
        return True

    async def _store_message(self, ask: Accept | AnswerAgain) -> ActiveRun:
        """Commit a message with its run, publish its acceptance, and reply."""
        found, raw, request_id = None, None, None
        if isinstance(ask, Accept):
            filtered, references = ask.filtered, ask.say.references
            message_id, content, parent, branch_of = ask.message_id, filtered.text, ask.say.parent_id, ask.branch_of
            if branch_of is None:
                if parent is None:
                    parent = self.newest_answer
                else:
                    await self._check_parent(parent)
            beside, from_ = ask.context_findings, self.services.summary_from
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
            context, settings = await self._earlier_context(branch_of)
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
        self.subscribers.subscribe(ask.outbox, self.last_seq, self.context)
        names = (message_id, ask.run_id, content, references, parent, branch_of)
        accepted = MessageAccepted(*names, context or None, settings or None)
        await self._commit(live, [accepted], raw=raw, arrived_at=ask.arrived_at)
        if isinstance(ask, Accept):
            alert = build_alert((*ask.filtered.findings, *ask.context_findings))
            if alert is not None:
                self.subscribers.send_alert(wrap(alert, live.envelope_template, now=self.services.clock()))
        ask.reply(ask.run_id)
        return live

    async def _check_parent(self, named: str) -> None:
        """Raise if a message does not follow an answer of this thread."""
        run = await self.store.run(named.removeprefix(ANSWER)) if named.startswith(ANSWER) else None
        if run is None or (run.owner, run.thread_id) != (self.owner, self.thread_id):
            raise CommandRejected("not_found", "There is no answer of that name in this conversation.")

    async def _earlier_context(self, message_id: str) -> tuple[JsonObject, JsonObject]:
        """Return the context and settings that a stored message was accepted with, from the log."""
        earlier = await self.store.message(self.owner, message_id)
        if earlier is None or earlier.run_id is None:
            return {}, {}
        try:
            accepted = (await read_acceptance(self.store, earlier, earlier.run_id)).event
        except UnreadableEvent:  # the message itself can be read, and is answered without what came with it
            return {}, {}
        if not isinstance(accepted, MessageAccepted):
            return {}, {}
        return accepted.context or {}, accepted.settings or {}

    # the log

    async def _commit(
        self,
        live: ActiveRun,
        events: Sequence[Event],
        *,
        steps: Sequence[StepRecord] = (),
        raw: RawText | None = None,
        arrived_at: float | None = None,
        after_checkpoint: bool = False,
    ) -> None:
        """Number, commit and publish events of a run.

        If the commit takes long, the subscribers are sent a progress event. `after_checkpoint`: first wait for the
        checkpoint that is being stored, so that an older step replaces no newer one. `arrived_at` is when the message
        came that the first event accepts.

        Raises:
            RunProtocolError: An event breaks the run's protocol. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        protocol = evolve(live.protocol, agents=dict(live.protocol.agents), calls=dict(live.protocol.calls))
        opening, now, run_id = not live.protocol.accepted, self.services.clock(), live.request.run_id
        envelopes, answers = [], []
        for number, event in enumerate(events, self.last_seq + 1):
            protocol.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=now, seq=number))
            if isinstance(event, FinalResponse):
                answers.append(event.message)
        change = live.change(envelopes, self.fence, steps=steps, raw=raw, new_thread=not self.exists)
        # The dispatcher notifies the sender of a message until it is accepted.
        with nullcontext() if opening else self._notify_if_away(live):
            if after_checkpoint and (saving := self.checkpoints.get(run_id)) is not None:
                await saving.wait()  # at most the store's limit
            if answers:
                restore = partial(self.services.content_filter.vault.restore_text, self.owner, self.thread_id)
                await self.services.html.prefetch([restore(answer) for answer in answers], self.owner)
            await self.store.commit(change)
        live.protocol = protocol
        self.last_seq += len(envelopes)
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + run_id
        self.subscribers.publish(envelopes, self.last_seq, self.context, arrived_at=arrived_at)

    async def _save_checkpoint(self, step: StepRecord) -> None:
        """Store a step that is not finished, beside the events that are committed meanwhile."""
        try:
            await self.store.commit(Change(self.owner, self.thread_id, steps=(step,), fence=self.fence))
        except Fenced:
            self.context.ref.tell(OwnershipLost())
        except StorageError as error:
            log.info("run.step_not_kept", extra={"run_id": step.run_id, "reason": str(error)})
        finally:
            self.checkpoints.pop(step.run_id).set()

    # runs

    async def _enqueue(self, live: ActiveRun) -> None:
        self.runs[live.request.run_id] = live
        self.queue.append(live)
        if self.queue[0] is live:
            await self._start_next()
        self._publish_positions()

    async def _dequeue(self, live: ActiveRun) -> None:
        first = bool(self.queue) and self.queue[0] is live
        self.queue.remove(live)
        release_permit(self.services.limiter, live.request.run_id)
        for ask in live.decisions:
            if ask.waiting:
                ask.reply(False)
        if live.protocol.ended:
            del self.runs[live.request.run_id]
        if first:
            await self._start_next()
        self._publish_positions()

    async def _start_next(self) -> None:
        """Start the first run of the queue: now, when it is granted a permit, or when its backoff is over."""
        if not self.queue:
            return
        live = self.queue[0]
        run_id, attempt = live.request.run_id, live.attempt
        if attempt is not None and not attempt.recorded:
            if (reason := attempt.unresumable_reason(self.services.agents)) is not None:
                await self._abandon(live, *reason)
                return
            if not attempt.due:
                self.context.set_timer(f"rested {run_id}", attempt.backoff_s(self.chance), BackoffOver(run_id))
                return
        if self.services.limiter.acquire(run_id, self.owner, self.context.ref):
            await self._start_run(run_id)

    async def _start_run(self, run_id: str) -> None:
        """Start a run that has its permit, or resume it."""
        live = self.runs.get(run_id)
        if live is None or live.stopped or live.started:
            return
        replay, attempt = None, live.attempt
        if attempt is not None:
            try:
                with self._notify_if_away(live):
                    await self.store.commit(self._attempt(run_id, attempt.number, attempt.progress))
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                self._send(live, AgentProgress(0, AWAY))
                release_permit(self.services.limiter, run_id)
                self.context.set_timer(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            attempt.recorded = True
            agents = self.services.agents
            live.request = evolve(live.request, agent=attempt.agent(agents) or live.request.agent)
            extra = {"run_id": run_id, "attempt": attempt.number, "steps": attempt.progress}
            log.warning("run.taken_up", extra=extra)
            self.services.metrics.run_resumed("resumed")
            replay, attempt.replay = attempt.replay, None
        make = partial(Run, live.request, self.context.ref, self.services, replay)
        ref = await self.context.spawn(ChildSpec(run_id, make, restart=Restart.TEMPORARY, shutdown_s=3.0))
        self.run_actors[run_id] = ref
        self.context.watch(ref)
        live.started = True
        for ask in live.decisions:
            if ask.waiting:  # else its user was told that the decision was not taken
                ref.tell(ask)

    def _attempt(self, run_id: str, number: int, progress: int) -> Change:
        return Change(self.owner, self.thread_id, attempt=RunAttempt(run_id, number, progress), fence=self.fence)

    async def _record(self, ask: Record) -> None:
        live = self.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            ask.fail(LookupError(f"run {ask.run_id} has ended"))
            return
        if ask.speaker != (live.envelope_template.agent_type, live.envelope_template.pillar):
            live.set_speaker(*ask.speaker)
        try:
            await self._commit(live, ask.events, steps=ask.steps, after_checkpoint=True)
        except StorageUnavailable as error:
            self._send(live, AgentProgress(0, AWAY))
            ask.fail(error)
        else:
            ask.reply(None)

    async def _finish(self, finish: FinishRun) -> None:
        """Commit the end of a run that has no answer; retry later if it cannot be stored now."""
        run_id = finish.run_id
        live = self.runs.get(run_id)
        if live is None or live.protocol.ended:
            self.unfinished.pop(run_id, None)
            return
        events = live.protocol.closing_events(
            finish.ending,
            now=self.services.clock(),
            text=live.text,
            sentence=finish.sentence,
            error_id=finish.error_id,
            retry_after=finish.retry_after_s,
        )
        try:
            await self._commit(live, events)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": run_id})
            self._send(live, AgentProgress(0, AWAY))  # the run itself gives no sign of life any more
            self.unfinished[run_id] = finish
            self.context.set_timer("retry", RETRY_S, RetryFinish())
            return
        self.unfinished.pop(run_id, None)
        if not live.started and live not in self.queue:
            del self.runs[run_id]

    async def _run_exited(self, run_id: str, reason: Exit) -> None:
        """Commit the end of a run whose actor died without one, and start the next run."""
        live = self.runs.get(run_id)
        if live is None:
            return
        live.started = False
        if not live.protocol.ended and run_id not in self.unfinished:
            error_id, crash = new_error_id(), reason.error if isinstance(reason, Crashed) else None
            extra = {"run_id": run_id, "reason": str(reason), "error_id": error_id}
            log.error("run.died", extra=extra, exc_info=crash)
            ending = Ending.INTERRUPTED if crash is None else Ending.FAILED
            await self._finish(FinishRun(run_id, ending, error_id=error_id))
        await self._dequeue(live)

    async def _abandon(self, live: ActiveRun, why: str, sentence: str) -> None:
        """End a run that cannot be resumed, and start the next one."""
        error_id, run_id = new_error_id(), live.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        self.services.metrics.run_resumed(why)
        await self._finish(FinishRun(run_id, Ending.INTERRUPTED, sentence, error_id))
        await self._dequeue(live)

    async def _cancel(self, ask: CancelRun) -> None:
        live = self.runs.get(ask.run_id)
        if live is None:
            try:
                if await self._ensure_queued(ask.run_id):
                    ask.reply(False)
            except StorageUnavailable as error:
                ask.fail(error)
            return
        live.stopped = True
        if live.started:
            self.run_actors[ask.run_id].tell(Stop())
        else:
            await self._finish(FinishRun(ask.run_id, Ending.CANCELLED))
            await self._dequeue(live)
        ask.reply(True)

    def _decide(self, ask: Decide) -> None:
        """Pass a decision to the run whose call waits for it, or keep it until that run is started."""
        live = next((each for each in self.runs.values() if ask.call_id in each.protocol.calls), None)
        if live is None or not (call := live.protocol.calls[ask.call_id]).waits:
            ask.reply(live is not None and call.decision is ask.decision)  # a repeat of the decision is fine
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.started:
            self.run_actors[live.request.run_id].tell(ask)

    # subscribers

    def _send(self, live: ActiveRun, event: Event) -> None:
        """Send every subscriber an event that is not logged."""
        self.subscribers.deliver(wrap(event, live.envelope_template, now=self.services.clock()))

    def _notify_if_away(self, live: ActiveRun) -> AbstractContextManager[None]:
        return self.services.storage_waits.notify_if_slow(partial(self._send, live, AgentProgress(0, AWAY)))

    def _send_position(self, live: ActiveRun) -> None:
        if note := queue_note(self.services.limiter, live.request.run_id):
            self._send(live, AgentProgress(0, note))

    def _publish_positions(self) -> None:
        """Send every queued run its position, and again after `silence_s`."""
        unended = [live for live in self.queue if not live.protocol.ended]
        waiting = [live for live in unended if not live.started]
        for ahead, live in enumerate(waiting, len(unended) - len(waiting)):
            if not ahead and live.attempt is not None and not live.attempt.due:
                note = f"Interrupted: goes on soon (attempt {live.attempt.number} of {MAX_ATTEMPTS})"
                self._send(live, AgentProgress(0, note))
            elif ahead:
                note = f"Waiting: {ahead} before this one in this conversation"
                self._send(live, AgentProgress(0, note))
            else:
                self._send_position(live)
        if waiting:
            self.context.set_timer("waiting", self.services.silence_s, PublishPositions())

    async def _subscribe(self, ask: FollowThread) -> None:
        if ask.after > self.last_seq:
            # Before the client is told to forget what it has: this server may have been held so long that another one
            # went on with the thread, or a commit that seemed to fail may have succeeded.
            try:
                opening = await self.store.thread_with_open_runs(self.owner, self.thread_id)
            except StorageUnavailable as error:
                ask.fail(error)
                return
            if opening is None:
                if self.exists:
                    raise NotStored("thread", self.thread_id)
            elif not self._owns(thread := opening[0]):
                raise Fenced(self.thread_id, thread.node)
            elif thread.last_seq != self.last_seq:
                raise SequenceConflict(self.thread_id, thread.last_seq + 1, self.last_seq + 1)
        if not self.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.subscribers.subscribe(ask.outbox, self.last_seq, self.context, after=min(ask.after, self.last_seq))
        if ask.after > self.last_seq:  # as after a restore of the database
            resync = Envelope(Resync(self.last_seq), self.services.clock(), thread_id=self.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(resync))
        ask.reply(None)

    async def _rate(self, ask: RateAnswer) -> None:
        answer = ask.answer
        try:
            found = await self.store.give_feedback(answer.owner, answer.id, ask.rating, ask.note)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if not found:
            ask.fail(CommandRejected("not_found", "There is no answer of that name."))
            return
        self.services.metrics.feedback(ask.rating)
        self.subscribers.send_about_answer(FeedbackGiven(answer.id, ask.rating), answer, ask.outbox)
        ask.reply(None)

    async def _delete(self, ask: Delete) -> None:
        """Cancel all runs so that their subscribers see an end, then delete the thread, then stop."""
        since = ask.unless_since
        if since is not None and self.runs:
            ask.reply(False)
            return
        for live in self.runs.values():
            live.stopped = True
        for run_id, live in list(self.runs.items()):
            if live.started:
                await self.run_actors[run_id].stop(StopMode.NOW)
            await self._finish(FinishRun(run_id, Ending.CANCELLED))
        for live in reversed(list(self.queue)):  # the last first, so that none of them is started now
            if not live.started:
                await self._dequeue(live)
        try:
            deleted = await self.store.delete_thread(self.owner, self.thread_id, self.fence, unless_since=since)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if since is not None and not deleted:
            ask.reply(False)
            return
        self.services.forget(self.owner, self.thread_id)
        self.subscribers.unsubscribe_all()
        self.context.stop()
        ask.reply(True)
