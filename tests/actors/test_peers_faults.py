"""Faults that users of other actor libraries met, shown to be absent here."""

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorCrashed,
    ActorDied,
    ActorRestarting,
    ActorStarted,
    ActorSystem,
    AskTimeout,
    Backoff,
    ChildSpec,
    Crashed,
    IntensityExceeded,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Restart,
    SelfCall,
    Shutdown,
    StartChild,
    State,
    StopMode,
    Strategy,
    Supervisor,
    SystemFailed,
    Terminated,
)
from tests.actors.misdeeds import raising
from tests.actors.troupe import Boom, Hang, Read, Run, calls, during, of_type, player, settled, sleeping, tell


@pytest.mark.promise("peers.ask-after-crash", "ask.death-during-call")
@pytest.mark.parametrize("end", ["crash", "kill", "stop", "own task", "parent"])
@pytest.mark.parametrize("restart", list(Restart))
async def test_an_asker_waits_no_longer_than_the_actor_it_asked_lives(autojump_clock, system, end, restart):
    sup = await system.spawn(ChildSpec("sup", Supervisor))
    ref = await sup.ask(StartChild(player("a", restart=restart)))

    async def fail():
        raise ValueError("task")

    async def work(context):
        if end == "own task":
            context.start_soon(fail)
        if end == "crash":
            raise ValueError("crash")
        await trio.sleep_forever()

    async with calls(lambda: ref.ask(Run(work), timeout_s=1000)) as outcomes:
        if end == "stop":
            await ref.stop(StopMode.NOW)
        elif end in ("kill", "parent"):
            (ref if end == "kill" else sup).kill()
    (error,) = outcomes
    assert isinstance(error, ActorDied)
    assert (error.path, trio.current_time()) == ("/test/sup/a", 0)
    assert end != "crash" or isinstance(error.__cause__, ValueError)


@pytest.mark.promise("peers.deadline-covers-send")
@pytest.mark.parametrize("policy", [Overflow.WAIT, Overflow.REJECT])
async def test_the_time_of_an_ask_covers_the_wait_for_room(autojump_clock, system, policy):
    """Where the policy is to refuse, it ends at once."""

    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=1, overflow=policy)))
    await tell(ref, Hang())
    ref.tell("waits")
    with pytest.raises(MailboxFull):
        await ref.ask(Read(), timeout_s=1000)
    assert trio.current_time() == (1000 if policy is Overflow.WAIT else 0)
    (lane,) = ref.statistics().values()
    assert lane.rejected == 1


@pytest.mark.promise("peers.deadline-covers-send", "ask.timeout")
async def test_the_time_of_an_ask_runs_from_the_call_whatever_the_target_does(autojump_clock, system):
    busy = await system.spawn(player("busy"))
    busy.tell(Hang())
    away = await system.spawn(player("away", backoff=Backoff(min_s=30, max_s=30)))
    away.tell(Boom())
    leaving = await system.spawn(player("leaving", stopping=sleeping(60), shutdown_s=100.0))
    async with during(leaving.stop):
        assert system.explain(away.path).state is State.BACKING_OFF
        for ref in (busy, away, leaving):
            start = trio.current_time()
            with pytest.raises(AskTimeout):
                await ref.ask(Read(), timeout_s=2)
            assert trio.current_time() - start == pytest.approx(2, abs=0.02)


@pytest.mark.promise("peers.ask-self", "ask.self", "stop.oneself")
async def test_an_actor_that_asks_itself_hears_that_it_cannot(autojump_clock, system):
    errors = []

    async def ask_myself(context):
        with pytest.raises(SelfCall) as caught:
            await context.ref.ask(Read(), timeout_s=float("inf"))
        errors.append(str(caught.value))
        for wait in (context.ref.stop, context.ref.wait_stopped):
            with pytest.raises(SelfCall):
                await wait()

    ref = await system.spawn(player("a", starting=ask_myself, stopping=ask_myself))
    await ref.ask(Run(ask_myself))
    await ref.stop()
    assert errors == ["/test/a cannot ask itself"] * 3
    assert trio.current_time() == 0


@pytest.mark.promise("peers.crash-loop", "restart.intensity")
async def test_an_actor_that_always_crashes_is_started_a_few_times_only(autojump_clock):
    starts = []

    def crash(context):
        starts.append(trio.current_time())
        context.ref.tell(Boom())

    async def live():
        leaf = player("leaf", starting=crash)
        inner = ChildSpec("inner", lambda: Supervisor([leaf]))
        outer = ChildSpec("outer", lambda: Supervisor([inner]))
        async with ActorSystem("s", [outer], on_event=lambda _: None):
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        await live()
    assert len(starts) == 2 * 2 * 6


@pytest.mark.promise("peers.crash-loop", "restart.backoff-growth", "testing.virtual-time")
async def test_with_a_backoff_an_hour_of_crashes_is_some_hundred_starts(autojump_clock, system, events):
    spec = player("a", starting=lambda context: context.ref.tell(Boom()), backoff=Backoff())
    await system.spawn(ChildSpec("sup", lambda: Supervisor([spec], intensity=10**6)))
    await trio.sleep(3600)
    starts = [event for event in events if isinstance(event, ActorStarted) and event.path == "/test/sup/a"]
    assert 100 < len(starts) < 180
    delays = [event.delay_s for event in of_type(events, ActorRestarting)]
    assert max(delays) <= 30.0


