"""The line of a thread's runs: the first one works, or waits for a place of the server; the others wait behind it.

1. Each run is a child of the conversation, and its death is an ending, never the conversation's.
2. Every run that joined ends; an ending that cannot be stored is tried again until it can.
3. A run that lost its server goes on. That it is taken up is stored before any work on it begins, so that one that
   kills its servers is found out, and set aside.
"""

import logging
import random
from collections import deque
from functools import partial

from attrs import define, evolve, field, frozen

from actors import ActorRef, ChildSpec, Context, Crashed, Exit, Restart, StopMode
from transport.wire.errors import CommandRejected
from transport.wire.events import AgentProgress
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import EventLog
from understudy.chat.conversation.resume import MAX_ATTEMPTS, ResumeAttempt
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.messages import Decide, FinishRun, Stop
from understudy.chat.run.run import Run
from understudy.chat.run_limiter import queue_note, release_permit
from understudy.chat.run_protocol import Ending
from understudy.chat.services import Services
from understudy.chat.storage_waits import AWAY
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)

MAX_QUEUED = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
BUSY_S = 5.0
"""After how long it makes sense to try again where too many wait."""
RETRY_S = 1.0
"""How long to wait before an ending that could not be stored is tried again."""
OF_TENANT = "Too many messages of your organisation wait for an answer; try again in a moment."


class RunNotQueued(RuntimeError):
    """The log holds a run without an end that is not in line: it was stored, and seemed not to be."""


class RetryFinish:
    """To a conversation: try again to store the endings that could not be."""


@frozen
class BackoffOver:
    """To a conversation: the run at the front of the line has rested long enough before its next attempt."""

    run_id: str


class PublishPositions:
    """To a conversation: tell those who wait in line where they stand."""


