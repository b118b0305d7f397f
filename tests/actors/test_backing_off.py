"""A child between two incarnations: how long it waits, and what waits for it."""

import pytest
import trio
import trio.testing

from actors import ActorRestarting, Backoff, Lane, MailboxFull, MailboxSpec, Overflow, Shutdown, State
from tests.actors.groups import end, supervisor_of
from tests.actors.troupe import Read, player, settled

AGAIN = Backoff(min_s=10.0, max_s=10.0, jitter=0.0)


@pytest.mark.promise("restart.backoff-messages-wait")
async def test_messages_that_come_while_a_child_backs_off_are_handled_in_order(autojump_clock, system):
    ref = await system.spawn(player("a", backoff=AGAIN))
    await end(ref, "crash")
    for number in range(3):
        ref.tell(number)
    ref.tell("alert", lane=Lane.ALERT)
    await trio.sleep(10)
    assert await ref.ask(Read()) == ["alert", 0, 1, 2]


@pytest.mark.promise("restart.backoff-overflow", "bitten.every-drop-counted")
@pytest.mark.parametrize(
    ("policy", "heard", "refused", "dead"),
    [
        (Overflow.WAIT, [1, 2], [3, 4], []),
        (Overflow.REJECT, [1, 2], [3, 4], []),
        (Overflow.DROP_OLDEST, [3, 4], [], [1, 2]),
        (Overflow.DROP_NEWEST, [1, 2], [], [3, 4]),
    ],
)
async def test_the_bound_holds_while_a_child_backs_off(autojump_clock, system, policy, heard, refused, dead):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=2, overflow=policy), backoff=AGAIN))
    await end(ref, "crash")
    turned_away = []
    for number in (1, 2, 3, 4):
        try:
            ref.tell(number)
        except MailboxFull:
            turned_away.append(number)
    assert turned_away == refused
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [(n, "overflow") for n in dead]
    lane = ref.statistics()[Lane.NORMAL]
    assert (lane.dropped, lane.rejected, lane.depth) == (len(dead), len(refused), 2)
    await trio.sleep(11)
    assert await ref.ask(Read()) == heard


@pytest.mark.promise("restart.backoff-overflow")
async def test_a_sender_may_wait_for_room_until_the_child_is_back(autojump_clock, system):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=1), backoff=AGAIN))
    await end(ref, "crash")
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(lambda number=number: ref.send(number, timeout_s=60))
            await settled()
    assert await ref.ask(Read()) == [0, 1, 2]


@pytest.mark.promise("restart.backoff-reset")
async def test_a_child_that_says_it_is_healthy_in_its_start_hook_never_waits_longer(autojump_clock, system, events):
    backoff = Backoff(min_s=1.0, max_s=64.0, jitter=0.0)
    ref = await system.spawn(player("a", starting=lambda context: context.healthy(), backoff=backoff))
    for _ in range(3):
        await end(ref, "crash")
        await trio.sleep(3)
    assert [event.delay_s for event in events if isinstance(event, ActorRestarting)] == [1.0, 1.0, 1.0]


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
    assert [event.delay_s for event in events if isinstance(event, ActorRestarting)] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.promise("restart.backoff-growth")
async def test_jitter_keeps_children_that_failed_together_apart(autojump_clock, system, events):
    specs = [player(f"p{n}", backoff=Backoff(min_s=10.0, jitter=0.2)) for n in range(10)]
    _, children = await supervisor_of(system, *specs, intensity=99)
    for child in children:
        child.kill()
    await settled()
    delays = [event.delay_s for event in events if isinstance(event, ActorRestarting)]
    assert len(set(delays)) == 10
    assert all(8.0 <= delay <= 12.0 for delay in delays)


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
    start = trio.current_time()
    assert await ref.stop() == Shutdown()
    assert trio.current_time() == start
    assert [letter.message for letter in system.dead_letters] == ["waits"]
    await trio.sleep(100)
    assert diary == ["start a", "stop a (crashed: ValueError)"]
    assert not ref.alive
    assert system.tree().children == ()
