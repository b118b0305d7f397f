import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    ActorDied,
    ActorRestarting,
    ActorStopped,
    AutoShutdown,
    Backoff,
    ChildSpec,
    CountChildren,
    Crashed,
    Directive,
    Escalated,
    Restart,
    Shutdown,
    StartChild,
    State,
    StopChild,
    Strategy,
    Supervisor,
)
from tests.actors.groups import crash
from tests.actors.troupe import Boom, Read, Run, kill, of_type, player, settled, sleeping


async def open_troupe(system, strategy, diary, names="abc", **options):
    children = [player(name, diary) for name in names]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=strategy, **options)))
    diary.clear()
    return ref, ref.children()


@pytest.mark.promise("restart.one-for-one", "restart.one-for-all", "restart.rest-for-one")
@pytest.mark.parametrize(
    ("strategy", "stopped", "started"),
    [
        (Strategy.ONE_FOR_ONE, "b", "b"),
        (Strategy.ONE_FOR_ALL, "bca", "abc"),  # in reverse, and in order
        (Strategy.REST_FOR_ONE, "bc", "bc"),
    ],
)
async def test_the_strategy_decides_who_restarts_with_a_failed_child(
    autojump_clock, system, strategy, stopped, started
):
    diary = []
    _, children = await open_troupe(system, strategy, diary)
    for child in children:
        child.tell("state")
    await crash(children[1])
    reasons = {name: "crashed: ValueError" if name == "b" else "shutdown" for name in "abc"}
    expected = [f"stop {name} ({reasons[name]})" for name in stopped] + [f"start {name}" for name in started]
    assert diary == expected
    assert [await child.ask(Read()) for child in children] == [[] if name in started else ["state"] for name in "abc"]


@pytest.mark.promise("start.death-or-hang-never-hangs-parent", "restart.stoppable-between-tries")
async def test_a_restart_that_hangs_ends_in_the_start_timeout(autojump_clock, system):
    starts = []

    async def hang_once(_):
        starts.append(trio.current_time())
        if len(starts) == 2:
            await trio.sleep_forever()

    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(intensity=3)))
    child = await ref.ask(StartChild(player("a", starting=hang_once, start_timeout_s=3.0)))
    await kill(child)
    assert await (await ref.ask(StartChild(player("b")))).ask(Read()) == []
    assert await child.ask(Read()) == []
    assert starts[2] - starts[1] == 3.0


@pytest.mark.promise("restart.backoff-growth", "restart.backoff-per-child")
async def test_backoff_delays_each_restart_longer(autojump_clock, system, events):
    backoff = Backoff(min_s=1.0, max_s=4.0, jitter=0.0)
    ref = await system.spawn(
        ChildSpec("sup", lambda: Supervisor([player("a", backoff=backoff), player("b", backoff=backoff)], intensity=9))
    )
    a, b = ref.children()
    for _ in range(4):
        await crash(a)
        await a.ask(Read())
    await crash(b)
    delays = [(event.path[-1], event.delay_s) for event in events if isinstance(event, ActorRestarting)]
    assert delays == [("a", 1.0), ("a", 2.0), ("a", 4.0), ("a", 4.0), ("b", 1.0)]


@pytest.mark.promise("restart.backoff-reset")
async def test_backoff_starts_again_after_a_quiet_time_or_when_the_child_says_so(autojump_clock, system, events):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=1.0, max_s=8.0, jitter=0.0, reset_after_s=60.0)))
    await crash(ref)
    await trio.sleep(61)
    await crash(ref)
    await trio.sleep(30)
    await crash(ref)
    await trio.sleep(30)
    await ref.ask(Run(lambda context: context.healthy()))
    await crash(ref)
    assert [event.delay_s for event in of_type(events, ActorRestarting)] == [1.0, 1.0, 2.0, 1.0]


@pytest.mark.promise("restart.stoppable-between-tries", "bitten.backoff-is-a-state")
async def test_a_supervisor_can_be_stopped_while_a_child_backs_off_or_a_group_waits(autojump_clock, system):
    for strategy in Strategy:
        diary = []
        children = [player(name, diary, backoff=Backoff(min_s=10.0)) for name in "ab"]
        ref = await system.spawn(
            ChildSpec("sup", lambda children=children, strategy=strategy: Supervisor(children, strategy=strategy))
        )
        await crash(ref.children()[0])
        await trio.sleep(1)
        start = trio.current_time()
        assert await ref.stop() == Shutdown()
        assert trio.current_time() == start
        await trio.sleep(100)
        assert sum(line.startswith("start") for line in diary) == 2


@pytest.mark.promise("bitten.backoff-is-a-state")
async def test_a_member_of_a_waiting_group_can_be_stopped(autojump_clock, system):
    children = [player(name, backoff=Backoff(min_s=2.0)) for name in "abc"]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=Strategy.ONE_FOR_ALL)))
    await crash(ref.children()[0])
    await ref.ask(StopChild("b"))
    await trio.sleep(5)
    assert [child.path[-1] for child in ref.children()] == ["a", "c"]
    assert [await child.ask(Read()) for child in ref.children()] == [[], []]


