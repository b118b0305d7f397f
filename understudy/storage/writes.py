"""What can be written: each of these is stored whole or not at all, and storing it twice is storing it once."""

from itertools import pairwise
from typing import Final, TypeAlias

from attrs import field, frozen
from attrs.validators import in_

from .agent_memory import MemoryWrite
from .deletion import DeletionWrite
from .revocations import RevokeSession
from .rows import ENDED, File, LoggedEvent, Message, RawText, RunRecord, StepRecord, Thread

TRIMMED: Final = 200
"""Events removed in one transaction, which all other writes wait for: some ten milliseconds."""


LEASE_S: Final = 2.0
"""How long a node is taken to be alive after it last said so, by the database's clock."""


@frozen
class Fence:
    """By what right a node appends to a thread's log: its id, and the number under which it claimed the thread."""

    node: str
    token: int


@frozen
class RunEnd:
    """How and when a run ended; a run ends once."""

    run_id: str
    status: str = field(validator=in_(ENDED))
    ended_at: float


@frozen
class RunAttempt:
    """Work on a run that lost its server is taken up: for the how-manieth time, and with how many finished steps."""

    run_id: str
    attempts: int
    progress: int


@frozen
class Change:
    """One transaction on one thread.

    - `events` are the thread's next ones: their numbers follow `last_seq` without a gap;
    - `thread` is inserted if it is not there, and left as it is if it is;
    - `messages` are inserted; the same message again is fine, another one under its id is not;
    - `run` is inserted, or a queued one is moved to what this says; one that has ended is left as it is; it is the
      thread's newest from here on;
    - `steps` are inserted, or replace the ones of the same number;
    - `run_end` ends a run;
    - `taken` says how often a run that has not ended was taken up;
    - `raw` is inserted beside its message, once;
    - `fence`, unless it is None, must be the thread's: if another node has claimed it since, nothing is stored. A
      thread that is inserted gets it.

    Raises ValueError when its parts belong to different threads or the events have a gap.
    """

    owner: str
    thread_id: str
    events: tuple[LoggedEvent, ...] = ()
    thread: Thread | None = None
    messages: tuple[Message, ...] = ()
    run: RunRecord | None = None
    run_end: RunEnd | None = None
    attempt: RunAttempt | None = None
    steps: tuple[StepRecord, ...] = ()
    raw: RawText | None = None
    fence: Fence | None = None

    def __attrs_post_init__(self) -> None:
        space = (self.owner, self.thread_id)
        if self.thread is not None and (self.thread.owner, self.thread.id) != space:
            raise ValueError(f"the change is of thread {self.thread_id!r}, its thread is another")
        if self.raw is not None and (self.raw.owner, self.raw.thread_id) != space:
            raise ValueError(f"the change is of thread {self.thread_id!r}, its raw text is of another")
        for part in (*self.messages, *((self.run,) if self.run else ())):
            if (part.owner, part.thread_id) != space:
                raise ValueError(f"the change is of thread {self.thread_id!r}, {part.id!r} is of another")
        for before, after in pairwise(self.events):
            if after.seq != before.seq + 1:
                raise ValueError(f"event {before.seq} is followed by {after.seq}")

    @property
    def only_appends(self) -> bool:
        """Whether it appends events, maybe with steps, and does nothing else."""
        parts = (self.thread, self.run, self.run_end, self.attempt, self.raw)
        return bool(self.events) and not self.messages and parts == (None,) * len(parts)

    @property
    def touched_at(self) -> float | None:
        """The latest time that the change names, for the thread's `updated_at`; None when it names none."""
        times = [message.created_at for message in self.messages]
        if self.run is not None:
            times.append(self.run.started_at)
        if self.run_end is not None:
            times.append(self.run_end.ended_at)
        return max(times, default=None)


@frozen
class RenameThread:
    """Give a thread another title. The answer is whether there is such a thread."""

    owner: str
    thread_id: str
    title: str = field(repr=False)


@frozen
class DeleteThread:
    """Remove a thread with its messages, events, runs and steps; of a long one the next piece.

    The answer is `removal.GONE`, or MORE, or 0 where there is no such thread.

    `fence`, unless it is None, must be the thread's. `unless_since`: only if it was last touched before that time (Unix
    seconds) and no run in it is unfinished; else the answer is 0.
    """

    owner: str
    thread_id: str
    fence: Fence | None = None
    unless_since: float | None = None


@frozen
class TrimLog:
    """Remove the thread's first events, up to the one before `before_seq`, but none of a run that has not ended.

    At most TRIMMED at a time. The answer is whether there are more.
    """

    owner: str
    thread_id: str
    before_seq: int


@frozen
class GiveFeedback:
    """Keep what the user thinks of an answer, in place of what they thought before. The answer is whether it is there.

    `rating` is free text, None takes it back.
    """

    owner: str
    message_id: str
    rating: str | None
    note: str | None = field(default=None, repr=False)


@frozen
class AddFile:
    """Record an uploaded file."""

    file: File


@frozen
class ProbeWrite:
    """Keep nothing, but write a page and commit: a sign that writing works."""


@frozen
class ClaimThread:
    """Have a thread for a node, if no other living one has it.

    The answer is the number of the fence, which is one more than before; 1 where there is no such thread yet. It is 0
    where another node has it, or writes to it at this moment, and for a node that is not alive itself.
    """

    owner: str
    thread_id: str
    node: str


@frozen
class ReleaseThread:
    """Let go of a thread, if it still is under this fence. The answer is whether it was."""

    owner: str
    thread_id: str
    fence: Fence


@frozen
class JoinNodes:
    """Enter a node among the living. The answer is False, and nothing changed, where another one stands against it.

    A node that is `alone` knows nothing of others: it joins only where none is alive, and no other joins beside it.
    """

    node: str
    alone: bool = False
    lease_s: float = LEASE_S


@frozen
class RenewNode:
    """A node says that it is alive. The answer is False, and nothing changed, when it was taken for dead by then.

    That is so when its lease was over and another took something from it; one that is alone: when another has joined.
    A node that says so late has the leases of those prolonged that were alive when it last said so.
    """

    node: str
    lease_s: float = LEASE_S


@frozen
class LeaveNodes:
    """A node ends: others may have its threads from now on. The answer is whether it was there."""

    node: str


NodeWrite: TypeAlias = ClaimThread | ReleaseThread | JoinNodes | RenewNode | LeaveNodes
Write: TypeAlias = (
    Change
    | RenameThread
    | DeleteThread
    | TrimLog
    | GiveFeedback
    | AddFile
    | ProbeWrite
    | MemoryWrite
    | NodeWrite
    | DeletionWrite
    | RevokeSession
)
