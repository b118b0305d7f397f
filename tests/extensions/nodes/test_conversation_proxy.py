"""A proxy over a real store and outbox. The bus to the node that owns the thread is a stand-in."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from attrs import define, field

from actors import Actor, ActorDied, ActorRef, ChildSpec
from tests.extensions.nodes.envelopes import thought
from tests.rigs.conversation import OneForAll, Rig
from tests.rigs.conversation import rig as rig
from transport.outbox.outbox import Outbox, OutboxLimits
from transport.wire.events import PartialResult
from transport.wire.messages import Deliver
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.conversation.event_log import read_page
from understudy.chat.messages import CancelRun, RequestSnapshot
from understudy.chat.placement import Moved
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.conversation_proxy import ConversationProxy
from understudy.extensions.nodes.membership import Member, join
from understudy.extensions.nodes.messages import Advanced, Passing, ThreadGone
from understudy.extensions.nodes.proxy_table import LogChecked, OwnerDown, ProxyTable
from understudy.extensions.nodes.storage import LogEnd, join_nodes, log_ends
from understudy.storage.changes import Change
from understudy.storage.records import Fence, LoggedEvent, Thread
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope, MessageAccepted
from understudy.wire.vocabulary import VOCABULARY, to_log


@define
class Sent:
    numbers: list[int] = field(factory=list)
    text: str = ""
    open: bool = True

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        for event in map(json.loads, payloads):
            if event["type"] == "partial_result":
                assert event["data"]["offset"] == len(self.text)
                self.text += event["data"]["text"]
            elif event.get("seq") is not None:
                self.numbers.append(event["seq"])
        return True

    async def write(self, payloads: Sequence[bytes]) -> None:
        self.write_now(payloads)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.open = False


@define(eq=False)
class OtherNode:
    """The node `other`, which owns thread `t` in the store, as this node reaches it."""

    rig: Rig
    proxies: ProxyTable = field(factory=ProxyTable)
    created_at: float = 0.0
    hears: bool = True
    fence: Fence | None = None
    followed: list[bool] = field(factory=list)

    async def begin_thread(self, created_at: float, count: int) -> None:
        """Delete the thread, if there is one, and store another one of its id with this many events."""
        store = self.rig.services.store
        await store.delete_thread("ada", "t", None)
        fence = await nodes.claim(store, "ada", "t", "other")
        thread = Thread("ada", "t", "Title", "script", None, created_at, created_at)
        events = tuple(LoggedEvent(seq, "agent_thinking", "r", to_log(thought(seq))) for seq in range(1, count + 1))
        await store.commit(Change("ada", "t", events, thread, fence=fence))
        self.created_at, self.fence = created_at, fence

    async def append(self, *envelopes: Envelope) -> Advanced:
        """Store the next events of the thread. Return the message with which the node announces them."""
        events = [LoggedEvent(envelope.seq or 0, envelope.event.type, "r", to_log(envelope)) for envelope in envelopes]
        await self.rig.services.store.commit(Change("ada", "t", tuple(events), fence=self.fence))
        return Advanced("other", "ada", "t", events[-1].seq, self.created_at)

    async def checked(self) -> LogChecked:
        """Return the end of the log, as the check of all logs reads it."""
        return LogChecked((await self.rig.services.store.read(log_ends, [("ada", "t")])).get(("ada", "t")))

    async def ask(self, *_: object, timeout_s: float, traceparent: str = "") -> int:
        raise Moved("it went on")

    def follow(self, node: str, owner: str, thread_id: str, *, snapshot: bool) -> None:
        """Note that the node is told that its thread is followed."""
        assert (node, owner, thread_id) == ("other", "ada", "t")
        self.followed.append(snapshot)

    def broadcast(self, _news: object) -> None:
        """There is nobody else."""

    def make_proxy(self, owner: str, thread_id: str, owner_node: str, after: int | None, since: float) -> Actor:
        services: Any = self.rig.services
        bus: Any = self
        return ConversationProxy(services, bus, self.proxies, owner, thread_id, owner_node, after, since)


@define(eq=False)
class Here:
    """This node, with a connection of the user."""

    other: OtherNode
    desk: CommandDispatcher
    sent: Sent

    async def proxy(self) -> ActorRef:
        """The proxy of the thread, started if there is none, after it has done what it was sent."""
        entry = await self.desk.registry.get_or_start("ada", "t")
        assert entry.is_proxy
        await trio.testing.wait_all_tasks_blocked(0.01)
        return entry.ref

    async def until_sent(self, *numbers: int) -> None:
        with trio.fail_after(60):
            while len(self.sent.numbers) < len(numbers):
                await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert self.sent.numbers == list(numbers)


async def connect(rig: Rig, name: str) -> tuple[Sent, ActorRef]:
    """Open a connection. Return what it is sent, and its outbox."""
    sent, store = Sent(), rig.services.store

    def new_outbox() -> Outbox:
        return Outbox(
            sent,
            Dialect.CANONICAL,
            vocabulary=VOCABULARY,
            read_log=lambda thread_id, after, limit: read_page(store, "ada", thread_id, after, limit),
            request_snapshot=lambda _: None,
            limits=OutboxLimits(defer_s=0.0),
        )

    return sent, await rig.system.spawn(ChildSpec(name, new_outbox))


@pytest.fixture
async def here(rig: Rig) -> Here:
    """A node beside `other`, whose user has one connection."""
    store, other, node = rig.services.store, OtherNode(rig), Member(rig.services.store)
    await join(node, lease_s=60.0)
    await store.commit_urgent(join_nodes("other", lease_s=60.0))
    sent, outbox = await connect(rig, "client")
    rig.services.presence = OneForAll(outbox)
    conversations = rig.system.find("/s/conversations")
    desk = CommandDispatcher(rig.services, lambda: conversations)
    desk.join(node, other.make_proxy)
    rig.services.on_relocated = desk.registry.mark_relocated
    return Here(other, desk, sent)


async def at_end(here: Here) -> ActorRef:
    """Begin thread `t`, and subscribe the connection after its event 2. Return the proxy."""
    await here.other.begin_thread(1.0, 2)
    proxy = await here.proxy()
    proxy.tell(await here.other.append(thought(3)))
    await here.until_sent(3)
    return proxy


NOTICES: dict[str, object] = {
    "told of the end": ThreadGone("other", "ada", "t", 1.0),
    "told of events of the next": Advanced("other", "ada", "t", 5, 2.0),
    "checking the log": LogChecked(LogEnd("other", 4, 2.0)),
}


@pytest.mark.parametrize("notice", NOTICES)
async def test_who_followed_a_deleted_thread_gets_the_next_one_from_its_first_event(here: Here, notice: str) -> None:
    """The next one has four events when this node learns of it; the connection never named a cursor."""
    proxy = await at_end(here)
    await here.other.begin_thread(2.0, 4)
    proxy.tell(NOTICES[notice])
    with trio.fail_after(60):
        await proxy.wait_stopped()
    for moved in here.desk.registry.relocated:
        await here.desk.registry.resubscribe(*moved)
    await here.until_sent(3, 1, 2, 3, 4)


@pytest.mark.parametrize("gone", [True, False])
async def test_a_deleted_thread_without_a_next_one_leaves_no_actor_and_no_subscription(here: Here, gone: bool) -> None:
    proxy, vault = await at_end(here), here.other.rig.services.content_filter.vault
    vault.get_or_create("ada", "t", is_new=True)
    await here.other.rig.services.store.delete_thread("ada", "t", None)
    proxy.tell(ThreadGone("other", "ada", "t", 1.0) if gone else OwnerDown())
    with trio.fail_after(60):
        await proxy.wait_stopped()
    (moved,) = here.desk.registry.relocated
    await here.desk.registry.resubscribe(*moved)
    assert here.desk.registry.relocated == ()
    assert here.desk.registry.peek("ada", "t") is None
    assert not vault.has("ada", "t")
    (outbox,) = here.other.rig.services.presence.outboxes("ada", "t")
    outbox.tell(Deliver(thought(4)))
    await here.until_sent(3)


async def test_a_thread_whose_end_was_not_told_is_seen_as_deleted(here: Here) -> None:
    proxy, services = await at_end(here), here.other.rig.services
    services.content_filter.vault.get_or_create("ada", "t", is_new=True)
    await services.store.delete_thread("ada", "t", None)
    proxy.tell(await here.other.checked())
    with trio.fail_after(60):
        await proxy.wait_stopped()
    assert not services.content_filter.vault.has("ada", "t")


async def test_a_thread_that_another_node_owns_now_is_looked_up_again(here: Here) -> None:
    proxy = await at_end(here)
    proxy.tell(LogChecked(LogEnd("third", 3, 1.0)))
    with trio.fail_after(60):
        await proxy.wait_stopped()
    assert [key for key, _ in here.desk.registry.relocated] == [("ada", "t")]


async def test_what_the_log_has_is_waited_for_while_it_may_be_on_its_way(here: Here) -> None:
    """Otherwise the text that follows would be out of date."""
    proxy = await at_end(here)
    stored = await here.other.append(thought(4))
    proxy.tell(await here.other.checked())
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert here.sent.numbers == [3]
    proxy.tell(stored)
    await here.until_sent(3, 4)


async def test_the_owner_is_told_that_its_thread_is_followed_and_asked_for_the_text_now_and_then(here: Here) -> None:
    proxy = await at_end(here)
    assert here.other.followed == [True]
    for _ in range(5):
        proxy.tell(RequestSnapshot(here.other.rig.services.presence.outboxes("ada", "t")[0]))
    with trio.fail_after(60):
        while len(here.other.followed) < 2:
            await trio.testing.wait_all_tasks_blocked(0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert here.other.followed == [True, True]


async def test_a_late_end_of_an_earlier_thread_does_not_end_the_proxy_of_the_next(here: Here) -> None:
    proxy = await at_end(here)
    proxy.tell(ThreadGone("other", "ada", "t", 0.5))
    proxy.tell(await here.other.append(thought(4)))
    await here.until_sent(3, 4)
    assert proxy.alive


@pytest.mark.parametrize("missed", [False, True])
async def test_a_connection_that_is_opened_later_gets_the_thread_with_its_next_message(
    here: Here, missed: bool
) -> None:
    """Among events that the proxy missed may be the acceptance of a message, which subscribes all connections."""
    proxy, rig = await at_end(here), here.other.rig
    late, outbox = await connect(rig, "late")
    first = rig.services.presence.outboxes("ada", "t")
    rig.services.presence = OneForAll(*first, outbox)
    accepted = thought(4).replace(event=MessageAccepted("m", "r", "more"))
    events = [thought(4), thought(5)] if missed else [accepted]
    news = await here.other.append(*events)
    proxy.tell(await here.other.checked() if missed else news)
    numbers = [event.seq for event in events]
    await here.until_sent(3, *numbers)
    assert late.numbers == numbers


async def test_a_command_to_a_node_that_has_lost_the_thread_fails_so_that_it_is_sent_again(here: Here) -> None:
    """It fails like a command to an ended actor, whose caller finds the next owner; not like an unhandled one."""
    await here.other.begin_thread(1.0, 2)
    proxy = await here.proxy()
    with pytest.raises(ActorDied), trio.fail_after(60):
        await proxy.ask(CancelRun("r"), timeout_s=4)


async def test_what_is_told_twice_or_late_is_sent_once(here: Here) -> None:
    proxy = await at_end(here)
    early, late = await here.other.append(thought(4)), await here.other.append(thought(5))
    for announcement in (late, early, late):
        proxy.tell(announcement)
    await here.until_sent(3, 4, 5)


async def test_the_last_events_of_a_thread_arrive_though_it_is_deleted_before_they_are_read(here: Here) -> None:
    proxy = await at_end(here)
    stored = await here.other.append(thought(4), thought(5), thought(6))
    await here.other.rig.services.store.delete_thread("ada", "t", None)
    rows = tuple(msgspec.Raw(to_log(thought(seq))) for seq in (3, 4, 5, 6))
    proxy.tell(msgspec.structs.replace(stored, frames=rows))
    proxy.tell(ThreadGone("other", "ada", "t", 1.0))
    with trio.fail_after(60):
        await proxy.wait_stopped()
    await here.until_sent(3, 4, 5, 6)


def piece(head: int, offset: int, text: str) -> Passing:
    delta = thought(0).replace(event=PartialResult(text, offset), seq=None)
    return Passing("other", "ada", "t", head, msgspec.Raw(to_log(delta)))


async def test_text_comes_after_the_events_before_it_and_not_after_those_behind_it(here: Here) -> None:
    """Otherwise a client that returns after the end of a run would show the text as new."""
    proxy = await at_end(here)
    rows = (msgspec.Raw(to_log(thought(4))),)
    proxy.tell(msgspec.structs.replace(await here.other.append(thought(4)), frames=rows))
    proxy.tell(piece(4, 0, "ab"))
    await here.until_sent(3, 4)
    assert here.sent.text == "ab"
    proxy.tell(await here.other.append(thought(5)))
    proxy.tell(piece(4, 2, "cd"))
    await here.until_sent(3, 4, 5)
    assert here.sent.text == "ab"
    proxy.tell(piece(5, 2, "CD"))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert here.sent.text == "abCD"
    await here.other.append(thought(6))
    proxy.tell(piece(6, 4, "ef"))  # of the number nothing was told
    await here.until_sent(3, 4, 5, 6)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_on_the_way_each_client_gets_the_story(here: Here, seed: int) -> None:
    """Numbers, with their rows or without, and text are lost, late against each other and repeated."""
    draw, proxy, letters = Random(seed), await at_end(here), "abcdefghij"
    numbers: list[Any] = [await here.other.append(thought(seq)) for seq in range(4, 10)]
    for at, announcement in enumerate(numbers):
        if draw.random() < 0.5:
            rows = (msgspec.Raw(to_log(thought(announcement.last))),)
            numbers[at] = msgspec.structs.replace(announcement, frames=rows)
    streams = [numbers, [piece(draw.randint(3, 9), at, letter) for at, letter in enumerate(letters)]]
    streams[1].sort(key=lambda message: message.head)
    while any(streams):
        announcement = draw.choice([stream for stream in streams if stream]).pop(0)
        for _ in range(draw.choice([0, 1, 1, 2])):
            proxy.tell(announcement)
        if draw.random() < 0.5:
            await trio.testing.wait_all_tasks_blocked()
    proxy.tell(LogChecked((await here.other.checked()).end, late=True))
    await here.until_sent(*range(3, 10))
    assert letters.startswith(here.sent.text)
    proxy.tell(piece(9, 0, letters))  # the snapshot that was asked for
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert here.sent.text == letters


async def test_a_number_that_the_log_does_not_have_holds_nothing_up(here: Here) -> None:
    proxy = await at_end(here)
    proxy.tell(Advanced("other", "ada", "t", 99, 1.0))
    proxy.tell(await here.other.checked())
    await trio.testing.wait_all_tasks_blocked(0.01)
    proxy.tell(await here.other.append(thought(4)))
    await here.until_sent(3, 4)


@pytest.mark.parametrize("hears", [True, False])
async def test_events_that_nobody_tells_of_are_found_by_the_checks(here: Here, hears: bool) -> None:
    here.other.hears = hears
    await at_end(here)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.other.proxies.keep_up, here.other.rig.services.store, here.other)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await here.other.append(thought(4))
        here.other.proxies.check()
        await here.until_sent(3, 4)
        nursery.cancel_scope.cancel()
    assert here.other.followed == ([True, False, True] if hears else [True])
