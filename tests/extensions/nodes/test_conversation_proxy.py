"""A proxy over a real store and outbox. The bus to the node that owns the thread is a stand-in."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from actors import Actor, ActorDied, ActorRef, ChildSpec
from tests.understudy.chat.conversation.test_conversation import OneForAll, Rig
from tests.understudy.chat.conversation.test_conversation import rig as rig
from transport.outbox.outbox import Outbox, OutboxLimits
from transport.wire.messages import Deliver
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.conversation.event_log import read_page
from understudy.chat.messages import CancelRun
from understudy.chat.placement import Moved, actor_name
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.conversation_proxy import CheckLog, ConversationProxy, ProxyTable
from understudy.extensions.nodes.membership import Member, join
from understudy.extensions.nodes.messages import Events, ForwardingEnded, Subscribe
from understudy.extensions.nodes.storage import join_nodes
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.errors import BrokerUnavailable
from understudy.storage.records import Fence, LoggedEvent, Thread
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentThinking, Envelope, MessageAccepted
from understudy.wire.vocabulary import VOCABULARY, to_log


@define
class Sent:
    numbers: list[int] = field(factory=list)
    open: bool = True

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        self.numbers += [seq for each in payloads if (seq := json.loads(each).get("seq")) is not None]
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
    head: int = 0
    reachable: bool = True

    async def begin_thread(self, created_at: float, count: int) -> None:
        """Delete the thread, if there is one, and store another one of its id with this many events."""
        store = self.rig.services.store
        await store.delete_thread("ada", "t", None)
        fence = await nodes.claim(store, "ada", "t", "other")
        assert isinstance(fence, Fence)
        thread = Thread("ada", "t", "Title", "script", None, created_at, created_at)
        events = tuple(LoggedEvent(seq, "agent_thinking", "r", to_log(thought(seq))) for seq in range(1, count + 1))
        await store.commit(Change("ada", "t", events, thread, fence=fence))
        self.created_at, self.head = created_at, count

    async def ask(
        self, _node: str, _owner: str, _thread_id: str, command: object, *, timeout_s: float, traceparent: str = ""
    ) -> int:
        """Answer a subscription as the RPC server does; the node does not own the thread any more for a command."""
        if not isinstance(command, Subscribe):
            raise Moved("it went on")
        if not self.reachable:
            raise BrokerUnavailable("away")
        if command.incarnation not in (None, self.created_at):
            raise Moved("another one")
        return self.head

    def broker_time(self) -> float:
        return 0.0

    def send(self, _node: str, _item: object) -> bool:
        return True

    def broadcast(self, _news: object) -> None:
        """There is nobody else."""

    def make_proxy(self, owner: str, thread_id: str, owner_node: str, after: int | None) -> Actor:
        return ConversationProxy(owner, thread_id, owner_node, self.rig.services, self, self.proxies, after)  # type: ignore[arg-type]


def thought(seq: int) -> Envelope:
    return Envelope(
        AgentThinking("a", f"{seq}", 0.0),
        1.5,
        seq,
        "t",
        "r",
        "m",
        conversation_id="c",
        agent_type="script",
        pillar=None,
        message="thinks",
    )


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
    await join(node, "here", lease_s=60.0)
    await store.commit_urgent(join_nodes("other", lease_s=60.0))
    sent, outbox = await connect(rig, "client")
    rig.services.presence = OneForAll(outbox)
    conversations = rig.system.find("/s/conversations")
    assert conversations is not None
    desk = CommandDispatcher(rig.services, lambda: conversations)
    desk.join(node, other)
    rig.services.on_relocated = desk.registry.mark_relocated
    return Here(other, desk, sent)


async def at_end(here: Here) -> ActorRef:
    """Begin thread `t`, and subscribe the connection after its event 2. Return the proxy."""
    await here.other.begin_thread(1.0, 2)
    proxy = await here.proxy()
    proxy.tell(Events(actor_name("ada", "t"), 3, [to_log(thought(3))], 1.0))
    await here.until_sent(3)
    return proxy


NOTICES: dict[str, Callable[[str], Any]] = {
    "told of the end": lambda thread: ForwardingEnded(thread, deleted=True, incarnation=1.0),
    "sent events of the next": lambda thread: Events(thread, 5, [to_log(thought(5))], 2.0),
    "renewing the subscription": lambda _: CheckLog(),
}


@pytest.mark.parametrize("how", NOTICES)
async def test_who_followed_a_deleted_thread_gets_the_next_one_from_its_first_event(here: Here, how: str) -> None:
    """The next one has four events when this node learns of it; the connection never named a cursor."""
    proxy = await at_end(here)
    await here.other.begin_thread(2.0, 4)
    proxy.tell(NOTICES[how](actor_name("ada", "t")))
    with trio.fail_after(60):
        await proxy.wait_stopped()
    for each in here.desk.registry.relocated:
        await here.desk.registry.resubscribe(*each)
    await here.until_sent(3, 1, 2, 3, 4)


@pytest.mark.parametrize("deleted", [True, False], ids=["told", "not told"])
async def test_a_deleted_thread_without_a_next_one_leaves_no_actor_and_no_subscription(
    here: Here, deleted: bool
) -> None:
    proxy, vault = await at_end(here), here.other.rig.services.content_filter.vault
    vault.get_or_create("ada", "t", is_new=True)
    await here.other.rig.services.store.delete_thread("ada", "t", None)
    proxy.tell(ForwardingEnded(actor_name("ada", "t"), deleted=deleted, incarnation=1.0))
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


@pytest.mark.parametrize("last", [queries.thread, nodes.owner_node])
async def test_a_thread_deleted_between_two_reads_of_the_store_is_seen_as_deleted(
    here: Here, monkeypatch: pytest.MonkeyPatch, last: object
) -> None:
    """The owning node cannot be reached, so the proxy polls; the thread goes right after this read of a poll."""
    proxy, services = await at_end(here), here.other.rig.services
    services.content_filter.vault.get_or_create("ada", "t", is_new=True)
    original, delete = services.store.read, services.store.delete_thread

    async def then_deleted(query: Any, *names: str) -> object:
        found = await original(query, *names)
        if query is last:
            await delete("ada", "t", None)
        return found

    monkeypatch.setattr(services.store, "read", then_deleted)
    here.other.reachable = False
    proxy.tell(CheckLog())
    with trio.fail_after(60):
        await proxy.wait_stopped()
    assert not services.content_filter.vault.has("ada", "t")


async def test_a_late_end_of_an_earlier_thread_does_not_end_the_proxy_of_the_next(here: Here) -> None:
    proxy = await at_end(here)
    proxy.tell(ForwardingEnded(actor_name("ada", "t"), deleted=True, incarnation=0.5))
    proxy.tell(Events(actor_name("ada", "t"), 4, [to_log(thought(4))], 1.0))
    await here.until_sent(3, 4)
    assert proxy.alive


async def test_a_connection_that_is_opened_later_gets_the_thread_with_its_next_message(here: Here) -> None:
    proxy, rig = await at_end(here), here.other.rig
    late, outbox = await connect(rig, "late")
    first = rig.services.presence.outboxes("ada", "t")
    rig.services.presence = OneForAll(*first, outbox)
    accepted = thought(4).replace(event=MessageAccepted("m", "r", "more"))
    proxy.tell(Events(actor_name("ada", "t"), 4, [to_log(accepted)], 1.0))
    await here.until_sent(3, 4)
    assert late.numbers == [4]


async def test_a_connection_that_is_opened_later_gets_events_that_the_proxy_missed(here: Here) -> None:
    """Among them may be the acceptance of a message, which subscribes all connections."""
    proxy, rig = await at_end(here), here.other.rig
    late, outbox = await connect(rig, "late")
    first = rig.services.presence.outboxes("ada", "t")
    rig.services.presence = OneForAll(*first, outbox)
    events = tuple(LoggedEvent(seq, "agent_thinking", "r", to_log(thought(seq))) for seq in (3, 4, 5))
    fence = Fence("other", 1)
    await rig.services.store.commit(Change("ada", "t", events, fence=fence))
    here.other.head = 5
    proxy.tell(CheckLog())
    await here.until_sent(3, 4, 5)
    assert late.numbers == [4, 5]


async def test_a_command_to_a_node_that_has_lost_the_thread_fails_so_that_it_is_sent_again(here: Here) -> None:
    """As one to an actor that has ended: its caller finds the next owner. Not as one that nobody handles."""
    await here.other.begin_thread(1.0, 2)
    proxy = await here.proxy()
    with pytest.raises(ActorDied), trio.fail_after(60):
        await proxy.ask(CancelRun("r"), timeout_s=4)
