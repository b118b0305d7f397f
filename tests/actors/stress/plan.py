"""The plan of a round, as data derived from one seed: a tree, the faults, and the end."""

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import field, frozen

from actors.actor import Actor
from actors.backoff import Backoff
from actors.lanes import Overflow
from actors.mailbox import MailboxSpec
from actors.spec import AutoShutdown, ChildSpec, Directive, Restart, Strategy, Supervision

FAULTS = {
    "crash": 14, "kill": 10, "kill many": 2, "hang": 5, "slow": 4, "quit": 4, "stop": 5, "stop child": 4,
    "start child": 7, "restart child": 4, "forget child": 1, "spawn": 5, "task": 4, "timer": 4, "shut": 6,
    "watch": 10, "unwatch": 2, "flood": 6, "tell": 8, "send": 5, "ask": 18, "pool": 6,
}  # fmt: skip
"""Relative frequencies, chosen so that a round of twenty faults has several restarts with messages in flight."""
PAUSES_S = (0.0, 0.0, 0.0, 0.0, 0.01, 0.1, 0.5, 2.0)
"""Seconds between two faults: mostly zero, so that they overlap."""
ENDS = {"calm": 7, "midst": 2, "cancelled": 1}
"""How often a round ends at rest, is stopped in the midst of the faults, or has the block of its system cancelled."""


@frozen
class Traits:
    """One actor of the tree: its spec, its misbehaviour and its children."""

    options: dict[str, Any]
    """Of its `ChildSpec`."""
    mailbox: MailboxSpec | None = None
    supervision: Supervision | None = None
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
    children: tuple["Traits", ...] = ()
    spec: ChildSpec = field(init=False, repr=False)
    """Makes nothing: see `made_by`."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "spec", self.made_by(Actor))

    def made_by(self, factory: Callable[[], Actor]) -> ChildSpec:
        """Return the spec with this factory."""
        return ChildSpec(factory=factory, **self.options)


@frozen
class Act:
    """One fault: `who` and `how` are chances from 0 to 1; they choose the actor and the details when it happens."""

    fault: str
    who: float
    how: float
    pause_s: float


@frozen
class RoundPlan:
    """A whole round."""

    tree: tuple[Traits, ...]
    worker: Traits | None
    """The workers of a pool beside the tree, if there is one."""
    acts: tuple[Act, ...]
    end: str


def make_plan(seed: int) -> RoundPlan:
    """The plan of the round with this seed; always the same one."""
    random = Random(seed)
    tree = tuple(grow(random, name, 0) for name in "abc"[: random.randint(1, 3)])
    faults = random.choices(list(FAULTS), list(FAULTS.values()), k=random.randint(5, 30))
    acts = tuple(Act(fault, random.random(), random.random(), random.choice(PAUSES_S)) for fault in faults)
    worker = grow(random, "w", 3) if random.random() < 0.3 else None
    return RoundPlan(tree, worker, acts, random.choices(list(ENDS), list(ENDS.values()))[0])


def grow(random: Random, name: str, depth: int) -> Traits:
    """A random actor, with up to four others below it, at most three deep."""
    supervises = depth == 0 or (depth < 3 and random.random() < 0.3)
    count = random.randint(1, 4) if supervises and random.random() < 0.9 else 0
    below = tuple(grow(random, f"{name}{number}", depth + 1) for number in range(count))
    restart = random.choices(list(Restart), [6, 3, 1])[0]
    options = {
        "id": name,
        "restart": restart,
        "backoff": random.choice([None, None, None, Backoff(min_s=0.1, max_s=1.0), Backoff(min_s=1.0, max_s=4.0)]),
        "shutdown_s": random.choice([None, None, None, 0.0, 0.5, 2.0]),
        "start_timeout_s": random.choice([30.0, 1.0]),
        "significant": restart is not Restart.PERMANENT and random.random() < 0.2,
        "redeliver": random.choice([0, 0, 0, 1, 2]),
    }
    if depth and random.random() > 0.8:
        worst = random.choice([Directive.STOP, Directive.ESCALATE])
        options["directives"] = {ValueError: Directive.RESUME, KeyError: worst}
    policies = [Overflow.WAIT, Overflow.REJECT, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]
    return Traits(
        options,
        mailbox=MailboxSpec(random.randint(1, 6), random.choice(policies)) if random.random() > 0.7 else None,
        flaky=random.choice([0.0, 0.0, 0.1, 0.4]) if depth else 0.0,
        declines=random.choice([0.0, 0.0, 0.0, 0.2]) if depth else 0.0,
        sticky=random.choice([0.0, 0.0, 0.0, 0.1]) if depth else 0.0,
        slow_start_s=random.choice([0.0, 0.0, 0.0, 0.3]),
        slow_stop_s=random.choice([0.0, 0.0, 0.0, 0.2, 7.0]),
        broken_stop=random.choice([0.0, 0.0, 0.0, 0.3]),
        supervision=Supervision(
            strategy=random.choice(list(Strategy)),
            intensity=random.choice([0, 1, 3, 3, 100]),
            period_s=random.choice([1.0, 5.0]),
            max_children=random.choice([None, None, count + 1]),
            auto_shutdown=random.choices(list(AutoShutdown), [6, 1, 1])[0],
        )
        if supervises
        else None,
        children=below,
    )
