"""An actor alone: what it does, read as data."""

import pytest
import trio
from attrs import frozen

from actors import Actor, ActorDied, Ask, ChildSpec, Lane, Restart, StartFailed, StopMode, Supervision
from actors.testing import (
    Asked,
    KillOrdered,
    Outlived,
    ProbeFailure,
    Recorder,
    Refused,
    Replied,
    SaidHealthy,
    Spawned,
    StopOrdered,
    Stopped,
    TaskStarted,
    TimerCancelled,
    TimerSet,
    Told,
    Unhandled,
    Unwatched,
    Watched,
    WouldWait,
    settle,
)
from tests.actors.troupe import Player, Run, player, sleeping


@frozen
class Order:
    """Somebody wants so many."""

    n: int


@frozen(eq=False)
class Stock(Ask[int]):
    """How many are there?"""


class Shop(Actor):
    """Asks the store, tells the till, and closes when there is nothing left."""

    supervision = Supervision()

    def __init__(self, store, till):
        self.store, self.till = store, till
        self.kept = []

    async def receive(self, message, context):
        match message:
            case Order(n):
                left = await self.store.ask(Stock(), timeout_s=3.0)
                self.till.tell(("sold", min(n, left)), lane=Lane.HIGH)
                if left <= n:
                    context.stop()
            case Stock() as ask:
                self.kept.append(ask)
            case "open":
                context.set_timer("close", 8 * 3600.0, "close")
                await context.spawn(player("clerk", restart=Restart.TRANSIENT))
                context.watch(self.store, vital=True)
            case "close":
                for ask in self.kept:
                    ask.reply(0)
            case _:
                context.unhandled(message)


@pytest.fixture
def shop():
    stage = Recorder(Shop(None, None))
    stage.actor.store, stage.actor.till = stage.actor_at("/system/store"), stage.actor_at("/system/till")
    return stage


@pytest.mark.promise("testing.probes")
def test_a_handler_can_be_run_without_any_loop(shop):
    shop.answer(Stock, lambda request: 5)
    shop.receive_nowait(Order(3))
    ask, effect = shop.take_effects()
    assert isinstance(ask, Asked)
    assert (ask.to, type(ask.request), ask.timeout_s) == ("/system/store", Stock, 3.0)
    assert effect == Told("/system/till", ("sold", 3), Lane.HIGH)
    assert shop.take_effects() == []
    assert not shop.stopped
    shop.receive_nowait(Order(9))
    assert shop.effects_of(Told) == [Told("/system/till", ("sold", 5), Lane.HIGH)]
    assert shop.effects[-1] == Stopped()
    assert shop.stopped
    with pytest.raises(ActorDied):
        shop.receive_nowait(Order(1))


def test_waiting_is_refused_without_a_loop(shop):
    with pytest.raises(WouldWait):
        shop.receive_nowait(Order(3))
    stage = Recorder(Player())
    with pytest.raises(WouldWait):
        stage.ask_nowait(Run(sleeping(1)))

    def fail(context):
        raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="own"):
        stage.ask_nowait(Run(fail))


async def test_an_answer_can_be_given_later(autojump_clock, shop):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.receive, Order(3))
        await settle()
        (ask,) = shop.take_effects()
        ask.request.reply(2)
    assert shop.take_effects() == [Told("/system/till", ("sold", 2), Lane.HIGH), Stopped()]


def test_timers_children_and_watches_are_read_as_data(shop):
    shop.receive_nowait("open")
    timer, spawned, watched = shop.take_effects()
    assert timer == TimerSet("close", 8 * 3600.0, "close")
    assert shop.timers == {"close": timer}
    assert isinstance(spawned, Spawned)
    assert (spawned.spec.id, spawned.spec.restart) == ("clerk", Restart.TRANSIENT)
    assert watched == Watched("/system/store", vital=True)
    shop.fire_nowait("close")
    with pytest.raises(ProbeFailure, match="no timer 'close' is set"):
        shop.fire_nowait("close")


