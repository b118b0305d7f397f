"""The courier actor: follows a conversation for another node, and sends it what happens, as an outbox does a client.

1. To the conversation it is one more follower: nobody waits for it, and it is never asked.
2. What its mailbox holds goes out together. What finds no room on the way is not sent: the other node sees by the
   numbers that something lacks, and the log has it.
3. It lives as long as the other node says now and then that it wants more, and no longer than the conversation.
"""

from typing import Final

from attrs import define

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Normal, Overflow, Restarted, Terminated
from transport.outbox.delivery import merged
from transport.outbox.outbox import Deliver, Follow, Reply, Unfollow
from transport.wire.codec import to_log
from transport.wire.events import Envelope
from understudy.cluster.bus import Post
from understudy.cluster.codec import body_of
from understudy.cluster.messages import Ended, Events, Passing

PATIENCE_S: Final = 30.0
"""How long a node may say nothing before it is taken not to want more: it says so every ten seconds."""


@define(eq=False)
class Wanted(Ask[int]):
    """To a courier: its node wants more. The answer is the number of the last event that the courier has seen."""


class Unwanted:
    """To a courier: its node wants no more, or has not said so for long, or the courier follows nothing."""


class Courier(Actor):
    """Follows `conversation`, of the thread of this name, for `node`. `head` is the last event that it saw."""

    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(self, thread: str, node: str, conversation: ActorRef, post: Post) -> None:
        self.thread = thread
        self.node = node
        self.conversation = conversation
        self.post = post
        self.head = 0
        self.bag: list[Envelope] = []

    async def on_start(self, context: Context) -> None:
        """Live and die with the conversation."""
        context.watch(self.conversation, restarts=True)
        self._hope(context)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """One that was killed says that it sends no more: else the other node would notice when it asks again."""
        if not isinstance(reason, Normal):
            self.post.send(self.node, Ended(self.thread))

    async def receive(self, message: object, context: Context) -> None:
        """Take what an outbox takes."""
        match message:
            case Deliver():
                self.bag += message.envelopes
            case Follow(head=head):
                self.head = max(self.head, head)
            case Wanted():
                self._send()
                self._hope(context)
                message.reply(self.head)
            case Unfollow():
                self._go(context, deleted=True)
            case Terminated() | Restarted():  # one that begins anew knows none of its followers
                self._go(context)
            case Unwanted():
                context.stop()
            case Reply():
                pass  # for one connection, and whoever stands for those of the other node sees to it there
            case _:
                context.unhandled(message)

    async def on_idle(self, context: Context) -> None:
        """Send what has come in."""
        self._send()

    def _send(self) -> None:
        bag, self.bag = self.bag, []
        numbered: list[Envelope] = []
        passing: list[Envelope] = []
        for envelope in bag:
            if envelope.seq is None:
                self._send_numbered(numbered)
                numbered = []
                passing.append(envelope)
            else:
                self._show(passing)
                passing = []
                if numbered and envelope.seq != (numbered[-1].seq or 0) + 1:  # the mailbox was too full for some
                    self._send_numbered(numbered)
                    numbered = []
                numbered.append(envelope)
        self._send_numbered(numbered)
        self._show(passing)

    def _send_numbered(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            first, last = envelopes[0].seq or 0, envelopes[-1].seq or 0
            self.post.send(self.node, Events(self.thread, first, [to_log(each) for each in envelopes]))
            self.head = max(self.head, last)

    def _show(self, envelopes: list[Envelope]) -> None:
        if envelopes:
            self.post.show(self.node, Passing(self.thread, self.head, [body_of(each) for each in merged(envelopes)]))

    def _hope(self, context: Context) -> None:
        context.set_timer("patience", PATIENCE_S, Unwanted())

    def _go(self, context: Context, *, deleted: bool = False) -> None:
        """The thread is gone, or its conversation is: say so after all that happened in it."""
        self._send()
        self.post.send(self.node, Ended(self.thread, deleted))
        context.stop()
