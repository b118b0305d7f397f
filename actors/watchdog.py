"""Detects a task that keeps the loop, by one thread for each trio loop that samples the loop's steps.

1. A step itself costs nothing: the thread reads which task runs, and how often that has yielded. If both are the same
   some time later, the task has kept the loop since.
2. The thread samples four times in `slow_handler_s`. A hold half as long again is certain to be seen; a hold shorter
   than `slow_handler_s` is never reported. While the loop waits for the system, the thread sleeps until the loop goes
   on, so that an idle program never wakes. While the loop often goes on, the thread samples and does not sleep: the
   wake-ups, which take the interpreter from the loop, would cost more than the samples. A busy loop then has no
   instrument, which would cost each of its passes 0.7 µs.
3. The event is emitted on the loop, once, after the hold; a hold that does not end is logged from the thread.
4. The thread measures real time, so virtual clocks make no false alarm. It ends with the last system of its loop.
5. Code that also keeps the interpreter to itself (one call into C) is noticed by the thread's own delay, if the loop's
   thread used the processor for five times `slow_handler_s` meanwhile: a machine that stands still is not the loop's
   fault.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any

import trio
from attrs import define, evolve

from .cell import Cell, Directory
from .events import SlowHandler, WatchdogDied, log

SAMPLES = 4
"""Samples of the loop in each `slow_handler_s`: one every 12.5 ms by default, each some 10 µs."""
OFTEN = 4
"""Number of passes of the loop between two samples, above which the thread does not sleep."""
BUSY_SHARE = 0.02
"""Share of the processor that the loop's thread uses between two samples, above which it is busy: some five passes."""
QUIET_LOOKS = 16
"""Samples in a row of a loop that is not busy, after which the thread asks to sleep. To install the instrument, for
which the loop must wake, costs the loop and the thread about as much as these samples."""
MIN_INTERVAL_S = 0.001
"""Shortest interval between two samples, in seconds."""
C_CALL_FACTOR = 5
"""One call into C is blamed if this thread is late by this many `slow_handler_s`: a busy machine delays it a little."""
HANGS_S = 5.0
"""Seconds after which a hold is logged from the thread: it may never end."""
FOREIGN_HANGS_S = 1.0
"""Seconds after which a hold is reported to the systems of other loops, which need not wait for its end."""
FRAMES = 20
"""Number of frames in a reported stack, the innermost ones."""
CHANGED = "(the stack changed while it was read)\n"
"""The stack of a task that went on while its frames were walked."""

Step = tuple[trio.lowlevel.Task, int]
"""One step of the loop: the task that runs, and a number that changes at its next step."""

disabled: ContextVar[bool] = ContextVar("actors.watchdog.asleep", default=False)
"""Set in simulations, whose loop must take the same steps each time: an event caused by real time would add one."""
owned_by: ContextVar[Cell | None] = ContextVar("actors.watchdog.owned_by", default=None)
"""The actor that started a task, directly or not."""


@define
class _Hold:
    """A step that has held the loop for too long, as sampled so far."""

    record: SlowHandler
    system: Directory | None  # of the actor whose task it is; None for a task of no actor, which is reported to all
    told: bool = False  # while it lasted


class ProcessorClock:
    """Measures the real time since the last look, and how much of it the loop's thread used the processor."""

    def __init__(self) -> None:
        self.ident: int = threading.get_ident()
        """The loop's thread."""
        self.used_s: float = 0.0
        """CPU time of the loop's thread at the last look, in seconds; 0 if the platform cannot tell."""
        self._looked_at = 0.0

    def restart(self) -> None:
        """Count from now on."""
        self.look(time.perf_counter())

    def look(self, now: float) -> tuple[float, float]:
        """Return the seconds since the last look, and those for which the loop's thread used the processor."""
        looked_at, used_s = self._looked_at, self.used_s
        self._looked_at = now
        if hasattr(time, "pthread_getcpuclockid"):
            self.used_s = time.clock_gettime(time.pthread_getcpuclockid(self.ident))
        return now - looked_at, self.used_s - used_s


