"""The outbox of a connection: events in, frames out, each thread's in order, without gap or repeat.

1. What has a `seq` is either queued as the next of its thread, or read from the log after the cursor: never dropped.
2. The actor itself never waits for the client, so its mailbox drains however slowly that reads. It writes what can be
   written without waiting; for the rest it has a task, which reads the log too and ends when everything is out.
3. What does not fit into the queue leaves its thread *behind*, to be read when the queue is empty.
4. Everything that waits is written at once.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import trio
from attrs import define, evolve, frozen

from actors import Actor, Context, Lane, MailboxSpec, Overflow
from transport.outbox.catch_up import Backlog, LogPage, LogUnreadable, ReadLog
from transport.outbox.delivery import Piece, Session, Verdict
from transport.outbox.metrics import Observer, Unobserved
from transport.outbox.send_queue import Pending
from transport.outbox.sink import Sink
from transport.outbox.writer import Outlet
from transport.wire.codes import ERRORS
from transport.wire.dialects import Dialect
from transport.wire.encoder import Dress, Encode, Encoder, dressed
from transport.wire.errors import CommandRejected, SocketClosed, new_error_id
from transport.wire.events import TERMINAL, Envelope, Error, Event, PartialResult, Priority, Resync
from transport.wire.messages import Deliver, Finish, Follow, Rendered, Reply, Unfollow
from transport.wire.payloads import Speak

__all__ = [
    "Deliver", "Finish", "Follow", "LogPage", "Outbox", "OutboxLimits", "ReadLog", "Rendered", "Reply", "Speak",
    "Unfollow", "WantSnapshot",
]  # fmt: skip

log: Final = logging.getLogger("transport.outbox.outbox")

WantSnapshot: TypeAlias = Callable[[str], None]


@frozen
class OutboxLimits:
    """Bounds of one outbox. `write_bytes`: about how much goes into one write; `log_s`: the deadline of a page.

    From `queue_bytes` or `queue_events` on, events are not queued but left to the log, until a quarter is left.

    `settle_s`: how long after its start threads that were joined unasked are held back. A client that comes back says
    soon where it stands, and then gets exactly what follows; one that does not gets what was held back, so much later.
    """

    queue_bytes: int = 256 * 1024
    queue_events: int = 1000
    write_bytes: int = 64 * 1024
    page_events: int = 250
    log_s: float = 10.0
    settle_s: float = 1.0


@frozen
class _Settled:
    """The time is over in which a client would have said where it stands."""


@define
class _Held:
    """A thread that is not told yet: where it was joined, and how far its log reaches."""

    after: int
    head: int


class Outbox(Actor):
    """The transport actor of one client. Takes Deliver, Reply, Follow, Unfollow, Rendered, Speak and Finish.

    `read_log(thread_id, after, limit, html)` reads events after `after`; `html`: answers are to be shown as HTML, which
    should be at hand then. `want_snapshot(thread_id)` asks whoever runs the
    thread to deliver the text of its running answer again, from offset 0. `dress(envelope, frame)`, if given, makes
    what is sent of each frame of the encoder's. Ends when the client's sink is closed.
    """

    __slots__ = (
        "_backlog", "_clock", "_dialect", "_dress", "_encoder", "_finishing", "_held", "_limits", "_observer",
        "_outlet", "_overrun", "_pending", "_session", "_settles_at", "_shape", "_sink", "_snapshots", "_want_snapshot",
        "_writing",
    )  # fmt: skip

    # The actor never waits, so this fills only when one step of a producer sends so many. What is pushed out then is
    # the oldest: the event after it finds the hole, and the log fills it.
    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(
        self,
        sink: Sink,
        dialect: Dialect,
        *,
        encoder: Encoder,
        read_log: ReadLog,
        want_snapshot: WantSnapshot,
        observer: Observer | None = None,
        limits: OutboxLimits | None = None,
        clock: Callable[[], float] = time.time,
        dress: Dress | None = None,
    ) -> None:
        self._sink = sink
        self._dialect = dialect
        self._encoder = encoder
        self._dress = dress
        self._want_snapshot = want_snapshot
        self._observer = observer or Unobserved()
        self._limits = limits or OutboxLimits()
        self._clock = clock
        self._session = Session()
        self._pending = Pending(self._limits.queue_bytes, self._limits.queue_events)
        self._shape = self._shaped(html=False)
        self._outlet = Outlet(sink, self._pending, self._shape, self._observer, self._limits.write_bytes, clock)
        self._backlog = Backlog(self._session, read_log, self._limits.page_events, self._limits.log_s)
        self._held: dict[str, _Held] = {}
        self._snapshots: set[str] | None = None  # threads that lack running text, asked for when it fits
        self._settles_at = trio.current_time() + self._limits.settle_s
        self._overrun = False
        self._writing = False  # a task does what has to wait
        self._finishing: trio.Event | None = None  # set when everything is out

    def _shaped(self, *, html: bool) -> Encode:
        return dressed(self._encoder.shape(self._dialect, html=html), self._dress)

    async def receive(self, message: object, context: Context) -> None:
        """Queue an event, or change what is followed and how."""
        match message:
            case Deliver() if self._finishing is None:  # nearly all are
                self._deliver(message)
            case Reply() if self._finishing is None:
                self._reply(message)
            case Follow():
                self._follow(message, context)
            case Unfollow(thread_id):
                self._session.unfollow(thread_id)
                self._held.pop(thread_id, None)
                self._pending.forget(thread_id)
                self._backlog.forget(thread_id)
            case _Settled():
                self._settle()
            case Rendered(thread_id, seq):
                self._rendered(thread_id, seq)
            case Speak():
                self._shape = self._shaped(html=message.html)
                self._outlet.speak, self._outlet.shape = message, self._shape
            case Finish() if self._finishing is None:
                self._finishing = trio.Event()
                context.start_soon(self._finish, message, self._finishing, context, name="finish")
        if self._overrun and self._finishing is None:
            context.ref.tell(Finish(1013, "the client does not read", 0.0), lane=Lane.ALERT)
        if self._pending.bytes >= self._limits.write_bytes and not self._writing:
            self._push(context)

    async def on_idle(self, context: Context) -> None:
        """Write what has come in."""
        if not self._writing:
            self._push(context)

    # Into the queue

    def _deliver(self, message: Deliver) -> None:
        envelopes = message.envelopes
        if not envelopes:
            return
        first, last = envelopes[0].seq, envelopes[-1].seq
        thread_id = envelopes[0].thread_id or ""
        if (
            first is not None
            and last == first + len(envelopes) - 1
            and not (self._pending.story_full or thread_id in self._held)
            and (skip := self._session.offer_run(thread_id, first, last)) is not None
        ):
            self._queue_story(thread_id, message, skip)
            return
        for index, envelope in enumerate(envelopes):
            self._judge(message, index, envelope)

    def _judge(self, message: Deliver, index: int, envelope: Envelope) -> None:
        seq, thread_id = envelope.seq, envelope.thread_id
        if seq is None or thread_id is None:
            self._deliver_passing(message, index)
        elif thread_id in self._held:  # the log has it
            held = self._held[thread_id]
            held.head = max(held.head, seq)
        elif self._pending.story_full:
            self._backlog.add(thread_id, seq)
        elif (verdict := self._session.offer(thread_id, seq)) is Verdict.SEND:
            self._queue(envelope)
        elif verdict is Verdict.BEHIND:
            self._backlog.add(thread_id)

    def _deliver_passing(self, message: Deliver, index: int) -> None:
        envelope = message.envelopes[index]
        event = envelope.event
        if isinstance(event, PartialResult):
            self._deliver_text(envelope, event)
        elif not self._pending.full(event.priority):
            self._queue(envelope, message.frames(self._shape)[index])
        elif event.priority is Priority.LOW:
            self._observer.on_dropped(event.type)
        else:  # what must not be lost has no room: the client reads nothing, and is better off with a new connection
            self._overrun = True

    def _deliver_text(self, envelope: Envelope, event: PartialResult) -> None:
        thread_id = envelope.thread_id or ""
        if self._dialect is Dialect.AGENT_RESPONSE or self._session.cursor(thread_id) is None:
            return
        if not event.offset and not event.text:  # the answer begins anew, for those who have to wait for it too
            self._session.offer_text(thread_id, _text_id(envelope), 0, "")
        elif thread_id in self._backlog:
            self._need_snapshot(thread_id)
        elif self._pending.story_full:
            self._observer.on_dropped(event.type)
        else:
            piece = self._session.offer_text(thread_id, _text_id(envelope), event.offset, event.text)
            if isinstance(piece, Piece):
                shown = evolve(event, text=piece.text, offset=piece.offset)
                self._pending.add_text(envelope.but(event=shown))
            elif piece is not None:
                self._want_snapshot(thread_id)

    def _queue_story(self, thread_id: str, message: Deliver, skip: int = 0, *, live: bool = True) -> None:
        """Queue the events of a message from the one at `skip` on: all have a `seq`, and nothing is missing."""
        try:
            frames = message.frames(self._shape)
        except TypeError:  # one of them cannot be shown
            for envelope in message.envelopes[skip:]:
                self._queue(envelope, live=live)
            return
        envelopes: Sequence[Envelope] = message.envelopes
        if skip:
            frames, envelopes = frames[skip:], envelopes[skip:]
        shown = [frame for frame in frames if frame is not None]
        if len(shown) < len(envelopes):
            envelopes = [envelope for envelope, frame in zip(envelopes, frames, strict=True) if frame is not None]
        if shown:
            self._pending.add_story(thread_id, shown, envelopes, live=live)
        for envelope in message.envelopes:
            if type(envelope.event) in TERMINAL:
                self._session.end_text(_text_id(envelope))

    def _queue(self, envelope: Envelope, frame: bytes | None = None, *, live: bool = True) -> None:
        """Queue an event that is to be told; `frame` is what it looks like, if that is known."""
        try:
            frame = frame or self._shape(envelope)
        except TypeError:
            # One event that cannot be shown must not keep all the later ones from the client.
            log.exception("outbox.unencodable", extra={"event_type": envelope.event.type, "seq": envelope.seq})
            frame = None
        if frame is not None:
            if envelope.seq is None:
                self._pending.add(envelope, frame)
            else:
                self._pending.add_story(envelope.thread_id, [frame], [envelope], live=live)
        if envelope.seq is not None and type(envelope.event) in TERMINAL:
            self._session.end_text(_text_id(envelope))

    def _note(self, event: Event, message: str, thread_id: str | None = None) -> None:
        self._queue(Envelope(event, self._clock(), thread_id=thread_id, message=message))

    # What is followed

    def _follow(self, follow: Follow, context: Context) -> None:
        thread_id, after = follow.thread_id, follow.after
        if self._session.cursor(thread_id) is not None and (follow.unasked or after is None):
            self._backlog.add(thread_id, follow.head)
            return
        if follow.unasked and trio.current_time() < self._settles_at:
            self._hold(follow, context)
            return
        held = self._held.pop(thread_id, None)
        if after is None:
            after = follow.head if held is None else held.after
        head = follow.head if held is None else max(held.head, follow.head)
        self._begin(thread_id, after, head, stated=follow.after is not None and not follow.unasked)

    def _reply(self, reply: Reply) -> None:
        envelope = reply.envelope
        thread_id, seq = envelope.thread_id, envelope.seq
        if reply.head is None or thread_id is None or seq is None or self._session.covers(thread_id, seq):
            self._queue(envelope, live=seq is None)  # one with a number is shown again
            return
        held = self._held.pop(thread_id, None)
        self._begin(thread_id, seq - 1, reply.head if held is None else max(held.head, reply.head))

    def _begin(self, thread_id: str, after: int, head: int, *, stated: bool = False) -> None:
        # What is queued of the thread comes again, from the log or as a snapshot.
        self._pending.forget(thread_id)
        self._session.end_texts(thread_id)
        try:
            self._session.follow(thread_id, after, head, stated=stated)
        except CommandRejected as rejected:
            retryable, error_id = ERRORS[rejected.code].retryable, new_error_id()
            log.warning("command.refused", extra={"code": rejected.code, "error_id": error_id})
            self._note(Error(rejected.code, rejected.message, retryable, error_id), rejected.message, thread_id)
            return
        self._need_snapshot(thread_id)
        self._backlog.add(thread_id)

    def _hold(self, follow: Follow, context: Context) -> None:
        if not self._held:
            context.set_timer("settle", self._settles_at - trio.current_time(), _Settled())
        after = follow.head if follow.after is None else follow.after
        held = self._held.setdefault(follow.thread_id, _Held(after, follow.head))
        held.after, held.head = min(held.after, after), max(held.head, follow.head)

    def _settle(self) -> None:
        """Tell what was held back, from where it was joined."""
        held, self._held = self._held, {}
        for thread_id, place in held.items():
            self._begin(thread_id, place.after, place.head)

    def _need_snapshot(self, thread_id: str) -> None:
        self._snapshots = (self._snapshots or set()) | {thread_id}

    def _ask_snapshots(self) -> None:
        """All threads have all their events: ask for the running text of those that lack some."""
        snapshots, self._snapshots = self._snapshots, None
        for thread_id in snapshots or ():
            self._want_snapshot(thread_id)

    def _rendered(self, thread_id: str, seq: int) -> None:
        head = self._session.head(thread_id)
        if head is None:  # a client that came back says so before its thread is resumed here, which may take a while
            return
        if seq > head:  # not the cursor: a resume may have moved that back behind what was sent
            text = "That event was not sent to you."
            self._note(Error("invalid_command", text, False, new_error_id()), text, thread_id)
        else:
            self._observer.on_rendered(max(0, (self._session.cursor(thread_id) or 0) - seq))

    # Out of the queue

    def _push(self, context: Context) -> None:
        """Write what can be written without waiting; what cannot is a task's."""
        try:
            done = self._outlet.push()
        except SocketClosed:
            self._end(context)
            return
        if not done or self._backlog:
            self._writing = True
            context.start_soon(self._write, context, name="write")
        else:
            self._idle()

    async def _write(self, context: Context) -> None:
        try:
            while True:
                await self._outlet.write()
                if self._outlet:
                    continue
                if self._finishing is not None or not self._backlog:
                    break
                await self._catch_up()
        except SocketClosed:
            self._end(context)
        self._writing = False  # in the same step as the last look
        self._idle()

    def _idle(self) -> None:
        """Everything is out, and all threads have all their events."""
        if self._finishing is not None:
            self._finishing.set()
        elif self._snapshots:
            self._ask_snapshots()

    def _end(self, context: Context) -> None:
        if self._finishing is not None:
            self._finishing.set()
        context.stop()

    async def _catch_up(self) -> None:
        """Queue a page of the log. A log that cannot be read ends the connection: the client resumes later."""
        try:
            portion = await self._backlog.read(html=self._outlet.speak.html)
        except LogUnreadable as error:
            log.error("outbox.log_unreadable", exc_info=error.__cause__, extra={"after": error.after})
            await self._sink.close(1013, "try again later")
            raise SocketClosed(1013, "try again later") from None
        # What happened since the thread was followed is delivered late, not replayed: it counts with its lag.
        history = self._session.history(portion.thread_id)
        older = [envelope for envelope in portion.envelopes if (envelope.seq or 0) <= history]
        for part, live in ((older, False), (portion.envelopes[len(older) :], True)):
            if part:
                self._queue_story(portion.thread_id, Deliver(*part), live=live)
        if portion.resync is not None:
            self._note(Resync(portion.resync), "Read the history and go on from here.", portion.thread_id)

    async def _finish(self, finish: Finish, drained: trio.Event, context: Context) -> None:
        with trio.move_on_after(finish.within_s):
            await drained.wait()
        await self._sink.close(finish.code, finish.reason)
        context.stop()


def _text_id(envelope: Envelope) -> str:
    return envelope.run_id or envelope.message_id or envelope.thread_id or ""  # a message may have several runs
