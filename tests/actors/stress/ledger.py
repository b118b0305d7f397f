"""The ledger of a stress round: actors report each step to it, and it checks the promises of supervision and delivery.

Recording never waits or raises: a violated promise becomes a line of `faults`. One `RandomActor` is one incarnation.
"""

import math
from collections import Counter
from functools import partial
from itertools import count
from random import Random

import trio
from attrs import define

from actors.ask import Ask
from actors.behaviours.pool import PoolRef
from actors.errors import DeathPact
from actors.events import ActorCrashed, ActorRestarting, ActorStopped
from actors.exit_reasons import KILLED, Crashed
from actors.lifecycle import Decision
from actors.spec import Restart, Strategy
from tests.actors.stress.random_actor import Crash, Note, RandomActor

EARLY_S = 1e-6
"""Seconds by which an event may come early because of rounding."""


def parent_of(path):
    """Return the path of the parent."""
    return path.rpartition("/")[0]


@define
class CrashFate:
    """How often a `Crash` was handled (`tries`) and became a dead letter, and how often it may be redelivered."""

    tries: int = 0
    letters: int = 0
    redeliver: int = 0


class Ledger:
    def __init__(self, seed):
        self.random = Random(seed)
        self.calm, self.calmed = False, trio.Event()
        self.faults, self.story = [], []
        self.actors = []
        self.alive, self.latest = {}, {}
        """By path: the actor alive there, and the last actor that began there, alive or not."""
        self.alive_below = Counter()
        self.refs = {}
        self.confirmed = set()
        """References whose `stop()` has returned: they may handle nothing more."""
        self.dismissed = set()
        """(Parent path, child id) of each child that was ever ordered to stop for good."""
        self.open_asks = 0
        self.ended_after = {}
        """By reference: the number of notes made before its actor ended for good."""
        self.fates = []
        """By note number: how often the note was handled or became a dead letter."""
        self.refused, self.sent = set(), set()
        """Notes that were refused, and notes whose sending may have waited for room in the mailbox."""
        self.crash_fates = []
        self.taken = set()
        """The asks that reached their actor."""
        self.abandoned = {}
        """By ask: when it ended."""
        self.pool = PoolRef()
        self.known = {}
        """The tree of actors as rebuilt from the stream of its changes."""
        self.numbers = count()
        self._handled, self._crashed, self._due = {}, set(), {}

    def spec_of(self, traits):
        return traits.made_by(partial(RandomActor, traits, self))

    def violation(self, what):
        self.faults.append(f"at {trio.current_time():.3f} s: {what}")

    def log(self, what):
        self.story.append((trio.current_time(), what))

    def stop_faults(self):
        """Inject no more faults, and release the actors that hang."""
        self.log("calm")
        self.calm = True
        self.calmed.set()

    def supervision_of(self, path):
        parent = self.alive.get(path)
        return None if parent is None else parent.traits.supervision

    def start_hook_began(self, actor, context):
        if actor.path:
            self.violation(f"{actor.path}: a second start hook of one incarnation")
        actor.path, actor.ref, actor.incarnation = path, ref, incarnation = (
            context.path,
            context.ref,
            context.incarnation,
        )
        self.log(f"{path} #{incarnation} begins")
        if path in self.alive:
            self.violation(f"{path}: two incarnations alive at once")
        if ref in self.confirmed:
            self.violation(f"{path}: began after its stop was confirmed")
        if trio.current_time() < self._due.pop(path, 0.0) - EARLY_S and context.stopping is None:  # a drain has none
            self.violation(f"{path}: began before its delay was over")
        restart, above = actor.traits.spec.restart, parent_of(path)
        if incarnation > 1 and restart is Restart.TEMPORARY:
            self.violation(f"{path}: a temporary actor was restarted")
        supervision = self.supervision_of(above)
        if supervision is not None:
            if supervision.max_children is not None and self.alive_below[above] >= supervision.max_children:
                self.violation(f"{path}: one more than {supervision.max_children} children")
            alone = incarnation > 1 and supervision.strategy is Strategy.ONE_FOR_ONE
            if restart is Restart.TRANSIENT and alone and (path, incarnation - 1) not in self._crashed:
                self.violation(f"{path}: a transient actor was restarted after a normal end")
        self.alive[path] = self.latest[path] = actor
        self.alive_below[above] += 1
        self.refs[ref] = None

    def stop_hook_began(self, actor, reason):
        self.log(f"{actor.path} #{actor.incarnation} ends: {reason}")
        actor.killed_at_s = trio.current_time() if reason == KILLED else math.inf
        actor.stops += 1
        actor.ends_as = next(self.numbers)
        actor.running = False
        for wrong, what in (
            (actor.stops > 1, "a second stop hook of one incarnation"),
            (actor.busy, "stop hook while a message is in work"),
            (actor.tasks, "stop hook while its own tasks run"),
            (self.alive_below[actor.path], "stop hook before its children ended"),
        ):
            if wrong:
                self.violation(f"{actor.path}: {what}")

    def stop_hook_ended(self, actor):
        self.log(f"{actor.path} #{actor.incarnation} ended")
        if trio.current_time() > actor.killed_at_s:
            self.violation(f"{actor.path}: its stop hook took time though it was killed")
        actor.over = True
        actor.ended_as = next(self.numbers)
        if self.alive.get(actor.path) is actor:
            del self.alive[actor.path]
            self.alive_below[parent_of(actor.path)] -= 1

    def message_taken(self, actor, message):
        if isinstance(message, Ask):
            self.taken.add(message)
        for wrong, what in (
            (actor.busy, "twice at once"),
            (not actor.running, "out of time"),
            (actor.doomed, f"though {actor.doomed}"),
            (actor.ref in self.confirmed, "after its stop was confirmed"),
        ):
            if wrong:
                self.violation(f"{actor.path}: got {type(message).__name__} {what}")

    def new_note(self, to, lane):
        """Make a note that is about to be sent."""
        self.fates.append(0)
        return Note(len(self.fates) - 1, to, lane)

    def note_handled(self, actor, note):
        self.fates[note.number] += 1
        if note.to is not actor.ref and note.to is not None:
            self.violation(f"{actor.path}: got a note to {note.to.path}")
        previous = self._handled.get((actor.ref, note.lane), -1)
        if note.number <= previous:
            self.violation(f"{actor.path}: note {note.number} came after {previous} in lane {note.lane.name}")
        self._handled[actor.ref, note.lane] = note.number

    def new_crash(self, error):
        """Make a message that crashes its actor and is about to be sent."""
        self.crash_fates.append(CrashFate())
        return Crash(len(self.crash_fates) - 1, error)

    def crash_handled(self, actor, crash):
        fate = self.crash_fates[crash.number]
        fate.tries += 1
        fate.redeliver = actor.traits.spec.redeliver
        if fate.tries > fate.redeliver + 1 or fate.letters:
            self.violation(f"{actor.path}: crash {crash.number} came {fate.tries} times, {fate.letters} letters before")

    def dead_letter(self, letter):
        match letter.message:
            case Note(number):
                self.fates[number] += 1
            case Crash(number):
                fate = self.crash_fates[number]
                fate.letters += 1
                tried = fate.redeliver + 1 if letter.why == "poison" else fate.tries
                if len(letter.history) != fate.tries or fate.tries != tried:
                    self.violation(f"{letter.path}: crash {number} lost after {fate.tries} tries: {letter!r}")

    def ticked(self, actor, tick):
        if tick.actor is not actor:
            self.violation(f"{actor.path}: a timer of an earlier incarnation fired")
        if actor.ticks.pop(tick.key, None) != tick.generation:
            self.violation(f"{actor.path}: timer {tick.key} fired though it was set again")

    def noticed(self, actor, notice):
        """Record a `Terminated`, and check that it is the only one and comes last."""
        ref = notice.ref
        if ref not in actor.watched:
            self.violation(f"{actor.path}: a notice of {ref.path}, which it does not watch")
            return
        actor.watched[ref] += 1
        if actor.watched[ref] > 1:
            self.violation(f"{actor.path}: a second notice of {ref.path}")
        if ref.alive:
            self.violation(f"{actor.path}: a notice of {ref.path}, which is alive")
        if ref not in actor.urgent:
            for note in actor.ref._cell.inbox.waiting():
                early = isinstance(note, Note) and note.number < self.ended_after.get(ref, 0)
                if early and note.number not in self.sent:
                    self.violation(f"{actor.path}: a notice of {ref.path} overtook note {note.number}")

    def heard_restart(self, actor, notice):
        last = actor.restarts.get(notice.ref)
        if last is None or notice.incarnation <= last:
            what = f"a notice of incarnation {notice.incarnation} of {notice.ref.path} after {last}"
            self.violation(f"{actor.path}: {what}")
        actor.restarts[notice.ref] = notice.incarnation

    def record_event(self, event):
        """Record an event of the system, and check crashes and restarts."""
        self.log(event)
        match event:
            case ActorCrashed() if event.decision is not Decision.RESUME:
                key = (event.path, event.incarnation)
                if key in self._crashed:
                    self.violation(f"{event.path}: crash of incarnation {event.incarnation} reported twice")
                self._crashed.add(key)
                error = event.reason.error if isinstance(event.reason, Crashed) else None
                if isinstance(error, DeathPact) and not self.latest[event.path].doomed:
                    self.violation(f"{event.path}: failed by a pact that it took back, or never made")
            case ActorRestarting():
                now = trio.current_time()
                self._due[event.path] = now + event.delay_s
                parent = self.alive.get(parent_of(event.path))
                if parent is not None and (supervision := parent.traits.supervision) is not None:
                    since = now - supervision.period_s
                    parent.restarted_at = [at for at in parent.restarted_at if at >= since] + [now]
                    if len(parent.restarted_at) > supervision.intensity:
                        many = len(parent.restarted_at)
                        self.violation(f"{parent.path}: {many} restarts in {supervision.period_s:g} s")
            case ActorStopped():
                self._due.pop(event.path, None)
                actor = self.latest.get(event.path)
                if actor is not None:
                    self.ended_after[actor.ref] = len(self.fates)
                self._crashed = {key for key in self._crashed if key[0] != event.path}
