"""Messages that are set aside and fail: they are given again in their place, or found to be poison, or skipped."""

from contextvars import ContextVar

import pytest
import trio

from actors import Actor, ChildSpec, Directive, Stash
from tests.actors.keepers import Keeper, Note, Open, Put, keeping, lost
from tests.actors.troupe import settled

word: ContextVar[str] = ContextVar("word", default="none")


class Tries:
    """What a message may do: crash the first few times."""

    def __init__(self, failures):
        self.left = failures
        self.values = []

    def __call__(self, *_):
        self.values.append(word.get())
        self.left -= 1
        if self.left >= 0:
            raise ValueError(f"try {len(self.values)}")


async def opened(keeper, times):
    for _ in range(times):
        await keeper.tell(Open())


@pytest.mark.promise("restart.poison")
async def test_a_poisonous_message_is_found_behind_a_stash(autojump_clock, system):
    keeper = await keeping(system, redeliver=2)
    bad = Tries(99)
    await keeper.tell(Note("a"), Note("bad", bad), Note("b"))
    await opened(keeper, 4)
    assert keeper.done == ["a", "b"]
    assert len(bad.values) == 3
    assert lost(system) == [("bad", "again", "poison")]
    assert next(iter(system.dead_letters)).history == tuple(f"ValueError: try {number}" for number in (1, 2, 3))


@pytest.mark.promise("stop.queue")
async def test_a_message_that_waits_to_be_given_again_is_no_secret_at_the_end(autojump_clock, system):
    keeper = await keeping(system, redeliver=5)
    await keeper.tell(Note("bad", Tries(99)), Open())
    await keeper.ref.stop()
    assert lost(system) == [("bad", "again", "stopped")]
    assert next(iter(system.dead_letters)).history == ("ValueError: try 1",)


@pytest.mark.promise("bitten.cancelled-ask")
@pytest.mark.parametrize("must_finish", [False, True])
async def test_a_request_whose_caller_leaves_in_the_turn_it_is_set_aside_in_is_taken_out(
    autojump_clock, system, must_finish
):
    class Lasting(Put):
        must_finish = True

    class Slow(Keeper):
        async def receive(self, message, context):
            await super().receive(message, context)
            if isinstance(message, Put):
                await trio.sleep(2)
                self.done.append("slept")

    keeper = await keeping(system, kind=Slow)
    with trio.move_on_after(1):
        await keeper.ref.ask(Lasting("a") if must_finish else Put("a"))
    await trio.sleep(5)
    assert keeper.aside == []
    assert keeper.done == (["slept"] if must_finish else [])


async def test_a_message_that_is_set_aside_and_then_skipped_does_not_come_back(autojump_clock, system):
    class Hasty(Keeper):
        async def receive(self, message, context):
            await super().receive(message, context)
            if isinstance(message, Put):
                raise ValueError("afterwards")

    keeper = await keeping(system, kind=Hasty, directives={ValueError: Directive.RESUME})
    await keeper.note("a")
    with pytest.raises(ValueError, match="afterwards"):
        await keeper.ref.ask(Put("b"))
    await keeper.note("c")
    assert keeper.aside == ["a", "c"]


async def test_a_crash_over_one_of_several_messages_that_are_the_same_object_loses_one(autojump_clock, system):
    handled = []

    class Ticking(Actor):
        async def on_start(self, context):
            self.aside = Stash(context)

        async def receive(self, message, context):
            if context.incarnation > 1:
                handled.append(message)
            elif len(self.aside) < 3:
                self.aside.stash(message)
            else:
                raise ValueError("the fourth")

    ref = await system.spawn(ChildSpec("a", Ticking))
    for _ in range(4):
        ref.tell("tick")
    await settled()
    assert handled == ["tick"] * 3
