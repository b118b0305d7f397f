"""Injects the faults of a plan into a live system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import trio
from attrs import define

from actors.ask import Ask
from actors.behaviours.pool import NoWorkers, PoolRef
from actors.children import ChildrenRequest
from actors.errors import ActorDied, ActorError, MailboxFull
from actors.lanes import Lane
from actors.lifecycle import StopMode
from actors.ref import ActorRef
from actors.spec import Restart
from actors.supervisor import ForgetChild, RestartChild, StartChild, StopChild
from actors.system import ActorSystem
from actors.testing.stress.commands import (
    Background,
    Echo,
    Hang,
    MustFinishEcho,
    NeverAnswer,
    Relay,
    SetTimer,
    Shut,
    Slow,
    Spawn,
    StopSelf,
    Unwatch,
    WatchActor,
)
from actors.testing.stress.lifetime import Lifetime
from actors.testing.stress.plan import Act, PlannedFault, Traits
from actors.testing.stress.random_actor import spec_of
from actors.testing.stress.trace import RoundTrace, parent_of

T = TypeVar("T")

LATE_S = 1 / 32
"""Seconds by which an ask may end late: twice the grain of the shared deadlines."""
LATE_SHARE = 0.007
"""Share of a long timeout by which an ask may end late: its deadline has a coarser grain."""


def pick(items: Sequence[T], chance: float) -> T:
    """The item at this chance, from 0 to 1."""
    return items[int(chance * len(items))]


@define
class FaultInjector:
    """Performs the acts of one plan one by one; slow ones run in `nursery`."""

    system: ActorSystem
    ledger: RoundTrace
    nursery: trio.Nursery

    def do(self, act: Act) -> None:
        """Perform one act on a live actor, sometimes on a dead one."""
        lives = [life for life in self.ledger.latest.values() if life.ref is not None and life.ref.alive]
        if not lives:
            return
        life = pick(lives, act.who)
        assert life.ref is not None  # noqa: S101 - chosen so
        self.ledger.log(f"--- {act.fault.value} {life.path}")
        ref = life.ref
        if act.fault is PlannedFault.KILL:
            ref.kill()
        elif act.fault is PlannedFault.KILL_MANY:
            for other in lives[:: 1 + int(act.how * 3)]:
                if other.ref is not None:
                    other.ref.kill()
        elif act.fault is PlannedFault.FLOOD:
            lane = pick(list(Lane), act.how)
            for _ in range(1 + int(act.who * 40)):
                self.tell(ref, lane)
        elif act.fault is PlannedFault.TELL:
            self.tell(pick(list(self.ledger.refs), act.who), pick(list(Lane), act.how))
        elif act.fault is PlannedFault.POOL:
            self.nursery.start_soon(self.use_pool, act)
        elif act.fault in _REQUESTS:
            self._do_slowly(act, life, ref)
        elif act.fault is PlannedFault.CRASH:
            self._crash(ref, pick([RuntimeError, OSError, ValueError, KeyError], act.how)("told to"))
        else:
            ref.try_tell(self._word(act, life))

    def tell(self, ref: ActorRef, lane: Lane) -> None:
        """Tell a note whose fate is followed."""
        note = self.ledger.new_note(ref, lane)
        if not ref.try_tell(note, lane=lane):
            self.ledger.refused.add(note.number)

    def _crash(self, ref: ActorRef, error: Exception) -> None:
        crash = self.ledger.new_crash(error)
        if not ref.try_tell(crash):
            self.ledger.crash_fates[crash.number].letters = 1

    def _word(self, act: Act, life: Lifetime) -> object:
        """Return the message that makes an actor perform this fault."""
        how = act.how
        others = list(self.ledger.refs)
        match act.fault:
            case PlannedFault.HANG:
                return Hang()
            case PlannedFault.SLOW:
                return Slow(how * 3)
            case PlannedFault.QUIT:
                return StopSelf()
            case PlannedFault.TASK:
                return Background(how, RuntimeError("in the background") if how > 0.6 else None)
            case PlannedFault.TIMER:
                return SetTimer(pick("xyz", how), how * 2, pick([0.0, 0.0, how * 2], act.who))
            case PlannedFault.SHUT:
                return Shut(how * 3)
            case PlannedFault.WATCH:
                target = pick([ref for ref in others if ref is not life.ref] or [self.system.root], how)
                return WatchActor(target, vital=act.who > 0.8, restarts=act.who < 0.5, urgent=0.3 < act.who < 0.6)
            case PlannedFault.UNWATCH:
                return Unwatch(pick(list(life.watched) or others, how), pick([0.0, 1.0], act.who))
            case _:
                return Spawn(self._newcomer(act))

    def _newcomer(self, act: Act) -> Traits:
        """Return the traits of a child outside of the plan's tree."""
        return Traits(
            pick(["new", "newer"], act.how),
            restart=pick(list(Restart), act.who),
            flaky=0.3 if act.how > 0.5 else 0.0,
            slow_start_s=0.3 if act.who > 0.7 else 0.0,
        )

    def _do_slowly(self, act: Act, life: Lifetime, ref: ActorRef) -> None:
        how = act.how
        start_soon = self.nursery.start_soon
        if act.fault is PlannedFault.STOP:
            start_soon(self.stop, ref, pick(list(StopMode), how))
        elif act.fault is PlannedFault.SEND:
            if how > 0.3:
                ref.try_tell(Slow(0.5))
            for _ in range(1 + int(how * 10)):
                start_soon(self.send, ref, pick(list(Lane), act.who), how)
        elif act.fault is PlannedFault.ASK:
            target = ref if how < 0.8 else pick(list(self.ledger.refs), act.who)
            for _ in range(1 + int(act.who * 3)):
                start_soon(self.ask_something, target, how)
        else:
            bosses = [other for other in self.ledger.latest.values() if other.traits.supervision is not None]
            boss = life if life in bosses or not bosses or how > 0.9 else pick(bosses, act.who)
            if boss.ref is not None:
                start_soon(self.ask, boss.ref, self._children_request(act, boss), pick([20.0, math.inf], how), math.inf)

    def _children_request(self, act: Act, boss: Lifetime) -> ChildrenRequest[Any]:
        known = [child.id for child in boss.traits.children] + ["new", "newer", "nobody"]
        name = pick(known, act.how)
        if act.fault is PlannedFault.START_CHILD:
            return StartChild(spec_of(self._newcomer(act), self.ledger))
        if act.fault is PlannedFault.RESTART_CHILD:
            return RestartChild(name)
        if act.fault is PlannedFault.FORGET_CHILD:
            self.ledger.dismissed.add((boss.path, name))
            return ForgetChild(name)
        self.ledger.dismissed.add((boss.path, name))
        return StopChild(name)

    def call_off_pacts(self) -> None:
        """Remove all vital watches, so that an orderly stop fails no watcher."""
        for life in self.ledger.alive.values():
            for other in [ref for ref in life.vital if ref.alive and ref in life.watched]:
                if life.ref is not None:
                    life.ref.tell(Unwatch(other))

    async def stop_a_watched_one(self) -> None:
        """Let all actors watch a random one, and stop that one."""
        lives = list(self.ledger.alive.values())
        target = self.ledger.random.choice(lives).ref if lives else None
        if target is None:
            return
        for life in lives:
            if life.ref is not None and life.ref is not target:
                life.ref.tell(WatchActor(target, vital=False, restarts=True, urgent=False))
        await trio.sleep(1)
        await self.stop(target, StopMode.AFTER_DRAIN)

    async def stop(self, ref: ActorRef, mode: StopMode) -> None:
        """Stop an actor, and check that it is dead afterwards."""
        self.ledger.dismissed.add((parent_of(ref.path), ref.path.rpartition("/")[2]))
        await ref.stop(mode)
        life = self.ledger.alive.get(ref.path)
        if ref.alive or (life is not None and life.ref is ref):
            self.ledger.violation(f"{ref.path}: alive after its stop returned")
        self.ledger.confirmed[ref] = None

    async def send(self, ref: ActorRef, lane: Lane, how: float) -> None:
        """Send a note, waiting some time for room, or cancelled before."""
        note = self.ledger.new_note(ref, lane)
        self.ledger.sent.add(note.number)
        delivered = False
        try:
            with trio.move_on_after(pick([0.0, 0.2, 0.4, math.inf], self.ledger.random.random())):
                await ref.send(note, lane=lane, timeout_s=1.0 + how)
                delivered = True
        except MailboxFull:
            self.ledger.log(f"note {note.number} found no room")
        finally:
            if not delivered:
                self.ledger.refused.add(note.number)

    async def ask_something(self, ref: ActorRef, how: float) -> None:
        """Ask one of several requests, with a timeout or without, and sometimes cancel it."""
        chance = self.ledger.random.random()
        value = next(self.ledger.numbers)
        timeout_s = pick([math.inf, 0.2, 1.0, 5.0], chance)
        request: Ask[int]
        if how < 0.1:
            request, timeout_s = NeverAnswer(value), min(timeout_s, 5.0)
        elif how < 0.3:
            refs = list(self.ledger.refs)
            request = Relay(value, tuple(self.ledger.random.choices(refs, k=self.ledger.random.randint(1, 3))))
        else:
            request = pick([Echo, Echo, MustFinishEcho], how)(
                value, pick([0.0, 0.0, 0.1, 1.0], chance), own_task=how > 0.8
            )
        patience_s = pick([math.inf, math.inf, 0.0, 0.15, 1.0], self.ledger.random.random())
        await self.ask(ref, request, timeout_s, patience_s, fail_fast=how > 0.95)

    async def use_pool(self, act: Act) -> None:
        """Give work to the pool, resize it, or kill it."""
        pool, how = self.ledger.pool, act.how
        try:
            if pool.ref is not None and how < 0.1:
                pool.ref.kill()
            elif how < 0.25:
                await pool.resize(1 + int(act.who * 4))
            elif how < 0.6:
                for _ in range(1 + int(act.who * 20)):
                    self._tell_pool()
            else:
                value = next(self.ledger.numbers)
                await self.ask(pool, Echo(value, pick([0.0, 0.1, 1.0], act.who)), pick([math.inf, 5.0], how), math.inf)
        except (ActorError, NoWorkers) as error:
            self.ledger.log(error)

    def _tell_pool(self) -> None:
        note = self.ledger.new_note(None, Lane.NORMAL)
        try:
            self.ledger.pool.tell(note)
        except (MailboxFull, NoWorkers):
            self.ledger.refused.add(note.number)

    async def ask(
        self,
        ref: ActorRef | PoolRef,
        request: Ask[Any],
        timeout_s: float,
        patience_s: float,
        *,
        fail_fast: bool = False,
    ) -> None:
        """Ask, and check that the ask ends in time and with the right answer."""
        ledger, name = self.ledger, f"{type(request).__name__} to {ref.path if isinstance(ref, ActorRef) else 'pool'}"
        began, dead = trio.current_time(), isinstance(ref, ActorRef) and not ref.alive
        ledger.begun_asks += 1
        try:
            with trio.move_on_after(patience_s):
                answer = await ref.ask(request, timeout_s=timeout_s, fail_fast=fail_fast)
                if isinstance(request, Echo | Relay | NeverAnswer) and answer != request.value:
                    ledger.violation(f"{name}: got the answer of another request")
        except ActorError as error:
            ledger.log(f"{name}: {error!r}")
            if isinstance(error, ActorDied) and self._was_queued(request):
                target = self.system.find(error.path)
                if target is ref and not ref._cell.mailbox.closed:  # else it drains, and takes no more
                    ledger.violation(f"{name}: failed in the queue of an actor that goes on")
        finally:
            ledger.ended_asks += 1
            ledger.abandoned[request] = trio.current_time()
        took_s = trio.current_time() - began
        allowed_s = min(timeout_s + max(LATE_S, LATE_SHARE * timeout_s), patience_s + LATE_S)
        if took_s > allowed_s or (dead and took_s > 0):
            ledger.violation(f"{name}: took {took_s:g} s, had {timeout_s:g} s, target {'dead' if dead else 'alive'}")

    def _was_queued(self, request: Ask[Any]) -> bool:
        return not isinstance(request, ChildrenRequest) and request not in self.ledger.taken


_REQUESTS = {
    PlannedFault.STOP,
    PlannedFault.SEND,
    PlannedFault.ASK,
    PlannedFault.START_CHILD,
    PlannedFault.STOP_CHILD,
    PlannedFault.RESTART_CHILD,
    PlannedFault.FORGET_CHILD,
}