def test_a_repeated_timer_fires_again():
    class Clock(Actor):
        async def receive(self, message, context):
            if message == "start":
                context.set_timer("tick", 1, "tick", every_s=60)

    clock = Recorder(Clock())
    clock.receive_nowait("start")
    assert clock.take_effects() == [TimerSet("tick", 1, "tick", 60)]
    clock.fire_nowait("tick")
    clock.fire_nowait("tick")
    assert "tick" in clock.timers


def test_a_late_answer_of_the_actor_is_an_effect(shop):
    request = Stock()
    with pytest.raises(ProbeFailure, match="Stock was not answered yet"):
        shop.ask_nowait(request)
    assert shop.take_effects() == []
    shop.receive_nowait("close")
    assert shop.take_effects() == [Replied(request, 0)]


def test_an_error_comes_through_and_ends_it(shop):
    def broken(request):
        raise ConnectionError("no store")

    shop.answer(Stock, broken)
    with pytest.raises(ConnectionError):
        shop.receive_nowait(Order(1))
    assert str(shop.exit) == "crashed: ConnectionError"
    with pytest.raises(ActorDied, match="ConnectionError"):
        shop.receive_nowait("close")


def test_a_child_can_be_made_to_fail_its_start(shop):
    shop.refuse("clerk", StartFailed("/system/recorded/clerk", OSError()))
    with pytest.raises(StartFailed):
        shop.receive_nowait("open")
    assert shop.context.children() == []


def test_everything_an_actor_does_with_its_context_is_recorded():
    stage = Recorder(Player(supervision=Supervision()))
    other = stage.actor_at("/system/other")

    async def task(n):
        return None

    async def act(context):
        context.healthy()
        context.watch(other, restarts=True)
        context.outlive(other)
        context.unwatch(other)
        context.start_soon(task, 1, name="a task")
        context.cancel_timer("none")
        context.unhandled("strange")
        other.kill()
        await other.stop(StopMode.AFTER_DRAIN)
        context.stop()

    request = Run(act)
    stage.start_nowait()
    stage.ask_nowait(request)
    assert stage.take_effects() == [
        SaidHealthy(),
        Watched("/system/other", restarts=True),
        Outlived("/system/other"),
        Unwatched("/system/other"),
        TaskStarted(task, (1,), "a task"),
        TimerCancelled("none"),
        Unhandled("strange"),
        KillOrdered("/system/other"),
        StopOrdered("/system/other", StopMode.AFTER_DRAIN),
        Stopped(),
        Replied(request, None),
    ]
    assert not other.alive


def test_a_refusal_is_recorded_too():
    stage = Recorder(Actor())
    request = Stock()
    with pytest.raises(TypeError):
        stage.ask_nowait(request)
    unhandled, refused = stage.take_effects()
    assert unhandled == Unhandled(request)
    assert isinstance(refused, Refused)


def test_hooks_run_when_the_test_says_so():
    calls = []

    class Hooked(Player):
        async def on_idle(self, context):
            calls.append(f"idle {context.incarnation}")

    stage = Recorder(Hooked("h", calls), "/system/deep/h", incarnation=3)
    assert stage.parent.path == "/system/deep"
    other = stage.actor_at("/system/other")
    stage.start_nowait()
    stage.idle_nowait()
    stage.ask_nowait(Run(lambda context: context.watch(other)))
    stage.end_nowait(other)
    assert [type(message).__name__ for message in stage.actor.heard] == ["Terminated"]
    stage.end_nowait(stage.actor_at("/system/unwatched"))
    assert len(stage.actor.heard) == 1
    stage.stop_nowait()
    assert calls == ["start h", "idle 3", "stop h (shutdown)"]


async def test_only_stand_ins_can_be_ended(autojump_clock, system):
    real = await system.spawn(ChildSpec("a", Actor))
    with pytest.raises(TypeError, match="no fake reference"):
        await Recorder(Actor()).end(real)
