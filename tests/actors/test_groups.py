"""Children that are replaced together, and trees of them."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    ActorSystem,
    Backoff,
    ForgetChild,
    IntensityExceeded,
    ListSpecs,
    Restart,
    RestartChild,
    StartChild,
    StartFailed,
    StopChild,
    Strategy,
)
from tests.actors.groups import crash, failing_from, open_family
from tests.actors.troupe import Boom, Read, calls, player, sleeping


@pytest.mark.promise("restart.one-for-all", "restart.rest-for-one", "restart.failed-restart-retried")
@pytest.mark.parametrize(
    ("strategy", "tried_again"),
    [
        (Strategy.ONE_FOR_ALL, ["stop a (shutdown)", "start a", "start b", "start c"]),
        (Strategy.REST_FOR_ONE, ["start b", "start c"]),
    ],
)
async def test_a_group_restart_that_fails_is_tried_again(autojump_clock, system, strategy, tried_again):
    diary, (flaky, _) = [], failing_from(2, until=3)
    specs = player("a", diary), player("b", diary, starting=flaky), player("c", diary)
    _, kids = await open_family(system, *specs, strategy=strategy, intensity=5)
    diary.clear()
    await crash(kids["a"])
    assert diary == [
        "stop a (crashed: ValueError)", "stop c (shutdown)", "stop b (shutdown)",
        "start a", "start b", "stop b (crashed: OSError)", *tried_again,
    ]  # fmt: skip


@pytest.mark.promise("restart.intensity", "restart.one-for-all")
async def test_no_later_sibling_starts_once_the_bound_is_passed(autojump_clock, system):
    """A group that comes back and fails for good ends there. Trio shuffles its tasks, hence twenty times."""
    for _ in range(20):
        diary, (once, _) = [], failing_from(2)
        specs = player("a", starting=once), player("b", diary)
        ref, kids = await open_family(system, *specs, strategy=Strategy.ONE_FOR_ALL, intensity=1)
        diary.clear()
        kids["a"].kill()
        assert isinstance((await ref.wait_stopped()).error, IntensityExceeded)
        assert diary == ["stop b (shutdown)"]


@pytest.mark.promise("restart.one-for-all", "restart.rest-for-one", "restart.temporary-spec-goes")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_bystanders_by_their_restart_type(autojump_clock, system, strategy):
    specs = (
        player("a"),
        player("temporary", restart=Restart.TEMPORARY),
        player("transient", restart=Restart.TRANSIENT),
    )
    ref, kids = await open_family(system, *specs, strategy=strategy)
    await crash(kids["a"])
    assert [spec.id for spec in await ref.ask(ListSpecs())] == ["a", "transient"]
    assert [child.path.rsplit("/", 1)[-1] for child in ref.children()] == ["a", "transient"]


@pytest.mark.promise("restart.one-for-all")
async def test_a_child_that_was_stopped_by_hand_does_not_come_back_with_its_group(autojump_clock, system):
    ref, kids = await open_family(system, player("a"), player("b"), strategy=Strategy.ONE_FOR_ALL)
    await ref.ask(StopChild("b"))
    await crash(kids["a"])
    assert [child.path[-1] for child in ref.children()] == ["a"]
    assert [spec.id for spec in await ref.ask(ListSpecs())] == ["a", "b"]


@pytest.mark.promise("restart.one-for-all", "restart.rest-for-one", "start.returns-when-initialised")
@pytest.mark.parametrize("strategy", list(Strategy))
async def test_a_child_that_crashes_while_later_siblings_start_is_replaced_with_its_group(
    autojump_clock, system, strategy
):
    starts = []

    async def fail():
        await trio.sleep(1)
        raise ValueError("early")

    def starting(context):
        starts.append(1)
        if len(starts) == 1:
            context.start_soon(fail)

    specs = player("a", starting=starting), player("b", starting=sleeping(3)), player("c")
    ref, kids = await open_family(system, *specs, strategy=strategy)
    assert list(kids) == ["a", "b", "c"]
    assert [await child.ask(Read()) for child in kids.values()] == [[], [], []]
    assert (len(starts), system.explain(ref.path).incarnation) == (2, 1)


@pytest.mark.promise("restart.one-for-all", "restart.rest-for-one", "bitten.supervisor-serves-others")
@settings(max_examples=100, deadline=None)
@given(
    strategy=st.sampled_from([Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]),
    first=st.sampled_from("abc"),
    then=st.sampled_from(["kill", "crash", "stop", "stop and forget", "stop and start", "add"]),
    who=st.sampled_from("abc"),
    after_s=st.integers(0, 34).map(lambda quarters: quarters / 4),
    backoff=st.sampled_from([None, Backoff(min_s=1, jitter=0)]),
)
def test_a_group_comes_back_whole_after_any_second_event(strategy, first, then, who, after_s, backoff):
    starts = []

    async def starting(context):
        starts.append(context.path[-1])
        await trio.sleep(1)
        if context.path[-1] == "b" and starts.count("b") == 2 and (then, who) != ("stop and start", "b"):
            raise OSError("once more")

    specs = [player(name, starting=starting, stopping=sleeping(0.5), backoff=backoff) for name in "abc"]

    async def meddle(ref, kids):
        if then == "kill":
            kids[who].kill()
        elif then == "crash":
            kids[who].tell(Boom())
        elif then == "add":
            await ref.ask(StartChild(player("d")), timeout_s=100)
        else:
            await ref.ask(StopChild(who), timeout_s=100)
        if then == "stop and forget":
            await ref.ask(ForgetChild(who))
        elif then == "stop and start":
            await ref.ask(RestartChild(who), timeout_s=100)

    async def main():
        async with ActorSystem("s", on_event=lambda _: None, intensity=0) as system:
            ref, kids = await open_family(system, *specs, strategy=strategy, intensity=20)
            kids[first].kill()
            await trio.sleep(after_s)
            await meddle(ref, kids)
            await trio.sleep(60)
            wanted = {name for name in "abc" if name != who or then not in ("stop", "stop and forget")}
            wanted |= {"d"} if then == "add" else set()
            assert {child.path[-1] for child in ref.children()} == wanted
            for child in ref.children():
                assert isinstance(await child.ask(Read(), fail_fast=True), list)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.promise("bitten.group-waits-together")
@pytest.mark.parametrize("first", ["a", "b"])
async def test_a_group_in_which_two_failed_waits_for_the_longer_delay(autojump_clock, system, first):
    specs = [player(name, backoff=Backoff(min_s=delay_s, jitter=0)) for name, delay_s in (("a", 2), ("b", 6))]
    _, kids = await open_family(system, *specs, player("c"), strategy=Strategy.ONE_FOR_ALL, intensity=9)
    for name in sorted("ab", key=lambda name: name != first):
        kids[name].kill()
    for child in kids.values():
        assert await child.ask(Read(), timeout_s=100) == []
    assert trio.current_time() == 6.0


@pytest.mark.promise("start.death-or-hang-never-hangs-parent", "bitten.group-waits-together")
async def test_a_start_that_waits_with_its_group_can_be_called_off(autojump_clock, system):
    specs = player("a", backoff=Backoff(min_s=10, jitter=0)), player("b")
    ref, kids = await open_family(system, *specs, strategy=Strategy.ONE_FOR_ALL)
    late = StartChild(player("late", starting=sleeping(5)))
    async with calls(lambda: ref.ask(late, timeout_s=1000)) as outcomes:
        await trio.sleep(1)
        kids["a"].kill()
        await trio.sleep(1)
        await ref.ask(StopChild("late"))
    assert trio.current_time() == 2.0
    assert isinstance(outcomes[0], StartFailed)
    await trio.sleep(60)
    assert [child.path[-1] for child in ref.children()] == ["a", "b"]
