"""The outbox of a connection: events in, frames out, each thread's in order, without gap or repeat.

1. What has a `seq` is either queued as the next of its thread, or read from the log after the cursor: never dropped.
2. The actor itself never waits for the socket, so its mailbox drains however slowly the client reads; a task of its
   own writes. What does not fit into the queue leaves its thread *behind*, to be read when the queue is empty.
3. Everything that waits is written at once.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import trio
from attrs import define, evolve, frozen

from actors import Actor, Context, MailboxSpec, Overflow
from transport.backlog import Backlog, LogPage, LogUnreadable, ReadLog
from transport.codes import ERRORS
from transport.dialects import Dialect
from transport.encoder import Encoder
from transport.errors import CommandRejected, SocketClosed, new_error_id
from transport.events import TERMINAL, Envelope, Error, Event, PartialResult, Resync
from transport.observer import Observer, Unobserved
from transport.pending import Pending
from transport.session import Piece, Session, Verdict
from transport.socket import Socket

__all__ = [
    "Deliver", "Finish", "Follow", "LogPage", "Outbox", "OutboxLimits", "ReadLog", "Reply", "Speak", "Unfollow",
    "WantSnapshot",
]  # fmt: skip

log: Final = logging.getLogger("transport.outbox")


@frozen
class Deliver:
    """An event, as it happens."""

    envelope: Envelope


@frozen
class Reply:
    """An event for this client alone, sent whatever its number: the answer to something it sent twice."""

    envelope: Envelope


@frozen
class Follow:
    """Send a thread's events from the one after `after`; `head` is the last one known to be in the log.

    `after` None joins the thread where it is. A thread that is followed already goes to `after`, back or forward: its
    client has said where it stands. `unasked`: its client has said nothing of the thread on this connection. That
    moves nothing that is followed, and a connection that is young waits a little for the client to say where it
    stands (`OutboxLimits.settle_s`).
    """

    thread_id: str
    after: int | None
    head: int
    unasked: bool = False


@frozen
class Unfollow:
    """Send no more of a thread."""

    thread_id: str


@frozen
class Speak:
    """How the client wants it from now on: several events in one frame (`batch`), rendered answers (`html`)."""

    batch: bool = False
    html: bool = False


@frozen
class Finish:
    """Send what is queued, for at most `within_s` seconds, then close the socket."""

    code: int
    reason: str = ""
    within_s: float = 2.0


WantSnapshot: TypeAlias = Callable[[str], None]


@frozen
class OutboxLimits:
    """Bounds of one outbox. `write_bytes`: about how much goes into one write; `log_s`: the deadline of a page.

    `settle_s`: how long after its start threads that were joined unasked are held back. A client that comes back says
    soon where it stands, and then gets exactly what follows; one that does not gets what was held back, so much later.
    """

    queue_bytes: int = 256 * 1024
    queue_events: int = 1000
    write_bytes: int = 64 * 1024
    page_events: int = 100
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
    """The transport actor of one socket. Takes Deliver, Reply, Follow, Unfollow, Speak and Finish.

    `read_log(thread_id, after, limit)` reads events after `after`. `want_snapshot(thread_id)` asks whoever runs the
    thread to deliver the text of its running answer again, from offset 0. Ends when the socket is closed.
    """

    # The actor never waits, so this fills only when one step of a producer sends so many. What is pushed out then is
    # the oldest: the event after it finds the hole, and the log fills it.
    mailbox = MailboxSpec(capacity=8192, overflow=Overflow.DROP_OLDEST)

    def __init__(
        self,
        socket: Socket,
        dialect: Dialect,
        *,
        encoder: Encoder,
        read_log: ReadLog,
        want_snapshot: WantSnapshot,
        observer: Observer | None = None,
        limits: OutboxLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._socket = socket
        self._dialect = dialect
        self._encoder = encoder
        self._shape = encoder.shape(dialect)
        self._want_snapshot = want_snapshot
        self._observer = observer or Unobserved()
        self._limits = limits or OutboxLimits()
        self._clock = clock
        self._session = Session()
        self._pending = Pending(self._limits.queue_bytes, self._limits.queue_events)
        self._speak = Speak()
        self._backlog = Backlog(self._session, read_log, self._limits.page_events, self._limits.log_s)
        self._held: dict[str, _Held] = {}
        self._settled = self._limits.settle_s <= 0
        self._snapshots: set[str] = set()  # threads whose running text is to be asked for once they have caught up
        self._wake = trio.Event()
        self._drained = trio.Event()
        self._finishing = False

    async def on_start(self, context: Context) -> None:
        """Start the task that writes, and the time to settle."""
        if not self._settled:
            context.set_timer("settle", self._limits.settle_s, _Settled())
        context.start_soon(self._write, context, name="write")

    async def receive(self, message: object, context: Context) -> None:
        """Queue an event, or change what is followed and how."""
        if type(message) is Deliver:  # nearly all are
            self._deliver(message.envelope)
            return
        match message:
            case Reply(envelope) if not self._finishing:
                self._queue(envelope)
            case Follow():
                self._follow(message)
            case Unfollow(thread_id):
                self._session.unfollow(thread_id)
                self._held.pop(thread_id, None)
                self._pending.forget(thread_id)
                self._backlog.forget(thread_id)
            case _Settled():
                self._settle()
            case Speak():
                self._speak = message
                self._shape = self._encoder.shape(self._dialect, html=message.html)
            case Finish() if not self._finishing:
                self._finishing = True
                self._drained = trio.Event()
                self._wake.set()
                context.start_soon(self._finish, message, context, name="finish")

    async def on_idle(self, _: Context) -> None:
        """Let the writer have what has come in."""
        self._wake.set()

    # Into the queue

    def _deliver(self, envelope: Envelope) -> None:
        if self._finishing:
            return
        seq, thread_id = envelope.seq, envelope.thread_id
        if seq is not None and thread_id is not None:
            self._deliver_durable(envelope, thread_id, seq)
            return
        event = envelope.event
        if isinstance(event, PartialResult):
            self._deliver_text(envelope, event)
        elif self._pending.full(event.priority):
            self._observer.on_dropped(event.type)
        else:
            self._queue(envelope)

    def _deliver_durable(self, envelope: Envelope, thread_id: str, seq: int) -> None:
        held = self._held.get(thread_id)
        if held is not None:  # the log has it
            held.head = max(held.head, seq)
            return
        if self._pending.story_full:
            self._backlog.add(thread_id, seq)
            return
        verdict = self._session.offer(thread_id, seq)
        if verdict is Verdict.SEND:
            self._queue(envelope)
        elif verdict is Verdict.BEHIND:
            self._backlog.add(thread_id)

    def _deliver_text(self, envelope: Envelope, event: PartialResult) -> None:
        thread_id = envelope.thread_id or ""
        if self._dialect is Dialect.AGENT_RESPONSE or self._session.cursor(thread_id) is None:
            return
        if thread_id in self._backlog:
            self._snapshots.add(thread_id)
        elif self._pending.story_full:
            self._observer.on_dropped(event.type)
        else:
            piece = self._session.offer_text(_text_id(envelope), event.offset, event.text)
            if isinstance(piece, Piece):
                shown = evolve(event, text=piece.text, offset=piece.offset)
                self._pending.add_text(evolve(envelope, event=shown), len(piece.text))
            elif piece is not None:
                self._want_snapshot(thread_id)

    def _queue(self, envelope: Envelope) -> None:
        try:
            frame = self._shape(envelope)
        except TypeError:
            # One event that cannot be shown must not keep all the later ones from the client.
            log.exception("outbox.unencodable", extra={"event_type": envelope.event.type, "seq": envelope.seq})
            frame = None
        if envelope.seq is None:
            if frame is not None:
                self._pending.add(envelope, frame)
            return
        if frame is not None:
            self._pending.add_story(envelope, frame)
        if type(envelope.event) in TERMINAL:
            self._session.end_text(_text_id(envelope))

    def _note(self, event: Event, message: str, thread_id: str | None = None) -> None:
        self._queue(Envelope(event, self._clock(), thread_id=thread_id, message=message))

    # What is followed

    def _follow(self, follow: Follow) -> None:
        thread_id, after = follow.thread_id, follow.after
        if self._session.cursor(thread_id) is not None and (follow.unasked or after is None):
            self._backlog.add(thread_id, follow.head)
            return
        if follow.unasked and not self._settled:
            self._hold(follow)
            return
        held = self._held.pop(thread_id, None)
        if after is None:
            after = follow.head if held is None else held.after
        head = follow.head if held is None else max(held.head, follow.head)
        self._begin(thread_id, after, head)

    def _begin(self, thread_id: str, after: int, head: int) -> None:
        # What is queued of the thread would come again from the log.
        for envelope in self._pending.forget(thread_id):
            if isinstance(envelope.event, PartialResult):
                self._session.rewind_text(_text_id(envelope), envelope.event.offset)
        try:
            self._session.follow(thread_id, after, head)
        except CommandRejected as rejected:
            retryable, error_id = ERRORS[rejected.code].retryable, new_error_id()
            log.warning("command.refused", extra={"code": rejected.code, "error_id": error_id})
            self._note(Error(rejected.code, rejected.message, retryable, error_id), rejected.message, thread_id)
            return
        self._snapshots.add(thread_id)
        self._backlog.add(thread_id)

    def _hold(self, follow: Follow) -> None:
        after = follow.head if follow.after is None else follow.after
        held = self._held.setdefault(follow.thread_id, _Held(after, follow.head))
        held.after, held.head = min(held.after, after), max(held.head, follow.head)

    def _settle(self) -> None:
        """Tell what was held back, from where it was joined."""
        self._settled = True
        held, self._held = self._held, {}
        for thread_id, place in held.items():
            self._begin(thread_id, place.after, place.head)

    def _ask_snapshots(self) -> None:
        """All threads have all their events: ask for the running text of those that lack some."""
        snapshots, self._snapshots = self._snapshots, set()
        for thread_id in snapshots:
            self._want_snapshot(thread_id)

    # Out of the queue

    async def _write(self, context: Context) -> None:
        try:
            while True:
                if self._pending:
                    await self._write_once()
                elif self._finishing:
                    self._drained.set()
                    return
                elif self._backlog:
                    await self._catch_up()
                else:
                    self._ask_snapshots()
                    await self._wake.wait()
                    self._wake = trio.Event()
        except SocketClosed:
            self._drained.set()
            context.stop()

    async def _write_once(self) -> None:
        ready = self._pending.take(self._limits.write_bytes, self._shape)
        frames = [frame for _, frame in ready]
        if self._speak.batch and len(frames) > 1:
            frames = [b"[" + b",".join(frames) + b"]"]
        await self._socket.write(frames)
        await trio.lowlevel.checkpoint()  # a long queue, or log, must not hold up the others
        now = self._clock()
        types = [envelope.event.type for envelope, _ in ready]
        self._observer.on_sent(types, [now - envelope.timestamp for envelope, _ in ready])

    async def _catch_up(self) -> None:
        """Queue a page of the log. A log that cannot be read ends the connection: the client resumes later."""
        try:
            portion = await self._backlog.read()
        except LogUnreadable as error:
            extra = {"thread_id": error.thread_id, "after": error.after}
            log.error("outbox.log_unreadable", exc_info=error.__cause__, extra=extra)
            await self._socket.close(1013, "try again later")
            raise SocketClosed(1013, "try again later") from None
        for envelope in portion.envelopes:
            self._queue(envelope)
        if portion.resync is not None:
            self._note(Resync(portion.resync), "Read the history and go on from here.", portion.thread_id)

    async def _finish(self, finish: Finish, context: Context) -> None:
        with trio.move_on_after(finish.within_s):
            await self._drained.wait()
        await self._socket.close(finish.code, finish.reason)
        context.stop()


def _text_id(envelope: Envelope) -> str:
    return envelope.message_id or envelope.run_id or envelope.thread_id or ""
