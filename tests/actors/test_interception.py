"""What may stand between a mailbox and its actor."""

from functools import partial

import trio

from actors import ActorSystem
from tests.actors.troupe import Boom, Read, Run, player, tell


def recording(calls, paths=()):
    """An interceptor that writes down what is received, by whom."""

    def interceptor(ref, receive):
        if paths and ref.path not in paths:
            return receive

        async def recorded(message, context):
            calls.append((ref.path, type(message).__name__, "begin"))
            try:
                await receive(message, context)
            finally:
                calls.append((ref.path, type(message).__name__, "end"))

        return recorded

    return interceptor


async def test_an_interceptor_sees_every_message_of_the_actors_it_wants(autojump_clock, system):
    a, b = [await system.spawn(player(name)) for name in "ab"]
    await a.ask(Read())
    calls = []
    remove = system.intercept(recording(calls, ["/test/a"]))
    await a.ask(Read())
    await b.ask(Read())
    assert calls == [("/test/a", "Read", "begin"), ("/test/a", "Read", "end")]
    remove()
    remove()
    await a.ask(Read())
    assert len(calls) == 2


async def test_interceptors_stand_around_one_another(autojump_clock, system, ref):
    order = []

    def named(name, _, receive):
        async def around(message, context):
            order.append(name)
            await receive(message, context)

        return around

    for name in ("inner", "outer"):
        system.intercept(partial(named, name))
    await ref.ask(Read())
    assert order == ["outer", "inner"]


async def test_an_error_of_an_interceptor_crashes_the_actor(autojump_clock, system):
    def interceptor(ref, receive):
        async def failing(message, context):
            raise OSError("chaos")

        return failing if ref.path == "/test/a" else receive

    remove = system.intercept(interceptor)
    ref = await system.spawn(player("a"))
    await tell(ref, "x")
    remove()
    assert await ref.ask(Read()) == []
    assert system.tree().children[0].last_error == "OSError: chaos"


async def test_an_interceptor_that_cannot_be_asked_is_left_out(autojump_clock, system, ref, caplog):
    def interceptor(ref, receive):
        raise RuntimeError("no")

    system.intercept(interceptor)
    await tell(ref, "x")
    assert await ref.ask(Read()) == ["x"]
    assert system.interceptor_errors > 0
    assert "left out" in caplog.text


async def test_listeners_hear_every_record_and_harm_nobody(autojump_clock, system, events, caplog):
    received = []
    remove = system.listen(received.append)

    def deaf(_):
        raise RuntimeError("deaf")

    system.listen(deaf)
    ref = await system.spawn(player("a"))
    await ref.stop()
    assert received == events[-len(received) :]
    assert system.event_errors == len(received)
    remove()
    remove()
    count = len(received)
    await system.spawn(player("b"))
    assert len(received) == count


async def test_an_interceptor_is_asked_once_for_each_incarnation(autojump_clock, system, ref):
    paths = []

    def interceptor(ref, receive):
        paths.append(ref.path)
        return receive

    system.intercept(interceptor)
    for number in range(5):
        await ref.ask(Run(lambda context, number=number: context.set_timer(number, 1, "timer")))
    await trio.sleep(2)
    assert paths.count("/test/a") == 1
    await tell(ref, Boom())
    await ref.ask(Read())
    assert paths.count("/test/a") == 2


async def test_a_listener_that_loses_messages_itself_is_not_told_of_those(autojump_clock):
    async with ActorSystem("s") as system:
        dead = await system.spawn(player("dead"))
        await dead.stop()
        system.listen(dead.tell)
        subscribed = []
        system.dead_letters.subscribe(subscribed.append)
        count = system.dead_letters.count
        ref = await system.spawn(player("a"))
        assert system.dead_letters.count == count + 1
        await ref.stop()
        assert system.dead_letters.count == count + 2
        assert subscribed == []
        dead.tell("a message of ours")
        assert system.dead_letters.count == count + 4
        assert [letter.message for letter in subscribed] == ["a message of ours"]
        assert system.event_errors == 0


async def test_a_listener_removed_during_an_event_does_not_get_it(autojump_clock, system):
    received = []
    removers = []
    system.listen(lambda _: removers[0]())
    removers.append(system.listen(received.append))
    await system.spawn(player("a"))
    assert received == []
