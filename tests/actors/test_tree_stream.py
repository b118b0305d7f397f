"""The tree as a stream of changes."""

import pytest
import trio

from actors import ActorSystem, Backoff, State, TreeChange, TreeNode
from tests.actors.troupe import Boom, during, player, settled


async def take(stream, count):
    return [await anext(stream) for _ in range(count)]


@pytest.mark.promise("report.changes")
async def test_a_stream_begins_with_the_tree_and_goes_on_with_each_change(autojump_clock, system):
    await system.spawn(player("old"))
    async with system.changes() as stream:
        first = await anext(stream)
        assert isinstance(first, TreeNode)
        assert [child.path for child in first.children] == ["/test/old"]
        ref = await system.spawn(player("new", backoff=Backoff(min_s=2, jitter=0)))
        ref.tell(Boom())
        await trio.sleep(3)
        await ref.stop()
        changes = await take(stream, 9)
    assert {change.path for change in changes} == {"/test/new"}
    assert [(change.state.value, change.incarnation) for change in changes] == [
        ("starting", 1), ("running", 1), ("stopping", 1), ("stopped", 1), ("backing_off", 1),
        ("starting", 2), ("running", 2), ("stopping", 2), ("stopped", 2),
    ]  # fmt: skip
    assert changes[4].at_s - changes[5].at_s == pytest.approx(-2)


async def test_a_reader_that_falls_behind_is_given_the_tree_again(autojump_clock, system):
    async with system.changes(capacity=5) as stream:
        await anext(stream)
        for number in range(10):
            await system.spawn(player(f"{number}"))
        again = await anext(stream)
        assert isinstance(again, TreeNode)
        assert len(again.children) == 10
        assert stream.missed > 5
        await system.spawn(player("later"))
        assert isinstance(await anext(stream), TreeChange)


async def test_a_stream_ends_with_its_system(autojump_clock):
    items = []
    async with trio.open_nursery() as nursery:

        async def read():
            async with system.changes() as stream:
                async for item in stream:
                    items.append(item)

        async with ActorSystem("s") as system:
            nursery.start_soon(read)
            await settled()
            await system.spawn(player("a"))
    assert [(item.path, item.gone) for item in items[-1:]] == [("/s", True)]


async def test_only_one_task_reads_a_stream_and_a_cancelled_read_loses_nothing(autojump_clock, system):
    async with system.changes() as stream:
        await anext(stream)
        with trio.move_on_after(1):
            await anext(stream)
        async with during(take, stream, 1):
            with pytest.raises(trio.BusyResourceError):
                await anext(stream)
            await system.spawn(player("a"))
        assert (await anext(stream)).state is State.RUNNING
    assert system.streams == []


async def test_a_stream_of_a_system_that_is_over_has_the_tree_and_ends(autojump_clock):
    async with ActorSystem("s") as system:
        pass
    async with system.changes() as stream:
        assert [type(item) async for item in stream] == [TreeNode]
