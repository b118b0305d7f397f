import gc
import weakref

import pytest
import trio
import trio.testing

from actors import Backoff
from actors.behaviours.breaker import Breaker, CallTimeout, CircuitChange, CircuitOpen
from actors.behaviours.circuit import CircuitSpec, CircuitState, FailureCount

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
STEADY = Backoff(min_s=10.0, max_s=80.0, jitter=0.0)


def make(limit=1, *, name="db", spec=None, **options):
    """A breaker that opens after `limit` failures, for 10 s at first."""
    return Breaker(name, CircuitSpec(trip=FailureCount(limit), reset=STEADY, **(spec or {})), **options)


async def say(word):
    return word


async def fail(error=ValueError):
    raise error("no")


async def trip(breaker):
    with pytest.raises(ValueError, match="no"):
        await breaker.call(fail)


@pytest.fixture
async def breaker():
    return make()


async def test_an_open_breaker_refuses_at_once_and_does_not_call(autojump_clock):
    breaker = make(limit=2)
    await trip(breaker)
    assert breaker.state is CLOSED
    await trip(breaker)
    await trio.sleep(3)
    called = []
    with pytest.raises(CircuitOpen) as caught:
        await breaker.call(called.append, 1)
    assert (caught.value.name, caught.value.retry_after_s, called) == ("db", 7.0, [])
    assert isinstance(caught.value, trio.BusyResourceError)


async def test_after_the_reset_timeout_a_call_that_goes_well_closes_it(autojump_clock, breaker):
    await trip(breaker)
    await trio.sleep(10)
    assert breaker.state is HALF_OPEN
    await trip(breaker)
    await trio.sleep(19)
    assert breaker.state is OPEN
    await trio.sleep(1)
    assert await breaker.call(say, "hi") == "hi"
    assert breaker.state is CLOSED


async def test_a_block_is_guarded_like_a_call(autojump_clock, breaker):
    async with breaker:
        pass
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with breaker:
            raise error
    assert caught.value is error
    with pytest.raises(CircuitOpen):
        async with breaker:
            raise AssertionError("not reached")


async def test_many_tasks_may_be_inside_at_once_and_a_task_twice(autojump_clock):
    breaker = make(limit=100)
    most, tasks = [], weakref.WeakSet()

    async def visit(seconds):
        tasks.add(trio.lowlevel.current_task())
        async with breaker, breaker:
            await trio.sleep(seconds)
            most.append(breaker.statistics().in_work)

    async with trio.open_nursery() as nursery:
        for seconds in (3, 1, 2):
            nursery.start_soon(visit, seconds)
    assert most == [6, 4, 2]
    assert breaker.statistics().in_work == 0
    gc.collect()
    assert not tasks


async def test_a_call_that_takes_too_long_is_cancelled_and_counts(autojump_clock):
    breaker = make(call_timeout_s=2.0)
    with pytest.raises(CallTimeout) as caught:
        await breaker.call(trio.sleep_forever)
    assert trio.current_time() == 2.0
    assert (caught.value.name, caught.value.timeout_s) == ("db", 2.0)
    assert isinstance(caught.value, trio.TooSlowError)
    assert breaker.state is OPEN


async def test_a_result_may_count_as_a_failure(autojump_clock):
    breaker = make(bad_result=lambda status: status >= 500)
    assert await breaker.call(say, 404) == 404
    assert breaker.state is CLOSED
    assert await breaker.call(say, 503) == 503
    assert breaker.state is OPEN


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_cancelled_call_counts_neither_way_and_gives_its_trial_back(autojump_clock, breaker):
    await trip(breaker)
    await trio.sleep(10)
    for timeout_s in (1, 0, 2):
        with trio.move_on_after(timeout_s):
            await breaker.call(trio.sleep_forever)
        with trio.move_on_after(timeout_s):
            async with breaker:
                await trio.sleep_forever()
        assert breaker.state is HALF_OPEN
    assert breaker.statistics().in_work == 0
    assert await breaker.call(say, "hi") == "hi"
    assert breaker.state is CLOSED


async def test_an_error_beside_a_cancellation_counts_neither_way(autojump_clock, breaker):

    async def stubborn():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cut off")

    async def cut_off():
        with trio.move_on_after(1):
            async with breaker, trio.open_nursery() as nursery:
                nursery.start_soon(stubborn)
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup):
        await cut_off()
    assert breaker.state is CLOSED
    assert breaker.statistics().in_work == 0


async def test_an_interrupt_of_the_keyboard_passes_and_counts_neither_way(autojump_clock, breaker):
    with pytest.raises(KeyboardInterrupt):
        await breaker.call(fail, KeyboardInterrupt)
    assert breaker.state is CLOSED
    assert breaker.statistics().in_work == 0


async def test_outcomes_of_other_calls_can_be_reported(autojump_clock):
    breaker = make(limit=2)
    breaker.fail()
    breaker.succeed()
    breaker.fail()
    assert breaker.state is CLOSED
    breaker.fail()
    breaker.succeed()
    assert breaker.state is OPEN
    await trio.sleep(10)
    breaker.fail()
    assert breaker.state is OPEN
    await trio.sleep(20)
    breaker.succeed()
    assert breaker.state is CLOSED


async def test_a_trial_may_pass_before_its_time(autojump_clock, breaker):
    breaker.try_now()
    assert breaker.state is CLOSED
    await trip(breaker)
    breaker.try_now()
    assert breaker.state is HALF_OPEN
    await trip(breaker)
    assert breaker.statistics().retry_after_s == 20.0
    breaker.try_now()
    assert await breaker.call(say, "hi") == "hi"
    assert breaker.state is CLOSED


async def test_every_change_and_every_refusal_is_told(autojump_clock):
    changes, refusals = [], []
    breaker = make(on_change=changes.append, on_refused=refusals.append)
    await trip(breaker)
    for _ in range(2):
        with pytest.raises(CircuitOpen):
            await breaker.call(say, "hi")
    await trio.sleep(12)
    await breaker.call(say, "hi")
    assert changes == [
        CircuitChange("db", CLOSED, OPEN, 0.0, 10.0),
        CircuitChange("db", OPEN, HALF_OPEN, 12.0, 0.0),
        CircuitChange("db", HALF_OPEN, CLOSED, 12.0, 0.0),
    ]
    assert [(refusal.name, refusal.retry_after_s) for refusal in refusals] == [("db", 10.0)] * 2


async def test_a_hook_that_raises_harms_no_call(autojump_clock, caplog):
    def broken(_):
        raise RuntimeError("hook")

    breaker = make(on_change=broken, on_refused=broken)
    await trip(breaker)
    with pytest.raises(CircuitOpen):
        await breaker.call(say, "hi")
    assert [record.message for record in caplog.records] == ["a hook of the breaker db raised"] * 2


async def test_a_loop_over_a_refusing_breaker_lets_others_run(autojump_clock, breaker):
    await trip(breaker)
    refused = 0
    with trio.CancelScope() as scope:
        while refused < 100:
            refused += 1
            if refused == 50:
                scope.cancel()
            try:
                await breaker.call(say, "hi")
            except CircuitOpen:
                continue
    assert refused == 50
