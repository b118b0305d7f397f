"""What handlers may do wrong: the culprit is named, the others live, and everything still ends."""

import time

import pytest
import trio
import trio.lowlevel
import trio.testing

from actors import (
    Actor,
    ActorSystem,
    ChildSpec,
    Killed,
    Lane,
    MailboxFull,
    MailboxSpec,
    RaisedBaseException,
    Restart,
    Shutdown,
    ShutdownOverdue,
    SlowHandler,
    State,
    StopMode,
    Supervision,
)
from tests.actors.misdeeds import neighbour, stubborn
from tests.actors.troupe import Player, Run, of_type, player, tell


@pytest.mark.promise("bad.blocking")
@pytest.mark.blocking("it is the fault under test")
@pytest.mark.parametrize("way", ["message", "alert beside others", "timer", "notice"])
async def test_a_handler_that_blocks_the_loop_is_named(autojump_clock, events, way):
    class Blocking(Player):
        async def receive(self, message, context):
            if not isinstance(message, Run):
                time.sleep(0.2)  # noqa: ASYNC251 - the fault under test
            await super().receive(message, context)

    async with ActorSystem("test", on_event=events.append, slow_handler_s=0.05) as system:
        ref = await system.spawn(ChildSpec("a", Blocking))
        if way == "timer":
            await ref.ask(Run(lambda context: context.set_timer("t", 1, "message")))
        elif way == "notice":
            other = await system.spawn(player("other"))
            await ref.ask(Run(lambda context: context.watch(other)))
            await other.stop()
        else:
            ref.tell("message", lane=Lane.ALERT if way == "alert beside others" else Lane.NORMAL)
        await trio.sleep(2)
    holds = [event for event in of_type(events, SlowHandler) if event.message_type is not None]
    held = max(holds, key=lambda hold: hold.held_s)  # a busy machine holds the loop up too
    assert (held.path, held.message_type) == ("/test/a", "Terminated" if way == "notice" else "str")
    assert 0.05 <= held.held_s < 1
    assert "time.sleep(0.2)" in held.stack


@pytest.mark.promise("bad.spawn-for-ever")
@pytest.mark.parametrize("kind", [Actor, Player])
async def test_without_a_bound_others_have_their_turns_and_a_stop_works(autojump_clock, system, kind):
    well = await neighbour(system)

    async def spawn_for_ever(context):
        number = 0
        while True:
            number += 1
            await context.spawn(ChildSpec(f"kid{number}", kind))

    ref = await system.spawn(player("a", supervision=Supervision()))
    ref.tell(Run(spawn_for_ever))
    for _ in range(5):
        await well()
    assert await ref.stop(StopMode.NOW) == Shutdown()
    assert [node.path for node in system.tree().walk()] == ["/test", "/test/neighbour"]


@pytest.mark.promise("bad.self-flood")
async def test_an_actor_that_tells_itself_more_than_it_handles_meets_its_bound(autojump_clock, system):
    class Growing(Actor):
        mailbox = MailboxSpec(capacity=100)

        async def receive(self, message, context):
            for _ in range(2):
                context.ref.tell(message)

    ref = await system.spawn(ChildSpec("growing", Growing, restart=Restart.TEMPORARY))
    ref.tell("more")
    assert isinstance((await ref.wait_stopped()).error, MailboxFull)
    assert system.dead_letters.count == 100


@pytest.mark.promise("bad.cancel-itself")
@pytest.mark.parametrize("restart", list(Restart))
async def test_a_handler_may_kill_its_own_actor(autojump_clock, system, restart):
    after = []

    async def kill_myself(context):
        context.ref.kill()
        after.append("before the wait")
        await trio.lowlevel.checkpoint()
        after.append("never")

    ref = await system.spawn(player("a", restart=restart))
    await tell(ref, Run(kill_myself))
    assert after == ["before the wait"]
    assert ref.alive is (restart is not Restart.TEMPORARY)


@pytest.mark.promise("bad.cancel-itself")
@pytest.mark.parametrize("where", ["receive", "task", "on_stop"])
async def test_a_cancellation_that_is_raised_again_outside_of_its_scope_is_a_crash(autojump_clock, system, where):
    well = await neighbour(system)

    async def stray(_=None):
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                kept = error
                raise
        raise kept

    hook = stray if where == "on_stop" else None
    ref = await system.spawn(player("a", stopping=hook, restart=Restart.TEMPORARY))
    if where == "receive":
        ref.tell(Run(stray))
    elif where == "task":
        ref.tell(Run(lambda context: context.start_soon(stray)))
    else:
        await ref.stop()
    with trio.fail_after(60):
        exit_ = await ref.wait_stopped()
    assert isinstance(exit_.error, RaisedBaseException)
    assert exit_.error.kind == "Cancelled"
    await well()


@pytest.mark.promise("bad.swallow-cancelled", "peers.one-for-all-old-gone")
@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_handler_that_swallows_every_cancellation_is_named_and_ends_when_it_lets_go(
    autojump_clock, system, events, how
):
    release = trio.Event()
    well = await neighbour(system)
    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    await tell(ref, Run(stubborn(release)))
    async with trio.open_nursery() as nursery:
        if how == "kill":
            ref.kill()
        else:
            nursery.start_soon(ref.stop)
        await trio.sleep(4 if how == "kill" else 9)
        assert of_type(events, ShutdownOverdue) == []
        await trio.sleep(100)
        assert of_type(events, ShutdownOverdue) == [ShutdownOverdue("/test/a", 5.0)]
        assert (ref.alive, system.tree().children[1].state) == (
            True,
            State.RUNNING if how == "kill" else State.STOPPING,
        )
        await well()
        release.set()
        assert await ref.wait_stopped() == Killed()
