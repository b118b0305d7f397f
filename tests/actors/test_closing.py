"""A supervisor that closes: nobody comes back, and those that need no order stop together."""

import sys

import pytest
import trio

from actors import (
    ActorStopped,
    ActorSystem,
    Backoff,
    ChildSpec,
    InvalidSpec,
    StartChild,
    StopMode,
    Supervision,
    Supervisor,
    TooManyChildren,
)
from tests.actors.troupe import Boom, Run, player, settled, sleeping
from tests.memory import kept_bytes


async def test_who_backs_off_does_not_start_again_while_the_supervisor_closes(autojump_clock):
    """Though a sibling takes its time to stop."""
    diary = []
    async with ActorSystem("s", on_event=lambda _: None) as system:
        flaky = await system.spawn(player("flaky", diary, backoff=Backoff(min_s=2, jitter=0)))
        await system.spawn(player("slow", diary, stopping=sleeping(4)))
        flaky.tell(Boom())
        await settled()
    assert diary == ["start flaky", "start slow", "stop flaky (crashed: ValueError)", "stop slow (shutdown)"]
    assert trio.current_time() == 4


async def test_who_backs_off_does_not_start_again_once_the_supervisor_failed(autojump_clock):
    """The limit was exceeded by another child; its siblings still stop."""
    diary = []
    children = [
        player("flaky", diary, backoff=Backoff(min_s=2, jitter=0)),
        player("bad", diary),
        player("slow", diary, stopping=sleeping(4)),
    ]
    async with ActorSystem("s", on_event=lambda _: None) as system:
        ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(children, intensity=1)))
        flaky, bad, _ = ref.children()
        flaky.tell(Boom())
        await settled()
        bad.tell(Boom())
        await trio.sleep(3)
        assert diary.count("start flaky") == 1
        await trio.sleep(3)
        assert diary.count("start flaky") == 2


@pytest.mark.parametrize(("together", "took_s"), [(False, 300), (True, 3), (25, 12)])
async def test_children_that_need_no_order_stop_at_once(autojump_clock, together, took_s):
    """A hundred that take three seconds each take three seconds; 25 at a time, four times that."""
    async with ActorSystem("s") as system:
        ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(stop_together=together)))
        for number in range(100):
            await ref.ask(StartChild(player(f"{number}", stopping=sleeping(3))))
    assert trio.current_time() == took_s


async def test_children_that_stop_together_are_told_in_reverse(autojump_clock):
    """Whoever needs no time ends in that order."""
    diary = []
    async with ActorSystem("s") as system:
        specs = [player(name, diary) for name in "abc"]
        await system.spawn(ChildSpec("sup", lambda: Supervisor(specs, stop_together=True)))
        diary.clear()
    assert sorted(diary) == ["stop a (shutdown)", "stop b (shutdown)", "stop c (shutdown)"]


def test_stop_together_is_yes_or_no_or_a_number():
    """Anything else is refused."""
    with pytest.raises(InvalidSpec, match="stop_together"):
        Supervision(stop_together=0)


async def test_a_bound_counts_the_living_only(autojump_clock, system):
    """A child that ended makes room, however it ended."""
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor(max_children=2, intensity=9)))
    first = await ref.ask(StartChild(player("a")))
    second = await ref.ask(StartChild(player("b")))
    second.tell(Boom())
    await settled()
    with pytest.raises(TooManyChildren):
        await ref.ask(StartChild(player("c")))
    await first.stop()
    await ref.ask(StartChild(player("c")))
    with pytest.raises(TooManyChildren):
        await ref.ask(StartChild(player("d")))


async def test_a_supervisor_may_never_give_up(autojump_clock):
    """However large its bound is written."""
    async with ActorSystem("s", intensity=2**70, on_event=lambda _: None) as system:
        ref = await system.spawn(player("a"))
        for _ in range(50):
            ref.kill()
            await settled()
        assert system.tree().children[0].restarts == 50


async def test_waiting_for_an_end_leaves_nothing_behind(autojump_clock, system):
    """A health check that waits for a second, again and again."""
    ref = await system.spawn(player("a"))
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
        before = sys.gettrace()
        sys.settrace(count)
        try:
            await first.stop()
        finally:
            sys.settrace(before)
    return lines


async def test_the_end_of_a_child_costs_the_same_among_many(autojump_clock):
    """Nobody counts the siblings that count for nothing."""
    few, many = await lines_of_a_stop(3), await lines_of_a_stop(300)
    assert 0 < many < few + 100


@pytest.mark.promise("bitten.every-drop-counted")
@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_message_that_a_stop_cuts_off_is_named(autojump_clock, system, events, mode):
    """Nobody knows how far it came; one that was finished is not named."""
    ref = await system.spawn(player("a"))
    ref.tell(Run(sleeping(2)))
    await settled()
    await ref.stop(mode)
    (stopped,) = [event for event in events if isinstance(event, ActorStopped)]
    assert stopped.cut_off == ("Run" if mode is StopMode.NOW else None)
