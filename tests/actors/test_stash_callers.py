"""Requests that are set aside: their callers wait, leave, or are told."""

import pytest
import trio
from attrs import frozen

from actors import ActorDied, AskCycle, AskTimeout, Crashed, Restart
from actors.stash import Stash
from tests.actors.keepers import Open, Put, crash, hang, keeping, lost, taking
from tests.actors.troupe import Run, player, settled


@frozen(eq=False)
class LastingPut(Put):
    must_finish = True


class Callers:
    """Those who ask a keeper: what they got, and a way to let them leave."""

    def __init__(self, nursery, keeper):
        self.nursery = nursery
        self.keeper = keeper
        self.got = {}
        self.scopes = {}

    async def ask(self, *requests):
        """Let one caller ask for each, and wait until all is done that can be."""
        for request in requests:
            self.nursery.start_soon(self._call, request)
            await settled()

    async def leave(self, word):
        self.scopes[word].cancel()
        await settled()

    async def _call(self, request):
        with trio.CancelScope() as self.scopes[request.word]:
            try:
                self.got[request.word] = await self.keeper.ref.ask(request, timeout_s=1e6)
            except ActorDied as error:
                self.got[request.word] = error


@pytest.fixture
async def callers(keeper):
    async with trio.open_nursery() as nursery:
        yield Callers(nursery, keeper)
        nursery.cancel_scope.cancel()


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_request_whose_caller_leaves_is_taken_out(autojump_clock, keeper):
    with trio.move_on_after(1):
        await keeper.ref.ask(Put("cancelled"))
    with pytest.raises(AskTimeout):
        await keeper.ref.ask(Put("late"), timeout_s=1)
    await keeper.note("a")
    assert keeper.aside == ["a"]
    await keeper.tell(Open())
    assert keeper.done == ["a"]


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_caller_that_leaves_cuts_its_own_request_short_and_no_other(autojump_clock, keeper, callers):
    await callers.ask(Put("a"), Put("b", hang), Put("c", taking(1)))
    await keeper.tell(Open())
    await callers.leave("b")
    await trio.sleep(2)
    assert keeper.done == ["a", "c"]
    assert callers.got == {"a": ["a"], "c": ["a", "c"]}
    assert len(keeper.incarnations) == 1


async def test_a_request_that_was_answered_early_comes_back_all_the_same(autojump_clock, keeper, callers, system):
    await callers.ask(Put("a"), Put("b"))
    for request in keeper.stash:
        request.reply("early")
    await settled()
    assert callers.got == {"a": "early", "b": "early"}
    await keeper.do(lambda keeper, _: keeper.stash.unstash(1))
    assert keeper.aside == ["a", "b"]
    await keeper.ref.stop()
    assert lost(system) == []
    assert system.late_replies == 0


@pytest.mark.promise("ask.death-during-call", "stop.queue")
async def test_callers_hear_of_the_end(autojump_clock, keeper, callers):
    await callers.ask(Put("a"), Put("b", hang), Put("c"))
    await keeper.tell(Open())
    await keeper.ref.stop()
    await settled()
    assert callers.got.pop("a") == ["a"]
    assert sorted(callers.got) == ["b", "c"]
    assert all(isinstance(error, ActorDied) for error in callers.got.values())


@pytest.mark.promise("ask.death-during-call")
async def test_a_crash_fails_the_caller_in_work_and_no_other(autojump_clock, keeper, callers):
    await callers.ask(Put("a"), Put("bad", crash), Put("b"))
    await keeper.tell(Open())
    assert sorted(callers.got) == ["a", "bad"]
    assert isinstance(callers.got["bad"].reason, Crashed)
    assert isinstance(callers.got["bad"].__cause__, ValueError)
    assert keeper.aside == ["b"]
    await keeper.tell(Open())
    assert callers.got["b"] == ["a", "b"]


@pytest.mark.promise("ask.death-during-call")
@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TEMPORARY])
async def test_a_request_that_is_set_aside_and_fails_in_the_same_turn_is_failed(autojump_clock, system, restart):
    def aside(context):
        Stash(context).stash(request)
        raise ValueError("afterwards")

    keeper = await keeping(system, restart=restart)
    request = Run(aside)
    with pytest.raises(ActorDied):
        await keeper.ref.ask(request, timeout_s=1e6)
    await settled()
    assert len(keeper.incarnations) == (2 if restart is Restart.PERMANENT else 1)
    assert lost(system) == []


@pytest.mark.promise("bad.cycle")
async def test_a_circle_through_a_request_that_is_set_aside_is_found(autojump_clock, keeper, system):
    other = await system.spawn(player("other"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.ask, Run(lambda _: keeper.ref.ask(Put("a"))))
        await settled()

        async def ask_back(*_):
            with pytest.raises(AskCycle):
                await other.ask(Run(lambda _: None))

        await keeper.do(ask_back)
        await keeper.tell(Open())
    assert keeper.done == ["a"]
