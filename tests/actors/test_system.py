import logging
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

import actors
from actors import (
    Actor,
    ActorDied,
    ActorSystem,
    ChildSpec,
    DeadLetter,
    NoSuchActor,
    Supervisor,
    SystemFailed,
    open_system,
)
from actors.errors import unwrap
from tests.actors.troupe import Boom, Hang, Read, player, tell


def ignore(event):
    """Take no note of a record."""


@pytest.mark.promise("start.in-order", "stop.reverse-order")
async def test_a_system_starts_its_children_in_order_and_stops_them_in_reverse(autojump_clock):
    diary = []
    async with open_system("s", [player(name, diary) for name in "ab"]) as system:
        assert [ref.path for ref in system.root.children()] == ["/s/a", "/s/b"]
    assert diary == ["start a", "start b", "stop b (shutdown)", "stop a (shutdown)"]
    assert not system.root.alive


@pytest.mark.parametrize("end", ["kill", "kill the root", "cancel", "leave"])
async def test_a_system_of_which_nothing_comes_back_says_so_while_it_ends(autojump_clock, end):
    """An actor that shields itself holds the end up, and need not wait for another one."""
    killed = []

    class Holding(Actor):
        async def receive(self, message, context):
            with trio.CancelScope(shield=True):
                await trio.sleep(1.0)
                killed.append(context.system.killed)

    with suppress(SystemFailed), trio.CancelScope() as scope:
        async with ActorSystem("s", [ChildSpec("holding", Holding)]) as system:
            (holding,) = system.root.children()
            holding.kill()  # and it is started again
            await trio.testing.wait_all_tasks_blocked()
            holding.tell("hold")
            await trio.testing.wait_all_tasks_blocked()
            assert not system.killed
            match end:
                case "kill":
                    system.kill()
                case "kill the root":
                    system.root.kill()
                case "cancel":
                    scope.cancel()
    assert system.killed
    assert killed == [end != "leave"]


@pytest.mark.promise("bitten.failure-wins")
@pytest.mark.parametrize("end", ["failed", "killed"])
@pytest.mark.parametrize("in_nursery", [False, True])
async def test_a_failed_root_outranks_the_error_that_the_block_met_through_it(autojump_clock, end, in_nursery):
    """The block asks an actor that ends with the tree, so the ask fails before the block can be cancelled."""
    error = ValueError("the reason")

    async def ask_while_the_root_fails():
        async with open_system("s", [player("bad"), player("good")], intensity=0, on_event=ignore) as system:
            bad, good = system.root.children()
            await tell(good, Hang())
            if end == "failed":
                bad.tell(Boom(error))
            else:
                system.root.kill()
            ask = partial(good.ask, Read(), timeout_s=100)
            if not in_nursery:
                await ask()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                nursery.start_soon(trio.sleep_forever)

    with pytest.raises(SystemFailed) as caught:
        await ask_while_the_root_fails()
    context = caught.value.__context__
    met = context.subgroup(ActorDied) if in_nursery else context
    assert isinstance(unwrap(met), ActorDied)
    assert "ActorDied: /s/good ended: killed" in "".join(caught.value.__notes__)
    cause = caught.value.__cause__
    if end == "failed":
        assert isinstance(cause, actors.IntensityExceeded)
        assert cause.__cause__ is error
    else:
        assert cause is None


async def test_find_goes_by_path(autojump_clock, system):
    await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a")])))
    assert system.find("/test") is system.root
    assert system.get("/test/sup/a") is system.find("/test/sup/a")
    assert system.find("/test/sup/a").path == "/test/sup/a"
    for path in ("/other", "/test/x", "/test/sup/x", "/test/sup/a/x", ""):
        assert system.find(path) is None
        with pytest.raises(NoSuchActor, match=f"no live actor is at {path}:"):
            system.get(path)
    await system.find("/test/sup/a").stop()
    assert system.find("/test/sup/a") is None


@pytest.mark.promise("report.tree")
async def test_the_tree_is_readable_while_it_runs(autojump_clock, system):
    await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a"), player("b")])))
    a = system.find("/test/sup/a")
    await tell(a, Boom())
    await trio.sleep(7)
    await tell(a, Hang())
    a.tell("waits")
    node = system.tree().children[0].children[0]
    assert (node.path, node.type, node.state.value, node.depth) == ("/test/sup/a", "Player", "running", {"normal": 1})
    assert (node.restarts, node.age_s, node.last_error) == (1, 7.0, "ValueError: boom")
    assert system.tree().text().splitlines() == [
        "test (Supervisor) running, 7 s",
        "└── sup (Supervisor) running, 7 s",
        "    ├── a (Player) running, 7 s, 1 queued, 1 restarts, ValueError: boom",
        "    └── b (Player) running, 7 s",
    ]


@pytest.mark.promise("bitten.every-drop-counted", "tell.dead-letter")
async def test_dead_letters_are_bounded_counted_and_told(autojump_clock):
    letters = []
    async with ActorSystem("s", dead_letter_capacity=2, on_event=lambda _: None) as system:
        ref = await system.spawn(player("a"))
        await ref.stop()
        leave = system.dead_letters.subscribe(letters.append)
        for number in range(3):
            ref.tell(number)
        leave()
        leave()
        ref.tell(3)
        assert [letter.message for letter in system.dead_letters] == [2, 3]
        assert (len(system.dead_letters), system.dead_letters.count) == (2, 4)
        assert letters[0] == DeadLetter("/s/a", "normal", 0, "dead")
        assert len(letters) == 3


async def test_a_listener_that_is_false_is_called(autojump_clock):
    """A list of records with a method to call is empty, and so false, until the first one."""

    class Records(list):
        __call__ = list.append

    records = Records()
    async with ActorSystem("s", on_event=records):
        pass
    assert records


@pytest.mark.promise("report.crash-once")
async def test_without_a_listener_crashes_are_logged(autojump_clock, caplog):
    with caplog.at_level(logging.DEBUG, logger="actors"):
        async with ActorSystem("s") as system:
            ref = await system.spawn(player("a"))
            await tell(ref, Boom())
            ref.tell("text of a user")
            await ref.stop()
            ref.tell("text of a user")
            await tell(system.root, "text of a user")
    assert "actor.crashed path=/s/a type=Boom decision=restart" in caplog.text
    assert "actor.dead_letter path=/s/a type=str why=dead" in caplog.text
    assert "actor.unhandled path=/s type=str" in caplog.text
    assert "text of a user" not in caplog.text


@pytest.mark.parametrize("way", ["the block is cancelled", "the block raises", "stop"])
async def test_a_stop_that_cuts_work_short_is_no_error(way, autojump_clock, caplog):
    with caplog.at_level(logging.DEBUG, logger="actors"), trio.move_on_after(60), suppress(KeyError):
        async with ActorSystem("s") as system:
            ref = await system.spawn(player("busy"))
            await tell(ref, Hang())
            if way == "the block raises":
                raise KeyError("the program's own")
            if way == "stop":
                await ref.stop()
            else:
                await trio.sleep_forever()
    assert "actor.killed path=/s/busy decision=stop" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
