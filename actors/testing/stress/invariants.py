"""Invariants checked after the faults: of a tree at rest, of a group restart, and of an ended system."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import trio

from actors.errors import ActorError
from actors.lifecycle import State
from actors.ref import ActorRef
from actors.spec import Restart, Strategy
from actors.system import ActorSystem
from actors.testing.paths import below
from actors.testing.stress.commands import Echo
from actors.testing.stress.lifetime import Lifetime
from actors.testing.stress.random_actor import RandomActor
from actors.testing.stress.trace import RoundTrace, parent_of

if TYPE_CHECKING:
    from actors.cell import Cell

REST_S = 600.0
"""Virtual time after which a tree is at rest: longer than every backoff, grace and timeout of a round together."""


async def check_rest(system: ActorSystem, ledger: RoundTrace) -> None:
    """Check a tree at rest: it has the expected actors, its tables are empty, and all actors answer."""
    everybody = below(system.root)
    refs = [ref for ref in everybody if ref._cell.kind is RandomActor]
    if len(system.timers):
        ledger.violation(f"{len(system.timers)} timers are left")
    if ledger.begun_asks != ledger.ended_asks:
        ledger.violation(f"{ledger.begun_asks - ledger.ended_asks} asks did not end")
    if {ref.path for ref in refs} != set(ledger.alive):
        ledger.violation(f"tree {sorted(ref.path for ref in refs)} is not what lives: {sorted(ledger.alive)}")
    check_fates(ledger)
    for ref in everybody:
        check_tables(ref._cell, ledger)
    for life in ledger.alive.values():
        check_watches(life, ledger)
        check_children(system, life, ledger)
    if ledger.known:
        check_stream(everybody, ledger)
    check_pool(ledger)
    for number, ref in enumerate(refs):
        began = trio.current_time()
        try:
            if await ref.ask(Echo(number), timeout_s=60.0) != number or trio.current_time() > began:
                ledger.violation(f"{ref.path} answered wrong or late")
        except ActorError as error:
            ledger.violation(f"{ref.path} does not answer: {error!r}")


def check_pool(ledger: RoundTrace) -> None:
    """Check that the `PoolRef` has the live workers, and that none has an unanswered ask."""
    pool = ledger.pool.ref
    children = [] if pool is None else pool.children()
    if {*ledger.pool.workers} != {*children}:
        ledger.violation(f"the pool shows {ledger.pool.workers}, its children are {children}")
    for worker in ledger.pool.statistics().workers:
        if worker.unanswered or not worker.running:
            ledger.violation(f"a worker of the pool at rest: {worker}")


def check_stream(everybody: list[ActorRef], ledger: RoundTrace) -> None:
    """Check that the stream of changes led to the present tree."""
    streamed = {path for path, state in ledger.known.items() if state is State.RUNNING and path.count("/") > 1}
    if streamed != {ref.path for ref in everybody}:
        ledger.violation(f"the stream of changes says {sorted(streamed)}, alive are {sorted(ledger.alive)}")


def check_fates(ledger: RoundTrace) -> None:
    """Check that each note was handled once, became one dead letter, or was refused."""
    for number, times in enumerate(ledger.fates):
        wanted = 0 if number in ledger.refused else 1
        if times != wanted:
            ledger.violation(f"note {number} came to {times} ends, not {wanted}")
    for number, fuse in enumerate(ledger.crash_fates):
        if not fuse.tries and fuse.letters != 1:
            ledger.violation(f"crash {number} was never handled, and lost {fuse.letters} times")
        if fuse.letters > 1:
            ledger.violation(f"crash {number} was lost {fuse.letters} times")


def check_tables(cell: Cell, ledger: RoundTrace) -> None:
    """Check that a live actor at rest has no call, timer or control message, and only live watchers."""
    if cell.state is not State.RUNNING:
        ledger.violation(f"{cell.path} is {cell.state.value}")
    if cell.incarnation.timers:
        ledger.violation(f"{cell.path}: timers holds {cell.incarnation.timers!r}")
    for name in ("calls", "control", "start_waiters", "down_waiters", "dead_waiters"):
        if getattr(cell, name):
            ledger.violation(f"{cell.path}: {name} holds {getattr(cell, name)!r}")
    if cell.redeliveries or any(len(stash) for stash in cell.incarnation.stashes or ()):
        ledger.violation(f"{cell.path}: something is set aside")
    if cell.mailbox.has_messages():
        ledger.violation(f"{cell.path}: {cell.mailbox.depths()} messages wait")
    for watcher in cell.watchers or ():
        if watcher.buried or cell not in (watcher.incarnation.watching or ()):
            ledger.violation(f"{cell.path}: still watched by {watcher.path}")
    for target in cell.incarnation.watching or ():
        if target.buried or cell not in (target.watchers or ()):
            ledger.violation(f"{cell.path}: still watches {target.path}")


def check_watches(life: Lifetime, ledger: RoundTrace) -> None:
    """Check that a watcher got one notice of each dead target, and none of the others."""
    for ref, notices in life.watched.items():
        if notices != (0 if ref.alive else 1):
            ledger.violation(f"{life.path}: {notices} notices of {ref!r}")
    for ref, heard in life.restarts.items():
        if ref.alive and max(heard, life.since[ref]) != ref._cell.incarnations:
            ledger.violation(f"{life.path}: heard of incarnation {heard} of {ref!r}, it is in {ref._cell.incarnations}")


def check_children(system: ActorSystem, life: Lifetime, ledger: RoundTrace) -> None:
    """The permanent children of a supervisor run, but for those that were stopped for good or may decline."""
    for traits in life.traits.children:
        path = f"{life.path}/{traits.id}"
        excused = traits.restart is not Restart.PERMANENT or traits.declines or traits.directives is not None
        if not excused and (life.path, traits.id) not in ledger.dismissed and system.find(path) is None:
            ledger.violation(f"{path} is gone")


async def check_group(ledger: RoundTrace) -> None:
    """Kill one child of one supervisor, and see that exactly those of its strategy were replaced, in order."""
    bosses = [life for life in ledger.alive.values() if life.traits.supervision and life.traits.supervision.intensity]
    bosses = [life for life in bosses if ledger.alive_below[life.path]]
    if not bosses:
        return
    boss = ledger.random.choice(bosses)
    supervision = boss.traits.supervision
    before = [ledger.alive[child.path] for child in boss.ref.children()] if boss.ref is not None else []
    victim = ledger.random.choice(before)
    ledger.log(f"--- the victim is {victim.path}")
    if victim.ref is None or supervision is None or victim.traits.significant:
        return
    mark = len(ledger.lives)
    victim.ref.kill()
    await trio.sleep(REST_S)
    first = before.index(victim)
    group = {Strategy.ONE_FOR_ONE: before[first : first + 1], Strategy.ONE_FOR_ALL: before}.get(
        supervision.strategy, before[first:]
    )
    if victim.traits.restart is Restart.TEMPORARY:
        group = [victim]
    expected = [life.path for life in group if life.traits.restart is not Restart.TEMPORARY]
    _compare(ledger, boss, "started", [life.path for life in ledger.lives[mark:]], expected)
    stopped = [life for life in before if life.over]
    stopped.sort(key=lambda life: life.ended_as)
    reverse = [victim, *(life for life in reversed(group) if life is not victim)]
    _compare(ledger, boss, "stopped", [life.path for life in stopped], [life.path for life in reverse])
    for life in group:
        if life.traits.restart is not Restart.TEMPORARY and (life.ref is None or not life.ref.alive):
            ledger.violation(f"{life.path} did not come back")


def _compare(ledger: RoundTrace, boss: Lifetime, verb: str, seen: list[str], expected: list[str]) -> None:
    mine = [path for path in seen if parent_of(path) == boss.path]
    if mine != expected:
        ledger.violation(f"{boss.path} {verb} {mine}, not {expected}")


def check_stop_order(ledger: RoundTrace, families: list[tuple[Lifetime, list[Lifetime]]]) -> None:
    """Of a system that was stopped at rest: children ended in reverse, each before the one above it began to."""
    for parent, children in families:
        order = [*children[::-1], parent]
        for earlier, later in pairwise(order):
            if not earlier.ended_as < later.ends_as:
                ledger.violation(f"{later.path} began to stop before {earlier.path} had ended")


def families(ledger: RoundTrace, top: ActorRef) -> list[tuple[Lifetime, list[Lifetime]]]:
    """Each live parent with its live children in start order; without those killed at once, as their grace is zero."""
    found: list[tuple[Lifetime, list[Lifetime]]] = []
    for ref in top.children():
        life = ledger.alive.get(ref.path)
        if life is not None and life.traits.shutdown_s != 0:
            children = [ledger.alive.get(child.path) for child in ref.children()]
            found.append((life, [child for child in children if child is not None]))
            found += families(ledger, ref)
    return found


TABLES = (
    "again", "calls", "control", "down_waiters", "family", "grace", "redelivery", "retry", "start_waiters", "stashes",
    "tasks", "timers", "watchers", "watching",
)  # fmt: skip
"""What a dead actor must not hold any more."""


def check_end(ledger: RoundTrace) -> None:
    """Nobody is left, each incarnation ran its stop hook once, and no table holds anything."""
    if ledger.alive:
        ledger.violation(f"still alive: {sorted(ledger.alive)}")
    if ledger.begun_asks != ledger.ended_asks:
        ledger.violation(f"{ledger.begun_asks - ledger.ended_asks} asks did not end")
    check_fates(ledger)
    for life in ledger.lives:
        if life.stops != 1 or not life.over:
            ledger.violation(f"{life.path or life.traits.id} #{life.incarnation}: {life.stops} stop hooks")
    for ref in ledger.refs:
        cell = ref._cell
        for name in TABLES:
            if getattr(cell, name, None):
                ledger.violation(f"{cell.path}: {name} is left")
        if ref.alive:
            ledger.violation(f"{ref.path} says it is alive")