@pytest.mark.promise("restart.significant")
@pytest.mark.parametrize(
    ("auto", "ended", "supervisor_ends"),
    [
        (AutoShutdown.ANY, ["a"], True),
        (AutoShutdown.ALL, ["a"], False),
        (AutoShutdown.ALL, ["a", "b"], True),
        (AutoShutdown.NEVER, ["a", "b"], False),
    ],
)
async def test_the_end_of_significant_children_ends_their_supervisor(
    autojump_clock, system, auto, ended, supervisor_ends
):
    children = [player(name, restart=Restart.TRANSIENT, significant=True) for name in "ab"] + [player("c")]
    ref = await system.spawn(
        ChildSpec("sup", lambda: Supervisor(children, auto_shutdown=auto), restart=Restart.TRANSIENT)
    )
    kids = dict(zip("abc", ref.children(), strict=True))
    for name in ended:
        await kids[name].ask(Run(lambda context: context.stop()))
        await settled()
    assert ref.alive is not supervisor_ends
    if supervisor_ends:
        assert await ref.wait_stopped() == Shutdown()


@pytest.mark.promise("restart.directives")
async def test_directives_resume_stop_or_escalate_by_the_type_of_the_error(autojump_clock, system, events):
    directives = {KeyError: Directive.RESUME, OSError: Directive.STOP, ArithmeticError: Directive.ESCALATE}
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a", directives=directives)])))
    (child,) = ref.children()
    child.tell("kept")
    with pytest.raises(KeyError):
        await child.ask(Run(lambda _: {}["missing"]))
    assert await child.ask(Read()) == ["kept"]
    await crash(child, ZeroDivisionError())
    assert not child.alive
    (again,) = ref.children()
    await crash(again, OSError())
    assert isinstance(await again.wait_stopped(), Crashed)
    crashes = of_type(events, ActorCrashed)
    assert [event.decision.value for event in crashes] == ["resume", "escalate", "restart", "stop"]
    assert isinstance(crashes[2].reason.error, Escalated)


@pytest.mark.promise("restart.intensity-stops-in-order")
async def test_a_failing_supervisor_restarts_no_child(autojump_clock, system):
    """A sibling that dies after the escalation stays down. Trio shuffles its tasks, hence twenty times."""
    for _ in range(20):
        diary = []
        children = [player("a", directives={ValueError: Directive.ESCALATE}), player("b", diary)]
        ref = await system.spawn(
            ChildSpec("sup", lambda children=children: Supervisor(children, intensity=9), restart=Restart.TEMPORARY)
        )
        a, b = ref.children()

        def kill_other(event, a=a, b=b):
            if isinstance(event, ActorStopped) and event.path == a.path:
                b.kill()

        forget = system.listen(kill_other)
        a.tell(Boom())
        assert isinstance(await ref.wait_stopped(), Crashed)
        forget()
        assert diary == ["start b", "stop b (killed)"]


@pytest.mark.promise("bitten.supervisor-serves-others")
async def test_a_task_that_holds_a_group_up_does_not_hold_the_supervisor_up(autojump_clock, system):
    children = [player("a"), player("b", stopping=sleeping(4))]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=Strategy.ONE_FOR_ALL)))
    await kill(ref.children()[0])
    assert (await ref.ask(CountChildren())).specs == 2
    assert trio.current_time() == 0
    await ref.ask(StartChild(player("c")))
    assert trio.current_time() == 4


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
@pytest.mark.parametrize("delay_s", [0.0, 5.0])
@pytest.mark.parametrize("by", ["request", "owner"])
async def test_a_child_added_while_its_group_restarts_starts_after_the_group(
    autojump_clock, system, strategy, delay_s, by
):
    diary = []
    backoff = Backoff(min_s=delay_s, max_s=delay_s, jitter=0) if delay_s else None
    options = {} if backoff is None else {"backoff": backoff}
    children = [player("a", diary, **options), player("b", diary, stopping=sleeping(4))]

    class Owner(Supervisor):
        async def receive(self, message, context):
            message.reply(await context.spawn(player("c", diary)))

    ref = await system.spawn(ChildSpec("sup", lambda: Owner(children, strategy=strategy)))
    await kill(ref.children()[0])
    await ref.ask(StartChild(player("c", diary)) if by == "request" else Run(None), timeout_s=60)
    assert trio.current_time() == 4 + delay_s
    assert diary[2:] == ["stop a (killed)", "stop b (shutdown)", "start a", "start b", "start c"]


async def test_a_member_of_a_restarting_group_may_add_a_sibling(autojump_clock, system):
    async def add(context):
        if context.incarnation == 2:
            await context.parent.ask(StartChild(player("c")))

    children = [player("a", starting=add), player("b")]
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, strategy=Strategy.ONE_FOR_ALL)))
    await kill(ref.children()[0])
    assert [child.path[-1] for child in ref.children()] == ["a", "b", "c"]


async def test_a_child_added_to_a_group_whose_owner_stops_is_not_started(autojump_clock, system):
    children = [player("a"), player("b", stopping=sleeping(4))]
    ref = await system.spawn(
        ChildSpec("sup", lambda: Supervisor(children, strategy=Strategy.ONE_FOR_ALL), restart=Restart.TEMPORARY)
    )
    await kill(ref.children()[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.stop)
        with pytest.raises(ActorDied):
            await ref.ask(StartChild(player("c")))


@pytest.mark.promise("bitten.ask-restarting")
async def test_a_start_asked_for_while_the_supervisor_backs_off_waits_for_it(autojump_clock, system):
    diary = []
    spec = ChildSpec("sup", Supervisor, backoff=Backoff(min_s=1.0, max_s=1.0, jitter=0.0))
    ref = await system.spawn(spec)
    await kill(ref)
    assert system.tree().children[0].state is State.BACKING_OFF
    child = await ref.ask(StartChild(player("late", diary)))
    assert child.alive
    assert diary == ["start late"]
    assert trio.current_time() == pytest.approx(1.0)
