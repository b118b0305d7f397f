import pytest

from actors import Terminated
from actors.testing import Probe
from tests.actors.troupe import player


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
