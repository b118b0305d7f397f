"""What becomes of an ask when nobody waits for it any more, and when nobody ever could answer."""

import traceback
from contextlib import suppress
from functools import partial

import pytest
import trio

from actors import Actor, ActorDied, Ask, AskTimeout, ChildSpec, Restart, StopMode
from tests.actors.troupe import Player, Read, Run, collect, held, player, settled, sleeping, tell


class Lasting(Run):
    """A request whose handling goes on when nobody waits any more."""

    must_finish = True


def effect(done, seconds=10.0):
    """Something that takes a while before it has an effect."""

    async def act(context):
        done.append("begun")
        await trio.sleep(seconds)
        done.append("done")

    return act


@pytest.mark.promise("bitten.cancelled-ask")
@pytest.mark.parametrize("timeout_s", [100, 0.5])
async def test_the_end_of_an_ask_by_its_caller_or_its_time_cancels_its_handling(autojump_clock, system, timeout_s):
    ref = await system.spawn(player("a"))
    ref.tell("before")
    done = []
    with trio.move_on_after(1), suppress(AskTimeout):
        await ref.ask(Run(effect(done)), timeout_s=timeout_s)
    ref.tell("after")
    assert await ref.ask(Read()) == ["before", "after"]
    await trio.sleep(20)
    assert done == ["begun"]
    assert system.tree().children[0].restarts == 0
    assert held(ref) == {}


async def test_a_request_that_must_finish_is_finished(autojump_clock, system):
    ref = await system.spawn(player("a"))
    done = []
    with trio.move_on_after(1):
        await ref.ask(Lasting(effect(done)))
    await trio.sleep(20)
    assert done == ["begun", "done"]


async def test_only_the_request_in_work_is_cancelled(autojump_clock, system):
    ref = await system.spawn(player("a"))
    done = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.ask, Run(effect(done, 3)))
        await settled()
        with trio.move_on_after(1):
            await ref.ask(Run(effect(done)))
    assert done == ["begun", "done"]


async def test_a_request_that_is_answered_later_is_not_in_work(autojump_clock, system):
    kept = []

    class Later(Player):
        async def receive(self, message, context):
            if isinstance(message, Ask) and not isinstance(message, Run | Read):
                kept.append(message)
            else:
                await super().receive(message, context)

    class Defer(Ask):
        pass

    ref = await system.spawn(ChildSpec("a", Later))
    done = []
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(ref.ask, Run(effect(done, 3)))
            await ref.ask(Defer())
    kept[0].reply("too late")
    assert done == ["begun", "done"]
    assert system.late_replies == 1


async def test_cleaning_up_in_a_cancelled_handler_is_waited_for(autojump_clock, system):
    order = []

    async def tidy(context):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            order.append("tidied")

    ref = await system.spawn(player("a"))
    with trio.move_on_after(1):
        await ref.ask(Run(tidy))
    await ref.ask(Run(lambda _: order.append("next")))
    assert order == ["tidied", "next"]


async def test_a_handler_that_swallows_its_cancellation_goes_on_to_its_end(autojump_clock, system):
    order = []

    async def stubborn(context):
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            order.append("swallowed")

    ref = await system.spawn(player("a"))
    with trio.move_on_after(1):
        await ref.ask(Run(stubborn))

    async def careful(_):
        await trio.sleep(1)
        order.append("next")

    await ref.ask(Run(careful))
    assert order == ["swallowed", "next"]


async def test_what_a_cancelled_handler_raises_crashes_the_actor(autojump_clock, system):
    async def bad(context):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("on the way out")

    ref = await system.spawn(player("a"))
    with trio.move_on_after(1):
        await ref.ask(Run(bad))
    await settled()
    node = system.tree().children[0]
    assert (node.restarts, node.last_error) == (1, "ValueError: on the way out")


@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_stop_meets_a_cancelled_ask(autojump_clock, system, mode):
    ref = await system.spawn(player("a"))
    done = []
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1), suppress(ActorDied):
            nursery.start_soon(ref.stop, mode)
            await ref.ask(Run(effect(done)))
    assert not ref.alive
    await trio.sleep(20)
    assert "done" not in done


async def test_the_own_tasks_and_children_of_the_actor_outlive_a_cancelled_request(autojump_clock, system):
    beats = []

    async def beat():
        while True:
            beats.append(trio.current_time())
            await trio.sleep(1)

    ref = await system.spawn(player("a"))
    await ref.ask(Run(lambda context: context.start_soon(beat)))
    with trio.move_on_after(2.5):
        await ref.ask(Run(sleeping()))
    await trio.sleep(2)
    assert len(beats) == 5


