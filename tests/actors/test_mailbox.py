import tracemalloc

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from actors import (
    ActorSystem,
    Backoff,
    ChildSpec,
    Lane,
    MailboxFull,
    MailboxSpec,
    Overflow,
    context_propagation,
    lanes,
)
from actors.context_propagation import enqueued_at
from actors.mailbox import EMPTY, FAIR_SHARE, Mailbox
from tests.actors.troupe import Boom, Hang, Player, Read, Run, during, failing, player, settled, sleeping, tell


def filled(spec, *messages):
    mailbox = Mailbox(spec)
    for lane, message in messages:
        (mailbox.lanes[lane] or mailbox.open(lane)).items.append(message)
    return mailbox


def taken(mailbox):
    return list(iter(mailbox.take, EMPTY))


@pytest.mark.promise("mailbox.order")
def test_lanes_are_served_in_their_order():
    lanes = [Lane.LOW, Lane.NORMAL, Lane.HIGH, Lane.ALERT]
    mailbox = filled(MailboxSpec(), *((lane, lane.name) for lane in lanes))
    assert taken(mailbox) == ["ALERT", "HIGH", "NORMAL", "LOW"]


@pytest.mark.promise("mailbox.share")
def test_a_flood_of_alerts_leaves_a_share():
    flood = [(Lane.ALERT, "alert")] * 100
    mailbox = filled(MailboxSpec(), *flood, (Lane.NORMAL, "a"), (Lane.NORMAL, "b"), (Lane.LOW, "c"))
    order = taken(mailbox)
    assert order.index("a") < FAIR_SHARE
    assert order.index("b") < 2 * FAIR_SHARE + 1
    assert order.index("c") < 2 * FAIR_SHARE + 1


@pytest.mark.promise("mailbox.order")
@given(st.lists(st.tuples(st.sampled_from(list(Lane)), st.integers()), max_size=80))
def test_within_a_lane_the_order_is_first_in_first_out(messages):
    mailbox = filled(MailboxSpec(), *((lane, (lane, number)) for lane, number in messages))
    order = taken(mailbox)
    for lane in Lane:
        assert [item for item in order if item[0] is lane] == [item for item in messages if item[0] is lane]


@pytest.mark.promise("mailbox.policies", "bitten.every-drop-counted", "restart.backoff-overflow")
@pytest.mark.parametrize("backs_off", [False, True])
@pytest.mark.parametrize(
    ("policy", "heard", "refused", "dead"),
    [
        (Overflow.WAIT, [1, 2], [3, 4], []),
        (Overflow.REJECT, [1, 2], [3, 4], []),
        (Overflow.DROP_OLDEST, [3, 4], [], [1, 2]),
        (Overflow.DROP_NEWEST, [1, 2], [], [3, 4]),
    ],
)
async def test_each_policy_bounds_the_lane_and_counts_what_is_lost(
    autojump_clock, system, policy, heard, refused, dead, backs_off
):
    """Four messages for a lane of two, while the actor handles another one or waits for its next incarnation."""
    mailbox = MailboxSpec(capacity=2, overflow=policy)
    ref = await system.spawn(player("small", mailbox=mailbox, backoff=Backoff(min_s=10)))
    await tell(ref, Boom() if backs_off else Run(sleeping(1)))
    turned_away = []
    for message in (1, 2, 3, 4):
        try:
            ref.tell(message)
        except MailboxFull:
            turned_away.append(message)
    assert turned_away == refused
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [(n, "overflow") for n in dead]
    lane = ref.statistics()[Lane.NORMAL]
    assert (lane.dropped, lane.rejected, lane.high_water, lane.depth) == (len(dead), len(refused), 2, 2)
    await trio.sleep(30)
    assert await ref.ask(Read()) == heard


