"""The children of a supervisor: asked for by name, and how they start."""

import pytest
import trio
import trio.testing

from actors import (
    ActorDied,
    ActorRestarting,
    AlreadyStarted,
    Backoff,
    ChildCount,
    ChildSpec,
    CountChildren,
    ForgetChild,
    Ignore,
    InvalidSpec,
    Killed,
    ListSpecs,
    NoSuchChild,
    Restart,
    RestartChild,
    Shutdown,
    StartChild,
    StartDeclined,
    StartFailed,
    StopChild,
    Supervision,
    Supervisor,
    TooManyChildren,
)
from tests.actors.groups import crash, open_family
from tests.actors.troupe import Read, Run, calls, during, failing, kill, of_type, player, settled, sleeping


def declining(_):
    raise Ignore


@pytest.mark.promise("start.readable", "stop.returns-when-dead", "restart.transient-by-hand")
async def test_the_life_of_a_child_by_its_name(autojump_clock, system):
    ref, kids = await open_family(system, player("a"))
    assert await ref.ask(CountChildren()) == ChildCount(1, 1, 0, 1)
    with pytest.raises(AlreadyStarted) as taken:
        await ref.ask(StartChild(player("a")))
    assert taken.value.ref == kids["a"]
    for request in (RestartChild("a"), ForgetChild("a")):
        with pytest.raises(AlreadyStarted):
            await ref.ask(request)
    assert await ref.ask(StopChild("a")) == Shutdown()
    assert not kids["a"].alive
    assert await ref.ask(CountChildren()) == ChildCount(1, 0, 0, 0)
    assert await ref.ask(StopChild("a")) == Shutdown()
    again = await ref.ask(RestartChild("a"))
    assert await again.ask(Read()) == []
    await ref.ask(StopChild("a"))
    await ref.ask(ForgetChild("a"))
    for request in (StopChild("a"), RestartChild("a"), ForgetChild("a")):
        with pytest.raises(NoSuchChild):
            await ref.ask(request)
    assert await ref.ask(CountChildren()) == ChildCount(0, 0, 0, 0)


@pytest.mark.promise("start.readable", "start.defaults")
async def test_specs_can_be_read_while_the_supervisor_runs(autojump_clock, system):
    specs = (player("a"), player("b", restart=Restart.TRANSIENT, shutdown_s=3.0))
    ref, _ = await open_family(system, *specs)
    await ref.ask(StopChild("a"))
    assert await ref.ask(ListSpecs()) == specs
    first = (await ref.ask(ListSpecs()))[0]
    assert (first.restart, first.shutdown_s, first.start_timeout_s) == (Restart.PERMANENT, None, 30.0)


@pytest.mark.promise("start.defaults")
async def test_a_worker_has_five_seconds_and_a_supervisor_as_long_as_it_takes(autojump_clock, system):
    worker = await system.spawn(player("worker", stopping=sleeping(60)))
    assert await worker.stop() == Killed()
    assert trio.current_time() == 5.0
    ref, _ = await open_family(system, player("slow", stopping=sleeping(3600), shutdown_s=7200.0))
    assert await ref.stop() == Shutdown()
    assert trio.current_time() == 5.0 + 3600.0


@pytest.mark.promise("restart.max-children")
async def test_a_bound_on_the_children_holds_at_every_way_in(autojump_clock, system):
    with pytest.raises(StartFailed, match="TooManyChildren"):
        await open_family(system, player("a"), player("b"), max_children=1)
    parent = await system.spawn(player("parent", supervision=Supervision(max_children=1)))
    first = await parent.ask(Run(lambda context: context.spawn(player("a", restart=Restart.TEMPORARY))))
    with pytest.raises(TooManyChildren):
        await parent.ask(StartChild(player("b")))
    await kill(first)
    assert (await parent.ask(StartChild(player("b")))).alive


async def test_many_children_are_counted(autojump_clock, system):
    ref, _ = await open_family(system)
    for number in range(300):
        await ref.ask(StartChild(player(f"p{number}", restart=Restart.TEMPORARY)))
    assert await ref.ask(CountChildren()) == ChildCount(300, 300, 0, 300)
    for child in ref.children():
        child.kill()
    await settled()
    assert await ref.ask(CountChildren()) == ChildCount(0, 0, 0, 0)


async def test_supervisors_and_workers_are_told_apart(autojump_clock, system):
    slow = Backoff(min_s=10)
    ref, kids = await open_family(
        system, ChildSpec("inner", Supervisor, backoff=slow), player("worker", backoff=slow), intensity=9
    )
    assert await ref.ask(CountChildren()) == ChildCount(2, 2, 1, 1)
    for child in kids.values():
        child.kill()
    await settled()
    assert await ref.ask(CountChildren()) == ChildCount(2, 0, 1, 1)


@pytest.mark.promise("start.in-order", "start.returns-when-initialised")
async def test_each_child_is_initialised_before_the_next_begins(autojump_clock, system):
    times = []

    async def starting(context):
        times.append((context.path[-1], trio.current_time()))
        await trio.sleep(2)

    await open_family(system, *(player(name, starting=starting) for name in "abc"))
    assert times == [("a", 0), ("b", 2), ("c", 4)]
    assert trio.current_time() == 6


@pytest.mark.promise("start.death-or-hang-never-hangs-parent")
async def test_a_child_that_is_killed_while_it_starts_fails_its_start(autojump_clock, system):
    parent = await system.spawn(player("parent", supervision=Supervision()))
    async with calls(lambda: parent.ask(StartChild(player("kid", starting=sleeping())), timeout_s=99)) as outcomes:
        system.find("/test/parent/kid").kill()
    (error,) = outcomes
    assert (type(error), error.cause, trio.current_time()) == (StartFailed, None, 0)


