"""Injects the faults of a plan into a live system, and checks the end of every ask, send and stop."""

import math
from functools import partial

import trio
from attrs import define

from actors.ask import ActorDied
from actors.behaviours.pool import NoWorkers
from actors.children import ChildrenRequest
from actors.errors import ActorError, MailboxFull
from actors.lanes import Lane
from actors.lifecycle import StopMode
from actors.ref import ActorRef
from actors.spec import Restart
from actors.supervisor import ForgetChild, RestartChild, StartChild, StopChild
from actors.system import ActorSystem
from tests.actors.stress.ledger import Ledger, parent_of
from tests.actors.stress.plan import Act, Traits
from tests.actors.stress.random_actor import Echo, MustFinishEcho, NeverAnswer, RandomActor, Relay

LATE_S = 1 / 32
"""Seconds by which an ask may end late: twice the grain of the shared deadlines."""
LATE_SHARE = 0.007
"""Share of a long timeout by which an ask may end late: its deadline has a coarser grain."""


def pick(items, chance):
    """The item at this chance, from 0 to 1."""
    return items[int(chance * len(items))]


def newcomer(act: Act) -> Traits:
    """Return the traits of a child outside of the plan's tree."""
    return Traits(
        {"id": pick(["new", "newer"], act.how), "restart": pick(list(Restart), act.who)},
        flaky=0.3 if act.how > 0.5 else 0.0,
        slow_start_s=0.3 if act.who > 0.7 else 0.0,
    )


