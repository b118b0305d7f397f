"""The runs of a thread in the order of work: each is started, resumed if it lost its server, and ended once. Pure.

1. Each accepted message ends in exactly one terminal event: a run stays in `ThreadState.runs` until its end is
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
from typing import Any, Final

from attrs import define, evolve, field

from actors import Lane
from transport.wire.commands import SteerMode
from transport.wire.events import TERMINAL, AgentProgress, FinalResponse, RunStatus
from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, MAX_CRASHES, ActiveRun, ResumeAttempt
from understudy.chat.conversation.effects import (
    AnswerRequest,
    BackoffOver,
    Commit,
    CountResumed,
    MakeTitle,
    PublishPositions,
    ReadRun,
    ResumeExited,
    RetryFinish,
    RunExited,
    Send,
    StartRun,
    StartTimer,
    Steps,
    TellRun,
)
from understudy.chat.conversation.settling import Settling
from understudy.chat.conversation.steering import Steering
from understudy.chat.conversation.thread_state import RETRY_S, ThreadState
from understudy.chat.messages import CancelRun, EndTurn, FinishRun, Record, Stop
from understudy.chat.run_limiter import RunLimiter, queue_note, release_permit
from understudy.chat.run_protocol import Ending
from understudy.chat.run_settings import tool_names
from understudy.chat.storage_away import AWAY
from understudy.observe.logs import new_error_id
from understudy.storage.errors import SequenceConflict, StorageUnavailable
from understudy.storage.records import RunAttempt

log = logging.getLogger(__name__)

GOES_ON: Final = "Interrupted: goes on"
"""The note to the clients of a run whose actor died."""


@define(eq=False)
class RunQueue:
    """The runs of a thread without a committed end, in `order` of work; `unfinished` are ends that are not stored yet.

    `waiter` is sent the permits that are granted; `silence_s` is the interval of positions.
    """

    thread: ThreadState
    agents: Mapping[str, Agent]
    limiter: RunLimiter[Any]
    settling: Settling
    silence_s: float = 10.0
    chance: random.Random = field(factory=random.Random)
    waiter: Any = field(default=None, init=False)
    order: deque[ActiveRun] = field(factory=deque, init=False)
    unfinished: dict[str, FinishRun] = field(factory=dict, init=False)
    steering: Steering = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.steering = Steering(self.thread, self.unfinished)

    def resume(self, live: ActiveRun) -> Steps[None]:
        """Enqueue a run that lost its server; it resumes once it is the first."""
        release_permit(self.limiter, live.request.run_id)
        live.lost_server = True
        yield from self.enqueue(live)

    def enqueue(self, live: ActiveRun) -> Steps[None]:
        """Add a run at the end of the queue; start it if it is the first."""
        self.thread.runs[live.request.run_id] = live
        self.order.append(live)
        if self.order[0] is live:
            yield from self.start_next()
        yield from self.publish_positions()

    def dequeue(self, live: ActiveRun) -> Steps[None]:
        """Remove a run whose actor does not live, and start the next one."""
        first = bool(self.order) and self.order[0] is live
        self.order.remove(live)
        release_permit(self.limiter, live.request.run_id)
        for ask in live.decisions:
            if ask.waiting:
                yield AnswerRequest(ask, False)
        if live.protocol.ended:
            del self.thread.runs[live.request.run_id]
        if first:
            yield from self.start_next()
        yield from self.publish_positions()

    def start_next(self) -> Steps[None]:
        """Start the first run of the queue: now, when it is granted a permit, or when its backoff is over."""
        if not self.order:
            return
        live = self.order[0]
        run_id, attempt = live.request.run_id, live.attempt
        if attempt is not None and not attempt.recorded:
            reason = attempt.unresumable_reason(self.agents, tool_names(live.request.settings))
            if reason is not None:
                yield from self._abandon(live, *reason)
                return
            if not attempt.due:
                yield from self._rest(run_id, attempt)
                return
        if self.limiter.acquire(run_id, self.thread.owner, self.waiter):
            yield from self.start(run_id)

    def _rest(self, run_id: str, attempt: ResumeAttempt) -> Steps[None]:
        """Wait until an attempt is due: a time that is stored, as servers that restart often would never reach it."""
        if attempt.resume_at is None:
            attempt.resume_at = self.thread.now + attempt.backoff_s(self.chance)
            put_off = RunAttempt(run_id, attempt.number - 1, attempt.progress, attempt.resume_at)
            with suppress(StorageUnavailable):
                yield Commit(self.thread.change(attempt=put_off))
        yield StartTimer(f"rested {run_id}", attempt.left_s(self.thread.now), BackoffOver(run_id))

    def start(self, run_id: str) -> Steps[None]:
        """Start a run that has its permit, or resume it."""
        live = self.thread.runs.get(run_id)
        if live is None or live.stopped or live.started:
            return
        replay, attempt = live.taken_over, live.attempt
        if attempt is not None:
            try:
                yield Commit(self.thread.change(attempt=RunAttempt(run_id, attempt.number, attempt.progress)), live)
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                yield self.thread.send(live, AgentProgress(0, AWAY))
                release_permit(self.limiter, run_id)
                yield StartTimer(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            attempt.recorded = True
            agent = attempt.agent(self.agents) or live.request.agent
            live.request = evolve(live.request, agent=agent, attempt=attempt.traced)
            extra = {"run_id": run_id, "attempt": attempt.number, "steps": attempt.progress}
            log.warning("run.taken_up", extra=extra)
            yield CountResumed("resumed")
            replay, attempt.replay = attempt.replay, None
            if replay is not None and live.lost_server:
                replay, live.lost_server = evolve(replay, lost_server=True), False
        yield StartRun(live.request, replay)
        live.started = True
        for steer in live.protocol.waiting_steers:
            if steer.mode == SteerMode.NOW:
                yield TellRun(run_id, EndTurn(steer.steer_id), Lane.HIGH)
        for ask in live.decisions:
            if ask.waiting:  # otherwise its user got an error for the decision
                yield TellRun(run_id, ask)

    def record(self, ask: Record) -> Steps[None]:
        """Commit events and steps of a run, of which the last one may be its end."""
        live = self.thread.runs.get(ask.run_id)
        if live is None or live.protocol.ended:
            yield AnswerRequest(ask, error=LookupError(f"run {ask.run_id} has ended"))
            return
        live.span = ask.span
        if ask.speaker != (live.envelope_template.agent_type, live.envelope_template.pillar):
            live.set_speaker(*ask.speaker)
        try:
            if live.protocol.waiting_steers and isinstance(ask.events[-1] if ask.events else None, TERMINAL):
                yield from self._enqueue_steers(live)
            yield from self.thread.commit(live, ask.events, steps=ask.steps)
        except StorageUnavailable as error:
            yield self.thread.send(live, AgentProgress(0, AWAY))
            yield AnswerRequest(ask, error=error)
        else:
            yield AnswerRequest(ask)
            final = ask.events[-1] if ask.events else None
            waits = len(self.order) > 1 or self.limiter.waiting > 0
            answered = isinstance(final, FinalResponse) and final.status is RunStatus.SUCCESS
            if self.thread.title_due and answered and not waits:
                self.thread.title_due = False
                yield MakeTitle(live.request)

    def finish(self, finish: FinishRun) -> Steps[None]:
        """Commit the end of a run that has no answer; retry later if it cannot be stored now."""
        run_id = finish.run_id
        live = self.thread.runs.get(run_id)
        if live is None or live.protocol.ended:
            self.unfinished.pop(run_id, None)
            return
        doubts = {
            call.call_id: tool
            for call in live.protocol.calls.values()
            if (tool := self.settling.tool_in_doubt(call)) is not None
        }
        events = live.protocol.closing_events(
            finish.ending,
            now=self.thread.now,
            text=live.text,
            sentence=finish.sentence,
            error_id=finish.error_id,
            retry_after=finish.retry_after_s,
            retryable=finish.retryable,
            in_doubt=doubts,
            usage=finish.usage,
            operator=live.cancelled_by,
            reason=live.cancel_reason,
        )
        try:
            settling = yield from self.settling.begun(live, doubts)
            if live.protocol.waiting_steers:
                yield from self._enqueue_steers(live)
            steps = [*finish.steps, *(each.step for each in settling)]
            yield from self.thread.commit(live, [*finish.events, *events], steps=steps)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": run_id})
            yield self.thread.send(live, AgentProgress(0, AWAY))  # the run itself gives no sign of life any more
            self.unfinished[run_id] = finish
            yield StartTimer("retry", RETRY_S, RetryFinish())
            return
        self.unfinished.pop(run_id, None)
        for doubt in settling:
            self.settling.doubts[doubt.step.call_id] = doubt
            yield doubt
        if not live.started and live not in self.order:
            del self.thread.runs[run_id]

    def exited(self, exited: RunExited) -> Steps[None]:
        """Start the next run, or resume this one, if its actor died before its end was committed."""
        run_id = exited.run_id
        live = self.thread.runs.get(run_id)
        if live is None:
            return
        live.started = False
        if live.protocol.ended or run_id in self.unfinished:
            yield from self.dequeue(live)
            return
        error_id, crash = new_error_id(), exited.crash
        extra = {"run_id": run_id, "reason": exited.reason, "error_id": error_id}
        log.log(logging.WARNING if crash is None else logging.ERROR, "run.died", extra=extra, exc_info=crash)
        if live.stopped:
            yield from self.finish(FinishRun(run_id, Ending.CANCELLED))
            yield from self.dequeue(live)
        else:
            yield from self.resume_exited(live, exited, error_id)

    def resume_exited(self, live: ActiveRun, died: RunExited, error_id: str) -> Steps[None]:
        """Resume a run from the log, as after the death of its server; end it if its own code crashes repeatedly."""
        run_id = died.run_id
        try:
            recorded = yield ReadRun(run_id)
        except StorageUnavailable:
            log.warning("run.not_taken_up", extra={"run_id": run_id})
            yield self.thread.send(live, AgentProgress(0, AWAY))
            yield StartTimer(f"rested {run_id}", RETRY_S, ResumeExited(died, error_id))
            return
        attempt = None if recorded is None else recorded.attempt
        if attempt is None:  # the end was stored, although that seemed to fail
            raise SequenceConflict(self.thread.thread_id, self.thread.last_seq, self.thread.last_seq)
        if died.crash is not None and attempt.number > MAX_CRASHES:
            yield from self.finish(FinishRun(run_id, Ending.FAILED, error_id=error_id))
            yield from self.dequeue(live)
            return
        live.resume_as(recorded)
        if died.crash is not None:
            attempt.traced = evolve(attempt.traced, cut=False)
        if attempt.due:
            yield self.thread.send(live, AgentProgress(0, GOES_ON))
        else:
            release_permit(self.limiter, run_id, resting=True)
        if (text := live.snapshot()) is not None:
            yield Send(self.thread.wrap_text(live, text))
        yield from self.start_next()
        yield from self.publish_positions()

    def _abandon(self, live: ActiveRun, why: str, sentence: str) -> Steps[None]:
        """End a run that cannot be resumed, and start the next one."""
        error_id, run_id = new_error_id(), live.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        yield CountResumed(why)
        yield from self.finish(FinishRun(run_id, Ending.INTERRUPTED, sentence, error_id))
        yield from self.dequeue(live)

    def cancel(self, ask: CancelRun) -> Steps[None]:
        """Stop a run; one that is not at work ends at once."""
        live = self.thread.runs.get(ask.run_id)
        if live is None:
            try:
                queued = yield from self.thread.ensure_queued(ask.run_id)
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
        if not live.stopped:
            live.stopped, live.cancelled_by, live.cancel_reason = True, ask.by, ask.reason
        if live.started:
            yield TellRun(ask.run_id, Stop())
        else:
            yield from self.finish(FinishRun(ask.run_id, Ending.CANCELLED))
            yield from self.dequeue(live)
        yield AnswerRequest(ask, True)

    def publish_positions(self) -> Steps[None]:
        """Send every queued run its position, and again after `silence_s`."""
        for live, note in self.positions():
            yield self.thread.send(live, AgentProgress(0, note))
        if any(not live.protocol.ended and not live.started for live in self.order):
            yield StartTimer("waiting", self.silence_s, PublishPositions())

    def positions(self) -> Iterator[tuple[ActiveRun, str]]:
        """Return the queued runs, each with a note that says what it waits for."""
        unended = [live for live in self.order if not live.protocol.ended]
        waiting = [live for live in unended if not live.started]
        lingering = self.order[0].lingering if self.order else ()
        for ahead, live in enumerate(waiting, len(unended) - len(waiting)):
            if ahead:
                yield live, f"Waiting: {ahead} before this one in this conversation"
            elif lingering:
                yield live, f"Waiting for {', '.join(lingering)}, which cannot be interrupted"
            elif live.attempt is not None and not live.attempt.due:
                yield live, f"Interrupted: goes on soon (attempt {live.attempt.number} of {MAX_ATTEMPTS})"
            elif note := queue_note(self.limiter, live.request.run_id):
                yield live, note

    def send_position(self, run_id: str) -> Steps[None]:
        """Send the position of a run, if it is queued."""
        for live, note in self.positions():
            if live.request.run_id == run_id:
                yield self.thread.send(live, AgentProgress(0, note))

    def _enqueue_steers(self, live: ActiveRun) -> Steps[None]:
        """Enqueue the message that the steers become which a run did not take before its end."""
        following = yield from self.steering.turn_into_message(live)
        if following is not None:
            yield from self.enqueue(following)
