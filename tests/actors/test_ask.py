"""What becomes of an ask when nobody waits for it any more, and when nobody ever could answer."""

import traceback
from contextlib import suppress

import pytest
import trio

from actors import Actor, ActorDied, AskTimeout, ChildSpec, Restart
from tests.actors.troupe import Player, Read, Run, held, player, settled, tell


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


class Failing(Actor):
    """Fails each `Run` with its `act`."""

    async def receive(self, message, context):
        message.fail(message.act)


@pytest.mark.promise("bitten.cancelled-ask")
@pytest.mark.parametrize("timeout_s", [100, 0.5])
async def test_the_end_of_an_ask_by_its_caller_or_its_time_cancels_its_handling(autojump_clock, system, ref, timeout_s):
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


async def test_a_request_that_must_finish_is_finished(autojump_clock, ref):
    done = []
    with trio.move_on_after(1):
        await ref.ask(Lasting(effect(done)))
    await trio.sleep(20)
    assert done == ["begun", "done"]


async def test_a_request_that_is_answered_later_is_not_in_work(autojump_clock, system):
    kept, done = [], []

    class Later(Player):
        async def receive(self, message, context):
            await super().receive(message, context) if isinstance(message, Run) else kept.append(message)

    ref = await system.spawn(ChildSpec("a", Later))
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(ref.ask, Run(effect(done, 3)))
            await ref.ask(Read())
    kept[0].reply("too late")
    assert done == ["begun", "done"]
    assert system.late_replies == 1


async def test_a_handler_that_swallows_its_cancellation_goes_on_to_its_end(autojump_clock, ref):
    order = []

    async def stubborn(_):
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        order.append("swallowed")

    with trio.move_on_after(1):
        await ref.ask(Run(stubborn))
    await ref.ask(Run(effect(order, 1)))
    assert order == ["swallowed", "begun", "done"]


async def test_an_error_of_a_cancelled_handler_crashes_the_actor(autojump_clock, system, ref):
    async def bad(_):
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("on the way out")

    with trio.move_on_after(1):
        await ref.ask(Run(bad))
    await settled()
    node = system.tree().children[0]
    assert (node.restarts, node.last_error) == (1, "ValueError: on the way out")


@pytest.mark.parametrize(
    ("end", "when"),
    [("answer", 2), ("actor ends", 2), ("caller leaves", 5), ("time is up", pytest.approx(4, abs=0.02))],
)
async def test_the_functions_of_a_request_are_called_when_its_call_ends(autojump_clock, system, end, when):
    """In their order, once each, at once if it has ended; one that raises harms nobody."""
    ended, kept = [], []

    class Keeper(Actor):
        async def receive(self, message, context):
            kept.append(message)
            message.when_ended([].pop)
            message.when_ended(lambda: ended.append(trio.current_time()))
            message.when_ended(lambda: ended.append("second"))

    ref = await system.spawn(ChildSpec("keeper", Keeper, restart=Restart.TEMPORARY))

    async def ask():
        with suppress(ActorDied, AskTimeout), trio.move_on_after(5):
            await ref.ask(Read(), timeout_s=4 if end == "time is up" else 50)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(2)
        assert ended == []
        if end == "answer":
            kept[0].reply("yes")
        elif end == "actor ends":
            await ref.stop()
    assert ended == [when, "second"]
    kept[0].when_ended(lambda: ended.append("late"))
    assert ended[2:] == ["late"]
    kept[0].when_ended([].pop)
    assert system.event_errors == 2


async def test_each_asker_gets_an_error_of_its_own(autojump_clock, system):
    """One that is stored would keep the frames of all who asked, with their variables."""

    class Worn(Exception):
        def __init__(self, *, why):
            super().__init__("worn", why)
            self.why = why

    group = ExceptionGroup("g", [KeyError(1)])
    errors = [ValueError("stored"), Worn(why="old"), OSError(2, "no such file", "x"), group]
    raised = []
    ref = await system.spawn(ChildSpec("failing", Failing))
    for error in errors:
        error.__cause__ = KeyError("because")
        error.add_note("a note")
        for _ in range(3):
            with pytest.raises(type(error)) as caught:
                await ref.ask(Run(error))
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
    ref = await system.spawn(ChildSpec("failing", Failing))
    with pytest.raises(Only) as caught:
        await ref.ask(Run(error))
    assert caught.value is error


@pytest.mark.parametrize("wrong", ["text", None, ValueError, KeyboardInterrupt()])
async def test_a_request_is_failed_with_an_exception_only(autojump_clock, system, wrong):
    ref = await system.spawn(ChildSpec("failing", Failing, restart=Restart.TEMPORARY))
    with pytest.raises(ActorDied) as caught:
        await ref.ask(Run(wrong))
    assert isinstance(caught.value.__cause__, TypeError)
    assert "a request fails with an exception, not with" in str(caught.value.__cause__)


async def test_an_ask_into_a_circle_of_others_freezes_nothing(autojump_clock, system):
    kept = []

    class Passing(Player):
        """Keeps the first `Read`, which is given back to its mailbox."""

        async def receive(self, message, context):
            if isinstance(message, Read) and not kept:
                kept.append(message)
            else:
                await super().receive(message, context)

    b = await system.spawn(ChildSpec("b", Passing))
    c, d = [await system.spawn(player(name)) for name in "cd"]
    await tell(c, Run(lambda _: b.ask(Read(), timeout_s=20)))
    await tell(b, Run(lambda _: c.ask(Run(lambda _: None), timeout_s=20)))
    b.tell(kept[0])
    with pytest.raises(AskTimeout):
        await d.ask(Run(lambda _: b.ask(Run(print), timeout_s=5)), timeout_s=3)
    assert trio.current_time() == pytest.approx(3, abs=0.05)


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
    await tell(ref, *range(4))
    await trio.sleep(2)
    assert handled == [(1, 0), (2, 1), (2, 2), (2, 3)]


async def test_control_messages_never_hold_the_loop(autojump_clock, system):
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
