import pytest
import trio
from attrs import frozen

from actors import Actor, Ask, ChildSpec, Unanswered
from actors.behaviours.forwarding import scope_of


@frozen
class Frozen(Ask[int]):
    number: int
    word: str = "w"


@frozen
class Commit(Frozen):
    must_finish = True


async def test_work_for_those_who_have_gone_is_cancelled_and_no_other(autojump_clock, system):
    ended = []

    class Slow(Actor):
        async def receive(self, message, context):
            context.start_soon(self.work, message)

        async def work(self, request):
            with scope_of(request) as scope:
                await trio.sleep(5)
                ended.append((request.number, trio.current_time()))
            if scope.cancelled_caught:
                ended.append((request.number, "cancelled", trio.current_time()))

    ref = await system.spawn(ChildSpec("slow", Slow))

    async def stay():
        with pytest.raises(Unanswered):
            await ref.ask(Frozen(1), timeout_s=8)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay)
        with trio.move_on_after(1):
            async with trio.open_nursery() as leaving:
                leaving.start_soon(ref.ask, Frozen(2))
                leaving.start_soon(ref.ask, Commit(3))
    assert sorted(ended) == [(1, 5), (2, "cancelled", 1), (3, 5)]
