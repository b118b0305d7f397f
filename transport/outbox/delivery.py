"""What one connection has been given, and so what it still needs: order, loss and duplicates of events and of text.

1. A thread's events are handed to the socket as 1, 2, 3 … after the client's own position: none twice, none left out.
2. An event that comes too early is not kept: the thread is *behind*, and the log is read after the cursor.
3. Nothing here waits or remembers events, so a lost message costs a read of the log and never an event.

Resuming, a slow reader and a lost message are all this one rule. Text has the same rule by character.
"""

import enum
from collections.abc import Iterable
from typing import Final

from attrs import define, frozen

from transport.wire.errors import CommandRejected
from transport.wire.events import Block, Envelope, PartialResult

MAX_THREADS: Final = 4096  # about 1 MiB of cursors for a connection that has seen them all
MAX_TEXTS: Final = 256  # running answers at once on one connection; a user may have ten runs
MAX_ENDED: Final = 16  # answers whose late pieces are known for what they are
ASK_AGAIN: Final = 32  # pieces that may go by before a snapshot that has not come is asked for again


class Verdict(enum.Enum):
    """What to do with an event: hand it to the socket, drop it, or drop it and read the log."""

    SEND = "send"
    DUPLICATE = "duplicate"
    BEHIND = "behind"
    NOT_SUBSCRIBED = "unfollowed"


class _Need(enum.Enum):
    SNAPSHOT = "snapshot"


SNAPSHOT_NEEDED: Final = _Need.SNAPSHOT


@frozen
class TextPiece:
    """Text to hand to the socket: `offset` is the number of characters before it."""

    offset: int
    text: str


@define
class _Thread:
    cursor: int
    last_seq: int
    subscription_id: int = 0
    history_end: int = 0  # the head when it was followed: events up to here are replays
    covered_after: int = 0  # the client has, or was sent, or will be sent every event after this one


@define
class _Text:
    thread_id: str
    position: int = 0
    pieces_since_request: int | None = None  # pieces gone by since a snapshot was asked for


