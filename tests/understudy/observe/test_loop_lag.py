"""The actor that measures how late the loop is."""

import time

import pytest
import trio

from actors import ActorSystem, ChildSpec
from understudy.observe.loop_lag import EVERY_S, LoopLag


@pytest.mark.proof("timing")
async def test_a_loop_that_is_held_is_late(nursery: trio.Nursery) -> None:
    lags: list[float] = []
    heard, channel = trio.open_memory_channel[None](10)

    def observe(late_s: float) -> None:
        lags.append(late_s)
        heard.send_nowait(None)

    async with ActorSystem("lag") as system:
        await system.spawn(ChildSpec("loop_lag", lambda: LoopLag(observe)))
        with trio.fail_after(30 * EVERY_S):
            await channel.receive()
            time.sleep(EVERY_S + 0.5)  # noqa: ASYNC251 - this is what holds it
            await channel.receive()
    assert lags[1] >= 0.5