@pytest.mark.promise("peers.limit-tells", "bitten.failures-reach-owner")
async def test_exceeding_the_intensity_is_reported_to_watchers_askers_and_events(autojump_clock, system, events):
    sup = await system.spawn(
        ChildSpec("sup", lambda: Supervisor([player("a")], intensity=1), restart=Restart.TEMPORARY)
    )
    watcher = await system.spawn(player("watcher"))
    (child,) = sup.children()

    def watch(context):
        context.watch(sup)
        context.watch(child)

    await watcher.ask(Run(watch))
    for _ in range(2):
        await tell(child, Boom())
    reasons = {notice.ref: notice.reason for notice in await watcher.ask(Read()) if isinstance(notice, Terminated)}
    assert isinstance(reasons[sup].error, IntensityExceeded)
    assert isinstance(reasons[child], Crashed)
    for ref in (sup, child):
        with pytest.raises(ActorDied):
            await ref.ask(Read())
    decisions = [(event.path, event.decision.value) for event in of_type(events, ActorCrashed)]
    assert decisions == [("/test/sup/a", "restart"), ("/test/sup/a", "escalate"), ("/test/sup", "stop")]
    assert "more than 1 restarts in 5 s" in system.explain("/test/sup").text()


@pytest.mark.promise("peers.one-for-all-old-gone", "restart.one-for-all")
@pytest.mark.parametrize("grace_s", [5.0, 0.0])
async def test_an_old_and_a_new_sibling_never_run_at_one_time(autojump_clock, system, grace_s):
    running, most = [], []

    async def work(context):
        running.append(context.path)
        most.append(max(running.count(path) for path in running))
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            running.remove(context.path)

    specs = [player(name, shutdown_s=grace_s, starting=lambda context: context.ref.tell(Run(work))) for name in "abc"]
    sup = await system.spawn(ChildSpec("sup", lambda: Supervisor(specs, strategy=Strategy.ONE_FOR_ALL, intensity=9)))
    await settled()
    for _ in range(3):
        sup.children()[1].kill()
        await trio.sleep(60)
    assert len(most) == 12
    assert set(most) == {1}


@pytest.mark.promise("peers.stop-not-queued", "bitten.three-stops")
@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.AFTER_MESSAGE])
async def test_a_stop_does_not_wait_behind_the_backlog(autojump_clock, system, ref, mode):
    for _ in range(1000):
        ref.tell(Run(sleeping(1)))
    await settled()
    assert await ref.stop(mode) == Shutdown()
    assert trio.current_time() == (0 if mode is StopMode.NOW else 1)
    assert len([letter for letter in system.dead_letters if letter.why == "stopped"]) == 999


@pytest.mark.promise("peers.restart-gap", "restart.backoff-messages-wait")
@pytest.mark.parametrize("backoff", [None, Backoff(min_s=0.5)])
async def test_no_message_is_lost_between_two_incarnations(autojump_clock, system, backoff):
    """Told at every moment around a crash, each is handled once and in order, but for those that crashed it."""
    handled = []

    class Fragile(Actor):
        async def on_stop(self, context, reason):
            await trio.lowlevel.checkpoint()

        async def on_start(self, context):
            await trio.lowlevel.checkpoint()

        async def receive(self, message, context):
            if message % 10 == 5:
                raise ValueError("crash")
            handled.append(message)

    sup = await system.spawn(ChildSpec("sup", lambda: Supervisor(intensity=99)))
    ref = await sup.ask(StartChild(ChildSpec("a", Fragile, backoff=backoff)))
    for number in range(100):
        ref.tell(number)
        if number % 3 == 0:
            await trio.lowlevel.checkpoint()
    await trio.sleep(1000)
    assert handled == [number for number in range(100) if number % 10 != 5]
    assert system.explain(ref.path).incarnation == 11
    assert system.dead_letters.count == 0


@pytest.mark.promise("peers.first-init-fails", "restart.failed-restart-retried")
@pytest.mark.parametrize("backoff", [None, Backoff(min_s=0.1)])
@pytest.mark.parametrize("fail", [sleeping(), raising(OSError("not yet"))], ids=["hangs", "fails"])
async def test_a_restart_whose_first_start_fails_is_not_given_up(autojump_clock, system, backoff, fail):
    starts = []

    async def flaky(context):
        starts.append(1)
        if 2 <= len(starts) <= 3:
            await fail(context)

    spec = player("a", starting=flaky, start_timeout_s=1.0, backoff=backoff)
    sup = await system.spawn(ChildSpec("sup", lambda: Supervisor([spec], intensity=3)))
    (child,) = sup.children()
    child.tell(Boom())
    assert await child.ask(Read(), timeout_s=100) == []
    assert (len(starts), system.explain(sup.path).incarnation) == (4, 1)
