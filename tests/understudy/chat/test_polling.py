"""An actor that polls: at its start, after each poll's pause, and when told to."""

from functools import partial

import pytest
import trio
import trio.testing

from actors import ActorSystem, ChildSpec
from understudy.chat.polling import Poll, Poller


class Counting(Poller):
    def __init__(self, polled_at: list[float]) -> None:
        self.polled_at = polled_at

    async def poll(self) -> float:
        self.polled_at.append(trio.current_time())
        return 0.0 if len(self.polled_at) == 1 else 10.0


@pytest.mark.parametrize(("told", "polls"), [(False, [0, 0, 10, 20]), (True, [0, 0, 5, 15])])
async def test_it_polls_at_its_start_after_each_pause_and_when_it_is_told(
    autojump_clock: trio.testing.MockClock, told: bool, polls: list[int]
) -> None:
    polled_at: list[float] = []
    async with ActorSystem() as system:
        began = trio.current_time()
        poller = await system.spawn(ChildSpec("counting", partial(Counting, polled_at)))
        await trio.sleep(5)
        if told:
            poller.tell(Poll())
        await trio.sleep(17)
    assert [round(at - began) for at in polled_at] == polls
