import pytest

from actors import Backoff, Crashed, Killed, Restart, Shutdown, Terminated
from actors.testing import Probe, ProbeFailure
from tests.actors.troupe import Boom, Read, Run, held, player, settled


@pytest.mark.promise("watch.once")
async def test_a_watcher_gets_one_notice_with_the_reason(autojump_clock, system):
    """Exactly one."""
    probe = await Probe.open(system)
    ref = await system.spawn(player("a"))
    await probe.watch(ref)
    await probe.watch(ref)
    await ref.stop()
    assert (await probe.expect_end(ref)).reason == Shutdown()
    await probe.expect_none()


@pytest.mark.promise("watch.once")
async def test_a_notice_also_comes_for_one_already_dead(autojump_clock, system):
    """With the reason of its end."""
    probe = await Probe.open(system)
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    ref.tell(Boom())
    await ref.wait_stopped()
    await probe.watch(ref)
    assert isinstance((await probe.expect_end(ref)).reason, Crashed)
    await probe.expect_none()


@pytest.mark.promise("watch.not-on-restart")
async def test_a_restart_is_no_end(autojump_clock, system):
    """Nor is a wait between two incarnations; the end while backing off is one."""
    probe = await Probe.open(system)
    ref = await system.spawn(player("a", backoff=Backoff(min_s=5.0)))
    await probe.watch(ref)
    ref.kill()
    await probe.expect_none(60.0)
    ref.kill()
    await settled()
    await ref.stop()
    assert (await probe.expect_end(ref)).reason == Shutdown()


@pytest.mark.promise("watch.unwatch")
async def test_none_comes_after_unwatch(autojump_clock, system):
    """Not even one that was on its way."""
    target = await system.spawn(player("target"))
    watcher = await system.spawn(player("watcher"))
    await watcher.ask(Run(lambda context: context.watch(target)))

    async def stop_and_unwatch(context):
        await target.stop()
        context.unwatch(target)

    await watcher.ask(Run(stop_and_unwatch))
    await settled()
    assert await watcher.ask(Read()) == []


@pytest.mark.promise("watch.independent")
async def test_two_watchers_are_independent(autojump_clock, system):
    """One that unwatches takes nothing from the other."""
    first, second = await Probe.open(system, "first"), await Probe.open(system, "second")
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    await first.watch(ref)
    await second.watch(ref)
    await first.ref.stop()
    ref.kill()
    assert (await second.expect_end(ref)).reason == Killed()
    await first.expect_none()


@pytest.mark.promise("watch.new-incarnation-is-not-old", "names.free-before-terminated")
async def test_a_new_actor_under_an_old_name_is_not_the_old_one(autojump_clock, system):
    """The name is free before the notice comes; the notice is about the old one."""
    probe = await Probe.open(system)
    old = await system.spawn(player("a"))
    await probe.watch(old)
    await old.stop()
    new = await system.spawn(player("a"))
    notice = await probe.expect(Terminated)
    assert notice.ref == old
    assert notice.ref != new
    await new.stop()
    await probe.expect_none()


@pytest.mark.promise("watch.tables-empty")
async def test_no_watch_outlives_its_actors(autojump_clock, system):
    """The tables are empty afterwards, also when the watcher restarts."""
    target = await system.spawn(player("target"))
    watcher = await system.spawn(player("watcher"))
    await watcher.ask(Run(lambda context: context.watch(target)))
    assert held(target).keys() == {"watchers"}
    watcher.kill()
    await settled()
    assert held(target) == {}
    await watcher.ask(Run(lambda context: context.watch(target)))
    await target.stop()
    await settled()
    assert held(watcher) == held(target) == {}


async def test_a_probe_says_what_it_missed(autojump_clock, system):
    """Nothing, the wrong thing, or something where nothing should be."""
    probe = await Probe.open(system)
    with pytest.raises(ProbeFailure, match="no int within 5 s"):
        await probe.expect(int)
    probe.ref.tell("text")
    with pytest.raises(ProbeFailure, match="expected int, got 'text'"):
        await probe.expect(int)
    probe.ref.tell("text")
    probe.ref.tell(1)
    assert await probe.fish(int) == 1
    with pytest.raises(ProbeFailure, match="no int"):
        await probe.fish(int)
    probe.ref.tell(2)
    with pytest.raises(ProbeFailure, match="expected nothing, got 2"):
        await probe.expect_none()