@define
class FaultInjector:
    """Performs the acts of one plan one by one; slow ones run in `nursery`."""

    system: ActorSystem
    ledger: Ledger
    nursery: trio.Nursery

    def do(self, act: Act) -> None:
        """Perform one act on a live actor, sometimes on a dead one."""
        actors = [actor for actor in self.ledger.latest.values() if actor.ref.alive]
        if not actors:
            return
        actor, who, how = pick(actors, act.who), act.who, act.how
        self.ledger.log(f"--- {act.fault} {actor.path}")
        ref, refs, lanes, start_soon = actor.ref, list(self.ledger.refs), list(Lane), self.nursery.start_soon
        match act.fault:
            case "kill":
                ref.kill()
            case "kill many":
                for other in actors[:: 1 + int(how * 3)]:
                    other.ref.kill()
            case "flood":
                for _ in range(1 + int(who * 40)):
                    self.tell(ref, pick(lanes, how))
            case "tell":
                self.tell(pick(refs, who), pick(lanes, how))
            case "send":
                if how > 0.3:
                    ref.try_tell(partial(RandomActor.slow, seconds=0.5))
                for _ in range(1 + int(how * 10)):
                    start_soon(self.send, ref, pick(lanes, who), how)
            case "ask":
                for _ in range(1 + int(who * 3)):
                    start_soon(self.ask_something, ref if how < 0.8 else pick(refs, who), how)
            case "pool":
                start_soon(self.use_pool, act)
            case "stop":
                start_soon(self.stop, ref, pick(list(StopMode), how))
            case "start child" | "stop child" | "restart child" | "forget child":
                bosses = [other for other in self.ledger.latest.values() if other.traits.supervision is not None]
                boss = actor if actor in bosses or not bosses or how > 0.9 else pick(bosses, who)
                request = self.children_request(act, boss)
                start_soon(self.ask, boss.ref, request, pick([20.0, math.inf], how), math.inf)
            case "crash":
                crash = self.ledger.new_crash(pick([RuntimeError, OSError, ValueError, KeyError], how)("told to"))
                if not ref.try_tell(crash):
                    self.ledger.crash_fates[crash.number].letters = 1
            case _:
                ref.try_tell(self.order(act, actor, refs))

    def order(self, act, actor, refs):
        """Return the message that makes an actor perform this fault."""
        who, how = act.who, act.how
        match act.fault:
            case "slow":
                return partial(RandomActor.slow, seconds=how * 3)
            case "task":
                error = RuntimeError("in the background") if how > 0.6 else None
                return partial(RandomActor.start_task, seconds=how, error=error)
            case "timer":
                after_s = pick([0.0, 0.0, how * 2], who)
                return partial(RandomActor.set_timer, key=pick("xyz", how), delay_s=how * 2, after_s=after_s)
            case "shut":
                return partial(RandomActor.shut_for, seconds=how * 3)
            case "watch":
                target = pick([ref for ref in refs if ref is not actor.ref] or [self.system.root], how)
                wishes = {"vital": who > 0.8, "restarts": who < 0.5, "urgent": 0.3 < who < 0.6}
                return partial(RandomActor.watch, ref=target, **wishes)
            case "unwatch":
                target = pick(list(actor.watched) or refs, how)
                return partial(RandomActor.unwatch, ref=target, after_s=pick([0.0, 1.0], who))
            case "spawn":
                return partial(RandomActor.spawn, traits=newcomer(act))
            case name:
                return partial(getattr(RandomActor, name))

    def children_request(self, act, boss) -> ChildrenRequest:
        if act.fault == "start child":
            return StartChild(self.ledger.spec_of(newcomer(act)))
        name = pick([child.spec.id for child in boss.traits.children] + ["new", "newer", "nobody"], act.how)
        if act.fault == "restart child":
            return RestartChild(name)
        self.ledger.dismissed.add((boss.path, name))
        return ForgetChild(name) if act.fault == "forget child" else StopChild(name)

    def tell(self, ref, lane):
        """Tell a note whose fate is followed."""
        note = self.ledger.new_note(ref, lane)
        if not ref.try_tell(note, lane=lane):
            self.ledger.refused.add(note.number)

    def call_off_pacts(self):
        """Remove all vital watches, so that an orderly stop fails no watcher."""
        for actor in self.ledger.alive.values():
            for other in [ref for ref in actor.vital if ref.alive and ref in actor.watched]:
                actor.ref.tell(partial(RandomActor.unwatch, ref=other))

    async def stop_a_watched_one(self):
        """Let all actors watch a random one, and stop that one while they are busy and have a note to handle."""
        refs = [actor.ref for actor in self.ledger.alive.values()]
        if refs:
            target = self.ledger.random.choice(refs)
            for ref in refs:
                if ref is not target:
                    ref.tell(partial(RandomActor.watch, ref=target, restarts=True))
            await trio.sleep(1)
            for ref in refs:
                if ref is not target:
                    ref.try_tell(partial(RandomActor.slow, seconds=1.0))
                    await trio.lowlevel.checkpoint()
                    self.tell(ref, Lane.NORMAL)
            await self.stop(target, StopMode.AFTER_DRAIN)

    async def stop(self, ref, mode):
        """Stop an actor, and check that it is dead afterwards."""
        self.ledger.dismissed.add((parent_of(ref.path), ref.path.rpartition("/")[2]))
        await ref.stop(mode)
        actor = self.ledger.alive.get(ref.path)
        if ref.alive or (actor is not None and actor.ref is ref):
            self.ledger.violation(f"{ref.path}: alive after its stop returned")
        self.ledger.confirmed.add(ref)

    async def send(self, ref, lane, how):
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

    async def ask_something(self, ref, how):
        """Ask one of several requests, with a timeout or without, and sometimes cancel it."""
        random = self.ledger.random
        chance, value = random.random(), next(self.ledger.numbers)
        timeout_s = pick([math.inf, 0.2, 1.0, 5.0], chance)
        if how < 0.1:
            request, timeout_s = NeverAnswer(value), min(timeout_s, 5.0)
        elif how < 0.3:
            request = Relay(value, tuple(random.choices(list(self.ledger.refs), k=random.randint(1, 3))))
        else:
            kind = pick([Echo, Echo, MustFinishEcho], how)
            request = kind(value, pick([0.0, 0.0, 0.1, 1.0], chance), own_task=how > 0.8)
        patience_s = pick([math.inf, math.inf, 0.0, 0.15, 1.0], random.random())
        await self.ask(ref, request, timeout_s, patience_s, fail_fast=how > 0.95)

    async def use_pool(self, act):
        """Give work to the pool, resize it, or kill it."""
        pool, how, who = self.ledger.pool, act.how, act.who
        try:
            if pool.ref is not None and how < 0.1:
                pool.ref.kill()
            elif how < 0.25:
                await pool.resize(1 + int(who * 4))
            elif how < 0.6:
                for _ in range(1 + int(who * 20)):
                    note = self.ledger.new_note(None, Lane.NORMAL)
                    try:
                        pool.tell(note)
                    except (MailboxFull, NoWorkers):
                        self.ledger.refused.add(note.number)
            else:
                request = Echo(next(self.ledger.numbers), pick([0.0, 0.1, 1.0], who))
                await self.ask(pool, request, pick([math.inf, 5.0], how), math.inf)
        except (ActorError, NoWorkers) as error:
            self.ledger.log(error)

    async def ask(self, ref, request, timeout_s, patience_s, *, fail_fast=False):
        """Ask, and check that the ask ends in time and with the right answer."""
        ledger, is_actor = self.ledger, isinstance(ref, ActorRef)
        name = f"{type(request).__name__} to {ref.path if is_actor else 'pool'}"
        began, dead = trio.current_time(), is_actor and not ref.alive
        ledger.open_asks += 1
        try:
            with trio.move_on_after(patience_s):
                answer = await ref.ask(request, timeout_s=timeout_s, fail_fast=fail_fast)
                if answer != getattr(request, "value", answer):
                    ledger.violation(f"{name}: got the answer of another request")
        except ActorError as error:
            ledger.log(f"{name}: {error!r}")
            queued = not isinstance(request, ChildrenRequest) and request not in ledger.taken
            goes_on = isinstance(error, ActorDied) and self.system.find(error.path) is ref
            # One that drains takes no more; one that was told to end for good refuses an ask that would not wait.
            ends = goes_on and (ref._cell.inbox.closed or (fail_fast and ref._cell.incarnation.ending.no_restart))
            if goes_on and queued and not ends:
                ledger.violation(f"{name}: failed in the queue of an actor that goes on")
        finally:
            ledger.open_asks -= 1
            ledger.abandoned[request] = trio.current_time()
        took_s = trio.current_time() - began
        allowed_s = min(timeout_s + max(LATE_S, LATE_SHARE * timeout_s), patience_s + LATE_S)
        if took_s > allowed_s or (dead and took_s > 0):
            ledger.violation(f"{name}: took {took_s:g} s, had {timeout_s:g} s, target {'dead' if dead else 'alive'}")
