"""A child between two incarnations: how long it waits, and what waits for it."""

import pytest
import trio
import trio.testing

from actors import ActorRestarting, Backoff, Shutdown, State
from tests.actors.groups import end, supervisor_of
from tests.actors.troupe import Read, of_type, player

AGAIN = Backoff(min_s=10.0, max_s=10.0, jitter=0.0)


@pytest.mark.promise("restart.backoff-reset")
async def test_a_child_that_says_it_is_healthy_in_its_start_hook_never_waits_longer(autojump_clock, system, events):
    backoff = Backoff(min_s=1.0, max_s=64.0, jitter=0.0)
    ref = await system.spawn(player("a", starting=lambda context: context.healthy(), backoff=backoff))
    for _ in range(3):
        await end(ref, "crash")
        await trio.sleep(3)
    assert [event.delay_s for event in of_type(events, ActorRestarting)] == [1.0, 1.0, 1.0]


@pytest.mark.promise("restart.backoff-reset", "restart.failed-restart-retried")
async def test_time_spent_on_a_start_that_fails_is_no_quiet_time(autojump_clock, system, events):
    starts = []

    async def hang_later(_):
        starts.append(1)
        if 2 <= len(starts) <= 4:
            await trio.sleep_forever()

    backoff = Backoff(min_s=1.0, max_s=64.0, jitter=0.0, reset_after_s=5.0)
    spec = player("a", starting=hang_later, start_timeout_s=10.0, backoff=backoff)
    _, (child,) = await supervisor_of(system, spec, intensity=9)
    child.kill()
    assert await child.ask(Read(), timeout_s=100) == []
    assert [event.delay_s for event in of_type(events, ActorRestarting)] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.promise("bitten.backoff-is-a-state")
async def test_a_child_that_waits_is_killed_stopped_or_told_without_any_effect_on_its_wait(autojump_clock, system):
    diary = []
    ref = await system.spawn(player("a", diary, backoff=AGAIN))
    await end(ref, "crash")
    (node,) = system.tree().children
    assert (node.state, node.last_error) == (State.BACKING_OFF, "ValueError: boom")
    await trio.sleep(5)
    ref.kill()
    ref.tell("hello")
    await trio.sleep(4.9)
    assert diary == ["start a", "stop a (crashed: ValueError)"]
    await trio.sleep(0.2)
    assert diary[2:] == ["start a"]
    await trio.sleep(100)
    assert diary[3:] == []


@pytest.mark.promise("bitten.backoff-is-a-state")
async def test_a_child_that_is_stopped_while_it_waits_does_not_come_back(autojump_clock, system):
    diary = []
    ref = await system.spawn(player("a", diary, backoff=AGAIN))
    await end(ref, "crash")
    await trio.sleep(5)
    ref.tell("waits")
    assert await ref.stop() == Shutdown()
    assert trio.current_time() == 5
    assert [letter.message for letter in system.dead_letters] == ["waits"]
    await trio.sleep(100)
    assert diary == ["start a", "stop a (crashed: ValueError)"]
    assert not ref.alive
    assert system.tree().children == ()
