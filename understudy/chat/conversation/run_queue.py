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
from understudy.chat.conversation.active_run import LiveRun
from understudy.chat.conversation.event_log import ThreadLog
from understudy.chat.conversation.resume import ATTEMPTS, Taken
from understudy.chat.conversation.subscribers import Followers
from understudy.chat.messages import Close, Decide, Stop
from understudy.chat.places import give_back, waiting_note
from understudy.chat.run.run import Run
from understudy.chat.run_protocol import Ending
from understudy.chat.services import Services
from understudy.chat.storage_waits import AWAY
from understudy.observe.logs import new_error_id
from understudy.storage.errors import StorageUnavailable

log = logging.getLogger(__name__)

QUEUE = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
BUSY_S = 5.0
"""After how long it makes sense to try again where too many wait."""
RETRY_S = 1.0
"""How long to wait before an ending that could not be stored is tried again."""
OF_TENANT = "Too many messages of your organisation wait for an answer; try again in a moment."


class LostRun(RuntimeError):
    """The log holds a run without an end that is not in line: it was stored, and seemed not to be."""


class Retry:
    """To a conversation: try again to store the endings that could not be."""


@frozen
class Rested:
    """To a conversation: the run at the front of the line has rested long enough before its next attempt."""

    run_id: str


class StillWaiting:
    """To a conversation: tell those who wait in line where they stand."""


