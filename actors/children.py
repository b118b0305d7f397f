"""The children of one incarnation of a supervising actor, and what is done when one of them ends.

1. Decisions are synchronous and taken in the last step of the child that ended: a parent busy with a message, or with
   another child, delays no restart.
2. Only a group restart takes time. One task does all of them, one after the other.
3. Once `closing`, nothing is restarted.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import trio

from . import termination
from .ask import Ask, StartWait
from .crash_reports import crash_report
from .errors import (
    ActorDied,
    AlreadyStarted,
    Escalated,
    IntensityExceeded,
    InvalidSpec,
    NotSupervising,
    StartDeclined,
    TooManyChildren,
)
from .events import ActorRestarting
from .exit_reasons import SHUTDOWN, Crashed, Exit
from .incidents import note_incident
from .intensity import Intensity
from .lifecycle import State, StopMode
from .reaper import AT_ONCE
from .ref import ActorRef
from .spec import AutoShutdown, ChildSpec, Restart, Strategy, Supervision
from .strategy import Decision, affected, decide, shuts_down

if TYPE_CHECKING:
    from .cell import Cell

T = TypeVar("T")


class FamilyRequest(Ask[T]):
    """A request to a supervising actor about its children: served by the runtime, before all lanes."""

    __slots__ = ()
    _control = True

    def carry_out(self, cell: Cell) -> None:
        """Answer for the actor in `cell`."""
        if cell.family is None:
            self.fail(NotSupervising(cell.path))
            return
        try:
            self.act(cell.family)
        except Exception as error:
            self.fail(error)

    def act(self, family: Family) -> None:
        """Do what is asked."""


async def _until_started(cell: Cell) -> None:
    started = trio.Event()
    cell.when_started(started.set)
    trio.lowlevel.current_task().custom_sleep_data = StartWait(cell, serves=False)
    await started.wait()


class Family:
    """The children of one incarnation, by id, in start order. The dead among them are specs that may start again."""

    def __init__(self, owner: Cell, supervision: Supervision, nursery: trio.Nursery) -> None:
        self.owner: Cell | None = owner
        self._owner = owner
        self.supervision = supervision
        self.nursery = nursery
        self.children: dict[str, Cell] = {}
        self.closing: bool = False
        self._intensity = Intensity(supervision.intensity, supervision.period_s)
        self._intensities: dict[Cell, Intensity] = {}
        self._offenders: list[Cell] = []
        self._regrouping: trio.CancelScope | None = None
        self._delay_s = 0.0
        self._offender: str | None = None
        self._alive = 0

    @property
    def owner_path(self) -> str:
        """The path of the supervising actor."""
        return self._owner.path

    def living(self) -> list[Cell]:
        """The children that are not buried."""
        return [cell for cell in self.children.values() if not cell.buried]

    # Starting

    async def spawn(self, spec: ChildSpec, *, static: bool = False) -> ActorRef:
        """Start a child and wait until it runs; raises what `Context.spawn` raises."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while (going := self.given_up(spec)) is not None:
            await going.wait_dead()
        cell = self.admit(spec, static=static)
        if cell.up:
            await self._owner.system.yield_now_and_then()
            return cell.ref
        try:
            await (self._serve_until_started(cell) if static else _until_started(cell))
        except trio.Cancelled:
            termination.order_stop(cell, StopMode.NOW)
            raise
        if cell.start_error is not None:
            raise cell.start_error from cell.start_error.cause
        return cell.ref

    async def _serve_until_started(self, cell: Cell) -> None:
        """Wait for the start of a child in the owner's own task, and serve requests about children meanwhile.

        The child may be among those who ask. Messages, timers and notices wait until the owner has started.
        """
        owner, mailbox, over = self._owner, self._owner.mailbox, False

        def note() -> None:
            nonlocal over
            over = True
            mailbox.wake()

        cell.when_started(note)
        task = trio.lowlevel.current_task()
        while not over:
            waiting = owner.control or ()
            requests = [item for item in waiting if isinstance(item, FamilyRequest)]
            if requests:
                owner.control = deque(item for item in waiting if not isinstance(item, FamilyRequest)) or None
            for request in requests:
                request.carry_out(owner)
            if not over:
                mailbox.parked = task
                task.custom_sleep_data = StartWait(cell, serves=True)
                await trio.lowlevel.wait_task_rescheduled(mailbox.unpark)

    async def start_static(self, spec: ChildSpec) -> None:
        """Start a child that belongs to the supervisor's own spec; one that declines is kept, not running."""
        try:
            await self.spawn(spec, static=True)
        except StartDeclined:
            return

    def given_up(self, spec: object) -> Cell | None:
        """Return the child of this id whose start was called off and is not over yet; else None.

        It will never run, so whoever wants that child waits for its end, and does not hear that the id is taken.
        """
        known = self.children.get(spec.id) if isinstance(spec, ChildSpec) else None
        if known is None or known.buried or known.born or not known.final:
            return None
        return known

    def admit(self, spec: ChildSpec, *, static: bool = False) -> Cell:
        """Give the child its place and begin to start it."""
        if not isinstance(spec, ChildSpec):
            raise InvalidSpec("spec", f"must be a ChildSpec, not {type(spec).__name__}")
        if self.closing:
            raise ActorDied(self._owner.path, self._owner.verdict())
        known = self.children.get(spec.id)
        if known is not None and not known.buried:
            raise AlreadyStarted(known.ref)
        bound = self.supervision.max_children
        if bound is not None and self._alive >= bound:
            raise TooManyChildren(self._owner.path, bound)
        cell = type(self._owner)(self._owner.system, self, spec, static=static or (known is not None and known.static))
        self.children[spec.id] = cell
        self._alive += 1
        cell.begin()
        return cell

    # Ending

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """An incarnation is over: restart the child, a group, nobody, or fail upward."""
        if not cell.born and (cell.final or not cell.grouped):
            self.give_up(cell, reason)
        elif cell.final or self.closing or trio.current_effective_deadline() == -math.inf:
            self._report(cell, reason, Decision.STOP)
            self.give_up(cell, reason)
        elif cell.grouped:
            self._report(cell, reason, Decision.RESTART, because_of=self._offender)
        else:
            self._decide(cell, reason)

    def _decide(self, cell: Cell, reason: Exit) -> None:
        decision = Decision.STOP if cell.declined else decide(cell.spec, reason)
        error: Exception = Escalated(self._owner.path, cell.path)
        if decision is Decision.RESTART and not self._tolerates(cell):
            decision = Decision.ESCALATE
            error = IntensityExceeded(self._owner.path, cell.path, self._intensity.limit, self._intensity.period_s)
        if decision is Decision.RESTART:
            delay_s = cell.next_delay()
            self._report(cell, reason, Decision.BACK_OFF if delay_s else decision, delay_s)
            self._replace(cell, delay_s)
            return
        self._report(cell, reason, decision)
        if decision is Decision.ESCALATE:
            if isinstance(reason, Crashed):
                error.__cause__ = reason.error
            self.give_up(cell, reason)
            self._restart_nobody()
            termination.fail(self._owner, error)
        else:
            self.give_up(cell, reason)
            self._shut_down_after(cell)

    def _tolerates(self, cell: Cell) -> bool:
        """Count one restart of a child; whether it is not one too many."""
        intensity = self._intensity
        if self.supervision.per_child:
            known = self._intensities.get(cell)
            intensity = known or self._intensities.setdefault(cell, Intensity(intensity.limit, intensity.period_s))
        return intensity.record(self._owner.system.timers.now())

    def give_up(self, cell: Cell, reason: Exit) -> None:
        """Free the child's name, unless it belongs to the supervisor's own spec, and bury it."""
        keep = cell.static and cell.spec.restart is not Restart.TEMPORARY
        if not keep and self.children.get(cell.spec.id) is cell:
            del self.children[cell.spec.id]
            cell.spec = cell.spec.without_factory()  # references to the dead outlive it, and hold the cell
        self._alive -= 1
        self._intensities.pop(cell, None)
        cell.bury(reason)

    def resumed(self, cell: Cell, error: Exception) -> None:
        """Report an error after which the child goes on."""
        self._report(cell, Crashed(error), Decision.RESUME)

    def _shut_down_after(self, cell: Cell) -> None:
        if not cell.spec.significant or self.supervision.auto_shutdown is AutoShutdown.NEVER:
            return
        left = sum(1 for other in self.living() if other.spec.significant)
        if shuts_down(self.supervision.auto_shutdown, cell.spec, left):
            termination.order_stop(self._owner, StopMode.AFTER_MESSAGE, final=False, reason=SHUTDOWN)

    def _report(
        self, cell: Cell, reason: Exit, decision: Decision, delay_s: float = 0.0, because_of: str | None = None
    ) -> None:
        if reason.abnormal or decision is not Decision.STOP:
            note_incident(cell, reason, decision, delay_s, because_of)
        if reason.abnormal:
            cell.system.emit(crash_report(cell, reason, decision))

    # Replacing

    def _replace(self, cell: Cell, delay_s: float) -> None:
        cell.restarts += 1
        self._owner.system.emit(ActorRestarting(cell.path, cell.restarts, delay_s))
        if self.supervision.strategy is Strategy.ONE_FOR_ONE:
            cell.restart_after(delay_s)
            return
        cell.grouped = True
        self._offenders.append(cell)
        if self._regrouping is None:
            self._regrouping = trio.CancelScope()
            self._delay_s = delay_s
            self._owner.system.start_soon(self.nursery, f"{self.owner_path} (group restart)", self._regroup)
        else:
            self._delay_s = max(self._delay_s, delay_s)

    async def _regroup(self) -> None:
        """Replace the group of each offender: stop in reverse, wait the delay together, start in order."""
        with self._regrouping or trio.CancelScope():
            while self._offenders:
                offender = self._offenders.pop(0)
                if offender.buried or offender.state is not State.STOPPED:
                    continue
                self._offender = offender.path
                ids = affected(self.supervision.strategy, list(self.children), offender.spec.id)
                group = [self.children[name] for name in ids if not self.children[name].buried]
                await self._stop_group(group)
                await self._wait_together(group)
                await self._start_group(group)
        self._regrouping = None

    async def _stop_group(self, group: list[Cell]) -> None:
        for cell in reversed(group):
            if cell.buried:
                continue
            cell.grouped = True
            temporary = cell.spec.restart is Restart.TEMPORARY
            termination.order_stop(cell, StopMode.AFTER_MESSAGE, final=temporary)
            await cell.wait_down()

    async def _wait_together(self, group: list[Cell]) -> None:
        delay_s, self._delay_s = self._delay_s, 0.0
        if delay_s > 0:
            for cell in group:
                if not cell.buried:
                    cell.back_off()
            await trio.sleep(delay_s)

    async def _start_group(self, group: list[Cell]) -> None:
        for cell in group:
            if self.closing:
                return
            if cell.buried or cell.state not in (State.STOPPED, State.BACKING_OFF):
                continue
            cell.grouped = False
            done = trio.Event()
            cell.when_started(done.set)
            cell.begin()
            await done.wait()
            if cell.state is State.STOPPED and not cell.buried:
                return  # it failed again, was counted, and is an offender now

    # Closing

    async def close(self) -> None:
        """Stop all children in reverse order, each within its own grace; or all at once, if no order is to be kept."""
        self._restart_nobody()
        if self._regrouping is not None:
            self._regrouping.cancel()
        cells = list(reversed(self.children.values()))
        if self.supervision.stop_together:
            for number, cell in enumerate(cells, 1):
                termination.order_stop(cell, StopMode.AFTER_MESSAGE)
                if number % AT_ONCE == 0:
                    await trio.lowlevel.cancel_shielded_checkpoint()
        for cell in cells:
            termination.order_stop(cell, StopMode.AFTER_MESSAGE)
            await cell.wait_dead()

    def _restart_nobody(self) -> None:
        """From now on none comes back: those that wait for their next incarnation have no more of them."""
        self.closing = True
        for cell in reversed(list(self.children.values())):
            if cell.state is State.BACKING_OFF:
                termination.order_stop(cell, StopMode.AFTER_MESSAGE)

    def doom(self) -> list[Cell]:
        """Return the children, all of which will be killed: none comes back."""
        self.closing = True
        return list(self.children.values())