async def test_cancelling_reaches_through_a_chain_of_asks(autojump_clock, system):
    done = []
    last = await system.spawn(player("last"))

    async def pass_on(context):
        await last.ask(Run(effect(done)), timeout_s=100)

    first = await system.spawn(player("first"))
    with trio.move_on_after(1):
        await first.ask(Run(pass_on), timeout_s=100)
    await trio.sleep(20)
    assert done == ["begun"]


@pytest.mark.parametrize("end", ["answer", "caller leaves", "actor ends"])
async def test_who_keeps_a_request_hears_when_nobody_waits_for_it_any_more(autojump_clock, system, end):
    heard, kept = [], []

    class Question(Ask):
        pass

    class Keeper(Actor):
        async def receive(self, message, context):
            kept.append(message)
            message.when_ended(lambda: heard.append(trio.current_time()))
            message.when_ended(lambda: heard.append("second"))

    ref = await system.spawn(ChildSpec("keeper", Keeper, restart=Restart.TEMPORARY))

    async def ask():
        with suppress(ActorDied), trio.move_on_after(5):
            await ref.ask(Question(), timeout_s=50)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settled()
        assert heard == []
        await trio.sleep(2)
        if end == "answer":
            kept[0].reply("yes")
        elif end == "actor ends":
            await ref.stop()
    assert heard == [5 if end == "caller leaves" else 2, "second"]
    kept[0].when_ended(lambda: heard.append("late"))
    assert heard[-1] == "late"


@pytest.mark.parametrize("end", ["answer", "caller leaves", "time is up", "actor ends"])
async def test_a_function_that_raises_when_a_call_ends_harms_nobody(autojump_clock, system, end):
    heard, kept = [], []

    class Keeper(Player):
        async def receive(self, message, context):
            if isinstance(message, Read):
                message.reply(["here"])
            else:
                kept.append(message)
                message.when_ended([].pop)
                message.when_ended(lambda: heard.append("second"))

    ref = await system.spawn(ChildSpec("keeper", Keeper))

    async def ask():
        with suppress(ActorDied, AskTimeout), trio.move_on_after(5 if end == "caller leaves" else 50):
            await ref.ask(Run(None), timeout_s=9)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settled()
        if end == "answer":
            kept[0].reply("yes")
        elif end == "actor ends":
            ref.kill()
    assert (heard, system.event_errors) == (["second"], 1)
    kept[0].when_ended([].pop)
    assert system.event_errors == 2
    assert await ref.ask(Read()) == ["here"]


async def test_each_asker_gets_an_error_of_its_own(autojump_clock, system):
    """One that is stored would keep the frames of all who asked, with their variables."""

    class Worn(Exception):
        def __init__(self, *, why):
            super().__init__("worn", why)
            self.why = why

    group = ExceptionGroup("g", [KeyError(1)])
    errors = [ValueError("stored"), Worn(why="old"), OSError(2, "no such file", "x"), group]
    for error in errors:
        error.__cause__ = KeyError("because")
        error.add_note("a note")
    raised = []

    class Failing(Actor):
        async def receive(self, message, context):
            message.fail(errors[message.act])

    ref = await system.spawn(ChildSpec("failing", Failing))
    for number, error in enumerate(errors):
        for _ in range(3):
            with pytest.raises(type(error)) as caught:
                await ref.ask(Run(number))
            raised.append(caught.value)
            assert (str(caught.value), caught.value.args) == (str(error), error.args)
            assert (caught.value.__cause__, caught.value.__notes__) == (error.__cause__, ["a note"])
        assert error.__traceback__ is None
        assert len({len(traceback.extract_tb(failure.__traceback__)) for failure in raised[-3:]}) == 1
    assert len(set(map(id, raised + errors))) == 4 * len(errors)
    assert {failure.why for failure in raised if isinstance(failure, Worn)} == {"old"}


async def test_an_error_that_cannot_be_copied_is_given_as_it_is(autojump_clock, system):

    class Only(Exception):
        def __new__(cls, *, secret):
            return super().__new__(cls, "only")

        def __init__(self, *, secret):
            super().__init__("only")

    error = Only(secret=1)

    class Failing(Actor):
        async def receive(self, message, context):
            message.fail(error)

    ref = await system.spawn(ChildSpec("failing", Failing))
    with pytest.raises(Only) as caught:
        await ref.ask(Read())
    assert caught.value is error


