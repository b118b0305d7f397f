"""What those who watch are told, and that nothing is left of it afterwards."""

import pytest
import trio
import trio.testing

from actors import (
    ActorDied,
    ActorSystem,
    Backoff,
    ChildSpec,
    Restart,
    StartChild,
    Supervision,
    Terminated,
)
from tests.actors.troupe import (
    Boom,
    Hang,
    Player,
    Read,
    Run,
    during,
    failing,
    held,
    kill,
    player,
    settled,
    sleeping,
    tell,
)


def watching(*targets):
    def watch(context):
        for target in targets:
            context.watch(target)

    return Run(watch)


@pytest.fixture
async def target(system):
    return await system.spawn(player("target"))


@pytest.mark.promise("names.free-before-terminated")
async def test_the_name_of_an_ended_child_is_free_for_its_watcher(autojump_clock, system):
    taken = []

    class Heir(Player):
        supervision = Supervision()

        async def receive(self, message, context):
            if isinstance(message, Terminated):
                taken.append(await context.spawn(player("name")))
            await super().receive(message, context)

    heir = await system.spawn(ChildSpec("heir", Heir))
    old = await heir.ask(StartChild(player("name")))
    await heir.ask(watching(old))
    await old.stop()
    await settled()
    assert [(ref.path, ref == old) for ref in taken] == [("/test/heir/name", False)]


@pytest.mark.promise("watch.new-incarnation-is-not-old", "watch.independent")
async def test_a_watch_belongs_to_the_incarnation_that_made_it(autojump_clock, system):
    target, watcher = await system.spawn(player("target")), await system.spawn(player("watcher"))
    await watcher.ask(watching(target))
    await tell(watcher, Boom())
    await target.stop()
    assert await watcher.ask(Read()) == []


@pytest.mark.promise("watch.tables-empty")
async def test_two_that_watch_each_other_and_themselves_leave_nothing_behind(autojump_clock, system):
    a, b = await system.spawn(player("a")), await system.spawn(player("b"))
    await a.ask(watching(a, b))
    await b.ask(watching(a, b))
    await kill(a)
    await a.stop()
    await b.stop()
    for ref in (a, b):
        assert held(ref) == {}


@pytest.mark.promise("watch.tables-empty", "bad.old-context")
async def test_a_context_whose_incarnation_is_over_watches_nobody(autojump_clock, system):
    a, b = await system.spawn(player("a")), await system.spawn(player("b"))
    old = await a.ask(Run(lambda context: context))
    await kill(a)
    late = (lambda: old.set_timer("t", 1, "late")), (lambda: old.start_soon(trio.sleep_forever))
    for act in (lambda: old.watch(b), old.stop, *late):
        with pytest.raises(ActorDied):
            act()
    with pytest.raises(ActorDied):
        await old.spawn(player("c"))
    assert held(b) == {}
    assert await a.ask(Read()) == []
    assert system.explain(a.path).incarnation == 2


@pytest.mark.promise("watch.tables-empty", "timers.die")
@pytest.mark.parametrize("how", ["stop", "kill", "crash"])
async def test_nothing_outlives_an_actor(autojump_clock, system, target, how):

    crash = trio.Event()

    async def boom():
        await crash.wait()
        raise ValueError("task")

    async def settle_in(context):
        context.watch(target)
        context.set_timer("t", 1000, "late")
        context.start_soon(boom)
        await context.spawn(player("kid"))

    timers, tasks = len(system.timers), count_tasks()
    ref = await system.spawn(player("a", supervision=Supervision(), restart=Restart.TEMPORARY, starting=settle_in))
    async with during(failing, ActorDied, lambda: ref.ask(Run(sleeping()), timeout_s=float("inf"))) as nursery:
        ref.tell("waits")
        if how == "crash":
            crash.set()
        elif how == "kill":
            ref.kill()
        else:
            nursery.start_soon(ref.stop)
        await ref.wait_stopped()
    await settled()
    assert held(ref) == held(target) == {}
    assert ref.statistics() == {}
    assert (len(system.timers), count_tasks()) == (timers, tasks)


def count_tasks():
    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.promise("watch.tables-empty")
async def test_a_system_that_ended_leaves_no_task(autojump_clock):
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with ActorSystem("s", on_event=lambda _: None, intensity=20) as system:
        for number in range(20):
            ref = await system.spawn(player(f"p{number}", supervision=Supervision(), backoff=Backoff(min_s=30)))
            await ref.ask(StartChild(player("kid")))
            ref.tell(Hang() if number % 2 else Boom())
        await settled()
    assert trio.lowlevel.current_statistics().tasks_living == tasks


@pytest.mark.promise("watch.tables-empty", "ask.timeout")
@pytest.mark.parametrize("timeout_s", [5.0, 3600.0])
async def test_long_timeouts_cost_no_more_than_short_ones(autojump_clock, system, ref, timeout_s):
    for _ in range(800):
        await ref.ask(Read(), timeout_s=timeout_s)
        await trio.sleep(1 / 64)
    assert len(system.timers) < 400
