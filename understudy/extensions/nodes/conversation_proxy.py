"""The local stand-in for a conversation that another node owns. Commands and subscribers use it like a conversation.

1. A command is forwarded to the owning node, and its reply is passed back; the proxy executes nothing itself.
2. The owning node sends the numbers of new events, with rows if they are short. The proxy delivers these rows; other
   events subscribers read from the log, in order. A lost number is noticed when `proxy_table` checks the logs.
3. Streamed text that was sent before the last known event is dropped: it may be of a run that has ended, which a client
   that subscribed later does not know. A subscriber that notices a gap requests a snapshot.
4. If the node is down or no longer owns the thread, the proxy stops, and pending callers ask again through the
   registry, which finds the new owner.
5. A proxy stands for one incarnation of its thread: when that is deleted, also if a new thread has its id by now, the
   subscribers are notified and the proxy stops. They get the new thread from its first event.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import define, evolve, field

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Terminated
from transport.outbox.delivery import same_incarnation
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import PartialResult, Resync
from transport.wire.messages import Reply
from understudy.chat import messages as chat
from understudy.chat.conversation.conversation import RESYNC
from understudy.chat.conversation.event_log import read_acceptance
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap_about_answer
from understudy.chat.placement import Moved, RemoteNodes
from understudy.chat.services import Services
from understudy.extensions.nodes.bus import MessageBus
from understudy.extensions.nodes.hop import hop
from understudy.extensions.nodes.messages import Advanced, Passing, ThreadGone
from understudy.extensions.nodes.proxy_table import LogChecked, OwnerDown, ProxyTable
from understudy.observe.spans import SpanKind, Traces, span_of
from understudy.storage import queries
from understudy.storage.errors import StorageError
from understudy.wire.events import Envelope, FeedbackGiven, MessageAccepted
from understudy.wire.vocabulary import from_log

log = logging.getLogger(__name__)

REPLY_TIMEOUT_S: Final = 9.0
"""Timeout of a forwarded command; shorter than the timeout of its local caller."""
LATE_S: Final = 0.5
"""Seconds that the wakeup of a stored event may take to arrive, while this node hears the others."""
REPLIES_S: Final = 0.02
"""Interval at which a proxy of a deleted thread checks whether all its commands were answered."""
SNAPSHOT_S: Final = 0.5
"""Minimum interval between requests for a snapshot: many subscribers may need one at the same time."""


class _StopIfIdle:
    """Stop if there are no subscribers and no pending commands."""


@define(eq=False)
class ConversationProxy(Actor):
    """Stands for one thread of one user, owned by `owner_node`. Started by `understudy.chat.registry`.

    `after` and `since` select the events for the user's connections, as in `understudy.chat.placement.MakeProxy`.
    """

    mailbox = MailboxSpec(capacity=4096)

    services: Services
    bus: MessageBus
    proxies: ProxyTable
    owner: str
    thread_id: str
    owner_node: str
    after: int | None = None
    since: float = math.inf
    followers: Subscribers = field(init=False)
    last_seq: int = field(default=0, init=False)
    """Number of the last event that subscribers were sent, or were told to read from the log."""
    exists: bool = field(default=False, init=False)
    waiting: int = field(default=0, init=False)
    """Commands without a reply yet."""
    snapshot_asked_at: float = field(default=-SNAPSHOT_S, init=False)

    def __attrs_post_init__(self) -> None:
        self.followers = Subscribers(self.owner, self.thread_id, self.services)

    async def on_start(self, context: Context) -> None:
        """Follow the thread at the owning node, read the end of the log, and subscribe the user's connections."""
        self.followers.context = context
        self.proxies.add((self.owner, self.thread_id), context.ref, self.owner_node)
        self._request_snapshot(context)
        await self._read_log_end()
        if self.exists and self.after is not None:
            self.followers.subscribe_all(self.last_seq, after=min(self.after, self.last_seq))
        elif self.exists:
            await self._subscribe_by_age()
        context.set_timer("idle", self.services.settings.idle_s, _StopIfIdle())

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Leave the table of proxies; the owning node forgets by itself that the thread was followed here."""
        self.proxies.remove((self.owner, self.thread_id), context.ref)

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message of `understudy.chat.messages` or `understudy.extensions.nodes.messages`."""
        match message:
            case Advanced(incarnation=incarnation) if not self._is_this(incarnation):
                self._end(context, deleted=True)
            case Advanced(last=last):
                await self._read_to(last, message.after(self.last_seq), message.incarnation)
            case Passing(head=head):
                await self._read_to(head)  # the wakeup with this number may have been lost
                self._show(message)
            case ThreadGone(incarnation=incarnation) if not self._is_this(incarnation):
                pass
            case ThreadGone() if self.waiting:  # replies come by the inbox, which is slower than wakeups
                context.set_timer("deleted", REPLIES_S, message)
            case ThreadGone():
                self._end(context, deleted=True)
            case LogChecked():
                self._compare(message, context)
            case OwnerDown():
                self._end(context)
            case chat.OwnershipLost():  # this node has a new id, which follows nothing yet
                self.proxies.check()
            case chat.FollowThread():
                await self._subscribe(message, context)
            case chat.RequestSnapshot():
                self._request_snapshot(context)
            case chat.WaitIdle():
                message.reply(None)
            case Ask():  # any request to a conversation, by the chat or by an extension
                self.waiting += 1
                context.start_soon(self._forward, message, context, name="forward")
            case Terminated(ref):
                self.followers.remove(ref)
            case _StopIfIdle() if self.followers or self.waiting:
                context.set_timer("idle", self.services.settings.idle_s, _StopIfIdle())
            case _StopIfIdle():
                context.stop()

    # events

    async def _read_to(self, head: int, rows: Sequence[bytes] = (), incarnation: float | None = None) -> None:
        """Deliver the events up to number `head`: these rows, or if none are given or readable, those of the log."""
        if envelopes := _decode(rows):
            self.followers.incarnation = self.followers.incarnation or incarnation
            self._advance(head, envelopes)
        elif head > self.last_seq:
            try:  # if the log cannot be read, subscribers are not sent to it, as they would give up
                await self._read_log_end(subscribe_all=True)
            except StorageError:
                self.proxies.check(snapshots=False)

    def _advance(self, head: int, envelopes: Sequence[Envelope] = (), *, subscribe_all: bool = False) -> None:
        """Deliver the events up to number `head`; if they are not given, subscribers read them from the log.
        `subscribe_all`: subscribe the user's other connections here too, as a message may have been accepted."""
        known, self.exists = self.last_seq, True
        if head <= known:
            return
        self.last_seq = head
        if subscribe_all or any(isinstance(envelope.event, MessageAccepted) for envelope in envelopes):
            self.followers.subscribe_all(head, after=known)
        if envelopes:
            self.followers.deliver(*map(self.followers.restore, envelopes))
        else:
            self.followers.catch_up(head)

    def _show(self, passing: Passing) -> None:
        """Deliver an ephemeral event, unless it is streamed text that was sent before the last known event."""
        for envelope in _decode([bytes(passing.body)]):
            if passing.head == self.last_seq or not isinstance(envelope.event, PartialResult):
                self.followers.deliver(self.followers.restore(envelope.replace(text_epoch=passing.epoch)))

    async def _read_log_end(self, *, subscribe_all: bool = False) -> bool:
        """Read the number of the thread's last event. Return whether this incarnation of the thread exists."""
        thread = await self.services.store.thread(self.owner, self.thread_id)
        if thread is None or not self._is_this(thread.created_at):
            return False
        self.followers.incarnation = thread.created_at
        self._advance(thread.last_seq, subscribe_all=subscribe_all)
        return True

    def _is_this(self, incarnation: float | None) -> bool:
        """Return False if `incarnation` is known to be another than that of this proxy's thread."""
        return same_incarnation(self.followers.incarnation, incarnation)

    def _compare(self, checked: LogChecked, context: Context) -> None:
        """Catch up with the log in the database, or stop if the thread was deleted or has another owner."""
        end = checked.end
        if self.bus.hears and not checked.late and (end is None or end.last_seq > self.last_seq):
            context.set_timer("checked", LATE_S, evolve(checked, late=True))  # a wakeup may be on its way
        elif end is None or not self._is_this(end.created_at):
            if self.exists:
                self._end(context, deleted=True)
        elif end.node != self.owner_node:
            self._end(context)
        else:
            self.followers.incarnation = end.created_at
            self._advance(end.last_seq, subscribe_all=True)

    # commands

    async def _forward(self, ask: Ask[Any], context: Context) -> None:
        """Forward a command to the owning node, and pass on its reply."""
        run_id, to = getattr(ask, "run_id", None), (self.owner_node, self.owner, self.thread_id)
        parent, traces = None if run_id is None else span_of(run_id), self.services.parts.find(Traces)
        try:
            with hop(traces, parent, SpanKind.CLIENT, type(ask).__name__, self.owner_node) as header:
                answer = await self.bus.ask(*to, ask, timeout_s=REPLY_TIMEOUT_S, traceparent=header)
                await self._publish_outcome(ask, answer)
        except Moved:
            context.ref.tell(OwnerDown(ask))
        except (CommandRejected, chat.MessageInOtherThread, StorageError) as refused:
            ask.fail(refused)
        else:
            ask.reply(answer)
        finally:
            self.waiting -= 1

    async def _publish_outcome(self, ask: Ask[Any], answer: object) -> None:
        """Publish to the asking connection the events that the owning node would send to a connection of its own."""
        match ask:
            case chat.Accept(outbox=outbox) if outbox is not None:
                if answer == ask.run_id and outbox in self.followers:
                    return  # it is accepted for the first time, and the subscription delivers the acceptance
                message = await self.services.store.message(self.owner, ask.order.say.message_id or "")
                if message is not None:
                    accepted = await read_acceptance(self.services.store, message, str(answer))
                    self._replay(outbox, accepted, resend=str(answer) not in ask.earlier)
            case chat.RateAnswer(outbox=outbox) if outbox is not None and outbox not in self.followers:
                event = FeedbackGiven(ask.answer.id, ask.rating)
                outbox.try_tell(Reply(wrap_about_answer(ask.answer, event, now=self.services.clock())))
            case _ if (outbox := getattr(ask, "outbox", None)) is not None and (
                not answer or outbox not in self.followers
            ):
                for part in self.services.conversations.parts:
                    if (read := part.acceptances.get(type(ask))) is not None:
                        acceptance = await read(self.services.store, self.owner, self.thread_id, ask)
                        if acceptance is not None:
                            self._replay(outbox, acceptance)

    def _replay(self, outbox: ActorRef, accepted: Envelope, *, resend: bool = True) -> None:
        head = max(self.last_seq, accepted.seq or 0)
        self.followers.replay_acceptance(outbox, accepted, head, resend=resend)

    def _request_snapshot(self, context: Context) -> None:
        pause_s = self.snapshot_asked_at + SNAPSHOT_S - trio.current_time()
        if pause_s > 0:
            context.set_timer("snapshot", pause_s, chat.RequestSnapshot(RemoteNodes()))
            return
        self.snapshot_asked_at = trio.current_time()
        self.bus.follow(self.owner_node, self.owner, self.thread_id, snapshot=True)

    # subscribers

    async def _subscribe_by_age(self) -> None:
        """Subscribe each of the user's connections from the first run that it may lack. Runs that began before a
        connection was opened are not sent to it: its client would take the end of such a run for the end of its own."""
        head = self.last_seq
        for outbox, opened_at in self.services.presence.opened(self.owner, self.thread_id).items():
            first_runs = await self.services.store.read(queries.begun_since, self.owner, max(self.since, opened_at))
            after = first_runs.get(self.thread_id)
            self.followers.subscribe(outbox, head, after=None if after is None else min(after, head), unasked=True)

    async def _subscribe(self, ask: chat.FollowThread, context: Context) -> None:
        if ask.after > self.last_seq or not self.exists:
            try:
                exists = await self._read_log_end()
            except StorageError as error:
                ask.fail(error)
                return
            if self.exists and not exists:
                self._end(context, deleted=True)  # the ask fails when this actor stops, and its caller retries
                return
        head = self.last_seq
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
        """Stop, as the node no longer owns the thread; the subscribers are attached to the new owner. `deleted`: the
        thread was deleted, and the new owner is that of a new thread of its id, if there is one by now."""
        followed = bool(self.followers)
        if deleted:
            self.services.forget(self.owner, self.thread_id)
            self.followers.unsubscribe_all()
        if followed:
            self.services.on_relocated(self.owner, self.thread_id, context.ref)
        context.stop()


def _decode(rows: Sequence[bytes]) -> list[Envelope]:
    """Decode events; return none if any is unreadable: subscribers then read the log, and report the fault."""
    try:
        return [from_log(row) for row in rows]
    except UnreadableEvent:
        log.exception("relay.unreadable")
        return []
