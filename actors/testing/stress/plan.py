"""The plan of a round, as data derived from one seed: a tree, the faults, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from random import Random

from attrs import asdict, frozen

from actors.backoff import Backoff
from actors.lanes import Overflow
from actors.mailbox import MailboxSpec
from actors.spec import AutoShutdown, Directive, Restart, Strategy, Supervision


class PlannedFault(Enum):
    """A fault that is injected into an actor, or a request to it."""

    CRASH = "crash"
    KILL = "kill"
    KILL_MANY = "kill many"
    HANG = "hang"
    SLOW = "slow"
    QUIT = "quit"
    STOP = "stop"
    STOP_CHILD = "stop child"
    START_CHILD = "start child"
    RESTART_CHILD = "restart child"
    FORGET_CHILD = "forget child"
    SPAWN = "spawn"
    TASK = "task"
    TIMER = "timer"
    SHUT = "shut"
    WATCH = "watch"
    UNWATCH = "unwatch"
    FLOOD = "flood"
    TELL = "tell"
    SEND = "send"
    ASK = "ask"
    POOL = "pool"


WEIGHTS: Mapping[PlannedFault, int] = {
    PlannedFault.CRASH: 14, PlannedFault.KILL: 10, PlannedFault.KILL_MANY: 2, PlannedFault.HANG: 5,
    PlannedFault.SLOW: 4, PlannedFault.QUIT: 4, PlannedFault.STOP: 5, PlannedFault.STOP_CHILD: 4,
    PlannedFault.START_CHILD: 7, PlannedFault.RESTART_CHILD: 4, PlannedFault.FORGET_CHILD: 1, PlannedFault.SPAWN: 5,
    PlannedFault.TASK: 4, PlannedFault.TIMER: 4, PlannedFault.SHUT: 6, PlannedFault.WATCH: 10,
    PlannedFault.UNWATCH: 2, PlannedFault.FLOOD: 6, PlannedFault.TELL: 8, PlannedFault.SEND: 5, PlannedFault.ASK: 18,
    PlannedFault.POOL: 6,
}  # fmt: skip
"""Relative frequencies, chosen so that a round of twenty faults has several restarts with messages in flight."""
PAUSES_S = (0.0, 0.0, 0.0, 0.0, 0.01, 0.1, 0.5, 2.0)
"""Seconds between two faults: mostly zero, so that they overlap."""


class End(Enum):
    """The end of a round."""

    CALM = "calm"
    """The faults stop, the tree comes to rest, is checked, and is stopped in order."""
    MIDST = "midst"
    """The tree is stopped in order in the middle of the faults."""
    CANCELLED = "cancelled"
    """The block of the system is cancelled in the middle of the faults."""


@frozen
class Traits:
    """One actor of the tree: its supervision, its misbehaviour and its children."""

    id: str
    restart: Restart = Restart.PERMANENT
    backoff: Backoff | None = None
    shutdown_s: float | None = None
    start_timeout_s: float = 30.0
    significant: bool = False
    directives: Mapping[type[Exception], Directive] | None = None
    mailbox: MailboxSpec | None = None
    redeliver: int = 0
    flaky: float = 0.0
    """How likely its start fails."""
    declines: float = 0.0
    """How likely its start hook declines."""
    sticky: float = 0.0
    """How likely its start hook hangs."""
    slow_start_s: float = 0.0
    slow_stop_s: float = 0.0
    broken_stop: float = 0.0
    """How likely its stop hook raises."""
    supervision: Supervision | None = None
    children: tuple[Traits, ...] = ()

    def lines(self, indent: str = "  ") -> Iterator[str]:
        """The actor and all below it, to read: what differs from the defaults."""
        plain = Traits(self.id)
        special = {name: value for name, value in asdict(self, recurse=False).items() if value != getattr(plain, name)}
        special.pop("children", None)
        yield f"{indent}{self.id}: " + ", ".join(f"{name}={value}" for name, value in special.items())
        for child in self.children:
            yield from child.lines(indent + "  ")


@frozen
class Act:
    """One fault: `who` and `how` are chances from 0 to 1; they choose the actor and the details when it happens."""

    fault: PlannedFault
    who: float
    how: float
    pause_s: float


@frozen
class RoundPlan:
    """A whole round."""

    seed: int
    tree: tuple[Traits, ...]
    worker: Traits | None
    """The workers of a pool beside the tree, if there is one."""
    acts: tuple[Act, ...]
    end: End


def make_plan(seed: int) -> RoundPlan:
    """The plan of the round with this seed; always the same one."""
    random = Random(seed)  # noqa: S311 - a plan, not a secret
    tree = tuple(grow(random, f"{name}", 0) for name in "abc"[: random.randint(1, 3)])
    faults = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=random.randint(5, 30))
    acts = tuple(Act(fault, random.random(), random.random(), random.choice(PAUSES_S)) for fault in faults)
    worker = grow(random, "w", 3) if random.random() < 0.3 else None
    return RoundPlan(seed, tree, worker, acts, random.choices(list(End), [7, 2, 1])[0])


def grow(random: Random, name: str, depth: int) -> Traits:
    """A random actor, with up to four others below it, at most three deep."""
    supervises = depth == 0 or (depth < 3 and random.random() < 0.3)
    count = random.randint(1, 4) if supervises and random.random() < 0.9 else 0
    below = tuple(grow(random, f"{name}{number}", depth + 1) for number in range(count))
    restart = random.choices(list(Restart), [6, 3, 1])[0]
    return Traits(
        id=name,
        restart=restart,
        backoff=random.choice([None, None, None, Backoff(min_s=0.1, max_s=1.0), Backoff(min_s=1.0, max_s=4.0)]),
        shutdown_s=random.choice([None, None, None, 0.0, 0.5, 2.0]),
        start_timeout_s=random.choice([30.0, 1.0]),
        significant=restart is not Restart.PERMANENT and random.random() < 0.2,
        directives=_directives(random) if depth else None,
        mailbox=_mailbox(random),
        redeliver=random.choice([0, 0, 0, 1, 2]),
        flaky=random.choice([0.0, 0.0, 0.1, 0.4]) if depth else 0.0,
        declines=random.choice([0.0, 0.0, 0.0, 0.2]) if depth else 0.0,
        sticky=random.choice([0.0, 0.0, 0.0, 0.1]) if depth else 0.0,
        slow_start_s=random.choice([0.0, 0.0, 0.0, 0.3]),
        slow_stop_s=random.choice([0.0, 0.0, 0.0, 0.2, 7.0]),
        broken_stop=random.choice([0.0, 0.0, 0.0, 0.3]),
        supervision=_supervision(random, count) if supervises else None,
        children=below,
    )


def _supervision(random: Random, children: int) -> Supervision:
    return Supervision(
        strategy=random.choice(list(Strategy)),
        intensity=random.choice([0, 1, 3, 3, 100]),
        period_s=random.choice([1.0, 5.0]),
        max_children=random.choice([None, None, children + 1]),
        auto_shutdown=random.choices(list(AutoShutdown), [6, 1, 1])[0],
    )


def _directives(random: Random) -> Mapping[type[Exception], Directive] | None:
    if random.random() < 0.8:
        return None
    return {ValueError: Directive.RESUME, KeyError: random.choice([Directive.STOP, Directive.ESCALATE])}


def _mailbox(random: Random) -> MailboxSpec | None:
    if random.random() < 0.7:
        return None
    policies = [Overflow.WAIT, Overflow.REJECT, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]
    return MailboxSpec(random.randint(1, 6), random.choice(policies))
