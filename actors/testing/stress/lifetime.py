"""One incarnation of an actor of a random tree, and the messages whose fate is followed."""

from __future__ import annotations

import math

from attrs import define, field, frozen

from actors.lanes import Lane
from actors.ref import ActorRef
from actors.testing.stress.plan import Traits


@frozen
class TrackedMessage:
    """A message whose fate is followed: it is handled once, becomes one dead letter, or was refused."""

    number: int
    to: ActorRef | None
    """None for any worker of the pool."""
    lane: Lane


@frozen
class Crash:
    """A message that is handled by raising `error`, each time; its fate is followed too."""

    number: int
    error: Exception


@define
class CrashFate:
    """What became of a `Crash`: how often it was handled, resumed from, and lost."""

    tries: int = 0
    letters: int = 0
    redeliver: int = 0


@frozen
class Tick:
    """What a timer brings: to the incarnation that set it, and only if it was not set again."""

    life: Lifetime
    key: str
    generation: int


@define(eq=False)
class Lifetime:
    """One incarnation."""

    traits: Traits
    path: str = ""
    ref: ActorRef | None = None
    incarnation: int = 0
    began: bool = False
    running: bool = False
    busy: bool = False
    """Whether a message is in work."""
    stops: int = 0
    """How often the stop hook began."""
    over: bool = False
    """Whether the stop hook ended."""
    killed_at_s: float = math.inf
    """When it was known, if ever, that it has no time left for its stop hook."""
    ends_as: int = -1
    ended_as: int = -1
    """Numbers that order the beginnings and ends of all stop hooks."""
    tasks: int = 0
    """How many own tasks run."""
    ticks: dict[str, int] = field(factory=dict)
    """The timers in force: key to generation."""
    watched: dict[ActorRef, int] = field(factory=dict)
    """Whom it watches, with the notices it got."""
    urgent: set[ActorRef] = field(factory=set)
    """Of whose ends it wants to hear before all lanes."""
    vital: dict[ActorRef, None] = field(factory=dict)
    """Whom of those it cannot live without."""
    restarts: dict[ActorRef, int] = field(factory=dict)
    """Of whose restarts it wants to hear, with the number of the last that it heard of."""
    since: dict[ActorRef, int] = field(factory=dict)
    """The numbers of their incarnations when it began to want that."""
    restarted_at: list[float] = field(factory=list)
    """When it restarted children, as far as that matters for its intensity."""
    doomed: str = ""
    """Why it must not get another message."""
