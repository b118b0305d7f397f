"""Virtual time: exact, in order, and fast."""

import time

import pytest
import trio
import trio.testing

from actors import Backoff
from actors.testing import advance, eventually, settle, virtual_time
from tests.actors.troupe import Read, player


@pytest.mark.promise("testing.virtual-time")
def test_an_hours_backoff_takes_milliseconds():
    from actors import ActorSystem

    async def main():
        async with ActorSystem("s", intensity=1, on_event=lambda _: None) as system:
            ref = await system.spawn(player("a", backoff=Backoff(min_s=3600.0, max_s=3600.0, jitter=0.0)))
            ref.kill()
            assert await ref.ask(Read(), timeout_s=7200.0) == []
            return trio.current_time()

    began = time.monotonic()
    assert trio.run(main, clock=virtual_time()) == 3600.0
    assert time.monotonic() - began < 60  # a busy machine takes its time, but no hour


@pytest.mark.parametrize("clock", [trio.testing.MockClock(), virtual_time()], ids=["by hand", "jumping"])
@pytest.mark.promise("testing.virtual-time")
def test_advance_does_what_is_due_in_its_order_and_nothing_more(clock):
    done = []

    async def sleeper(seconds):
        await trio.sleep(seconds)
        done.append((seconds, trio.current_time()))

    async def main():
        async with trio.open_nursery() as nursery:
            for seconds in (3, 0.1, 1, 2):
                nursery.start_soon(sleeper, seconds)
            began = trio.current_time()
            await advance(2)
            assert trio.current_time() == began + 2
            assert [seconds for seconds, _ in done] == [0.1, 1, 2]
            await advance(0.5)
            assert len(done) == 3
            await advance(0.5)
        assert done[-1] == (3, began + 3)

    trio.run(main, clock=clock)


async def test_advance_needs_a_clock_that_can_be_moved():
    with pytest.raises(TypeError, match="virtual"):
        await advance(1)


async def test_advance_goes_forward_only(autojump_clock):
    with pytest.raises(ValueError, match="backwards"):
        await advance(-1)


async def test_settle_lets_everybody_run_and_no_time_pass(autojump_clock):
    done = []

    async def work():
        for number in range(10):
            await trio.lowlevel.checkpoint()
            done.append(number)
        await trio.sleep(1)
        done.append("late")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await settle()
        assert done == list(range(10))
        assert trio.current_time() == 0


async def test_eventually_waits_for_a_check_to_hold(autojump_clock):
    def late():
        assert trio.current_time() > 2

    async def later():
        await trio.lowlevel.checkpoint()
        assert trio.current_time() > 3

    await eventually(late)
    await eventually(later)
    assert 3 < trio.current_time() < 3.5
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0)


async def test_eventually_lets_the_last_failure_through(autojump_clock):
    def never():
        raise AssertionError(f"at {trio.current_time():.0f}")

    with pytest.raises(AssertionError, match="at 5"):
        await eventually(never)
