"""The outboxes that are sent a thread's events. None of them is ever waited for."""

import logging
from collections.abc import Sequence

from attrs import define, field

from actors import ActorRef, Context, Lane
from transport.outbox.outbox import Deliver, Reply, SubscribeThread, UnsubscribeThread
from transport.wire.events import TERMINAL, Envelope, Error, Event, FinalResponse, MessageAccepted
from understudy.chat.envelope import wrap_about_answer
from understudy.chat.services import Services
from understudy.storage.rows import Message

log = logging.getLogger(__name__)


@define
class Subscribers:
    """The followers of one thread; each is watched by the actor whose `context` is given, and told of here."""

    owner: str
    thread_id: str
    services: Services
    _outboxes: dict[ActorRef, None] = field(factory=dict, init=False)

    def __contains__(self, outbox: ActorRef | None) -> bool:
        return outbox in self._outboxes

    def __len__(self) -> int:
        return len(self._outboxes)

    def subscribe(
        self, outbox: ActorRef | None, head: int, context: Context, *, after: int | None = None, unasked: bool = False
    ) -> None:
        """Let an outbox follow: from where it stands, or from `after`. `head` is the number of the thread's last event.

        `unasked`: its client has not spoken of the thread (see `transport.outbox.outbox.Follow`). None, the outbox of a
        client without a connection, does not follow.
        """
        if outbox is not None:
            self._watch(outbox, context)
            outbox.try_tell(SubscribeThread(self.thread_id, after, head, unasked))

    def _watch(self, outbox: ActorRef, context: Context) -> None:
        if outbox not in self._outboxes:
            self._outboxes[outbox] = None
            context.watch(outbox, urgent=True)  # nothing more is sent to it, however much waits to be

    def subscribe_all(self, head: int, context: Context, *, after: int | None = None) -> None:
        """Let all connections of the user follow, unasked."""
        for outbox in self.services.outboxes(self.owner, self.thread_id):
            self.subscribe(outbox, head, context, after=after, unasked=True)

    def subscribe_others(self, head: int, context: Context, *, after: int) -> None:
        """Subscribe the user's connections that do not follow yet, unasked, to what comes after the event `after`."""
        for outbox in self.services.outboxes(self.owner, self.thread_id):
            if outbox not in self._outboxes:
                self.subscribe(outbox, head, context, after=after, unasked=True)

    def replay_acceptance(self, outbox: ActorRef | None, accepted: Envelope, head: int, context: Context) -> None:
        """Send the stored acceptance of a message that was sent again, and all that came after it.

        A connection that was sent these events already gets the acceptance alone. An acceptance without a number (the
        log was trimmed) says nothing about where its run began: the connection then follows from `head` on.
        """
        if outbox is None:
            return
        if accepted.seq is None and outbox not in self._outboxes:
            self.subscribe(outbox, head, context)
        self._watch(outbox, context)
        outbox.try_tell(Reply(self.restore(accepted), head))

    def catch_up(self, head: int) -> None:
        """Have every follower read what it lacks of the log, which reaches to `head`."""
        for outbox in self._outboxes:
            outbox.try_tell(SubscribeThread(self.thread_id, None, head, implicit=True))

    def remove(self, ref: ActorRef) -> bool:
        """Forget one that has ended; False when `ref` was none of them."""
        if ref not in self._outboxes:
            return False
        del self._outboxes[ref]
        return True

    def has_remote(self) -> bool:
        """Whether another server's clients follow: what forwards to them ends with the conversation."""
        return not self._outboxes.keys() <= set(self.services.outboxes(self.owner, self.thread_id))

    def unsubscribe_all(self) -> None:
        """Tell all that there is no more of this thread: one that begins later under its name is another."""
        for outbox in self._outboxes:
            outbox.try_tell(UnsubscribeThread(self.thread_id))
        self._outboxes.clear()

    def unsubscribe_stale(self) -> None:
        """There is no such thread yet: whoever still follows one of its name that was deleted ceases to.

        They may not have been told, where another server deleted it and died, or could not be heard.
        """
        for outbox in self.services.outboxes(self.owner, self.thread_id):
            outbox.try_tell(UnsubscribeThread(self.thread_id))

    def deliver(self, *envelopes: Envelope, but: ActorRef | None = None) -> None:
        """Hand events to every follower, or to all `but` one."""
        message = Deliver(*envelopes, shared=len(self._outboxes) > 1)
        for outbox in self._outboxes:
            if outbox != but:
                outbox.try_tell(message)

    def send_alert(self, envelope: Envelope) -> None:
        """Send an alert to every subscriber and all the user's connections here, ahead of their queued events."""
        message = Deliver(envelope, shared=True)
        for outbox in dict.fromkeys((*self._outboxes, *self.services.outboxes(self.owner, self.thread_id))):
            outbox.try_tell(message, lane=Lane.ALERT)

    def restore(self, envelope: Envelope) -> Envelope:
        """A stored event as its user is shown it."""
        return self.services.content_filter.vault.restore_envelope(self.owner, envelope)

    def send_about_answer(self, event: Event, answer: Message, sender: ActorRef | None) -> None:
        """Send an event about an answer that is not logged, to every follower, and to its sender in any case."""
        told = wrap_about_answer(answer, event, now=self.services.clock())
        self.deliver(told, but=sender)
        if sender is not None:
            sender.try_tell(Reply(told))

    def publish(
        self, envelopes: Sequence[Envelope], head: int, context: Context, *, arrived_at: float | None = None
    ) -> None:
        """Send committed events to every follower.

        With each message, and if there is no follower, all the user's connections follow from here on. So a connection
        that came while a thread began, and could not know of it, hears of the thread at its next message at the
        latest. `head` is the number of the thread's last event, `arrived_at` when the message came that they accept.
        """
        if not envelopes:
            return
        if not self._outboxes or isinstance(envelopes[0].event, MessageAccepted):
            before = (envelopes[0].seq or 1) - 1
            self.services.announce(self.owner, self.thread_id, before)
            self.subscribe_others(head, context, after=before)
        self.deliver(*map(self.restore, envelopes))
        for envelope in envelopes:
            self.services.metrics.event(envelope, arrived_at)
            if isinstance(envelope.event, (MessageAccepted, *TERMINAL)):
                _log_run(envelope, context.ref.path)


def _log_run(envelope: Envelope, conversation: str) -> None:
    # By the conversation's path: the thread's id is the user's own word.
    extra = {"conversation": conversation, "run_id": envelope.run_id, "agent_type": envelope.agent_type}
    match envelope.event:
        case MessageAccepted():
            log.info("run.accepted", extra=extra)
        case Error(code=code, error_id=error_id):
            log.warning("run.failed", extra=extra | {"code": code, "error_id": error_id})
        case FinalResponse(status=status):
            log.info("run.ended", extra=extra | {"status": status.value})