@define(eq=False)
class RunQueue:
    """The runs of one thread that have not ended. `runs` has all of them, by id; `unclosed` those not yet stored."""

    log: EventLog
    services: Services
    subscribers: Subscribers
    runs: dict[str, ActiveRun] = field(factory=dict, init=False)
    unfinished: dict[str, FinishRun] = field(factory=dict, init=False)
    chance: random.Random = field(factory=random.Random, init=False)
    _queue: deque[ActiveRun] = field(factory=deque, init=False)

    def reserve(self, run_id: str) -> None:
        """Count a run in that is about to be accepted; it joins then, or is given up.

        Raises:
            CommandRejected: `busy`: too many wait, in this thread or in all.
        """
        if len(self._queue) > MAX_QUEUED:
            raise CommandRejected("busy", f"{MAX_QUEUED} messages wait in this conversation already.", BUSY_S)
        slots, owner = self.services.limiter, self.log.owner
        if not slots.reserve(run_id, owner, behind=bool(self._queue)):
            if slots.tenant_fills_queue(owner):
                raise CommandRejected("busy", OF_TENANT, BUSY_S)
            raise CommandRejected("busy", retry_after=BUSY_S)

    def cancel_reservation(self, run_id: str) -> None:
        """Forget a run that was counted in and could not be stored."""
        release_permit(self.services.limiter, run_id)

    async def enqueue(self, live: ActiveRun, context: Context) -> None:
        """Put a run at the end of the line, and begin it if it is the first."""
        self.runs[live.request.run_id] = live
        self._queue.append(live)
        if self._queue[0] is live:
            await self._start_next(context)
        self.publish_positions(context)

    async def resume(self, live: ActiveRun, context: Context) -> None:
        """Take in a run that lost its server: it goes on when its turn comes."""
        self._release_permit(live)
        await self.enqueue(live, context)

    async def ensure_queued(self, run_id: str) -> None:
        """See whether a run that is not in line should be.

        Raises:
            RunNotQueued: It should.
            StorageUnavailable: The database cannot be read.
        """
        if run_id not in self.runs:
            run = await self.services.store.run(run_id)
            if run is not None and run.ended_at is None:
                raise RunNotQueued(run_id)

    async def start_run(self, run_id: str, context: Context) -> None:
        """Begin the work on a run that has its place, or go on with it.

        Raises:
            StorageError: The log is not where the conversation believes it is.
        """
        live = self.runs.get(run_id)
        if live is None or live.stopped or live.ref is not None:
            return
        before = None
        if live.attempt is not None:
            try:
                with self.services.storage_waits.notify_if_slow(partial(self.show_storage_wait, live)):
                    await self._take_up(live, live.attempt)
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                self.show_storage_wait(live)
                self._release_permit(live)
                context.set_timer(f"rested {run_id}", RETRY_S, BackoffOver(run_id))
                return
            before, live.attempt.replay = live.attempt.replay, None
        work = partial(Run, live.request, context.ref, self.services, before)
        live.ref = await context.spawn(ChildSpec(run_id, work, restart=Restart.TEMPORARY, shutdown_s=3.0))
        context.watch(live.ref)
        for ask in live.decisions:
            if ask.waiting:  # else its user was told that it was not taken
                live.ref.tell(ask)

    async def backoff_over(self, run_id: str, context: Context) -> None:
        """A run has waited long enough for its next attempt."""
        live = self.runs.get(run_id)
        if live is not None and live.attempt is not None and live.ref is None and self._queue[0] is live:
            live.attempt.due = True
            await self._start_next(context)

    async def _take_up(self, live: ActiveRun, taken: ResumeAttempt) -> None:
        run_id = live.request.run_id
        await self.log.record_attempt(run_id, taken.number, taken.progress)
        taken.recorded = True
        agent = taken.agent(self.services.agents) or live.request.agent
        live.request = evolve(live.request, agent=agent)
        self.services.metrics.run_resumed("resumed")
        log.warning("run.taken_up", extra={"run_id": run_id, "attempt": taken.number, "steps": taken.progress})

    def publish_positions(self, context: Context) -> None:
        """Tell every run that waits its place, and again after a while: nobody is left looking at silence."""
        waiting = [live for live in self._queue if live.ref is None and not live.protocol.ended]
        for ahead, live in enumerate(
            waiting, sum(live.ref is not None and not live.protocol.ended for live in self._queue)
        ):
            if not ahead and live.attempt is not None and not live.attempt.due:
                note = f"Interrupted: goes on soon (attempt {live.attempt.number} of {MAX_ATTEMPTS})"
                self.subscribers.send_ephemeral(live, AgentProgress(0, note))
            elif ahead:
                self.subscribers.send_ephemeral(
                    live, AgentProgress(0, f"Waiting: {ahead} before this one in this conversation")
                )
            else:
                self.publish_position(live.request.run_id)
        if waiting:
            context.set_timer("waiting", self.services.silence_s, PublishPositions())

    def publish_position(self, run_id: str) -> None:
        """Tell a run that waits for a place of the server how many stand before it."""
        live, note = self.runs.get(run_id), queue_note(self.services.limiter, run_id)
        if live is not None and note:
            self.subscribers.send_ephemeral(live, AgentProgress(0, note))

    def show_storage_wait(self, live: ActiveRun) -> None:
        """Show that a run waits for the database."""
        self.subscribers.send_ephemeral(live, AgentProgress(0, AWAY))

    def decide(self, ask: Decide) -> None:
        """Give a decision to the run whose call waits for it, or keep it until that run goes on."""
        live = next((each for each in self.runs.values() if ask.call_id in each.protocol.calls), None)
        if live is None or not (call := live.protocol.calls[ask.call_id]).waits:
            ask.reply(live is not None and call.decision is ask.decision)  # said twice, it is what was said
            return
        live.decisions = [*(each for each in live.decisions if each.waiting), ask]
        if live.ref is not None:
            live.ref.tell(ask)

    async def cancel(self, run_id: str, context: Context) -> bool:
        """Stop a run; False when it has ended already."""
        live = self.runs.get(run_id)
        if live is None:
            return False
        live.stopped = True
        if live.ref is not None:
            live.ref.tell(Stop())
        else:
            await self.finish_run(FinishRun(run_id, Ending.CANCELLED), context)
            await self._dequeue(live, context)
        return True

    async def finish_run(self, close: FinishRun, context: Context) -> None:
        """Bring the arc of a run to its end; if that cannot be stored now, it is tried again until it can."""
        live = self.runs.get(close.run_id)
        if live is None or live.protocol.ended:
            self.unfinished.pop(close.run_id, None)
            return
        events = live.protocol.closing_events(
            close.ending,
            now=self.services.clock(),
            text=live.text,
            sentence=close.sentence,
            error_id=close.error_id,
            retry_after=close.retry_after_s,
        )
        try:
            with self.services.storage_waits.notify_if_slow(partial(self.show_storage_wait, live)):
                envelopes = await self.log.commit(live, events)
            self.subscribers.publish(envelopes, self.log.last_seq, context)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": close.run_id})
            self.show_storage_wait(live)  # nothing else of it gives a sign of life any more
            self.unfinished[close.run_id] = close
            context.set_timer("retry", RETRY_S, RetryFinish())
            return
        self.unfinished.pop(close.run_id, None)
        if live.ref is None and live not in self._queue:
            del self.runs[close.run_id]

    async def retry_finish(self, context: Context) -> None:
        """Try once more to store the endings that could not be."""
        for close in list(self.unfinished.values()):
            await self.finish_run(close, context)

    async def run_exited(self, ref: ActorRef, reason: Exit, context: Context) -> None:
        """The actor of a run has ended: end the run if it did not, and begin the next one."""
        live = next((each for each in self.runs.values() if each.ref == ref), None)
        if live is None:
            return
        live.ref = None
        if (
            not live.protocol.ended and live.request.run_id not in self.unfinished
        ):  # else how it ends is known, and not stored yet
            await self._interrupted(live, reason, context)
        await self._dequeue(live, context)

    async def cancel_all(self, context: Context) -> None:
        """End all runs as if their user had stopped them."""
        for live in self.runs.values():
            live.stopped = True
        for live in list(self.runs.values()):
            if live.ref is not None:
                await live.ref.stop(StopMode.NOW)
            await self.finish_run(FinishRun(live.request.run_id, Ending.CANCELLED), context)
        for live in reversed(list(self._queue)):  # the last first: none of them begins now
            if live.ref is None:
                await self._dequeue(live, context)

    async def suspend(self) -> None:
        """The server stops: leave what is unfinished in the log, where it goes on later. That is no failed attempt."""
        for live in self.runs.values():
            if live.protocol.ended:
                continue
            log.info("run.put_down", extra={"run_id": live.request.run_id})
            if live.attempt is not None and live.attempt.recorded:
                try:
                    await self.log.record_attempt(live.request.run_id, live.attempt.number - 1, live.attempt.progress)
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": live.request.run_id})

    def release_permits(self) -> None:
        """Give back the places of all runs; whoever takes the thread over ends them."""
        for live in self.runs.values():
            self._release_permit(live)

    async def _start_next(self, context: Context) -> None:
        """Begin the first run in line, now, or when the server has a place for it, or when it has rested."""
        if not self._queue:
            return
        live = self._queue[0]
        run_id, taken = live.request.run_id, live.attempt
        if taken is not None and not taken.recorded:
            if (why := taken.unresumable_reason(self.services.agents)) is not None:
                await self._abandon(live, *why, context)
                return
            if not taken.due:
                context.set_timer(f"rested {run_id}", taken.backoff_s(self.chance), BackoffOver(run_id))
                return
        if self.services.limiter.acquire(run_id, self.log.owner, context.ref):
            await self.start_run(run_id, context)

    async def _abandon(self, live: ActiveRun, why: str, sentence: str, context: Context) -> None:
        """End a run that cannot go on, and begin the next one."""
        error_id, run_id = new_error_id(), live.request.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        self.services.metrics.run_resumed(why)
        await self.finish_run(FinishRun(run_id, Ending.INTERRUPTED, sentence, error_id), context)
        await self._dequeue(live, context)

    async def _interrupted(self, live: ActiveRun, reason: Exit | str, context: Context) -> None:
        """End a run whose work is gone: it failed if it broke, and was interrupted otherwise."""
        error_id = new_error_id()
        broke = reason.error if isinstance(reason, Crashed) else None
        extra = {"run_id": live.request.run_id, "reason": str(reason), "error_id": error_id}
        log.error("run.died", extra=extra, exc_info=broke)
        ending = Ending.INTERRUPTED if broke is None else Ending.FAILED
        await self.finish_run(FinishRun(live.request.run_id, ending, error_id=error_id), context)

    async def _dequeue(self, live: ActiveRun, context: Context) -> None:
        first = bool(self._queue) and self._queue[0] is live
        self._queue.remove(live)
        self._release_permit(live)
        for ask in live.decisions:
            if ask.waiting:
                ask.reply(False)
        if live.protocol.ended:
            del self.runs[live.request.run_id]
        if first:
            await self._start_next(context)
        self.publish_positions(context)

    def _release_permit(self, live: ActiveRun) -> None:
        release_permit(self.services.limiter, live.request.run_id)
