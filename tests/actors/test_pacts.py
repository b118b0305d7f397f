"""Watching what one cannot live without, and hearing of restarts."""

import pytest
import trio

from actors import Backoff, ChildSpec, DeathPact, Restart, Restarted, Terminated
from tests.actors.troupe import Boom, Player, Read, Run, held, kill, player, settled, tell


def watching(target, **wishes):
    return Run(lambda context: context.watch(target, **wishes))


async def crashes_of(system, name):
    await settled()
    return next((node.last_error for node in system.tree().children if node.path.endswith(f"/{name}")), "gone")


@pytest.fixture
async def target(system):
    return await system.spawn(player("target"))


@pytest.fixture
async def vital(system):
    return await system.spawn(player("vital"))


@pytest.mark.promise("watch.vital")
@pytest.mark.parametrize("dead_before", [False, True])
async def test_an_actor_fails_with_what_it_cannot_live_without(autojump_clock, system, vital, dead_before):
    ref = await system.spawn(player("a"))
    if dead_before:
        await vital.stop()
    await ref.ask(watching(vital, vital=True))
    if not dead_before:
        await vital.stop()
    assert "cannot live without /test/vital, which ended: shutdown" in await crashes_of(system, "a")
    assert await ref.ask(Read()) == []


@pytest.mark.promise("watch.vital")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_an_actor_lives_on_if_it_says_so(autojump_clock, system, vital, when):
    class Survivor(Player):
        async def receive(self, message, context):
            if isinstance(message, Terminated) and when == "meanwhile":
                context.outlive(message.ref)
            await super().receive(message, context)

    ref = await system.spawn(ChildSpec("a", Survivor))
    await ref.ask(watching(vital, vital=True))
    if when == "before":
        await ref.ask(Run(lambda context: context.outlive(vital)))
    reason = await vital.stop()
    assert await ref.ask(Read()) == [Terminated(vital, reason)]
    assert await crashes_of(system, "a") is None


@pytest.mark.promise("watch.merged")
async def test_a_second_plain_watch_takes_back_no_wish(autojump_clock, system, target):
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    await ref.ask(watching(target, vital=True, restarts=True))
    await ref.ask(watching(target))
    await kill(target)
    assert [type(notice) for notice in await ref.ask(Read())] == [Restarted]
    await target.stop()
    assert isinstance((await ref.wait_stopped()).error, DeathPact)


@pytest.mark.promise("watch.merged")
async def test_unwatching_takes_all_wishes_back(autojump_clock, system, target):
    ref = await system.spawn(player("a"))
    await ref.ask(watching(target, vital=True, restarts=True))
    await ref.ask(Run(lambda context: context.unwatch(target)))
    await ref.ask(watching(target))
    await kill(target)
    await target.stop()
    await settled()
    assert [type(notice) for notice in await ref.ask(Read())] == [Terminated]


@pytest.mark.promise("watch.not-on-restart")
async def test_a_watcher_that_asks_for_restarts_hears_of_each(autojump_clock, system):
    target = await system.spawn(player("target", backoff=Backoff(min_s=5, jitter=0)))
    curious = await system.spawn(player("curious"))
    other = await system.spawn(player("other"))
    await curious.ask(watching(target, restarts=True))
    await other.ask(watching(target))
    error = ValueError("boom")
    target.tell(Boom(error))
    await trio.sleep(4)
    assert await curious.ask(Read()) == []
    await trio.sleep(2)
    ((ref, incarnation, reason),) = [(n.ref, n.incarnation, n.reason) for n in await curious.ask(Read())]
    assert (ref, incarnation, reason.error) == (target, 2, error)
    await target.stop()
    assert [type(notice) for notice in await curious.ask(Read())] == [Restarted, Terminated]
    assert [type(notice) for notice in await other.ask(Read())] == [Terminated]


async def test_no_restart_is_told_after_unwatch(autojump_clock, system, target):
    ref = await system.spawn(player("a"))
    await ref.ask(watching(target, restarts=True))

    async def crash_and_unwatch(context):
        await tell(target, Boom())
        context.unwatch(target)

    await ref.ask(Run(crash_and_unwatch))
    await tell(target, Boom())
    assert await ref.ask(Read()) == []
    assert held(target) == {}
