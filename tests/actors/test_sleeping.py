"""Sleeps that share their wake-ups."""

import gc
import math
import weakref

import pytest
import trio
import trio.testing

from actors import sleep
from actors.sleeping import GRAIN_S


async def test_no_sleep_is_early_and_none_is_more_than_a_grain_late(autojump_clock, nursery):
    late = []

    async def nap(seconds, times):
        for _ in range(times):
            began = trio.current_time()
            await sleep(seconds)
            late.append(trio.current_time() - began - seconds)

    async with trio.open_nursery() as sleepers:
        for number in range(1000):
            sleepers.start_soon(nap, 0.001 + number * 1.7e-5, 5)
        sleepers.start_soon(nap, 86_400.0001, 1)
    assert len(late) == 5001
    assert min(late) >= -1e-9
    assert 0 < max(late) <= GRAIN_S + 1e-9


async def test_a_cancelled_sleep_ends_at_once_and_the_others_go_on(autojump_clock):
    ends, sleepers = [], weakref.WeakSet()

    async def nap(scope):
        sleepers.add(trio.lowlevel.current_task())
        with scope:
            await sleep(1)
        ends.append((trio.current_time(), scope.cancelled_caught))

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(nap, scope)
        await trio.testing.wait_all_tasks_blocked()
        scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert ends == [(0, True)]
        gc.collect()
        assert len(sleepers) == 2
    assert ends == [(0, True), (1, False), (1, False)]
    await sleep(1)  # the last moment that was shared is forgotten with the next
    gc.collect()
    assert len(sleepers) == 0


async def test_a_sleep_in_a_cancelled_scope_does_not_begin(autojump_clock):
    with trio.CancelScope() as scope:
        scope.cancel()
        await sleep(1)
    assert scope.cancelled_caught
    assert trio.current_time() == 0


async def test_a_sleep_has_the_edges_of_trios(autojump_clock):
    with trio.testing.assert_checkpoints():
        await sleep(0)
    with trio.testing.assert_checkpoints():
        await sleep(GRAIN_S)
    with trio.move_on_after(3600) as scope:
        await sleep(math.inf)
    assert scope.cancelled_caught
    for wrong in (-1, math.nan):
        with pytest.raises(ValueError, match=r"non-negative|NaN"):
            await sleep(wrong)


async def test_one_task_wakes_all(autojump_clock):
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task):
            self.count += 1

    async def nap():
        for _ in range(10):
            await sleep(0.03)

    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(nap)
    trio.lowlevel.remove_instrument(steps)
    assert 1100 <= steps.count < 1130


def test_a_sleep_that_outlasts_the_loops_tasks_still_ends():
    ends = []

    async def last():
        with trio.CancelScope(shield=True):
            for _ in range(2):
                await sleep(1)
                ends.append(trio.current_time())

    async def main():
        trio.lowlevel.spawn_system_task(last)
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert ends == [1, 2]
