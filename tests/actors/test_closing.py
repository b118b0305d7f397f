"""A supervisor that closes: nobody comes back, and those that need no order stop together."""

import sys

import pytest
import trio

from actors import ActorStopped, ActorSystem, Backoff, ChildSpec, StartChild, StopMode, Supervisor
from tests.actors.troupe import Boom, Run, of_type, player, settled, sleeping, tell
from tests.rigs.memory import kept_bytes


async def test_a_child_in_backoff_does_not_start_while_the_supervisor_closes(autojump_clock):
    diary = []
    async with ActorSystem("s", on_event=lambda _: None) as system:
        flaky = await system.spawn(player("flaky", diary, backoff=Backoff(min_s=2, jitter=0)))
        await system.spawn(player("slow", diary, stopping=sleeping(4)))
        await tell(flaky, Boom())
    assert diary == ["start flaky", "start slow", "stop flaky (crashed: ValueError)", "stop slow (shutdown)"]
    assert trio.current_time() == 4


async def test_a_child_in_backoff_does_not_start_once_the_supervisor_failed(autojump_clock):
    diary = []
    children = [
        player("flaky", diary, backoff=Backoff(min_s=2, jitter=0)),
        player("bad", diary),
        player("slow", diary, stopping=sleeping(4)),
    ]
    async with ActorSystem("s", on_event=lambda _: None) as system:
        ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, intensity=1)))
        flaky, bad, _ = ref.children()
        await tell(flaky, Boom())
        bad.tell(Boom())
        await trio.sleep(3)
        assert diary.count("start flaky") == 1
        await trio.sleep(3)
        assert diary.count("start flaky") == 2


@pytest.mark.parametrize(("together", "took_s"), [(False, 300), (True, 3), (25, 12)])
async def test_children_that_need_no_order_stop_at_once(autojump_clock, together, took_s):
    async with ActorSystem("s") as system:
        ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(stop_together=together)))
        for number in range(100):
            await ref.ask(StartChild(player(f"{number}", stopping=sleeping(3))))
    assert trio.current_time() == took_s


async def test_waiting_for_an_end_leaves_nothing_behind(autojump_clock, ref):
    with kept_bytes() as left:
        for _ in range(1000):
            with trio.move_on_after(1):
                await ref.wait_stopped()
    assert left.size < 20_000  # twenty bytes for each
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ref.wait_stopped)
        await settled()
        await ref.stop()


async def lines_of_a_stop(children):
    """Return how many lines of Python are run to stop one of so many children."""
    lines = 0

    def count(frame, event, arg):
        nonlocal lines
        lines += event == "line"
        return count

    async with ActorSystem("s", on_event=lambda _: None) as system:
        ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(stop_together=True, intensity=10**6)))
        for number in range(children):
            await ref.ask(StartChild(player(f"{number}")))
        (first, *_) = ref.children()
        tracer = sys.gettrace()
        sys.settrace(count)
        try:
            await first.stop()
        finally:
            sys.settrace(tracer)
    return lines


async def test_the_end_of_a_child_costs_the_same_among_many(autojump_clock):
    few, many = await lines_of_a_stop(3), await lines_of_a_stop(300)
    assert 0 < many < few + 100


@pytest.mark.promise("bitten.every-drop-counted")
@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_message_that_a_stop_cuts_off_is_named(autojump_clock, ref, events, mode):
    await tell(ref, Run(sleeping(2)))
    await ref.stop(mode)
    (stopped,) = of_type(events, ActorStopped)
    assert stopped.cut_off == ("Run" if mode is StopMode.NOW else None)
