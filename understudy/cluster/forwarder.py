"""The courier actor: follows a conversation for another node, and sends it what happens, as an outbox does a client.

1. To the conversation it is one more follower: nobody waits for it, and it is never asked.
2. What its mailbox holds goes out together. What finds no room on the way is not sent: the other node sees by the
   numbers that something lacks, and the log has it.
3. It lives as long as the other node says now and then that it wants more, and no longer than the conversation.
"""

from typing import Final

from attrs import define

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Normal, Overflow, Restarted, Terminated
from transport.outbox.delivery import merge_text
from transport.outbox.outbox import Deliver, Reply, SubscribeThread, UnsubscribeThread
from transport.wire.codec import to_log
from transport.wire.events import Envelope
from understudy.cluster.bus import MessageBus
from understudy.cluster.codec import encode_ephemeral
from understudy.cluster.messages import Ephemeral, Events, ForwardingEnded

LEASE_S: Final = 30.0
"""How long a node may say nothing before it is taken not to want more: it says so every ten seconds."""


@define(eq=False)
class RenewLease(Ask[int]):
    """To a courier: its node wants more. The answer is the number of the last event that the courier has seen."""


class StopForwarding:
    """To a courier: its node wants no more, or has not said so for long, or the courier follows nothing."""


class EventForwarder(Actor):
    """Follows `conversation`, of the thread of this name, for `node`. `head` is the last event that it saw."""

    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(self, thread: str, node: str, conversation: ActorRef, post: MessageBus) -> None:
        self.thread = thread
        self.node = node
        self.conversation = conversation
        self.bus = post
        self.last_seq = 0
        self.buffered: list[Envelope] = []

    async def on_start(self, context: Context) -> None:
        """Live and die with the conversation."""
        context.watch(self.conversation, restarts=True)
        self._renew_lease(context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """One that was killed says that it sends no more: else the other node would notice when it asks again."""
        if not isinstance(reason, Normal):
            self.bus.send(self.node, ForwardingEnded(self.thread))

    async def receive(self, message: object, context: Context) -> None:
        """Take what an outbox takes."""
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
            case Terminated() | Restarted():  # one that begins anew knows none of its followers
                self._finish(context)
            case StopForwarding():
                context.stop()
            case Reply():
                pass  # for one connection, and whoever stands for those of the other node sees to it there
            case _:
                context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Send what has come in."""
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
                if numbered and envelope.seq != (numbered[-1].seq or 0) + 1:  # the mailbox was too full for some
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
        """The thread is gone, or its conversation is: say so after all that happened in it."""
        self._flush()
        self.bus.send(self.node, ForwardingEnded(self.thread, deleted))
        context.stop()
