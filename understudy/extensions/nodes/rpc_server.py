"""Executes requests of other nodes about threads that this node owns, and forwards events to subscribed nodes.

1. A command is executed as if a local client had sent it, except for events to the client's connection: the asking node
   sends those.
2. Nothing is passed on: if another node owns the thread, the request fails with Moved, and the asking node looks it up.
3. Concurrent requests are bounded; requests beyond are refused, and their callers may retry.
4. A forwarder subscribes to a conversation on behalf of another node. To the conversation it is one more subscriber,
   which is never waited for.
5. The contents of a forwarder's mailbox are sent as one batch. Events beyond a queue limit are dropped: the other node
   sees the gap in the numbers and reads the log.
6. A forwarder lives as long as the other node renews the lease, and no longer than the conversation.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

import trio
from attrs import define, field, frozen

from actors import (
    Actor,
    ActorError,
    ActorRef,
    Ask,
    ChildSpec,
    Context,
    Exit,
    MailboxSpec,
    Normal,
    Overflow,
    Restart,
    Restarted,
    StartChild,
    Terminated,
)
from transport.outbox.delivery import merge_text, same_incarnation
from transport.wire.errors import CommandRejected
from transport.wire.messages import Deliver, Reply, SubscribeThread, UnsubscribeThread
from understudy.chat import messages as chat
from understudy.chat.placement import Moved, actor_name
from understudy.chat.registry import ConversationRegistry
from understudy.extensions.nodes import messages
from understudy.extensions.nodes.bus import MessageBus, Value
from understudy.extensions.nodes.codec import encode_ephemeral, fault_from_error
from understudy.extensions.nodes.hop import Hop
from understudy.extensions.nodes.messages import (
    Ephemeral,
    Events,
    ForwardingEnded,
    RpcFault,
    RpcReply,
    RpcRequest,
    message_from_command,
)
from understudy.observe.logs import new_error_id
from understudy.observe.traces import Traces
from understudy.storage.errors import StorageError
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import to_log

log = logging.getLogger(__name__)

CONCURRENT_REQUESTS: Final = 1000
"""Limit of concurrent requests; more are refused as unavailable."""
LEASE_S: Final = 30.0
"""The forwarder stops if its lease is not renewed for this long; proxies renew it every 10 s."""


@define(eq=False)
class RenewLease(Ask[int]):
    """To a forwarder: renew the lease. The answer is the number of the last event it forwarded.

    Fails with Moved if the thread is known to be another one than `incarnation` (`transport.wire.messages`).
    """

    incarnation: float | None = None


class StopForwarding:
    """To a forwarder: stop. The node unsubscribed, the lease expired, or subscribing failed."""


class EventForwarder(Actor):
    """Forwards the events of `conversation` to `node`. `last_seq` is the last event that it forwarded."""

    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(self, thread: str, node: str, conversation: ActorRef, bus: MessageBus) -> None:
        self.thread = thread
        self.node = node
        self.conversation = conversation
        self.bus = bus
        self.last_seq = 0
        self.incarnation: float | None = None
        self.buffered: list[Envelope] = []

    async def on_start(self, context: Context) -> None:
        """Watch the conversation and start the lease."""
        context.watch(self.conversation, restarts=True)
        context.set_timer("patience", LEASE_S, StopForwarding())

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """If killed or crashed, tell the node that forwarding ended; else it would notice only at the next renewal."""
        if not isinstance(reason, Normal):
            self.bus.send(self.node, ForwardingEnded(self.thread, incarnation=self.incarnation))

    async def receive(self, message: object, context: Context) -> None:
        """Serve the messages that an outbox gets from a conversation."""
        match message:
            case Deliver():
                self.buffered += cast("Sequence[Envelope]", message.envelopes)
            case SubscribeThread(last_seq=head, incarnation=incarnation):
                self.last_seq, self.incarnation = max(self.last_seq, head), incarnation
            case RenewLease(incarnation=wanted) if not same_incarnation(wanted, self.incarnation):
                message.fail(Moved("the thread was deleted, and there is another one of that id"))
            case RenewLease():
                self._flush()
                context.set_timer("patience", LEASE_S, StopForwarding())
                message.reply(self.last_seq)
            case UnsubscribeThread():
                self._finish(context, deleted=True)
            case Terminated() | Restarted():  # a restarted conversation has lost its subscribers
                self._finish(context)
            case StopForwarding():
                context.stop()
            case Reply():
                pass  # for one connection; the other node's proxy creates these
            case _:
                context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Send the buffered events."""
        self._flush()

    def _flush(self) -> None:
        envelopes, self.buffered = self.buffered, []
        numbered: list[Envelope] = []
        ephemeral: list[Envelope] = []
        for envelope in envelopes:
            if envelope.seq is None:
                self._send_numbered(numbered)
                numbered = []
                ephemeral.append(envelope)
            else:
                self._send_ephemeral(ephemeral)
                ephemeral = []
                if numbered and envelope.seq != (numbered[-1].seq or 0) + 1:  # the mailbox overflowed
                    self._send_numbered(numbered)
                    numbered = []
                numbered.append(envelope)
        self._send_numbered(numbered)
        self._send_ephemeral(ephemeral)

    def _send_numbered(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            first, last = envelopes[0].seq or 0, envelopes[-1].seq or 0
            bodies = [to_log(each) for each in envelopes]
            self.bus.send(self.node, Events(self.thread, first, bodies, self.incarnation))
            self.last_seq = max(self.last_seq, last)

    def _send_ephemeral(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            self.bus.send_ephemeral(
                self.node,
                Ephemeral(self.thread, self.last_seq, [encode_ephemeral(each) for each in merge_text(envelopes)]),
            )

    def _finish(self, context: Context, *, deleted: bool = False) -> None:
        """Send the buffered events, then tell the node that forwarding ended, and stop."""
        self._flush()
        self.bus.send(self.node, ForwardingEnded(self.thread, deleted, self.incarnation))
        context.stop()


@frozen
class _Forwarding:
    """A forwarder, and the conversation it subscribed to."""

    forwarder: ActorRef
    conversation: ActorRef


@define(eq=False)
class RpcServer:
    """Handles the requests of other nodes. `supervisor` returns the ref of the supervisor of the forwarders.

    `traces` returns what collects spans, None if nothing is traced.
    """

    threads: ConversationRegistry
    bus: MessageBus
    supervisor: Callable[[], ActorRef]
    traces: Callable[[], Traces | None] = lambda: None
    _at_work: int = field(default=0, init=False)
    _forwarders: dict[tuple[str, str], dict[str, _Forwarding]] = field(factory=dict, init=False)
    """By user and thread id, then by node."""
    _sweep_at: int = field(default=64, init=False)

    def forwards(self, owner: str, thread_id: str) -> bool:
        """Return whether a thread's events are forwarded to another node."""
        return any(sent.forwarder.alive for sent in self._forwarders.get((owner, thread_id), {}).values())

    async def handle(self, sender: str, request: RpcRequest) -> None:
        """Execute a request of another node and send the reply."""
        if self._at_work >= CONCURRENT_REQUESTS:
            self._reply(sender, RpcReply(request.id, fault=RpcFault("unavailable", "too much is asked")))
            return
        self._at_work += 1
        hop, error_type = Hop.from_header(self.traces(), request.traceparent, time.time()), "timeout"
        try:
            with trio.move_on_after(request.within_s):
                try:
                    answer, error_type = RpcReply(request.id, await self._execute(sender, request)), ""
                except (CommandRejected, chat.MessageInOtherThread, Moved, StorageError) as error:
                    answer, error_type = RpcReply(request.id, fault=fault_from_error(error)), type(error).__name__
                except (ActorError, trio.WouldBlock, trio.TooSlowError) as error:
                    extra = {"command": type(request.command).__name__, "reason": str(error)}
                    log.warning("rpc.failed", extra=extra)
                    answer, error_type = RpcReply(request.id, fault=fault_from_error(error)), type(error).__name__
                except Exception as error:  # else its entry would be read again and again
                    extra = {"command": type(request.command).__name__, "error_id": new_error_id()}
                    log.exception("rpc.crashed", extra=extra)
                    answer, error_type = RpcReply(request.id, fault=fault_from_error(error)), type(error).__name__
                self._reply(sender, answer)
        finally:
            self._at_work -= 1
            if hop is not None:
                hop.end("execute", type(request.command).__name__, sender, time.time(), error=error_type)

    def _reply(self, sender: str, answer: RpcReply) -> None:
        if answer.id:  # no id: no reply is wanted
            self.bus.send(sender, answer)

    async def _execute(self, sender: str, request: RpcRequest) -> Value:
        owner, thread_id, within_s = request.owner, request.thread_id, request.within_s
        sent = self._forwarders.get((owner, thread_id), {}).get(sender)
        match request.command:
            case messages.Unsubscribe():
                if sent is not None:
                    sent.forwarder.try_tell(StopForwarding())
                return None
            case messages.Snapshot():
                if sent is not None:
                    sent.conversation.try_tell(chat.RequestSnapshot(sent.forwarder))
                return None
            case messages.Subscribe(incarnation=incarnation):
                conversation = await self.threads.get_local(owner, thread_id)
                forwarder = await self._get_or_start_forwarder(owner, thread_id, sender, conversation)
                return await forwarder.ask(RenewLease(incarnation), timeout_s=within_s)
            case command:
                message = message_from_command(command, self.threads.parts)
                conversation = await self.threads.get_local(owner, thread_id)
                if not isinstance(message, Ask):
                    conversation.try_tell(message)
                    return None
                outcome: Value = await conversation.ask(message, timeout_s=within_s)
                return outcome

    async def _get_or_start_forwarder(self, owner: str, thread_id: str, node: str, conversation: ActorRef) -> ActorRef:
        """Return the forwarder of a conversation's events to a node; start one if there is none."""
        sent = self._forwarders.get((owner, thread_id), {}).get(node)
        if sent is not None and sent.forwarder.alive and sent.conversation == conversation:
            return sent.forwarder
        make = partial(EventForwarder, actor_name(owner, thread_id), node, conversation, self.bus)
        spec = ChildSpec(uuid.uuid4().hex, make, restart=Restart.TEMPORARY)
        forwarder = await self.supervisor().ask(StartChild(spec))
        self._sweep()
        by_node = self._forwarders.setdefault((owner, thread_id), {})
        by_node[node] = _Forwarding(forwarder, conversation)
        try:
            await conversation.ask(chat.FollowThread(forwarder, 0))
        except BaseException:  # or cancelled: it may not be subscribed, so the next request starts another
            by_node.pop(node, None)
            forwarder.try_tell(StopForwarding())
            raise
        return forwarder

    def _sweep(self) -> None:
        """Remove stopped forwarders from the table each time it has doubled."""
        if len(self._forwarders) >= self._sweep_at:
            self._forwarders = {key: sent for key, sent in self._forwarders.items() if self.forwards(*key)}
            self._sweep_at = 2 * len(self._forwarders) + 64
