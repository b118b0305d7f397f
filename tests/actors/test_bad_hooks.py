"""Hooks that fail, hang or will not end, and errors of every kind wherever they may come from."""

import asyncio

import pytest
import trio
import trio.lowlevel
import trio.testing

from actors import (
    ActorCrashed,
    ActorSystem,
    ChildSpec,
    Crashed,
    Directive,
    Ignore,
    Killed,
    RaisedBaseException,
    Shutdown,
    ShutdownOverdue,
    StartChild,
    StartFailed,
    StopMode,
    Supervision,
    Supervisor,
)
from tests.actors.misdeeds import Mute, Odd, neighbour, raising, run, stubborn
from tests.actors.troupe import Boom, Hang, Player, Read, Run, calls, of_type, player, settled, sleeping, tell


@pytest.mark.promise("bad.base-exception")
@pytest.mark.parametrize(
    "error", [Odd(), asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("group", [Odd()])], ids=repr
)
@pytest.mark.parametrize("where", ["receive", "on_start", "on_idle", "on_stop", "task", "factory"])
async def test_an_actor_that_raises_something_odd_crashes_alone(autojump_clock, system, events, where, error):
    well = await neighbour(system)
    armed = [True]

    def raise_once(*_):
        if ref is not None and armed:
            armed.clear()
            raise error

    class Strange(Player):
        async def on_idle(self, context):
            if where == "on_idle":
                raise_once()

    ref = None
    hooks = {
        "starting": raise_once if where == "on_start" else None,
        "stopping": raise_once if where == "on_stop" else None,
    }
    ref = await system.spawn(ChildSpec("a", lambda: (where == "factory" and raise_once()) or Strange(**hooks)))
    await settled()
    if where == "receive":
        ref.tell(Boom(error))
        armed.clear()
    elif where == "task":

        async def fail():
            raise error

        ref.tell(Run(lambda context: context.start_soon(fail)))
        armed.clear()
    elif where == "on_idle":
        ref.tell("work")
    else:
        ref.kill()
    await settled()
    assert await ref.ask(Read()) == []
    faults = [event.reason.error for event in of_type(events, ActorCrashed) if isinstance(event.reason, Crashed)]
    if where != "on_stop":  # a hook that fails after a kill: the kill is the reason
        assert [type(fault) for fault in faults] == [RaisedBaseException]
        assert faults[0].__cause__ is not None
    await well()


@pytest.mark.promise("bad.base-exception")
async def test_an_odd_error_fails_a_first_start_and_a_stop(autojump_clock, system):
    for spec in (player("a", starting=raising(Odd())), ChildSpec("a", raising(Odd()))):
        with pytest.raises(StartFailed) as caught:
            await system.spawn(spec)
        assert isinstance(caught.value.cause, RaisedBaseException)
        assert str(caught.value.cause) == "/test/a raised Odd, which is no Exception"
    ref = await system.spawn(player("a", stopping=raising(Odd())))
    assert isinstance((await ref.stop()).error, RaisedBaseException)


@pytest.mark.promise("bad.base-exception", "restart.never-swallowed")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["receive", "on_start", "on_stop", "task", "factory", "nested"])
def test_an_interrupt_passes_through_to_the_caller_of_the_system(error, where):
    starts = []

    async def main():
        def interrupt(*_):
            raise error

        async def task():
            raise error

        def factory():
            starts.append("a")
            if where == "factory" and len(starts) == 2:
                raise error
            late = interrupt if len(starts) == 2 else None
            return Player(
                starting=late if where == "on_start" else None, stopping=interrupt if where == "on_stop" else None
            )

        async with ActorSystem("s", on_event=lambda _: None) as system:
            system_of_two = ChildSpec("sup", lambda: Supervisor([ChildSpec("a", factory), player("b")]))
            (ref, _) = (await system.spawn(system_of_two)).children()
            if where == "receive":
                ref.tell(Boom(error()))
            elif where == "nested":
                ref.tell(Boom(BaseExceptionGroup("group", [ValueError("beside"), error()])))
            elif where == "task":
                ref.tell(Run(lambda context: context.start_soon(task)))
            else:
                ref.kill()
            await trio.sleep_forever()

    with pytest.raises(error):
        run(main)
    assert len(starts) == (2 if where in ("factory", "on_start") else 1)


@pytest.mark.promise("bad.unprintable-error")
@pytest.mark.parametrize("directive", [Directive.RESTART, Directive.RESUME, Directive.STOP])
async def test_an_error_that_cannot_say_its_text_is_told_by_its_type(autojump_clock, system, directive):
    well = await neighbour(system)
    ref = await system.spawn(player("a", directives={Mute: directive}))
    await tell(ref, Boom(Mute()))
    assert ref.alive is (directive is not Directive.STOP)
    assert "Mute" in system.explain("/test/a").text()
    await well()


