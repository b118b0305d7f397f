"""The relay actor: stands here for a conversation that another node has. To commands and followers it is one.

1. What is asked of it is asked of that node, and answered as that node answers; it begins nothing itself.
2. Followers get the thread's events in order. What is lost on the way is seen by its number, and read from the log by
   each follower; while there is no way, the log is looked at every second.
3. Where the node is gone or has the thread no more, the relay ends, and those who wait for an answer ask again: the
   desk finds out where. Where there is no such thread any more, its followers are told so, whoever deleted it.
"""

import logging
import random
from collections.abc import Sequence
from typing import Any, Final

import trio
from attrs import evolve

from actors import Actor, ActorRef, Ask, Context, Exit, MailboxSpec, Terminated
from transport.outbox.outbox import Reply
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import Envelope, FeedbackGiven, FinalResponse, Resync
from understudy.chat import messages as chat
from understudy.chat.conversation.conversation import RESYNC
from understudy.chat.conversation.event_log import EventLog
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.envelope import wrap_about_answer
from understudy.chat.placement import Moved, actor_name
from understudy.chat.services import Services
from understudy.cluster import messages
from understudy.cluster.bus import MessageBus
from understudy.cluster.codec import decode_ephemeral, html_length
from understudy.cluster.messages import Ephemeral, Events, ForwardingEnded, Snapshot, Subscribe, Unsubscribe
from understudy.cluster.proxies import CheckLog, OwnerDown, ProxyTable
from understudy.cluster.reorder import ReorderBuffer
from understudy.content.texts import run_off_loop
from understudy.storage.errors import RedisUnavailable, StorageError
from understudy.storage.rows import Message

log = logging.getLogger(__name__)

REPLY_TIMEOUT_S: Final = 9.0
"""How long the other node may take: within the time that whoever asked here waits."""
SUBSCRIBE_TIMEOUT_S: Final = 2.0
RENEW_S: Final = 10.0
"""How often the other node is told that events are still wanted; it forgets a node that says nothing for longer."""
POLL_S: Final = 1.0
"""How often the log is looked at while events do not come by themselves."""
HOLD_S: Final = 0.5
"""How long a passing event waits for those before it."""
SNAPSHOT_S: Final = 0.5
"""After how long a snapshot that did not come may be asked for again: many followers lack the same one."""


INLINE_CHARS: Final = 1_500
"""Characters of HTML that are cleaned at once, which takes a millisecond; more go to a worker thread."""


class _StopIfIdle:
    """Nothing has happened for a while."""


class _TextIncomplete:
    """A running text is not whole here, as far as is known."""


class _ReleaseHeld:
    """Passing events have waited long enough."""


