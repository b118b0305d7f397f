"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

It performs what `understudy.chat.conversation.core` decides, one request at a time.

1. An event is committed before any subscriber gets it, and subscribers get events in the order of their numbers.
2. Runs of a thread work one after the other; each is a child, and its death is an ending, never the conversation's.
3. A conversation resumes the runs that it finds unfinished when it starts: its state is the log, and nothing else.
4. A conversation ends without another write if another node has claimed its thread, or if the log holds more than it
   has committed (a commit whose answer was lost succeeded): the next one starts from the log.
5. It never waits for a subscriber, a model or a tool; it waits for the store only, within the store's own limit.
"""

import logging
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import trio

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
from transport.outbox.outbox import Deliver, Reply
from transport.wire.errors import CommandRejected
from transport.wire.events import AgentProgress, Envelope, FinalResponse, Resync
from understudy.chat.conversation import core
from understudy.chat.conversation.event_log import read_acceptance, read_unfinished_run
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap
from understudy.chat.messages import Checkpoint, OwnershipLost, WaitIdle
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import queue_note, release_permit
from understudy.chat.services import Services
from understudy.chat.storage_waits import AWAY
from understudy.storage.errors import Fenced, StorageError
from understudy.storage.rows import StepRecord
from understudy.storage.writes import Change, Fence

log = logging.getLogger(__name__)

RESYNC = "You have seen more of this conversation than the server has; read the history and go on from here."
"""The message to a client that subscribes beyond the end of the log."""


class _CheckIdle:
    """To itself: stop if the conversation is idle."""


class Conversation(Actor):
    """One thread of one user. Started by `understudy.chat.registry` when a command first names the thread.

    `fence` is the right of this node to write the thread's log; None on a single node.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)

    def __init__(self, owner: str, thread_id: str, services: Services, fence: Fence | None = None) -> None:
        self.services = services
        self.core = core.ConversationCore(
            owner, thread_id, services.agents, fence, services.summary_from, services.silence_s
        )
        self.subscribers = Subscribers(owner, thread_id, services)
        self.run_actors: dict[str, ActorRef] = {}
        self.checkpoints: dict[str, trio.Event] = {}
        self.idle_waiters: list[WaitIdle] = []

    async def on_start(self, context: Context) -> None:
        """Read the end of the log, subscribe the user's connections again, and resume unfinished runs."""
        owner, thread_id = self.core.owner, self.core.thread_id
        unfinished, owned = [], True
        if (opening := await self.services.store.thread_with_open_runs(owner, thread_id)) is not None:
            thread, runs = opening
            if owned := self.core.load(thread):
                restore = partial(self.services.content_filter.vault.restore_text, owner, thread_id)
                unfinished = [await read_unfinished_run(self.services.store, run, restore) for run in runs]
        if self.core.exists:
            self.subscribers.subscribe_all(self.core.last_seq, context)
        else:
            self.subscribers.unsubscribe_stale()
        try:
            for live in unfinished:
                await self._perform(self.core.resume(live), context)
        except Fenced:
            owned = False
        if not owned:  # claimed while this actor backed off after a crash: its subscribers are to find the new owner
            context.ref.tell(OwnershipLost())
        context.set_timer("idle", self.services.idle_s, _CheckIdle())

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` says what each means."""
        match message:
            case WaitIdle():
                self.idle_waiters.append(message)
            case Checkpoint(run_id, step):
                live = self.core.runs.get(run_id)
                if live is not None and run_id not in self.checkpoints and not live.protocol.ended:
                    self.checkpoints[run_id] = trio.Event()
                    context.start_soon(self._save_checkpoint, step, context.ref)
            case Terminated(ref, reason):
                ended = next((each for each, run in self.run_actors.items() if run == ref), None)
                if not self.subscribers.remove(ref) and ended is not None:
                    del self.run_actors[ended]
                    crash = reason.error if isinstance(reason, Crashed) else None
                    await self._perform(self.core.handle(core.RunExited(ended, str(reason), crash)), context)
            case _CheckIdle():
                # Connections of this server lose nothing: the next conversation subscribes them when it starts.
                if self.core.runs or self.subscribers.has_remote():
                    context.set_timer("idle", self.services.idle_s, _CheckIdle())
                else:
                    context.stop()
            case _:
                await self._perform(self.core.handle(message), context)

    async def on_idle(self, context: Context) -> None:
        """Answer those who wait until no run is left."""
        while self.idle_waiters and not self.core.runs:
            self.idle_waiters.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave unfinished runs in the log: the next owner of the thread resumes them."""
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self._perform(self.core.suspend(), context)
        finally:  # also if that took longer than there is time for
            for run_id in self.core.runs:
                release_permit(self.services.limiter, run_id)
        if isinstance(reason, Normal) and self.core.fence is not None:
            with suppress(StorageError):  # else the thread belongs to this node until its lease ends
                await self.services.store.release(self.core.owner, self.core.thread_id, self.core.fence)

    async def _perform(self, steps: core.Steps[None], context: Context) -> None:
        """Perform the effects of a request in order, sending each result, or throwing each error, back."""
        try:
            self.core.now = self.services.clock()
            effect = next(steps, None)
            while effect is not None:
                try:
                    result = await self._do(effect, context)
                except Exception as error:
                    self.core.now = self.services.clock()
                    effect = steps.throw(error)
                else:
                    self.core.now = self.services.clock()
                    effect = steps.send(result)
        except StopIteration:
            pass
        finally:
            steps.close()
            if (run_id := self.core.reserved) is not None:  # the request was cut short
                self.core.reserved = None
                release_permit(self.services.limiter, run_id)

    async def _do(self, effect: object, context: Context) -> Any:
        services, store, this = self.services, self.services.store, self.core
        match effect:
            case core.Commit():
                await self._commit(effect)
            case core.PublishEvents(envelopes, arrived_at):
                self.subscribers.publish(envelopes, this.last_seq, context, arrived_at=arrived_at)
            case core.Send(envelope, outbox):
                if outbox is None:
                    self.subscribers.deliver(envelope)
                else:
                    outbox.try_tell(Deliver(envelope))
            case core.AnswerRequest(ask, value, error):
                if error is None:
                    ask.reply(value)
                else:
                    ask.fail(error)
            case core.FindMessage(message_id):
                return await store.message(this.owner, message_id)
            case core.FindRun(run_id):
                return await store.run(run_id)
            case core.FindRunOfRequest(request_id):
                return await store.run_of_request(this.owner, request_id)
            case core.FindAcceptance(message, run_id):
                return await read_acceptance(store, message, run_id)
            case core.FindThread():
                opening = await store.thread_with_open_runs(this.owner, this.thread_id)
                return None if opening is None else opening[0]
            case core.SaveFeedback(ask):
                return await store.give_feedback(ask.answer.owner, ask.answer.id, ask.rating, ask.note)
            case core.DeleteLog(since):
                return await store.delete_thread(this.owner, this.thread_id, this.fence, unless_since=since)
            case core.ReservePermit(run_id, behind):
                if services.limiter.reserve(run_id, this.owner, behind=behind):
                    return None
                sentence = core.TENANT_BUSY if services.limiter.tenant_fills_queue(this.owner) else ""
                return CommandRejected("busy", sentence, core.BUSY_S)
            case core.RequestPermit(run_id):
                return services.limiter.acquire(run_id, this.owner, context.ref)
            case core.ReleasePermit(run_id):
                release_permit(services.limiter, run_id)
            case core.SendPosition(live):
                if note := queue_note(services.limiter, live.request.run_id):
                    self._send_progress(live, note)
            case core.StartRun(request, replay):
                make = partial(Run, request, context.ref, services, replay)
                spec = ChildSpec(request.run_id, make, restart=Restart.TEMPORARY, shutdown_s=3.0)
                self.run_actors[request.run_id] = ref = await context.spawn(spec)
                context.watch(ref)
            case core.TellRun(run_id, message):
                self.run_actors[run_id].tell(message)
            case core.KillRun(run_id):
                await self.run_actors[run_id].stop(StopMode.NOW)
            case core.SubscribeOutbox(outbox, after):
                self.subscribers.subscribe(outbox, this.last_seq, context, after=after)
            case core.ReplayAcceptance(outbox, accepted):
                self.subscribers.replay_acceptance(outbox, accepted, this.last_seq, context)
            case core.ResyncClient(outbox):
                resync = Resync(this.last_seq)
                outbox.try_tell(Reply(Envelope(resync, this.now, thread_id=this.thread_id, message=RESYNC)))
            case core.SendAlert(envelope):
                self.subscribers.send_alert(envelope)
            case core.SendFeedback(event, ask):
                services.metrics.feedback(ask.rating)
                self.subscribers.send_about_answer(event, ask.answer, ask.outbox)
            case core.StartTimer(name, after_s, message):
                context.set_timer(name, after_s, message)
            case core.LogRun():
                if effect.resumed is not None:
                    services.metrics.run_resumed(effect.resumed)
                log.log(effect.level, effect.event, extra=dict(effect.extra), exc_info=effect.crash)
            case core.Relocate(why):
                if why is None:
                    runs = len(this.runs)
                    log.warning("conversation.fenced", extra={"conversation": context.path, "runs": runs})
                else:
                    log.warning("conversation.outrun", extra={"conversation": context.path, "why": why})
                if why is not None or self.subscribers:
                    services.on_relocated(this.owner, this.thread_id, context.ref)
                context.stop()
            case core.EndDeleted():
                services.forget(this.owner, this.thread_id)
                self.subscribers.unsubscribe_all()
                context.stop()
        return None

    async def _commit(self, commit: core.Commit) -> None:
        live, this = commit.run, self.core
        waits = self.services.storage_waits
        with nullcontext() if live is None else waits.notify_if_slow(partial(self._send_progress, live, AWAY)):
            if live is not None and commit.after_checkpoint:
                saving = self.checkpoints.get(live.request.run_id)
                if saving is not None:
                    await saving.wait()  # at most the store's limit
            answers = [each.event.message for each in commit.envelopes if isinstance(each.event, FinalResponse)]
            restore = partial(self.services.content_filter.vault.restore_text, this.owner, this.thread_id)
            await self.services.html.prefetch([restore(answer) for answer in answers], this.owner)
            await self.services.store.commit(commit.change)

    def _send_progress(self, live: core.ActiveRun, note: str) -> None:
        now = self.services.clock()
        self.subscribers.deliver(wrap(AgentProgress(0, note), live.envelope_template, now=now))

    async def _save_checkpoint(self, step: StepRecord, conversation: ActorRef) -> None:
        """Store a step that is not finished, beside the events that are committed meanwhile."""
        this = self.core
        try:
            await self.services.store.commit(Change(this.owner, this.thread_id, steps=(step,), fence=this.fence))
        except Fenced:
            conversation.tell(OwnershipLost())
        except StorageError as error:
            log.info("run.step_not_kept", extra={"run_id": step.run_id, "reason": str(error)})
        finally:
            self.checkpoints.pop(step.run_id).set()
