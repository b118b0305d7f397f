"""Deliver received events to the caller: every event once, in order, with text assembled, to the matching exchanges."""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias

import trio

from transport.client.cursors import Judgement, ThreadCursors
from transport.client.decoder import Events, Received
from transport.client.exchange import Exchange, Inbox
from transport.client.text_assembly import TextAssembly
from transport.client.unacked import UnackedCommand, UnackedCommands
from transport.wire.errors import TransportError
from transport.wire.events import Error, PartialResult, Resync

JsonObject: TypeAlias = Mapping[str, Any]

MAX_RESUMED: Final = 100
"""Threads that a server accepts in one resume; more are split over several commands."""


class EventDelivery:
    """The cursors, texts and waiting consumers of a client. Its `events` are the classes of events by type.

    `failure` is the error that ended the client; None if it was closed, or goes on. `consumed` is the last seq of each
    thread that the caller has taken. `gap_found` is set if a thread lacks events, `unacked_changed` when a command was
    acknowledged. A subclass may override `observe` for a program's own events.
    """

    exchange: ClassVar[type[Exchange]] = Exchange

    def __init__(self, unacked: UnackedCommands, events: Events) -> None:
        self.events = events
        self.cursors = ThreadCursors()
        self.inbox = Inbox()
        self.gap_found = trio.Event()
        self.unacked_changed = trio.Event()
        self.consumed: dict[str, int] = {}
        self._unacked = unacked
        self.texts = TextAssembly()
        self._exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()
        self._iterated = False
        self._resent: frozenset[str] = frozenset()  # messages that an earlier connection may have sent
        self.failure: TransportError | None = None

    # To the caller

    def keep_all_events(self) -> None:
        """Stop overwriting: the caller iterates over all events."""
        self._iterated = True
        self.inbox.overwrite(False)

    def open_exchange(self, message_id: str, run_id: str | None) -> Exchange:
        """Open the exchange of one message. Unless the caller iterates over all events, the oldest are overwritten."""
        exchange = self.exchange(message_id, run_id, self.record_consumed, self.failure)
        if self.ended:
            exchange.end(self.failure)
        self._exchanges.add(exchange)
        self.inbox.overwrite(not self._iterated)
        return exchange

    def record_consumed(self, event: Received) -> None:
        """Record that the caller has taken an event."""
        if event.thread_id is not None and event.seq is not None:
            self.consumed[event.thread_id] = max(event.seq, self.consumed.get(event.thread_id, 0))

    def text(self, name: str) -> str:
        """Return the text so far of a run, or of a message that has no run."""
        return self.texts.get(name)

    @property
    def ended(self) -> bool:
        """Whether no more events come."""
        return not self.inbox.open

    def end(self, failure: TransportError | None) -> None:
        """End all consumers, with `failure`, or because the client was closed."""
        if not self.ended:
            self.failure = failure
            self.inbox.close()
            for exchange in list(self._exchanges):
                exchange.end(failure)

    # From the connection

    def start_connection(self) -> Sequence[JsonObject]:
        """Return the commands that resume on a new connection. Call it before a frame is read, lest a cursor moves."""
        self._resent = frozenset(message.message_id for message in self._unacked.messages if message.tries)
        return resume_commands(self.cursors.start_connection())

    def connection_lost(self, sent: Sequence[UnackedCommand], last_seqs: Mapping[str, int]) -> None:
        """Handle the end of a connection. `sent`: the messages sent on it; `last_seqs`: those of threads at its start.

        A message without acknowledgement may have been accepted, as the first event after that seq. So a thread of
        which no event was received is resumed from there.
        """
        for message in sent:
            head = last_seqs.get(thread_id := str(message.payload.get("thread_id")))
            if message.opens_thread and head is not None and thread_id not in self.cursors.last_seqs:
                self.cursors.move_to(thread_id, head)

    def mark_resent(self, messages: Iterable[UnackedCommand]) -> None:
        """Record messages that are sent again on this connection; the server may have accepted one that it refused."""
        self._resent |= {message.message_id for message in messages if message.message_id}

    async def receive_event(self, event: Received, size: int) -> None:
        """Deliver an event of about `size` bytes to its consumers. Waits while they have no room."""
        settled = self._unacked.remove_acked(event)
        if settled:
            self.unacked_changed.set()
        if not self._is_next(event, settled):
            return
        match event.event:
            case Resync(last_seq=last_seq) if event.thread_id is not None:
                self.cursors.move_to(event.thread_id, last_seq)
            case Error(retryable=True) if event.refusal and event.message_id is None:
                self.cursors.mark_refused()
            case PartialResult() as piece:
                addition = self.texts.add_piece(text_name(event), piece)
                if addition is None:
                    return
                event = event.replace(event=addition)
        self.observe(event)
        for exchange in list(self._exchanges):
            await exchange.put_event(event, size)
        await self.inbox.put(event, size)

    def observe(self, event: Received) -> None:
        """Take note of an event that is about to be delivered. Does nothing unless a subclass does."""

    def _is_next(self, event: Received, settled: Sequence[UnackedCommand]) -> bool:
        thread_id, seq = event.thread_id, event.seq
        if thread_id is None or seq is None:
            return True
        accepted = [command for command in settled if command.accepted_by(event)]
        is_new = thread_id not in self.cursors.last_seqs
        judgement = self.cursors.judge(thread_id, seq, waiting=not accepted and self._awaits_acceptance(thread_id))
        if is_new and any(command.message_id in self._resent for command in accepted):
            self.cursors.mark_incomplete(thread_id)  # the message may have been accepted before, with more events since
            self.gap_found.set()
        if judgement is Judgement.GAP:
            self.gap_found.set()
        return judgement is Judgement.ACCEPT

    def _awaits_acceptance(self, thread_id: str) -> bool:
        """Return whether a message waits to be accepted in this thread; one that names no thread may be in any."""
        return thread_id not in self.cursors.last_seqs and any(
            message.payload.get("thread_id") == thread_id
            or (message.message_id in self._resent and message.payload.get("thread_id") is None)
            for message in self._unacked.messages
            if message.opens_thread
        )


def text_name(event: Received) -> str:
    """Return the name of the text that an event belongs to."""
    return event.run_id or event.message_id or ""


def resume_commands(threads: Mapping[str, int]) -> list[JsonObject]:
    """Return the commands that resume these threads, each from the event after its seq."""
    cursors = list(threads.items())
    parts = (dict(cursors[at : at + MAX_RESUMED]) for at in range(0, len(cursors), MAX_RESUMED))
    return [{"type": "resume", "payload": {"threads": part}} for part in parts]
