"""Where a client stands in each of its threads: the one rule that makes loss, repeats and reconnects harmless. Pure.

An event with `seq` is taken when it is the one after the place, dropped when the place is already past it, and a
hole when it lies further on: it is dropped too, and the thread resumed from its place. Events without `seq` are taken.
"""

import enum

from attrs import define, field

__all__ = ["Judgement", "ThreadCursors"]


class Judgement(enum.Enum):
    """What to do with an event: give it to the caller, drop it, or drop it and resume its thread."""

    ACCEPT = "take"
    DUPLICATE = "duplicate"
    GAP = "hole"


@define
class ThreadCursors:
    """The places of one client, by thread, across its connections.

    A thread without a place gets one from the first event of it that comes, or, while a message of this client's own
    waits to be accepted in it, from that acceptance: what comes before belongs to a story whose beginning is missing.
    """

    last_seqs: dict[str, int] = field(factory=dict)
    _asked: set[str] = field(factory=set, init=False)  # resumed on this connection, nothing was taken since
    _gaps: set[str] = field(factory=set, init=False)  # something further on was dropped
    _refused: bool = field(default=False, init=False)  # a command was, and it may have been a resume

    def start_connection(self) -> dict[str, int]:
        """A new connection: what its first `resume` says. Holes of the last one mean nothing on this one."""
        self._gaps.clear()
        self._refused = False
        self._asked = set(self.last_seqs)
        return dict(self.last_seqs)

    def move_to(self, thread_id: str, seq: int) -> None:
        """Go on after `seq`, back or forward: the caller resumes there, or the log does not reach back further."""
        self.last_seqs[thread_id] = seq
        self._asked.add(thread_id)
        self._gaps.discard(thread_id)

    def judge(self, thread_id: str, seq: int, *, waiting: bool = False) -> Judgement:
        """Judge an event that has a `seq`. After TAKE the place is past it.

        `waiting`: a message of this client's own waits to be accepted in the thread, and this is not its acceptance.
        """
        place = self.last_seqs.get(thread_id)
        if place is None and waiting and seq > 1:
            self._gaps.add(thread_id)
            return Judgement.GAP
        if place is not None and seq <= place:
            return Judgement.DUPLICATE
        if place is not None and seq > place + 1:
            self._gaps.add(thread_id)
            return Judgement.GAP
        self.last_seqs[thread_id] = seq
        if place is not None:  # what was dropped before there was a place is still missing
            self._gaps.discard(thread_id)
        self._asked.discard(thread_id)
        return Judgement.ACCEPT

    def mark_incomplete(self, thread_id: str) -> None:
        """More may be missing than was seen: resume the thread."""
        self._gaps.add(thread_id)
        self._asked.discard(thread_id)

    def mark_refused(self) -> None:
        """The server refused a command for now without saying which: it may have been a resume."""
        self._refused = True

    def threads_to_resume(self, *, again: bool) -> dict[str, int]:
        """What to resume now, after which it counts as asked for.

        `again`: also what was asked for and has not come, and after a refusal every thread.
        """
        everything = again and self._refused
        self._refused = self._refused and not again
        wanted = {
            name: place
            for name, place in self.last_seqs.items()
            if everything or (name in self._gaps and (again or name not in self._asked))
        }
        self._asked.update(wanted)
        return wanted
