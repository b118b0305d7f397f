import contextvars

import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    ActorDied,
    ChildSpec,
    Context,
    Crashed,
    Lane,
    Restart,
    Shutdown,
)
from tests.actors.troupe import Player, Read, Run, of_type, player, settled, tell


@pytest.mark.promise("mailbox.order")
@pytest.mark.usefixtures("one_batch")
async def test_on_idle_runs_after_each_batch_before_the_wait(autojump_clock, system):
    written = []

    class Outbox(Player):
        async def on_idle(self, context: Context) -> None:
            if self.heard:
                written.append(list(self.heard))
                self.heard.clear()

    ref = await system.spawn(ChildSpec("outbox", Outbox))
    for number in range(3):
        ref.tell(number)
    ref.tell("alert", lane=Lane.ALERT)
    await settled()
    await tell(ref, 4)
    assert written == [["alert", 0, 1, 2], [4]]


@pytest.mark.promise("bitten.failures-reach-owner")
async def test_an_own_task_that_starts_another_while_its_actor_stops_is_no_crash(autojump_clock, system, events):
    """It runs to its next checkpoint, and may not know yet that its actor is to end. Its other errors are crashes."""

    async def start_another(context):
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        context.start_soon(trio.sleep_forever)

    async def fail(_):
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        raise ActorDied("/test/other")

    def ending_with(work):
        return player(work.__name__, starting=lambda context: context.start_soon(work, context))

    plain = await system.spawn(ending_with(start_another))
    assert await plain.stop() == Shutdown()
    failing = await system.spawn(ending_with(fail))
    assert isinstance(await failing.stop(), Crashed)
    assert [event.path for event in of_type(events, ActorCrashed)] == ["/test/fail"]


async def test_a_repeated_timer_keeps_its_beat(autojump_clock, system):
    times = []
    ref, timers = await system.spawn(player("a")), len(system.timers)

    async def beat(context):
        times.append(trio.current_time())
        if len(times) == 2:
            await trio.sleep(5)  # from 3 to 8: the moments 5 and 7 pass
        if len(times) == 4:
            context.cancel_timer("t")

    await ref.ask(Run(lambda context: context.set_timer("t", 1, Run(beat), every_s=2)))
    await trio.sleep(100)
    assert times == [1, 3, 8, 9]
    assert len(system.timers) == timers


async def test_a_repeated_timer_is_replaced_and_ends_with_its_actor(autojump_clock, system):
    ref, timers = await system.spawn(player("a")), len(system.timers)

    async def replace(context):
        context.set_timer("t", 1, "old", every_s=1)
        context.set_timer("t", 1, "new", every_s=2)

    await ref.ask(Run(replace))
    await trio.sleep(4.5)
    assert await ref.ask(Read()) == ["new", "new"]
    await ref.stop()
    await trio.sleep(100)  # the deadlines of the asks are gone by then
    assert len(system.timers) == timers


@pytest.mark.parametrize("every_s", [0, -1, float("inf"), float("nan")])
async def test_a_period_is_a_time(autojump_clock, system, every_s):
    ref, timers = await system.spawn(player("a")), len(system.timers)

    def set_wrong(context):
        with pytest.raises(ValueError, match="every_s must be above 0 and finite"):
            context.set_timer("t", 1, "x", every_s=every_s)

    await ref.ask(Run(set_wrong))
    await trio.sleep(100)
    assert len(system.timers) == timers


@pytest.mark.promise("timers.replace")
async def test_a_timer_set_again_replaces_the_old_one(autojump_clock, system, ref):

    async def set_busy_set(context):
        context.set_timer("t", 1, "old")
        await trio.sleep(2)
        context.set_timer("t", 100, "replaced at once")
        context.set_timer("t", 1, "new")

    timers = len(system.timers)
    await ref.ask(Run(set_busy_set))
    await trio.sleep(5)
    assert len(system.timers) == timers
    assert await ref.ask(Read()) == ["new"]


async def test_an_actor_is_no_part_of_the_request_that_started_it(autojump_clock, system):
    request = contextvars.ContextVar("request", default="none")
    request.set("mine")
    ref = await system.spawn(player("a"))
    assert await ref.ask(Run(lambda _: request.get())) == "none"


async def test_an_error_in_a_group_of_one_is_told_as_itself(autojump_clock, system):
    """A nursery inside of `receive` wraps it; directives and reports want the error."""

    async def nested(_):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def fail():
                raise KeyError("inner")

    ref = await system.spawn(player("a", restart=Restart.TEMPORARY))
    with pytest.raises(ActorDied):
        await ref.ask(Run(nested))
    assert isinstance((await ref.wait_stopped()).error, KeyError)
