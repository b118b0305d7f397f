"""Trees that are very deep or very wide."""

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, Restart, Supervision, Terminated
from actors.testing import Probe
from tests.actors.troupe import Player, player

DEEP = 1_200
"""Levels: more than Python's stack holds frames."""
WIDE = 10_000


class Level(Actor):
    """Starts the level below it, down to the last."""

    supervision = Supervision()

    def __init__(self, left: int) -> None:
        self.left = left

    async def on_start(self, context: Context) -> None:
        if self.left:
            await context.spawn(ChildSpec("n", lambda: Level(self.left - 1), start_timeout_s=1e6))


class Parent(Player):
    """Has any number of children, all of which may be told to stop at once."""

    supervision = Supervision(stop_together=True)

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    async def on_start(self, context: Context) -> None:
        for number in range(self.count):
            await context.spawn(player(f"c{number}", restart=Restart.TEMPORARY))


class Steps(trio.abc.Instrument):
    """Counts how often the loop came round while it was watched."""

    def __init__(self) -> None:
        self.rounds = 0

    def before_io_wait(self, timeout: float) -> None:
        self.rounds += 1


async def wide(system: ActorSystem) -> ActorRef:
    return await system.spawn(ChildSpec("parent", lambda: Parent(WIDE), restart=Restart.TEMPORARY, start_timeout_s=1e6))


async def most_between_turns(children: list[ActorRef]) -> int:
    """Wait until all children have ended; return how many ended at most between two turns of this task."""
    most, left = 0, len(children)
    while left:
        await trio.lowlevel.checkpoint()
        now = sum(child.alive for child in children)
        most, left = max(most, left - now), now
    return most


@pytest.mark.promise("report.tree")
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_tree_deeper_than_the_stack_is_read_and_ended(autojump_clock, end):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        top = await system.spawn(ChildSpec("n", lambda: Level(DEEP), restart=Restart.TEMPORARY, start_timeout_s=1e6))
        tree = system.tree()
        paths = [node.path for node in tree.walk()]
        assert len(paths) == DEEP + 2
        assert tree.text().count("\n") == DEEP + 1
        assert len(repr(tree)) < 1_000
        leaf = system.find(paths[-1])
        if end == "kill":
            top.kill()
            await top.wait_stopped()
        else:
            await top.stop()
        assert not leaf.alive
        assert len(list(system.tree().walk())) == 1


@pytest.mark.promise("stop.in-batches")
async def test_a_kill_of_very_many_lets_others_run_meanwhile(autojump_clock):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        ref = await wide(system)
        probe = await Probe.open(system)
        await probe.watch(ref)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        children = ref.children()
        ref.kill()
        assert await most_between_turns(children) <= 200
        assert isinstance(await probe.expect(Terminated), Terminated)
        trio.lowlevel.remove_instrument(steps)
        assert steps.rounds > WIDE / 200


@pytest.mark.promise("stop.in-batches")
async def test_a_stop_of_very_many_at_once_lets_others_run_meanwhile(autojump_clock):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        ref = await wide(system)
        async with trio.open_nursery() as nursery:
            children = ref.children()
            nursery.start_soon(ref.stop)
            assert await most_between_turns(children) <= 200


async def test_a_small_family_that_is_killed_does_not_wait_for_a_large_one(autojump_clock):
    async with ActorSystem("s", on_event=lambda _: None) as system:
        large = await system.spawn(ChildSpec("large", lambda: Parent(1_000), restart=Restart.TEMPORARY))
        small = await system.spawn(ChildSpec("small", lambda: Parent(2), restart=Restart.TEMPORARY))
        large.kill()
        small.kill()
        await small.wait_stopped()
        assert sum(child.alive for child in large.children()) > 500
        await large.wait_stopped()
