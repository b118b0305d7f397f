"""One round: a random tree, random faults, and then everything that must hold."""

from __future__ import annotations

from collections.abc import Iterator

import trio
from attrs import define, field

from actors.behaviours.pool import Pool
from actors.errors import StartFailed, SystemFailed
from actors.spec import ChildSpec
from actors.system import ActorSystem
from actors.testing.simulation import Trace, simulate
from actors.testing.stress.fault_injection import FaultInjector
from actors.testing.stress.invariants import (
    REST_S,
    check_end,
    check_group,
    check_rest,
    check_stop_order,
    check_watches,
    families,
)
from actors.testing.stress.plan import End, RoundPlan, make_plan
from actors.testing.stress.random_actor import spec_of
from actors.testing.stress.trace import RoundTrace
from actors.tree import TreeNode

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

    plan: RoundPlan
    faults: list[str] = field(factory=list)
    story: list[tuple[float, object]] = field(factory=list)
    incarnations: int = 0

    def lines(self) -> Iterator[str]:
        """The whole round, to read."""
        yield f"seed {self.plan.seed}, ends: {self.plan.end.value}"
        for traits in (*self.plan.tree, *([self.plan.worker] if self.plan.worker else [])):
            yield from traits.lines()
        for at_s, what in self.story:
            yield f"{at_s:10.3f}  {what}"
        yield from (f"FAULT {fault}" for fault in self.faults or ["none"])


def play(seed: int, trace: Trace | None = None) -> Report:
    """Play the round with this seed in a simulation of its own; always the same round."""
    report = Report(make_plan(seed))
    try:
        simulate(_play, report, seed=seed, limit_s=LIMIT_S, stuck_turns=STUCK_TURNS, trace=trace)
    except Exception as error:
        report.faults.append(f"raised {error!r}")
    return report


async def _play(report: Report) -> None:
    plan = report.plan
    ledger = RoundTrace(plan.seed)
    report.faults, report.story = ledger.faults, ledger.log_lines
    system = ActorSystem("s", intensity=100_000, on_event=ledger.record_event)
    try:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery, system:
                system.dead_letters.subscribe(ledger.dead_letter)
                if plan.seed % FOLLOW_EVERY == 0:
                    nursery.start_soon(_follow, system, ledger)
                mischief = FaultInjector(system, ledger, nursery)
                await _do_all(plan, mischief)
                if plan.end is End.CANCELLED:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                if plan.end is End.CALM:
                    await _rest(system, mischief)
    except SystemFailed:
        if plan.end is not End.CANCELLED:
            raise
    check_end(ledger)
    report.incarnations = len(ledger.lives)


async def _follow(system: ActorSystem, ledger: RoundTrace) -> None:
    """Build the tree from the stream of its changes."""
    async with system.changes(capacity=16) as stream:
        async for item in stream:
            if isinstance(item, TreeNode):
                ledger.known = {node.path: node.state for node in item.walk()}
            elif item.gone:
                ledger.known.pop(item.path, None)
            else:
                ledger.known[item.path] = item.state


async def _do_all(plan: RoundPlan, mischief: FaultInjector) -> None:
    ledger = mischief.ledger
    specs = [spec_of(traits, ledger) for traits in plan.tree]
    if plan.worker is not None:
        worker = spec_of(plan.worker, ledger)
        specs.append(ChildSpec("pool", lambda: Pool(ledger.pool, worker, POOL_SIZE)))
    for spec in specs:
        try:
            await mischief.system.spawn(spec)
        except StartFailed as error:
            ledger.log(error)
    for act in plan.acts:
        mischief.do(act)
        if act.pause_s:
            await trio.sleep(act.pause_s)
        else:
            await trio.lowlevel.checkpoint()


async def _rest(system: ActorSystem, mischief: FaultInjector) -> None:
    """Let the tree come to rest, look at it, disturb it once more, and stop it."""
    ledger = mischief.ledger
    ledger.stop_faults()
    await trio.sleep(REST_S)
    await check_rest(system, ledger)
    mischief.call_off_pacts()
    await trio.sleep(REST_S)
    await mischief.stop_a_watched_one()
    await trio.sleep(REST_S)
    for life in ledger.alive.values():
        check_watches(life, ledger)
    await check_group(ledger)
    last = families(ledger, system.root)
    await system.stop()
    check_stop_order(ledger, last)
