"""The local stand-in for a conversation that another node owns, and the table of these proxies.

Commands and subscribers use a proxy like a conversation.

1. A command is forwarded to the owning node, and its reply is passed back; the proxy executes nothing itself.
2. Subscribers get the thread's events in order. A lost event leaves a gap in the numbers, and each subscriber reads it
   from the log; while the owning node cannot be reached, the proxy polls the log every second.
3. If the node is down or no longer owns the thread, the proxy stops, and pending callers ask again through the
   registry, which finds the new owner.
4. A proxy stands for one incarnation of its thread: when that was deleted, also if there is another thread of its id by
   now, its subscribers are notified and the proxy stops. They get the next thread of the id from its first event.
"""

import logging
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import define, field, frozen

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Terminated
from transport.outbox.delivery import same_incarnation
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import Resync
from transport.wire.messages import Reply
from understudy.chat import messages as chat
from understudy.chat.conversation.conversation import RESYNC
from understudy.chat.conversation.event_log import read_acceptance
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap_about_answer
from understudy.chat.placement import Moved, actor_name
from understudy.chat.services import Services
from understudy.content.texts import run_off_loop
from understudy.extensions.nodes import messages, storage
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.codec import decode_ephemeral
from understudy.extensions.nodes.hop import Hop
from understudy.extensions.nodes.messages import (
    Ephemeral,
    Events,
    ForwardingEnded,
    Snapshot,
    Subscribe,
    Unsubscribe,
    command_from_message,
)
from understudy.extensions.nodes.reorder import ReorderBuffer
from understudy.observe.traces import Traces
from understudy.storage.errors import BrokerUnavailable, StorageError
from understudy.storage.records import Message
from understudy.wire.events import Envelope, FeedbackGiven, MessageAccepted

log = logging.getLogger(__name__)

REPLY_TIMEOUT_S: Final = 9.0
"""Timeout of a forwarded command; shorter than the timeout of its local caller."""
SUBSCRIBE_TIMEOUT_S: Final = 2.0
RENEW_S: Final = 10.0
"""Interval at which the subscription is renewed, a third of its lease (`rpc_server.LEASE_S`)."""
POLL_S: Final = 1.0
"""Interval of reads of the log while the owning node does not answer."""
HOLD_S: Final = 0.5
"""How long an ephemeral event is held for the numbered events before it."""
SNAPSHOT_S: Final = 0.5
"""Minimum interval between requests for a snapshot: many subscribers miss the same one."""


DECODE_INLINE: Final = 8 * 1024
"""Up to this many bytes events are decoded on the event loop, which takes less than a millisecond; more in a thread."""


@frozen
class CheckLog:
    """To a proxy: events may have been lost; ask the owning node, or read the log."""


@frozen
class OwnerDown:
    """To a proxy: the node that owns its thread is down, or does not own it any more.

    `unanswered` is a request that it did not answer. It is kept until the proxy stops, when it fails with `ActorDied`
    and its caller retries: released earlier, it would fail at once as one that nobody handles.
    """

    unanswered: Ask[Any] | None = None


@frozen
class _ProxyEntry:
    ref: ActorRef
    owner_node: str


@define
class ProxyTable:
    """The running proxies, by the names of their threads."""

    _proxies: dict[str, _ProxyEntry] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._proxies)

    def add(self, thread: str, ref: ActorRef, owner_node: str) -> None:
        """Add a proxy that starts."""
        self._proxies[thread] = _ProxyEntry(ref, owner_node)

    def remove(self, thread: str, ref: ActorRef) -> None:
        """Remove a proxy that stops; no effect if another proxy has replaced it."""
        entry = self._proxies.get(thread)
        if entry is not None and entry.ref == ref:
            del self._proxies[thread]

    def find(self, thread: str, owner_node: str) -> ActorRef | None:
        """Return the proxy of a thread if that node owns it. Events of an earlier owner find none, and are dropped."""
        entry = self._proxies.get(thread)
        return None if entry is None or entry.owner_node != owner_node else entry.ref

    def owner_nodes(self) -> frozenset[str]:
        """Return the nodes that own a thread with a proxy here."""
        return frozenset(entry.owner_node for entry in self._proxies.values())

    def check_logs(self, owner_node: str | None = None) -> None:
        """Have the proxies to a node, or all of them, check for events they missed."""
        for entry in self._proxies.values():
            if owner_node in (None, entry.owner_node):
                entry.ref.try_tell(CheckLog())

    def owner_down(self, owner_node: str) -> None:
        """Stop the proxies to a node that is down."""
        for entry in list(self._proxies.values()):
            if entry.owner_node == owner_node:
                entry.ref.try_tell(OwnerDown())


