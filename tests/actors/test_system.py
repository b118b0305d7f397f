import logging
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

import actors
from actors import (
    ActorDied,
    ActorStarted,
    ActorStopped,
    ActorSystem,
    ChildSpec,
    Crashed,
    DeadLetter,
    InvalidSpec,
    Killed,
    NoSuchActor,
    Shutdown,
    Supervisor,
    SystemFailed,
    open_system,
)
from actors.errors import unwrap
from tests.actors.troupe import Boom, Hang, Read, player, settled, sleeping


def ignore(event):
    """Take no note of a record."""


@pytest.mark.promise("start.in-order", "stop.reverse-order")
async def test_a_system_starts_its_children_in_order_and_stops_them_in_reverse(autojump_clock):
    """The block is the life of the tree."""
    diary = []
    async with open_system("s", [player(name, diary) for name in "ab"]) as system:
        assert [ref.path for ref in system.root.children()] == ["/s/a", "/s/b"]
    assert diary == ["start a", "start b", "stop b (shutdown)", "stop a (shutdown)"]
    assert not system.root.alive


async def test_an_error_in_the_block_stops_the_tree_in_order_and_comes_out_bare(autojump_clock):
    """Not wrapped in a group."""
    diary = []
    with pytest.raises(KeyError):
        async with ActorSystem("s", [player("a", diary, stopping=sleeping(1))]):
            raise KeyError("mine")
    assert diary == ["start a", "stop a (shutdown)"]


@pytest.mark.promise("restart.never-swallowed", "peers.stop-hooks-on-cancel")
async def test_a_cancelled_block_kills_the_tree(autojump_clock):
    """Hooks run without time to wait; the cancel is not swallowed."""
    diary = []
    with trio.move_on_after(2) as scope:
        async with ActorSystem("s", [player("a", diary, stopping=sleeping(100))]):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert diary == ["start a", "stop a (killed)"]


@pytest.mark.promise("stop.grace-overrun")
async def test_stop_kills_what_is_left_after_the_grace(autojump_clock):
    """In its time, and harmless again."""
    async with ActorSystem("s", [player("a", shutdown_s=1000.0), player("b")]) as system:
        a, b = system.root.children()
        a.tell(Hang())
        await settled()
        start = trio.current_time()
        await system.stop(grace_s=3.0)
        assert trio.current_time() - start == 3.0
        assert (await a.wait_stopped(), await b.wait_stopped()) == (Killed(), Shutdown())
        await system.stop()


@pytest.mark.promise("bitten.failures-reach-owner", "peers.limit-tells")
async def test_the_failure_of_the_root_fails_the_system(autojump_clock):
    """The block is cancelled and the cause told."""

    async def live_with_a_failing_root():
        async with ActorSystem("s", intensity=0) as system:
            ref = await system.spawn(player("a"))
            ref.tell(Boom())
            await trio.sleep_forever()

    with pytest.raises(SystemFailed) as caught:
        await live_with_a_failing_root()
    assert isinstance(caught.value.__cause__, actors.IntensityExceeded)


async def test_a_killed_root_fails_the_system(autojump_clock):
    """The block does not wait for ever for a tree that is gone."""

    async def live_with_a_killed_root():
        async with ActorSystem("s", [player("a")]) as system:
            system.root.kill()
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        await live_with_a_killed_root()


@pytest.mark.promise("bitten.failure-wins")
@pytest.mark.parametrize("end", ["failed", "killed"])
@pytest.mark.parametrize("in_nursery", [False, True])
async def test_a_failed_root_outranks_the_error_that_the_block_met_through_it(autojump_clock, end, in_nursery):
    """The block asks an actor that ends with the tree, so the ask fails before the block can be cancelled."""
    error = ValueError("the reason")

    async def ask_while_the_root_fails():
        async with open_system("s", [player("bad"), player("good")], intensity=0, on_event=ignore) as system:
            bad, good = system.root.children()
            good.tell(Hang())
            await settled()
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


async def test_an_interrupt_of_the_block_outranks_a_failed_root(autojump_clock):
    """Whoever ends the program is not told of a failed tree instead."""

    async def interrupt():
        async with open_system("s", [player("bad")], intensity=0, on_event=ignore) as system:
            system.root.children()[0].tell(Boom())
            try:
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await interrupt()


@pytest.mark.promise("start.invalid-specs")
async def test_wrong_arguments_are_refused_before_anything_starts():
    """Each with its field."""
    with pytest.raises(InvalidSpec, match="intensity"):
        ActorSystem("s", intensity=-1)
    with pytest.raises(InvalidSpec, match="twice"):
        ActorSystem("s", [player("a"), player("a")])
    with pytest.raises(InvalidSpec, match="id"):
        ActorSystem("")


async def test_find_goes_by_path(autojump_clock, system):
    """And finds the living only."""
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
    """Path, type, state, depth by lane, restarts, age, last error."""
    await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a"), player("b")])))
    a = system.find("/test/sup/a")
    a.tell(Boom())
    await settled()
    await trio.sleep(7)
    a.tell(Hang())
    await settled()
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
    """The list keeps the last; the count keeps all; a subscriber hears each until it leaves."""
    heard = []
    async with ActorSystem("s", dead_letter_capacity=2, on_event=lambda _: None) as system:
        ref = await system.spawn(player("a"))
        await ref.stop()
        leave = system.dead_letters.subscribe(heard.append)
        for number in range(3):
            ref.tell(number)
        leave()
        leave()
        ref.tell(3)
        assert [letter.message for letter in system.dead_letters] == [2, 3]
        assert (len(system.dead_letters), system.dead_letters.count) == (2, 4)
        assert heard[0] == DeadLetter("/s/a", "normal", 0, "dead")
        assert len(heard) == 3


