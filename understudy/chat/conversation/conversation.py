"""The conversation actor: one per live thread, the only one that numbers and commits that thread's events.

What it decides is in `core.py`. This actor performs the effects of each request, one request after the other.

1. Each run is a child, whose death is never the conversation's: the run is resumed from the log.
2. A conversation resumes the runs that it finds unfinished when it starts: its state is the log, and nothing else.
3. It never waits for a subscriber, a model or a tool; it waits for the store only, within the store's own limit.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, Final

import trio
from attrs import asdict, evolve, frozen

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
from transport.wire.events import AgentProgress, CallSettled, Envelope, ThreadTitled
from transport.wire.messages import Deliver, Reply
from understudy.chat.conversation import effects
from understudy.chat.conversation.active_run import ActiveRun, spent_in
from understudy.chat.conversation.branch import RecentBranch
from understudy.chat.conversation.core import ConversationCore
from understudy.chat.conversation.event_log import read_unfinished_run
from understudy.chat.conversation.settling import given_up
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.conversation.thread_state import ThreadState
from understudy.chat.conversation.undo import UndoWalk
from understudy.chat.effects import GRACE_S, Attempt
from understudy.chat.envelope import wrap
from understudy.chat.messages import Checkpoint, Delta, HistoryRead, OwnershipLost, RunRequest, WaitIdle
from understudy.chat.run import tool_call
from understudy.chat.run.agent_spans import commit_attributes, error_type
from understudy.chat.run.replay import RecordedResult
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import release_permit
from understudy.chat.services import Services, tool_context
from understudy.chat.storage_away import AWAY
from understudy.chat.titles import LIMIT_S, TitleMade, make_title, model_for_titles, usage_step
from understudy.content.summary import is_suspect
from understudy.observe.spans import SpanKind, span_of
from understudy.observe.traces import Traces
from understudy.storage import queries
from understudy.storage.errors import Fenced, NotStored, SequenceConflict, StorageError
from understudy.storage.records import Fence, LoggedEvent
from understudy.storage.thread_writes import release_thread, rename_thread
from understudy.storage.write import Write
from understudy.tools.effects import Done, NotDone
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool, ToolContext

log = logging.getLogger(__name__)


SETTLE_AFTER_S: Final = 2.0
"""Seconds from the end of a run until the tools of its calls in doubt are asked: a request on its way arrives first."""


class _CheckIdle:
    """To itself: stop if the conversation is idle."""


@frozen
class _UndoOverdue:
    """To itself: the time of an attempt to undo a call is over; kill its actor if it has not stopped."""

    ref: ActorRef


class Conversation(Actor):
    """One thread of one user. Started by `understudy.chat.registry` when a command first names the thread.

    `fence` is the right of this node to write the thread's log; None on a single node.
    """

    supervision = Supervision(intensity=100, period_s=1.0)
    mailbox = MailboxSpec(capacity=4096)
    context: Context

    def __init__(self, owner: str, thread_id: str, services: Services, fence: Fence | None = None) -> None:
        self.services = services
        self.thread = ThreadState(owner, thread_id, fence)
        self.thread.title_due = services.settings.titles
        # Returns a stored text as its user is shown it. A method of this would be a cycle with the core.
        self._restore_text = partial(services.content_filter.vault.restore_text, owner, thread_id)
        self.core = ConversationCore(
            self.thread,
            services.agents,
            services.limiter,
            services.settings.summary_from,
            services.settings.silence_s,
            restore=self._restore_text,
        )
        self.branch = RecentBranch()
        self.subscribers = Subscribers(owner, thread_id, services)
        self.run_actors: dict[str, ActorRef] = {}
        self.undo_actors: dict[ActorRef, Attempt] = {}
        self.idle_waiters: list[WaitIdle] = []
        self.title: tuple[Attempt, trio.CancelScope] | None = None
        self._text: Delta | None = None

    async def on_start(self, context: Context) -> None:
        """Read the end of the log, subscribe the user's connections again, and resume unfinished runs."""
        self.context, self.core.queue.waiter = context, context.ref
        owner, thread_id, store = self.thread.owner, self.thread.thread_id, self.services.store
        unfinished, owned, outrun = [], True, None
        if (opening := await store.read(queries.thread_with_open_runs, owner, thread_id)) is not None:
            thread, runs = opening
            if owned := self.thread.load(thread):
                if runs:
                    await store.flush()  # their checkpoints, by the conversation before this one
                unfinished = [await read_unfinished_run(store, run, self._restore_text) for run in runs]
        self.subscribers.incarnation = self.thread.created_at
        if self.thread.exists:
            self.subscribers.subscribe_all(self.thread.last_seq, context)
        else:
            self.subscribers.unsubscribe_stale()
        try:
            for live in unfinished:
                await self._perform(self.core.queue.resume(live))
        except Fenced:
            owned = False
        except (NotStored, SequenceConflict) as error:  # a commit of the actor before this one was still on its way
            owned, outrun = False, type(error).__name__
        if owned and opening is not None:
            for run in await store.read(queries.open_effects, owner, thread_id):
                await self._perform(self.core.handle(effects.ResumeEffects(run, await store.steps(run.id))))
        if not owned:  # claimed while this actor backed off after a crash: its subscribers are to find the new owner
            context.ref.tell(OwnershipLost(outrun))
        context.set_timer("idle", self.services.settings.idle_s, _CheckIdle())

    async def receive(self, message: object, context: Context) -> None:
        """Handle one message: those about other actors here, the requests in the core.

        Pieces of text that wait in the mailbox one after the other are sent as one: while the event loop is busy, or a
        model writes faster than that, a stream has fewer and longer pieces, and none waits for another.
        """
        waiting = self._text
        if type(message) is Delta:
            if waiting is None or (joined := waiting.joined(message)) is None:
                self._send_text()
                joined = message
            self._text = joined
            return
        if waiting is not None:
            self._send_text()
        match message:
            case Checkpoint(run_id, step):
                live = self.thread.runs.get(run_id)
                if live is not None and not live.protocol.ended:
                    change = self.thread.change(steps=(step,))
                    self.branch.committed(change)
                    self.services.store.commit_later((run_id, step.number), change, partial(self._not_kept, run_id))
            case HistoryRead(run_id, history):
                self.branch.read(run_id, history)
            case Terminated(ref, reason) if (attempt := self.undo_actors.pop(ref, None)) is not None:
                attempt.exited(reason)
                await self._end_undo(attempt)
            case _UndoOverdue(ref) if (attempt := self.undo_actors.pop(ref, None)) is not None:
                ref.kill()
                attempt.expire()
                await self._end_undo(attempt)
            case _UndoOverdue():
                pass
            case Terminated(ref, reason):
                ended = next((each for each, run in self.run_actors.items() if run == ref), None)
                if not self.subscribers.remove(ref) and ended is not None:
                    del self.run_actors[ended]
                    crash = reason.error if isinstance(reason, Crashed) else None
                    await self._perform(self.core.handle(effects.RunExited(ended, str(reason), crash)))
            case WaitIdle():
                self.idle_waiters.append(message)
            case _CheckIdle():
                # Connections of this server lose nothing: the next conversation subscribes them when it starts.
                if not self.core.idle or self.undo_actors or self.subscribers.has_remote():
                    context.set_timer("idle", self.services.settings.idle_s, _CheckIdle())
                else:
                    context.stop()
            case _:
                await self._perform(self.core.handle(message))

    async def on_idle(self, context: Context) -> None:
        """Send the text that the batch has brought, and reply to every `WaitIdle` once no run is left."""
        self._send_text()
        while self.idle_waiters and not self.thread.runs:
            self.idle_waiters.pop().reply(None)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave unfinished runs in the log, to be resumed by the thread's next owner."""
        try:
            if isinstance(reason, Shutdown):
                with suppress(StorageError):
                    await self._perform(self.core.suspend())
        finally:  # also if that took longer than there is time for
            for run_id in self.thread.runs:
                release_permit(self.services.limiter, run_id)
        thread = self.thread
        if isinstance(reason, Normal) and thread.fence is not None:
            with suppress(StorageError):  # else the thread belongs to this node until its lease ends
                await self.services.store.commit(release_thread(thread.owner, thread.thread_id, thread.fence))

    def _send_text(self) -> None:
        text, self._text = self._text, None
        if text is not None:
            self.thread.now = self.services.clock()
            for envelope in self.core.append_text(text):
                self._send_passing(envelope)

    def _send_passing(self, envelope: Envelope) -> None:
        """Send every subscriber an event that is not logged."""
        self.subscribers.deliver(envelope)
        self.services.metrics.passing(envelope)

    async def _perform(self, steps: effects.Steps[None]) -> None:
        """Perform the effects of a request in order. Send each result, or throw each error, back into `steps`."""
        result, error = None, None
        try:
            while True:
                self.thread.now = self.services.clock()
                effect = steps.send(result) if error is None else steps.throw(error)
                result, error = None, None
                try:
                    result = await self._do(effect)
                except Exception as failure:
                    error = failure
        except StopIteration:
            pass
        finally:
            steps.close()

    async def _do(self, effect: object) -> Any:
        """Perform one effect. Return its result, None for most."""
        services, this, context = self.services, self.thread, self.context
        match effect:
            case effects.Commit():
                await self._commit(effect)
            case effects.PublishEvents(envelopes, arrived_at):
                self.subscribers.publish(envelopes, this.last_seq, context, arrived_at=arrived_at)
            case effects.Send(envelope, outbox, reply, alert):
                if outbox is not None:
                    outbox.try_tell(Reply(envelope) if reply else Deliver(envelope))
                elif alert:
                    self.subscribers.send_alert(envelope)
                else:
                    self._send_passing(envelope)
            case effects.AnswerRequest(ask, value, error):
                if error is None:
                    ask.reply(value)
                else:
                    ask.fail(error)
            case effects.Query(call):
                return await call(services.store)
            case effects.ReadRun(run_id):
                await services.store.flush()  # its checkpoints
                run = await services.store.run(run_id)
                if run is None or run.ended_at is not None:
                    return None
                return await read_unfinished_run(services.store, run, self._restore_text)
            case effects.StartRun(request, replay):
                if self.title is not None:  # the question would wait for it at a model server of one slot
                    self.title[1].cancel()
                    self.title, this.title_due = None, True
                live = this.runs[request.run_id]
                steers_wait, known = lambda: bool(live.protocol.waiting_steers), self.branch.before(request.run_id)
                make = partial(Run, request, context.ref, services, replay, steers_wait, known)
                spec = ChildSpec(request.run_id, make, restart=Restart.TEMPORARY, shutdown_s=3.0)
                self.run_actors[request.run_id] = ref = await context.spawn(spec)
                context.watch(ref)
            case effects.StartUndo(undo, tool):
                await self._start_attempt(self._undo_attempt(undo, tool))
            case effects.SettleCall():
                await self._start_settling(effect)
            case effects.MakeTitle(request):
                await self._start_title(request)
            case effects.TellRun(run_id, message, lane):
                self.run_actors[run_id].tell(message, lane=lane)
            case effects.StopRun(run_id):
                with trio.move_on_after(tool_call.STOP_S):  # a tool that shields itself is left behind
                    await self.run_actors[run_id].stop(StopMode.NOW)
            case effects.Subscribe(outbox, after, accepted, resend, unasked):
                self.subscribers.incarnation = this.created_at
                if accepted is None:
                    self.subscribers.subscribe(outbox, this.last_seq, context, after=after, unasked=unasked)
                else:
                    if resend:
                        services.metrics.repeated()
                    self.subscribers.replay_acceptance(outbox, accepted, this.last_seq, context, resend=resend)
            case effects.SendFeedback(event, ask):
                services.metrics.feedback(ask.rating)
                self.subscribers.send_about_answer(event, ask.answer, ask.outbox)
            case effects.StartTimer(name, after_s, message):
                context.set_timer(name, after_s, message)
            case effects.CountResumed(outcome):
                services.metrics.run_resumed(outcome)
            case effects.Relocate(why):
                if why is None:
                    log.warning("conversation.fenced", extra={"conversation": context.path, "runs": len(this.runs)})
                else:
                    log.warning("conversation.outrun", extra={"conversation": context.path, "why": why})
                if why is not None or self.subscribers:
                    services.on_relocated(this.owner, this.thread_id, context.ref)
                context.stop()
            case effects.ForgetThread():
                services.forget(this.owner, this.thread_id)
                if self.subscribers:
                    services.on_relocated(this.owner, this.thread_id, context.ref)
                self.subscribers.unsubscribe_all()
                context.stop()
        return None

    async def _start_attempt(self, attempt: Attempt) -> None:
        ref = await attempt.start(self.context)
        self.undo_actors[ref] = attempt
        timer = f"{attempt.role} {attempt.call_id}"
        self.context.set_timer(timer, attempt.timeout_s + GRACE_S, _UndoOverdue(ref))

    async def _start_settling(self, doubt: effects.SettleCall) -> None:
        step, tool, call_id = doubt.step, doubt.tool, doubt.step.call_id or ""
        tools_context = self._tool_context(step.run_id, call_id, step.result["agent"])

        async def work() -> object:
            await trio.sleep(SETTLE_AFTER_S)
            return await tool.settle(call_id, step.arguments or {}, tools_context, self.services.parts.find(ToolLoop))

        timeout_s = SETTLE_AFTER_S + tool.timeout_s
        await self._start_attempt(Attempt("reconcile", tool.name, step.run_id, call_id, timeout_s, work))

    async def _end_settling(self, attempt: Attempt) -> None:
        """Record the answer of a `reconcile` that was asked after the end of its run."""
        doubt = self.core.settling.doubts.get(attempt.call_id)
        if doubt is None:  # the thread is being deleted
            return
        step, tool, answer, now = doubt.step, doubt.tool, attempt.answer, self.services.clock()
        if not isinstance(answer, Done):
            word = "none" if isinstance(answer, NotDone) else "unknown"
            event, settled = CallSettled(step.call_id or "", step.name, word), given_up(step)
        else:
            clean, summary = await self.services.content_filter.filter_result(
                answer.result.value, answer.result.summary
            )
            value = None if clean.blocked else clean.value
            summary = "The result is blocked." if clean.blocked else summary
            until = None if tool.undo is None else now + tool.undo_s
            suspect = is_suspect(clean.findings)
            kept = RecordedResult(value, summary, None, "", suspect, undo_until=until, agent=step.result["agent"])
            settled = evolve(step, result=asdict(kept), status="ok", ended_at=now)
            event = CallSettled(step.call_id or "", step.name, "done", summary, until)
        await self._perform(self.core.handle(effects.Settled(doubt.template, event, (settled,))))

    async def _start_title(self, request: RunRequest) -> None:
        titler = model_for_titles(self.services, request)
        if titler is not None:
            scope = trio.CancelScope()
            work = partial(make_title, self.services, request, *titler, scope)
            attempt = Attempt("title", "title", request.run_id, request.run_id, LIMIT_S, work)
            self.title = attempt, scope
            await self._start_attempt(attempt)

    async def _end_title(self, attempt: Attempt) -> None:
        """Count what a title has used, and give it to the thread unless the user has renamed that meanwhile."""
        made, this, store, now = attempt.answer, self.thread, self.services.store, self.services.clock()
        if self.title is not None and self.title[0] is attempt:
            self.title = None
        if not isinstance(made, TitleMade):  # it failed, which is in the log
            return
        try:
            if made.usage is not None:
                step = usage_step(attempt.run_id, await store.steps(attempt.run_id), made, now)
                spent = spent_in(this.owner, step, made.usage)
                change = this.change(steps=(step,), spent=(spent,))
                await store.commit(change)
                self.branch.committed(change)
            renamed = made.title and await store.commit(
                rename_thread(this.owner, this.thread_id, made.title, made.derived)
            )
        except Fenced:
            self.context.ref.tell(OwnershipLost())
        except StorageError as error:
            log.info("title.not_stored", extra={"run_id": attempt.run_id, "reason": str(error)})
        else:
            if renamed:
                event = Envelope(ThreadTitled(made.title), now, thread_id=this.thread_id)
                self.subscribers.deliver(self.subscribers.restore(event))
            elif made.title:
                log.info("title.not_stored", extra={"run_id": attempt.run_id, "reason": "renamed meanwhile"})

    async def _end_undo(self, attempt: Attempt) -> None:
        if attempt.role == "reconcile":
            await self._end_settling(attempt)
            return
        if attempt.role == "title":
            await self._end_title(attempt)
            return
        sentence = await self.services.content_filter.filter_progress(attempt.sentence)
        await self._perform(self.core.handle(effects.UndoEnded(attempt.run_id, sentence)))

    def _undo_attempt(self, undo: UndoWalk, tool: Tool) -> Attempt:
        """Return the attempt to undo the next call of an undo with the tool's `undo`."""
        call = undo.calls[undo.left[0].call_id]
        call_id = call.call_id or ""
        context = self._tool_context(undo.run.id, call_id, call.result["agent"], undo.roles)
        work = partial(
            tool.take_back, call.result["value"], call.arguments, context, self.services.parts.find(ToolLoop)
        )
        return Attempt("undo", tool.name, undo.run.id, call_id, tool.timeout_s, work)

    def _tool_context(self, run_id: str, call_id: str, agent: str, roles: tuple[str, ...] = ()) -> ToolContext:
        services, thread = self.services, self.thread
        notebook = services.agents[agent].notebook if agent in services.agents else agent
        names = (thread.owner, thread.thread_id, run_id, call_id)
        return tool_context(services, *names, agent=agent, notebook=notebook, roles=roles)

    async def _commit(self, commit: effects.Commit) -> None:
        """Commit a change, with what extensions store beside its events."""
        services, live = self.services, commit.run
        if services.settings.message:
            commit = evolve(commit, change=evolve(commit.change, also=tuple(self._beside(commit.change.events))))
        notify = None if live is None else partial(self._send_away, live)
        with nullcontext() if notify is None else services.storage_waits.notify_if_slow(notify):
            if (traces := services.parts.find(Traces)) is None:
                await services.store.commit(commit.change)
            else:
                await self._store_traced(commit, traces)
            self.branch.committed(commit.change)

    def _beside(self, events: Iterable[LoggedEvent]) -> Iterator[Write]:
        """Yield what extensions store beside events, by the settings of the messages of their runs."""
        for event in events:
            if (live := self.thread.runs.get(event.run_id or "")) is not None:
                for name in self.services.settings.message.keys() & live.request.settings:
                    yield from self.services.settings.message[name].writes(live.request, event)

    async def _store_traced(self, commit: effects.Commit, traces: Traces) -> None:
        """Commit a change to the database, and record the span of the commit if its run is traced."""
        store, run_id = self.services.store, commit.run_id
        if run_id is None or not traces.of_run(run_id):
            await store.commit(commit.change)
            return
        live, began, error = self.thread.runs.get(run_id), self.services.clock(), ""
        try:
            await store.commit(commit.change)
        except BaseException as failure:
            error = error_type(failure)
            raise
        finally:
            parent = (None if live is None else live.span) or span_of(run_id)
            about = commit_attributes(traces.database, len(commit.change.events), len(commit.change.steps))
            span = traces.new_context(parent.trace_id)
            traces.add("commit", span, parent, began, self.services.clock(), about, kind=SpanKind.CLIENT, error=error)

    def _send_away(self, live: ActiveRun) -> None:
        self.subscribers.deliver(wrap(AgentProgress(0, AWAY), live.envelope_template, now=self.services.clock()))

    def _not_kept(self, run_id: str, error: Exception) -> None:
        """Note that a checkpoint was not stored: the next one has its text as well."""
        if isinstance(error, Fenced):
            self.context.ref.try_tell(OwnershipLost())
        else:
            log.info("run.step_not_kept", extra={"run_id": run_id, "reason": str(error)})
