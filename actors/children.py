"""The children of one incarnation of a supervising actor, and the decisions taken when one of them ends.

1. Decisions are synchronous and taken in the last step of the child that ended: a parent that handles a message, or
   another child, delays no restart.
2. Only a group restart takes time. One task performs all of them, one after the other.
3. Once `closing` is set, no child is restarted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from weakref import proxy

import trio

from .ask import ActorDied, Ask, StartWait
from .cell import Cell
from .errors import (
    Escalated,
    IntensityExceeded,
    InvalidSpec,
    NotSupervising,
    StartDeclined,
    TooManyChildren,
    text_of,
)
from .events import ActorCrashed, ActorRestarting
from .exit_reasons import SHUTDOWN, Crashed, Exit
from .incidents import Incident, state_text, traceback_text
from .lifecycle import Decision, State, StopMode
from .ref import ActorRef, AlreadyStarted
from .spec import AutoShutdown, ChildSpec, Restart, Strategy, Supervision
from .strategy import Intensity, affected, decide, shuts_down

T = TypeVar("T")
STOP_BATCH = 32
"""Children ordered to stop between two yields to other tasks: see `reaper`."""


class ChildrenRequest(Ask[T]):
    """A request to a supervising actor about its children: served by the runtime, before all lanes."""

    __slots__ = ()
    _control = True

    def execute(self, cell: Cell) -> None:
        """Serve the request for the actor in `cell`. Fail it with the error that `act` raises."""
        if cell.children is None:
            self.fail(NotSupervising(cell.path))
            return
        self.perform(cell.children)

    def perform(self, family: Children) -> None:
        """Serve the request. Fail it with the error that `act` raises."""
        try:
            self.act(family)
        except Exception as error:
            self.fail(error)

    def act(self, family: Children) -> None:
        """Perform the request on the children."""


class Children:
    """The children of one incarnation, by id, in start order. A dead one of its own spec may be started again."""

    def __init__(self, owner: Cell, supervision: Supervision, nursery: trio.Nursery) -> None:
        self.owner: Cell = owner
        self.supervision = supervision
        self.nursery = nursery
        self.by_id: dict[str, Cell] = {}
        self.closing: bool = False
        self._static: set[str] = set()  # the ids of the children of the supervisor's own spec
        self._intensity = Intensity(supervision.intensity, supervision.period_s)
        self._intensities: dict[Cell, Intensity] = {}
        self.groups: GroupRestarts = GroupRestarts(self)
        self._alive = 0

    def living(self) -> list[Cell]:
        """The children that have not ended for good."""
        return [cell for cell in self.by_id.values() if not cell.buried]

    # Starting

    async def spawn(self, spec: ChildSpec, *, static: bool = False) -> ActorRef:
        """Start a child and wait until it runs. Raises the errors of `Context.spawn`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.groups.stopping and not self.groups.call_when_started((started := trio.Event()).set):
            await started.wait()
        while (cancelled := self.cancelled_start(spec)) is not None:
            await cancelled.wait_dead()
        cell = self.start_child(spec, static=static)
        if cell.incarnation.started:
            await self.owner.system.yield_regularly()
            return cell.ref
        try:
            if static:
                await self._serve_until_started(cell)
            else:
                started = trio.Event()
                cell.when_started(started.set)
                trio.lowlevel.current_task().custom_sleep_data = StartWait(cell, serves=False)
                await started.wait()
        except trio.Cancelled:
            cell.order_stop(StopMode.NOW)
            raise
        if cell.history.start_error is not None:
            raise cell.history.start_error from cell.history.start_error.cause
        return cell.ref

    async def _serve_until_started(self, cell: Cell) -> None:
        """Wait for the start of a child in the owner's own task, and serve requests about children meanwhile. The child
        itself may send such a request. Messages, timers and notices wait until the owner has started."""
        owner, mailbox, started = self.owner, self.owner.inbox, False

        def note() -> None:
            nonlocal started
            started = True
            mailbox.wake()

        cell.when_started(note)
        task = trio.lowlevel.current_task()
        while not started:
            waiting = mailbox.control or ()
            requests = [item for item in waiting if isinstance(item, ChildrenRequest)]
            if requests:
                mailbox.control = deque(item for item in waiting if not isinstance(item, ChildrenRequest)) or None
            for request in requests:
                request.execute(owner)
            if not started:
                mailbox.parked = task
                task.custom_sleep_data = StartWait(cell, serves=True)
                await trio.lowlevel.wait_task_rescheduled(mailbox.unpark)

    async def spawn_static(self, spec: ChildSpec) -> None:
        """Start a child of the supervisor's own spec. One that declines is kept, not running."""
        try:
            await self.spawn(spec, static=True)
        except StartDeclined:
            return

    def cancelled_start(self, spec: object) -> Cell | None:
        """Return the child of this id whose start was cancelled and has not ended yet, or None.

        It will never run, so a caller that starts the same id waits for its end instead of failing with
        `AlreadyStarted`.
        """
        child = self.by_id.get(spec.id) if isinstance(spec, ChildSpec) else None
        if child is None or child.buried or child.history.ever_started or not child.incarnation.ending.no_restart:
            return None
        return child

    def start_child(self, spec: ChildSpec, *, static: bool = False) -> Cell:
        """Add the child under its id and begin to start it."""
        if not isinstance(spec, ChildSpec):
            raise InvalidSpec("spec", f"must be a ChildSpec, not {type(spec).__name__}")
        if self.closing:
            raise ActorDied(self.owner.path, self.owner.incarnation.ending.reason())
        sibling = self.by_id.get(spec.id)
        if sibling is not None and not sibling.buried:
            raise AlreadyStarted(sibling.ref)
        bound = self.supervision.max_children
        if bound is not None and self._alive >= bound:
            raise TooManyChildren(self.owner.path, bound)
        cell = type(self.owner)(self.owner.system, self, spec)
        if static:
            self._static.add(spec.id)
        self.by_id[spec.id] = cell
        self._alive += 1
        cell.start()
        return cell

    # Ending

    def child_ended(self, cell: Cell, reason: Exit) -> None:
        """Decide after an incarnation has ended: restart the child or its group, give it up, or fail the owner."""
        if not cell.history.ever_started and (cell.incarnation.ending.no_restart or not cell.history.in_group_restart):
            self.retire(cell, reason)
        elif self._drains_on(cell, reason) and self._within_intensity(cell):
            self._report(cell, reason, Decision.RESTART)
            cell.history.restarts += 1
            self.owner.system.emit(ActorRestarting(cell.path, cell.history.restarts, 0.0))
            cell.continue_drain()
        elif cell.incarnation.ending.no_restart or self.closing or trio.current_effective_deadline() == -math.inf:
            if reason.abnormal:
                self._report(cell, reason, Decision.STOP)
            self.retire(cell, reason)
        elif cell.history.in_group_restart:
            self._report(cell, reason, Decision.RESTART, because_of=self.groups.offender)
        else:
            decision = Decision.STOP if cell.incarnation.declined else decide(cell.spec, reason)
            error: Exception = Escalated(self.owner.path, cell.path)
            if decision is Decision.RESTART:
                if self._within_intensity(cell):
                    delay_s = self._delay_of(cell)
                    self._report(cell, reason, Decision.BACK_OFF if delay_s else decision, delay_s)
                    self._restart(cell, delay_s)
                    return
                decision = Decision.ESCALATE
                error = IntensityExceeded(self.owner.path, cell.path, self._intensity.limit, self._intensity.period_s)
            if reason.abnormal or decision is Decision.ESCALATE:
                self._report(cell, reason, decision)
            self.retire(cell, reason)
            if decision is Decision.ESCALATE:
                if isinstance(reason, Crashed):
                    error.__cause__ = reason.error
                self._stop_restarting()
                self.owner.fail(error)
            elif cell.spec.significant and self.supervision.auto_shutdown is not AutoShutdown.NEVER:
                self._shut_down_after(cell)

    def _drains_on(self, cell: Cell, reason: Exit) -> bool:
        """Whether a failed drain must go on: messages wait, and the child would be restarted after this failure."""
        life = cell.incarnation.ending
        if life.stop_mode is not StopMode.AFTER_DRAIN or life.killed or self.closing or not isinstance(reason, Crashed):
            return False
        return cell.inbox.has_work() and decide(cell.spec, reason) is Decision.RESTART

    def _delay_of(self, cell: Cell) -> float:
        """Return the delay before the child's next incarnation, by its backoff."""
        system, started = cell.system, cell.incarnation.started
        ran_s = system.timers.now() - cell.history.since if started else 0.0
        return cell.history.next_delay(cell.spec.backoff, ran_s, system.random.random())

    def _within_intensity(self, cell: Cell) -> bool:
        """Count one restart of a child. Return False if it is one too many."""
        intensity = self._intensity
        if self.supervision.per_child:
            separate = self._intensities.get(cell)
            intensity = separate or self._intensities.setdefault(cell, Intensity(intensity.limit, intensity.period_s))
        return intensity.record(self.owner.system.timers.now())

    def retire(self, cell: Cell, reason: Exit) -> None:
        """Bury the child, and free its name unless it belongs to the supervisor's own spec."""
        keep = cell.spec.id in self._static and cell.spec.restart is not Restart.TEMPORARY
        if not keep and self.by_id.get(cell.spec.id) is cell:
            self.forget(cell.spec.id)
            cell.spec = cell.spec.without_factory()  # references to a dead actor keep its cell alive
        self._alive -= 1
        self._intensities.pop(cell, None)
        cell.bury(reason)

    def forget(self, id_: str) -> None:
        """Remove a child, and its spec."""
        del self.by_id[id_]
        self._static.discard(id_)

    def resumed(self, cell: Cell, error: Exception) -> None:
        """Report an error that the child survived."""
        self._report(cell, Crashed(error), Decision.RESUME)

    def _shut_down_after(self, cell: Cell) -> None:
        """Stop the owner if the end of this significant child asks for that."""
        left = sum(1 for other in self.living() if other.spec.significant)
        if shuts_down(self.supervision.auto_shutdown, cell.spec, left):
            self.owner.order_stop(StopMode.AFTER_MESSAGE, final=False, reason=SHUTDOWN)

    def _report(
        self, cell: Cell, reason: Exit, decision: Decision, delay_s: float = 0.0, because_of: str | None = None
    ) -> None:
        """Keep an end that was abnormal, or after which the child does not just stop; emit it if it was abnormal."""
        system, history, life = cell.system, cell.history, cell.incarnation
        message_type = cell.inbox.message_type
        text = str(reason)
        if isinstance(reason, Crashed):
            text = system.redacted(f"crashed: {text_of(reason.error)}")
        now, number = system.timers.now(), history.incarnations
        history.note(Incident(now, number, text, message_type, decision, delay_s, because_of))
        if reason.abnormal:
            error = reason.error if isinstance(reason, Crashed) else life.ending.failure
            trace = "" if error is None else system.redacted(traceback_text(error))
            state = "" if life.actor is None else system.redacted(state_text(life.actor.report_state))
            system.emit(ActorCrashed(cell.path, number, reason, message_type, trace, decision, state))

    # Replacing

    def _restart(self, cell: Cell, delay_s: float) -> None:
        cell.history.restarts += 1
        self.owner.system.emit(ActorRestarting(cell.path, cell.history.restarts, delay_s))
        if self.supervision.strategy is Strategy.ONE_FOR_ONE:
            cell.restart_after(delay_s)
            return
        self.groups.add(cell, delay_s)

    # Closing

    async def close(self) -> None:
        """Stop the children in reverse order, each within its own grace, as many at a time as `stop_together` says."""
        self._stop_restarting()
        self.groups.cancel()
        at_once = self.supervision.stops_at_once
        ending: deque[Cell] = deque()
        for number, cell in enumerate(list(reversed(self.by_id.values())), 1):
            if len(ending) == at_once:
                await ending.popleft().wait_dead()
            cell.order_stop(StopMode.AFTER_MESSAGE)
            ending.append(cell)
            if number % STOP_BATCH == 0:
                await trio.lowlevel.cancel_shielded_checkpoint()
        for cell in ending:
            await cell.wait_dead()

    def _stop_restarting(self) -> None:
        """Restart no child from now on, and retire those that are backing off."""
        self.closing = True
        for cell in reversed(list(self.by_id.values())):
            if cell.state is State.BACKING_OFF:
                cell.order_stop(StopMode.AFTER_MESSAGE)

    def close_for_kill(self) -> list[Cell]:
        """Restart no child from now on. Return all of them, to be killed."""
        self.closing = True
        return list(self.by_id.values())


