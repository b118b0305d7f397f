import trio
import trio.testing

from actors.timers import ASK_GRAIN_S, Timers
from tests.rigs.memory import kept_bytes


class Entry:
    def __init__(self):
        self.expired_at = None

    def expire(self):
        self.expired_at = trio.current_time()


async def test_timers_fire_in_their_order_and_time(autojump_clock, nursery):
    timers, fired = Timers(), []
    nursery.start_soon(timers.run)
    for delay_s in (5.0, 1.0, 3.0):
        timers.after(delay_s, lambda delay_s=delay_s: fired.append((delay_s, trio.current_time())))
    await trio.sleep(2)
    timers.after(0.5, lambda: fired.append((0.5, trio.current_time())))
    await trio.sleep(10)
    assert fired == [(1.0, 1.0), (0.5, 2.5), (3.0, 3.0), (5.0, 5.0)]
    assert len(timers) == 0
    nursery.cancel_scope.cancel()


async def test_cancelled_timers_are_swept_out(autojump_clock, nursery):
    timers = Timers()
    kept = timers.after(1e6, lambda: None)
    with kept_bytes() as left:
        for _ in range(10_000):
            timers.after(1e6, lambda: None).cancel()
    assert left.size < 100_000  # ten bytes for each
    assert len(timers) == 1
    kept.cancel()
    kept.cancel()
    assert len(timers) == 0


async def test_deadlines_of_one_moment_share_an_entry_and_are_never_early(autojump_clock, nursery):
    timers = Timers()
    nursery.start_soon(timers.run)
    entries = [Entry() for _ in range(100)]
    for number, entry in enumerate(entries):
        timers.share(1.0 + number * 1e-5, entry)
    called_off = Entry()
    timers.share(1.0, called_off).pop(called_off)
    assert len(timers) <= 2
    await trio.sleep(5)
    for number, entry in enumerate(entries):
        assert 1.0 + number * 1e-5 <= entry.expired_at <= 1.0 + number * 1e-5 + ASK_GRAIN_S
    assert called_off.expired_at is None
    nursery.cancel_scope.cancel()


async def test_deadlines_that_nothing_waits_for_do_not_wake_the_task(autojump_clock, nursery):
    timers, kept, again = Timers(), Entry(), Entry()
    nursery.start_soon(timers.run)
    timers.after(1.0, lambda: None)
    for seconds in range(3, 9):
        entry = Entry()
        group = timers.share(seconds, entry)
        if seconds == 6:
            timers.share(seconds, kept)
        group.pop(entry)
    assert len(timers) == 7
    await trio.sleep(2)
    assert len(timers) == 3, "the deadlines at 6, 7 and 8 seconds"
    timers.share(2.0, again)
    await trio.sleep(5)
    assert (again.expired_at, kept.expired_at) == (4.0, 6.0)
    assert len(timers) == 0
    nursery.cancel_scope.cancel()
