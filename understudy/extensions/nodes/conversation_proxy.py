"""The local stand-in for a conversation that another node owns.

Commands and subscribers use a proxy like a conversation.

1. A command is forwarded to the owning node, and its reply is passed back; the proxy executes nothing itself.
2. The proxy is told the numbers of events, and passes on the rows that come with them; subscribers read others from
   the log, each in order. What is not told is seen when the logs of all proxies are checked (`proxy_table`).
3. Streamed text that was sent before the last known event is dropped: it may be of a run that has ended, which a client
   that came after the end does not know. Each subscriber sees the gap, if it has one, and requests a snapshot.
4. If the node is down or no longer owns the thread, the proxy stops, and pending callers ask again through the
   registry, which finds the new owner.
5. A proxy stands for one incarnation of its thread: when that was deleted, also if there is another thread of its id by
   now, its subscribers are notified and the proxy stops. They get the next thread of the id from its first event.
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
"""Seconds that events of the log may take to be told, while this node hears the others."""
REPLIES_S: Final = 0.02
"""Interval at which a proxy that is to end looks whether all its commands were answered."""
SNAPSHOT_S: Final = 0.5
"""Minimum interval between requests for a snapshot: many subscribers miss the same one."""


class _StopIfIdle:
    """Stop if there are no subscribers and no pending commands."""


@define(eq=False)
class ConversationProxy(Actor):
    """Stands for one thread of one user, owned by `owner_node`. Started by `understudy.chat.registry`.

    `after` and `since` say which events the user's connections here get, as in `understudy.chat.placement.MakeProxy`.
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
    """The last event that subscribers were sent, or sent to the log for."""
    exists: bool = field(default=False, init=False)
    waiting: int = field(default=0, init=False)
    """Commands without a reply yet."""
    snapshot_asked_at: float = field(default=-SNAPSHOT_S, init=False)

    def __attrs_post_init__(self) -> None:
        self.followers = Subscribers(self.owner, self.thread_id, self.services)

    async def on_start(self, context: Context) -> None:
        """Have the owning node tell of the thread, find the end of the log, and subscribe the user's connections."""
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
        """Leave the table; the owning node forgets by itself that the thread was followed here."""
        self.proxies.remove((self.owner, self.thread_id), context.ref)

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message of `understudy.chat.messages` or `understudy.extensions.nodes.messages`."""
        match message:
            case Advanced(incarnation=incarnation) if not self._is_this(incarnation):
                self._end(context, deleted=True)
            case Advanced(last=last):
                await self._read_to(last, message.after(self.last_seq), message.incarnation)
            case Passing(head=head):
                await self._read_to(head)  # if its number was lost
                self._show(message)
            case ThreadGone(incarnation=incarnation) if not self._is_this(incarnation):
                pass
            case ThreadGone() if self.waiting:  # replies come by the inbox, which takes longer
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
            case Ask():  # what a conversation is asked, by the chat or by an extension
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
        """Have subscribers get the events up to number `head`: these rows, or if there are none those of the log."""
        if envelopes := _decode(rows):
            self.followers.incarnation = self.followers.incarnation or incarnation
            self._advance(head, envelopes)
        elif head > self.last_seq:
            try:  # subscribers could not read the log either, and would give up
                await self._read_log_end(subscribe_all=True)
            except StorageError:
                self.proxies.check(snapshots=False)

    def _advance(self, head: int, envelopes: Sequence[Envelope] = (), *, subscribe_all: bool = False) -> None:
        """Deliver the events up to number `head`; if they are not given, subscribers read them from the log.

        `subscribe_all`: the user's other connections here are subscribed too, as a message may have been accepted.
        """
        known, self.exists = self.last_seq, True
        if head <= known:
            return
        self.last_seq = head
        if subscribe_all or any(isinstance(each.event, MessageAccepted) for each in envelopes):
            self.followers.subscribe_all(head, after=known)
        if envelopes:
            self.followers.deliver(*map(self.followers.restore, envelopes))
        else:
            self.followers.catch_up(head)

    def _show(self, passing: Passing) -> None:
        """Pass on an ephemeral event, unless it is text that is out of date."""
        for envelope in _decode([bytes(passing.body)]):
            if passing.head == self.last_seq or not isinstance(envelope.event, PartialResult):
                self.followers.deliver(self.followers.restore(envelope.replace(text_epoch=passing.epoch)))

    async def _read_log_end(self, *, subscribe_all: bool = False) -> bool:
        """Read the last event number of the thread. Return whether the thread, and not a later one, exists."""
        thread = await self.services.store.thread(self.owner, self.thread_id)
        if thread is None or not self._is_this(thread.created_at):
            return False
        self.followers.incarnation = thread.created_at
        self._advance(thread.last_seq, subscribe_all=subscribe_all)
        return True

    def _is_this(self, incarnation: float | None) -> bool:
        """Return False if an incarnation is known to be another one than that of this proxy's thread."""
        return same_incarnation(self.followers.incarnation, incarnation)

    def _compare(self, checked: LogChecked, context: Context) -> None:
        """Compare what is known here with the log in the database."""
        end = checked.end
        if self.bus.hears and not checked.late and (end is None or end.last_seq > self.last_seq):
            context.set_timer("checked", LATE_S, evolve(checked, late=True))  # it may be on its way
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
                    return  # it was not accepted before, and its acceptance comes by the subscription
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
                        found = await read(self.services.store, self.owner, self.thread_id, ask)
                        if found is not None:
                            self._replay(outbox, found)

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
        """Subscribe each of the user's connections from the first run that it may lack. What began before a connection
        was opened is not for it: its client would take the end of that run for the end of its own."""
        head = self.last_seq
        for outbox, opened_at in self.services.presence.opened(self.owner, self.thread_id).items():
            begun = await self.services.store.read(queries.begun_since, self.owner, max(self.since, opened_at))
            after = begun.get(self.thread_id)
            self.followers.subscribe(outbox, head, after=None if after is None else min(after, head), unasked=True)

    async def _subscribe(self, ask: chat.FollowThread, context: Context) -> None:
        if ask.after > self.last_seq or not self.exists:
            try:
                there = await self._read_log_end()
            except StorageError as error:
                ask.fail(error)
                return
            if self.exists and not there:
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
        """Stop, as the node no longer owns the thread; the subscribers are attached to the new owner.

        `deleted`: to the owner of the next thread of that id, if there is one by now.
        """
        followed = bool(self.followers)
        if deleted:
            self.services.forget(self.owner, self.thread_id)
            self.followers.unsubscribe_all()
        if followed:
            self.services.on_relocated(self.owner, self.thread_id, context.ref)
        context.stop()


def _decode(rows: Sequence[bytes]) -> list[Envelope]:
    """Decode events; none if one cannot be: subscribers read them from the log, and see what is wrong."""
    try:
        return [from_log(row) for row in rows]
    except UnreadableEvent:
        log.exception("relay.unreadable")
        return []
