"""Messages that wait for a database that is away: how long, how many, and what comes of them."""

from typing import Any

import pytest
import trio
import trio.testing

from transport.wire.errors import CommandRejected
from understudy.chat.storage_retry import StorageRetry
from understudy.storage.errors import StorageUnavailable


class Base:
    """A database that is away until a time, and who asks for it."""

    def __init__(self, back_at: float) -> None:
        self.back_at = back_at
        self.looks = 0
        self.tries = 0

    @property
    def away(self) -> bool:
        return trio.current_time() < self.back_at

    async def check(self) -> None:
        self.looks += 1
        await trio.sleep(0.05)
        if self.away:
            raise StorageUnavailable("away")

    async def take(self) -> str:
        self.tries += 1
        if self.away:
            raise CommandRejected("storage_unavailable", retry_after=1.0)
        return "taken"


async def test_nobody_waits_while_all_is_well(autojump_clock: Any) -> None:
    """One try, and no look."""
    store = Base(trio.current_time() + 0)
    patience = StorageRetry(store, 5.0, 10)
    assert await patience.run(store.take) == "taken"
    assert (store.tries, store.looks, patience.waiting) == (1, 0, 0)


async def test_a_message_waits_until_the_database_is_back(autojump_clock: Any) -> None:
    """And is taken as soon as it is; before that it is not tried again and again."""
    store = Base(trio.current_time() + 2.0)
    patience, began = StorageRetry(store, 5.0, 10), trio.current_time()
    assert await patience.run(store.take) == "taken"
    assert 2.0 <= trio.current_time() - began < 2.6
    assert (store.tries, patience.waiting) == (2, 0)


async def test_one_that_waited_in_vain_is_refused(autojump_clock: Any) -> None:
    """When its time is over, with the refusal it would have had at once."""
    store = Base(trio.current_time() + 60.0)
    patience, began = StorageRetry(store, 5.0, 10), trio.current_time()
    with pytest.raises(CommandRejected) as caught:
        await patience.run(store.take)
    assert (caught.value.code, caught.value.retry_after) == ("storage_unavailable", 1.0)
    assert trio.current_time() - began == pytest.approx(5.0)
    assert (store.tries, patience.waiting) == (1, 0)


async def test_what_is_refused_for_another_reason_does_not_wait(autojump_clock: Any) -> None:
    """Not at first, and not when it is tried again."""
    store = Base(trio.current_time() + 1.0)

    async def empty() -> None:
        raise CommandRejected("empty_message")

    async def later_busy() -> str:
        if store.away:
            return await store.take()
        raise CommandRejected("busy")

    patience = StorageRetry(store, 5.0, 10)
    with pytest.raises(CommandRejected, match="empty"):
        await patience.run(empty)
    assert store.looks == 0
    with pytest.raises(CommandRejected) as caught:
        await patience.run(later_busy)
    assert caught.value.code == "busy"


async def test_so_many_wait_and_one_looks_for_all(autojump_clock: Any) -> None:
    """One more is refused at once; a place is free again when its message has gone, whichever way."""
    store = Base(trio.current_time() + 2.0)
    patience = StorageRetry(store, 5.0, 3)
    taken: list[str] = []

    async def say() -> None:
        taken.append(await patience.run(store.take))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(say)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(CommandRejected):
            await patience.run(store.take)
        assert trio.current_time() == began
        leaving = trio.CancelScope()

        async def leave() -> None:
            with leaving:
                await say()

        patience.capacity = 4
        nursery.start_soon(leave)
        await trio.testing.wait_all_tasks_blocked()
        leaving.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert patience.waiting == 3
    assert taken == ["taken"] * 3
    assert store.looks <= 10
    assert patience.waiting == 0


async def test_who_looks_may_leave(autojump_clock: Any) -> None:
    """Another one looks then; nobody waits for somebody who has gone."""
    store = Base(trio.current_time() + 1.0)
    patience = StorageRetry(store, 5.0, 3)
    with trio.CancelScope() as first:
        async with trio.open_nursery() as nursery:

            async def other() -> None:
                with trio.CancelScope(shield=True), trio.fail_after(3):
                    assert await patience.run(store.take) == "taken"

            nursery.start_soon(patience.run, store.take)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            first.cancel()
    assert patience.waiting == 0
