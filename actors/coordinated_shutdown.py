"""Coordinated shutdown: phases one after the other, each with its tasks and its timeout.

1. The phases run once; a later call of `run` waits for the same end.
2. The tasks of a phase run together. The next phase begins when all have ended, or when the timeout is over.
3. A task that fails or is late is reported and does not hold up the shutdown: a late one is cancelled.
4. The phases run in the task of the first caller. If that is cancelled, the remaining phases run cancelled: each task
   gets to its first wait.
5. No task outlives the run: one that does not end when it is cancelled delays the end of the run, not of its phase.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any

import trio
from attrs import define, field, frozen

from .checks import is_number, nothing_to_await
from .errors import ActorError, InvalidSpec, SelfCall, text_of, unwrap
from .events import ShutdownTaskFailed, log_event

UNWIND_S = 1.0
"""Seconds that a phase waits for its late tasks once it has cancelled them; then the next phase begins."""

Task = Callable[[], Awaitable[object]]
"""A task of a phase: an async function without arguments."""


def _check_name(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidSpec("name", "must be a string that is not empty")


def _check_timeout(_: object, __: object, value: Any) -> None:
    if not (is_number(value) and value > 0):
        raise InvalidSpec("timeout_s", "must be above zero; infinite for a phase whose tasks have times of their own")


@frozen
class Phase:
    """A phase of the shutdown. The next one begins after `timeout_s` seconds at the latest. Raises `InvalidSpec`."""

    name: str = field(validator=_check_name)
    timeout_s: float = field(default=5.0, validator=_check_timeout)


STOP_ACTORS: str = "stop_actors"
"""The phase in which an `ActorSystem` stops its tree."""
PHASES: tuple[Phase, ...] = (
    Phase("stop_accepting"),
    Phase("drain", 10.0),
    Phase(STOP_ACTORS, math.inf),
    Phase("release"),
)
"""Refuse new work; finish the work under way; stop the tree; release the resources that the tree used.