@pytest.mark.parametrize("wrong", ["text", None, ValueError, KeyboardInterrupt()])
async def test_what_is_no_exception_is_refused_where_it_is_written(autojump_clock, system, wrong):
    class Failing(Actor):
        async def receive(self, message, context):
            message.fail(wrong)

    ref = await system.spawn(ChildSpec("failing", Failing, restart=Restart.TEMPORARY))
    with pytest.raises(ActorDied) as caught:
        await ref.ask(Read())
    assert isinstance(caught.value.__cause__, TypeError)
    assert "a request fails with an exception, not with" in str(caught.value.__cause__)


async def test_an_actor_knows_how_it_was_told_to_end(autojump_clock, system):
    modes = []

    async def slow(context):
        modes.append(context.stopping)
        await trio.sleep(2)
        modes.append(context.stopping)

    ref = await system.spawn(player("a"))
    await tell(ref, Run(slow))
    await ref.stop(StopMode.AFTER_DRAIN)
    assert modes == [None, StopMode.AFTER_DRAIN]


async def test_waiting_for_somebody_busy_is_no_circle(autojump_clock, system):
    a, b, c = [await system.spawn(player(name)) for name in "abc"]

    async def slow(_):
        await trio.sleep(3)
        return "c"

    async def via(_):
        return await c.ask(Run(slow), timeout_s=50)

    async with trio.open_nursery() as nursery:
        for ref in (a, b):
            nursery.start_soon(partial(ref.ask, Run(via), timeout_s=50))
    assert trio.current_time() >= 6


async def test_an_actor_that_asks_from_a_task_of_its_own_may_ask_itself(autojump_clock, system):
    ref = await system.spawn(player("a"))
    answers = []

    await ref.ask(Run(lambda context: context.start_soon(collect, answers, lambda: ref.ask(Read()))))
    await settled()
    assert answers == [[]]


async def test_an_ask_into_a_circle_of_others_freezes_nothing(autojump_clock, system):
    kept = []

    class Passing(Player):
        """Puts a request aside; gives it back to its own mailbox when it is told to."""

        async def receive(self, message, context):
            if isinstance(message, Read) and not kept:
                kept.append(message)
            else:
                await super().receive(message, context)

    b = await system.spawn(ChildSpec("b", Passing))
    c = await system.spawn(player("c"))

    async def ask_b(_):
        with suppress(AskTimeout):
            await b.ask(Read(), timeout_s=20)

    async def ask_c(_):
        with suppress(AskTimeout):
            await c.ask(Run(lambda _: None), timeout_s=20)

    async def give_back():
        b.tell(kept[0])

    await tell(c, Run(ask_b))
    await tell(b, Run(ask_c))
    await give_back()
    start = trio.current_time()
    with pytest.raises(AskTimeout):
        await (await system.spawn(player("d"))).ask(Run(lambda _: b.ask(Run(print), timeout_s=5)), timeout_s=3)
    assert trio.current_time() == pytest.approx(start + 3, abs=0.05)


@pytest.mark.promise("stop.grace-overrun")
@pytest.mark.parametrize("end", ["kill", "crash"])
async def test_a_condemned_actor_handles_no_further_message(autojump_clock, system, end):
    handled = []

    async def fail():
        raise ValueError("an own task failed")

    class Doomed(Actor):
        async def receive(self, message, context):
            handled.append((context.incarnation, message))
            if message == 0 and end == "kill":
                context.ref.kill()
            elif message == 0:
                context.start_soon(fail)
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)

    ref = await system.spawn(ChildSpec("a", Doomed))
    for number in range(4):
        ref.tell(number)
    await trio.sleep(2)
    assert handled == [(1, 0), (2, 1), (2, 2), (2, 3)]


async def test_what_goes_before_all_lanes_never_holds_the_loop(autojump_clock, system):
    dead = await system.spawn(player("dead"))
    await dead.stop()

    class Morbid(Actor):
        async def on_start(self, context):
            context.watch(dead)

        async def receive(self, message, context):
            context.watch(dead)

    ref = await system.spawn(ChildSpec("a", Morbid))
    other = await system.spawn(player("b"))
    for _ in range(20):
        assert await other.ask(Read()) == []
    await ref.stop()
