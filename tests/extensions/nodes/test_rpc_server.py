"""The RPC server and its forwarders, which send a conversation's events to another node."""

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from actors import (
    Actor,
    ActorRef,
    ActorSystem,
    ChildSpec,
    Context,
    MailboxFull,
    MailboxSpec,
    Restart,
    Supervisor,
    open_system,
)
from actors.testing import settle, virtual_time
from tests.extensions.nodes.test_conversation_proxy import thought
from transport.outbox.delivery import DeliveryCursors
from transport.wire.events import PartialResult
from transport.wire.messages import Deliver, SubscribeThread, UnsubscribeThread
from understudy.chat.messages import FollowThread
from understudy.extensions.nodes.codec import decode_ephemeral
from understudy.extensions.nodes.messages import (
    Ephemeral,
    Events,
    ForwardingEnded,
    RpcRequest,
    Subscribe,
    Unsubscribe,
)
from understudy.extensions.nodes.rpc_server import LEASE_S, EventForwarder, RenewLease, RpcServer, StopForwarding
from understudy.wire.events import AgentProgress, Envelope, FeedbackGiven
from understudy.wire.vocabulary import from_log


class Bag:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, node: str, item: Any) -> bool:
        self.sent.append(item)
        return True

    def send_ephemeral(self, node: str, item: Any) -> None:
        self.sent.append(item)


class Talk(Actor):
    async def receive(self, message: object, context: Context) -> None:
        if isinstance(message, Exception):
            raise message
        context.stop()


def passing(event: Any) -> Envelope:
    return Envelope(event, 2.5, None, "t", "r", "m", conversation_id="c", agent_type="guide", message="")


def in_virtual_time(test: Any) -> None:
    trio.run(test, clock=virtual_time())


class Threads:
    """A stand-in for the registry: one conversation."""

    def __init__(self, conversation: ActorRef) -> None:
        self.conversation = conversation

    async def get_local(self, owner: str, thread_id: str) -> ActorRef:
        return self.conversation


class Busy(Actor):
    """A conversation whose mailbox has room for one message, and that handles none until it is released."""

    mailbox = MailboxSpec(capacity=1)

    def __init__(self, opened: trio.Event, followers: list[ActorRef]) -> None:
        self.opened = opened
        self.followers = followers

    async def receive(self, message: object, context: Context) -> None:
        await self.opened.wait()
        if isinstance(message, FollowThread):
            self.followers.append(message.outbox)
            message.reply(None)


async def test_a_forwarder_that_could_not_subscribe_is_started_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opened, followers, bag = trio.Event(), list[ActorRef](), Bag()
    async with open_system("s", [ChildSpec("forwarders", Supervisor)]) as system:
        busy = await system.spawn(ChildSpec("talk", lambda: Busy(opened, followers)))
        with suppress(MailboxFull):
            while True:
                busy.tell("more")
        couriers = system.find("/s/forwarders")
        assert couriers is not None
        office = RpcServer(Threads(busy), bag, lambda: couriers)  # type: ignore[arg-type]
        await office.handle("b", RpcRequest("1", "ann", "t", 2.0, Subscribe()))
        opened.set()
        await settle()
        await office.handle("b", RpcRequest("2", "ann", "t", 2.0, Subscribe()))
        assert [(each.id, each.fault) for each in bag.sent] == [("2", None)]
        assert couriers.children() == followers


async def test_a_thread_is_forwarded_from_its_subscription_until_the_node_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opened, followers = trio.Event(), list[ActorRef]()
    opened.set()
    async with open_system("s", [ChildSpec("forwarders", Supervisor)]) as system:
        couriers = system.find("/s/forwarders")
        assert couriers is not None
        conversation = await system.spawn(ChildSpec("talk", lambda: Busy(opened, followers)))
        office = RpcServer(Threads(conversation), Bag(), lambda: couriers)  # type: ignore[arg-type]
        assert not office.forwards("ann", "t")
        for node in "bc":
            await office.handle(node, RpcRequest("1", "ann", "t", 2.0, Subscribe()))
        assert office.forwards("ann", "t")
        assert not office.forwards("ann", "u")
        assert not office.forwards("bob", "t")
        for node, left in (("b", True), ("c", False)):
            await office.handle(node, RpcRequest("", "ann", "t", 2.0, Unsubscribe()))
            await settle()
            assert office.forwards("ann", "t") is left


async def begun(system: ActorSystem, bag: Bag) -> tuple[ActorRef, ActorRef]:
    talk = await system.spawn(ChildSpec("talk", Talk, restart=Restart.TRANSIENT))
    make = ChildSpec("courier", lambda: EventForwarder("5f2c", "b", talk, bag), restart=Restart.TEMPORARY)  # type: ignore[arg-type]
    return talk, await system.spawn(make)


