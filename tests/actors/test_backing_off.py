"""A child between two incarnations: how long it waits, and what waits for it."""

import pytest
import trio
import trio.testing

from actors import ActorRestarting, Backoff, ChildSpec, Lane, MailboxFull, MailboxSpec, Overflow, State
from tests.actors.groups import end, supervisor_of
from tests.actors.troupe import Boom, Player, Read, player, settled

AGAIN = Backoff(min_s=10.0, max_s=10.0, jitter=0.0)


@pytest.mark.promise("restart.backoff-messages-wait")
async def test_messages_that_come_while_a_child_backs_off_are_handled_in_order(autojump_clock, system):
    """By lane, as ever."""
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
    """Then the policy of the lane applies, the loss is counted, and dead letters tell."""

    class Small(Player):
        mailbox = MailboxSpec(capacity=2, overflow=policy)

    ref = await system.spawn(ChildSpec("small", Small, backoff=AGAIN))
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
    """With the policy to wait, nothing is lost."""

    class Small(Player):
        mailbox = MailboxSpec(capacity=1)

    ref = await system.spawn(ChildSpec("small", Small, backoff=AGAIN))
    await end(ref, "crash")
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(lambda number=number: ref.send(number, timeout_s=60))
            await settled()
    assert await ref.ask(Read()) == [0, 1, 2]


@pytest.mark.promise("restart.backoff-per-child")
async def test_a_child_that_keeps_crashing_does_not_slow_its_sibling_down(autojump_clock, system):
    """The delay belongs to the child, and to its own failures."""
    backoff = Backoff(min_s=1.0, max_s=64.0, jitter=0.0)
    _, (bad, good) = await supervisor_of(
        system, player("bad", backoff=backoff), player("good", backoff=backoff), intensity=99
    )
    for _ in range(5):
        bad.tell(Boom())
        await bad.ask(Read(), timeout_s=100)
    start = trio.current_time()
    good.tell(Boom())
    await good.ask(Read())
    assert trio.current_time() - start == 1.0


@pytest.mark.promise("restart.backoff-reset")
async def test_a_child_that_says_it_is_healthy_in_its_start_hook_never_waits_longer(autojump_clock, system, events):
    """Its word counts from then on."""
    backoff = Backoff(min_s=1.0, max_s=64.0, jitter=0.0)
    ref = await system.spawn(player("a", starting=lambda context: context.healthy(), backoff=backoff))
    for _ in range(3):
        await end(ref, "crash")
        await trio.sleep(3)
    assert [event.delay_s for event in events if isinstance(event, ActorRestarting)] == [1.0, 1.0, 1.0]


@pytest.mark.promise("restart.backoff-reset", "restart.failed-restart-retried")
async def test_time_spent_on_a_start_that_fails_is_no_quiet_time(autojump_clock, system, events):
    """Only what ran resets the delay, however long a start took to fail."""
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
    """Ten that crash at one moment come back at ten."""
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
    """A kill has nothing to cancel; the restart is not lost, not doubled and not earlier."""
    diary = []
    ref = await system.spawn(player("a", diary, backoff=AGAIN))
    await end(ref, "crash")
    assert system.tree().children[0].state is State.BACKING_OFF
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
    """It is stopped five seconds before its delay is over: no incarnation starts, and it is gone from the tree."""
    diary = []
    ref = await system.spawn(player("a", diary, backoff=AGAIN))
    await end(ref, "crash")
    await trio.sleep(5)
    await ref.stop()
    await trio.sleep(100)
    assert diary == ["start a", "stop a (crashed: ValueError)"]
    assert not ref.alive
    assert system.tree().children == ()
