"""The state of one life of an actor: from the call of its factory to the end of its task.

1. A cell has exactly one incarnation at any time: the one that runs, or the unused one that will start next.
2. Nothing in here outlives the incarnation. What has to, is in the cell.
3. The first failure counts. If a kill came before it, the exit is `Killed` all the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import trio

from .exit_reasons import KILLED, NORMAL, Crashed, Exit
from .lifecycle import StopMode

if TYPE_CHECKING:
    from .actor import Actor, ActorTimer, Context
    from .cell import Cell
    from .children import Children
    from .ref import ActorRef
    from .stash import Stash, StashEntry
    from .tasks import OwnedTasks
    from .timers import Timer
    from .watch import Watch


class Incarnation:
    """One life of the actor in `cell`."""

    __slots__ = (
        "actor", "cancelling_current", "cell", "children", "context", "current", "current_is_control", "declined",
        "failure", "grace_timer", "killed", "killed_before_failure", "no_restart", "scope", "started",
        "stashed_current", "stashes", "stop_mode", "stop_reason", "stopping", "task", "tasks", "timers",
        "vital_watch", "watching",
    )  # fmt: skip

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell
        self.actor: Actor | None = None
        self.context: Context | None = None
        self.task: trio.lowlevel.Task | None = None
        self.tasks: OwnedTasks | None = None
        self.children: Children | None = None
        """The children; None for an actor without `supervision`."""
        self.scope: trio.CancelScope = trio.CancelScope()
        """Around what the actor's own task is doing now. Cancelling it ends the incarnation or the current message."""
        self.watching: dict[Cell, Watch] | None = None
        self.timers: dict[Hashable, ActorTimer] | None = None
        self.stashes: list[Stash] | None = None
        self.grace_timer: Timer | None = None

        self.current: object = None
        """The message being handled, or None."""
        self.current_is_control: bool = False
        """True if the current message was served before all lanes, or is a notice."""
        self.stashed_current: StashEntry | None = None
        """The stash entry of the current message, if the actor has stashed it."""
        self.vital_watch: ActorRef | None = None
        """The actor whose end is being reported, until this actor calls `outlive` for it."""
        self.cancelling_current: bool = False
        """True if the scope was cancelled for the current message only, since its caller left."""

        self.started: bool = False
        """True once the start hook has returned."""
        self.declined: bool = False
        """True if the start hook raised `Ignore`."""
        self.stop_mode: StopMode | None = None
        """How the actor was told to stop; None if it was not."""
        self.stop_reason: Exit = NORMAL
        self.failure: Exception | None = None
        self.killed: bool = False
        self.killed_before_failure: bool = False
        self.stopping: bool = False
        """True once the last message is over; the stop hook comes next."""
        self.no_restart: bool = False
        """True if the actor must not get another incarnation, whatever its restart type says."""

    @property
    def message_type(self) -> str | None:
        """The type name of the current message, or None."""
        return None if self.current is None else type(self.current).__name__

    @property
    def doomed(self) -> bool:
        """Whether this incarnation has ended or certainly will: it was told to stop, was killed, or has failed."""
        return self.stopping or self.killed or self.failure is not None or self.stop_mode is not None

    @property
    def must_stop(self) -> bool:
        """Whether the actor must not take another message."""
        mode = self.stop_mode
        return self.killed or self.failure is not None or mode is StopMode.NOW or mode is StopMode.AFTER_MESSAGE

    def exit_reason(self) -> Exit:
        """The exit of this incarnation, as far as it is known now."""
        if self.failure is not None and not self.killed_before_failure:
            return Crashed(self.failure)
        return KILLED if self.killed else self.stop_reason

    def record_failure(self, error: Exception) -> None:
        """Record the first error of this incarnation. After a kill it is reported, but is not the exit."""
        if self.failure is None:
            self.failure = error
            self.killed_before_failure = self.killed

    def cancel_current(self, request: object) -> None:
        """Cancel the handling of `request` if it is the current message; the actor goes on with the next one."""
        if self.current is request and self.started and not (self.stopping or self.killed):
            self.cancelling_current = True
            self.cell.mailbox.interrupt = True
            self.scope.cancel()

    def renew_scope(self) -> bool:
        """Make a new scope if the old one was cancelled for one message only. Return False if the incarnation ends."""
        if not self.cancelling_current or self.killed or self.failure is not None or self.stop_mode is StopMode.NOW:
            return False
        self.cancelling_current = self.current_is_control = False
        self.current = self.stashed_current = None
        if self.cell.redeliveries is not None:
            self.cell.redeliveries.current = None
        self.scope = trio.CancelScope()
        return True