Apache Pekko also gives 5 s to a phase, and 10 s to its long ones. The tree's phase has no timeout: each actor has a
grace of its own.
"""


@define
class PhaseOver(ActorError, RuntimeError):
    """A task was registered at a phase that has begun or is over: it would never run."""

    phase: str
    task: str

    def __str__(self) -> str:
        return f"{self.task} comes too late for the phase {self.phase}, which has begun"


def check_phases(phases: Iterable[Phase]) -> tuple[Phase, ...]:
    """Return the phases as a tuple. Raises `InvalidSpec` for anything else, a duplicate name, or no phase at all."""
    checked = tuple(phases)
    names: set[str] = set()
    for phase in checked:
        if not isinstance(phase, Phase):
            raise InvalidSpec("phases", f"must be Phases, not {type(phase).__name__}")
        if phase.name in names:
            raise InvalidSpec("phases", f"{phase.name!r} comes twice")
        names.add(phase.name)
    if not checked:
        raise InvalidSpec("phases", "must be one at least")
    return checked


@define(eq=False)
class _Entry:
    """One registered task."""

    task: Task
    name: str
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    late: bool = False


_inside: ContextVar[CoordinatedShutdown | None] = ContextVar("actors.coordinated_shutdown", default=None)


class CoordinatedShutdown:
    """The phases of one shutdown, and the tasks of each.

    `report` is called once for each task that fails or is late; it must be quick and must not raise. Raises
    `InvalidSpec` for its phases.
    """

    def __init__(
        self, phases: Iterable[Phase] = PHASES, *, report: Callable[[ShutdownTaskFailed], None] = log_event
    ) -> None:
        self.phases: tuple[Phase, ...] = check_phases(phases)
        self.phase: str | None = None
        """The name of the phase that runs; None before the first and after the last."""
        self._report = report
        self._entries: dict[str, dict[_Entry, None]] = {phase.name: {} for phase in self.phases}
        self._begun = 0  # number of phases that have begun
        self._hurried = 0  # number of phases, from the first on, that are cut short
        self._wait = trio.CancelScope()
        self._running = False
        self._ended = trio.Event()
        self._failed: list[ShutdownTaskFailed] = []

    def add_task(self, phase: str, task: Task, name: str) -> Callable[[], None]:
        """Run `task` at this phase; call the result to take that back, which has no effect once the phase has begun.

        `name` names the task in reports. May be called while earlier phases run. Raises `InvalidSpec` for a phase
        that is not there, an empty name, or a task that is not callable, and `PhaseOver`.
        """
        index = self._index(phase)
        _check_name(None, None, name)
        if not callable(task):
            raise InvalidSpec("task", "must be an async function without arguments")
        if index < self._begun:
            raise PhaseOver(phase, name)
        entry = _Entry(task, name)
        self._entries[phase][entry] = None
        return lambda: self._entries[phase].pop(entry, None)

    async def run(self, from_phase: str | None = None) -> tuple[ShutdownTaskFailed, ...]:
        """Run all phases, or all from this one on, and return the failures. If they run already, wait for their end.

        Raises `InvalidSpec` for an unknown phase, and `SelfCall` in a task of a phase, which would wait for itself.
        """
        first = 0 if from_phase is None else self._index(from_phase)
        self.check_not_in_task()
        if self._running:
            await self._ended.wait()
            return tuple(self._failed)
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                for index in range(first, len(self.phases)):
                    self._begun = index + 1
                    await self._run_phase(self.phases[index], nursery)
        finally:
            self.phase = None
            self._ended.set()
        return tuple(self._failed)

    def has_tasks_after(self, phase: str) -> bool:
        """Whether a later phase than this has tasks."""
        return any(self._entries[later.name] for later in self.phases[self._index(phase) + 1 :])

    def skip_to(self, phase: str | None) -> None:
        """Cut short the phases before this one, or all if it is None: their tasks are late from now on."""
        self._hurried = max(self._hurried, len(self.phases) if phase is None else self._index(phase))
        if self._begun <= self._hurried:
            self._wait.cancel()

    def check_not_in_task(self) -> None:
        """Raise `SelfCall` in a task of one of these phases."""
        if _inside.get() is self:
            raise SelfCall("the shutdown", "wait for")

    def _index(self, name: str) -> int:
        for index, phase in enumerate(self.phases):
            if phase.name == name:
                return index
        raise InvalidSpec("phase", f"there is no phase {name!r}")

    async def _run_phase(self, phase: Phase, nursery: trio.Nursery) -> None:
        """Start the tasks of a phase, and wait until they have ended or are late. The wait is never cancelled."""
        self.phase = phase.name
        running = dict(self._entries[phase.name])
        if not running:
            return
        ended = trio.Event()
        for entry in tuple(running):
            name = f"{phase.name}: {entry.name}"
            nursery.start_soon(self._run_task, phase, entry, running, ended, name=name)
        with trio.CancelScope(shield=True):
            with trio.move_on_after(phase.timeout_s) as self._wait:
                if self._begun <= self._hurried:
                    self._wait.cancel()
                await ended.wait()
            for entry in running:
                early = self._begun <= self._hurried
                self._fail(phase, entry, "cut short" if early else f"not done within {phase.timeout_s:g} s")
                entry.late = True
                entry.scope.cancel()
            with trio.move_on_after(UNWIND_S):
                await ended.wait()

    async def _run_task(self, phase: Phase, entry: _Entry, running: dict[_Entry, None], ended: trio.Event) -> None:
        _inside.set(self)
        try:
            with entry.scope:
                result: object = entry.task()
                if not isinstance(result, Awaitable):
                    raise nothing_to_await(entry.task, result)
                await result
        except Exception as error:
            if not entry.late:
                fault = unwrap(error)
                self._fail(phase, entry, f"{text_of(fault)}{_where(fault)}")
        finally:
            del running[entry]
            if not running:
                ended.set()

    def _fail(self, phase: Phase, entry: _Entry, problem: str) -> None:
        record = ShutdownTaskFailed(phase.name, entry.name, problem)
        self._failed.append(record)
        self._report(record)


def _where(error: Exception) -> str:
    """Return the place where the error was raised, as in ` (app.py:33, in release)`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
