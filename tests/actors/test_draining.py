"""`StopMode.AFTER_DRAIN`: what waits at the order is finished, and what comes later is refused."""

from contextlib import asynccontextmanager

import pytest
import trio

from actors import (
    ActorDied,
    Ask,
    Backoff,
    ChildSpec,
    CountChildren,
    Directive,
    Lane,
    MailboxSpec,
    Restart,
    Shutdown,
    StartChild,
    StopMode,
    Supervision,
    conflate,
)
from tests.actors.troupe import Boom, Player, Read, Run, player, settled, sleeping, tell

DRAIN = StopMode.AFTER_DRAIN


class Worker(Player):
    """Needs a tenth of a second for each message."""

    mailbox = MailboxSpec(capacity=10)

    async def receive(self, message, context):
        if not isinstance(message, Ask):
            await trio.sleep(0.1)
        await super().receive(message, context)


async def draining(nursery, ref):
    nursery.start_soon(ref.stop, DRAIN)
    await settled()


@pytest.mark.promise("stop.drain-closes", "ask.dead-fails-at-once")
@pytest.mark.parametrize("request_type", [Read, CountChildren])
async def test_a_request_during_a_drain_fails_at_once(autojump_clock, system, request_type):
    ref = await system.spawn(player("a", supervision=Supervision(), shutdown_s=100.0))
    await tell(ref, Boom())
    gate = trio.Event()
    ref.tell(Run(lambda _: gate.wait()))
    async with trio.open_nursery() as nursery:
        await draining(nursery, ref)
        with pytest.raises(ActorDied) as caught:
            await ref.ask(request_type())
        assert caught.value.reason == Shutdown()
        assert trio.current_time() == 0
        assert ref.alive
        gate.set()


@pytest.mark.promise("stop.drain-closes")
async def test_a_drain_finishes_all_that_came_before_the_order(autojump_clock, system):
    class Parent(Worker):
        supervision = Supervision()

    parent, answers = Parent(), []
    ref = await system.spawn(ChildSpec("parent", lambda: parent, shutdown_s=100.0))
    gate = trio.Event()

    async def hold(context):
        context.set_timer("t", 0.1, "timer")
        await gate.wait()

    ref.tell(Run(hold))
    async with trio.open_nursery() as nursery:

        async def ask(request):
            answers.append(type(await ref.ask(request, timeout_s=60)))

        await settled()
        nursery.start_soon(ask, StartChild(player("kid")))
        nursery.start_soon(ask, Read())
        await tell(ref, *range(9))
        nursery.start_soon(ref.send, "waited")
        await settled()
        await draining(nursery, ref)
        await trio.sleep(1)
        gate.set()
    assert [kind.__name__ for kind in answers] == ["ActorRef", "list"]
    assert parent.heard == ["timer", *range(9), "waited"]
    assert system.dead_letters.count == 0


@pytest.mark.promise("stop.drain-closes")
@pytest.mark.parametrize("policy", [None, conflate(str)], ids=["plain", "conflating"])
async def test_every_lane_and_every_way_in_is_closed(autojump_clock, system, policy):
    ref = await system.spawn(
        player("a", mailbox=MailboxSpec() if policy is None else MailboxSpec(overflow=policy), shutdown_s=100.0)
    )
    channel = ref.channel()
    gate = trio.Event()
    ref.tell(Run(lambda _: gate.wait()))
    ref.tell("before")
    async with trio.open_nursery() as nursery:
        await draining(nursery, ref)
        ref.tell("told")
        ref.tell("alert", lane=Lane.ALERT)
        await ref.send("sent")
        with pytest.raises(trio.BrokenResourceError, match="drains"):
            await channel.send("by channel")
        with pytest.raises(trio.BrokenResourceError, match="drains"):
            channel.send_nowait("by channel")
        assert ref.statistics()[Lane.NORMAL].depth == 1
        gate.set()
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [
        ("told", "stopping"),
        ("alert", "stopping"),
        ("sent", "stopping"),
    ]


class Lived(Player):
    """Has a lifespan."""

    @asynccontextmanager
    async def lifespan(self, context):
        yield


@pytest.mark.promise("stop.drain-survives")
@pytest.mark.parametrize(
    ("options", "messages", "heard"),
    [
        ({}, [0, 1, Boom(), 3, 4], [0, 1, 3, 4]),
        ({}, [Boom(), 1, Boom(), 3, Boom(), 5, Boom(), 7], [1, 3, 5]),  # one more than is tolerated
        ({}, [0, Boom()], [0]),
        ({"kind": Lived}, [Boom(), 1], [1]),
        ({"restart": Restart.TRANSIENT}, [Boom(), 1], [1]),
        ({"restart": Restart.TEMPORARY}, [0, Boom(), 2], [0]),
        ({"directives": {ValueError: Directive.STOP}}, [0, Boom(), 2], [0]),
        ({"directives": {ValueError: Directive.ESCALATE}}, [0, Boom(), 2], [0]),
        ({"directives": {ValueError: Directive.RESUME}}, [0, *[Boom()] * 5, 2], [0, 2]),
        ({"backoff": Backoff(100.0)}, [0, Boom(), 2], [0, 2]),
        ({"redeliver": 1}, [0, Boom(), 2], [0, 2]),
        ({"shutdown_s": 1.0}, [Run(sleeping(0.6)), Boom(), 2, Run(sleeping(0.6)), 4], [2]),
        ({"mailbox": MailboxSpec(overflow={Lane.NORMAL: conflate(id)})}, [0, Boom(), 2], [0, 2]),
        ({"supervision": Supervision()}, [0, Boom(), 2], [0, 2]),
    ],
)
async def test_a_drain_survives_what_the_supervisor_would_survive(autojump_clock, system, options, messages, heard):
    """Its second order changes nothing, and what is left in the end becomes dead letters, in order."""
    options, received = dict(options), []

    def make():
        actor = kind(**mine)
        actor.heard = received
        return actor

    kind = options.pop("kind", Player)
    mine = {key: options.pop(key) for key in ("mailbox", "supervision") if key in options}
    gate = trio.Event()
    ref = await system.spawn(ChildSpec("a", make, **options))
    for message in (Run(lambda _: gate.wait()), *messages):
        ref.tell(message)
    async with trio.open_nursery() as nursery:
        await draining(nursery, ref)
        gate.set()
        await draining(nursery, ref)
    assert received == heard
    plain = [message for message in messages if isinstance(message, int)]
    lost = [letter.message for letter in system.dead_letters if isinstance(letter.message, int)]
    assert heard + lost == plain
    assert not ref.alive


@pytest.mark.promise("stop.drain-survives")
@pytest.mark.parametrize("backoff", [None, Backoff(100.0)], ids=["starting", "backing off"])
@pytest.mark.parametrize("left", [[], [1, 2]])
async def test_a_drain_that_is_ordered_between_two_incarnations_finishes_what_waits(
    autojump_clock, system, backoff, left
):
    received, starts = [], []

    async def start(_):
        starts.append(trio.current_time())
        await trio.sleep(1 if len(starts) > 1 else 0)

    def make():
        actor = Player(starting=start)
        actor.heard = received
        return actor

    ref = await system.spawn(ChildSpec("a", make, backoff=backoff))
    await tell(ref, Boom(), *left)
    assert await ref.stop(DRAIN) == Shutdown()
    assert received == left
    assert system.dead_letters.count == 0
    assert trio.current_time() - starts[0] == (1 if left else 0)
