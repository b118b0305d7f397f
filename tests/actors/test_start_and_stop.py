import math
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from actors import (
    ActorSystem,
    ChildSpec,
    Ignore,
    Killed,
    Restart,
    Shutdown,
    StartChild,
    StartDeclined,
    StartFailed,
    StopMode,
    Supervision,
    Supervisor,
)
from tests.actors.misdeeds import raising
from tests.actors.troupe import Boom, Hang, Player, player, sleeping, tell


@pytest.mark.promise("start.failure-names-child-and-cause", "stop.hook-once")
async def test_a_start_that_fails_reaches_the_caller_with_its_cause(autojump_clock, system):
    diary = []
    with pytest.raises(StartFailed) as caught:
        await system.spawn(player("a", diary, starting=raising(ValueError("no"))))
    assert caught.value.path == "/test/a"
    assert isinstance(caught.value.__cause__, ValueError)
    assert diary == ["start a", "stop a (crashed: ValueError)"]
    await system.spawn(player("a"))


@pytest.mark.promise("start.ignore")
async def test_a_start_hook_may_decline(autojump_clock, system):
    diary = []
    declining = player("b", diary, starting=raising(Ignore()))
    ref = await system.spawn(ChildSpec("sup", lambda: Supervisor([player("a", diary), declining, player("c", diary)])))
    assert [child.path for child in ref.children()] == ["/test/sup/a", "/test/sup/c"]
    assert [node.state.value for node in system.tree().walk()] == [
        "running",
        "running",
        "running",
        "stopped",
        "running",
    ]
    assert diary == ["start a", "start b", "stop b (normal)", "start c"]
    with pytest.raises(StartDeclined):
        await system.spawn(declining)


@pytest.mark.promise("start.ignore")
@pytest.mark.parametrize("where", ["on_start", "lifespan"])
async def test_a_start_hook_may_decline_inside_a_nursery(autojump_clock, system, where):
    async def decline(context):
        if context.incarnation > 1 or context.path.endswith("/a"):
            async with trio.open_nursery(), trio.open_nursery():
                raise Ignore

    class Entered(Player):
        @asynccontextmanager
        async def lifespan(self, context):
            await decline(context)
            yield

    def spec(name):
        return player(name, starting=decline) if where == "on_start" else ChildSpec(name, Entered)

    with pytest.raises(StartDeclined):
        await system.spawn(spec("a"))
    ref = await system.spawn(spec("b"))
    ref.tell(Boom())
    await ref.wait_stopped()
    assert system.find("/test").alive


@pytest.mark.promise("start.failure-names-child-and-cause", "stop.reverse-order")
async def test_a_child_that_fails_to_start_stops_its_older_siblings_in_reverse(autojump_clock, system):
    diary = []
    children = [player("a", diary), player("b", diary), player("c", starting=raising(ValueError("no")))]
    with pytest.raises(StartFailed) as caught:
        await system.spawn(ChildSpec("sup", lambda: Supervisor(children)))
    assert isinstance(caught.value.cause, StartFailed)
    assert caught.value.cause.path == "/test/sup/c"
    assert diary == ["start a", "start b", "stop b (shutdown)", "stop a (shutdown)"]


@pytest.mark.promise("stop.grace-overrun", "stop.siblings-shutdown")
async def test_a_parent_that_hangs_in_a_message_is_killed_and_its_children_stop_in_order(autojump_clock, system):
    ref = await system.spawn(player("parent", supervision=Supervision()))
    child = await ref.ask(StartChild(player("child", stopping=sleeping(60), shutdown_s=100.0)))
    await tell(ref, Hang())
    assert await ref.stop(StopMode.AFTER_MESSAGE) == Killed()
    assert await child.wait_stopped() == Shutdown()
    assert trio.current_time() == 65.0


@pytest.mark.promise("stop.unlimited-and-zero-grace")
@pytest.mark.parametrize(("shutdown_s", "took_s", "reason"), [(math.inf, 1000, Shutdown()), (0, 0, Killed())])
async def test_the_grace_may_be_unlimited_or_nothing(autojump_clock, system, shutdown_s, took_s, reason):
    ref = await system.spawn(player("a", stopping=sleeping(1000), shutdown_s=shutdown_s))
    assert await ref.stop() == reason
    assert trio.current_time() == took_s


@pytest.mark.promise("stop.hook-once")
async def test_a_kill_takes_everything_below_with_it(autojump_clock, system):
    diary = []
    inner = ChildSpec("inner", lambda: Supervisor([player("leaf", diary, stopping=sleeping())]))
    ref = await system.spawn(ChildSpec("outer", lambda: Supervisor([inner]), restart=Restart.TEMPORARY))
    leaf = system.find("/test/outer/inner/leaf")
    ref.kill()
    assert await ref.wait_stopped() == Killed()
    assert await leaf.wait_stopped() == Killed()
    assert trio.current_time() == 0
    assert diary == ["start leaf", "stop leaf (killed)"]


@pytest.mark.promise("start.failure-names-child-and-cause")
async def test_the_start_of_a_system_that_fails_raises_and_leaves_nothing(autojump_clock):
    diary = []
    with pytest.raises(StartFailed) as caught:
        async with ActorSystem("s", [player("a", diary), player("b", starting=raising(ValueError("no")))]):
            raise AssertionError("not reached")
    assert caught.value.path == "/s/b"
    assert diary == ["start a", "stop a (shutdown)"]