class DeliveryCursors:
    """The cursors of one connection. Memory is bounded by `max_threads` and `max_texts`."""

    def __init__(self, max_threads: int = MAX_THREADS, max_texts: int = MAX_TEXTS) -> None:
        self._max_threads = max_threads
        self._max_texts = max_texts
        self._threads: dict[str, _Thread] = {}  # least recently sent to first
        self._texts: dict[str, _Text] = {}
        self._ended: dict[str, None] = {}  # answers that were finished lately
        self._subscriptions = 0

    def subscribe(self, thread_id: str, after: int, head: int, *, stated: bool = False) -> str | None:
        """Follow a thread from the event after `after`; `head` is the last seq known to be in its log.

        `stated`: the client itself named `after`, so it has all events up to there.

        A thread that is followed already goes to `after`, back as well as forward: the client has said where it
        stands. `after` beyond `head` counts as `head`. Returns a thread that had to be given up to make room (the
        one that was caught up and silent the longest), or None. Raises CommandRejected `busy` when there is no
        room because every thread is behind.
        """
        given_up = None
        if thread_id not in self._threads and len(self._threads) >= self._max_threads:
            given_up = next((name for name, thread in self._threads.items() if thread.cursor >= thread.last_seq), None)
            if given_up is None:
                raise CommandRejected("busy")
            del self._threads[given_up]
        self._threads.pop(thread_id, None)
        self._subscriptions += 1
        cursor = min(after, head)
        self._threads[thread_id] = _Thread(cursor, head, self._subscriptions, head, 0 if stated else cursor)
        return given_up

    def unsubscribe(self, thread_id: str) -> None:
        """Forget a thread; one that is not followed is no error."""
        self._threads.pop(thread_id, None)

    def offer(self, thread_id: str, seq: int) -> Verdict:
        """Judge a live event. After SEND the cursor is past it: the caller hands it over, or calls `follow` again."""
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
        self._mark_used(thread_id, thread)
        return Verdict.SEND

    def _mark_used(self, thread_id: str, thread: _Thread) -> None:
        if 2 * len(self._threads) > self._max_threads:  # their order begins to matter
            del self._threads[thread_id]
            self._threads[thread_id] = thread

    def offer_range(self, thread_id: str, first: int, last: int) -> int | None:
        """Judge live events `first` to `last` at once: how many of them, from the start, were handed over already.

        The cursor is past the last one then. None: they must be judged one by one.
        """
        thread = self._threads.get(thread_id)
        if thread is None or not first <= thread.cursor + 1 <= last:
            return None
        skip = thread.cursor + 1 - first
        thread.cursor = last
        thread.last_seq = max(thread.last_seq, last)
        self._mark_used(thread_id, thread)
        return skip

    def replayed(self, thread_id: str, seq: int) -> Verdict:
        """Judge an event read from the log: by the same rule, so a page that comes late or twice does no harm."""
        return self.offer(thread_id, seq)

    def extend_log(self, thread_id: str, head: int) -> None:
        """The thread's log reaches to `head`, as a page of it says; a lower number than before says nothing."""
        thread = self._threads.get(thread_id)
        if thread is not None:
            thread.last_seq = max(thread.last_seq, head)

    def skip_to(self, thread_id: str, seq: int) -> None:
        """Go on after `seq` and be caught up there: the log does not reach back to the cursor, a `Resync` was sent.

        Also for a page that should have held events and was empty. Never goes back.
        """
        thread = self._threads.get(thread_id)
        if thread is not None:
            thread.cursor = thread.last_seq = max(thread.cursor, seq)

    def behind(self) -> list[tuple[str, int]]:
        """(thread, cursor) of each thread whose log holds events after the cursor."""
        return [(name, thread.cursor) for name, thread in self._threads.items() if thread.cursor < thread.last_seq]

    def is_behind(self, thread_id: str) -> bool:
        """Whether the thread's log holds events after the cursor."""
        thread = self._threads.get(thread_id)
        return thread is not None and thread.cursor < thread.last_seq

    def cursor(self, thread_id: str) -> int | None:
        """The last seq handed to the socket; None for a thread that is not followed."""
        thread = self._threads.get(thread_id)
        return None if thread is None else thread.cursor

    def covers(self, thread_id: str, seq: int) -> bool:
        """Whether the client has this event of a thread, as far as it said, or gets it by what it follows."""
        thread = self._threads.get(thread_id)
        return thread is not None and thread.covered_after < seq

    def subscription_id(self, thread_id: str) -> int | None:
        """The number of the `follow` that counts for a thread: another one, and what was begun before is void."""
        thread = self._threads.get(thread_id)
        return None if thread is None else thread.subscription_id

    def last_seq(self, thread_id: str) -> int | None:
        """The last seq known to be in the thread's log; None for a thread that is not followed."""
        thread = self._threads.get(thread_id)
        return None if thread is None else thread.last_seq

    def history_end(self, thread_id: str) -> int:
        """Return the last seq that was in the thread's log when it was followed; 0 if it is not followed."""
        thread = self._threads.get(thread_id)
        return 0 if thread is None else thread.history_end

    def subscribed_threads(self) -> list[str]:
        """Every followed thread."""
        return list(self._threads)

    def offer_text(self, thread_id: str, run_id: str, offset: int, text: str) -> TextPiece | _Need | None:
        """Judge a piece of a streamed answer, live or a snapshot (offset 0): what of it to hand to the socket.

        Returns the part that was not handed over yet, None when there is none, or SNAPSHOT_NEEDED when text before
        `offset` is missing. It is asked for once, and again if it has not come after ASK_AGAIN more pieces. An
        empty text at the right place is a Piece too: it may carry rendered blocks. An empty one at offset 0 says that
        the answer begins anew: what was handed over counts no more.
        """
        if run_id in self._ended:
            return None
        state = self._text_state(thread_id, run_id)
        if offset > state.position:
            return self._snapshot_if_due(state)
        end = offset + len(text)
        if not end:
            state.position, state.pieces_since_request = 0, None
            return None
        if end < state.position or (end == state.position and text):
            return None
        piece = TextPiece(state.position, text[state.position - offset :])
        state.position = end
        state.pieces_since_request = None
        return piece

    def finish_text(self, run_id: str) -> None:
        """The answer is finished: what still comes of its text, late, is for nobody."""
        self._texts.pop(run_id, None)
        self._ended[run_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def forget_texts(self, thread_id: str) -> None:
        """The client has none of this thread's running answers: they begin anew, with a snapshot."""
        for run_id in [run_id for run_id, text in self._texts.items() if text.thread_id == thread_id]:
            del self._texts[run_id]

    def _text_state(self, thread_id: str, run_id: str) -> _Text:
        state = self._texts.pop(run_id, None) or _Text(thread_id)
        self._texts[run_id] = state
        if len(self._texts) > self._max_texts:
            del self._texts[next(iter(self._texts))]
        return state

    def _snapshot_if_due(self, state: _Text) -> _Need | None:
        if state.pieces_since_request is not None and state.pieces_since_request < ASK_AGAIN:
            state.pieces_since_request += 1
            return None
        state.pieces_since_request = 0
        return SNAPSHOT_NEEDED


def merge_text(waiting: Iterable[Envelope]) -> list[Envelope]:
    """The same envelopes with the text of each answer joined where it continues: fewer frames, the same story.

    A piece joins the one before it of its message only if no other event of its thread stands between them; pieces of
    other threads may. The joined envelope keeps the first one's timestamp.
    """
    runs: list[list[Envelope]] = []
    open_runs: dict[str | None, list[Envelope]] = {}
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
        case PartialResult() as before, PartialResult() as after:
            same = (earlier.run_id, earlier.message_id) == (later.run_id, later.message_id)
            return same and before.offset + len(before.text) == after.offset
    return False


def _join_pieces(run: list[Envelope]) -> Envelope:
    pieces = [envelope.event for envelope in run if isinstance(envelope.event, PartialResult)]
    blocks: list[Block] = [block for piece in pieces for block in piece.blocks]
    text = "".join(piece.text for piece in pieces)
    return run[0].replace(event=PartialResult(text, pieces[0].offset, tuple(blocks)))
