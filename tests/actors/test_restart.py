"""Who comes back after an end, when, and with what: one child at a time."""

import itertools
import weakref

import pytest
import trio
import trio.testing
from attrs import evolve

from actors import (
    ActorRestarting,
    Backoff,
    ChildSpec,
    CountChildren,
    Crashed,
    IntensityExceeded,
    ListSpecs,
    Restart,
    SpentSpec,
    StartChild,
    StartFailed,
    StopChild,
    Supervision,
    Supervisor,
)
from tests.actors.groups import end, failing_from, supervisor_of
from tests.actors.troupe import Boom, Player, Read, of_type, player, sleeping

AGAIN = Backoff(min_s=10.0, max_s=10.0, jitter=0.0)


@pytest.mark.promise("restart.types", "restart.temporary-spec-goes")
@pytest.mark.parametrize("how", ["normal", "crash", "kill"])
@pytest.mark.parametrize("restart", list(Restart))
async def test_a_supervisor_keeps_or_drops_an_ended_child_by_its_restart_type(autojump_clock, system, restart, how):
    ref, (child,) = await supervisor_of(system, player("a", restart=restart))
    await end(child, how)
    lives = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and how != "normal")
    count = await ref.ask(CountChildren())
    assert (count.specs, count.active) == (int(restart is not Restart.TEMPORARY), int(lives))
    assert child.alive is lives
    assert (system.find("/test/sup/a") is child) is lives


@pytest.mark.promise("restart.failed-restart-retried")
async def test_a_restart_that_fails_goes_through_the_same_backoff(autojump_clock, system, events):
    hook, starts = failing_from(2, until=5)
    backoff = Backoff(min_s=1.0, max_s=60.0, jitter=0.0)
    _, (child,) = await supervisor_of(system, player("a", starting=hook, backoff=backoff), intensity=9)
    child.kill()
    assert await child.ask(Read(), timeout_s=100) == []
    assert [event.delay_s for event in of_type(events, ActorRestarting)] == [1.0, 2.0, 4.0, 8.0]
    assert [after - before for before, after in itertools.pairwise(starts[1:])] == [2.0, 4.0, 8.0]


@pytest.mark.promise("restart.failed-restart-counts", "bitten.intensity-counts-attempts")
@pytest.mark.parametrize("backoff", [None, Backoff(min_s=0.01)])
async def test_restarts_that_fail_are_counted_like_others(autojump_clock, system, backoff):
    hook, starts = failing_from(2)
    failing = player("a", starting=hook, backoff=backoff)
    spec = ChildSpec("sup", lambda: Supervisor([failing], intensity=2), restart=Restart.TEMPORARY)
    ref = await system.spawn(ChildSpec("top", lambda: Supervisor([spec])))
    (sup,) = ref.children()
    sup.children()[0].kill()
    exit_ = await sup.wait_stopped()
    assert isinstance(exit_, Crashed)
    assert isinstance(exit_.error, IntensityExceeded)
    assert isinstance(exit_.error.__cause__, OSError)
    assert len(starts) == 3


@pytest.mark.promise("restart.stoppable-between-tries", "bitten.supervisor-serves-others")
@pytest.mark.parametrize("backoff", [None, Backoff(min_s=0.001, max_s=0.001)])
async def test_a_supervisor_serves_requests_while_a_restart_fails_for_ever(autojump_clock, system, backoff):
    hook, starts = failing_from(2)
    spec = player("failing", starting=hook, backoff=backoff)
    ref, (child,) = await supervisor_of(system, spec, intensity=10**6)
    child.kill()
    for _ in range(100):
        await trio.sleep(0.001 if backoff else 0)  # without a pause between tries the clock stands still
    assert len(starts) > 3
    other = await ref.ask(StartChild(player("other")))
    assert await other.ask(Read()) == []
    assert (await ref.ask(CountChildren())).specs == 2
    await ref.ask(StopChild("failing"))
    tries = len(starts)
    await trio.sleep(10)
    assert len(starts) == tries
    await ref.stop()
    assert not other.alive


@pytest.mark.promise("restart.children-first")
@pytest.mark.parametrize("backoff", [None, Backoff(min_s=0.5)])
async def test_the_children_of_an_actor_that_crashed_are_dead_before_it_is_back(autojump_clock, system, backoff):
    diary = []
    spec = player(
        "parent", diary, supervision=Supervision(), backoff=backoff,
        starting=lambda context: context.spawn(player("kid", diary, stopping=sleeping(3))),
    )  # fmt: skip
    ref = await system.spawn(spec)
    diary.clear()
    ref.tell(Boom())
    ref.tell("waits")
    assert await ref.ask(Read()) == ["waits"]
    assert trio.current_time() >= 3.0
    assert diary == ["stop kid (shutdown)", "stop parent (crashed: ValueError)", "start parent", "start kid"]


@pytest.mark.promise("restart.children-first", "start.failure-names-child-and-cause")
async def test_the_children_of_an_actor_whose_start_hook_fails_are_stopped(autojump_clock, system):
    diary, failing = [], [1, 3]

    async def starting(context):
        await context.spawn(player("kid", diary))
        if diary.count("start kid") in failing:
            raise OSError("half way")

    spec = player("parent", diary, starting=starting, supervision=Supervision())
    with pytest.raises(StartFailed):
        await system.spawn(spec)
    assert diary == ["start parent", "start kid", "stop kid (shutdown)", "stop parent (crashed: OSError)"]
    ref = await system.spawn(spec)
    ref.tell(Boom())
    assert await ref.ask(Read()) == []
    assert (diary.count("start kid"), diary.count("stop kid (shutdown)")) == (4, 3)
    assert [child.alive for child in ref.children()] == [True]


class Cargo:
    """Something large that a factory was made with."""


@pytest.mark.promise("restart.temporary-spec-goes")
async def test_a_temporary_child_that_runs_holds_nothing_of_its_factory(autojump_clock, system):
    def spec(name, restart):
        cargo = Cargo()
        held.append(weakref.ref(cargo))
        return ChildSpec(name, lambda: (cargo, Player())[1], restart=restart)

    held = []
    live = await system.spawn(spec("live", Restart.TEMPORARY))
    dead = await system.spawn(spec("dead", Restart.PERMANENT))
    await dead.stop()
    assert [ref() for ref in held] == [None, None]
    assert await live.ask(Read()) == []
    (listed,) = await system.root.ask(ListSpecs())
    assert (listed.id, listed.restart) == ("live", Restart.TEMPORARY)
    with pytest.raises(StartFailed) as caught:
        await system.spawn(evolve(listed, id="again"))
    assert isinstance(caught.value.cause, SpentSpec)
    assert "start another from a spec of your own" in str(caught.value)
