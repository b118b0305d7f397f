"""The queue to the caller."""

import trio
from trio.testing import wait_all_tasks_blocked

from transport.client.decoder import read_event
from transport.client.exchange import Inbox
from understudy.wire.vocabulary import VOCABULARY

EVENTS = [read_event({"type": "ping", "seq": seq}, VOCABULARY.events) for seq in range(1, 9)]


async def test_a_put_waits_for_room() -> None:
    """In number, and in bytes; one larger than all the room goes in alone."""
    for inbox, size in ((Inbox(max_events=2), 1), (Inbox(max_bytes=100), 40), (Inbox(max_bytes=2), 1)):
        async with trio.open_nursery() as nursery:
            for event in EVENTS[:3]:
                nursery.start_soon(inbox.put, event, size)
            await wait_all_tasks_blocked()
            assert len(inbox) == 2
            await inbox.get()
            await wait_all_tasks_blocked()
            assert len(inbox) == 2
    small = Inbox(max_bytes=2)
    await small.put(EVENTS[0], 1000)
    assert len(small) == 1
    assert not small.fits(1)


async def test_a_get_waits_for_an_event() -> None:
    """Each waiter gets one; a cancelled one takes none along; the close wakes the rest."""
    inbox, events = Inbox(), []

    async def get() -> None:
        events.append(await inbox.get())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(get)
        with trio.CancelScope() as scope:
            scope.cancel()
            await inbox.get()
        await wait_all_tasks_blocked()
        for event in EVENTS[:2]:
            await inbox.put(event, 1)
        await wait_all_tasks_blocked()
        inbox.close()
    assert events == [*EVENTS[:2], None]


async def test_getting_is_a_checkpoint() -> None:
    inbox = Inbox()
    await inbox.put(EVENTS[0], 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.get()
    assert scope.cancelled_caught
    assert await inbox.get() == EVENTS[0]
