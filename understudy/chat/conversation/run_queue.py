"""The runs of a thread in the order of work: each is started, resumed if it lost its server, and ended once.

1. Each accepted message ends in exactly one terminal event: a run stays in `ThreadLog.runs` until its end is
   committed, and an end that cannot be committed is retried until it can.
2. At most one run of a thread works.
3. That a run is resumed is committed before work on it starts, so that a run that kills its servers is found out. A run
   whose actor died is resumed like one whose server did.
"""

import logging
import random
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from attrs import define, evolve, field

from actors import ActorRef
from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, MAX_CRASHES, ActiveRun, ResumeAttempt
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.settling import Settling
from understudy.chat.conversation.thread_log import RETRY_S, ThreadLog
from understudy.chat.conversation.workers import (
    BackoffOver,
    PublishPositions,
    ResumeExited,
    RetryFinish,
    RunExited,
    Workers,
)
from understudy.chat.messages import CancelRun, FinishRun, Stop
from understudy.chat.run_limiter import RunLimiter, queue_note, release_permit
from understudy.chat.run_settings import tool_names
from understudy.chat.run_state.endings import Ending, closing_events
from understudy.chat.storage_away import AWAY
from understudy.observe.logs import new_error_id
from understudy.storage.errors import SequenceConflict, StorageUnavailable
from understudy.storage.records import RunAttempt
from understudy.wire.events import AgentProgress, SteerWithdrawn

log = logging.getLogger(__name__)

GOES_ON: Final = "Interrupted: goes on"
"""The note to the clients of a run whose actor died."""


