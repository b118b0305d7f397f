"""The actor that subscribes to a conversation on behalf of another node and forwards the events to it.

1. To the conversation it is one more subscriber, which is never waited for.
2. The contents of its mailbox are sent as one batch. Events beyond a queue limit are dropped: the other node sees the
   gap in the numbers and reads the log.
3. It lives as long as the other node renews the lease, and no longer than the conversation.
"""

from typing import Final

from attrs import define

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Normal, Overflow, Restarted, Terminated
from transport.outbox.delivery import merge_text
from transport.wire.codec import to_log
from transport.wire.events import Envelope
from transport.wire.messages import Deliver, Reply, SubscribeThread, UnsubscribeThread
from understudy.cluster.bus import MessageBus
from understudy.cluster.codec import encode_ephemeral
from understudy.cluster.messages import Ephemeral, Events, ForwardingEnded

LEASE_S: Final = 30.0
"""The forwarder stops if its lease is not renewed for this long; proxies renew it every 10 s."""


@define(eq=False)
class RenewLease(Ask[int]):
    """To a forwarder: renew the lease. The answer is the number of the last event it forwarded."""


class StopForwarding:
    """To a forwarder: stop. The node unsubscribed, the lease expired, or subscribing failed."""


class EventForwarder(Actor):
    """Forwards the events of `conversation` to `node`. `last_seq` is the last event that it forwarded."""

    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(self, thread: str, node: str, conversation: ActorRef, post: MessageBus) -> None:
        self.thread = thread
        self.node = node
        self.conversation = conversation
        self.bus = post
        self.last_seq = 0
        self.buffered: list[Envelope] = []

    async def on_start(self, context: Context) -> None:
        """Watch the conversation and start the lease."""
        context.watch(self.conversation, restarts=True)
        self._renew_lease(context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """If killed or crashed, tell the node that forwarding ended; else it would notice only at the next renewal."""
        if not isinstance(reason, Normal):
            self.bus.send(self.node, ForwardingEnded(self.thread))

    async def receive(self, message: object, context: Context) -> None:
        """Serve the messages that an outbox gets from a conversation."""
        match message:
            case Deliver():
                self.buffered += message.envelopes
            case SubscribeThread(last_seq=head):
                self.last_seq = max(self.last_seq, head)
            case RenewLease():
                self._flush()
                self._renew_lease(context)
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
        bag, self.buffered = self.buffered, []
        numbered: list[Envelope] = []
        passing: list[Envelope] = []
        for envelope in bag:
            if envelope.seq is None:
                self._send_numbered(numbered)
                numbered = []
                passing.append(envelope)
            else:
                self._send_ephemeral(passing)
                passing = []
                if numbered and envelope.seq != (numbered[-1].seq or 0) + 1:  # the mailbox overflowed
                    self._send_numbered(numbered)
                    numbered = []
                numbered.append(envelope)
        self._send_numbered(numbered)
        self._send_ephemeral(passing)

    def _send_numbered(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            first, last = envelopes[0].seq or 0, envelopes[-1].seq or 0
            self.bus.send(self.node, Events(self.thread, first, [to_log(each) for each in envelopes]))
            self.last_seq = max(self.last_seq, last)

    def _send_ephemeral(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            self.bus.send_ephemeral(
                self.node,
                Ephemeral(self.thread, self.last_seq, [encode_ephemeral(each) for each in merge_text(envelopes)]),
            )

    def _renew_lease(self, context: Context) -> None:
        context.set_timer("patience", LEASE_S, StopForwarding())

    def _finish(self, context: Context, *, deleted: bool = False) -> None:
        """Send the buffered events, then tell the node that forwarding ended, and stop."""
        self._flush()
        self.bus.send(self.node, ForwardingEnded(self.thread, deleted))
        context.stop()
