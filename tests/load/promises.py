"""Checks of what the protocol promises a client: consecutive numbers in each thread, one end for each message. Pure.

A `Cursor` judges the numbered events of one thread on one socket. An `Arc` follows one message, whichever of its user's
sockets shows an event of it first.
"""

from typing import Final

from attrs import define

TERMINAL: Final = ("final_response", "error")


@define
class Cursor:
    """The last number of a thread that a socket has shown.

    After a resume, an event further on is passed over until the next one in order has come: a server may have sent it
    before it read the resume, and sends it again.
    """

    last: int = 0
    resuming: bool = False
    head: int = 0
    """The highest number seen, also of events that were passed over."""

    def resume(self) -> int:
        """Return the number to resume from on a new socket."""
        self.resuming = True
        return self.last

    def judge(self, seq: int) -> str | None:
        """Advance to an event. Return why its number breaks the promise, `early` if it will come again, or None."""
        self.head = max(self.head, seq)
        if seq <= self.last:
            return "repeat"
        if seq > self.last + 1:
            if self.resuming:
                return "early"
            self.last = seq
            return "gap"
        self.last, self.resuming = seq, False
        return None


@define
class Arc:
    """One message from when it was due until its end. Times are seconds of one clock.

    `measured` False: its user closed a socket meanwhile, so that its times say nothing about the server.
    """

    message_id: str
    thread_id: str
    content: str
    due_at: float
    tab: int = 0
    """Which of its user's sockets sends it."""
    measured: bool = True
    sent: bool = False
    resent: bool = False
    interrupted: bool = False
    """Whether its user has done to it what they do in the middle of an answer."""
    run_id: str | None = None
    accepted: bool = False
    begun: bool = False
    ends: int = 0
    refused: str = ""

    @property
    def settled(self) -> bool:
        """Whether its end, or its refusal, has come."""
        return bool(self.ends or self.refused)

    def advance(self, kind: str, run_id: str | None, code: str = "") -> tuple[str | None, str | None]:
        """Take in an event that is new to the user. Return the name of the latency that it ends, and a violation."""
        if kind == "error" and run_id is None:
            self.refused = code
            return None, "refused_after_acceptance" if self.accepted else None
        if self.ends:
            return None, "second_end" if kind in TERMINAL else None
        if kind == "message_accepted":
            again, self.accepted, self.run_id = self.accepted, True, run_id
            return (None, "second_acceptance") if again else ("accepted", None)
        broken = None if self.accepted or kind not in TERMINAL else "end_without_acceptance"
        if kind in TERMINAL:
            self.ends += 1
            return "end", broken
        if self.begun or not self.accepted:
            return None, None
        self.begun = True
        return "first_event", None
