"""The outboxes that are subscribed to a thread. Sending to them never waits."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field

from actors import ActorRef, Context, Lane
from transport.wire.events import Error, Event
from transport.wire.messages import Deliver, Reply, SubscribeThread, UnsubscribeThread
from understudy.chat.envelope import wrap_about_answer
from understudy.chat.placement import Active, RemoteNodes
from understudy.chat.services import Services
from understudy.storage.records import Message
from understudy.wire.events import Envelope, FinalResponse, MessageAccepted

log = logging.getLogger(__name__)


@define
class Subscribers:
    """The subscribers of one thread; its conversation, whose `context` this is, watches each of them.

    `incarnation` tells the thread from others of its id (`transport.wire.messages.SubscribeThread`). It is when the
    thread was created, in Unix seconds; its first message sets it before it is stored.
    """

    owner: str
    thread_id: str
    services: Services
    context: Context = field(init=False, repr=False)
    incarnation: float | None = field(default=None, init=False)
    _outboxes: dict[ActorRef, None] = field(factory=dict, init=False)
    restore: Callable[[Envelope], Envelope] = field(init=False)
    """Return a stored event with its placeholders restored, as it is sent to its user."""

    def __attrs_post_init__(self) -> None:
        self.restore = partial(self.services.content_filter.vault.restore_envelope, self.owner)

    def __contains__(self, outbox: ActorRef | None) -> bool:
        return outbox in self._outboxes

    def __len__(self) -> int:
        return len(self._outboxes)

    def subscribe(self, outbox: ActorRef | None, head: int, *, after: int | None = None, unasked: bool = False) -> None:
        """Subscribe an outbox from its own cursor, or from `after`. `head` is the number of the thread's last event.

        `unasked`: its client has not named the thread (see `transport.wire.messages.SubscribeThread`). Nothing happens
        for None, a client without a connection.
        """
        if outbox is not None:
            self._watch(outbox)
            outbox.try_tell(SubscribeThread(self.thread_id, after, head, unasked, self.incarnation))

    def _watch(self, outbox: ActorRef) -> None:
        if outbox not in self._outboxes:
            self._outboxes[outbox] = None
            self.context.watch(outbox, urgent=True)  # nothing is sent to it once it has stopped, although messages wait

    def subscribe_all(self, head: int, *, after: int | None = None) -> None:
        """Subscribe, unasked, all connections of the user that are not subscribed yet."""
        for outbox in self.services.presence.outboxes(self.owner, self.thread_id):
            if outbox not in self._outboxes:
                self.subscribe(outbox, head, after=after, unasked=True)

    def replay_acceptance(self, outbox: ActorRef | None, accepted: Envelope, head: int, *, resend: bool = True) -> None:
        """Send the stored acceptance of a message that was sent again, and all events after it.

        A connection that was sent these events already gets the acceptance alone, or nothing if it is not `resend`: the
        server repeated the command itself. An acceptance without a number (the log was trimmed) does not say where its
        run began: the connection is then subscribed from `head` on.
        """
        if outbox is None:
            return
        if accepted.seq is None and outbox not in self._outboxes:
            self.subscribe(outbox, head)
        self._watch(outbox)
        outbox.try_tell(Reply(self.restore(accepted), head, resend))

    def catch_up(self, head: int) -> None:
        """Have every subscriber read the events that it misses, up to `head`, from the log."""
        for outbox in self._outboxes:
            outbox.try_tell(SubscribeThread(self.thread_id, None, head, implicit=True, incarnation=self.incarnation))

    def remove(self, ref: ActorRef) -> bool:
        """Remove an outbox that has stopped. Return False if `ref` was not subscribed."""
        if ref not in self._outboxes:
            return False
        del self._outboxes[ref]
        return True

    @property
    def has_remote(self) -> bool:
        """Whether clients of other nodes may follow the thread."""
        nodes = self.services.presence.others
        return nodes is not None and nodes.is_followed(self.owner, self.thread_id)

    def tell_end(self, last_seq: int) -> None:
        """Tell the nodes that follow the thread the number of its last event."""
        if (nodes := self.services.presence.others) is not None:
            nodes.tell_end(self.owner, self.thread_id, self.incarnation, last_seq)

    def unsubscribe_all(self) -> None:
        """Unsubscribe all: the thread is deleted, and a later thread of the same id is another one."""
        for outbox in self._outboxes:
            outbox.try_tell(UnsubscribeThread(self.thread_id, self.incarnation))
        self._outboxes.clear()
        if (nodes := self.services.presence.others) is not None:
            nodes.tell_deleted(self.owner, self.thread_id, self.incarnation)

    def unsubscribe_stale(self) -> None:
        """Unsubscribe connections from a deleted thread of the same id. They may have missed the deletion if another
        node deleted the thread and died, or could not be reached."""
        for outbox in self.services.presence.outboxes(self.owner, self.thread_id):
            outbox.try_tell(UnsubscribeThread(self.thread_id))

    def deliver(self, *envelopes: Envelope, but: ActorRef | None = None) -> None:
        """Send events to every subscriber, here and elsewhere, or to all `but` one."""
        message = Deliver(*envelopes, shared=len(self._outboxes) > 1)
        for outbox in self._outboxes:
            if outbox != but:
                outbox.try_tell(message)
        self._deliver_elsewhere(envelopes)

    def _deliver_elsewhere(self, envelopes: Sequence[Envelope]) -> None:
        if (nodes := self.services.presence.others) is not None:
            nodes.deliver(self.owner, self.thread_id, self.incarnation, envelopes)

    def show(self, envelope: Envelope, outbox: ActorRef | RemoteNodes | None = None) -> None:
        """Send every subscriber, here and elsewhere, or one outbox, an event that is not logged."""
        match outbox:
            case None:
                self.deliver(envelope)
                self.services.metrics.passing(envelope)
            case RemoteNodes():
                self._deliver_elsewhere([envelope])
            case _:
                outbox.try_tell(Deliver(envelope))

    def send_alert(self, envelope: Envelope) -> None:
        """Send an alert to every subscriber and all the user's connections here, ahead of their queued events."""
        self._deliver_elsewhere([envelope])
        message = Deliver(envelope, shared=True)
        for outbox in dict.fromkeys((*self._outboxes, *self.services.presence.outboxes(self.owner, self.thread_id))):
            outbox.try_tell(message, lane=Lane.ALERT)

    def send_about_answer(self, event: Event, answer: Message, sender: ActorRef | None) -> None:
        """Send an event about an answer that is not logged to every subscriber, and to its sender in any case."""
        envelope = wrap_about_answer(answer, event, now=self.services.clock())
        self.deliver(envelope, but=sender)
        if sender is not None:
            sender.try_tell(Reply(envelope))

    def publish(self, envelopes: Sequence[Envelope], head: int, *, arrived_at: float | None = None) -> None:
        """Send committed events to every subscriber.

        With each message, and if there is no subscriber, all the user's connections are subscribed from here on. So a
        connection that was opened while a thread began gets the thread with its next message at the latest. `head` is
        the number of the thread's last event, `arrived_at` is when the message came that they accept.
        """
        if not envelopes:
            return
        accepted = isinstance(envelopes[0].event, MessageAccepted)
        if accepted or not self._outboxes:
            previous_seq = (envelopes[0].seq or 1) - 1
            if (nodes := self.services.presence.others) is not None and (accepted or not self.has_remote):
                nodes.broadcast(Active(self.owner, self.thread_id, previous_seq))
            self.subscribe_all(head, after=previous_seq)
        self.deliver(*(map(self.restore, envelopes) if self.services.content_filter.tokenises else envelopes))
        for envelope in envelopes:
            took_s = self.services.metrics.event(envelope, arrived_at, self.owner, watched=bool(self._outboxes))
            if not isinstance(envelope.event, MessageAccepted | Error | FinalResponse):
                continue
            # The conversation's path identifies the thread: its id is the user's own word.
            extra: dict[str, object] = {
                "user": self.owner,
                "conversation": self.context.path,
                "run_id": envelope.run_id,
            }
            extra["agent_type"] = envelope.agent_type
            if took_s is not None:
                extra["duration_s"] = round(took_s, 3)
            match envelope.event:
                case MessageAccepted():
                    log.info("run.accepted", extra=extra)
                case Error(code=code, error_id=error_id):
                    log.warning("run.failed", extra=extra | {"code": code, "error_id": error_id})
                case FinalResponse(status=status):
                    log.info("run.ended", extra=extra | {"status": status.value})