class ConversationProxy(Actor):
    """Stands for one thread of one user, which the node `holder` has. Begun by `understudy.chat.registry`.

    `after`: something happened after that event of the thread, and the user's connections here are to be told of it.
    """

    mailbox = MailboxSpec(capacity=4096)

    def __init__(
        self,
        owner: str,
        thread_id: str,
        holder: str,
        services: Services,
        post: MessageBus,
        relays: ProxyTable,
        after: int | None = None,
    ) -> None:
        self.owner = owner
        self.thread_id = thread_id
        self.name = actor_name(owner, thread_id)
        self.owner_node = holder
        self.services = services
        self.bus = post
        self.proxies = relays
        self.after = after
        self.followers = Subscribers(owner, thread_id, services)
        self.reorder = ReorderBuffer(0)
        self.exists = False
        self.check_now = trio.Event()
        self.waiting = 0
        self.snapshot_asked_at = -SNAPSHOT_S
        self.ended = False

    async def on_start(self, context: Context) -> None:
        """Find the end of the log, let the user's connections follow, and have events sent here."""
        self.proxies.add(self.name, context.ref, self.owner_node)
        await self._read_log_end()
        if self.exists:
            after = None if self.after is None else min(self.after, self.reorder.last_seq)
            self.followers.subscribe_all(self.reorder.last_seq, context, after=after)
        context.start_soon(self._stay_subscribed, context, name="attend")
        context.set_timer("idle", self.services.idle_s, _StopIfIdle())

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Have no more sent here."""
        self.proxies.remove(self.name, context.ref)
        if not self.ended:
            self.bus.send(self.owner_node, messages.RpcRequest("", self.owner, self.thread_id, 0.0, Unsubscribe()))

    async def receive(self, message: object, context: Context) -> None:
        """Serve one message; `understudy.chat.messages` and `understudy.cluster.messages` say what each means."""
        match message:
            case Events():
                await self._accept_events(message)
            case Ephemeral(head=after, bodies=bodies):
                self._deliver(self.reorder.add_ephemeral(after, await _decode(bodies)))
                if self.reorder:
                    context.set_timer("release", HOLD_S, _ReleaseHeld())
            case ForwardingEnded(deleted=deleted):
                self._end(context, deleted=deleted)
            case OwnerDown():
                self._end(context)
            case (
                CheckLog() | chat.OwnershipLost()
            ):  # the latter: this node has another name now, to which nothing comes yet
                self.check_now.set()
            case chat.FollowThread():
                await self._subscribe(message, context)
            case (
                chat.Accept()
                | chat.AnswerAgain()
                | chat.RateAnswer()
                | chat.CancelRun()
                | chat.Delete()
                | chat.Decide()
            ):
                self.waiting += 1
                context.start_soon(self._forward, message, context, name="pass_on")
            case chat.EnsureRunning(run_id):
                self.bus.send(
                    self.owner_node,
                    messages.RpcRequest("", self.owner, self.thread_id, REPLY_TIMEOUT_S, messages.Wake(run_id)),
                )
            case chat.RequestSnapshot():
                self._request_snapshot(context)
            case chat.WaitIdle():
                message.reply(None)
            case Terminated(ref):
                self.followers.remove(ref)
            case _TextIncomplete():
                self._request_snapshot(context)
            case _ReleaseHeld():
                self._deliver(self.reorder.release())
                self.check_now.set()
            case _StopIfIdle():
                self._stop_if_idle(context)

    # events

    async def _accept_events(self, events: Events) -> None:
        self.exists = True
        envelopes = await _decode(events.bodies)
        shown = [self.followers.restore(each).event for each in envelopes]
        answers = [each.message for each in shown if isinstance(each, FinalResponse)]
        await self.services.html.prefetch(answers, self.owner)
        self._deliver(self.reorder.add_numbered(events.first, envelopes))

    def _deliver(self, envelopes: Sequence[Envelope]) -> None:
        """Show events to all followers: those with numbers together, which is the short way through an outbox."""
        together: list[Envelope] = []
        for envelope in map(self.followers.restore, envelopes):
            if together and (envelope.seq is None) != (together[-1].seq is None):
                self.followers.deliver(*together)
                together = []
            together.append(envelope)
        if together:
            self.followers.deliver(*together)

    def _advance(self, head: int) -> None:
        """The log reaches so far: whoever lacks something reads it there."""
        if self.reorder.advance(head):
            self.exists = True
            self.followers.catch_up(head)
            self._deliver(self.reorder.release())

    async def _read_log_end(self) -> bool:
        """Find out where the log ends; whether there is one."""
        heads = await self.services.store.last_seqs(self.owner, [self.thread_id])
        if (head := heads.get(self.thread_id)) is not None:
            self.exists = True
            self._advance(head)
        return head is not None

    async def _stay_subscribed(self, context: Context) -> None:
        """Have events sent here, and look for what was lost: now and then, and whenever something says so."""
        attended = False
        while True:
            self.check_now = trio.Event()
            try:
                head = await self.bus.ask(
                    self.owner_node, self.owner, self.thread_id, Subscribe(), timeout_s=SUBSCRIBE_TIMEOUT_S
                )
                wait_s = RENEW_S
            except Moved:
                context.ref.tell(OwnerDown())
                return
            except CommandRejected:  # that node knows of no such thread: it was deleted, or came by a third one
                if await self._poll_store(context):
                    context.ref.tell(OwnerDown())
                return
            except (RedisUnavailable, StorageError):
                attended = False
                wait_s = POLL_S * (0.75 + random.random() / 2)  # noqa: S311 - so that not all look at once
                if not await self._poll_store(context):
                    return
            else:
                if isinstance(head, int):
                    self._advance(head)
                if not attended:
                    context.ref.tell(_TextIncomplete())  # what was shown before was not sent here
                attended = True
            with trio.move_on_after(wait_s):
                await self.check_now.wait()
                await trio.sleep(random.random() * HOLD_S / 5)  # noqa: S311

    async def _poll_store(self, context: Context) -> bool:
        """Look at the log, as the node does not answer; False when that node does not have the thread any more."""
        try:
            if not await self._read_log_end() and self.exists:  # nobody could say so
                context.ref.tell(ForwardingEnded(self.name, deleted=True))
                return False
            holder = await self.services.store.owner_node(self.owner, self.thread_id)
        except StorageError:
            return True
        if holder != self.owner_node:
            context.ref.tell(OwnerDown())
            return False
        return True

    # commands

    async def _forward(self, ask: Ask[Any], context: Context) -> None:
        """Have the thread's node do what is asked."""
        try:
            answer = await self.bus.ask(
                self.owner_node, self.owner, self.thread_id, _to_command(ask), timeout_s=REPLY_TIMEOUT_S
            )
            await self._publish_outcome(ask, answer, context)
        except Moved:
            context.ref.tell(OwnerDown())  # the request ends with this actor, and whoever asked asks again
        except (CommandRejected, chat.MessageInOtherThread, StorageError) as error:
            ask.fail(error)
        else:
            ask.reply(answer)
        finally:
            self.waiting -= 1

    async def _publish_outcome(self, ask: Ask[Any], answer: object, context: Context) -> None:
        """What the node would have shown to the connection that asked, if that were one of its own."""
        match ask:
            case chat.Accept(outbox=outbox) if outbox is not None:
                if answer != ask.run_id or outbox not in self.followers:  # sent before, or not shown by following
                    message = await self.services.store.message(self.owner, ask.message_id)
                    await self._publish_acceptance(outbox, message, str(answer), context)
            case chat.AnswerAgain(outbox=outbox) if outbox is not None:
                if answer != ask.run_id or outbox not in self.followers:  # sent before, or not shown by following
                    await self._publish_acceptance(outbox, ask.message, str(answer), context)
            case chat.RateAnswer(outbox=outbox) if outbox is not None and outbox not in self.followers:
                told = FeedbackGiven(ask.answer.id, ask.rating)
                outbox.try_tell(Reply(wrap_about_answer(ask.answer, told, now=self.services.clock())))

    async def _publish_acceptance(
        self, outbox: ActorRef, message: Message | None, run_id: str, context: Context
    ) -> None:
        if message is None:
            return
        services = self.services
        log_of_thread = EventLog(self.owner, self.thread_id, services.store, services.html, services.clock)
        accepted = await log_of_thread.acceptance(message, run_id)
        self.followers.replay_acceptance(outbox, accepted, max(self.reorder.last_seq, accepted.seq or 0), context)

    def _request_snapshot(self, context: Context) -> None:
        now = trio.current_time()
        if now >= self.snapshot_asked_at + SNAPSHOT_S:
            self.snapshot_asked_at = now
            request = messages.RpcRequest("", self.owner, self.thread_id, REPLY_TIMEOUT_S, Snapshot())
            self.bus.send(self.owner_node, request)
        else:
            context.set_timer("snapshot", self.snapshot_asked_at + SNAPSHOT_S - now, _TextIncomplete())

    # followers

    async def _subscribe(self, ask: chat.FollowThread, context: Context) -> None:
        if ask.after > self.reorder.last_seq or not self.exists:
            try:
                await self._read_log_end()
            except StorageError as error:
                ask.fail(error)
                return
        head = self.reorder.last_seq
        if not self.exists:
            ask.fail(CommandRejected("not_found", "There is no conversation of that name."))
            return
        self.followers.subscribe(ask.outbox, head, context, after=min(ask.after, head))
        if ask.after > head:
            told = Envelope(Resync(head), self.services.clock(), thread_id=self.thread_id, message=RESYNC)
            ask.outbox.try_tell(Reply(told))
        ask.reply(None)

    # the end

    def _end(self, context: Context, *, deleted: bool = False) -> None:
        """The node has the thread no more: end, and have its followers find out who has."""
        self.ended = True
        if deleted:
            self.services.forget(self.owner, self.thread_id)
            self.followers.unsubscribe_all()
        elif self.followers:
            self.services.on_relocated(self.owner, self.thread_id, context.ref)
        context.stop()

    def _stop_if_idle(self, context: Context) -> None:
        if self.followers or self.waiting:
            context.set_timer("idle", self.services.idle_s, _StopIfIdle())
        else:
            context.stop()


