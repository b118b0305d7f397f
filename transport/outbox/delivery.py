"""The delivery cursors of one connection: they decide for each event whether to send, drop, or read the log. Pure.

1. A thread's events are sent as 1, 2, 3 … after the client's own cursor: none twice, none left out.
2. An event beyond the next one is dropped: the thread is *behind*, and the log is read after the cursor.
3. Events are never stored here, so a lost message costs a read of the log and never an event.

Resuming, slow readers and lost messages are handled by this one rule. Text has the same rule by character.
"""

import enum
from collections.abc import Iterable
from typing import Final, TypeVar

from attrs import define

from transport.wire.errors import CommandRejected
from transport.wire.events import Envelope, PartialResult

MAX_THREADS: Final = 4096  # cursors of this many threads take about 1 MiB
MAX_TEXTS: Final = 256  # running answers per connection; a user may have ten runs
MAX_DELETED: Final = 256  # deleted threads whose ids are remembered, as they may be used again
MAX_ENDED: Final = 16  # finished answers whose late pieces are still recognised and dropped
ASK_AGAIN: Final = 32  # pieces dropped before a snapshot that has not come is requested again

E = TypeVar("E", bound=Envelope)


class Verdict(enum.Enum):
    """The verdict on an event: send it, drop it, or drop it and read the log."""

    SEND = "send"
    DUPLICATE = "duplicate"
    BEHIND = "behind"
    NOT_SUBSCRIBED = "unfollowed"


class _Need(enum.Enum):
    SNAPSHOT = "snapshot"


SNAPSHOT_NEEDED: Final = _Need.SNAPSHOT


@define(eq=False)
class ThreadCursor:
    """The cursor of one subscription to a thread: the last seq that was sent.

    `last_seq` is the last known seq in the log, `history_end` the last one at subscription: events up to there are
    replays. The client has, was sent, or will be sent every event after `covered_after`. `incarnation` tells threads of
    the same id apart (`transport.wire.messages.SubscribeThread`); None until it is known.
    """

    cursor: int
    last_seq: int
    history_end: int
    covered_after: int
    incarnation: float | None = None


@define
class _Text:
    thread_id: str
    epoch: str
    position: int = 0
    pieces_since_request: int | None = None  # pieces dropped since a snapshot was requested; None: none was


def same_incarnation(first: float | None, second: float | None) -> bool:
    """Return False if both incarnations are known and differ: they are those of two threads of the same id."""
    return None in (first, second) or first == second


