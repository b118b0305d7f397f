import pytest

from actors import AlreadyStarted, ChildSpec, NotSupervising, Supervision
from actors.behaviours.start import start_under
from tests.actors.troupe import Run, player, sleeping


async def test_a_child_starts_under_a_system_a_context_or_a_reference(autojump_clock, system):
    parent = await system.spawn(player("a", supervision=Supervision()))
    assert (await start_under(system, player("b"))).path == "/test/b"
    assert (await start_under(parent, player("c"))).path == "/test/a/c"
    child = await parent.ask(Run(lambda context: start_under(context, player("d"))))
    assert child.path == "/test/a/d"


async def test_a_start_by_reference_may_take_as_long_as_the_child_may(autojump_clock, system):
    parent = await system.spawn(player("a", supervision=Supervision()))
    assert (await start_under(parent, player("slow", starting=sleeping(20)))).alive


@pytest.mark.promise("names.taken")
async def test_a_failed_start_raises_the_same_error_for_every_kind_of_parent(autojump_clock, system):
    parent = await system.spawn(player("a", supervision=Supervision()))
    await start_under(parent, player("b"))
    with pytest.raises(AlreadyStarted):
        await start_under(parent, player("b"))
    with pytest.raises(AlreadyStarted):
        await start_under(system, ChildSpec("a", player("a").factory))
    with pytest.raises(NotSupervising):
        await start_under(await system.spawn(player("childless")), player("b"))
