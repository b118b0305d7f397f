import pytest

from actors import Backoff, Crashed, Restart, Shutdown, Terminated
from actors.testing import Probe
from tests.actors.troupe import Boom, Read, Run, held, kill, player, settled


@pytest.mark.promise("watch.once")
async def test_a_notice_also_comes_for_one_already_dead(autojump_clock, system):
    probe = await Probe.open(system)
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    ref.tell(Boom())
    await ref.wait_stopped()
    await probe.watch(ref)
    assert isinstance((await probe.expect_end(ref)).reason, Crashed)
    await probe.expect_none()


@pytest.mark.promise("watch.not-on-restart")
async def test_a_restart_is_no_end(autojump_clock, system):
    probe = await Probe.open(system)
    ref = await system.spawn(player("a", backoff=Backoff(min_s=5.0)))
    await kill(ref)
    await probe.watch(ref)
    await probe.expect_none(60.0)
    ref.kill()
    await probe.expect_none(60.0)
    await kill(ref)
    await ref.stop()
    assert (await probe.expect_end(ref)).reason == Shutdown()


@pytest.mark.promise("watch.unwatch")
async def test_none_comes_after_unwatch(autojump_clock, system):
    target = await system.spawn(player("target"))
    watcher = await system.spawn(player("watcher"))
    await watcher.ask(Run(lambda context: context.watch(target)))

    async def stop_and_unwatch(context):
        await target.stop()
        context.unwatch(target)

    await watcher.ask(Run(stop_and_unwatch))
    await settled()
    assert await watcher.ask(Read()) == []


@pytest.mark.promise("watch.new-incarnation-is-not-old", "names.free-before-terminated")
async def test_a_new_actor_under_an_old_name_is_not_the_old_one(autojump_clock, system):
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
    target = await system.spawn(player("target"))
    watcher = await system.spawn(player("watcher"))
    await watcher.ask(Run(lambda context: context.watch(target)))
    assert held(target).keys() == {"watchers"}
    await kill(watcher)
    assert held(target) == {}
    await watcher.ask(Run(lambda context: context.watch(target)))
    await target.stop()
    await settled()
    assert held(watcher) == held(target) == {}
