"""How a system stops: in phases, the tree in one of them."""

import signal
from contextlib import asynccontextmanager

import pytest
import trio

from actors import (
    ActorCrashed,
    ActorSystem,
    InvalidSpec,
    Killed,
    NotEntered,
    Phase,
    SelfCall,
    SystemFailed,
)
from tests.actors.troupe import Run, player, settled, sleeping


def noting(diary, line, seconds=0.0):
    async def task():
        await trio.sleep(seconds)
        diary.append(line)

    return task


def with_phases(system, diary):
    for phase in ("stop_accepting", "drain", "release"):
        system.shutdown.add_task(phase, noting(diary, phase), "note")


@asynccontextmanager
async def phased():
    """A system, and the diary of its phases."""
    async with ActorSystem("s", on_event=lambda _: None) as system:
        with_phases(system, diary := [])
        yield system, diary


async def test_leaving_the_block_runs_the_phases_in_order(autojump_clock):
    async with phased() as (system, diary):
        await system.spawn(player("a", diary))
    assert diary == ["start a", "stop_accepting", "drain", "stop a (shutdown)", "release"]


async def test_stop_waits_for_the_whole_shutdown(autojump_clock):
    async with phased() as (system, diary):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop)
            nursery.start_soon(system.stop)
        assert diary == ["stop_accepting", "drain", "release"]
        assert not system.root.alive
        await system.stop()
    assert len(diary) == 3


async def test_a_tree_that_fails_still_releases_what_it_used(autojump_clock):
    diary = []

    async def fail():
        async with ActorSystem("s", on_event=lambda _: None) as system:
            with_phases(system, diary)
            system.root.kill()
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        await fail()
    assert diary == ["release"]


async def test_a_cancelled_block_gives_its_release_no_time(autojump_clock):
    diary = []

    async def quick():
        diary.append("quick")

    with trio.move_on_after(1):
        async with ActorSystem("s", on_event=lambda _: None) as system:
            with_phases(system, diary)
            system.shutdown.add_task("release", quick, "quick")
            await trio.sleep_forever()
    assert diary == ["quick"]
    assert trio.current_time() == 1


async def test_a_system_may_have_phases_of_its_own(autojump_clock):
    diary = []
    phases = [Phase("stop_actors", float("inf")), Phase("flush")]
    async with ActorSystem("s", phases=phases) as system:
        await system.spawn(player("a", diary))
        system.shutdown.add_task("flush", noting(diary, "flush"), "flush")
    assert diary == ["start a", "stop a (shutdown)", "flush"]
    with pytest.raises(InvalidSpec, match="stop_actors"):
        ActorSystem("s", phases=[Phase("flush")])


async def test_the_tree_is_killed_when_its_share_of_the_grace_is_over(autojump_clock):
    async with phased() as (system, diary):
        ref = await system.spawn(player("a", stopping=sleeping(), shutdown_s=1000))
        await system.stop(grace_s=20)
        assert (ref.alive, trio.current_time()) == (False, 15)
    assert diary == ["stop_accepting", "drain", "release"]


async def test_a_stop_whose_caller_leaves_goes_on(autojump_clock):
    async with phased() as (system, diary):
        system.shutdown.add_task("drain", noting(diary, "slow drain", 3), "slow")
        ref = await system.spawn(player("a", diary, stopping=sleeping(2)))
        with trio.move_on_after(1):
            await system.stop()
        assert ref.alive
        await system.stop()
        assert not ref.alive
    assert diary == ["start a", "stop_accepting", "drain", "slow drain", "stop a (shutdown)", "release"]
    assert trio.current_time() == 5


@pytest.mark.promise("bitten.failure-wins")
async def test_an_error_among_cancellations_is_named_by_the_failure_of_the_root(autojump_clock):
    async def use():
        async with ActorSystem("s", on_event=lambda _: None) as system, trio.open_nursery() as nursery:

            async def fails():
                try:
                    await trio.sleep_forever()
                finally:
                    raise KeyError("cleanup")

            nursery.start_soon(fails)
            nursery.start_soon(trio.sleep_forever)
            await settled()
            system.root.kill()
            await trio.sleep_forever()

    with pytest.raises(SystemFailed) as caught:
        await use()
    assert caught.value.__context__.subgroup(KeyError) is not None
    assert caught.value.__notes__ == ["the block of the system raised KeyError: 'cleanup'"]


