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
from understudy.chat.conversation.accept import Intake
from understudy.chat.conversation.active_run import LiveRun
from understudy.chat.conversation.event_log import ThreadLog
from understudy.chat.conversation.run_queue import Line, LostRun, Rested, Retry, StillWaiting
from understudy.chat.conversation.subscribers import Followers
from understudy.chat.envelope import wrap
from understudy.chat.messages import (
    Accept,
    AnswerAgain,
    CancelRun,
    Checkpoint,
    Close,
    Decide,
    Delete,
    Delta,
    FollowThread,
    PlaceMoved,
    Progress,
    Quiet,
    Rate,
    Record,
    SlotFree,
    StandDown,
    Wake,
    WantSnapshot,
)
from understudy.chat.services import Services
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageError, StorageUnavailable
from understudy.storage.rows import StepRecord
from understudy.storage.writes import Fence

log = logging.getLogger(__name__)

RESYNC = "You have seen more of this conversation than the server has; read the history and go on from here."
"""What a client is told that resumes after the end of the log."""


class _Idle:
    """Nothing has happened for a while."""


class Conversation(Actor):
    """One thread of one user. Begun by `understudy.chat.registry` when a command first names the thread.

    `fence` is by what right this server writes its log; None where no other server is there.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)

    def __init__(self, owner: str, thread_id: str, services: Services, fence: Fence | None = None) -> None:
        self.services = services
        shown = partial(services.guard.vault.text, owner, thread_id)
        self.log = ThreadLog(owner, thread_id, services.store, services.clock, shown, fence)
        self.followers = Followers(owner, thread_id, services)
        self.line = Line(self.log, services, self.followers)
        self.intake = Intake(self.log, services, self.followers, self.line)
        self.quiet: list[Quiet] = []

    async def on_start(self, context: Context) -> None:
        """Find the end of the log, let the user's connections follow again, and go on with what nobody works on."""
        unfinished: Sequence[LiveRun] = ()
        try:
            unfinished = await self.log.open()
        except Fenced:  # it was taken while this one rested after a crash: whoever followed it is to find it there
            context.ref.tell(StandDown())
        if self.log.exists:
            self.followers.add_all(self.log.head, context)
        else:
            self.followers.begin_anew()
        try:
            for live in unfinished:
                await self.line.adopt(live, context)
        except Fenced:
            context.ref.tell(StandDown())
        context.set_timer("idle", self.services.idle_s, _Idle())

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` says what each means."""
        try:
            await self._serve(message, context)
        except Fenced:
            self._stand_down(context)
        except (SequenceConflict, NotStored, LostRun) as outrun:
            self._begin_anew(outrun, context)

    async def _serve(self, message: object, context: Context) -> None:
        match message:
            case Delta(run_id, text, blocks, kept, anew):
                if (live := self.line.runs.get(run_id)) is not None and not live.arc.ended:
                    if anew:
                        self.followers.show(live, live.anew())
                    piece = live.add(text, tuple(blocks), kept)
                    if text:
                        self.followers.show(live, piece)
            case Progress(run_id, note, done, total):
                if (live := self.line.runs.get(run_id)) is not None:
                    self.followers.show(live, AgentProgress(done, note, total))
            case Record():
                await self._record(message, context)
            case Checkpoint(run_id, step):
                live = self.line.runs.get(run_id)
                if live is not None and live.keeping is None and not live.arc.ended:
                    live.keeping = trio.Event()
                    context.start_soon(self._keep, live, live.keeping, step, context.ref)
            case Accept() | AnswerAgain():
                await self.intake.take(message, context)
            case Rate():
                await self._rate(message)
            case Quiet():
                self.quiet.append(message)
            case FollowThread():
                await self._resume(message, context)
            case CancelRun(run_id):
                await self._cancel(message, run_id, context)
            case Decide():
                self.line.decide(message)
            case Close():
                await self.line.end(message, context)
                message.reply(None)
            case Delete():
                await self._delete(message, context)
            case WantSnapshot(outbox):
                self._snapshots(outbox)
            case SlotFree(run_id):
                await self.line.begin(run_id, context)
            case Wake(run_id):
                with suppress(StorageUnavailable):  # who said so says it again
                    await self.line.look_for(run_id)
            case Terminated(ref, reason):
                if not self.followers.remove(ref):
                    await self.line.gone(ref, reason, context)
            case PlaceMoved(run_id):
                self.line.tell_place(run_id)
            case StillWaiting():
                self.line.tell_places(context)
            case Rested(run_id):
                await self.line.rested(run_id, context)
            case Retry():
                await self.line.end_again(context)
            case StandDown():
                self._stand_down(context)
            case _Idle():
                self._rest(context)

    async def on_idle(self, context: Context) -> None:
        """Answer those who wait until nothing runs here."""
        while self.quiet and not self.line.runs:
            self.quiet.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """What is unfinished stays in the log: whoever takes the thread over goes on with it."""
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self.line.put_down()
        finally:  # also when that took longer than there is time for
            self.line.free_slots()
        if isinstance(reason, Normal) and self.log.fence is not None:
            with suppress(StorageError):  # else it is this server's until that ends
                await self.services.store.release(self.log.owner, self.log.thread_id, self.log.fence)

    def _stand_down(self, context: Context) -> None:
        """End at once, and the runs with it: the thread is another's. Whoever waits for an answer asks there again."""
        log.warning("conversation.fenced", extra={"conversation": context.path, "runs": len(self.line.runs)})
        if self.followers:
            self.services.moved(self.log.owner, self.log.thread_id, context.ref)
        context.stop()

    def _begin_anew(self, outrun: Exception, context: Context) -> None:
        """End, and have another begin from the log, which has more than this one knows of. Who asked asks that one."""
        why = type(outrun).__name__  # its text may have the thread's id, which is the user's own word
        log.warning("conversation.outrun", extra={"conversation": context.path, "why": why})
        self.services.moved(self.log.owner, self.log.thread_id, context.ref)
        context.stop()

    async def _cancel(self, ask: CancelRun, run_id: str, context: Context) -> None:
        found = await self.line.cancel(run_id, context)
        try:
            if not found:
                await self.line.look_for(run_id)
        except StorageUnavailable as error:
            ask.fail(error)
        else:
            ask.reply(found)

    async def _record(self, ask: Record, context: Context) -> None:
        live = self.line.runs.get(ask.run_id)
        if live is None or live.arc.ended:
            ask.fail(LookupError(f"run {ask.run_id} has ended"))
            return
        live.speak(*ask.speaker)
        try:
            with self.services.waits.told(partial(self.line.tell_away, live)):
                if live.keeping is not None:
                    await live.keeping.wait()  # at most the store's limit: an older step must not replace a newer one
                envelopes = await self.log.write(live, ask.events, steps=ask.steps)
            self.followers.publish(envelopes, self.log.head, context)
        except StorageUnavailable as error:
            self.line.tell_away(live)  # before anything else here waits for storage as long
            ask.fail(error)
        else:
            ask.reply(None)

    async def _keep(self, live: LiveRun, kept: trio.Event, step: StepRecord, conversation: ActorRef) -> None:
        """Keep a step that is not finished, beside the events that go on meanwhile."""
        try:
            await self.log.keep(step)
        except Fenced:
            conversation.tell(StandDown())
        except StorageError as error:
            log.info("run.step_not_kept", extra={"run_id": step.run_id, "reason": str(error)})
        finally:
            live.keeping = None
            kept.set()

    async def _delete(self, ask: Delete, context: Context) -> None:
        """End what runs so that whoever watches sees an end, then delete, then end: the next message begins anew."""
        since = ask.unless_since
        if since is not None and self.line.runs:
            ask.reply(False)
            return
        await self.line.stop(context)
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
        self.followers.dismiss()
        ask.reply(True)
        context.stop()

    async def _rate(self, ask: Rate) -> None:
        answer = ask.answer
        try:
            found = await self.services.store.give_feedback(answer.owner, answer.id, ask.rating, ask.note)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        if not found:
            ask.fail(CommandRejected("not_found", "There is no answer of that name."))
            return
        self.services.observer.feedback(ask.rating)
        self.followers.tell(FeedbackGiven(answer.id, ask.rating), answer, ask.outbox)
        ask.reply(None)

    async def _resume(self, ask: FollowThread, context: Context) -> None:
        if ask.after > self.log.head:
            # Before a client is told to forget what it has: this server may have been held so long that another one
            # went on with the thread, or what is believed not to be stored is.
            try:
                await self.log.confirm()
            except StorageUnavailable as error:
                ask.fail(error)
                return
        head = self.log.head
        if not self.log.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.followers.add(ask.outbox, head, context, after=min(ask.after, head))
        if ask.after > head:
            # The client has seen what this log does not have, as after a restore: it must read the history again.
            told = Envelope(Resync(head), self.services.clock(), thread_id=self.log.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(told))
        ask.reply(None)

    def _snapshots(self, outbox: ActorRef) -> None:
        for live in self.line.runs.values():
            text = live.snapshot()
            if text is not None and not live.arc.ended:
                outbox.try_tell(Deliver(wrap(text, live.around, now=self.services.clock())))

    def _rest(self, context: Context) -> None:
        # Connections of this server lose nothing: the thread's next conversation finds them when it starts.
        if self.line.runs or self.followers.elsewhere():
            context.set_timer("idle", self.services.idle_s, _Idle())
        else:
            context.stop()