def test_buffered_events_are_sent_together_in_order() -> None:
    async def story() -> None:
        bag = Bag()
        async with open_system("s", []) as system:
            _, courier = await begun(system, bag)
            courier.tell(SubscribeThread("t", 0, 6))
            courier.tell(Deliver(thought(7), thought(8)))
            courier.tell(Deliver(passing(PartialResult("ab", 0))))
            courier.tell(Deliver(passing(PartialResult("cd", 2))))
            courier.tell(Deliver(passing(AgentProgress(1.0, "half", 2.0)), passing(FeedbackGiven("m", None))))
            courier.tell(Deliver(thought(9)))
            assert await courier.ask(RenewLease()) == 9
        numbers = [(item.first, len(item.bodies)) for item in bag.sent if isinstance(item, Events)]
        assert numbers == [(7, 2), (9, 1)]
        shown = bag.sent[1]
        assert isinstance(shown, Ephemeral)
        assert shown.head == 8
        assert [decode_ephemeral(body) for body in shown.bodies] == [
            passing(PartialResult("abcd", 0)),
            passing(AgentProgress(1.0, "half", 2.0)),
            passing(FeedbackGiven("m", None)),
        ]
        assert from_log(bag.sent[0].bodies[0]) == thought(7)

    in_virtual_time(story)


def test_an_answer_that_is_written_again_replaces_the_text_of_a_client_on_another_node() -> None:
    """The second text is shorter at first and arrives together with its continuation, which is not the old one."""

    async def story() -> None:
        bag, client, shown = Bag(), DeliveryCursors(), ""
        texts = [("1", 0, "abcdef"), ("2", 0, "abc"), ("2", 3, "\n\nabc")]
        async with open_system("s", []) as system:
            _, courier = await begun(system, bag)
            for epoch, offset, text in texts:
                courier.tell(Deliver(passing(PartialResult(text, offset)).replace(text_epoch=epoch)))
        for body in (each for item in bag.sent if isinstance(item, Ephemeral) for each in item.bodies):
            envelope = decode_ephemeral(body)
            offset, words = envelope.event.offset, envelope.event.text
            sent = client.offer_text("t", "r", offset, words, envelope.text_epoch)
            assert isinstance(sent, int)
            shown = shown[: offset + sent] + words[sent:]
        assert shown == "abc\n\nabc"

    in_virtual_time(story)


def test_a_killed_forwarder_reports_its_end_and_a_cancelled_one_does_not() -> None:
    """Told of the end, the other node asks again at once instead of at its next renewal."""

    async def story(kill: bool) -> None:
        bag = Bag()
        async with open_system("s", []) as system:
            _, courier = await begun(system, bag)
            if kill:
                courier.kill()
            else:
                courier.tell(StopForwarding())
            await courier.wait_stopped()
        assert bag.sent == ([ForwardingEnded("5f2c")] if kill else [])

    for kill in (True, False):
        trio.run(story, kill, clock=virtual_time())


def test_a_gap_keeps_the_numbers_of_later_events() -> None:
    async def story() -> None:
        bag = Bag()
        async with open_system("s", []) as system:
            _, courier = await begun(system, bag)
            courier.tell(Deliver(thought(1)))
            courier.tell(Deliver(thought(4), thought(5)))
            await courier.ask(RenewLease())
        assert [(item.first, len(item.bodies)) for item in bag.sent[:-1]] == [(1, 1), (4, 2)]
        assert bag.sent[-1] == ForwardingEnded("5f2c"), "its server stops"

    in_virtual_time(story)


@pytest.mark.parametrize(
    ("how", "deleted"), [("stops", False), ("crashes", False), ("deletes", True)], ids=lambda value: str(value)
)
def test_a_forwarder_ends_with_its_conversation_and_reports_it(how: str, deleted: bool) -> None:
    """Also when the conversation restarts, because it has lost its subscribers then."""

    async def story() -> None:
        bag = Bag()
        async with open_system("s", [], intensity=10) as system:
            talk, courier = await begun(system, bag)
            courier.tell(Deliver(thought(1)))
            await settle()
            match how:
                case "stops":
                    talk.tell(None)
                case "crashes":
                    talk.tell(RuntimeError("on purpose"))
                case "deletes":
                    courier.tell(UnsubscribeThread("t"))
            await courier.wait_stopped()
        assert isinstance(bag.sent[0], Events)
        assert bag.sent[1:] == [ForwardingEnded("5f2c", deleted)]

    in_virtual_time(story)


def test_the_last_events_of_a_conversation_that_ends_are_sent_before_its_end() -> None:
    """The conversation sends events and stops in one step, so both are in the forwarder's mailbox at once."""

    class Parting(Actor):
        async def receive(self, message: object, context: Context) -> None:
            assert isinstance(message, ActorRef)
            message.tell(Deliver(thought(1), thought(2)))
            context.stop()

    async def story() -> None:
        bag = Bag()
        async with open_system("s", []) as system:
            talk = await system.spawn(ChildSpec("talk", Parting, restart=Restart.TEMPORARY))
            make = ChildSpec("courier", lambda: EventForwarder("5f2c", "b", talk, bag), restart=Restart.TEMPORARY)  # type: ignore[arg-type]
            courier = await system.spawn(make)
            await settle()
            talk.tell(courier)
            await courier.wait_stopped()
        assert [(type(item), getattr(item, "first", None)) for item in bag.sent] == [
            (Events, 1),
            (ForwardingEnded, None),
        ]

    in_virtual_time(story)


def test_a_forwarder_stops_when_its_lease_expires() -> None:
    async def story() -> None:
        bag = Bag()
        async with open_system("s", []) as system:
            _, courier = await begun(system, bag)
            for _ in range(3):
                await trio.sleep(LEASE_S - 1)
                await courier.ask(RenewLease())
            await courier.wait_stopped()
            assert trio.current_time() == pytest.approx(3 * (LEASE_S - 1) + LEASE_S)
        assert bag.sent == []

    in_virtual_time(story)