class _StopIfIdle:
    """Stop if there are no subscribers and no pending commands."""


class _TextIncomplete:
    """Request a snapshot: a part of a running answer may have been missed."""


class _ReleaseHeld:
    """Publish the held ephemeral events."""


class ConversationProxy(Actor):
    """Stands for one thread of one user, owned by `owner_node`. Started by `understudy.chat.registry`.

    `after`: the number of an event after which the user's connections here get the thread's events; None: the end.
    """

    mailbox = MailboxSpec(capacity=4096)

    def __init__(
        self,
        owner: str,
        thread_id: str,
        owner_node: str,
        services: Services,
        bus: MessageBus,
        proxies: ProxyTable,
        after: int | None = None,
    ) -> None:
        self.owner = owner
        self.thread_id = thread_id
        self.name = actor_name(owner, thread_id)
        self.owner_node = owner_node
        self.services = services
        self.bus = bus
        self.proxies = proxies
        self.after = after
        self.followers = Subscribers(owner, thread_id, services)
        self.reorder = ReorderBuffer(0)
        self.exists = False
        self.check_now = trio.Event()
        self.waiting = 0
        self.snapshot_asked_at = -SNAPSHOT_S
        self.ended = False

    async def on_start(self, context: Context) -> None:
        """Find the end of the log, subscribe the user's connections, and subscribe to the owning node."""
        self.followers.context = context
        self.proxies.add(self.name, context.ref, self.owner_node)
        await self._read_log_end()
        if self.exists:
            after = None if self.after is None else min(self.after, self.reorder.last_seq)
            self.followers.subscribe_all(self.reorder.last_seq, after=after)
        context.start_soon(self._stay_subscribed, context, name="subscription")
        context.set_timer("idle", self.services.settings.idle_s, _StopIfIdle())

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Unsubscribe from the owning node."""
        self.proxies.remove(self.name, context.ref)
        if not self.ended:
            self.bus.send(self.owner_node, messages.RpcRequest("", self.owner, self.thread_id, 0.0, Unsubscribe()))

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message of `understudy.chat.messages` or `understudy.extensions.nodes.messages`."""
        match message:
            case Events(incarnation=incarnation) if not self._is_this(incarnation):
                self._end(context, deleted=True)
            case Events():
                await self._accept_events(message)
            case Ephemeral(head=after, bodies=bodies):
                self._deliver(self.reorder.add_ephemeral(after, await _decode(bodies)))
                if self.reorder:
                    context.set_timer("release", HOLD_S, _ReleaseHeld())
            case ForwardingEnded(deleted=deleted, incarnation=incarnation):
                if self._is_this(incarnation):
                    self._end(context, deleted=deleted)
            case OwnerDown():
                self._end(context)
            case CheckLog() | chat.OwnershipLost():  # the latter: this node has a new id, with no subscription yet
                self.check_now.set()
            case chat.FollowThread():
                await self._subscribe(message, context)
            case chat.EnsureRunning():
                self._send(command_from_message(message))
            case chat.RequestSnapshot():
                self._request_snapshot(context)
            case chat.WaitIdle():
                message.reply(None)
            case Ask():  # what a conversation is asked, by the chat or by an extension
                self.waiting += 1
                context.start_soon(self._forward, message, context, name="forward")
            case Terminated(ref):
                self.followers.remove(ref)
            case _TextIncomplete():
                self._request_snapshot(context)
            case _ReleaseHeld():
                self._deliver(self.reorder.release())
                self.check_now.set()
            case _StopIfIdle() if self.followers or self.waiting:
                context.set_timer("idle", self.services.settings.idle_s, _StopIfIdle())
            case _StopIfIdle():
                context.stop()

    # events

    async def _accept_events(self, events: Events) -> None:
        """Deliver numbered events. Each message subscribes the user's connections here, as in the conversation."""
        self.exists = True
        self.followers.incarnation = self.followers.incarnation or events.incarnation
        envelopes = await _decode(events.bodies)
        shown = [self.followers.restore(each).event for each in envelopes]
        last = events.first + len(envelopes) - 1
        if last > self.reorder.last_seq and any(isinstance(each, MessageAccepted) for each in shown):
            self.followers.subscribe_all(last, after=events.first - 1)
        self._deliver(self.reorder.add_numbered(events.first, envelopes))

    def _deliver(self, envelopes: Sequence[Envelope]) -> None:
        """Deliver events to all subscribers, consecutive numbered ones together: an outbox takes these in one step."""
        together: list[Envelope] = []
        for envelope in map(self.followers.restore, envelopes):
            if together and (envelope.seq is None) != (together[-1].seq is None):
                self.followers.deliver(*together)
                together = []
            together.append(envelope)
        if together:
            self.followers.deliver(*together)

    def _advance(self, head: int, *, subscribe_all: bool = False) -> None:
        """Record that the log extends to `head`; subscribers that are behind catch up from the log.

        `subscribe_all`: the user's other connections here are subscribed too: a lost event may have accepted a message.
        """
        known = self.reorder.last_seq
        if self.reorder.advance(head):
            self.exists = True
            self.followers.catch_up(head)
            if subscribe_all:
                self.followers.subscribe_all(head, after=known)
            self._deliver(self.reorder.release())

    async def _read_log_end(self, *, subscribe_all: bool = False) -> bool:
        """Read the last event number of the thread. Return whether the thread, and not a later one, exists."""
        thread = await self.services.store.thread(self.owner, self.thread_id)
        if thread is None or not self._is_this(thread.created_at):
            return False
        self.followers.incarnation = thread.created_at
        self.exists = True
        self._advance(thread.last_seq, subscribe_all=subscribe_all)
        return True

    def _is_this(self, incarnation: float | None) -> bool:
        """Return False if an incarnation is known to be another one than that of this proxy's thread."""
        return same_incarnation(self.followers.incarnation, incarnation)

    async def _stay_subscribed(self, context: Context) -> None:
        """Keep the subscription to the owning node, and check for lost events: periodically and on `check_now`."""
        subscribed = False
        while True:
            self.check_now = trio.Event()
            try:
                subscribe = Subscribe(self.followers.incarnation)
                head = await self.bus.ask(
                    self.owner_node, self.owner, self.thread_id, subscribe, timeout_s=SUBSCRIBE_TIMEOUT_S
                )
                wait_s = RENEW_S
            except (Moved, CommandRejected):  # or deleted, or stored by a third node
                if await self._poll_store(context):
                    context.ref.tell(OwnerDown())
                return
            except (BrokerUnavailable, StorageError):
                subscribed = False
                wait_s = POLL_S * (0.75 + random.random() / 2)  # noqa: S311 - jitter, so that proxies do not poll in step
                if not await self._poll_store(context):
                    return
            else:
                if isinstance(head, int):
                    self._advance(head, subscribe_all=True)
                if not subscribed:
                    context.ref.tell(_TextIncomplete())  # deltas sent before the subscription were missed
                subscribed = True
            with trio.move_on_after(wait_s):
                await self.check_now.wait()
                await trio.sleep(random.random() * HOLD_S / 5)  # noqa: S311

    async def _poll_store(self, context: Context) -> bool:
        """Read the log because the node does not answer. Return False if that node no longer owns the thread.

        The owner is read first: a thread deleted between the two reads has no owner, but may still seem to exist.
        """
        try:
            owner_node = await self.services.store.read(storage.owner_node, self.owner, self.thread_id)
            if (
                not await self._read_log_end(subscribe_all=True) and self.exists
            ):  # deleted while the owner was unreachable
                context.ref.tell(ForwardingEnded(self.name, deleted=True))
                return False
        except StorageError:
            return True
        if owner_node != self.owner_node:
            context.ref.tell(OwnerDown())
            return False
        return True

    # commands

    async def _forward(self, ask: Ask[Any], context: Context) -> None:
        """Forward a command to the owning node, and pass on its reply."""
        hop = Hop.of(self.services.parts.find(Traces), getattr(ask, "run_id", None), time.time())
        command, error = command_from_message(ask), "cancelled"
        try:
            answer = await self.bus.ask(
                self.owner_node,
                self.owner,
                self.thread_id,
                command,
                timeout_s=REPLY_TIMEOUT_S,
                traceparent="" if hop is None else hop.span.header,
            )
            await self._publish_outcome(ask, answer)
        except Moved:
            error = Moved.__name__
            context.ref.tell(OwnerDown(ask))
        except (CommandRejected, chat.MessageInOtherThread, StorageError) as refused:
            error = type(refused).__name__
            ask.fail(refused)
        else:
            error = ""
            ask.reply(answer)
        finally:
            self.waiting -= 1
            if hop is not None:
                hop.end("forward", type(command).__name__, self.owner_node, time.time(), error=error)

    async def _publish_outcome(self, ask: Ask[Any], answer: object) -> None:
        """Publish to the asking connection the events that the owning node would send to a connection of its own."""
        match ask:
            case chat.Accept(outbox=outbox) if outbox is not None:
                if answer != ask.run_id or outbox not in self.followers:  # repeated, or not subscribed
                    message = await self.services.store.message(self.owner, ask.order.say.message_id or "")
                    await self._publish_acceptance(ask, message, str(answer))
            case chat.RateAnswer(outbox=outbox) if outbox is not None and outbox not in self.followers:
                event = FeedbackGiven(ask.answer.id, ask.rating)
                outbox.try_tell(Reply(wrap_about_answer(ask.answer, event, now=self.services.clock())))
            case _ if (outbox := getattr(ask, "outbox", None)) is not None and (
                not answer or outbox not in self.followers
            ):
                for part in self.services.conversations.parts:
                    if (read := part.acceptances.get(type(ask))) is not None:
                        accepted = await read(self.services.store, self.owner, self.thread_id, ask)
                        if accepted is not None:
                            head = max(self.reorder.last_seq, accepted.seq or 0)
                            self.followers.replay_acceptance(outbox, accepted, head)

    async def _publish_acceptance(self, ask: chat.Accept, message: Message | None, run_id: str) -> None:
        if message is None:
            return
        accepted = await read_acceptance(self.services.store, message, run_id)
        head, resend = max(self.reorder.last_seq, accepted.seq or 0), run_id not in ask.earlier
        self.followers.replay_acceptance(ask.outbox, accepted, head, resend=resend)

    def _send(self, command: messages.Command) -> None:
        """Send a command to the owning node without waiting for a reply."""
        asked_at = self.bus.broker_time()
        request = messages.RpcRequest("", self.owner, self.thread_id, REPLY_TIMEOUT_S, command, asked_at=asked_at)
        self.bus.send(self.owner_node, request)

    def _request_snapshot(self, context: Context) -> None:
        now = trio.current_time()
        if now >= self.snapshot_asked_at + SNAPSHOT_S:
            self.snapshot_asked_at = now
            self._send(Snapshot())
        else:
            context.set_timer("snapshot", self.snapshot_asked_at + SNAPSHOT_S - now, _TextIncomplete())

    # subscribers

    async def _subscribe(self, ask: chat.FollowThread, context: Context) -> None:
        if ask.after > self.reorder.last_seq or not self.exists:
            try:
                there = await self._read_log_end()
            except StorageError as error:
                ask.fail(error)
                return
            if self.exists and not there:
                self._end(context, deleted=True)  # the ask fails when this actor stops, and its caller retries
                return
        head = self.reorder.last_seq
        if not self.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.followers.subscribe(ask.outbox, head, after=min(ask.after, head), unasked=ask.unasked)
        if ask.after > head:
            event = Envelope(Resync(head), self.services.clock(), thread_id=self.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(event))
        ask.reply(None)

    # stopping

    def _end(self, context: Context, *, deleted: bool = False) -> None:
        """Stop, as the node no longer owns the thread; the subscribers are attached to the new owner.

        `deleted`: to the owner of the next thread of that id, if there is one by now.
        """
        self.ended, followed = True, bool(self.followers)
        if deleted:
            self.services.forget(self.owner, self.thread_id)
            self.followers.unsubscribe_all()
        if followed:
            self.services.on_relocated(self.owner, self.thread_id, context.ref)
        context.stop()


async def _decode(bodies: Sequence[messages.TextPiece | bytes]) -> list[Envelope]:
    """Decode events. Undecodable ones are left out: subscribers read them from the log."""
    try:
        if sum(len(body) for body in bodies if isinstance(body, bytes)) > DECODE_INLINE:
            return await run_off_loop(_decode_all, bodies)
        return _decode_all(bodies)
    except UnreadableEvent:
        log.exception("relay.unreadable")
        return []


def _decode_all(bodies: Sequence[messages.TextPiece | bytes]) -> list[Envelope]:
    return [decode_ephemeral(body) for body in bodies]
