"""The outboxes that are sent a thread's events. None of them is ever waited for."""

from attrs import define, field

from actors import ActorRef, Context
from transport.events import Envelope
from transport.outbox import Deliver, Follow, Unfollow
from understudy.chat.offer import offer


@define
class Followers:
    """The followers of one thread; each is watched by the actor whose `context` is given, and told of here."""

    thread_id: str
    _outboxes: dict[ActorRef, None] = field(factory=dict, init=False)

    def __contains__(self, outbox: ActorRef) -> bool:
        return outbox in self._outboxes

    def __len__(self) -> int:
        return len(self._outboxes)

    def add(
        self, outbox: ActorRef, head: int, context: Context, *, after: int | None = None, unasked: bool = False
    ) -> None:
        """Let an outbox follow: from where it stands, or from `after`. `head` is the number of the thread's last event.

        `unasked`: its client has not spoken of the thread (see `transport.outbox.Follow`).
        """
        if outbox not in self._outboxes:
            self._outboxes[outbox] = None
            context.watch(outbox)
        offer(outbox, Follow(self.thread_id, after, head, unasked))

    def remove(self, ref: ActorRef) -> bool:
        """Forget one that has ended; False when `ref` was none of them."""
        if ref not in self._outboxes:
            return False
        del self._outboxes[ref]
        return True

    def dismiss(self) -> None:
        """Tell all that there is no more of this thread: one that begins later under its name is another."""
        for outbox in self._outboxes:
            offer(outbox, Unfollow(self.thread_id))
        self._outboxes.clear()

    def deliver(self, envelope: Envelope, *, but: ActorRef | None = None) -> None:
        """Hand an event to every follower, or to all `but` one."""
        for outbox in self._outboxes:
            if outbox != but:
                offer(outbox, Deliver(envelope))
