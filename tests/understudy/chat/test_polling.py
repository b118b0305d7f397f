"""An actor that polls: at its start, after each poll's pause, and when told to."""

from functools import partial

import trio
import trio.testing

from actors import ActorSystem, ChildSpec
from understudy.chat.polling import Poll, Poller


class Counting(Poller):
    """Polls twice without a pause, then every ten seconds."""

    def __init__(self, polled_at: list[float]) -> None:
        self.polled_at = polled_at

    async def poll(self) -> float:
        """Note the time."""
        self.polled_at.append(trio.current_time())
        return 0.0 if len(self.polled_at) == 1 else 10.0


async def test_it_polls_at_its_start_and_after_each_pause(autojump_clock: trio.testing.MockClock) -> None:
    polled_at: list[float] = []
    async with ActorSystem() as system:
        began = trio.current_time()
        await system.spawn(ChildSpec("counting", partial(Counting, polled_at)))
        await trio.sleep(25)
    assert [round(at - began) for at in polled_at] == [0, 0, 10, 20]


async def test_it_polls_when_it_is_told_and_then_after_a_whole_pause(autojump_clock: trio.testing.MockClock) -> None:
    polled_at: list[float] = []
    async with ActorSystem() as system:
        began = trio.current_time()
        poller = await system.spawn(ChildSpec("counting", partial(Counting, polled_at)))
        await trio.sleep(5)
        poller.tell(Poll())
        await trio.sleep(15)
    assert [round(at - began) for at in polled_at] == [0, 0, 5, 15]
