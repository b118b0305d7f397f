"""AdmissionControl control: who is admitted, who waits, and who is refused, by a clock of the tests' own."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from transport.wire.errors import CommandRejected
from understudy.chat import registry
from understudy.chat.registry import STANDING_S, WAIT_S, AdmissionControl


class Crowd:
    """Messages that are accepted in `takes_s` seconds each, with what became of them and when."""

    def __init__(self, takes_s: float) -> None:
        self.admission = AdmissionControl()
        self.takes_s = takes_s
        self.began = trio.current_time()
        self.accepted: list[tuple[int, float]] = []
        self.refused: list[tuple[int, float, str]] = []

    async def send(self, number: int) -> None:
        try:
            async with self.admission.admitted():
                await trio.sleep(self.takes_s)
                self.accepted.append((number, trio.current_time() - self.began))
        except CommandRejected as refused:
            self.refused.append((number, trio.current_time() - self.began, refused.code))


@pytest.fixture(autouse=True)
def three_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "AT_A_TIME", 3)


async def test_a_crowd_is_admitted_in_order_and_the_rest_refused_in_time(autojump_clock: MockClock) -> None:
    crowd = Crowd(takes_s=2.0)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(crowd.send, number)
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(crowd.accepted) == [(number, pytest.approx(2.0 + 2.0 * (number // 3))) for number in range(9)]
    assert sorted(crowd.refused) == [(number, pytest.approx(WAIT_S), "busy") for number in range(9, 20)]


async def test_a_message_is_refused_at_once_while_others_have_waited_for_long(autojump_clock: MockClock) -> None:
    crowd = Crowd(takes_s=2.0)
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(crowd.send, number)
        await trio.sleep(STANDING_S / 2)
        crowd.admission.check()
        nursery.start_soon(crowd.send, 4)
        await trio.sleep(STANDING_S)
        nursery.start_soon(crowd.send, 5)
        with pytest.raises(CommandRejected):
            crowd.admission.check()
    assert crowd.refused == [(5, pytest.approx(1.5 * STANDING_S), "busy")]
    crowd.admission.check()
    assert sorted(number for number, _ in crowd.accepted) == [0, 1, 2, 3, 4]


async def test_a_message_that_is_withdrawn_or_fails_frees_its_place(autojump_clock: MockClock) -> None:
    crowd = Crowd(takes_s=0.5)
    async with trio.open_nursery() as nursery:  # three at work, three waiting, all of whom leave
        for number in range(6):
            nursery.start_soon(crowd.send, number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    for _ in range(4):
        with pytest.raises(LookupError):
            async with crowd.admission.admitted():
                raise LookupError
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(crowd.send, number)
    assert (len(crowd.accepted), crowd.refused) == (6, [])