def slow_once(diary, which=1):
    """The spec of a child whose start of this number hangs, and whose stop hook takes a second after that one."""
    starts = []

    async def starting(_):
        starts.append(trio.current_time())
        if len(starts) == which:
            await trio.sleep_forever()

    async def stopping(_):
        if len(starts) == which:
            await trio.sleep(1)

    return player("late", diary, starting=starting, stopping=stopping)


@pytest.mark.promise("start.given-up")
@pytest.mark.parametrize("how", ["timeout", "cancel"])
@pytest.mark.parametrize("request_type", [StartChild, RestartChild])
async def test_a_start_that_its_asker_gave_up_ends_at_once_and_can_be_asked_for_again(
    autojump_clock, system, how, request_type
):
    """In the step in which the first asker leaves; the second waits for the end of that start, and gets its own."""
    diary = []
    if request_type is StartChild:
        ref, _ = await open_family(system)
        spec = slow_once(diary)
    else:
        ref, _ = await open_family(system, slow_once(diary, which=2))
        await ref.ask(StopChild("late"))
        diary.clear()

    def request():
        return StartChild(spec) if request_type is StartChild else RestartChild("late")

    if how == "timeout":
        with pytest.raises(trio.TooSlowError):
            await ref.ask(request(), timeout_s=3)
    else:
        with trio.move_on_after(3):
            await ref.ask(request())
    left = trio.current_time()
    again = await ref.ask(request())
    assert again.alive
    assert trio.current_time() - left == pytest.approx(1)
    assert diary == ["start late", "stop late (shutdown)", "start late"]
    assert ref.children() == [again]


@pytest.mark.promise("start.given-up")
async def test_a_spawn_that_was_cancelled_can_be_tried_again_at_once(autojump_clock, system):
    diary = []
    spec = slow_once(diary)
    with trio.move_on_after(3):
        await system.spawn(spec)
    assert (await system.spawn(spec)).alive
    assert trio.current_time() == 4
    assert diary == ["start late", "stop late (shutdown)", "start late"]


@pytest.mark.promise("start.given-up")
async def test_giving_up_the_wait_for_a_given_up_start_starts_nothing(autojump_clock, system):
    diary = []
    spec = slow_once(diary)
    ref, _ = await open_family(system)
    for patience_s in (3, 0.5):
        with trio.move_on_after(patience_s):
            await ref.ask(StartChild(spec))
    async with calls(*[lambda: ref.ask(StartChild(spec))] * 2) as outcomes:
        pass
    child, refusal = sorted(outcomes, key=lambda outcome: isinstance(outcome, AlreadyStarted))
    assert child is refusal.ref
    assert diary == ["start late", "stop late (shutdown)", "start late"]


@pytest.mark.promise("start.given-up")
async def test_a_supervisor_that_ends_while_a_given_up_start_is_waited_for_says_so(autojump_clock, system):
    diary = []
    spec = slow_once(diary)
    ref, _ = await open_family(system)
    with trio.move_on_after(3):
        await ref.ask(StartChild(spec))
    async with during(failing, ActorDied, lambda: ref.ask(StartChild(spec))):
        await ref.stop()
    assert diary == ["start late", "stop late (shutdown)"]


@pytest.mark.promise("start.ignore")
async def test_a_child_that_declines_is_known_but_not_active(autojump_clock, system):
    willing = []

    def perhaps(_):
        if not willing:
            raise Ignore

    ref, _ = await open_family(system, player("a"), player("b", starting=perhaps), player("c"))
    assert await ref.ask(CountChildren()) == ChildCount(3, 2, 0, 2)
    with pytest.raises(StartDeclined):
        await ref.ask(RestartChild("b"))
    willing.append(1)
    assert (await ref.ask(RestartChild("b"))).alive
    assert [child.path[-1] for child in ref.children()] == ["a", "b", "c"]


@pytest.mark.promise("start.ignore-temporary")
async def test_nothing_is_known_of_a_temporary_child_that_declines(autojump_clock, system):
    ref, _ = await open_family(system, player("a", starting=declining, restart=Restart.TEMPORARY), player("b"))
    with pytest.raises(StartDeclined):
        await ref.ask(StartChild(player("c", starting=declining)))
    assert [spec.id for spec in await ref.ask(ListSpecs())] == ["b"]


@pytest.mark.promise("start.ignore")
async def test_a_child_that_declines_its_restart_is_not_tried_again(autojump_clock, system, events):
    starts = []

    def once(_):
        starts.append(1)
        if len(starts) > 1:
            raise Ignore

    ref, kids = await open_family(system, player("a", starting=once), intensity=1)
    await crash(kids["a"])
    await trio.sleep(10)
    assert (len(starts), kids["a"].alive) == (2, False)
    assert await ref.ask(CountChildren()) == ChildCount(1, 0, 0, 0)
    assert len(of_type(events, ActorRestarting)) == 1


@pytest.mark.promise("start.invalid-specs")
async def test_a_wrong_spec_inside_a_tree_starts_nothing_of_it(autojump_clock, system):
    diary = []
    twice = (player("a", diary), player("a", diary))
    with pytest.raises(StartFailed) as caught:
        await open_family(system, *twice)
    assert isinstance(caught.value.cause, InvalidSpec)
    assert caught.value.cause.field == "id"
    assert diary == []