class GroupRestarts:
    """The restarts of groups of siblings: one task performs them, one after the other, and ends with the last."""

    def __init__(self, family: Children) -> None:
        self._family: Children = proxy(family)  # a cycle would keep the cells of ended actors for the garbage collector
        self._offenders: list[Cell] = []
        self._scope: trio.CancelScope | None = None
        self._delay_s = 0.0
        self._held_up: list[Callable[[], object]] = []
        self.stopping: bool = False
        """Whether a group is being stopped, to be started again."""
        self.offender: str | None = None
        """The path of the child for whose failure its group is restarted."""

    def call_when_started(self, begin: Callable[[], object]) -> bool:
        """Return whether a child may be added now; else `begin` is called once the group has started again.

        A child that is added while a group is being stopped would run beside siblings of the last generation. Once the
        group starts, children are added at once: one of the group may wait for that in its own start.
        """
        if not self.stopping or self._family.closing:
            return True
        self._held_up.append(begin)
        return False

    def add(self, cell: Cell, delay_s: float) -> None:
        """Restart the group of a child that failed, after at least `delay_s` seconds."""
        cell.history.in_group_restart = True
        self._offenders.append(cell)
        if self._scope is None:
            self._scope = trio.CancelScope()
            self._delay_s = delay_s
            name = f"{self._family.owner.path} (group restart)"
            cell.system.start_soon(self._family.nursery, name, self._restart_all)
        else:
            self._delay_s = max(self._delay_s, delay_s)

    def cancel(self) -> None:
        """Restart no group from now on."""
        if self._scope is not None:
            self._scope.cancel()

    async def _restart_all(self) -> None:
        """Restart the group of each child that failed: stop it in reverse, wait for the delay, start it in order."""
        by_id, strategy = self._family.by_id, self._family.supervision.strategy
        with self._scope or trio.CancelScope():
            while self._offenders:
                offender = self._offenders.pop(0)
                if offender.buried or offender.state is not State.STOPPED:
                    continue
                self.offender = offender.path
                ids = affected(strategy, list(by_id), offender.spec.id)
                group = [by_id[name] for name in ids if not by_id[name].buried]
                self.stopping = True
                try:
                    await self._stop(group)
                    await self._back_off(group)
                    self.stopping = False
                    await self._start(group)
                finally:
                    self.stopping = False
                    held_up, self._held_up = self._held_up, []
                    for begin in held_up:
                        begin()
        self._scope = None

    async def _stop(self, group: list[Cell]) -> None:
        for cell in reversed(group):
            if cell.buried:
                continue
            cell.history.in_group_restart = True
            temporary = cell.spec.restart is Restart.TEMPORARY
            cell.order_stop(StopMode.AFTER_MESSAGE, final=temporary)
            await cell.wait_down()

    async def _back_off(self, group: list[Cell]) -> None:
        delay_s, self._delay_s = self._delay_s, 0.0
        if delay_s > 0:
            for cell in group:
                if not cell.buried:
                    cell.back_off()
            await trio.sleep(delay_s)

    async def _start(self, group: list[Cell]) -> None:
        for cell in group:
            if self._family.closing:
                return
            if cell.buried or not cell.down:
                continue
            cell.history.in_group_restart = False
            done = trio.Event()
            cell.when_started(done.set)
            cell.start()
            await done.wait()
            if cell.state is State.STOPPED:
                return  # this child failed to start: its next restart is counted and queued