class Watchdog:
    """The thread that watches one loop for all systems on it. Its public methods are called on that loop."""

    def __init__(self) -> None:
        self._systems: dict[Directory, trio.lowlevel.TrioToken | None] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._clock = ProcessorClock()
        self._step_now, self._release = _steps()
        self._interval_s = self._least_s = 0.0  # between two samples; the shortest hold that a system reports
        self._step: Step | None = None  # of the last sample; None while the loop waits for the system
        self._since = 0.0  # when it was sampled first
        self._hold: _Hold | None = None
        self._ended_holds: list[_Hold] = []
        self._pause = Pause(self._clock.restart)

    def add(self, system: Directory, home: trio.lowlevel.TrioToken | None = None) -> None:
        """Report to this system too; `home` is its loop, if that is another one."""
        with self._lock:
            self._systems[system] = home
            self._adjust()
        if self._thread is None:
            self._stop = threading.Event()
            self._clock.restart()
            self._thread = threading.Thread(target=self._watch, name="actors.watchdog", daemon=True)
            self._thread.start()

    def remove(self, system: Directory) -> None:
        """Emit the known holds, and report to this system no more. With the last system the thread ends."""
        with self._lock:
            self._end_hold()
        self._report()
        with self._lock:
            del self._systems[system]
            self._adjust()
        if not self._systems and self._thread is not None:
            self._stop.set()
            self._pause.end()
            self._thread.join()
            self._thread = None
            self._release()
            _watchdog.set(None)

    def _adjust(self) -> None:
        """Sample as often as the system needs that reports the shortest holds."""
        self._least_s = min((system.slow_handler_s for system in self._systems), default=1.0)
        self._interval_s = max(self._least_s / SAMPLES, MIN_INTERVAL_S)

    # In the thread

    def _watch(self) -> None:
        try:
            self._look_around()
        except Exception as error:
            log.exception("watchdog.died")
            died = WatchdogDied(f"{type(error).__name__}: {error}")
            for system, home in tuple(self._systems.items()):
                with suppress(trio.RunFinishedError):
                    (home or self._token).run_sync_soon(system.emit, died)

    def _look_around(self) -> None:
        quiet = 0  # samples in a row of a loop that is not busy
        while not self._stop.wait(self._interval_s):
            if self._pause.installed:
                if self._pause.count_passes() > OFTEN:
                    self._pause.retire()
                elif self._step is None:
                    self._pause.sleep()
                quiet = 0
            elif quiet >= QUIET_LOOKS:
                quiet = 0
                self._pause.ask(self._token)
            used_s = self._clock.used_s
            with self._lock:
                self._sample(time.perf_counter())
            busy = self._step is not None or self._clock.used_s - used_s > BUSY_SHARE * self._interval_s
            quiet = 0 if busy else quiet + 1

    def _sample(self, now: float) -> None:
        """Compare the current step with that of the last sample: one that lasts too long is a hold."""
        step = self._step_now()
        passed_s, used_s = self._clock.look(now)
        late_s = passed_s - self._interval_s
        if step != self._step:
            self._end_hold()
            self._step, self._since = step, now
            if min(late_s, used_s) > C_CALL_FACTOR * self._least_s:
                self._since = now - late_s  # one call into C: code in Python lets this thread in after 5 ms
        if step is None:
            return
        held_s = now - self._since
        if held_s < self._least_s:
            return
        if self._hold is None:
            frame = sys._current_frames().get(self._clock.ident)
            if self._step_now() != step:
                return  # the loop went on meanwhile: the frame may be that of another task
            self._hold = self._describe(step[0], frame)
        self._hold.record = evolve(self._hold.record, held_s=held_s)
        if not self._hold.told:
            self._tell_of_hang(self._hold)

    def _tell_of_hang(self, hold: _Hold) -> None:
        """Report a long hold while it lasts: to the systems of other loops, or if there are none, to the log."""
        held_s = hold.record.held_s
        if held_s > FOREIGN_HANGS_S and any(self._systems.values()):
            hold.told = True
            for system, home in self._systems.items():
                if home is not None and hold.system in (system, None):
                    _emit_at(home, system, hold.record)
        elif held_s > HANGS_S:
            hold.told = True
            log.error("actor.loop_hangs path=%s task=%s s=%.1f\n%s", *_named(hold.record))

    def _describe(self, task: trio.lowlevel.Task, frame: FrameType | None) -> _Hold:
        stack = "" if frame is None else _stack(frame)
        cell, system = self._owner(task)
        path = None if cell is None else cell.path
        at_work = cell is not None and cell.task is task and not cell.incarnation.ending.stopping
        message_type = cell.inbox.message_type if cell is not None and at_work else None
        return _Hold(SlowHandler(path, message_type, 0.0, task.name, stack), system)

    def _owner(self, task: trio.lowlevel.Task) -> tuple[Cell | None, Directory | None]:
        """Return the actor whose task this is, or whose task started it, directly or not, and its system."""
        ancestor: trio.lowlevel.Task | None = task
        while ancestor is not None:
            owner = ancestor.context.get(owned_by)
            for system in tuple(self._systems):
                cell = system.cell_at(ancestor.name) if owner is None else owner
                if cell is not None and (owner is not None or cell.task is ancestor) and cell.system is system:
                    return cell, system
            nursery = ancestor.parent_nursery
            ancestor = None if nursery is None else nursery.parent_task
        return None, None

    def _end_hold(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            self._ended_holds.append(hold)
            try:
                self._token.run_sync_soon(self._report, idempotent=True)
            except trio.RunFinishedError:
                log.warning("actor.loop_held path=%s task=%s s=%.3f\n%s", *_named(hold.record))

    # On the loop

    def _report(self) -> None:
        holds, self._ended_holds = self._ended_holds, []
        for hold in holds:
            for system, home in tuple(self._systems.items()):
                if hold.system in (system, None) and hold.record.held_s >= system.slow_handler_s:
                    if home is None:
                        _emit(system, hold.record)
                    elif not hold.told:
                        _emit_at(home, system, hold.record)


_watchdog: trio.lowlevel.RunVar[Watchdog | None] = trio.lowlevel.RunVar("actors.watchdog", None)


def _emit(system: Directory, record: SlowHandler) -> None:
    system.emit(evolve(record, stack=system.redacted(record.stack)))


def _emit_at(home: trio.lowlevel.TrioToken, system: Directory, record: SlowHandler) -> None:
    try:
        home.run_sync_soon(_emit, system, record)
    except trio.RunFinishedError:
        log.warning("actor.loop_held path=%s task=%s s=%.3f\n%s", *_named(record))


def watch_loop(system: Directory, home: trio.lowlevel.TrioToken | None = None) -> Callable[[], None]:
    """Report holds of the current loop to `system`. Call the result to end that.

    `home` is the loop of the system, if that is another one, as of code that its actors wait for. Such a hold is
    reported after a second, once, while it lasts; a shorter one at its end.
    """
    if disabled.get() or system.slow_handler_s == float("inf"):
        return lambda: None
    watchdog = _watchdog.get()
    if watchdog is None:
        watchdog = Watchdog()
        _watchdog.set(watchdog)
    watchdog.add(system, home)
    return lambda: watchdog.remove(system)


def _named(record: SlowHandler) -> tuple[str, str, float, str]:
    return record.path or "-", record.task, record.held_s, record.stack


def _stack(frame: FrameType) -> str:
    """Return the innermost frames of the task that runs in this thread, as text: code without values of variables. The
    loop's thread may go on while its frames are walked, and CPython then returns objects that are no frames."""
    try:
        walked = list(traceback.walk_stack(frame))  # the whole walk at once, since the frames may change meanwhile
        frames = traceback.StackSummary.extract(iter(walked[::-1]))
        loop = [index for index, entry in enumerate(frames) if entry.name == "unrolled_run"]
        return "".join(traceback.format_list(frames[loop[-1] + 1 :] if loop else frames)[-FRAMES:])
    except Exception:  # AttributeError: an object is no frame; KeyError: another thread cleared `linecache`
        return CHANGED


def _steps() -> tuple[Callable[[], Step | None], Callable[[], None]]:
    """Return a function that returns the step of this loop, in any thread, and a function that ends the tracking.

    Trio keeps both in private attributes; if they are not found, an instrument counts the steps, which costs each of
    them a third of a microsecond.
    """
    context = _run_context()
    if context.get("task") is not None and hasattr(context["task"], "_schedule_points"):

        def step() -> Step | None:
            task = context.get("task")
            return None if task is None else (task, task._schedule_points)

        return step, lambda: None
    counter = StepCounter()
    trio.lowlevel.add_instrument(counter)
    return lambda: counter.step, lambda: trio.lowlevel.remove_instrument(counter)


def _run_context() -> dict[str, Any]:
    """Return trio's live context of the run in this thread; empty if it cannot be found."""
    context = getattr(sys.modules.get("trio._core._run"), "GLOBAL_RUN_CONTEXT", None)
    return getattr(context, "__dict__", {})


class Pause(trio.abc.Instrument):
    """Lets the thread sleep while the loop waits for the system. `on_wake` is called on the loop when it goes on then.

    It runs twice in each pass of the loop, which may have many steps. So it is installed when the loop is quiet, which
    the thread has to `ask` for, and removes itself when the thread has seen that the loop is busy: `retire`.
    """

    def __init__(self, on_wake: Callable[[], None]) -> None:
        self._on_wake = on_wake
        self._passes = 0  # of the loop, since they were counted last
        self._waiting = False  # whether the loop waits for the system
        self._sleeping = False  # whether the thread sleeps, or is about to
        self._retiring = False
        self._ended = False
        self._woken = threading.Event()
        self.installed: bool = False
        """Whether the loop calls this instrument. Changed on the loop only."""

    def ask(self, token: trio.lowlevel.TrioToken) -> None:
        """Have the loop of `token` install this instrument. To be called in the thread."""
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(self._install, idempotent=True)

    def retire(self) -> None:
        """Have the loop remove this instrument in its next pass. To be called in the thread."""
        self._retiring = True

    def count_passes(self) -> int:
        """Return how often the loop went on since the last call. To be called in the thread."""
        passes, self._passes = self._passes, 0
        return passes

    def sleep(self) -> None:
        """Sleep until the loop goes on, or `end`; return at once if it does not wait. To be called in the thread."""
        self._woken.clear()
        self._sleeping = True
        if self._waiting:  # else the loop may not have seen that this thread wants to sleep
            self._woken.wait()
        self._sleeping = False

    def end(self) -> None:
        """Remove the instrument for good, and let the thread go on, which sleeps no more."""
        self._ended = True
        self._remove()
        self._woken.set()

    def before_io_wait(self, timeout: float) -> None:
        """Note that the loop waits for the system."""
        self._waiting = timeout > 0

    def after_io_wait(self, timeout: float) -> None:
        """Note that the loop goes on, and wake the thread."""
        self._waiting = False
        self._passes += 1
        if self._sleeping:
            self._sleeping = False
            self._on_wake()
            self._woken.set()
        elif self._retiring:
            self._remove()

    def _install(self) -> None:
        if not (self.installed or self._ended):
            self._passes, self._retiring = 0, False
            trio.lowlevel.add_instrument(self)
            self.installed = True

    def _remove(self) -> None:
        self._waiting = False
        if self.installed:
            self.installed = False
            trio.lowlevel.remove_instrument(self)


class StepCounter(trio.abc.Instrument):
    """Counts the steps of a loop."""

    def __init__(self) -> None:
        self.step: Step | None = None
        self._count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that a task runs."""
        self._count += 1
        self.step = (task, self._count)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that no task runs."""
        self.step = None
