"""A sleep for programs in which many tasks sleep: one task of the loop wakes them all.

1. No sleep ends early. It ends up to `GRAIN_S` late, so tasks that are due at about the same time share one wake-up of
   the loop. Each sleep is measured from its own call.
2. A sleeper has no cancel scope and gets no `Cancelled` at its end: these are most of the cost of `trio.sleep`.
3. The task that wakes the others is a system task of the loop. It starts with the first sleep, waits without a deadline
   while no task sleeps, and ends with the loop. A task that still sleeps then goes on with trio's own timeout.
"""

from __future__ import annotations

import math

import trio

from .timers import Expiring, Timers
from .wakeup import WOKEN

GRAIN_S = 1 / 128
"""Sleeps end at multiples of this, in seconds: some 8 ms, which is half a frame on a screen."""


class Sleeper:
    """One sleep in progress."""

    __slots__ = ("due", "group", "task")

    group: dict[Expiring, None]
    """All sleepers that wake at this time."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task = task
        self.due: bool = False

    def expire(self) -> None:
        """Wake the task: its time is over."""
        self.due = True
        self.wake()

    def wake(self) -> None:
        """Wake the task, which reads `due`."""
        del self.group  # the group refers to this sleeper
        trio.lowlevel.reschedule(self.task, WOKEN)

    def abandon(self, _: object) -> trio.lowlevel.Abort:
        """Forget the sleep: its task was cancelled."""
        self.group.pop(self)
        return trio.lowlevel.Abort.SUCCEEDED


class Alarm:
    """The sleepers of one loop, and the task that wakes them."""

    def __init__(self) -> None:
        self.timers: Timers = Timers()
        self.ended: bool = False

    async def run(self) -> None:
        """Wake the sleepers until cancelled; then wake all others, which go on with trio's own timeout."""
        try:
            await self.timers.run()
        finally:
            self.ended = True
            for sleeper in self.timers.pop_shared():
                if isinstance(sleeper, Sleeper):
                    sleeper.wake()


_alarm: trio.lowlevel.RunVar[Alarm | None] = trio.lowlevel.RunVar("actors.sleeping", None)


async def sleep(seconds: float) -> None:
    """Sleep as `trio.sleep` does, up to 8 ms longer, at a fraction of its cost if many tasks sleep.

    A checkpoint, also for zero seconds; follows the loop's clock, virtual or real. For tasks that pace what they send,
    in any trio program, with or without actors. Raises `ValueError` if `seconds` is negative or NaN.
    """
    if not 0 < seconds < math.inf:
        await trio.sleep(seconds)
        return
    alarm = _alarm.get()
    if alarm is None:
        alarm = Alarm()
        _alarm.set(alarm)
        trio.lowlevel.spawn_system_task(alarm.run, name="actors.sleep")
    at = math.ceil((alarm.timers.now() + seconds) / GRAIN_S) * GRAIN_S
    if not alarm.ended:
        sleeper = Sleeper(trio.lowlevel.current_task())
        sleeper.group = alarm.timers.share_at(at, sleeper)
        await trio.lowlevel.wait_task_rescheduled(sleeper.abandon)
        if sleeper.due:
            return
    await trio.sleep_until(at)