@define(eq=False)
class Line:
    """The runs of one thread that have not ended. `runs` has all of them, by id; `unclosed` those not yet stored."""

    log: ThreadLog
    services: Services
    followers: Followers
    runs: dict[str, LiveRun] = field(factory=dict, init=False)
    unclosed: dict[str, Close] = field(factory=dict, init=False)
    chance: random.Random = field(factory=random.Random, init=False)
    _line: deque[LiveRun] = field(factory=deque, init=False)

    def admit(self, run_id: str) -> None:
        """Count a run in that is about to be accepted; it joins then, or is given up.

        Raises:
            CommandRejected: `busy`: too many wait, in this thread or in all.
        """
        if len(self._line) > QUEUE:
            raise CommandRejected("busy", f"{QUEUE} messages wait in this conversation already.", BUSY_S)
        slots, owner = self.services.slots, self.log.owner
        if not slots.admit(run_id, owner, behind=bool(self._line)):
            if slots.tenant_fills_line(owner):
                raise CommandRejected("busy", OF_TENANT, BUSY_S)
            raise CommandRejected("busy", retry_after=BUSY_S)

    def give_up(self, run_id: str) -> None:
        """Forget a run that was counted in and could not be stored."""
        give_back(self.services.slots, run_id)

    async def join(self, live: LiveRun, context: Context) -> None:
        """Put a run at the end of the line, and begin it if it is the first."""
        self.runs[live.job.run_id] = live
        self._line.append(live)
        if self._line[0] is live:
            await self._next(context)
        self.tell_places(context)

    async def adopt(self, live: LiveRun, context: Context) -> None:
        """Take in a run that lost its server: it goes on when its turn comes."""
        self._free_slot(live)
        await self.join(live, context)

    async def look_for(self, run_id: str) -> None:
        """See whether a run that is not in line should be.

        Raises:
            LostRun: It should.
            StorageUnavailable: The database cannot be read.
        """
        if run_id not in self.runs:
            run = await self.services.store.run(run_id)
            if run is not None and run.ended_at is None:
                raise LostRun(run_id)

    async def begin(self, run_id: str, context: Context) -> None:
        """Begin the work on a run that has its place, or go on with it.

        Raises:
            StorageError: The log is not where the conversation believes it is.
        """
        live = self.runs.get(run_id)
        if live is None or live.stopped or live.ref is not None:
            return
        before = None
        if live.taken is not None:
            try:
                with self.services.waits.told(partial(self.tell_away, live)):
                    await self._take_up(live, live.taken)
            except StorageUnavailable:
                log.warning("run.not_taken_up", extra={"run_id": run_id})
                self.tell_away(live)
                self._free_slot(live)
                context.set_timer(f"rested {run_id}", RETRY_S, Rested(run_id))
                return
            before, live.taken.replay = live.taken.replay, None
        work = partial(Run, live.job, context.ref, self.services, before)
        live.ref = await context.spawn(ChildSpec(run_id, work, restart=Restart.TEMPORARY, shutdown_s=3.0))
        context.watch(live.ref)
        for ask in live.decisions:
            if ask.waiting:  # else its user was told that it was not taken
                live.ref.tell(ask)

    async def rested(self, run_id: str, context: Context) -> None:
        """A run has waited long enough for its next attempt."""
        live = self.runs.get(run_id)
        if live is not None and live.taken is not None and live.ref is None and self._line[0] is live:
            live.taken.rested = True
            await self._next(context)

    async def _take_up(self, live: LiveRun, taken: Taken) -> None:
        run_id = live.job.run_id
        await self.log.take_up(run_id, taken.number, taken.progress)
        taken.begun = True
        agent = taken.agent(self.services.agents) or live.job.agent
        live.job = evolve(live.job, agent=agent)
        self.services.observer.taken_up("resumed")
        log.warning("run.taken_up", extra={"run_id": run_id, "attempt": taken.number, "steps": taken.progress})

    def tell_places(self, context: Context) -> None:
        """Tell every run that waits its place, and again after a while: nobody is left looking at silence."""
        waiting = [live for live in self._line if live.ref is None and not live.arc.ended]
        for ahead, live in enumerate(waiting, sum(live.ref is not None and not live.arc.ended for live in self._line)):
            if not ahead and live.taken is not None and not live.taken.rested:
                note = f"Interrupted: goes on soon (attempt {live.taken.number} of {ATTEMPTS})"
                self.followers.show(live, AgentProgress(0, note))
            elif ahead:
                self.followers.show(live, AgentProgress(0, f"Waiting: {ahead} before this one in this conversation"))
            else:
                self.tell_place(live.job.run_id)
        if waiting:
            context.set_timer("waiting", self.services.silence_s, StillWaiting())

    def tell_place(self, run_id: str) -> None:
        """Tell a run that waits for a place of the server how many stand before it."""
        live, note = self.runs.get(run_id), waiting_note(self.services.slots, run_id)
        if live is not None and note:
            self.followers.show(live, AgentProgress(0, note))

    def tell_away(self, live: LiveRun) -> None:
        """Show that a run waits for the database."""
        self.followers.show(live, AgentProgress(0, AWAY))

    def decide(self, ask: Decide) -> None:
        """Give a decision to the run whose call waits for it, or keep it until that run goes on."""
        live = next((each for each in self.runs.values() if ask.call_id in each.arc.calls), None)
        if live is None or not (call := live.arc.calls[ask.call_id]).waits:
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
            await self.end(Close(run_id, Ending.CANCELLED), context)
            await self._leave(live, context)
        return True

    async def end(self, close: Close, context: Context) -> None:
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
            retry_after=close.retry_after_s,
        )
        try:
            with self.services.waits.told(partial(self.tell_away, live)):
                envelopes = await self.log.write(live, events)
            self.followers.publish(envelopes, self.log.head, context)
        except StorageUnavailable:
            log.warning("run.end_not_stored", extra={"run_id": close.run_id})
            self.tell_away(live)  # nothing else of it gives a sign of life any more
            self.unclosed[close.run_id] = close
            context.set_timer("retry", RETRY_S, Retry())
            return
        self.unclosed.pop(close.run_id, None)
        if live.ref is None and live not in self._line:
            del self.runs[close.run_id]

    async def end_again(self, context: Context) -> None:
        """Try once more to store the endings that could not be."""
        for close in list(self.unclosed.values()):
            await self.end(close, context)

    async def gone(self, ref: ActorRef, reason: Exit, context: Context) -> None:
        """The actor of a run has ended: end the run if it did not, and begin the next one."""
        live = next((each for each in self.runs.values() if each.ref == ref), None)
        if live is None:
            return
        live.ref = None
        if not live.arc.ended and live.job.run_id not in self.unclosed:  # else how it ends is known, and not stored yet
            await self._interrupted(live, reason, context)
        await self._leave(live, context)

    async def stop(self, context: Context) -> None:
        """End all runs as if their user had stopped them."""
        for live in self.runs.values():
            live.stopped = True
        for live in list(self.runs.values()):
            if live.ref is not None:
                await live.ref.stop(StopMode.NOW)
            await self.end(Close(live.job.run_id, Ending.CANCELLED), context)
        for live in reversed(list(self._line)):  # the last first: none of them begins now
            if live.ref is None:
                await self._leave(live, context)

    async def put_down(self) -> None:
        """The server stops: leave what is unfinished in the log, where it goes on later. That is no failed attempt."""
        for live in self.runs.values():
            if live.arc.ended:
                continue
            log.info("run.put_down", extra={"run_id": live.job.run_id})
            if live.taken is not None and live.taken.begun:
                try:
                    await self.log.take_up(live.job.run_id, live.taken.number - 1, live.taken.progress)
                except StorageUnavailable:
                    log.warning("run.attempt_not_given_back", extra={"run_id": live.job.run_id})

    def free_slots(self) -> None:
        """Give back the places of all runs; whoever takes the thread over ends them."""
        for live in self.runs.values():
            self._free_slot(live)

    async def _next(self, context: Context) -> None:
        """Begin the first run in line, now, or when the server has a place for it, or when it has rested."""
        if not self._line:
            return
        live = self._line[0]
        run_id, taken = live.job.run_id, live.taken
        if taken is not None and not taken.begun:
            if (why := taken.hopeless(self.services.agents)) is not None:
                await self._set_aside(live, *why, context)
                return
            if not taken.rested:
                context.set_timer(f"rested {run_id}", taken.rest_s(self.chance), Rested(run_id))
                return
        if self.services.slots.ask(run_id, self.log.owner, context.ref):
            await self.begin(run_id, context)

    async def _set_aside(self, live: LiveRun, why: str, sentence: str, context: Context) -> None:
        """End a run that cannot go on, and begin the next one."""
        error_id, run_id = new_error_id(), live.job.run_id
        level = logging.WARNING if why == "unknown" else logging.ERROR
        log.log(level, "run.set_aside", extra={"run_id": run_id, "why": why, "error_id": error_id})
        self.services.observer.taken_up(why)
        await self.end(Close(run_id, Ending.INTERRUPTED, sentence, error_id), context)
        await self._leave(live, context)

    async def _interrupted(self, live: LiveRun, reason: Exit | str, context: Context) -> None:
        """End a run whose work is gone: it failed if it broke, and was interrupted otherwise."""
        error_id = new_error_id()
        broke = reason.error if isinstance(reason, Crashed) else None
        extra = {"run_id": live.job.run_id, "reason": str(reason), "error_id": error_id}
        log.error("run.died", extra=extra, exc_info=broke)
        ending = Ending.INTERRUPTED if broke is None else Ending.FAILED
        await self.end(Close(live.job.run_id, ending, error_id=error_id), context)

    async def _leave(self, live: LiveRun, context: Context) -> None:
        first = bool(self._line) and self._line[0] is live
        self._line.remove(live)
        self._free_slot(live)
        for ask in live.decisions:
            if ask.waiting:
                ask.reply(False)
        if live.arc.ended:
            del self.runs[live.job.run_id]
        if first:
            await self._next(context)
        self.tell_places(context)

    def _free_slot(self, live: LiveRun) -> None:
        give_back(self.services.slots, live.job.run_id)
