"""What a running tool yields, in batches."""

from typing import Any

import trio
import trio.testing

from understudy.chat.run.partials import MAX_WAITING, PUBLISH_S, Partials


async def test_items_come_in_batches_and_a_fast_tool_waits(autojump_clock: trio.testing.MockClock) -> None:
    """The first item is published at once; then at most one batch in each interval, of at most `MAX_WAITING` items."""
    began = trio.current_time()
    published: list[tuple[float, int, int]] = []

    async def publish(offset: int, items: list[Any]) -> None:
        published.append((round(trio.current_time() - began, 3), offset, len(items)))

    partials = Partials(publish)
    async with trio.open_nursery() as nursery:
        partials.start_soon = nursery.start_soon
        await partials.add("first")
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2 * MAX_WAITING + 1):
            await partials.add(number)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert published == [
        (0.0, 0, 1),
        (PUBLISH_S, 1, MAX_WAITING),
        (2 * PUBLISH_S, 1 + MAX_WAITING, MAX_WAITING),
        (round(3 * PUBLISH_S, 3), 1 + 2 * MAX_WAITING, 1),
    ]
