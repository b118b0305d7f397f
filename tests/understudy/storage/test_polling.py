"""An actor that polls: at its start, after each poll's pause, and when told to. One that deletes what is old."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors import ActorSystem, ChildSpec
from understudy.storage.errors import StorageUnavailable
from understudy.storage.polling import Expiry, Poll, Poller


class Counting(Poller):
    def __init__(self, polled_at: list[float]) -> None:
        self.polled_at = polled_at

    async def poll(self) -> float:
        self.polled_at.append(trio.current_time())
        return 0.0 if len(self.polled_at) == 1 else 10.0


@pytest.mark.parametrize(("tells", "polls"), [(False, [0, 0, 10, 20]), (True, [0, 0, 5, 15])])
async def test_it_polls_at_its_start_after_each_pause_and_when_it_is_told(
    autojump_clock: MockClock, tells: bool, polls: list[int]
) -> None:
    polled_at: list[float] = []
    async with ActorSystem() as system:
        began = trio.current_time()
        poller = await system.spawn(ChildSpec("counting", partial(Counting, polled_at)))
        await trio.sleep(5)
        if tells:
            poller.tell(Poll())
        await trio.sleep(17)
    assert [round(at - began) for at in polled_at] == polls


class Parts:
    """A store in which each kind of data has parts that are old; each commit deletes one, in a second."""

    def __init__(self, **left: list[int]) -> None:
        self.left = left

    async def commit(self, kind: str) -> int:
        await trio.sleep(1)
        if kind not in self.left:
            raise StorageUnavailable("away")
        return self.left[kind].pop() if self.left[kind] else 0


async def test_old_data_is_deleted_part_by_part_with_rests(autojump_clock: MockClock) -> None:
    counted: list[int] = []
    store = Parts(sessions=[200, 7], entries=[], away=[1])
    began = trio.current_time()
    expiry = Expiry(store, lambda: "sessions", lambda: "entries", every_s=60.0, count=counted.append)  # type: ignore[arg-type, return-value]
    assert (await expiry.poll(), counted) == (60.0, [7, 200])
    assert trio.current_time() - began == pytest.approx(1 + 19 + 1 + 19 + 1 + 1)
    del store.left["sessions"]
    assert await expiry.poll() == 60.0