class DeliveryCursors:
    """The cursors of one connection. Memory is bounded by `max_threads` and `max_texts`."""

    __slots__ = ("_deleted", "_ended", "_max_texts", "_max_threads", "_texts", "_threads")

    def __init__(self, max_threads: int = MAX_THREADS, max_texts: int = MAX_TEXTS) -> None:
        self._max_threads = max_threads
        self._max_texts = max_texts
        self._threads: dict[str, ThreadCursor] = {}  # least recently sent to first
        self._deleted: dict[str, None] = {}  # the last MAX_DELETED deleted threads
        self._texts: dict[str, _Text] = {}
        self._ended: dict[str, None] = {}  # the last MAX_ENDED finished answers

    def subscribe(
        self, thread_id: str, after: int, head: int, *, stated: bool = False, incarnation: float | None = None
    ) -> str | None:
        """Subscribe to a thread from the event after `after`; `head` is the last known seq in its log.

        `stated`: the client itself named `after`, so it has all events up to there. A thread that is subscribed already
        moves to `after`, back or forward. `after` beyond `head` counts as `head`. Return the thread that was dropped to
        make room (the least recently sent one that is not behind), or None. Raises CommandRejected `busy` if there is
        no room because every thread is behind.
        """
        evicted = None
        if thread_id not in self._threads and len(self._threads) >= self._max_threads:
            evicted = next((name for name, thread in self._threads.items() if thread.cursor >= thread.last_seq), None)
            if evicted is None:
                raise CommandRejected("busy")
            del self._threads[evicted]
        self._threads.pop(thread_id, None)
        self._deleted.pop(thread_id, None)
        cursor = min(after, head)
        self._threads[thread_id] = ThreadCursor(cursor, head, head, 0 if stated else cursor, incarnation)
        return evicted

    def delete(self, thread_id: str) -> None:
        """Unsubscribe from a thread that was deleted. Idempotent."""
        self._threads.pop(thread_id, None)
        self._deleted.pop(thread_id, None)
        self._deleted[thread_id] = None
        if len(self._deleted) > MAX_DELETED:
            del self._deleted[next(iter(self._deleted))]

    def is_deleted(self, thread_id: str) -> bool:
        """Return whether the last thread of this id was deleted: the next one is followed from its first event."""
        return thread_id in self._deleted

    def offer(self, thread_id: str, seq: int) -> Verdict:
        """Judge an event, live or from the log. On SEND the cursor advances past it, so the caller must send it."""
        thread = self._threads.get(thread_id)
        if thread is None:
            return Verdict.NOT_SUBSCRIBED
        if seq > thread.last_seq:
            thread.last_seq = seq
        if seq <= thread.cursor:
            return Verdict.DUPLICATE
        if seq > thread.cursor + 1:
            return Verdict.BEHIND
        thread.cursor = seq
        if 2 * len(self._threads) > self._max_threads:
            self._mark_used(thread_id)
        return Verdict.SEND

    def _mark_used(self, thread_id: str) -> None:
        """Move a thread to the end of the order by use, which is kept once eviction is near."""
        self._threads[thread_id] = self._threads.pop(thread_id)

    def offer_range(self, thread_id: str, first: int, last: int) -> int | None:
        """Judge live events `first` to `last` at once. Return how many of the first were sent already.

        The cursor advances past the last one. Return None if they must be judged one by one.
        """
        thread = self._threads.get(thread_id)
        if thread is None or not first <= thread.cursor + 1 <= last:
            return None
        skip = thread.cursor + 1 - first
        thread.cursor = last
        thread.last_seq = max(thread.last_seq, last)
        if 2 * len(self._threads) > self._max_threads:
            self._mark_used(thread_id)
        return skip

    def extend_log(self, thread_id: str, head: int = 0) -> bool:
        """Record that the thread's log extends to `head`; a lower number than before is ignored.

        Return whether the log has events after the cursor; False if the thread is not subscribed.
        """
        thread = self._threads.get(thread_id)
        if thread is None:
            return False
        thread.last_seq = max(thread.last_seq, head)
        return thread.cursor < thread.last_seq

    def skip_to(self, thread_id: str, seq: int) -> None:
        """Move the cursor forward to `seq` and count the thread as caught up: the log was trimmed, a `Resync` is sent.

        Also for a page that was empty although events were expected. Never moves back.
        """
        thread = self._threads.get(thread_id)
        if thread is not None:
            thread.cursor = thread.last_seq = max(thread.cursor, seq)

    def behind(self) -> list[tuple[str, int]]:
        """Return (thread, cursor) of each thread whose log has events after the cursor."""
        return [(name, thread.cursor) for name, thread in self._threads.items() if thread.cursor < thread.last_seq]

    def find(self, thread_id: str) -> ThreadCursor | None:
        """Return the cursor of a thread, another object after each `subscribe`; None if it is not subscribed."""
        return self._threads.get(thread_id)

    def covers(self, thread_id: str, seq: int) -> bool:
        """Return whether the client has this event, by its own statement, or gets it by its subscription."""
        thread = self._threads.get(thread_id)
        return thread is not None and thread.covered_after < seq

    def offer_text(self, thread_id: str, run_id: str, offset: int, text: str, epoch: str = "") -> int | _Need | None:
        """Judge a piece of a streamed answer, live or a snapshot (offset 0). Return how many characters were sent.

        The caller must send the rest. Return None if all of it was sent, or SNAPSHOT_NEEDED if text before `offset` is
        missing; the latter once, and again after ASK_AGAIN more pieces without a snapshot. An empty text at the cursor
        is to be sent: it may carry rendered blocks. A text of another `epoch` replaces the text so far, so it is sent
        from offset 0.
        """
        texts = self._texts
        state = texts.get(run_id)
        if state is None:
            if run_id in self._ended:
                return None
            state = texts[run_id] = _Text(thread_id, epoch)
            if len(texts) > self._max_texts:
                del texts[next(iter(texts))]
        else:
            if state.epoch != epoch:
                state = texts[run_id] = _Text(thread_id, epoch)
            if 2 * len(texts) > self._max_texts:  # the order by use is kept once eviction is near
                texts[run_id] = texts.pop(run_id)
        position = state.position
        if offset > position:
            if state.pieces_since_request is not None and state.pieces_since_request < ASK_AGAIN:
                state.pieces_since_request += 1
                return None
            state.pieces_since_request = 0
            return SNAPSHOT_NEEDED
        end = offset + len(text)
        if end < position or (end == position and text):
            return None
        state.position = end
        state.pieces_since_request = None
        return position - offset

    def finish_text(self, run_id: str) -> None:
        """Mark an answer as finished: late pieces of its text are dropped."""
        self._texts.pop(run_id, None)
        self._ended[run_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def forget_texts(self, thread_id: str) -> None:
        """Forget the cursors in this thread's running answers: each restarts with a snapshot."""
        for run_id in [run_id for run_id, text in self._texts.items() if text.thread_id == thread_id]:
            del self._texts[run_id]


def merge_text(waiting: Iterable[E]) -> list[E]:
    """Join consecutive text pieces of the same answer, so that fewer frames are sent.

    Two pieces are joined only if no other event of their thread is between them; events of other threads may be. The
    joined envelope has the timestamp of the first.
    """
    runs: list[list[E]] = []
    open_runs: dict[str | None, list[E]] = {}
    for envelope in waiting:
        run = open_runs.get(envelope.thread_id)
        if run is not None and _continues(run[-1], envelope):
            run.append(envelope)
            continue
        runs.append([envelope])
        open_runs[envelope.thread_id] = runs[-1]
    return [run[0] if len(run) == 1 else _join_pieces(run) for run in runs]


def _continues(earlier: Envelope, later: Envelope) -> bool:
    match earlier.event, later.event:
        case PartialResult() as first, PartialResult() as second:
            same_text = _text_of(earlier) == _text_of(later)
            return same_text and first.offset + len(first.text) == second.offset
    return False


def _text_of(piece: Envelope) -> tuple[str | None, str | None, str]:
    return piece.run_id, piece.message_id, piece.text_epoch


def _join_pieces(run: list[E]) -> E:
    pieces = [envelope.event for envelope in run if isinstance(envelope.event, PartialResult)]
    text = "".join(piece.text for piece in pieces)
    return run[0].replace(event=PartialResult(text, pieces[0].offset))
