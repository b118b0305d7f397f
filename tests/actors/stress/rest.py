"""What must hold after the faults: of a tree at rest, of a group restart, and of an ended system."""

from itertools import pairwise

import trio

from actors.errors import ActorError
from actors.lifecycle import State
from actors.spec import Restart, Strategy
from actors.testing.paths import below
from tests.actors.stress.ledger import parent_of
from tests.actors.stress.random_actor import Echo, RandomActor
from tests.actors.troupe import held

REST_S = 600.0
"""Virtual time after which a tree is at rest: longer than every backoff, grace and timeout of a round together."""


async def check_rest(system, ledger):
    """Check a tree at rest: it has the expected actors, its tables are empty, and all actors answer."""
    everybody = below(system.root)
    refs = [ref for ref in everybody if ref._cell.kind is RandomActor]
    if len(system.timers):
        ledger.violation(f"{len(system.timers)} timers are left")
    if {ref.path for ref in refs} != set(ledger.alive):
        ledger.violation(f"tree {sorted(ref.path for ref in refs)} is not what lives: {sorted(ledger.alive)}")
    check_fates(ledger)
    for ref in everybody:
        check_tables(ref._cell, ledger)
    check_watches(ledger)
    for actor in ledger.alive.values():
        for traits in actor.traits.children:
            spec, path = traits.spec, f"{actor.path}/{traits.spec.id}"
            excused = spec.restart is not Restart.PERMANENT or traits.declines or spec.directives is not None
            if not excused and (actor.path, spec.id) not in ledger.dismissed and system.find(path) is None:
                ledger.violation(f"{path} is gone")
    if ledger.known:
        streamed = {path for path, state in ledger.known.items() if state is State.RUNNING and path.count("/") > 1}
        if streamed != {ref.path for ref in everybody}:
            ledger.violation(f"the stream of changes says {sorted(streamed)}, alive are {sorted(ledger.alive)}")
    check_pool(ledger.pool, ledger)
    for number, ref in enumerate(refs):
        began = trio.current_time()
        try:
            if await ref.ask(Echo(number), timeout_s=60.0) != number or trio.current_time() > began:
                ledger.violation(f"{ref.path} answered wrong or late")
        except ActorError as error:
            ledger.violation(f"{ref.path} does not answer: {error!r}")


def check_pool(pool, ledger):
    """Check that the `PoolRef` has the live workers, and that none has an unanswered ask."""
    children = [] if pool.ref is None else pool.ref.children()
    if {*pool.workers} != {*children}:
        ledger.violation(f"the pool shows {pool.workers}, its children are {children}")
    for worker in pool.statistics().workers:
        if worker.unanswered or not worker.running:
            ledger.violation(f"a worker of the pool at rest: {worker}")


def check_fates(ledger):
    """Check that every ask ended, and that each note was handled once, became one dead letter, or was refused."""
    if ledger.open_asks:
        ledger.violation(f"{ledger.open_asks} asks did not end")
    for number, times in enumerate(ledger.fates):
        wanted = 0 if number in ledger.refused else 1
        if times != wanted:
            ledger.violation(f"note {number} came to {times} ends, not {wanted}")
    for number, fate in enumerate(ledger.crash_fates):
        if fate.letters > 1 or not (fate.tries or fate.letters):
            ledger.violation(f"crash {number} was handled {fate.tries} times and lost {fate.letters} times")


def check_tables(cell, ledger):
    """Check that a live actor at rest has no call, timer or control message, and only live watchers."""
    if cell.state is not State.RUNNING:
        ledger.violation(f"{cell.path} is {cell.state.value}")
    if cell.incarnation.timers:
        ledger.violation(f"{cell.path}: timers holds {cell.incarnation.timers!r}")
    for name, table in (("calls", cell.inbox.calls), ("control", cell.inbox.control), ("waiting", cell.waiting)):
        if table:
            ledger.violation(f"{cell.path}: {name} holds {table!r}")
    if cell.inbox.redeliveries or any(len(stash) for stash in cell.inbox.stashes or ()):
        ledger.violation(f"{cell.path}: something is set aside")
    if cell.inbox.has_messages():
        ledger.violation(f"{cell.path}: {cell.inbox.depths()} messages wait")
    for watcher in cell.watchers or ():
        if watcher.buried or cell not in (watcher.incarnation.watching or ()):
            ledger.violation(f"{cell.path}: still watched by {watcher.path}")
    for target in cell.incarnation.watching or ():
        if target.buried or cell not in (target.watchers or ()):
            ledger.violation(f"{cell.path}: still watches {target.path}")