@pytest.mark.promise("bad.start-hook", "start.death-or-hang-never-hangs-parent")
async def test_a_start_hook_that_swallows_its_timeout_is_named(autojump_clock, system, events):
    release = trio.Event()
    ref = await system.spawn(ChildSpec("sup", Supervisor))
    async with trio.open_nursery() as nursery:
        spec = player("a", starting=stubborn(release), start_timeout_s=2.0)
        nursery.start_soon(lambda: ref.ask(StartChild(spec), timeout_s=1000))
        await trio.sleep(6)
        assert of_type(events, ShutdownOverdue) == []
        await trio.sleep(2)
        assert of_type(events, ShutdownOverdue) == [ShutdownOverdue("/test/sup/a", 5.0)]
        assert (await ref.ask(StartChild(player("b")))).alive
        release.set()


@pytest.mark.promise("bad.start-hook", "stop.unlimited-and-zero-grace")
async def test_a_start_hook_that_hangs_is_stopped_at_once(autojump_clock, system):
    parent = await system.spawn(player("parent", supervision=Supervision()))
    async with calls(lambda: parent.ask(StartChild(player("kid", starting=sleeping())), timeout_s=1000)) as outcomes:
        assert await parent.stop() == Shutdown()
    assert (type(outcomes[0]), trio.current_time()) == (StartFailed, 0)


@pytest.mark.promise("bad.start-hook")
async def test_a_start_hook_that_declines_after_it_did_half_leaves_nothing(autojump_clock, system):
    diary = []

    async def half(context):
        await context.spawn(player("kid", diary))
        context.start_soon(sleeping(), None)
        context.set_timer("t", 100, "late")
        raise Ignore

    ref = await system.spawn(
        ChildSpec("sup", lambda: Supervisor([player("a", starting=half, supervision=Supervision())]))
    )
    assert ref.children() == []
    assert diary == ["start kid", "stop kid (shutdown)"]
    assert len(system.timers) == 0


@pytest.mark.promise("bad.stop-hook", "stop.hook-once")
@pytest.mark.parametrize(
    ("stopping", "reason", "took_s"),
    [(raising(ValueError("no")), Crashed, 0), (sleeping(), Killed, 5), (raising(Ignore()), Crashed, 0)],
)
async def test_a_stop_hook_that_fails_or_hangs_delays_and_restarts_nobody(
    autojump_clock, system, stopping, reason, took_s
):
    diary = []
    specs = [player("a", diary), player("b", diary, stopping=stopping), player("c", diary)]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(specs)))
    b = ref.children()[1]
    diary.clear()
    assert await ref.stop() == Shutdown()
    assert trio.current_time() == took_s
    assert isinstance(await b.wait_stopped(), reason)
    assert diary == ["stop c (shutdown)", "stop b (shutdown)", "stop a (shutdown)"]


@pytest.mark.promise("bad.report-state", "report.state-hook-fails")
@pytest.mark.parametrize("error", [ValueError("no"), Odd(), Mute()], ids=["error", "odd", "mute"])
async def test_a_state_that_cannot_be_reported_is_reported_as_that(autojump_clock, system, events, error):
    well = await neighbour(system)

    class Shy(Player):
        def report_state(self):
            raise error

    ref = await system.spawn(ChildSpec("a", Shy))
    ref.tell(Boom())
    assert await ref.ask(Read()) == []
    (crash,) = of_type(events, ActorCrashed)
    assert crash.state == f"report_state raised {type(error).__name__}"
    assert "ValueError: boom" in crash.traceback
    await well()


@pytest.mark.promise("bad.report-state", "report.state-hook-fails")
async def test_a_state_that_has_no_text_or_too_much_of_it_is_cut(autojump_clock, system, events):
    class Talkative(Player):
        def report_state(self):
            return "x" * 10**6

    class Unprintable(Player):
        def report_state(self):
            return Mute()

    for kind in (Talkative, Unprintable):
        ref = await system.spawn(ChildSpec(kind.__name__, kind))
        await tell(ref, Boom())
    long, none = of_type(events, ActorCrashed)
    assert len(long.state) < 3000
    assert none.state == "report_state raised RuntimeError"


@pytest.mark.promise("bad.listener")
def test_listeners_that_raise_harm_nobody(caplog):
    async def main():
        deaf = raising(ValueError("deaf"))
        async with ActorSystem("s", on_event=deaf, redact=deaf, intensity=9) as system:
            system.listen(deaf)
            system.dead_letters.subscribe(deaf)
            ref = await system.spawn(player("a"))
            await tell(ref, Boom(), Hang())
            ref.tell("waits")
            assert await ref.stop(StopMode.NOW) == Shutdown()
            ref.tell("dead")
            assert await (await system.spawn(player("b"))).ask(Read()) == []
            assert [letter.message for letter in system.dead_letters] == ["waits", "dead"]
            assert system.event_errors > 0

    run(main)
    assert "raised" in caplog.text


@pytest.mark.promise("bad.start-hook")
async def test_an_actor_that_wants_to_stop_in_its_start_hook_has_not_started(autojump_clock, system):
    with pytest.raises(StartFailed, match="stopped meanwhile"):
        await system.spawn(player("a", starting=lambda context: context.stop()))
    assert (await system.spawn(player("a"))).alive