async def test_every_start_and_every_end_is_told_once(autojump_clock, system, events):
    """As data, in order."""
    ref = await system.spawn(player("a"))
    await ref.stop()
    assert events[-2:] == [ActorStarted("/test/a", 1), ActorStopped("/test/a", Shutdown())]


async def test_a_listener_that_is_false_is_called(autojump_clock):
    """A list of records with a method to call is empty, and so false, until the first one."""

    class Records(list):
        __call__ = list.append

    records = Records()
    async with ActorSystem("s", on_event=records):
        pass
    assert records


@pytest.mark.promise("bad.listener")
async def test_a_listener_that_raises_harms_no_actor(autojump_clock, caplog):
    """It is counted and logged."""

    def listen(event):
        raise RuntimeError("deaf")

    async with ActorSystem("s", on_event=listen) as system:
        ref = await system.spawn(player("a"))
        ref.tell(Boom())
        assert await ref.ask(Read()) == []
        assert system.event_errors > 0
    assert "raised" in caplog.text


@pytest.mark.promise("report.crash-once")
async def test_without_a_listener_crashes_are_logged(autojump_clock, caplog):
    """With path, the type of the message, decision and traceback; never a message's text."""
    with caplog.at_level(logging.DEBUG, logger="actors"):
        async with ActorSystem("s") as system:
            ref = await system.spawn(player("a"))
            ref.tell(Boom())
            await settled()
            ref.tell("text of a user")
            await ref.stop()
            ref.tell("text of a user")
            system.root.tell("text of a user")
            await settled()
    assert "actor.crashed path=/s/a type=Boom decision=restart" in caplog.text
    assert "actor.dead_letter path=/s/a type=str why=dead" in caplog.text
    assert "actor.unhandled path=/s type=str" in caplog.text
    assert "text of a user" not in caplog.text


@pytest.mark.parametrize("way", ["the block is cancelled", "the block raises", "stop"])
async def test_a_stop_that_cuts_work_short_is_no_error(way, autojump_clock, caplog):
    """An actor that had to be killed for it is logged for debugging only."""

    with caplog.at_level(logging.DEBUG, logger="actors"), trio.move_on_after(60), suppress(KeyError):
        async with ActorSystem("s") as system:
            ref = await system.spawn(player("busy"))
            ref.tell(Hang())
            await settled()
            if way == "the block raises":
                raise KeyError("the program's own")
            if way == "stop":
                await ref.stop()
            else:
                await trio.sleep_forever()
    assert "actor.killed path=/s/busy decision=stop" in caplog.text
    assert not [each for each in caplog.records if each.levelno > logging.DEBUG]


def test_the_public_names_are_these():
    """A name that comes or goes is a change to think about; each is documented."""
    import types

    public = {
        name: value
        for name, value in vars(actors).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == [
        "Actor", "ActorCrashed", "ActorDied", "ActorError", "ActorRef", "ActorRestarting", "ActorStarted",
        "ActorStopped", "ActorSystem", "ActorUnavailable", "AlreadyStarted", "Ask", "AskCycle", "AskTimeout",
        "AutoShutdown", "Backoff", "ChildCount", "ChildSpec", "Conflate", "Context", "CoordinatedShutdown",
        "CountChildren", "Crashed", "DeadLetter", "DeadLetters", "DeathPact", "Decision", "Directive", "Escalated",
        "Event", "Exit", "Explanation", "ForgetChild", "Ignore", "Incident", "IntensityExceeded", "Interceptor",
        "InvalidActor", "InvalidSpec", "Killed", "Lane", "LaneStatistics", "ListSpecs", "MailboxFull",
        "MailboxReceiver", "MailboxSender", "MailboxSpec", "MessageUnhandled", "NoSuchActor", "NoSuchChild",
        "Normal", "NotAnAsk", "NotEntered", "NotMainThread", "NotSupervising", "Notice", "Overflow", "PHASES",
        "Phase", "PhaseOver", "RaisedBaseException", "Receive", "Restart", "RestartChild", "Restarted", "SelfCall",
        "Shutdown", "ShutdownOverdue", "ShutdownTaskFailed", "SlowHandler", "SpentSpec", "StartChild",
        "StartDeclined", "StartFailed", "StartTimeout", "Stash", "StashCleared", "StashFull", "State", "StopChild",
        "StopMode", "Strategy", "Supervision", "Supervisor", "SystemFailed", "Terminated", "TooManyChildren",
        "TreeChange", "TreeNode", "TreeStream", "Unanswered", "UnhandledMessage", "WatchdogDied", "WrongLoop",
        "conflate", "enqueued_at", "open_mailbox", "open_system", "sleep", "stop_on_signals", "wait_for_signal",
    ]  # fmt: skip
    aliases = {"Interceptor", "Receive", "enqueued_at"}  # they have no place for a docstring of their own
    assert [name for name, value in public.items() if not value.__doc__ and name not in aliases] == []


async def test_a_crash_keeps_its_error(autojump_clock, system):
    """For who asks why."""
    ref = await system.spawn(player("a", restart=actors.Restart.TEMPORARY))
    error = ValueError("this one")
    ref.tell(Boom(error))
    assert await ref.wait_stopped() == Crashed(error)


@pytest.mark.promise("bitten.failures-reach-owner")
async def test_a_failed_root_is_told_also_when_the_block_is_busy_in_nurseries(autojump_clock):
    """The block is cancelled as a group of tasks, and still ends in SystemFailed."""

    async def busy():
        async with ActorSystem("t", [player("a")], intensity=0) as system, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            system.find("/t/a").tell(Boom())

    with pytest.raises(SystemFailed):
        await busy()