def check_watches(ledger):
    """Check that each watcher got one notice of each dead target, none of the others, and the last of the restarts."""
    for actor in ledger.alive.values():
        for ref, notices in actor.watched.items():
            if notices != (0 if ref.alive else 1):
                ledger.violation(f"{actor.path}: {notices} notices of {ref!r}")
        for ref, heard in actor.restarts.items():
            present = ref._cell.history.incarnations
            if ref.alive and max(heard, actor.since[ref]) != present:
                ledger.violation(f"{actor.path}: heard of incarnation {heard} of {ref!r}, it is in {present}")


async def check_group(ledger):
    """Kill one child of one supervisor, and see that exactly those of its strategy were replaced, in order."""
    bosses = [actor for actor in ledger.alive.values() if actor.supervision and actor.supervision.intensity]
    bosses = [actor for actor in bosses if ledger.alive_below[actor.path]]
    if not bosses:
        return
    boss = ledger.random.choice(bosses)
    before = [ledger.alive[child.path] for child in boss.ref.children()]
    victim = ledger.random.choice(before)
    ledger.log(f"--- the victim is {victim.path}")
    if victim.traits.spec.significant:
        return
    mark = len(ledger.actors)
    victim.ref.kill()
    await trio.sleep(REST_S)
    first = before.index(victim)
    group = {Strategy.ONE_FOR_ONE: [victim], Strategy.ONE_FOR_ALL: before}.get(
        boss.supervision.strategy, before[first:]
    )
    if victim.traits.spec.restart is Restart.TEMPORARY:
        group = [victim]
    back = [actor for actor in group if actor.traits.spec.restart is not Restart.TEMPORARY]
    stopped = sorted((actor for actor in before if actor.over), key=lambda actor: actor.ended_as)
    reverse = [victim, *(actor for actor in reversed(group) if actor is not victim)]
    for verb, started, expected in (("started", ledger.actors[mark:], back), ("stopped", stopped, reverse)):
        paths, wanted = [actor.path for actor in started], [actor.path for actor in expected]
        if (mine := [path for path in paths if parent_of(path) == boss.path]) != wanted:
            ledger.violation(f"{boss.path} {verb} {mine}, not {wanted}")
    for actor in back:
        if not actor.ref.alive:
            ledger.violation(f"{actor.path} did not come back")


def families(ledger, top):
    """Each live parent with its live children in start order; without those killed at once, as their grace is zero."""
    for ref in top.children():
        actor = ledger.alive.get(ref.path)
        if actor is not None and actor.traits.spec.shutdown_s != 0:
            children = [ledger.alive.get(child.path) for child in ref.children()]
            yield actor, [child for child in children if child is not None]
            yield from families(ledger, ref)


def check_stop_order(ledger, families):
    """Of a system that was stopped at rest: children ended in reverse, each before the one above it began to."""
    for parent, children in families:
        for earlier, later in pairwise([*children[::-1], parent]):
            if not earlier.ended_as < later.ends_as:
                ledger.violation(f"{later.path} began to stop before {earlier.path} had ended")


def check_end(ledger):
    """Nobody is left, each incarnation ran its stop hook once, and no table holds anything."""
    if ledger.alive:
        ledger.violation(f"still alive: {sorted(ledger.alive)}")
    check_fates(ledger)
    for actor in ledger.actors:
        if actor.stops != 1 or not actor.over:
            ledger.violation(f"{actor.path or actor.traits.spec.id} #{actor.incarnation}: {actor.stops} stop hooks")
    for ref in ledger.refs:
        for name in held(ref):
            ledger.violation(f"{ref.path}: {name} is left")
        if ref._cell.waiting:
            ledger.violation(f"{ref.path}: somebody still waits for a moment in its life")
        if ref.alive:
            ledger.violation(f"{ref.path} says it is alive")
