"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

1. An event is committed before any follower gets it, and followers get events in the order of their numbers.
2. Runs of a thread work one after the other; each is a child, and its death is an ending, never the conversation's.
3. Whatever a conversation finds unfinished when it starts goes on: its state is the log, and nothing else.
4. Where another server has claimed the thread, a conversation ends without a word more: what it writes is refused.
   So it does where the log has more than it knows of, as after a commit whose answer was lost: another begins from it.
5. Nothing here waits for a follower, a model or a tool; it waits for the store only, within the store's own limit.

Its parts: `intake` takes messages in, `line` has the runs, `followers` who is told of them, `log` what is stored.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import trio

from actors import Actor, ActorRef, Context, Exit, MailboxSpec, Normal, Shutdown, Supervision, Terminated
from transport.outbox.outbox import Deliver, Reply
from transport.wire.errors import CommandRejected
from transport.wire.events import AgentProgress, Envelope, FeedbackGiven, Resync
from understudy.chat.conversation.accept import MessageAcceptor
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import EventLog
from understudy.chat.conversation.run_queue import BackoffOver, PublishPositions, RetryFinish, RunNotQueued, RunQueue
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
    OwnershipLost,
    PermitGranted,
    PositionChanged,
    Progress,
    RateAnswer,
    Record,
    RequestSnapshot,
    WaitIdle,
)
from understudy.chat.services import Services
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageError, StorageUnavailable
from understudy.storage.rows import StepRecord
from understudy.storage.writes import Fence

log = logging.getLogger(__name__)

RESYNC = "You have seen more of this conversation than the server has; read the history and go on from here."
"""What a client is told that resumes after the end of the log."""


class _CheckIdle:
    """Nothing has happened for a while."""