@pytest.mark.promise("mailbox.policies")
async def test_one_waiting_sender_gets_in_for_each_message_taken(autojump_clock, system):
    """A lane of two is full, and three senders wait for room: it never holds more than two."""

    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=2)))
    gate, depths = trio.Event(), []
    note = [Run(lambda _: depths.append(ref.statistics()[Lane.NORMAL].depth)) for _ in range(5)]
    async with during(lambda: ref.ask(Run(lambda _: gate.wait()))) as nursery:
        ref.tell(note[0])
        ref.tell(note[1])
        for message in note[2:]:
            nursery.start_soon(ref.send, message)
        await settled()
        assert ref.statistics()[Lane.NORMAL].waiting_senders == 3
        gate.set()
    await settled()
    assert depths == [2, 2, 2, 1, 0]


@pytest.mark.promise("mailbox.policies")
async def test_send_gives_up_after_its_time_and_leaves_nothing_behind(autojump_clock, system):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=1)))
    await tell(ref, Hang())
    ref.tell("fits")
    with pytest.raises(MailboxFull):
        await ref.send("late", timeout_s=2.0)
    assert trio.current_time() == 2.0
    lane = ref.statistics()[Lane.NORMAL]
    assert (lane.waiting_senders, lane.rejected) == (0, 1)


@pytest.mark.promise("mailbox.policies")
async def test_an_ask_that_is_dropped_fails_its_caller(autojump_clock, system):
    ref = await system.spawn(player("small", mailbox=MailboxSpec(capacity=1, overflow=Overflow.DROP_OLDEST)))
    await tell(ref, Hang())
    async with during(failing, MailboxFull, lambda: ref.ask(Read(), timeout_s=1000)):
        ref.tell("newer")


@pytest.mark.promise("bad.self-flood")
async def test_a_batch_yields_after_about_a_millisecond():
    class Slow(Player):
        mailbox = MailboxSpec(capacity=100_000)

        async def receive(self, message, context):
            sum(range(200))

    async with ActorSystem("busy") as system:
        ref = await system.spawn(ChildSpec("slow", Slow))
        for number in range(10_000):
            ref.tell(number)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert 0 < ref.statistics()[Lane.NORMAL].depth < 10_000
        await ref.stop()


@pytest.mark.promise("bad.self-flood")
async def test_a_batch_that_begins_with_one_message_goes_on_and_yields_too():
    class Feeder(Player):
        seen = 0

        async def receive(self, message, context):
            self.seen = message
            if message < 20_000:
                context.ref.tell(message + 1)

    async with ActorSystem("busy") as system:
        feeder = Feeder()
        ref = await system.spawn(ChildSpec("feeder", lambda: feeder))
        await settled()
        ref.tell(1)
        passes = 0
        with trio.fail_after(60):
            while feeder.seen != 20_000:
                await trio.lowlevel.checkpoint()
                passes += 1
        assert 2 < passes < 10_000


@pytest.mark.parametrize("carry", [(), (enqueued_at,)], ids=["plain", "propagating"])
async def test_an_actor_that_waits_keeps_no_empty_queue(carry):
    """A deque without items takes 760 bytes. It is there again for the next message, and after the end of the wait."""
    count = 100
    async with ActorSystem("test", carry=carry) as system:
        refs = [await system.spawn(ChildSpec(f"a{number}", Player)) for number in range(count)]
        tracemalloc.start()
        try:
            for ref in refs:
                ref.tell("first")
            for ref in refs:
                await ref.ask(Read())
            await settled()
            queues = [tracemalloc.Filter(True, module.__file__) for module in (lanes, context_propagation)]
            kept = tracemalloc.take_snapshot().filter_traces(queues)
        finally:
            tracemalloc.stop()
        assert sum(statistic.size for statistic in kept.statistics("filename")) < 500 * count
        refs[0].kill()
        for ref in refs:
            ref.tell("second")
        assert [await ref.ask(Read()) for ref in refs] == [["second"]] + [["first", "second"]] * (count - 1)
