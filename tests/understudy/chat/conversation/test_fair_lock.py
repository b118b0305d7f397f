"""Whose turn it is."""

import trio
import trio.testing

from understudy.chat.conversation.fair_lock import FairLock


async def test_one_task_at_a_time_has_the_turn_in_the_order_of_arrival() -> None:
    turn, had, leave = FairLock(), list[int](), trio.Event()

    async def take(number: int) -> None:
        async with turn:
            had.append(number)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(take, number)
            await trio.testing.wait_all_tasks_blocked()
        assert had == [0]
        leave.set()
    assert had == [0, 1, 2]


async def test_a_task_that_is_cancelled_while_it_waits_or_works_blocks_nobody() -> None:
    turn, cancelled = FairLock(), trio.CancelScope()

    async def wait() -> None:
        with cancelled:
            async with turn:
                raise AssertionError("it has the turn")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as work:
            async with turn:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                cancelled.cancel()
                work.cancel()
                await trio.sleep_forever()
    with trio.fail_after(1):
        async with turn:
            pass
