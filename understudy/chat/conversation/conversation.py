"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

Each noun has a module of its own: `thread_log` commits and publishes, `run_queue` starts and ends runs, `acceptance`
accepts messages, `settling` has the calls that are in doubt at the end of their run, and each `thread_part` is what an
extension does. Their modules list what holds of them. Of all:

1. A request that is refused has changed nothing.
2. Each run is a child, whose death is never the conversation's: the run is resumed from the log.
3. A conversation resumes the runs that it finds unfinished when it starts: its state is the log, and nothing else.
4. It never waits for a subscriber, a model or a tool; it waits for the store only, within the store's own limit.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from actors import Actor, Context, Exit, MailboxSpec, Normal, Shutdown, Supervision, Terminated
from transport.wire.errors import CommandRejected
from transport.wire.events import Resync
from transport.wire.messages import Reply
from understudy.chat.conversation.acceptance import Acceptance
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.run_queue import RunQueue
from understudy.chat.conversation.settling import UNSETTLED, Settling
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.conversation.thread_log import LOST, Outrun, ThreadLog, reason_of
from understudy.chat.conversation.thread_part import ThreadHooks, ThreadPart, unfinished
from understudy.chat.conversation.workers import (
    AttemptOverdue,
    BackoffOver,
    CheckIdle,
    PublishPositions,
    ResumeExited,
    RetryFinish,
    Settled,
    Workers,
)
from understudy.chat.messages import (
    Accept,
    AnswerQuestion,
    CancelRun,
    Decide,
    Delete,
    EnsureEffects,
    EnsureRunning,
    FinishRun,
    FollowThread,
    OwnershipLost,
    PermitGranted,
    PositionChanged,
    RateAnswer,
    RequestSnapshot,
    WaitIdle,
)
from understudy.chat.placement import RemoteNodes
from understudy.chat.run.part import by_hook
from understudy.chat.run_limiter import release_permit
from understudy.chat.run_state.endings import Ending
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageError, StorageUnavailable
from understudy.storage.records import Fence, RunAttempt, RunRecord, StepRecord
from understudy.storage.thread_writes import give_feedback, release_thread
from understudy.wire.events import AgentProgress, AnswerOutcome, Envelope, FeedbackGiven

log = logging.getLogger(__name__)

RESYNC: Final = "You have seen more of this conversation than the server has; read the history and go on from here."
"""The message to a client that subscribes beyond the end of the log."""


