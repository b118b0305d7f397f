"""The outbox of a connection: receives events and sends frames, in order per thread, without gap or repeat.

1. A durable event is either queued as the next of its thread, or read from the log after the cursor: never dropped.
2. The actor never waits for the client, so its mailbox drains however slowly the client reads. It writes what it can
   without waiting; a task writes the rest, reads the log, and ends when everything has been sent.
3. If an event does not fit, its thread is marked *behind* and re-read from the log once the queue has drained; so
   memory is bounded and nothing is lost.
4. Everything that is queued is written at once.
5. After a thread was deleted, the next thread of its id is sent from its first event, unless the client names a cursor.
   An earlier thread's cursor is never used for a later one: subscriptions and pages of the log name their incarnation.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

import trio
from attrs import define, evolve, field, frozen

from actors import Actor, Ask, Context, Lane, MailboxSpec, Overflow
from transport.outbox.delivery import DeliveryCursors, ThreadCursor, Verdict, same_incarnation
from transport.outbox.metrics import ConnectionMetrics
from transport.outbox.send_queue import SendQueue
from transport.wire.codec import WrapFrame
from transport.wire.codes import ERRORS
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected, SocketClosed, new_error_id
from transport.wire.events import Envelope, Error, Event, PartialResult, Priority, Resync
from transport.wire.messages import Acked, CloseWhenDrained, Deliver, Reply, SubscribeThread, UnsubscribeThread
from transport.wire.payloads import ClientCapabilities
from transport.wire.vocabulary import Vocabulary

log: Final = logging.getLogger("transport.outbox.outbox")

_WRITES_AT_ONCE: Final = 4  # per step of the loop: a client that reads as fast as this must not delay other tasks


class Sink(Protocol):
    """Sends payloads to one client; implemented by `transport.server.socket.Socket` and `EventStream`."""

    @property
    def open(self) -> bool:
        """Whether closing has not begun."""

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Send as much as possible without waiting. Return whether everything was sent.

        The rest is sent by the next `write`. Raises SocketClosed if the sink is closed.
        """

    async def write(self, payloads: Sequence[bytes]) -> None:
        """Send payloads after the rest of earlier ones, and return when the kernel or the reader has taken them.

        Raises SocketClosed if the sink is closed, or the client took nothing within its deadline.
        """

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code of `transport.wire.codes.CLOSES`. Idempotent."""


@frozen
class LogPage:
    """A page of a thread's log, in order, and the last seq in the log.

    `incarnation` is that of the thread (`transport.wire.messages.SubscribeThread`). `exists` is False if there is no
    such thread: it was deleted.
    """

    envelopes: Sequence[Envelope]
    last_seq: int
    incarnation: float | None = None
    exists: bool = True


ReadLog: TypeAlias = Callable[[str, int, int], Awaitable[LogPage]]
SnapshotRequester: TypeAlias = Callable[[str], None]


@frozen
class OutboxLimits:
    """Bounds of one outbox.

    At `queue_bytes` or `queue_events` durable events are no longer queued but left to the log, until a quarter is left.
    `write_bytes`: approximate size of a write, which an alert may have to wait for: as much as the kernel holds unsent
    (`TCP_NOTSENT_LOWAT`, which trio sets). A page of the log has up to `page_events`, and is read within `log_s`.
    `defer_s`: seconds after the outbox's start for which threads that were subscribed implicitly are deferred. A client
    that returns sends its cursors in that time, and gets exactly the later events; the other threads then start.
    """

    queue_bytes: int = 256 * 1024
    queue_events: int = 1000
    write_bytes: int = 16 * 1024
    page_events: int = 250
    log_s: float = 10.0
    defer_s: float = 1.0


@frozen
class _ReleaseDeferred:
    """`defer_s` have passed: start the deferred threads."""


@frozen
class OutboxBacklog:
    """The backlog of a client: queued `events` and `bytes`, and `threads` that are to be read from the log."""

    events: int
    bytes: int
    threads: int


@define(eq=False)
class GetBacklog(Ask[OutboxBacklog]):
    """To an outbox: reply with its backlog."""


@define
class DeferredThread:
    """A deferred thread: the seq after which it was subscribed, and the last seq in its log."""

    after: int
    last_seq: int
    incarnation: float | None


class DeferredThreads(dict[str, DeferredThread]):
    """Threads that were subscribed implicitly, by id: none of their events is sent before they are started."""

    __slots__ = ()

    def defer(self, request: SubscribeThread) -> None:
        """Defer a thread. One that is deferred already is started from the earlier of both events."""
        after = request.last_seq if request.after is None else request.after
        pending = self.setdefault(request.thread_id, DeferredThread(after, request.last_seq, request.incarnation))
        pending.after, pending.last_seq = min(pending.after, after), max(pending.last_seq, request.last_seq)
        pending.incarnation = pending.incarnation or request.incarnation


@define(eq=False)
class CatchUp:
    """The threads in which a client is behind. Their logs are read a page at a time, each thread in its turn; when all
    have been read, the running texts of `texts_missing` are requested.

    `threads` has True for each thread that is to be read. While a page of one is read it has False, or True again if
    the client falls behind in it meanwhile.
    """

    cursors: DeliveryCursors
    read_log: ReadLog
    request_snapshot: SnapshotRequester
    limits: OutboxLimits
    texts_missing: frozenset[str] = frozenset()
    threads: dict[str, bool] = field(factory=dict, init=False)

    def read_later(self, thread_id: str, last_seq: int = 0) -> None:
        """Queue a thread for reading its log, which extends at least to `last_seq`, if the client is behind in it."""
        if self.cursors.extend_log(thread_id, last_seq):
            self.threads[thread_id] = True

    def forget(self, thread_id: str) -> bool:
        """Forget a thread that was deleted. Return whether the client was behind in it."""
        return self.threads.pop(thread_id, None) is not None

    def next_thread(self) -> str:
        """Remove and return the thread whose turn it is."""
        thread_id = next(iter(self.threads))
        del self.threads[thread_id]
        return thread_id

    async def read_page(self, thread_id: str, after: int) -> LogPage | None:
        """Read the events after `after`. Return None, and log why, if they cannot be read."""
        self.threads[thread_id] = False
        try:
            with trio.fail_after(self.limits.log_s):
                return await self.read_log(thread_id, after, self.limits.page_events)
        except Exception as error:
            extra: dict[str, object] = {"after": after, "reason": str(error) or type(error).__name__}
            if isinstance(error, OSError | trio.TooSlowError):
                # The storage fails for all connections at once: a traceback of each would block the loop for seconds.
                log.warning("outbox.log_unreadable", extra=extra)
            else:
                log.error("outbox.log_unreadable", exc_info=error, extra=extra)
            return None
        finally:
            if self.threads.get(thread_id) is False:  # not to be read again, and not deleted
                del self.threads[thread_id]


class Outbox(Actor):
    """The sending actor of one client. Receives the messages of `transport.wire.messages` and ClientCapabilities.

    `read_log(thread_id, after, limit)` reads events after `after`. `request_snapshot(thread_id)` asks the thread's
    conversation to deliver its running text again from offset 0. `wrap_frame(envelope, frame)`, if given, converts each
    encoded frame into the bytes to send.
    Stops when the client's sink is closed.
    """

    __slots__ = (
        "_catch_up", "_clock", "_cursors", "_deferred", "_dialect", "_drained", "_encode", "_limits", "_metrics",
        "_overrun", "_queue", "_release_at", "_sink", "_wrap", "_writing",
    )  # fmt: skip

    # The actor never waits, so the mailbox fills only if a producer sends 8192 messages in one step. The oldest is
    # dropped then; the event after it reveals the gap, which is filled from the log.
    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(
        self,
        sink: Sink,
        dialect: Dialect,
        *,
        vocabulary: Vocabulary,
        read_log: ReadLog,
        request_snapshot: SnapshotRequester,
        metrics: ConnectionMetrics | None = None,
        limits: OutboxLimits | None = None,
        clock: Callable[[], float] = time.time,
        wrap_frame: WrapFrame | None = None,
    ) -> None:
        self._sink = sink
        self._dialect = dialect
        self._metrics = metrics or ConnectionMetrics()
        self._limits = limits or OutboxLimits()
        self._clock = clock
        self._cursors = DeliveryCursors()
        self._queue = SendQueue(self._limits.queue_bytes, self._limits.queue_events)
        self._wrap = vocabulary.envelope
        self._encode = vocabulary.encoder_for(dialect, wrap_frame)
        self._catch_up = CatchUp(self._cursors, read_log, request_snapshot, self._limits)
        self._deferred = DeferredThreads()
        self._release_at = trio.current_time() + self._limits.defer_s
        self._overrun = False  # an event that must not be lost had no room
        self._writing = False  # a task is writing
        self._drained: trio.Event | None = None  # set once everything has been sent

    async def receive(self, message: object, context: Context) -> None:
        """Queue events, or change subscriptions and encoding."""
        match message:
            case Deliver() if self._drained is None:  # nearly all messages
                self._deliver(message)
            case Reply() if self._drained is None:
                self._reply(message)
            case SubscribeThread():
                self._subscribe(message, context)
            case UnsubscribeThread(thread_id, incarnation):
                if not _is_another(self._cursors.find(thread_id) or self._deferred.get(thread_id), incarnation):
                    self._unsubscribe(thread_id)
            case _ReleaseDeferred():
                deferred, self._deferred = self._deferred, DeferredThreads()
                for thread_id, pending in deferred.items():
                    self._start_thread(thread_id, pending.after, pending.last_seq, incarnation=pending.incarnation)
            case GetBacklog():
                message.reply(OutboxBacklog(len(self._queue), self._queue.bytes, len(self._catch_up.threads)))
            case Acked(thread_id, seq):
                self._record_ack(thread_id, seq)
            case ClientCapabilities():
                self._queue.capabilities = message
            case CloseWhenDrained() if self._drained is None:
                self._drained = trio.Event()
                context.start_soon(self._close_when_drained, message, self._drained, context, name="finish")
        if self._overrun and self._drained is None:
            context.ref.tell(CloseWhenDrained(1013, "the client does not read", 0.0), lane=Lane.ALERT)
        if self._queue.bytes >= self._limits.write_bytes:
            await self.on_idle(context)

    # Queueing

    def _deliver(self, message: Deliver) -> None:
        envelopes = message.envelopes
        if not envelopes:
            return
        first, last = envelopes[0].seq, envelopes[-1].seq
        thread_id = envelopes[0].thread_id or ""
        durable = first is not None and last == first + len(envelopes) - 1  # all of them, without a gap
        if durable and not (self._queue.durable_full or thread_id in self._deferred):
            skip = self._cursors.offer_range(thread_id, first or 0, last or 0)
            if skip is not None:
                self._queue_durable(message, skip)
                return
        for index, envelope in enumerate(envelopes):
            seq = envelope.seq
            if seq is None or envelope.thread_id is None:
                self._deliver_ephemeral(message, index)
                continue
            thread_id = envelope.thread_id
            if thread_id in self._deferred:  # will be read from the log
                pending = self._deferred[thread_id]
                pending.last_seq = max(pending.last_seq, seq)
            elif self._queue.durable_full:
                self._catch_up.read_later(thread_id, seq)
            elif (verdict := self._cursors.offer(thread_id, seq)) is Verdict.SEND:
                self._queue_event(envelope)
            elif verdict is Verdict.BEHIND:
                self._catch_up.read_later(thread_id)

    def _deliver_ephemeral(self, message: Deliver, index: int) -> None:
        envelope = message.envelopes[index]
        event, thread_id = envelope.event, envelope.thread_id or ""
        if isinstance(event, PartialResult):
            self._deliver_text(envelope, event, thread_id)
        elif event.in_snapshot and (thread_id in self._deferred or thread_id in self._catch_up.texts_missing):
            pass  # the snapshot repeats the event; now it would overtake the events to which it refers
        elif not self._queue.full(event.priority):
            self._queue_event(envelope, message.frames(self._encode)[index])
        elif event.priority is Priority.LOW:
            self._metrics.on_dropped(event.type)
        else:  # an event that must not be lost has no room: close, so that the client reconnects
            self._overrun = True

    def _deliver_text(self, envelope: Envelope, event: PartialResult, thread_id: str) -> None:
        """Queue a text piece, the most frequent event. If the client is behind, drop it or have the text sent again."""
        cursors = self._cursors
        if cursors.find(thread_id) is None or not self._dialect.shows_text:
            return
        if thread_id in self._catch_up.threads:
            self._catch_up.texts_missing |= {thread_id}
        elif self._queue.durable_full:
            self._metrics.on_dropped(event.type)
        else:
            offset, text = event.offset, event.text
            sent = cursors.offer_text(thread_id, _text_id(envelope), offset, text, envelope.text_epoch)
            if sent is None:  # all of it was sent
                return
            if not isinstance(sent, int):  # text before it is missing
                self._catch_up.request_snapshot(thread_id)
                return
            if sent:
                envelope = envelope.replace(event=evolve(event, text=text[sent:], offset=offset + sent))
            self._queue.add_text(envelope)

    def _queue_durable(self, message: Deliver, skip: int = 0, *, live: bool = True) -> None:
        """Queue the events of a message from index `skip` on: all are durable, and the next ones of the thread."""
        envelopes: Sequence[Envelope] = message.envelopes[skip:]
        try:
            frames = message.frames(self._encode)[skip:]
        except TypeError:  # one of the events cannot be encoded
            for envelope in envelopes:
                self._queue_event(envelope, live=live)
            return
        shown = [frame for frame in frames if frame is not None]
        if len(shown) < len(envelopes):
            envelopes = [envelope for envelope, frame in zip(envelopes, frames, strict=True) if frame is not None]
        if shown:
            self._queue.add(shown, envelopes, live=live)
        for envelope in message.envelopes:
            if envelope.event.terminal:
                self._cursors.finish_text(_text_id(envelope))

    def _queue_event(self, envelope: Envelope, frame: bytes | None = None, *, live: bool = True) -> None:
        """Queue an event; `frame` is its encoding, if known."""
        try:
            frame = frame or self._encode(envelope)
        except TypeError:
            # One event that cannot be encoded must not block all later ones.
            log.exception("outbox.unencodable", extra={"event_type": envelope.event.type, "seq": envelope.seq})
            frame = None
        if frame is not None:
            self._queue.add([frame], [envelope], live=live)
        if envelope.seq is not None and envelope.event.terminal:
            self._cursors.finish_text(_text_id(envelope))

    def _queue_notice(self, event: Event, message: str, thread_id: str | None = None) -> None:
        self._queue_event(self._wrap(event, self._clock(), thread_id=thread_id, message=message))

    # Subscriptions

    def _subscribe(self, request: SubscribeThread, context: Context) -> None:
        thread_id, after = request.thread_id, request.after
        if _is_another(self._cursors.find(thread_id) or self._deferred.get(thread_id), request.incarnation):
            self._unsubscribe(thread_id)
        thread = self._cursors.find(thread_id)
        if thread is not None and (request.implicit or after is None):  # it is subscribed: its cursor stays
            thread.incarnation = thread.incarnation or request.incarnation
            self._catch_up.read_later(thread_id, request.last_seq)
            return
        if request.implicit and trio.current_time() < self._release_at:
            if not self._deferred:
                context.set_timer("settle", self._release_at - trio.current_time(), _ReleaseDeferred())
            self._deferred.defer(request)
            return
        pending = self._deferred.pop(thread_id, None)
        if after is None:
            after = request.last_seq if pending is None else pending.after
        head = request.last_seq if pending is None else max(pending.last_seq, request.last_seq)
        stated = request.after is not None and not request.implicit
        self._start_thread(thread_id, after, head, stated=stated, incarnation=request.incarnation)

    def _unsubscribe(self, thread_id: str) -> None:
        """Unsubscribe from a deleted thread. Queued events are sent; an error replaces those not read from the log."""
        self._cursors.delete(thread_id)
        self._deferred.pop(thread_id, None)
        if self._catch_up.forget(thread_id):
            text = "This conversation was deleted."
            self._queue_notice(Error("not_found", text, False, new_error_id()), text, thread_id)

    def _reply(self, reply: Reply) -> None:
        envelope = reply.envelope
        thread_id, seq = envelope.thread_id, envelope.seq
        if reply.last_seq is None or thread_id is None or seq is None:
            self._queue_event(envelope, live=seq is None)
            return
        thread = self._cursors.find(thread_id)
        if thread is not None and self._cursors.covers(thread_id, seq):
            if seq > thread.cursor:  # the event must not overtake those before it
                self._catch_up.read_later(thread_id, max(seq, reply.last_seq))
            elif reply.resend:
                self._queue_event(envelope, live=False)
            return
        pending = self._deferred.pop(thread_id, None)
        head = reply.last_seq if pending is None else max(pending.last_seq, reply.last_seq)
        self._start_thread(thread_id, seq - 1, head)

    def _start_thread(
        self, thread_id: str, after: int, head: int, *, stated: bool = False, incarnation: float | None = None
    ) -> None:
        if not self._cursors.is_deleted(thread_id):
            # Queued events of the thread will be sent again, from the log or as a snapshot.
            self._queue.discard_thread(thread_id)
        elif not stated:
            after = 0
        self._cursors.forget_texts(thread_id)
        try:
            self._cursors.subscribe(thread_id, after, head, stated=stated, incarnation=incarnation)
        except CommandRejected as rejected:
            retryable, error_id = ERRORS[rejected.code].retryable, new_error_id()
            log.warning("command.refused", extra={"code": rejected.code, "error_id": error_id})
            self._queue_notice(Error(rejected.code, rejected.message, retryable, error_id), rejected.message, thread_id)
            return
        self._catch_up.texts_missing |= {thread_id}
        self._catch_up.read_later(thread_id)

    def _record_ack(self, thread_id: str, seq: int) -> None:
        thread = self._cursors.find(thread_id)
        if thread is None:  # a reconnected client may acknowledge before its thread is resumed here
            return
        if seq > thread.last_seq:  # not the cursor: a resume may have moved it back
            text = "That event was not sent to you."
            self._queue_notice(Error("invalid_command", text, False, new_error_id()), text, thread_id)
        else:
            self._metrics.on_acked(max(0, thread.cursor - seq))

    # Sending

    async def on_idle(self, context: Context) -> None:
        """Write the queued events, without waiting; start a task for the rest."""
        if self._writing:
            return
        queue = self._queue
        more, done, writes = bool(queue), True, 0
        try:
            while more and done and writes < _WRITES_AT_ONCE:
                done = self._sink.write_now(self._next_write())
                more = bool(queue)
                writes += 1
        except SocketClosed:
            if self._drained is not None:
                self._drained.set()
            context.stop()
            return
        if more or not done or self._catch_up.threads:
            self._writing = True
            context.start_soon(self._write_rest, context, name="write")
        else:
            self._on_drained()

    def _next_write(self) -> Sequence[bytes]:
        batch = self._queue.next_write(self._limits.write_bytes, self._encode)
        if batch.types:
            self._metrics.on_sent(batch.types, batch.times, self._clock())
        return batch.frames

    async def _write_rest(self, context: Context) -> None:
        try:
            while True:
                await self._sink.write(self._next_write())
                await trio.lowlevel.checkpoint()  # a long queue, or log, must not delay other tasks
                if self._queue:
                    continue
                if self._drained is not None or not self._catch_up.threads:
                    break
                await self._queue_page()
        except SocketClosed:
            context.stop()
        self._writing = False  # in the same step as the last check of the queue
        self._on_drained()

    def _on_drained(self) -> None:
        """Note that everything has been sent. Request the missing running texts, or let a pending close proceed."""
        if self._drained is not None:
            self._drained.set()
        else:
            missing, self._catch_up.texts_missing = self._catch_up.texts_missing, frozenset()
            for thread_id in missing:
                self._catch_up.request_snapshot(thread_id)

    async def _queue_page(self) -> None:
        """Queue a page of the log of the next thread that is behind; the thread's turn comes again if that is not all.
        If the log cannot be read, close with 1013: the client resumes later."""
        cursors, thread_id = self._cursors, self._catch_up.next_thread()
        thread = cursors.find(thread_id)
        if thread is None:
            return
        after = thread.cursor
        page = await self._catch_up.read_page(thread_id, after)
        if page is None:
            await self._sink.close(1013, "try again later")
            raise SocketClosed(1013, "try again later")
        if cursors.find(thread_id) is not thread:  # subscribed again while the page was read
            self._catch_up.read_later(thread_id)
            return
        if not page.exists or _is_another(thread, page.incarnation):
            self._catch_up.read_later(thread_id, thread.cursor + 1)  # so that `_unsubscribe` reports the unread events
            self._unsubscribe(thread_id)
            if page.exists:
                self._start_thread(thread_id, 0, page.last_seq, incarnation=page.incarnation)
            return
        thread.incarnation = thread.incarnation or page.incarnation
        cursors.extend_log(thread_id, page.last_seq)
        fresh = self._take_next(thread_id, page)
        if thread.cursor == after:  # the page lacks the next event: the log was trimmed, or ends before it
            cursors.skip_to(thread_id, max(after, page.last_seq))
            if page.last_seq > after:
                self._queue_notice(Resync(page.last_seq), "Read the history and go on from here.", thread_id)
            return
        self._catch_up.read_later(thread_id)
        # Events since the subscription are delivered late, not replayed: they count with their lag.
        older = [envelope for envelope in fresh if (envelope.seq or 0) <= thread.history_end]
        for part, live in ((older, False), (fresh[len(older) :], True)):
            if part:
                self._queue_durable(Deliver(*part), live=live)

    def _take_next(self, thread_id: str, page: LogPage) -> list[Envelope]:
        """Advance the cursor over the events of a page that are next and fit into the queue. Return those to send."""
        fresh, size = list[Envelope](), 0
        for envelope in page.envelopes:
            if size >= self._limits.queue_bytes:  # the rest is read again when there is room for it
                break
            verdict = self._cursors.offer(thread_id, envelope.seq or 0)
            if verdict is Verdict.SEND:
                fresh.append(envelope)
                with suppress(TypeError):  # an event that cannot be encoded is left out
                    size += len(envelope.frame or self._encode(envelope) or b"")
            elif verdict is not Verdict.DUPLICATE:
                break
        return fresh

    async def _close_when_drained(self, finish: CloseWhenDrained, drained: trio.Event, context: Context) -> None:
        with trio.move_on_after(finish.within_s):
            await drained.wait()
        await self._sink.close(finish.code, finish.reason)
        context.stop()


def _is_another(subscribed: ThreadCursor | DeferredThread | None, incarnation: float | None) -> bool:
    """Return whether the client is subscribed to another incarnation of a thread."""
    return subscribed is not None and not same_incarnation(subscribed.incarnation, incarnation)


def _text_id(envelope: Envelope) -> str:
    """Return the id of the text of which an event is a part. The run's comes first: a message may have several runs."""
    return envelope.run_id or envelope.message_id or envelope.thread_id or ""
