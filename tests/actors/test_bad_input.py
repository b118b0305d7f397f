"""Specs, calls and factories that are wrong: refused by name, where they are made."""

import math

import pytest
import trio
import trio.lowlevel
import trio.testing

from actors import (
    ActorDied,
    ActorSystem,
    AlreadyStarted,
    Backoff,
    ChildSpec,
    CountChildren,
    Directive,
    ForgetChild,
    InvalidActor,
    InvalidSpec,
    Lane,
    MailboxSpec,
    NotAnAsk,
    Overflow,
    Restart,
    RestartChild,
    Shutdown,
    StartChild,
    StartFailed,
    StopChild,
    StopMode,
    Supervision,
    Supervisor,
    SystemFailed,
    conflate,
)
from tests.actors.misdeeds import Odd, neighbour
from tests.actors.troupe import Boom, Player, Read, Run, during, held, player, sleeping, tell


def child(**options):
    return ChildSpec(**({"id": "a", "factory": Player} | options))


SUPERVISION = [
    ("strategy", ["one_for_one", None, 1]),
    ("intensity", [-1, 1.5, math.inf, math.nan, True, None, "1"]),
    ("period_s", [0, -1, math.inf, math.nan, None, "5", True]),
    ("max_children", [0, -1, 1.5, True, "1", math.inf]),
    ("auto_shutdown", ["any", None, True]),
    ("stop_together", ["yes", None, 0]),
]


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(
    ("make", "field", "wrong"),
    [
        (child, "id", ["", None, 5, "a/b", b"a"]),
        (child, "factory", [None, "Player", Player()]),
        (child, "restart", ["permanent", None, True, Restart]),
        (child, "shutdown_s", [-1, math.nan, -math.inf, "5", True]),
        (child, "start_timeout_s", [0, -1, math.nan, None, "5", False]),
        (child, "backoff", [5, 0.1, "1 s", Backoff]),
        (child, "significant", ["yes", 1, None, True]),
        (child, "directives", [[1], "stop", {ValueError: "stop"}, {"x": Directive.STOP}, {Odd: Directive.STOP}]),
        (child, "redeliver", [-1, 1.5, True, None, "1"]),
        *((make, *row) for make in (Supervision, Supervisor) for row in SUPERVISION),
        (Backoff, "min_s", [0, -1, math.inf, math.nan, None, "1", True]),
        (Backoff, "max_s", [0, math.inf, None, "1", 0.05]),
        (Backoff, "factor", [0.5, 0, -1, math.nan, math.inf, None, "2"]),
        (Backoff, "jitter", [-0.1, 1.1, math.nan, None, "0"]),
        (Backoff, "reset_after_s", [0, -1, math.nan, "1"]),
        (MailboxSpec, "capacity", [0, -1, True, None, 1.5, "10", {Lane.LOW: 0}, {Lane.LOW: None}, (1, 2)]),
        (MailboxSpec, "overflow", ["wait", None, 1, {Lane.LOW: "wait"}, (Overflow.WAIT,)]),
    ],
)
def test_every_field_is_refused_by_name_when_it_is_wrong(make, field, wrong):
    make()
    name = f"backoff.{field}" if make is Backoff else field
    for value in wrong:
        with pytest.raises(InvalidSpec) as caught:
            make(**{field: value})
        assert caught.value.field == name, value
        assert str(caught.value).startswith(name)


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(("key", "full"), [(5, Overflow.REJECT), (len, Overflow.WAIT), (len, "reject")])
def test_a_wrong_conflation_is_refused(key, full):
    with pytest.raises(InvalidSpec, match="overflow"):
        conflate(key, full)


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"children": [player("a"), player("a")]}, "'a' comes twice"),
        ({"children": [Player]}, "must be ChildSpecs"),
        ({"children": [None]}, "must be ChildSpecs"),
        ({"name": ""}, "id"),
        ({"name": "a/b"}, "id"),
        ({"intensity": -1}, "intensity"),
        ({"period_s": 0}, "period_s"),
    ],
)
def test_a_wrong_tree_is_refused_before_it_starts(options, problem):
    with pytest.raises(InvalidSpec, match=problem):
        ActorSystem(**({"name": "s"} | options))


@pytest.mark.promise("start.invalid-specs", "bad.spec")
@pytest.mark.parametrize(("field", "value"), [("supervision", 5), ("supervision", Supervisor), ("mailbox", 5)])
async def test_a_wrong_attribute_of_an_actor_fails_its_start_by_name(autojump_clock, system, field, value):
    well = await neighbour(system)
    wrong = type("Wrong", (Player,), {field: value})
    with pytest.raises(StartFailed) as caught:
        await system.spawn(ChildSpec("a", wrong))
    assert isinstance(caught.value.cause, InvalidSpec)
    assert caught.value.cause.field == field
    await well()


@pytest.mark.promise("bad.requests")
@pytest.mark.parametrize(
    "request_", [lambda: StartChild(5), lambda: StopChild([]), lambda: RestartChild({}), lambda: ForgetChild([])]
)
async def test_a_wrong_request_fails_who_asked_and_not_the_supervisor(autojump_clock, system, request_):
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a")])))
    with pytest.raises((TypeError, ValueError)):
        await ref.ask(request_())
    assert system.explain(ref.path).incarnation == 1
    assert [child.path for child in ref.children()] == ["/test/sup/a"]


