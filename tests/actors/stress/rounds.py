"""One round: a random tree, random faults, and then everything that must hold."""

import trio
from attrs import define, field

from actors.behaviours.pool import Pool
from actors.errors import StartFailed, SystemFailed
from actors.spec import ChildSpec
from actors.system import ActorSystem
from actors.testing.simulation import Trace, simulate
from actors.tree import TreeNode
from tests.actors.stress.injector import FaultInjector
from tests.actors.stress.ledger import Ledger
from tests.actors.stress.plan import RoundPlan, make_plan
from tests.actors.stress.rest import (
    REST_S,
    check_end,
    check_group,
    check_rest,
    check_stop_order,
    check_watches,
    families,
)

LIMIT_S = 100_000.0
"""Virtual seconds a round may take; it needs about two thousand."""
POOL_SIZE = 3
FOLLOW_EVERY = 4
"""The stream of changes is followed in one round of this many."""
STUCK_TURNS = 20_000
"""Turns of trio's loop in one instant after which a round counts as stuck; it needs a few hundred."""


@define
class Report:
    """How a round went: the rules that were broken, and when what happened."""

    seed: int
    plan: RoundPlan
    faults: list[str] = field(factory=list)
    story: list[tuple[float, object]] = field(factory=list)
    incarnations: int = 0


def play(seed: int, trace: Trace | None = None) -> Report:
    """Play the round with this seed in a simulation of its own; always the same round."""
    report = Report(seed, make_plan(seed))
    try:
        simulate(_play, report, seed=seed, limit_s=LIMIT_S, stuck_turns=STUCK_TURNS, trace=trace)
    except Exception as error:
        report.faults.append(f"raised {error!r}")
    return report


def faults_of(seed: int) -> tuple[int, list[str], int]:
    """Play one round. Return its seed, the faults found, and the number of incarnations."""
    report = play(seed)
    return seed, report.faults, report.incarnations


async def _play(report):
    plan, ledger = report.plan, Ledger(report.seed)
    report.faults, report.story = ledger.faults, ledger.story
    system = ActorSystem("s", intensity=100_000, on_event=ledger.record_event)
    try:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery, system:
                system.dead_letters.subscribe(ledger.dead_letter)
                if report.seed % FOLLOW_EVERY == 0:
                    nursery.start_soon(_follow, system, ledger)
                injector = FaultInjector(system, ledger, nursery)
                await _do_all(plan, injector)
                if plan.end == "cancelled":
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                if plan.end == "calm":
                    await _rest(injector)
    except SystemFailed:
        if plan.end != "cancelled":
            raise
    check_end(ledger)
    report.incarnations = len(ledger.actors)


async def _follow(system, ledger):
    """Build the tree from the stream of its changes."""
    async with system.changes(capacity=16) as stream:
        async for item in stream:
            if isinstance(item, TreeNode):
                ledger.known = {node.path: node.state for node in item.walk()}
            elif item.gone:
                ledger.known.pop(item.path, None)
            else:
                ledger.known[item.path] = item.state


async def _do_all(plan, injector):
    ledger = injector.ledger
    specs = [ledger.spec_of(traits) for traits in plan.tree]
    if plan.worker is not None:
        worker = ledger.spec_of(plan.worker)
        specs.append(ChildSpec("pool", lambda: Pool(ledger.pool, worker, POOL_SIZE)))
    for spec in specs:
        try:
            await injector.system.spawn(spec)
        except StartFailed as error:
            ledger.log(error)
    for act in plan.acts:
        injector.do(act)
        if act.pause_s:
            await trio.sleep(act.pause_s)
        else:
            await trio.lowlevel.checkpoint()


async def _rest(injector):
    """Let the tree come to rest, look at it, disturb it once more, and stop it."""
    system, ledger = injector.system, injector.ledger
    ledger.stop_faults()
    await trio.sleep(REST_S)
    await check_rest(system, ledger)
    injector.call_off_pacts()
    await trio.sleep(REST_S)
    await injector.stop_a_watched_one()
    await trio.sleep(REST_S)
    check_watches(ledger)
    await check_group(ledger)
    last = list(families(ledger, system.root))
    await system.stop()
    check_stop_order(ledger, last)
