"""The trace of a round, and the rules that are checked as it is recorded.

1. Recording never waits or raises: a violated rule becomes a line of `faults`.
2. One `Lifetime` stands for one incarnation, from the moment its actor was made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import trio

from actors.actor import Context
from actors.ask import Ask
from actors.behaviours.pool import PoolRef
from actors.errors import DeathPact
from actors.events import ActorCrashed, ActorRestarting, ActorStopped, DeadLetter, Event
from actors.exit_reasons import KILLED, Crashed, Exit
from actors.lanes import Lane
from actors.lifecycle import State
from actors.ref import ActorRef
from actors.spec import Restart, Strategy
from actors.strategy import Decision
from actors.testing.stress.lifetime import Crash, CrashFate, Lifetime, Tick, TrackedMessage
from actors.testing.stress.plan import Traits
from actors.watch import Restarted, Terminated

EARLY_S = 1e-6
"""Seconds by which an event may come early because of rounding."""


class RoundTrace:
    """The trace of one round."""

    def __init__(self, seed: int) -> None:
        self.random: Random = Random(seed)  # noqa: S311 - chances of a plan
        self.calm: bool = False
        self.calmed: trio.Event = trio.Event()
        self.faults: list[str] = []
        self.log_lines: list[tuple[float, object]] = []
        """When what happened: a line, or a record of the system."""
        self.lives: list[Lifetime] = []
        self.alive: dict[str, Lifetime] = {}
        self.latest: dict[str, Lifetime] = {}
        """The last life at each path, alive or not."""
        self.alive_below: Counter[str] = Counter()
        self.refs: dict[ActorRef, None] = {}
        self.confirmed: dict[ActorRef, None] = {}
        """The actors whose stop has returned."""
        self.dismissed: set[tuple[str, str]] = set()
        """Parent's path and id of children that were ordered to stop for good at any time."""
        self.begun_asks: int = 0
        self.ended_asks: int = 0
        self.ended_after: dict[ActorRef, int] = {}
        """How many notes had been made when an actor ended for good."""
        self.fates: list[int] = []
        """For each note by number: how often it was handled or became a dead letter."""
        self.refused: set[int] = set()
        self.sent: set[int] = set()
        """The notes that may have waited for room after they were made."""
        self.crash_fates: list[CrashFate] = []
        self.taken: set[Ask[Any]] = set()
        """The requests that reached their actor."""
        self.abandoned: dict[Ask[Any], float] = {}
        """When which ask ended."""
        self.pool: PoolRef = PoolRef()
        self.known: dict[str, State] = {}
        """The tree, as the stream of its changes tells it."""
        self.numbers: Iterator[int] = count()
        """Numbers that come once."""
        self._handled: dict[tuple[ActorRef | None, Lane], int] = {}
        self._crashed: set[tuple[str, int]] = set()
        self._due: dict[str, float] = {}

    def violation(self, what: str) -> None:
        """Record the violation of a rule."""
        self.faults.append(f"at {trio.current_time():.3f} s: {what}")

    def log(self, what: object) -> None:
        """Append a line or an event to the log."""
        self.log_lines.append((trio.current_time(), what))

    def stop_faults(self) -> None:
        """Inject no more faults, and release the actors that hang."""
        self.log("calm")
        self.calm = True
        self.calmed.set()

    # Lives

    def made(self, traits: Traits) -> Lifetime:
        """Record that a factory made an actor."""
        life = Lifetime(traits)
        self.lives.append(life)
        return life

    def start_hook_began(self, life: Lifetime, context: Context) -> None:
        """Record the beginning of a start hook, and check that it is allowed."""
        life.path, life.ref, life.incarnation = context.path, context.ref, context.incarnation
        self.log(f"{life.path} #{life.incarnation} begins")
        if life.began:
            self.violation(f"{life.path}: a second start hook of one incarnation")
        if life.path in self.alive:
            self.violation(f"{life.path}: two incarnations alive at once")
        self._check_restart(life)
        if life.ref in self.confirmed:
            self.violation(f"{life.path}: began after its stop was confirmed")
        life.began = True
        self.alive[life.path] = self.latest[life.path] = life
        self.alive_below[parent_of(life.path)] += 1
        self.refs[life.ref] = None

    def _check_restart(self, life: Lifetime) -> None:
        """Check that this incarnation may begin now."""
        path, traits = life.path, life.traits
        if trio.current_time() < self._due.pop(path, 0.0) - EARLY_S:
            self.violation(f"{path}: began before its delay was over")
        if life.incarnation > 1 and traits.restart is Restart.TEMPORARY:
            self.violation(f"{path}: a temporary actor was restarted")
        parent = self.alive.get(parent_of(path))
        supervision = None if parent is None else parent.traits.supervision
        if supervision is None:
            return
        if supervision.max_children is not None and self.alive_below[parent_of(path)] >= supervision.max_children:
            self.violation(f"{path}: one more than {supervision.max_children} children")
        alone = life.incarnation > 1 and supervision.strategy is Strategy.ONE_FOR_ONE
        if traits.restart is Restart.TRANSIENT and alone and (path, life.incarnation - 1) not in self._crashed:
            self.violation(f"{path}: a transient actor was restarted after a normal end")

    def _check_intensity(self, event: ActorRestarting) -> None:
        """Check that the supervisor may restart one more child."""
        now = trio.current_time()
        self._due[event.path] = now + event.delay_s
        parent = self.alive.get(parent_of(event.path))
        supervision = None if parent is None else parent.traits.supervision
        if parent is None or supervision is None:
            return
        parent.restarted_at = [at for at in parent.restarted_at if at >= now - supervision.period_s] + [now]
        if len(parent.restarted_at) > supervision.intensity:
            self.violation(f"{parent.path}: {len(parent.restarted_at)} restarts in {supervision.period_s:g} s")

    def stop_hook_began(self, life: Lifetime, reason: Exit) -> None:
        """Record the beginning of a stop hook, and check that nothing else of the actor runs."""
        self.log(f"{life.path} #{life.incarnation} ends: {reason}")
        life.killed_at_s = trio.current_time() if reason == KILLED else math.inf
        life.stops += 1
        life.ends_as = next(self.numbers)
        life.running = False
        if life.stops > 1:
            self.violation(f"{life.path}: a second stop hook of one incarnation")
        if life.busy:
            self.violation(f"{life.path}: stop hook while a message is in work")
        if life.tasks:
            self.violation(f"{life.path}: stop hook while its own tasks run")
        if self.alive_below[life.path]:
            self.violation(f"{life.path}: stop hook before its children ended")

    def stop_hook_ended(self, life: Lifetime) -> None:
        """Record the end of a stop hook."""
        self.log(f"{life.path} #{life.incarnation} ended")
        if trio.current_time() > life.killed_at_s:
            self.violation(f"{life.path}: its stop hook took time though it was killed")
        life.over = True
        life.ended_as = next(self.numbers)
        if self.alive.get(life.path) is life:
            del self.alive[life.path]
            self.alive_below[parent_of(life.path)] -= 1

    def message_taken(self, life: Lifetime, message: object) -> None:
        """Record that an actor took a message, and check that it may."""
        if life.busy or not life.running:
            self.violation(
                f"{life.path}: got {type(message).__name__} {'twice at once' if life.busy else 'out of time'}"
            )
        if isinstance(message, Ask):
            self.taken.add(message)
        if life.doomed:
            self.violation(f"{life.path}: got {type(message).__name__} though {life.doomed}")
        if life.ref in self.confirmed:
            self.violation(f"{life.path}: got {type(message).__name__} after its stop was confirmed")

    # Messages

    def new_note(self, to: ActorRef | None, lane: Lane) -> TrackedMessage:
        """Make a note that is about to be sent."""
        self.fates.append(0)
        return TrackedMessage(len(self.fates) - 1, to, lane)

    def note_handled(self, life: Lifetime, note: TrackedMessage) -> None:
        """Record that a note was handled, and check its order."""
        self.fates[note.number] += 1
        if note.to is not life.ref and note.to is not None:
            self.violation(f"{life.path}: got a note to {note.to.path}")
        before = self._handled.get((life.ref, note.lane), -1)
        if note.number <= before:
            self.violation(f"{life.path}: note {note.number} came after {before} in lane {note.lane.name}")
        self._handled[life.ref, note.lane] = note.number

    def new_crash(self, error: Exception) -> Crash:
        """Make a message that crashes its actor and is about to be sent."""
        self.crash_fates.append(CrashFate())
        return Crash(len(self.crash_fates) - 1, error)

    def crash_handled(self, life: Lifetime, crash: Crash) -> None:
        """Record that a crash message was handled, and check the number of tries."""
        fuse = self.crash_fates[crash.number]
        fuse.tries += 1
        fuse.redeliver = life.traits.redeliver
        if fuse.tries > fuse.redeliver + 1 or fuse.letters:
            self.violation(f"{life.path}: crash {crash.number} came {fuse.tries} times, {fuse.letters} letters before")

    def dead_letter(self, letter: DeadLetter) -> None:
        """Record a dead letter, and check its history."""
        match letter.message:
            case TrackedMessage(number):
                self.fates[number] += 1
            case Crash(number):
                fuse = self.crash_fates[number]
                fuse.letters += 1
                tried = fuse.redeliver + 1 if letter.why == "poison" else fuse.tries
                if len(letter.history) != fuse.tries or fuse.tries != tried:
                    self.violation(f"{letter.path}: crash {number} lost after {fuse.tries} tries: {letter!r}")

    def ticked(self, life: Lifetime, tick: Tick) -> None:
        """Record that a timer fired, and check that it was in force."""
        if tick.life is not life:
            self.violation(f"{life.path}: a timer of an earlier incarnation fired")
        if life.ticks.pop(tick.key, None) != tick.generation:
            self.violation(f"{life.path}: timer {tick.key} fired though it was set again")

    def noticed(self, life: Lifetime, notice: Terminated) -> None:
        """Record a `Terminated`, and check that it is the only one and comes last."""
        if notice.ref not in life.watched:
            self.violation(f"{life.path}: a notice of {notice.ref.path}, which it does not watch")
            return
        life.watched[notice.ref] += 1
        if life.watched[notice.ref] > 1:
            self.violation(f"{life.path}: a second notice of {notice.ref.path}")
        if notice.ref.alive:
            self.violation(f"{life.path}: a notice of {notice.ref.path}, which is alive")
        if life.ref is not None and notice.ref not in life.urgent:
            for note in life.ref._cell.mailbox.waiting():
                early = isinstance(note, TrackedMessage) and note.number < self.ended_after.get(notice.ref, 0)
                if early and note.number not in self.sent:
                    self.violation(f"{life.path}: a notice of {notice.ref.path} overtook note {note.number}")

    def heard_restart(self, life: Lifetime, notice: Restarted) -> None:
        """Record a `Restarted`, and check its incarnation."""
        last = life.restarts.get(notice.ref)
        if last is None or notice.incarnation <= last:
            self.violation(
                f"{life.path}: a notice of incarnation {notice.incarnation} of {notice.ref.path} after {last}"
            )
        life.restarts[notice.ref] = notice.incarnation

    def record_event(self, event: Event) -> None:
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
                self._check_intensity(event)
            case ActorStopped():
                self._due.pop(event.path, None)
                life = self.latest.get(event.path)
                if life is not None and life.ref is not None:
                    self.ended_after[life.ref] = len(self.fates)
                self._crashed = {key for key in self._crashed if key[0] != event.path}


def parent_of(path: str) -> str:
    """Return the path of the parent."""
    return path.rpartition("/")[0]
