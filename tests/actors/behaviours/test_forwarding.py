import pytest
import trio
from attrs import define, frozen

from actors import Actor, Ask, ChildSpec, Unanswered
from actors.behaviours.forwarding import copy_request, scope_of


@frozen
class Frozen(Ask[int]):
    number: int
    word: str = "w"


@define(slots=False)
class Roomy(Ask[int]):
    number: int


class Plain(Ask[int]):
    def __init__(self, number):
        self.number = number


class Slotted(Ask[int]):
    __slots__ = ("__hidden", "number", "unset")

    def __init__(self, number):
        self.number = number
        self.__hidden = number

    def hidden(self):
        return self.__hidden


@frozen
class Commit(Frozen):
    must_finish = True


class Doubler(Actor):
    async def receive(self, message, context):
        message.reply(message.number * 2)


async def test_a_request_can_be_asked_anew_whatever_its_class_is_made_of(autojump_clock, system):
    """The copy has its fields and no call of its own; what was asked stays as it is."""
    ref = await system.spawn(ChildSpec("doubler", Doubler))
    for request in (Frozen(1), Roomy(1), Plain(1), Slotted(1), copy_request(Slotted(1))):
        assert await ref.ask(request) == 2
        copy = copy_request(request)
        assert type(copy) is type(request)
        assert not copy.waiting
        assert await ref.ask(copy) == 2
    assert copy_request(Frozen(3, "x")) == Frozen(3, "x")
    assert copy_request(Slotted(4)).hidden() == 4
    assert not hasattr(copy_request(Slotted(4)), "unset")


async def test_work_for_those_who_have_gone_is_cancelled_and_no_other(autojump_clock, system):
    """At once; what must finish goes on, as does what somebody waits for."""
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
