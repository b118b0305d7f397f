"""What the runtime keeps about one actor: plain state, without behaviour.

What lasts is set once; what belongs to one incarnation is forgotten by `_reset`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

import trio

from .exits import NORMAL, Exit
from .lifecycle import State
from .mailbox import Mailbox, MailboxSpec

if TYPE_CHECKING:
    from .actor import Actor, ActorTimer, Context
    from .ask import Call
    from .cell import Cell
    from .errors import StartFailed
    from .family import Family
    from .history import Incident
    from .letters import Redelivery
    from .ref import ActorRef, StopMode
    from .spec import ChildSpec
    from .system import ActorSystem
    from .tasks import OwnedTasks
    from .timers import Timer

DEFAULT_MAILBOX = MailboxSpec()
Waiters = list[Callable[[], None]] | None
"""Who is to be called when something happens; None as long as nobody is."""


class Host(Protocol):
    """Who holds a cell: the family of its parent, or the system for the root."""

    owner: Cell | None
    nursery: trio.Nursery

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """An incarnation is over: decide what comes next."""

    def resumed(self, cell: Cell, error: Exception) -> None:
        """The cell goes on after an error."""

    def give_up(self, cell: Cell, reason: Exit) -> None:
        """The cell will have no further incarnation: forget its name and bury it."""


class Place:
    """The state of one actor in the tree."""

    __slots__ = (
        "actor",
        "born",
        "buried",
        "calls",
        "context",
        "control",
        "current",
        "dead_waiters",
        "declined",
        "down_waiters",
        "exit",
        "failures",
        "family",
        "fault",
        "final",
        "grace",
        "grouped",
        "history",
        "host",
        "incarnation",
        "killed",
        "kind",
        "last_error",
        "leaving",
        "mailbox",
        "mode",
        "on_control",
        "pact",
        "path",
        "redelivery",
        "ref",
        "restarts",
        "retry",
        "scope",
        "since",
        "skipping",
        "spec",
        "start_error",
        "start_waiters",
        "state",
        "static",
        "stop_reason",
        "system",
        "task",
        "tasks",
        "timers",
        "up",
        "watchers",
        "watching",
    )  # fmt: skip

    # Lasting
    system: ActorSystem
    host: Host
    spec: ChildSpec
    static: bool
    path: str
    mailbox: Mailbox
    ref: ActorRef
    state: State
    kind: type[Actor]
    incarnation: int
    restarts: int
    failures: int
    """Failures in a row, as the backoff counts them."""
    since: float
    """When the incarnation started, or the wait for the next one began."""
    born: bool
    buried: bool
    grouped: bool
    exit: Exit | None
    last_error: str | None
    history: deque[Incident] | None
    redelivery: Redelivery | None
    calls: dict[Call, None] | None
    watchers: dict[Cell, bool] | None
    """Who watches, and whether they want to hear of restarts."""
    start_waiters: Waiters
    down_waiters: Waiters
    dead_waiters: Waiters
    start_error: StartFailed | None
    retry: Timer | None

    # Of one incarnation
    actor: Actor | None
    context: Context | None
    task: trio.lowlevel.Task | None
    tasks: OwnedTasks | None
    family: Family | None
    scope: trio.CancelScope
    control: deque[Any] | None
    watching: dict[Cell, bool] | None
    """Whom the actor watches, and whether it cannot live without them."""
    timers: dict[Hashable, ActorTimer] | None
    grace: Timer | None
    current: object
    """The message in work, or None."""
    on_control: bool
    """Whether the message in work came before all lanes."""
    pact: ActorRef | None
    """Whose end the actor is hearing of, as long as it has not said that it can live with that."""
    skipping: bool
    """Whether the message in work was cancelled because nobody waits for it any more."""
    fault: Exception | None
    mode: StopMode | None
    stop_reason: Exit
    up: bool
    killed: bool
    declined: bool
    leaving: bool
    final: bool

    def _reset(self) -> None:
        """Forget what belongs to one incarnation."""
        self.actor = self.context = self.task = self.tasks = self.family = None
        self.watching = self.timers = self.grace = None
        self.current = self.pact = self.fault = self.mode = None
        self.scope = trio.CancelScope()
        self.stop_reason = NORMAL
        self.up = self.killed = self.declined = self.leaving = self.final = self.on_control = self.skipping = False
