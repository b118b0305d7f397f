"""Simulation of a whole system in virtual time, in an order of steps that a seed decides: failures can be repeated.

1. The same program with the same seed takes the same steps in the same order, in any process on any machine.
2. Nothing is left behind: trio's scheduler and the module `random` go on as if there had been no simulation.
3. A simulation ends: when nothing can happen any more, when it takes too long, or when it stops in one instant.

What cannot be repeated: worker threads, sockets, the wall clock, the order of a set of objects that have no hash of
their own, garbage collection with effects, and other trio loops in other threads at the same time.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

import trio
import trio.testing
from attrs import define

from actors import serving
from actors.errors import ActorError
from actors.testing.clock import virtual_time
from actors.watchdog import disabled

T = TypeVar("T")

LIMIT_S = 7 * 86_400.0
"""Default limit of a simulation in virtual seconds: a week. Beyond it, `SimulationStuck` is raised."""
STUCK_TURNS = 200_000
"""Turns of trio's loop without any virtual time between them after which a simulation is stuck: some seconds."""
LOOK_S = serving.BATCH_S / 32
"""Seconds by which each reading of the batch clock advances it in a seeded run: a batch has about 32 messages."""
_scheduler: Any = trio._core._run
"""Trio's module with the generator that orders each batch of tasks, and the switch that makes the order repeatable.

Both are private to trio; hypothesis and pytest-trio set the same two.
"""
_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"
_DIGEST_EVERY = 4096


@define
class SimulationStuck(ActorError, trio.TooSlowError):
    """A simulation was aborted: it waited forever, took too long, or looped without virtual time passing."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@define
class SimulationFailed(ActorError, AssertionError):
    """A simulation with `seed` raised an error, the cause, after `passed` others had succeeded."""

    seed: int
    passed: int
    problem: str

    def __str__(self) -> str:
        return f"seed {self.seed} failed after {self.passed} that passed: {self.problem}"


class Trace(trio.abc.Instrument):
    """The steps of a run, in order: which task ran next, and when. Hand it to `simulate`, then compare `digest`."""

    def __init__(self) -> None:
        self.steps: int = 0
        """Number of steps of all tasks."""
        self._numbers: dict[trio.lowlevel.Task, int] = {}
        self._spawned = 0
        self._hash = blake2b(digest_size=16)
        self._recent = array("d")

    @property
    def digest(self) -> str:
        """A hash of the steps in 32 hexadecimal digits."""
        self._sum_up()
        return self._hash.hexdigest()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Give the task its number."""
        self._numbers[task] = self._spawned
        self._spawned += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forget the task."""
        self._numbers.pop(task, None)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Record the step of a task."""
        self.steps += 1
        self._recent.append(self._numbers.get(task, -1))
        self._recent.append(trio.current_time())
        if len(self._recent) >= _DIGEST_EVERY:
            self._sum_up()

    def _sum_up(self) -> None:
        self._hash.update(self._recent.tobytes())
        del self._recent[:]


class _Watchdog(trio.abc.Instrument):
    """Cancels the main task when trio's loop makes many turns and no virtual time passes.

    If the loop still goes on, since a task is shielded, the clock is made to fail: then trio aborts the run.
    """

    def __init__(self, clock: trio.testing.MockClock, turns: int) -> None:
        self.scope = trio.CancelScope()
        self.cancelled = self.aborted = False
        self._clock = clock
        self._turns = turns
        self._left = turns
        self._now = 0.0

    def before_io_wait(self, timeout: float) -> None:
        """Count one iteration of the loop."""
        now = self._clock.current_time()
        if now > self._now:
            self._now, self._left = now, self._turns
        self._left -= 1
        if self._left > 0:
            return
        self._left = self._turns
        if self.cancelled:
            self.aborted = True
            vars(self._clock)["_real_clock"] = _fail
        else:
            self.cancelled = True
            self.scope.cancel()


def simulate(
    main: Callable[..., Awaitable[T]],
    *args: object,
    seed: int = 0,
    limit_s: float = LIMIT_S,
    stuck_turns: int = STUCK_TURNS,
    trace: Trace | None = None,
) -> T:
    """Run `await main(*args)` under trio in virtual time, in an order that `seed` decides; return its result.

    The seed also decides the numbers of the module `random` and those of every `ActorSystem` made without a seed.
    An error of `main` is raised with a note that names the seed. Raises `SimulationStuck` when all tasks wait for ever,
    when `limit_s` virtual seconds are over, or after `stuck_turns` turns of the loop in one instant. Must not be called
    from a running trio loop. `trace` records the steps.
    """
    clock = virtual_time()
    watchdog = _Watchdog(clock, stuck_turns)
    instruments: list[trio.abc.Instrument] = [watchdog] if trace is None else [watchdog, trace]
    try:
        with seeded(seed):
            return trio.run(_bounded, main, args, limit_s, watchdog, clock=clock, instruments=instruments)
    except Exception as raised:
        error: Exception = raised
        if watchdog.aborted and isinstance(raised, trio.TrioInternalError):
            error = SimulationStuck("a task waits for ever, or goes in circles, and shields itself from its end")
        error.add_note(f"in a simulation with seed={seed}")
        raise error from (None if error is not raised else raised.__cause__)


def simulate_many(
    main: Callable[..., Awaitable[T]], *args: object, seeds: Iterable[int], limit_s: float = LIMIT_S
) -> dict[int, T]:
    """Run `simulate` with one seed after the other; return the result for each.

    Raises `SimulationFailed` for the first seed with which `main` raises; `simulate` with that seed repeats it.
    """
    results: dict[int, T] = {}
    for seed in seeds:
        try:
            results[seed] = simulate(main, *args, seed=seed, limit_s=limit_s)
        except Exception as error:
            raise SimulationFailed(seed, len(results), f"{type(error).__name__}: {error}") from error
    return results


async def _bounded(
    main: Callable[..., Awaitable[T]], args: tuple[object, ...], limit_s: float, watchdog: _Watchdog
) -> T:
    with watchdog.scope, trio.move_on_after(limit_s):
        return await main(*args)
    if watchdog.cancelled:
        raise SimulationStuck("the tasks go in circles: no virtual time passes")
    raise SimulationStuck(f"not over after {limit_s:g} virtual seconds: it takes long, or waits for ever")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let `seed` decide, for the length of the block, the order in which trio runs tasks, and the values of `random`.

    Put it around a `trio.run` of your own. Meanwhile a batch of an actor's messages ends by their number and not by the
    clock on the wall, and no task is reported for holding the loop.
    """
    order, switch = _scheduler._r, getattr(_scheduler, _SWITCH)
    order_before, numbers_before = order.getstate(), random.getstate()
    batch_clock = vars(serving)["perf_counter"]
    setattr(_scheduler, _SWITCH, True)
    order.seed(seed)
    random.seed(seed)
    vars(serving)["perf_counter"] = _BatchClock()
    watching = disabled.set(True)
    try:
        yield
    finally:
        disabled.reset(watching)
        vars(serving)["perf_counter"] = batch_clock
        random.setstate(numbers_before)
        order.setstate(order_before)
        setattr(_scheduler, _SWITCH, switch)


def _fail() -> float:
    raise SimulationStuck("this ends the run from inside of trio")


class _BatchClock:
    """Replaces the clock that ends an actor's batch of messages: each reading advances it by the same time."""

    def __init__(self) -> None:
        self._looks = 0

    def __call__(self) -> float:
        self._looks += 1
        return self._looks * LOOK_S
