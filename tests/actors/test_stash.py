"""What an actor sets aside: the order in which it comes back, and how much there may be of it."""

from contextvars import ContextVar

import pytest
import trio
from attrs import frozen

from actors import Actor, ActorCrashed, ActorSystem, ChildSpec, InvalidSpec, Lane, Shutdown, StopMode
from actors.stash import Stash, StashCleared, StashFull
from tests.actors.keepers import Keeper, Note, Open, Put, Restless, crash, keeping, lost, taking
from tests.actors.troupe import Boom, calls, of_type, tell

word: ContextVar[str] = ContextVar("word", default="none")


# What it holds


async def test_a_stash_tells_what_it_holds(autojump_clock, keeper):
    first, second = Note("a"), Note("b")
    await keeper.tell(first, second)
    assert len(keeper.stash) == 2
    assert keeper.stash.head is first
    assert list(keeper.stash) == [first, second]
    assert second in keeper.stash
    assert Note("c") not in keeper.stash
    assert not keeper.stash.is_full
    assert keeper.stash.capacity == 10
    await keeper.tell(Open())
    assert not keeper.stash
    with pytest.raises(IndexError, match="the stash is empty"):
        _ = keeper.stash.head


async def test_a_stash_that_is_full_refuses_and_keeps_what_it_has(autojump_clock, system):
    keeper = await keeping(system, capacity=2)
    await keeper.note("a b")
    assert keeper.stash.is_full

    def refused(keeper, _):
        with pytest.raises(StashFull) as caught:
            keeper.stash.stash(Note("c"))
        with pytest.raises(StashFull):
            keeper.stash.check_room()
        return caught.value

    error = await keeper.do(refused)
    assert str(error) == "/test/keeper: the stash holds 2 messages and is full"
    assert isinstance(error, trio.WouldBlock)
    await keeper.tell(Open())
    assert keeper.done == ["a", "b"]


@pytest.mark.parametrize("capacity", [0, -1, True, 1.5, None])
async def test_a_stash_without_a_bound_is_refused(autojump_clock, keeper, capacity):
    def refused(_, context):
        with pytest.raises(InvalidSpec, match="capacity: must be a whole number above zero"):
            Stash(context, capacity)

    await keeper.do(refused)


# How it comes back


async def test_messages_come_back_in_order_before_what_waits_in_the_mailbox(autojump_clock, keeper):
    await keeper.note("a b")
    await tell(keeper.ref, Open(), Note("c"))
    await keeper.do(lambda keeper, _: setattr(keeper, "open", False))
    await keeper.note("d e")

    def reopen(keeper, context):
        keeper.open = True
        context.ref.tell(Note("alert"), lane=Lane.ALERT)
        keeper.stash.unstash_all()

    await keeper.do(reopen)
    assert keeper.done == ["a", "b", "c", "d", "e", "alert"]


async def test_only_control_messages_go_before_unstashed_ones(autojump_clock, keeper):
    await keeper.tell(*(Note(word, taking(2)) for word in "ab"))
    await keeper.do(lambda _, context: context.set_timer("t", 1, Note("timer")))
    keeper.ref.tell(Open())
    keeper.ref.tell(Note("c"))
    await trio.sleep(5)
    assert keeper.done == ["a", "timer", "b", "c"]


class Choosy(Keeper):
    """Sets each word that ends with a question mark aside once more when it comes back."""

    async def write(self, message, context):
        if message.word.endswith("?") and message not in self.asked:
            self.asked.append(message)
            self.stash.stash(message)
        else:
            await super().write(message, context)

    async def on_start(self, context):
        self.asked = []
        await super().on_start(context)


async def test_several_stashes_are_one_line(autojump_clock, keeper):
    def sort(keeper, context):
        stashes = [Stash(context), Stash(context)]
        for number in range(6):
            stashes[number % 2].stash(Note(str(number)))
        keeper.open = True
        for stash in reversed(stashes):
            stash.unstash_all()

    await keeper.do(sort)
    assert keeper.done == list("012345")


class Endless(Keeper):
    """Has every note again at once, and writes down each time."""

    async def receive(self, message, context):
        self.done.append(message.word)
        self.stash.stash(message)
        self.stash.unstash_all()


@pytest.mark.promise("bitten.three-stops")
async def test_a_message_that_always_comes_back_holds_neither_the_loop_nor_a_stop(autojump_clock, system):
    keeper = await keeping(system, kind=Endless)
    keeper.ref.tell(Note("a"))
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    assert len(keeper.done) > 1
    with trio.fail_after(1):
        assert await keeper.ref.stop(StopMode.AFTER_MESSAGE) == Shutdown()
    assert lost(system) == [("a", "stash", "stopped")]


