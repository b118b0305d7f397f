"""Mailboxes through trio's channel interfaces."""

import pytest
import trio
import trio.testing

from actors import Lane, MailboxFull, MailboxSpec, Overflow, Restarted, conflate, open_mailbox
from tests.actors.troupe import Boom, Read, Run, during, player, settled, sleeping, tell


@pytest.mark.usefixtures("one_batch")
async def test_a_channel_waits_for_room_and_leaves_nothing_when_cancelled(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(2)))
    await tell(ref, Run(sleeping(10)))
    channel = ref.channel()
    await channel.send(1)
    await channel.send(2)
    with pytest.raises(MailboxFull):
        channel.send_nowait(3)
    with trio.move_on_after(1) as scope:
        await channel.send(3)
    assert scope.cancelled_caught
    await channel.send(4)
    assert trio.current_time() >= 10
    assert await ref.ask(Read()) == [1, 2, 4]


async def test_a_channel_to_a_dead_actor_is_broken_and_a_closed_one_closed(autojump_clock, ref):
    channel = ref.channel()
    await tell(ref, Boom())
    await channel.send(1)
    await ref.stop()
    with pytest.raises(trio.BrokenResourceError):
        await channel.send(2)
    with pytest.raises(trio.BrokenResourceError):
        channel.send_nowait(2)
    await channel.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await channel.send(3)


@pytest.mark.promise("bitten.no-forged-death")
async def test_a_channel_carries_no_notices(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(2)))
    await tell(ref, Run(sleeping(10)))
    for number in range(2):
        ref.tell(number)
    with pytest.raises(TypeError, match="runtime only"):
        await ref.channel().send(Restarted(ref, 2, None))


async def test_a_mailbox_without_an_actor_is_a_channel_with_lanes():
    sender, receiver = open_mailbox()
    await sender.send("normal")
    await sender.send("low", lane=Lane.LOW)
    await sender.send("alert", lane=Lane.ALERT)
    await sender.aclose()
    assert [message async for message in receiver] == ["alert", "normal", "low"]
    with pytest.raises(trio.EndOfChannel):
        await receiver.receive()
    with pytest.raises(trio.EndOfChannel):
        receiver.receive_nowait()
    with pytest.raises(trio.ClosedResourceError):
        await sender.send("more")


async def test_a_sender_waits_for_the_receiver(autojump_clock):
    sender, receiver = open_mailbox(MailboxSpec(1))
    sent = []

    async def produce():
        for number in range(3):
            await sender.send(number)
            sent.append(number)

    async with during(produce):
        assert sent == [0]
        assert receiver.statistics()[Lane.NORMAL].waiting_senders == 1
        assert [await receiver.receive() for _ in range(3)] == [0, 1, 2]
    assert sent == [0, 1, 2]