async def _decode(bodies: Sequence[messages.TextPiece | bytes]) -> list[Envelope]:
    """The events, with their HTML cleaned; what cannot be read is left to the log, which says so."""
    try:
        if sum(map(html_length, bodies)) > INLINE_CHARS:
            return await run_off_loop(_decode_all, bodies)
        return _decode_all(bodies)
    except UnreadableEvent:
        log.exception("relay.unreadable")
        return []


def _decode_all(bodies: Sequence[messages.TextPiece | bytes]) -> list[Envelope]:
    return [decode_ephemeral(body) for body in bodies]


def _to_command(ask: Ask[Any]) -> messages.Command:
    """What is asked, as another node is told it: connections are not its business."""
    match ask:
        case chat.Accept(say, clean, route, run_id, message_id, _, branch_of, raw, roles, beside):
            say = evolve(say, session_token=None)
            return messages.Accept(say, clean, route, run_id, message_id, branch_of, raw, roles, beside)
        case chat.AnswerAgain(message, route, run_id, request_id, _, roles):
            return messages.AnswerAgain(message, route, run_id, request_id, roles)
        case chat.RateAnswer(answer, rating, note, _):
            return messages.Rate(answer, rating, note)
        case chat.CancelRun(run_id):
            return messages.CancelRun(run_id)
        case chat.Decide(call_id, decision, note):
            return messages.Decide(call_id, decision, note)
        case chat.Delete(unless_since):
            return messages.Delete(unless_since)
    raise TypeError(type(ask).__name__)