class Conversation(Actor):
    """One thread of one user. Started by `understudy.chat.registry` when a command first names the thread.

    `fence` is the right of this node to write the thread's log; None on a single node. `parts` are what extensions do.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)

    def __init__(
        self,
        owner: str,
        thread_id: str,
        services: Services,
        fence: Fence | None = None,
        parts: Sequence[type[ThreadPart]] = (),
    ) -> None:
        self.services = services
        self.subscribers = Subscribers(owner, thread_id, services)
        self.thread = ThreadLog(owner, thread_id, services, self.subscribers, fence)
        self.workers = Workers(self.thread)
        self.settling = Settling(self.thread, self.workers)
        self.queue = RunQueue(self.thread, self.workers, self.settling)
        self.parts = [part(self.thread, self.workers, self.queue) for part in parts]
        self.thread.hooks = ThreadHooks(**by_hook(self.parts, ThreadPart, ThreadHooks))
        self.handlers = {kind: act for part in self.parts for kind, act in part.handlers().items()}
        self.acceptance = Acceptance(self.thread, self.queue)
        self.idle_waiters: list[WaitIdle] = []

    async def on_start(self, context: Context) -> None:
        """Read the end of the log, subscribe the user's connections again, and resume unfinished runs."""
        self.workers.context = self.subscribers.context = context
        thread, store = self.thread, self.thread.store
        owned, outrun, unfinished = True, None, list[RunRecord]()
        opening = await store.read(queries.thread_with_open_runs, thread.owner, thread.thread_id)
        if opening is not None and (owned := thread.load(opening[0])) and (unfinished := opening[1]):
            await store.flush()  # their checkpoints, by the conversation before this one
        recorded = [await read_unfinished_run(store, run, thread.restore) for run in unfinished]
        if thread.exists:
            self.subscribers.subscribe_all(thread.last_seq)
        else:
            self.subscribers.unsubscribe_stale()
        try:
            async with thread.turn:
                for active in recorded:
                    await self.queue.resume(active)
                if owned and opening is not None:
                    for run in await self._open_effects():
                        await self.resume_effects(run, await store.steps(run.id))
        except LOST as error:  # such as a commit of the actor before this one that was still on its way
            owned, outrun = False, reason_of(error)
        if not owned:  # claimed while this actor backed off after a crash: its subscribers are to find the new owner
            context.ref.tell(OwnershipLost(outrun))
        context.set_timer("idle", self.services.settings.idle_s, CheckIdle())

    async def receive(self, message: object, context: Context) -> None:
        """Handle one message, unless the conversation is to end."""
        try:
            async with self.thread.turn:
                await self.handle(message, context)
        except LOST as error:
            self._relocate(reason_of(error), context)

    async def handle(self, message: object, context: Context) -> None:
        """Handle one message.

        Raises:
            Fenced, SequenceConflict, NotStored, Outrun: The conversation is to end; see `ThreadLog`.
        """
        thread, queue = self.thread, self.queue
        match message:
            case Accept():
                await self.acceptance.accept(message)
            case CancelRun():
                await queue.cancel(message)
            case Decide():
                self._decide(message)
            case AnswerQuestion():
                self._answer_question(message)
            case Settled():
                await self.settling.store(message)
            case PermitGranted(run_id):
                await queue.start(run_id)
            case BackoffOver(run_id):
                active, order = thread.runs.get(run_id), queue.order
                if active is not None and not active.started and active.attempt and order and order[0] is active:
                    active.attempt.due = True
                    await queue.start_next()
            case PositionChanged(run_id):
                queue.publish_positions(run_id)
            case PublishPositions():
                queue.publish_positions()
            case RetryFinish():
                for finish in list(queue.unfinished.values()):
                    await queue.finish(finish)
            case ResumeExited(died, error_id):
                active = thread.runs.get(died.run_id)
                if active is not None and not active.started and not active.stopped:
                    await queue.resume_exited(active, died, error_id)
            case EnsureRunning(run_id):
                with suppress(StorageUnavailable):  # the recovery actor asks again
                    await thread.check_queued(run_id)
            case EnsureEffects(run_id):
                with suppress(StorageUnavailable):  # the recovery actor asks again
                    await self._check_effects(run_id)
            case FollowThread():
                await self._subscribe(message)
            case RequestSnapshot(outbox):
                if isinstance(outbox, RemoteNodes):
                    thread.subscribers.tell_end(thread.last_seq)
                for active in thread.runs.values():
                    thread.show_whole_text(active, outbox)
                for active, note in queue.positions():
                    thread.show(active, AgentProgress(0, note), outbox)
            case RateAnswer():
                await self._rate(message)
            case Delete():
                await self._delete(message, context)
            case OwnershipLost(why):
                self._relocate(why, context)
            case Terminated(ref, reason):
                if not self.subscribers.remove(ref) and (exited := await self.workers.exited(ref, reason)) is not None:
                    await queue.exited(exited)
            case AttemptOverdue(ref):
                await self.workers.overdue(ref)
            case WaitIdle():
                self.idle_waiters.append(message)
            case CheckIdle():
                # Connections of this server lose nothing: the next conversation subscribes them when it starts.
                busy = thread.runs or self.settling.doubts or self.workers.attempts
                if busy or any(part.at_work for part in self.parts) or self.subscribers.has_remote:
                    context.set_timer("idle", self.services.settings.idle_s, message)
                else:
                    context.stop()
            case _ if (handler := self.handlers.get(type(message))) is not None:
                await handler(message)

    async def on_idle(self, context: Context) -> None:
        """Reply to every `WaitIdle` once no run is left."""
        while self.idle_waiters and not self.thread.runs:
            self.idle_waiters.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave unfinished runs in the log, to be resumed by the thread's next owner."""
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self.suspend()
        finally:  # also if that took longer than there is time for
            for run_id in self.thread.runs:
                release_permit(self.services.limiter, run_id)
        # They refer to the thread's log, which would wait for the garbage collector.
        self.parts, self.thread.hooks = [], ThreadHooks()
        thread = self.thread
        if isinstance(reason, Normal) and thread.fence is not None:
            with suppress(StorageError):  # else the thread belongs to this node until its lease ends
                await thread.store.commit(release_thread(thread.owner, thread.thread_id, thread.fence))

    async def suspend(self) -> None:
        """Take back the recorded attempts at runs and effects: a stop of the server is no failed attempt."""
        thread = self.thread
        for run_id, active in thread.runs.items():
            if active.state.end is not None:
                continue
            log.info("run.put_down", extra={"run_id": run_id})
            if (attempt := active.attempt) is not None and attempt.recorded:
                before = RunAttempt(run_id, attempt.number - 1, attempt.progress)
                try:
                    await thread.commit(thread.change(attempt=before))
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": run_id})
        steps = [step for part in self.parts for step in part.suspended()]
        steps += [doubt.with_attempts(-1).step for doubt in self.settling.doubts.values()]
        if steps:
            try:
                await thread.commit(thread.change(steps=tuple(steps)))
            except StorageUnavailable:
                log.warning("effects.attempts_not_given_back", extra={"calls": len(steps)})

    async def resume_effects(self, run: RunRecord, steps: Sequence[StepRecord]) -> None:
        """Go on with the effects of a run that lost their server; `steps` are the run's."""
        for part in self.parts:
            await part.resume(run, steps)
        for step in steps:
            if step.status == UNSETTLED:
                await self.settling.resume(run, step)

    async def _check_effects(self, run_id: str) -> None:
        """Check that the effects of a run that are to be finished are known. Raises `Outrun` if they are not."""
        run_ids = {doubt.step.run_id for doubt in self.settling.doubts.values()}.union(
            *(part.at_work for part in self.parts)
        )
        if run_id not in run_ids and any(run.id == run_id for run in await self._open_effects()):
            raise Outrun(f"effects of run {run_id} are not known")

    async def _open_effects(self) -> Sequence[RunRecord]:
        thread, left = self.thread, unfinished(type(part) for part in self.parts)
        return await thread.store.read(queries.open_effects, thread.owner, thread.thread_id, left)

    def _decide(self, ask: Decide) -> None:
        """Pass a decision to the run whose call waits for it, or keep it until that run is started."""
        active = next((run for run in self.thread.runs.values() if ask.call_id in run.state.calls), None)
        if active is None or not (call := active.state.calls[ask.call_id]).waits:
            decided = None if active is None or call.ended else call.decided
            # A repeat of the decision is fine.
            ask.reply(decided is not None and (decided.decision, decided.parameters) == (ask.decision, ask.parameters))
            return
        self._pass_on(active, ask)

    def _answer_question(self, ask: AnswerQuestion) -> None:
        """Pass an answer to the run that asked, or keep it until that run is started."""
        active = next((run for run in self.thread.runs.values() if ask.question_id in run.state.questions), None)
        if active is None or not (question := active.state.questions[ask.question_id]).waits:
            answer = None if active is None else question.answered
            withheld = () if answer is None else answer.withheld or ()
            visible = None if ask.answer is None else {k: v for k, v in ask.answer.items() if k not in withheld}
            # A repeat of the answer is fine.
            ask.reply(answer is not None and answer.outcome is not AnswerOutcome.EXPIRED and answer.answer == visible)
            return
        self._pass_on(active, ask)

    def _pass_on(self, active: ActiveRun, ask: Decide | AnswerQuestion) -> None:
        active.decisions = [*(decision for decision in active.decisions if decision.waiting), ask]
        if active.started:
            self.workers.tell_run(active.request.run_id, ask)

    async def _subscribe(self, ask: FollowThread) -> None:
        thread = self.thread
        if ask.after > thread.last_seq:
            # Verify the log before the client is told to reset: this server may have been suspended so long that
            # another one continued the thread, or a commit that seemed to fail may have succeeded.
            try:
                opening = await thread.store.read(queries.thread_with_open_runs, thread.owner, thread.thread_id)
            except StorageUnavailable as error:
                ask.fail(error)
                return
            if opening is None:
                if thread.exists:
                    raise NotStored("thread", thread.thread_id)
            elif not thread.owns(found := opening[0]):
                raise Fenced(thread.thread_id, found.node)
            elif found.last_seq != thread.last_seq:
                raise SequenceConflict(thread.thread_id, found.last_seq + 1, thread.last_seq + 1)
        if not thread.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        thread.subscribers.subscribe(
            ask.outbox, thread.last_seq, after=min(ask.after, thread.last_seq), unasked=ask.unasked
        )
        if ask.after > thread.last_seq:  # as after a restore of the database
            resync = Envelope(Resync(thread.last_seq), thread.now, thread_id=thread.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(resync))
        ask.reply(None)

    async def _rate(self, ask: RateAnswer) -> None:
        answer = ask.answer
        try:
            stored = await self.thread.store.commit(give_feedback(answer.owner, answer.id, ask.rating, ask.note))
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if not stored:
            ask.fail(CommandRejected("not_found", "There is no answer of that name."))
            return
        self.services.metrics.feedback(ask.rating)
        self.subscribers.send_about_answer(FeedbackGiven(answer.id, ask.rating), answer, ask.outbox)
        ask.reply(None)

    async def _delete(self, ask: Delete, context: Context) -> None:
        """Cancel all runs so that their subscribers see an end, then delete the thread, then end."""
        thread, queue, since = self.thread, self.queue, ask.unless_since
        if since is not None and thread.runs:
            ask.reply(False)
            return
        for active in thread.runs.values():
            active.stopped = True
        for run_id, active in list(thread.runs.items()):
            if active.started:
                await self.workers.stop_run(run_id)
            active.state.steers = {}  # they go with the thread
            await queue.finish(FinishRun(run_id, Ending.CANCELLED))
        for active in reversed(list(queue.order)):  # the last first, so that none of them is started now
            if not active.started:
                await queue.dequeue(active)
        try:
            deleted = await thread.store.delete_thread(thread.owner, thread.thread_id, thread.fence, unless_since=since)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if since is not None and not deleted:
            ask.reply(False)
            return
        for part in self.parts:
            part.clear()
        self.settling.doubts.clear()
        self.services.forget(thread.owner, thread.thread_id)
        self._leave(context)
        self.subscribers.unsubscribe_all()
        ask.reply(True)

    def _relocate(self, why: str | None, context: Context) -> None:
        """End this conversation: its subscribers go on with the next one. `why` None: another node owns the thread."""
        about = {"conversation": context.path}
        if why is None:
            log.warning("conversation.fenced", extra=about | {"runs": len(self.thread.runs)})
        else:
            log.warning("conversation.outrun", extra=about | {"why": why})
        self._leave(context, always=why is not None)

    def _leave(self, context: Context, *, always: bool = False) -> None:
        """Stop, and have the subscribers go on with the thread's next conversation; `always` also without any."""
        if always or self.subscribers:
            self.services.on_relocated(self.thread.owner, self.thread.thread_id, context.ref)
        context.stop()
