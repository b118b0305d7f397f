"""The client's cursor in each of its threads: one rule that handles loss, repeats and reconnects. Pure.

A durable event is accepted if it is the one after the cursor, dropped if the cursor is past it, and a gap if it lies
further on: it is dropped too, and the thread resumed from the cursor. Ephemeral events are accepted.
"""

import enum

from attrs import define, field

__all__ = ["Judgement", "ThreadCursors"]


class Judgement(enum.Enum):
    """The judgement on an event: deliver it, drop it, or drop it and resume its thread."""

    ACCEPT = "take"
    DUPLICATE = "duplicate"
    GAP = "hole"


@define
class ThreadCursors:
    """The cursors of one client, by thread, across its connections.

    A thread without a cursor gets one from its first event, or, while a message of this client waits to be accepted in
    it, from that acceptance: earlier events belong to runs whose beginning is missing.
    """

    last_seqs: dict[str, int] = field(factory=dict)
    _requested: set[str] = field(factory=set, init=False)  # resumed on this connection, and no event accepted since
    _gaps: set[str] = field(factory=set, init=False)  # threads of which an event beyond the next one was dropped
    _refused: bool = field(default=False, init=False)  # a command was refused that may have been a resume

    def start_connection(self) -> dict[str, int]:
        """Start a new connection, dropping the gaps of the last one. Return the cursors of its first `resume`."""
        self._gaps.clear()
        self._refused = False
        self._requested = set(self.last_seqs)
        return dict(self.last_seqs)

    def move_to(self, thread_id: str, seq: int) -> None:
        """Move the cursor to `seq`, back or forward: the caller resumes there, or the log was trimmed."""
        self.last_seqs[thread_id] = seq
        self._requested.add(thread_id)
        self._gaps.discard(thread_id)

    def judge(self, thread_id: str, seq: int, *, waiting: bool = False) -> Judgement:
        """Judge a durable event. On ACCEPT the cursor advances past it.

        `waiting`: a message of this client waits to be accepted in the thread, and this is not its acceptance.
        """
        cursor = self.last_seqs.get(thread_id)
        if cursor is None and waiting and seq > 1:
            self._gaps.add(thread_id)
            return Judgement.GAP
        if cursor is not None and seq <= cursor:
            return Judgement.DUPLICATE
        if cursor is not None and seq > cursor + 1:
            self._gaps.add(thread_id)
            return Judgement.GAP
        self.last_seqs[thread_id] = seq
        if cursor is not None:  # events dropped before there was a cursor are still missing
            self._gaps.discard(thread_id)
        self._requested.discard(thread_id)
        return Judgement.ACCEPT

    def mark_incomplete(self, thread_id: str) -> None:
        """Mark a thread to be resumed: events may be missing without a visible gap."""
        self._gaps.add(thread_id)
        self._requested.discard(thread_id)

    def mark_refused(self) -> None:
        """Record a temporary refusal that names no command: it may have been of a resume."""
        self._refused = True

    def threads_to_resume(self, *, again: bool) -> dict[str, int]:
        """Return the cursors of the threads to resume now, and mark them as requested.

        `again`: also threads whose requested events have not come, and after a refusal every thread.
        """
        all_threads = again and self._refused
        self._refused = self._refused and not again
        cursors = {
            name: cursor
            for name, cursor in self.last_seqs.items()
            if all_threads or (name in self._gaps and (again or name not in self._requested))
        }
        self._requested.update(cursors)
        return cursors