@pytest.mark.promise("bad.requests")
@pytest.mark.parametrize("wrong", [5, None, Player, player])
async def test_spawning_something_else_than_a_spec_is_refused(autojump_clock, system, wrong):
    parent = await system.spawn(player("parent", supervision=Supervision()))

    async def spawn(context):
        with pytest.raises(InvalidSpec):
            await context.spawn(wrong)

    await parent.ask(Run(spawn))
    with pytest.raises(InvalidSpec):
        await system.spawn(wrong)


@pytest.mark.promise("bad.numbers")
@pytest.mark.parametrize("timeout_s", [math.nan, -1, "5", None])
async def test_a_time_that_is_none_is_refused_before_anything_is_sent(autojump_clock, system, timeout_s):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=1)))
    await tell(ref, Run(sleeping(1)))
    ref.tell("waits")
    for call in (lambda: ref.ask(Read(), timeout_s=timeout_s), lambda: ref.send("x", timeout_s=timeout_s)):
        with pytest.raises((TypeError, ValueError)):
            await call()
    assert held(ref) == {}
    assert ref.statistics()[Lane.NORMAL].waiting_senders == 0
    await trio.sleep(5)
    assert await ref.ask(Read()) == ["waits"]


@pytest.mark.promise("bad.numbers")
async def test_a_timer_that_is_no_time_is_refused_and_leaves_no_other_timer_late(autojump_clock, system, ref):

    def set_wrong(context):
        for key, delay_s in (("t", math.nan), ("t", "1"), ("t", None), ([], 1)):
            with pytest.raises((TypeError, ValueError)):
                context.set_timer(key, delay_s, "ghost")
        context.set_timer("t", 1, "right")
        context.set_timer("u", -1, "at once")

    await ref.ask(Run(set_wrong))
    await trio.sleep(20)
    assert await ref.ask(Read()) == ["at once", "right"]
    assert len(system.timers) == 1  # the shared deadline of the ask


@pytest.mark.promise("bad.requests")
@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("text", r"/test/a was asked a str \(tell it, or .*\), which cannot be answered"),
        (None, "a NoneType"),
        (Boom(), r"a Boom \(tell it, or declare `class Boom\(Ask\[...\]\)`"),
        (Read, r"was asked the class Read \(ask an instance: `Read\(...\)`\)"),
        (StartChild, "the class StartChild"),
    ],
)
async def test_asking_something_that_cannot_be_answered_is_refused(autojump_clock, system, request_, problem):
    ref = await system.spawn(player("a", supervision=Supervision()))
    with pytest.raises(NotAnAsk, match=problem):
        await ref.ask(request_)
    assert await ref.ask(Read()) == []


@pytest.mark.promise("bad.to-the-dead", "tell.dead-letter", "ask.dead-fails-at-once", "stop.dead-is-harmless")
async def test_every_call_on_a_dead_actor_is_harmless(autojump_clock, system):
    ref = await system.spawn(player("a", supervision=Supervision()))
    await ref.stop()
    for lane in Lane:
        ref.tell("hello", lane=lane)
        await ref.send("hello", lane=lane)
    for request in (Read(), StartChild(player("b")), CountChildren()):
        with pytest.raises(ActorDied) as caught:
            await ref.ask(request, timeout_s=math.inf)
        assert caught.value.reason == Shutdown()
        with pytest.raises(ActorDied):
            await ref.ask(type(request)(*([player("b")] if isinstance(request, StartChild) else [])), fail_fast=True)
    ref.kill()
    assert await ref.stop(StopMode.AFTER_DRAIN) == Shutdown()
    assert await ref.wait_stopped() == Shutdown()
    assert (ref.children(), ref.statistics(), ref.alive) == ([], {}, False)
    assert {letter.why for letter in system.dead_letters} == {"dead"}
    assert system.dead_letters.count == 8


@pytest.mark.promise("bad.taken-id", "names.taken")
async def test_an_id_that_is_taken_is_refused_whoever_has_it(autojump_clock, system):
    parent = await system.spawn(player("parent", supervision=Supervision(intensity=9)))
    running = await parent.ask(StartChild(player("running")))
    waiting = await parent.ask(StartChild(player("waiting", backoff=Backoff(min_s=10))))
    waiting.tell(Boom())
    async with during(parent.ask, StartChild(player("starting", starting=sleeping(3)))):
        for name in ("running", "waiting", "starting"):
            with pytest.raises(AlreadyStarted) as caught:
                await parent.ask(StartChild(player(name)))
            assert caught.value.ref.path == f"/test/parent/{name}"
    assert await running.ask(Read()) == []
    await waiting.stop()
    assert (await parent.ask(StartChild(player("waiting")))) != waiting


@pytest.mark.promise("bad.factory")
@pytest.mark.parametrize("product", [None, dict, Player, 5])
async def test_a_factory_that_makes_no_actor_is_a_failed_start(autojump_clock, system, product):
    with pytest.raises(StartFailed, match=r"made a \w+, not an Actor"):
        await system.spawn(ChildSpec("a", lambda: product))


@pytest.mark.promise("bad.factory")
@pytest.mark.parametrize("same", [Player(), Supervisor([player("a")])], ids=["worker", "supervisor"])
async def test_a_factory_that_returns_the_same_actor_again_fails_the_restart(autojump_clock, same):
    async def live():
        async with ActorSystem("s", on_event=lambda _: None) as system:
            ref = await system.spawn(ChildSpec("a", lambda: same))
            ref.kill()
            await trio.sleep_forever()

    with pytest.raises(SystemFailed) as caught:
        await live()
    error = caught.value.__cause__.__cause__
    assert isinstance(error, InvalidActor)
    assert "the factory of /s/a returned an actor that was used before; make a new one each time" in str(error)