class Conversation(Actor):
    """One thread of one user. Begun by `understudy.chat.registry` when a command first names the thread.

    `fence` is by what right this server writes its log; None where no other server is there.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)

    def __init__(self, owner: str, thread_id: str, services: Services, fence: Fence | None = None) -> None:
        self.services = services
        shown = partial(services.content_filter.vault.restore_text, owner, thread_id)
        self.log = EventLog(owner, thread_id, services.store, services.html, services.clock, shown, fence)
        self.subscribers = Subscribers(owner, thread_id, services)
        self.queue = RunQueue(self.log, services, self.subscribers)
        self.acceptor = MessageAcceptor(self.log, services, self.subscribers, self.queue)
        self.idle_waiters: list[WaitIdle] = []

    async def on_start(self, context: Context) -> None:
        """Find the end of the log, let the user's connections follow again, and go on with what nobody works on."""
        unfinished: Sequence[ActiveRun] = ()
        try:
            unfinished = await self.log.open()
        except Fenced:  # it was taken while this one rested after a crash: whoever followed it is to find it there
            context.ref.tell(OwnershipLost())
        if self.log.exists:
            self.subscribers.subscribe_all(self.log.last_seq, context)
        else:
            self.subscribers.unsubscribe_stale()
        try:
            for live in unfinished:
                await self.queue.resume(live, context)
        except Fenced:
            context.ref.tell(OwnershipLost())
        context.set_timer("idle", self.services.idle_s, _CheckIdle())

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` says what each means."""
        try:
            await self._serve(message, context)
        except Fenced:
            self._give_up_ownership(context)
        except (SequenceConflict, NotStored, RunNotQueued) as outrun:
            self._restart_from_log(outrun, context)

    async def _serve(self, message: object, context: Context) -> None:
        match message:
            case Delta(run_id, text, blocks, kept, anew):
                if (live := self.queue.runs.get(run_id)) is not None and not live.protocol.ended:
                    if anew:
                        self.subscribers.send_ephemeral(live, live.restart_text())
                    piece = live.append_text(text, tuple(blocks), kept)
                    if text:
                        self.subscribers.send_ephemeral(live, piece)
            case Progress(run_id, note, done, total):
                if (live := self.queue.runs.get(run_id)) is not None:
                    self.subscribers.send_ephemeral(live, AgentProgress(done, note, total))
            case Record():
                await self._record(message, context)
            case Checkpoint(run_id, step):
                live = self.queue.runs.get(run_id)
                if live is not None and live.checkpointing is None and not live.protocol.ended:
                    live.checkpointing = trio.Event()
                    context.start_soon(self._save_checkpoint, live, live.checkpointing, step, context.ref)
            case Accept() | AnswerAgain():
                await self.acceptor.accept_message(message, context)
            case RateAnswer():
                await self._rate(message)
            case WaitIdle():
                self.idle_waiters.append(message)
            case FollowThread():
                await self._subscribe(message, context)
            case CancelRun(run_id):
                await self._cancel(message, run_id, context)
            case Decide():
                self.queue.decide(message)
            case FinishRun():
                await self.queue.finish_run(message, context)
                message.reply(None)
            case Delete():
                await self._delete(message, context)
            case RequestSnapshot(outbox):
                self._send_snapshots(outbox)
            case PermitGranted(run_id):
                await self.queue.start_run(run_id, context)
            case EnsureRunning(run_id):
                with suppress(StorageUnavailable):  # who said so says it again
                    await self.queue.ensure_queued(run_id)
            case Terminated(ref, reason):
                if not self.subscribers.remove(ref):
                    await self.queue.run_exited(ref, reason, context)
            case PositionChanged(run_id):
                self.queue.publish_position(run_id)
            case PublishPositions():
                self.queue.publish_positions(context)
            case BackoffOver(run_id):
                await self.queue.backoff_over(run_id, context)
            case RetryFinish():
                await self.queue.retry_finish(context)
            case OwnershipLost():
                self._give_up_ownership(context)
            case _CheckIdle():
                self._stop_if_idle(context)

    async def on_idle(self, context: Context) -> None:
        """Answer those who wait until nothing runs here."""
        while self.idle_waiters and not self.queue.runs:
            self.idle_waiters.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """What is unfinished stays in the log: whoever takes the thread over goes on with it."""
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self.queue.suspend()
        finally:  # also when that took longer than there is time for
            self.queue.release_permits()
        if isinstance(reason, Normal) and self.log.fence is not None:
            with suppress(StorageError):  # else it is this server's until that ends
                await self.services.store.release(self.log.owner, self.log.thread_id, self.log.fence)

    def _give_up_ownership(self, context: Context) -> None:
        """End at once, and the runs with it: the thread is another's. Whoever waits for an answer asks there again."""
        log.warning("conversation.fenced", extra={"conversation": context.path, "runs": len(self.queue.runs)})
        if self.subscribers:
            self.services.on_relocated(self.log.owner, self.log.thread_id, context.ref)
        context.stop()

    def _restart_from_log(self, outrun: Exception, context: Context) -> None:
        """End, and have another begin from the log, which has more than this one knows of. Who asked asks that one."""
        why = type(outrun).__name__  # its text may have the thread's id, which is the user's own word
        log.warning("conversation.outrun", extra={"conversation": context.path, "why": why})
        self.services.on_relocated(self.log.owner, self.log.thread_id, context.ref)
        context.stop()

    async def _cancel(self, ask: CancelRun, run_id: str, context: Context) -> None:
        found = await self.queue.cancel(run_id, context)
        try:
            if not found:
                await self.queue.ensure_queued(run_id)
        except StorageUnavailable as error:
            ask.fail(error)
        else:
            ask.reply(found)

    async def _record(self, ask: Record, context: Context) -> None:
        live = self.queue.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            ask.fail(LookupError(f"run {ask.run_id} has ended"))
            return
        live.set_speaker(*ask.speaker)
        try:
            with self.services.storage_waits.notify_if_slow(partial(self.queue.show_storage_wait, live)):
                if live.checkpointing is not None:
                    await (
                        live.checkpointing.wait()
                    )  # at most the store's limit: an older step must not replace a newer one
                envelopes = await self.log.commit(live, ask.events, steps=ask.steps)
            self.subscribers.publish(envelopes, self.log.last_seq, context)
        except StorageUnavailable as error:
            self.queue.show_storage_wait(live)  # before anything else here waits for storage as long
            ask.fail(error)
        else:
            ask.reply(None)

    async def _save_checkpoint(
        self, live: ActiveRun, kept: trio.Event, step: StepRecord, conversation: ActorRef
    ) -> None:
        """Keep a step that is not finished, beside the events that go on meanwhile."""
        try:
            await self.log.save_step(step)
        except Fenced:
            conversation.tell(OwnershipLost())
        except StorageError as error:
            log.info("run.step_not_kept", extra={"run_id": step.run_id, "reason": str(error)})
        finally:
            live.checkpointing = None
            kept.set()

    async def _delete(self, ask: Delete, context: Context) -> None:
        """End what runs so that whoever watches sees an end, then delete, then end: the next message begins anew."""
        since = ask.unless_since
        if since is not None and self.queue.runs:
            ask.reply(False)
            return
        await self.queue.cancel_all(context)
        this = (self.log.owner, self.log.thread_id, self.log.fence)
        try:
            deleted = await self.services.store.delete_thread(*this, unless_since=since)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if since is not None and not deleted:
            ask.reply(False)
            return
        self.services.forget(self.log.owner, self.log.thread_id)
        self.subscribers.unsubscribe_all()
        ask.reply(True)
        context.stop()

    async def _rate(self, ask: RateAnswer) -> None:
        answer = ask.answer
        try:
            found = await self.services.store.give_feedback(answer.owner, answer.id, ask.rating, ask.note)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if not found:
            ask.fail(CommandRejected("not_found", "There is no answer of that name."))
            return
        self.services.metrics.feedback(ask.rating)
        self.subscribers.send_about_answer(FeedbackGiven(answer.id, ask.rating), answer, ask.outbox)
        ask.reply(None)

    async def _subscribe(self, ask: FollowThread, context: Context) -> None:
        if ask.after > self.log.last_seq:
            # Before a client is told to forget what it has: this server may have been held so long that another one
            # went on with the thread, or what is believed not to be stored is.
            try:
                await self.log.verify_end()
            except StorageUnavailable as error:
                ask.fail(error)
                return
        head = self.log.last_seq
        if not self.log.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.subscribers.subscribe(ask.outbox, head, context, after=min(ask.after, head))
        if ask.after > head:
            # The client has seen what this log does not have, as after a restore: it must read the history again.
            told = Envelope(Resync(head), self.services.clock(), thread_id=self.log.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(told))
        ask.reply(None)

    def _send_snapshots(self, outbox: ActorRef) -> None:
        for live in self.queue.runs.values():
            text = live.snapshot()
            if text is not None and not live.protocol.ended:
                outbox.try_tell(Deliver(wrap(text, live.envelope_template, now=self.services.clock())))

    def _stop_if_idle(self, context: Context) -> None:
        # Connections of this server lose nothing: the thread's next conversation finds them when it starts.
        if self.queue.runs or self.subscribers.has_remote():
            context.set_timer("idle", self.services.idle_s, _CheckIdle())
        else:
            context.stop()