async def test_a_system_that_is_over_is_stopped_already(autojump_clock):
    with trio.move_on_after(1):
        async with ActorSystem("s", on_event=lambda _: None) as cancelled:
            await trio.sleep_forever()
    async with ActorSystem("s") as ended:
        pass
    for system in (cancelled, ended):
        start = trio.current_time()
        await system.stop(grace_s=1)
        assert trio.current_time() == start
        assert not system.root.alive


async def test_an_actor_cannot_wait_for_the_end_of_its_system(autojump_clock):
    diary, errors = [], []

    async def quit_by_waiting(context):
        with pytest.raises(SelfCall, match="the end of the system"):
            await context.system.stop()
        errors.append("refused")
        context.system.request_stop()

    async with ActorSystem("s") as system:
        with_phases(system, diary)
        await system.spawn(player("other", diary, stopping=sleeping(1)))
        ref = await system.spawn(player("a", diary, shutdown_s=float("inf")))
        diary.clear()
        ref.tell(Run(quit_by_waiting))
        await system.root.wait_stopped()
    assert errors == ["refused"]
    assert diary == ["stop_accepting", "drain", "stop a (shutdown)", "stop other (shutdown)", "release"]


async def test_the_grace_of_a_stop_bounds_all_of_it(autojump_clock):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        for phase in ("stop_accepting", "drain", "release"):
            system.shutdown.add_task(phase, trio.sleep_forever, phase)
        ref = await system.spawn(player("a", stopping=sleeping(), shutdown_s=1000))
        await system.stop(grace_s=2)
        assert not ref.alive
        assert trio.current_time() == 2


async def test_killing_a_system_hurries_through_its_shutdown(autojump_clock):
    async with phased() as (system, diary):
        system.shutdown.add_task("drain", trio.sleep_forever, "forever")
        ref = await system.spawn(player("a", diary, stopping=sleeping()))
        system.request_stop()
        await trio.sleep(1)
        system.kill()
        await system.stop()
        assert not ref.alive
    assert trio.current_time() == 1


async def test_a_system_is_used_in_its_block_and_entered_once(autojump_clock):
    system = ActorSystem("s")
    paths = []

    def interceptor(ref, receive):
        paths.append(ref.path)
        return receive

    system.intercept(interceptor)
    for use in (system.tree, lambda: system.root, lambda: system.find("/s")):
        with pytest.raises(NotEntered, match="not been entered"):
            use()
    async with system:
        await system.spawn(player("a"))
        await settled()
    assert paths == ["/s", "/s/a"]
    with pytest.raises(NotEntered, match="once"):
        await system.__aenter__()


@pytest.mark.promise("bitten.failures-reach-owner")
async def test_an_error_on_the_way_out_of_a_cancelled_system_is_a_crash_report(autojump_clock, events):

    async def fails():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async def with_a_nursery(_):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        async with ActorSystem("s", on_event=events.append) as system:
            ref = await system.spawn(player("a"))
            ref.tell(Run(with_a_nursery))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    (crash,) = [event for event in events if isinstance(event, ActorCrashed) and event.path == "/s/a"]
    assert isinstance(crash.reason, Killed)
    assert "ValueError: cleanup" in crash.traceback


@pytest.mark.promise("restart.never-swallowed")
def test_an_interrupt_while_the_block_is_left_ends_the_system_cleanly():
    diary = []

    @trio.lowlevel.enable_ki_protection
    def press():
        signal.raise_signal(signal.SIGINT)

    async def interrupted():
        press()
        await trio.sleep_forever()

    async def main():
        async with ActorSystem("s", on_event=lambda _: None) as system:
            system.shutdown.add_task("drain", interrupted, "interrupted")
            await system.spawn(player("a", diary))

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert diary == ["start a", "stop a (killed)"]
