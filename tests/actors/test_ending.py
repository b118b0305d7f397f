"""How children end: in what order, with what reason, and who waits for it."""

from functools import partial

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorCrashed,
    ActorDied,
    ActorSystem,
    AutoShutdown,
    ChildSpec,
    Killed,
    Lane,
    Restart,
    RestartChild,
    Shutdown,
    StartChild,
    StopChild,
    StopMode,
    Supervision,
)
from tests.actors.groups import crash, open_family
from tests.actors.troupe import Hang, Read, Run, calls, of_type, player, settled, sleeping, tell


@pytest.mark.promise("stop.returns-when-dead")
async def test_all_who_stop_an_actor_wait_for_its_real_end(autojump_clock, system):
    over = []

    async def work():
        try:
            await trio.sleep_forever()
        finally:
            over.append("task")

    async def starting(context):
        context.start_soon(work)
        await context.spawn(player("kid", stopping=lambda _: over.append("kid")))

    async def stopping(_):
        await trio.sleep(2)
        over.append("hook")

    ref = await system.spawn(player("a", starting=starting, stopping=stopping, supervision=Supervision()))
    ends = []

    async def stop(mode):
        ends.append((await ref.stop(mode), list(over)))

    async with trio.open_nursery() as nursery:
        for mode in StopMode:
            nursery.start_soon(stop, mode)
    assert ends == [(Shutdown(), ["task", "kid", "hook"])] * 3


@pytest.mark.promise("stop.oneself")
async def test_a_child_that_has_itself_stopped_by_its_parent_waits_no_longer_than_its_grace(autojump_clock, system):
    _, kids = await open_family(system, player("a"), player("b"))
    kids["a"].tell(Run(lambda context: context.parent.ask(StopChild("a"), timeout_s=1000)))
    assert await kids["a"].wait_stopped() == Killed()
    assert trio.current_time() == 5.0
    assert await kids["b"].ask(Read()) == []


@pytest.mark.promise("stop.oneself")
async def test_an_actor_that_stops_its_own_supervisor_waits_no_longer_than_its_grace(autojump_clock, system):
    ref, kids = await open_family(system, player("a"))
    kids["a"].tell(Run(lambda context: context.parent.stop()))
    assert await ref.wait_stopped() == Shutdown()
    assert trio.current_time() == 5.0


@pytest.mark.promise("stop.grace-overrun", "stop.siblings-shutdown")
async def test_a_child_that_overruns_its_grace_changes_no_end_of_its_siblings(autojump_clock, system, events):
    specs = [player(name, stopping=sleeping(4), shutdown_s=grace) for name, grace in (("a", 5), ("b", 2), ("c", 5))]
    ref, kids = await open_family(system, *specs)
    assert await ref.stop() == Shutdown()
    assert trio.current_time() == 4 + 2 + 4
    assert [await kids[name].wait_stopped() for name in "abc"] == [Shutdown(), Killed(), Shutdown()]
    assert [event.path for event in of_type(events, ActorCrashed)] == ["/test/sup/b"]


@pytest.mark.promise("stop.queue")
async def test_waiting_requests_fail_and_messages_become_dead_letters_at_the_end(autojump_clock, system, ref):
    await tell(ref, Hang())
    asks = [partial(ref.ask, Read(), lane=lane, timeout_s=1000) for lane in Lane]
    async with calls(*asks) as outcomes:
        for lane in Lane:
            ref.tell(lane.name, lane=lane)
        await ref.stop(StopMode.NOW)
    assert [error.reason for error in outcomes] == [Shutdown()] * len(asks)
    waited = [letter.message for letter in system.dead_letters if letter.why == "stopped"]
    assert waited == ["ALERT", "HIGH", "NORMAL", "LOW"]


@pytest.mark.promise("stop.queue")
async def test_a_request_may_still_be_answered_in_the_stop_hook(autojump_clock, system):
    kept = []

    class Keeper(Actor):
        async def receive(self, message, context):
            kept.append(message)

        async def on_stop(self, context, reason):
            kept[0].reply("at last")

    ref = await system.spawn(ChildSpec("keeper", Keeper))
    async with calls(lambda: ref.ask(Read()), lambda: ref.ask(Read())) as outcomes:
        await ref.stop()
    assert sorted(map(str, outcomes)) == ["/test/keeper ended: shutdown", "at last"]


@pytest.mark.promise("bitten.three-stops", "stop.returns-when-dead")
async def test_no_child_starts_while_its_parent_stops(autojump_clock, system):
    refused = []

    async def stopping(context):
        with pytest.raises(ActorDied):
            await context.spawn(player("late"))
        refused.append("hook")

    spec = player("parent", supervision=Supervision(), stopping=stopping, shutdown_s=float("inf"))
    parent = await system.spawn(spec)
    await parent.ask(StartChild(player("kid", stopping=sleeping(3))))
    assert await parent.stop() == Shutdown()
    assert trio.current_time() == 3
    assert refused == ["hook"]


@pytest.mark.promise("restart.significant")
@pytest.mark.parametrize("auto", [AutoShutdown.ANY, AutoShutdown.ALL])
async def test_a_significant_child_that_is_stopped_by_hand_ends_nobody_else(autojump_clock, system, auto):
    spec = player("a", restart=Restart.TRANSIENT, significant=True)
    ref, kids = await open_family(system, spec, player("b"), auto_shutdown=auto)
    await ref.ask(StopChild("a"))
    await settled()
    assert await kids["b"].ask(Read()) == []
    again = await ref.ask(RestartChild("a"))
    await again.ask(Run(lambda context: context.stop()))
    assert await ref.wait_stopped() == Shutdown()


@pytest.mark.promise("restart.significant")
async def test_a_significant_child_that_is_restarted_has_not_ended(autojump_clock, system):
    specs = (
        player("transient", restart=Restart.TRANSIENT, significant=True),
        player("temporary", restart=Restart.TEMPORARY, significant=True),
    )
    ref, kids = await open_family(system, *specs, auto_shutdown=AutoShutdown.ANY)
    await crash(kids["transient"])
    assert ref.alive
    await crash(kids["temporary"])
    assert not ref.alive


@pytest.mark.promise("restart.significant", "stop.reverse-order")
async def test_the_end_of_a_significant_child_stops_the_others_in_reverse(autojump_clock, system):
    diary = []
    specs = [player(name, diary) for name in "ab"]
    leader = player("leader", diary, restart=Restart.TEMPORARY, significant=True)
    ref, kids = await open_family(system, specs[0], leader, specs[1], auto_shutdown=AutoShutdown.ANY)
    diary.clear()
    await kids["leader"].ask(Run(lambda context: context.stop()))
    assert await ref.wait_stopped() == Shutdown()
    assert diary == ["stop leader (normal)", "stop b (shutdown)", "stop a (shutdown)"]


@pytest.mark.promise("stop.hook-once", "peers.stop-hooks-on-cancel")
async def test_a_stop_hook_that_has_begun_is_cut_short_when_the_tree_is_cancelled(autojump_clock):
    diary = []
    with trio.move_on_after(1) as scope:
        async with ActorSystem("s", on_event=lambda _: None) as system:
            ref = await system.spawn(player("a", diary, stopping=sleeping(3)))
            await ref.stop()
    assert scope.cancelled_caught
    assert trio.current_time() == 1.0
    assert diary == ["start a", "stop a (shutdown)"]
    assert await ref.wait_stopped() == Killed()