@define(eq=False)
class RunQueue:
    """The runs of a thread without a committed end, in `order` of work; `unfinished` are ends not stored yet."""

    thread: ThreadLog
    workers: Workers
    settling: Settling
    agents: Mapping[str, Agent] = field(init=False)
    limiter: RunLimiter[ActorRef] = field(init=False)
    chance: random.Random = field(factory=random.Random, init=False)
    order: deque[ActiveRun] = field(factory=deque, init=False)
    unfinished: dict[str, FinishRun] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.agents, self.limiter = self.thread.services.agents, self.thread.services.limiter

    async def resume(self, active: ActiveRun) -> None:
        """Enqueue a run that lost its server; it resumes once it is the first."""
        release_permit(self.limiter, active.request.run_id)
        active.lost_server = True
        await self.enqueue(active)

    async def enqueue(self, active: ActiveRun) -> None:
        """Add a run at the end of the queue; start it if it is the first."""
        self.thread.runs[active.request.run_id] = active
        self.order.append(active)
        if self.order[0] is active:
            await self.start_next()
        self.publish_positions()

    async def dequeue(self, active: ActiveRun) -> None:
        """Remove a run whose actor does not live, and start the next one."""
        first = bool(self.order) and self.order[0] is active
        self.order.remove(active)
        release_permit(self.limiter, active.request.run_id)
        for ask in active.decisions:
            if ask.waiting:
                ask.reply(False)
        if active.state.end is not None:
            del self.thread.runs[active.request.run_id]
        if first:
            await self.start_next()
        self.publish_positions()

    async def start_next(self) -> None:
        """Start the first run of the queue: now, when it is granted a permit, or when its backoff is over."""
        if not self.order:
            return
        active = self.order[0]
        run_id, attempt = active.request.run_id, active.attempt
        if attempt is not None and not attempt.recorded:
            reason = attempt.unresumable_reason(self.agents, tool_names(active.request.settings))
            if reason is not None:
                await self._abandon(active, *reason)
                return
            if not attempt.due:
                await self._rest(run_id, attempt)
                return
        if self.limiter.acquire(run_id, self.thread.owner, self.workers.context.ref):
            await self.start(run_id)

    async def _rest(self, run_id: str, attempt: ResumeAttempt) -> None:
        """Wait until an attempt is due: a time that is stored, as servers that restart often would never reach it."""
        if attempt.resume_at is None:
            attempt.resume_at = self.thread.now + attempt.backoff_s(self.chance)
            put_off = RunAttempt(run_id, attempt.number - 1, attempt.progress, attempt.resume_at)
            with suppress(StorageUnavailable):
                await self.thread.commit(self.thread.change(attempt=put_off))
        self.workers.call_later(f"rested {run_id}", attempt.left_s(self.thread.now), BackoffOver(run_id))

    async def start(self, run_id: str) -> None:
        """Start a run that has its permit, or resume it."""
        active = self.thread.runs.get(run_id)
        if active is None or active.stopped or active.started:
            return
        past, attempt = active.taken_over, active.attempt
        if attempt is not None:
            try:
                await self.thread.commit(
                    self.thread.change(attempt=RunAttempt(run_id, attempt.number, attempt.progress)), active
                )
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                self.thread.show(active, AgentProgress(0, AWAY))
                release_permit(self.limiter, run_id)
                self.workers.call_later(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            attempt.recorded = True
            agent = attempt.agent(self.agents) or active.request.agent
            active.request = evolve(active.request, agent=agent, attempt=attempt.name, lost_server=active.lost_server)
            active.lost_server = False
            extra = {"run_id": run_id, "attempt": attempt.number, "steps": attempt.progress}
            log.warning("run.taken_up", extra=extra)
            self.thread.services.metrics.run_resumed("resumed")
            past, attempt.past = attempt.past, None
        active.started = True  # it writes before its start is over
        run_log = RunLog(active, self, 0 if past is None else past.last_step)
        await self.workers.start_run(run_log, past)
        for part in self.thread.hooks.run_starts:
            part.run_starts(active)
        for ask in active.decisions:
            if ask.waiting:  # otherwise its user got an error for the decision
                self.workers.tell_run(run_id, ask)

    async def finish(self, finish: FinishRun) -> None:
        """Commit the end of a run that has no answer; retry later if it cannot be stored now."""
        run_id = finish.run_id
        active = self.thread.runs.get(run_id)
        if active is None or active.state.end is not None:
            self.unfinished.pop(run_id, None)
            return
        state = active.state.copy()
        for event in finish.events:  # such as the start of a call
            state.apply(event)
        doubts = {
            call.call_id: tool for call in state.open_calls if (tool := self.settling.tool_in_doubt(call)) is not None
        }
        events = closing_events(
            state,
            finish.ending,
            now=self.thread.now,
            text=active.text.stored,
            sentence=finish.sentence,
            error_id=finish.error_id,
            retry_after=finish.retry_after_s,
            retryable=finish.retryable,
            in_doubt=doubts,
            usage=finish.usage,
            operator=active.cancelled_by,
            reason=active.cancel_reason,
        )
        try:
            settling = await self.settling.doubts_of(active, doubts)
            await self.before_end(active)
            steps = [*finish.steps, *(settled.step for settled in settling)]
            await self.thread.append(active, [*finish.events, *events], steps=steps)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": run_id})
            self.thread.show(active, AgentProgress(0, AWAY))  # the run itself gives no sign of life any more
            self.unfinished[run_id] = finish
            self.workers.call_later("retry", RETRY_S, RetryFinish())
            return
        self.unfinished.pop(run_id, None)
        for doubt in settling:
            await self.settling.begin(doubt)
        if not active.started and active not in self.order:
            del self.thread.runs[run_id]

    async def exited(self, exited: RunExited) -> None:
        """Start the next run, or resume this one, if its actor died before its end was committed."""
        run_id = exited.run_id
        active = self.thread.runs.get(run_id)
        if active is None:
            return
        active.started = False
        if active.state.end is not None or run_id in self.unfinished:
            await self.dequeue(active)
            return
        error_id, crash = new_error_id(), exited.crash
        extra = {"run_id": run_id, "reason": exited.reason, "error_id": error_id}
        log.log(logging.WARNING if crash is None else logging.ERROR, "run.died", extra=extra, exc_info=crash)
        if active.stopped:
            await self.finish(FinishRun(run_id, Ending.CANCELLED))
            await self.dequeue(active)
        else:
            await self.resume_exited(active, exited, error_id)

    async def resume_exited(self, active: ActiveRun, died: RunExited, error_id: str) -> None:
        """Resume a run from the log, as after the death of its server; end it if its own code crashes repeatedly."""
        run_id = died.run_id
        try:
            recorded = await self.thread.read_run(run_id)
        except StorageUnavailable:
            log.warning("run.not_taken_up", extra={"run_id": run_id})
            self.thread.show(active, AgentProgress(0, AWAY))
            self.workers.call_later(f"rested {run_id}", RETRY_S, ResumeExited(died, error_id))
            return
        if recorded is None or (attempt := recorded.attempt) is None:  # its end was stored, though that seemed to fail
            raise SequenceConflict(self.thread.thread_id, self.thread.last_seq, self.thread.last_seq)
        if died.crash is not None and attempt.number > MAX_CRASHES:
            await self.finish(FinishRun(run_id, Ending.FAILED, error_id=error_id))
            await self.dequeue(active)
            return
        active.attempt, active.text = recorded.attempt, recorded.text  # as read from the log
        if died.crash is not None:
            attempt.crashed = True
        if attempt.due:
            self.thread.show(active, AgentProgress(0, GOES_ON))
        else:
            release_permit(self.limiter, run_id, resting=True)
        self.thread.show_whole_text(active)
        await self.start_next()
        self.publish_positions()

    async def _abandon(self, active: ActiveRun, why: str, sentence: str) -> None:
        """End a run that cannot be resumed, and start the next one."""
        error_id, run_id = new_error_id(), active.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        self.thread.services.metrics.run_resumed(why)
        await self.finish(FinishRun(run_id, Ending.INTERRUPTED, sentence, error_id))
        await self.dequeue(active)

    async def cancel(self, ask: CancelRun) -> None:
        """Stop a run; one that is not at work ends at once."""
        active = self.thread.runs.get(ask.run_id)
        if active is None:
            try:
                await self.thread.check_queued(ask.run_id)
            except StorageUnavailable as error:
                ask.fail(error)
            else:
                ask.reply(False)
            return
        if ask.waiting and active.started:
            ask.reply(False)
            return
        if (finish := self.unfinished.get(ask.run_id)) is not None:  # its end is not stored yet
            ask.reply(finish.ending is Ending.CANCELLED)
            return
        if not active.stopped:
            active.stopped, active.cancelled_by, active.cancel_reason = True, ask.by, ask.reason
        if active.started:
            self.workers.tell_run(ask.run_id, Stop())
        else:
            await self.finish(FinishRun(ask.run_id, Ending.CANCELLED))
            await self.dequeue(active)
        ask.reply(True)

    def publish_positions(self, run_id: str | None = None) -> None:
        """Send every queued run its position, and again after `silence_s`; with a `run_id`, only this one, once."""
        if not any(active.state.end is None and not active.started for active in self.order):
            return
        for active, note in self.positions():
            if run_id in (None, active.request.run_id):
                self.thread.show(active, AgentProgress(0, note))
        if run_id is None:
            self.workers.call_later("waiting", self.thread.services.settings.silence_s, PublishPositions())

    def positions(self) -> Iterator[tuple[ActiveRun, str]]:
        """Return the queued runs, each with a note that says what it waits for."""
        unended = [active for active in self.order if active.state.end is None]
        waiting = [active for active in unended if not active.started]
        lingering = self.order[0].lingering if self.order else ()
        for ahead, active in enumerate(waiting, len(unended) - len(waiting)):
            if ahead:
                yield active, f"Waiting: {ahead} before this one in this conversation"
            elif lingering:
                yield active, f"Waiting for {', '.join(lingering)}, which cannot be interrupted"
            elif active.attempt is not None and not active.attempt.due:
                yield active, f"Interrupted: goes on soon (attempt {active.attempt.number} of {MAX_ATTEMPTS})"
            elif note := queue_note(self.limiter, active.request.run_id):
                yield active, note

    def linger(self, active: ActiveRun, tools: tuple[str, ...]) -> None:
        """Note that calls of these tools go on, which cannot be interrupted; the next run waits for them."""
        active.lingering = tools
        self.publish_positions()

    async def answered(self, active: ActiveRun) -> None:
        """Tell the extensions that a run has ended with an answer, if no other waits."""
        if not (len(self.order) > 1 or self.limiter.waiting):
            for part in self.thread.hooks.run_answered:
                await part.run_answered(active.request)

    async def before_end(self, active: ActiveRun) -> None:
        """Have the extensions act on the end of a run before its commit, and withdraw the steers that they left."""
        for part in self.thread.hooks.run_ends:
            await part.run_ends(active)
        if waiting := active.state.waiting_steers:
            await self.thread.append(active, [SteerWithdrawn(steer.steer_id) for steer in waiting])
