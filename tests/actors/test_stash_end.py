"""What becomes of messages that are set aside when their actor ends for good."""

import pytest
import trio

from actors import ActorDied, Backoff, DeadLetter, Normal, Restart, Shutdown, StopMode
from tests.actors.keepers import Note, Open, Put, keeping, lost, restless, taking
from tests.actors.troupe import Boom, Run, failing, held, of_type


@pytest.mark.promise("watch.tables-empty", "stop.queue")
@pytest.mark.parametrize("end", ["stop", "kill", "crash", "own wish", "own task", "after a backoff"])
async def test_stashed_messages_become_dead_letters_when_the_actor_ends(autojump_clock, system, end):
    backing_off = (
        {"backoff": Backoff(min_s=60, max_s=60)} if end == "after a backoff" else {"restart": Restart.TEMPORARY}
    )
    keeper = await restless(system, **backing_off)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failing, ActorDied, lambda: keeper.ref.ask(Put("asked"), timeout_s=1e6), "/test/keeper")
        await keeper.note("a b")
        await bring_to_its_end(keeper, end)
        await keeper.ref.wait_stopped()
    assert lost(system) == [("a", "stash", "stopped"), ("b", "stash", "stopped")]
    assert len(keeper.incarnations) == 1
    assert len(keeper.stash) == 0
    assert held(keeper.ref) == {}


async def bring_to_its_end(keeper, how):
    """Stop it from outside, kill it, crash it, let it stop itself, or let a task of its own fail."""

    async def fail():
        raise ValueError("task")

    match how:
        case "stop":
            await keeper.ref.stop(StopMode.AFTER_MESSAGE)
        case "kill":
            keeper.ref.kill()
        case "crash":
            keeper.ref.tell(Boom())
        case "own wish":
            keeper.ref.tell(Run(lambda context: context.stop()))
        case "own task":
            keeper.ref.tell(Run(lambda context: context.start_soon(fail)))
        case "after a backoff":
            await keeper.tell(Boom())
            await keeper.ref.stop()


async def test_a_dead_letter_is_told_once(autojump_clock, keeper, events):
    await keeper.note("a")
    await keeper.ref.stop()
    assert of_type(events, DeadLetter) == [DeadLetter("/test/keeper", "stash", Note("a"), "stopped")]


@pytest.mark.promise("bitten.three-stops")
@pytest.mark.parametrize(
    ("mode", "done"),
    [(StopMode.NOW, ["a"]), (StopMode.AFTER_MESSAGE, ["a", "b"]), (StopMode.AFTER_DRAIN, list("abcd"))],
)
async def test_a_stop_waits_for_what_comes_back_only_when_it_is_told_to(autojump_clock, system, keeper, mode, done):
    await keeper.tell(*(Note(word, taking(1)) for word in "abc"))
    keeper.ref.tell(Open())
    keeper.ref.tell(Note("d"))
    await trio.sleep(1.5)
    assert await keeper.ref.stop(mode) == Shutdown()
    assert keeper.done == done
    assert [word for word, lane, _ in lost(system) if lane == "stash"] == [word for word in "c" if word not in done]


@pytest.mark.promise("bitten.three-stops")
async def test_an_actor_that_stops_itself_begins_nothing_more(autojump_clock, system):
    keeper = await keeping(system, restart=Restart.TEMPORARY)
    await keeper.tell(*(Note(word, lambda _, context: context.stop()) for word in "ab"), Open())
    assert await keeper.ref.wait_stopped() == Normal()
    assert keeper.done == ["a"]
    assert lost(system) == [("b", "stash", "stopped")]