async def test_an_idle_actor_takes_what_its_own_task_unstashes(autojump_clock, keeper):
    async def later(keeper):
        await trio.sleep(1)
        keeper.open = True
        keeper.stash.unstash_all()

    await keeper.note("a")
    await keeper.do(lambda keeper, context: context.start_soon(later, keeper))
    await trio.sleep(2)
    assert keeper.done == ["a"]


async def test_messages_can_be_set_aside_and_come_back_in_the_start_hook(autojump_clock, system):
    received = []

    class Early(Actor):
        async def on_start(self, context):
            stash = Stash(context, 2)
            stash.stash("a")
            stash.unstash_all()

        async def receive(self, message, context):
            received.append(message)

    ref = await system.spawn(ChildSpec("early", Early))
    await tell(ref, "b")
    assert received == ["a", "b"]


# A turn of its own


@frozen
class Culprit(Note):
    """Another type, to be named in a report."""


@pytest.mark.promise("report.crash-once")
async def test_a_crash_names_the_message_that_came_back(autojump_clock, keeper, events):
    await keeper.tell(Note("a"), Culprit("b", crash), Open())
    crashes = of_type(events, ActorCrashed)
    assert [crashed.message_type for crashed in crashes] == ["Culprit"]
    assert keeper.done == ["a"]


async def test_an_unstashed_message_brings_its_context_values(autojump_clock):
    async with ActorSystem("s", carry=(word,), on_event=lambda _: None) as system:
        keeper = await keeping(system)
        received = []
        for value in ("first", "second"):
            word.set(value)
            keeper.ref.tell(Note(value, lambda *_: received.append(word.get())))
        word.set("other")
        await keeper.do(lambda keeper, _: keeper.stash.unstash_all())
        await keeper.tell(Open())
        assert received == ["first", "second"]


# Giving up


@pytest.mark.promise("bitten.every-drop-counted")
async def test_giving_up_loses_nothing_unseen(autojump_clock, keeper, system):
    async with calls(lambda: keeper.ref.ask(Put("b"), timeout_s=1e6)) as outcomes:
        await keeper.tell(Note("a"))
        await keeper.do(lambda keeper, _: keeper.stash.clear())
    assert list(map(type, outcomes)) == [StashCleared]
    assert str(outcomes[0]) == "/test/keeper gave up Put, which it had set aside"
    assert not keeper.stash
    assert lost(system) == [("a", "stash", "cleared")]
    assert keeper.ref.alive


async def test_clearing_a_stash_gives_up_what_comes_back_from_it_too(autojump_clock, keeper, system):
    await keeper.note("a b")

    def act(keeper, _):
        keeper.stash.unstash(1)
        keeper.stash.clear()
        keeper.open = True

    await keeper.do(act)
    assert keeper.done == []
    assert lost(system) == [("a", "stash", "cleared"), ("b", "stash", "cleared")]


async def test_clearing_a_stash_leaves_what_comes_back_from_another(autojump_clock, keeper, system):
    await keeper.note("a b")

    def act(keeper, context):
        other = Stash(context)
        other.stash("of another")
        other.unstash_all()
        keeper.stash.unstash_all()
        keeper.stash.clear()
        assert keeper.stash.returning == 1
        keeper.open = True

    await keeper.do(act)
    assert lost(system) == [("a", "stash", "cleared"), ("b", "stash", "cleared")]


async def test_clearing_a_stash_gives_up_what_an_earlier_incarnation_had_set_aside(autojump_clock, system):
    class Forgetful(Restless):
        async def on_start(self, context):
            await super().on_start(context)
            self.stash.clear()

    keeper = await keeping(system, kind=Forgetful)
    await keeper.note("a")
    await keeper.tell(Boom())
    await keeper.do(lambda keeper, _: setattr(keeper, "open", True))
    assert keeper.done == []
    assert lost(system) == [("a", "stash", "cleared")]


async def test_a_request_that_is_answered_and_then_given_up_is_no_failure(autojump_clock, keeper, system):
    async with calls(lambda: keeper.ref.ask(Put("a"))) as answers:
        await keeper.do(lambda keeper, _: keeper.stash.head.reply(["early"]))
    assert answers == [["early"]]
    await keeper.do(lambda keeper, _: keeper.stash.clear())
    assert lost(system) == []
    assert system.late_replies == 0
