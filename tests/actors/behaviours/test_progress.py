import trio
import trio.testing

from actors.behaviours.progress import Progress, report
from tests.actors.troupe import settled


async def test_each_reader_gets_the_latest_value_at_its_own_pace(autojump_clock):
    """What a slow one missed is gone, the last is not."""
    progress = Progress()
    seen = {"quick": [], "slow": []}

    async def read(name, pause_s):
        async for value in progress.updates():
            seen[name].append(value)
            await trio.sleep(pause_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, "quick", 0)
        nursery.start_soon(read, "slow", 2.6)
        for number in range(1, 7):
            await settled()
            progress.report(number)
            await trio.sleep(1)
        progress.close()
    assert seen == {"quick": [1, 2, 3, 4, 5, 6], "slow": [1, 3, 6]}
    assert progress.latest == 6


async def test_a_reader_that_comes_late_gets_the_last_value(autojump_clock):
    """And the end."""
    progress = Progress()
    progress.report("all")
    progress.close()
    progress.close()
    assert [value async for value in progress.updates()] == ["all"]
    assert [value async for value in silent().updates()] == []


def silent():
    """One that ended without a report."""
    progress = Progress()
    progress.close()
    return progress


async def test_the_same_value_twice_is_two_reports(autojump_clock):
    """And one after the end is none."""
    progress, seen = Progress(), []

    async def read():
        seen.extend([value async for value in progress.updates()])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for _ in range(2):
            await settled()
            progress.report("same")
        await settled()
        progress.close()
        progress.report("late")
    assert seen == ["same", "same"]
    assert progress.latest == "same"


async def test_code_reports_to_the_progress_of_its_task_and_of_those_that_it_starts(autojump_clock):
    """Elsewhere it reports to nobody."""
    progress = Progress()

    async def work():
        progress.current_task_reports()
        report("own")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner)

    async def inner():
        report("inner")

    report("nobody")
    assert progress.latest is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
    assert progress.latest == "inner"
    report("nobody")
    assert progress.latest == "inner"
