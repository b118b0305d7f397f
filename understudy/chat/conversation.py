"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

1. An event is committed before any follower gets it, and followers get events in the order of their numbers.
2. Runs of a thread work one after the other; each is a child, and its death is an ending, never the conversation's.
3. Whatever a conversation finds unfinished when it starts, it ends: its state is the log, and nothing else.
4. Nothing here waits for a follower, a model or a tool; it waits for the store only, within the store's own limit.
"""

import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

from actors import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    Crashed,
    Exit,
    MailboxSpec,
    Restart,
    Supervision,
    Terminated,
)
from transport.errors import CommandRejected
from transport.events import (
    TERMINAL,
    AgentProgress,
    Envelope,
    Error,
    Event,
    FinalResponse,
    MessageAccepted,
    Typing,
)
from transport.outbox import Deliver, Reply
from understudy.chat.arc import Ending
from understudy.chat.envelope import wrap
from understudy.chat.followers import Followers
from understudy.chat.intake import take_in
from understudy.chat.live import LiveRun
from understudy.chat.messages import (
    Accept,
    CancelRun,
    Close,
    Delete,
    Delta,
    FollowThread,
    Progress,
    Record,
    SlotFree,
    SomebodyTypes,
    Stop,
    Wake,
    WantSnapshot,
)
from understudy.chat.offer import offer
from understudy.chat.run import Run
from understudy.chat.services import Services
from understudy.chat.thread_log import ThreadLog
from understudy.observe.logs import new_error_id
from understudy.storage.errors import AlreadyStored, StorageError, StorageUnavailable, Unstorable

log = logging.getLogger(__name__)

QUEUE = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
RETRY_S = 1.0
"""How long to wait before an ending that could not be stored is tried again."""


class _Idle:
    """Nothing has happened for a while."""


class _Retry:
    """Try again to store the endings that could not be."""


class _StillWaiting:
    """Tell those who wait in line where they stand."""


class LostRun(RuntimeError):
    """The log holds a run without an end that this conversation knows nothing of."""


class Conversation(Actor):
    """One thread of one user. Started by `understudy.chat.desk.Desk` when a command first names the thread."""

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)

    def __init__(self, owner: str, thread_id: str, services: Services) -> None:
        self.services = services
        self.log = ThreadLog(owner, thread_id, services.store, services.clock)
        self.runs: dict[str, LiveRun] = {}
        self.line: deque[LiveRun] = deque()
        self.unclosed: dict[str, Close] = {}
        self.followers = Followers(thread_id)

    async def on_start(self, context: Context) -> None:
        """Find the end of the log, let the user's connections follow again, and end the runs nobody works on."""
        unfinished = await self.log.open()
        if self.log.exists:
            for outbox in self.services.outboxes(self.log.owner):
                self.followers.add(outbox, self.log.head, context, unasked=True)
        for live in unfinished:
            self.runs[live.job.run_id] = live
            self._free_slot(live)
            await self._interrupted(live, "nobody worked on it any more", context)
        context.set_timer("idle", self.services.idle_s, _Idle())

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` says what each means."""
        match message:
            case Delta(run_id, text, blocks):
                if (live := self.runs.get(run_id)) is not None:
                    self._show(live, live.add(text, tuple(blocks)))
            case Progress(run_id, note, done, total):
                if (live := self.runs.get(run_id)) is not None:
                    self._show(live, AgentProgress(done, note, total))
            case Record():
                await self._record(message)
            case Accept():
                await self._accept(message, context)
            case FollowThread():
                self._resume(message, context)
            case CancelRun():
                await self._cancel(message, context)
            case Close():
                await self._end(message, context)
                message.reply(None)
            case Delete():
                await self._delete(message, context)
            case WantSnapshot(outbox):
                self._snapshots(outbox)
            case SomebodyTypes(outbox):
                around = Envelope(Typing(), self.services.clock(), thread_id=self.log.thread_id)
                self.followers.deliver(around, but=outbox)
            case SlotFree(run_id):
                await self._begin(run_id, context)
            case Wake(run_id):
                await self._look_for(run_id)
            case Terminated(ref, reason):
                await self._gone(ref, reason, context)
            case _StillWaiting():
                self._tell_places(context)
            case _Retry():
                for close in list(self.unclosed.values()):
                    await self._end(close, context)
            case _Idle():
                self._rest(context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Give back the places of this thread's runs; whoever takes the thread over ends them."""
        for live in self.runs.values():
            self._free_slot(live)

    # taking messages in

    async def _accept(self, ask: Accept, context: Context) -> None:
        try:
            if await self._accept_again(ask, context):
                return
            if len(self.line) >= QUEUE:
                ask.fail(CommandRejected("busy", f"{QUEUE} messages wait in this conversation already.", 5.0))
                return
            try:
                await self._open(ask, context)
            except AlreadyStored:  # at the same moment, in another thread
                if not await self._accept_again(ask, context):
                    ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except StorageUnavailable:
            ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except Unstorable:
            ask.fail(CommandRejected("invalid_command", "That text cannot be stored."))
        except StorageError:
            # The log is not where this actor believes it is: an earlier commit that seemed to fail did not.
            ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
            raise

    async def _accept_again(self, ask: Accept, context: Context) -> bool:
        """If the message is here already, show its acceptance again, and all that came of it to who did not follow."""
        prior = await self.services.store.message(self.log.owner, ask.message_id)
        if prior is None:
            return False
        again = await self.log.accepted_again(prior.thread_id, prior.run_id or "")
        if again is not None and again.seq is not None:
            if prior.thread_id == self.log.thread_id and ask.outbox not in self.followers:
                self.followers.add(ask.outbox, self.log.head, context, after=again.seq - 1)
            else:
                offer(ask.outbox, Reply(again))
        ask.reply(prior.run_id or "")
        return True

    async def _open(self, ask: Accept, context: Context) -> None:
        """Store the message with its run, show that it was accepted, and put the run in line."""
        live = await take_in(ask, self.log.owner, self.log.thread_id, self.services.scrubber)
        job = live.job
        self.followers.add(ask.outbox, self.log.head, context)
        accepted = MessageAccepted(job.message_id, job.run_id, job.content, job.references)
        self._publish(await self.log.write(live, [accepted], opening=True))
        ask.reply(job.run_id)
        self.runs[job.run_id] = live
        self.line.append(live)
        if self.line[0] is live:
            await self._next(context)
        self._tell_places(context)

    # the life of runs

    async def _next(self, context: Context) -> None:
        """Begin the first run in line, now or when the server has a place for it."""
        if not self.line:
            return
        live = self.line[0]
        if self.services.slots.ask(live.job.run_id, self.log.owner, context.ref):
            await self._begin(live.job.run_id, context)

    def _tell_places(self, context: Context) -> None:
        """Tell every run that waits its place, and again after a while: nobody is left looking at silence."""
        waiting = [live for live in self.line if live.ref is None and not live.arc.ended]
        for ahead, live in enumerate(waiting, sum(live.ref is not None and not live.arc.ended for live in self.line)):
            note = f"Waiting: {ahead} before this one in this conversation"
            if not ahead:
                note = f"Waiting for a free place: number {self.services.slots.place(live.job.run_id)} in line"
            self._show(live, AgentProgress(0, note))
        if waiting:
            context.set_timer("waiting", self.services.silence_s, _StillWaiting())

    async def _begin(self, run_id: str, context: Context) -> None:
        live = self.runs.get(run_id)
        if live is None or live.stopped:
            return
        work = partial(Run, live.job, context.ref, self.services)
        live.ref = await context.spawn(ChildSpec(run_id, work, restart=Restart.TEMPORARY, shutdown_s=3.0))
        context.watch(live.ref)

    async def _record(self, ask: Record) -> None:
        live = self.runs.get(ask.run_id)
        if live is None or live.arc.ended:
            ask.fail(LookupError(f"run {ask.run_id} has ended"))
            return
        live.speak(*ask.speaker)
        try:
            self._publish(await self.log.write(live, ask.events, steps=ask.steps))
        except StorageUnavailable as error:
            ask.fail(error)
        else:
            ask.reply(None)

    async def _cancel(self, ask: CancelRun, context: Context) -> None:
        live = self.runs.get(ask.run_id)
        if live is None:
            ask.reply(False)
            return
        live.stopped = True
        if live.ref is not None:
            live.ref.tell(Stop())
        else:
            await self._end(Close(ask.run_id, Ending.CANCELLED), context)
            await self._leave_line(live, context)
        ask.reply(True)

    async def _end(self, close: Close, context: Context) -> None:
        """Bring the arc of a run to its end; if that cannot be stored now, it is tried again until it can."""
        live = self.runs.get(close.run_id)
        if live is None or live.arc.ended:
            self.unclosed.pop(close.run_id, None)
            return
        events = live.arc.closing(
            close.ending,
            now=self.services.clock(),
            text=live.text,
            sentence=close.sentence,
            error_id=close.error_id,
        )
        try:
            self._publish(await self.log.write(live, events), context)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": close.run_id})
            self.unclosed[close.run_id] = close
            context.set_timer("retry", RETRY_S, _Retry())
            return
        self.unclosed.pop(close.run_id, None)
        if live.ref is None and live not in self.line:
            del self.runs[close.run_id]

    async def _delete(self, ask: Delete, context: Context) -> None:
        """End what runs so that whoever watches sees an end, then delete, then end: the next message begins anew."""
        for live in list(self.runs.values()):
            live.stopped = True
            if live.ref is not None:
                await live.ref.stop()
            await self._end(Close(live.job.run_id, Ending.CANCELLED), context)
        try:
            await self.services.store.delete_thread(self.log.owner, self.log.thread_id)
        except StorageUnavailable as error:
            ask.fail(error)
            return
        self.followers.dismiss()
        ask.reply(None)
        context.stop()

    async def _gone(self, ref: ActorRef, reason: Exit, context: Context) -> None:
        if self.followers.remove(ref):
            return
        live = next((each for each in self.runs.values() if each.ref == ref), None)
        if live is None:
            return
        live.ref = None
        if not live.arc.ended:
            await self._interrupted(live, reason, context)
        await self._leave_line(live, context)

    async def _interrupted(self, live: LiveRun, reason: Exit | str, context: Context) -> None:
        """End a run whose work is gone: it failed if it broke, and was interrupted otherwise."""
        error_id = new_error_id()
        broke = reason.error if isinstance(reason, Crashed) else None
        extra = {"run_id": live.job.run_id, "reason": str(reason), "error_id": error_id}
        log.error("run.died", extra=extra, exc_info=broke)
        ending = Ending.INTERRUPTED if broke is None else Ending.FAILED
        await self._end(Close(live.job.run_id, ending, error_id=error_id), context)

    async def _look_for(self, run_id: str) -> None:
        """A run is said to have no end; if it is not one of these, the log has moved on: start again from it."""
        if run_id in self.runs:
            return
        run = await self.services.store.run(run_id)
        if run is not None and run.ended_at is None and run_id not in self.runs:
            raise LostRun(run_id)

    async def _leave_line(self, live: LiveRun, context: Context) -> None:
        first = bool(self.line) and self.line[0] is live
        self.line.remove(live)
        self._free_slot(live)
        if live.arc.ended:
            del self.runs[live.job.run_id]
        if first:
            await self._next(context)

    def _free_slot(self, live: LiveRun) -> None:
        for run_id, conversation in self.services.slots.free(live.job.run_id):
            conversation.tell(SlotFree(run_id))

    # followers

    def _resume(self, ask: FollowThread, context: Context) -> None:
        if not self.log.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.followers.add(ask.outbox, self.log.head, context, after=ask.after)
        ask.reply(None)

    def _snapshots(self, outbox: ActorRef) -> None:
        for live in self.runs.values():
            text = live.snapshot()
            if text is not None and not live.arc.ended:
                offer(outbox, Deliver(wrap(text, live.around, now=self.services.clock())))

    def _show(self, live: LiveRun, event: Event) -> None:
        """Send an event that is not logged; whoever misses it is none the worse."""
        self.followers.deliver(wrap(event, live.around, now=self.services.clock()))

    def _publish(self, envelopes: Sequence[Envelope], context: Context | None = None) -> None:
        """Send committed events to every follower; without any, and with `context`, to all the user's connections."""
        if not self.followers and context is not None and envelopes:
            for outbox in self.services.outboxes(self.log.owner):
                self.followers.add(outbox, self.log.head, context, after=(envelopes[0].seq or 1) - 1, unasked=True)
        for envelope in envelopes:
            self.services.observer.event(envelope)
            self.followers.deliver(envelope)
            if isinstance(envelope.event, (MessageAccepted, *TERMINAL)):
                self._log_run(envelope)

    def _log_run(self, envelope: Envelope) -> None:
        extra = {"thread_id": self.log.thread_id, "run_id": envelope.run_id, "agent_type": envelope.agent_type}
        match envelope.event:
            case MessageAccepted():
                log.info("run.accepted", extra=extra)
            case Error(code=code, error_id=error_id):
                log.warning("run.failed", extra=extra | {"code": code, "error_id": error_id})
            case FinalResponse(status=status):
                log.info("run.ended", extra=extra | {"status": status.value})

    def _rest(self, context: Context) -> None:
        if self.runs or self.followers:
            context.set_timer("idle", self.services.idle_s, _Idle())
        else:
            context.stop()