async def test_a_cancelled_receive_takes_nothing(autojump_clock):
    sender, receiver = open_mailbox()
    with trio.move_on_after(1):
        await receiver.receive()
    sender.send_nowait(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await receiver.receive()
    assert receiver.receive_nowait() == 1


async def test_only_one_task_receives(autojump_clock):
    _, receiver = open_mailbox()
    async with during(receiver.receive) as nursery:
        with pytest.raises(trio.BusyResourceError):
            await receiver.receive()
        nursery.cancel_scope.cancel()


async def test_closing_the_receiver_breaks_the_sender_and_names_the_lost_messages(autojump_clock):
    lost, ends = [], []
    sender, receiver = open_mailbox(MailboxSpec(1), on_lost=lambda message, lane: lost.append((message, lane)))
    await sender.send(1)
    async with during(blocked, sender.send, ends, 2):
        await receiver.aclose()
    assert (lost, ends) == ([(1, Lane.NORMAL)], [(2, "BrokenResourceError")])
    with pytest.raises(trio.BrokenResourceError):
        sender.send_nowait(3)
    with pytest.raises(trio.ClosedResourceError):
        await receiver.receive()


@pytest.mark.promise("bitten.lane-bounds")
async def test_policies_hold_without_an_actor(autojump_clock):
    lost = []
    policies = {Lane.ALERT: Overflow.REJECT, Lane.HIGH: Overflow.DROP_OLDEST, Lane.LOW: conflate(lambda m: m[0])}
    sender, receiver = open_mailbox(MailboxSpec(1, policies), on_lost=lambda message, _: lost.append(message))
    sender.send_nowait("a", lane=Lane.ALERT)
    with pytest.raises(MailboxFull):
        await sender.send("b", lane=Lane.ALERT)
    for message in "cd":
        await sender.send(message, lane=Lane.HIGH)
    for message in ("x1", "x2"):
        await sender.send(message, lane=Lane.LOW)
    assert lost == ["c"]
    assert [receiver.receive_nowait() for _ in range(3)] == ["a", "d", "x2"]


async def blocked(send, ends, message):
    try:
        with trio.fail_after(50):
            await send(message)
        ends.append((message, "sent"))
    except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
        ends.append((message, type(error).__name__))


async def test_closing_a_channel_ends_its_sends_that_wait(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(2)))
    await tell(ref, Run(sleeping(10)))
    closing, other, ends = ref.channel(), ref.channel(), []
    for number in (1, 2):
        await closing.send(number)
    async with trio.open_nursery() as nursery:
        for channel, number in ((closing, 3), (other, 4), (closing, 5)):
            nursery.start_soon(blocked, channel.send, ends, number)
            await settled()
        await closing.aclose()
        await settled()
        assert sorted(ends) == [(3, "ClosedResourceError"), (5, "ClosedResourceError")]
    assert trio.current_time() == 10
    assert ends[2:] == [(4, "sent")]
    assert await ref.ask(Read()) == [1, 2, 4]


async def test_a_send_that_waits_for_an_actor_that_dies_is_told(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(2)))
    await tell(ref, Run(sleeping(100)))
    channel, ends = ref.channel(), []
    for number in (1, 2):
        await channel.send(number)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blocked, channel.send, ends, 3)
        await settled()
        await ref.stop()
    assert ends == [(3, "BrokenResourceError")]


async def test_a_send_that_got_its_room_is_not_taken_back_by_a_close_in_that_moment(autojump_clock):
    ends = []
    sender, receiver = open_mailbox(MailboxSpec(1))
    await sender.send(1)
    async with during(blocked, sender.send, ends, 2):
        assert receiver.receive_nowait() == 1
        await sender.aclose()
    assert ends == [(2, "sent")]
    assert [message async for message in receiver] == [2]


@pytest.mark.promise("bitten.every-drop-counted")
async def test_a_message_is_either_lost_or_its_senders_still(autojump_clock):
    lost, ends = [], []
    sender, receiver = open_mailbox(MailboxSpec(1), on_lost=lambda message, _: lost.append(message))
    await sender.send(1)
    async with trio.open_nursery() as nursery:
        for number in (2, 3):
            nursery.start_soon(blocked, sender.send, ends, number)
            await settled()
        assert receiver.receive_nowait() == 1
        await receiver.aclose()
    assert sorted(ends) == [(2, "sent"), (3, "BrokenResourceError")]
    assert lost == [2]


async def test_a_send_may_be_cancelled_in_the_moment_of_a_close(autojump_clock, system):
    ref = await system.spawn(player("a", mailbox=MailboxSpec(2)))
    await tell(ref, Run(sleeping(10)))
    channel = ref.channel()
    ends = [(channel, channel, ref)]
    for which in (0, 1):
        sender, receiver = open_mailbox(MailboxSpec(2))
        ends.append((sender, (sender, receiver)[which], receiver))
    for sending, closing, counting in ends:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(sending.send, number)
            await settled()
            assert counting.statistics()[Lane.NORMAL].waiting_senders == 1
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await closing.aclose()
        assert nursery.cancel_scope.cancelled_caught
        left = [(lane.depth, lane.waiting_senders) for lane in counting.statistics().values()]
        assert left == ([] if closing is receiver else [(2, 0)])
