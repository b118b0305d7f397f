"""What an actor lives in: entered before its start hook, left after its stop hook, in one task."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    ActorError,
    ActorSystem,
    ChildSpec,
    Killed,
    Restart,
    Shutdown,
    StartFailed,
    StartTimeout,
    StopMode,
    Supervision,
    SystemFailed,
)
from tests.actors.troupe import Boom, Hang, Player, Read, Run, during, failing, of_type, player, settled, sleeping, tell


class Housed(Player):
    """Lives in a nursery; writes down when it is entered and left, and by which error."""

    def __init__(self, diary, *, entering=None, leaving=None, **hooks):
        super().__init__("a", diary, **hooks)
        self.entering = entering
        self.leaving = leaving

    @asynccontextmanager
    async def lifespan(self, context):
        self.diary.append("enter")
        if self.entering is not None:
            await self.entering(context)
        try:
            async with trio.open_nursery() as self.nursery:
                try:
                    yield
                except Exception as error:
                    self.diary.append(f"raised {type(error).__name__}")
                    raise
                finally:
                    if self.leaving is not None:
                        await self.leaving(context)
                    self.nursery.cancel_scope.cancel()
        finally:
            self.diary.append("leave")


def housed(diary, *, restart=Restart.TEMPORARY, start_timeout_s=30.0, shutdown_s=None, kind=Housed, **hooks):
    return ChildSpec(
        "a", lambda: kind(diary, **hooks), restart=restart, start_timeout_s=start_timeout_s, shutdown_s=shutdown_s
    )


@pytest.mark.promise("stop.lifespan")
async def test_a_lifespan_is_entered_first_and_left_last(autojump_clock, system):
    diary = []
    ref = await system.spawn(housed(diary, supervision=Supervision()))
    await ref.ask(Run(lambda context: context.spawn(player("kid", diary))))
    assert await ref.stop() == Shutdown()
    assert diary == ["enter", "start a", "start kid", "stop kid (shutdown)", "stop a (shutdown)", "leave"]


@pytest.mark.promise("stop.lifespan")
@pytest.mark.parametrize("how", ["crash", "kill", "stop", "kill at work", "block", "system", "skipped request"])
async def test_a_lifespan_is_left_however_the_actor_ends(autojump_clock, how, events):
    diary = []

    async def live():
        async with ActorSystem("s", on_event=events.append) as system:
            ref = await system.spawn(housed(diary))
            match how:
                case "crash":
                    ref.tell(Boom())
                case "kill":
                    ref.kill()
                case "stop":
                    await ref.stop(StopMode.NOW)
                case "kill at work":
                    await tell(ref, Hang())
                    ref.kill()
                case "skipped request":
                    with trio.move_on_after(1):
                        await ref.ask(Run(sleeping()))
                    assert await ref.ask(Read()) == []
                    await ref.stop()
                case "block":
                    await trio.sleep_forever()
                case "system":
                    system.root.kill()
                    await trio.sleep_forever()
            await ref.wait_stopped()

    with trio.move_on_after(5):
        try:
            await live()
        except SystemFailed:
            assert how == "system"
    end = "crashed: ValueError" if how == "crash" else "shutdown" if how in ("stop", "skipped request") else "killed"
    raised = ["raised ValueError"] if how == "crash" else []
    assert diary == ["enter", "start a", f"stop a ({end})", *raised, "leave"]
    crashes = [event for event in events if isinstance(event, ActorCrashed) and event.path == "/s/a"]
    assert "corrupted" not in "".join(crash.traceback for crash in crashes)


@pytest.mark.promise("stop.lifespan")
async def test_a_task_of_the_lifespan_that_raises_crashes_the_actor(autojump_clock, system, events):
    diary, lives = [], []

    async def fail():
        raise KeyError("lost")

    class Known(Housed):
        def __init__(self, diary):
            super().__init__(diary)
            lives.append(self)

    ref = await system.spawn(housed(diary, restart=Restart.PERMANENT, kind=Known))
    lives[0].nursery.start_soon(fail)
    await settled()
    assert await ref.ask(Read()) == []
    (crash,) = of_type(events, ActorCrashed)
    assert str(crash.reason) == "crashed: KeyError"
    assert diary == ["enter", "start a", "stop a (killed)", "leave", "enter", "start a"]


@pytest.mark.promise("stop.lifespan")
async def test_a_lifespan_that_does_not_end_is_killed_after_the_grace(autojump_clock, system):
    diary = []
    ref = await system.spawn(housed(diary, leaving=sleeping(), stopping=sleeping(1), shutdown_s=3))
    assert await ref.stop() == Killed()
    assert trio.current_time() == 3
    assert diary[-1] == "leave"


@pytest.mark.promise("start.failure-names-child-and-cause")
async def test_a_lifespan_that_cannot_be_entered_is_a_failed_start(autojump_clock, system):
    diary = []

    async def fail(_):
        raise OSError("no such host")

    with pytest.raises(StartFailed, match="OSError"):
        await system.spawn(housed(diary, entering=fail))
    assert diary == ["enter", "stop a (crashed: OSError)"]


@pytest.mark.promise("start.death-or-hang-never-hangs-parent")
async def test_entering_and_the_start_hook_share_the_time_of_the_start(autojump_clock, system):
    """20 s and 20 s are too long for 30 s; so is a lifespan that is never entered."""
    with pytest.raises(StartFailed) as caught:
        await system.spawn(housed([], entering=sleeping(20), starting=sleeping(20)))
    assert isinstance(caught.value.cause, StartTimeout)
    assert trio.current_time() == 30
    with pytest.raises(StartFailed) as caught:
        await system.spawn(housed([], entering=sleeping(), start_timeout_s=5))
    assert isinstance(caught.value.cause, StartTimeout)


async def test_an_actor_is_stopped_and_killed_while_it_enters(autojump_clock, system):
    for end in ("stop", "kill"):
        async with during(failing, ActorError, lambda: system.spawn(housed([], entering=sleeping()))):
            (ref,) = system.root.children()
            if end == "stop":
                await ref.stop()
            else:
                ref.kill()
    assert trio.current_time() == 0
