"""The writes: each is stored completely or not at all, and storing one twice is storing it once."""

from itertools import pairwise
from typing import Final, TypeAlias

from attrs import field, frozen
from attrs.validators import in_

from .agent_memory import MemoryWrite
from .deletion import DeletionWrite
from .revocations import RevokeSession
from .rows import ENDED, File, LoggedEvent, Message, RawText, RunRecord, StepRecord, Thread

TRIMMED: Final = 200
"""Limit of events deleted per transaction (about 10 ms), as all other writes wait for it."""


LEASE_S: Final = 2.0
"""Duration of a node's lease after a renewal, by the database's clock."""


@frozen
class Fence:
    """The fencing token under which a node appends to a thread's log: its id, and the number of its claim."""

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
    """An interrupted run is resumed: the number of attempts so far, and of finished steps."""

    run_id: str
    attempts: int
    progress: int


@frozen
class Change:
    """One transaction on one thread.

    - `events` are the thread's next ones: their numbers follow `last_seq` without a gap;
    - `thread` is inserted if it does not exist;
    - `messages` are inserted; repeating one is fine, another message under its id is refused;
    - `run` is inserted, or replaces a queued one; one that has ended is left as it is; it becomes the thread's newest
      run;
    - `steps` are inserted, or replace the ones of the same number;
    - `run_end` ends a run;
    - `attempt` updates the attempts of an unfinished run;
    - `raw` is inserted beside its message, once;
    - `fence`, unless None, must be the thread's: if another node has claimed it since, nothing is stored. An inserted
      thread gets it.

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
        """Whether it only appends events, maybe with steps."""
        parts = (self.thread, self.run, self.run_end, self.attempt, self.raw)
        return bool(self.events) and not self.messages and parts == (None,) * len(parts)


@frozen
class RenameThread:
    """Set the title of a thread. The answer is whether there is such a thread."""

    owner: str
    thread_id: str
    title: str = field(repr=False)


@frozen
class DeleteThread:
    """Delete a thread with its messages, events, runs and steps; of a long one the next part.

    The answer is `deletion.GONE`, `deletion.MORE`, or 0 if there is no such thread.

    `fence`, unless None, must be the thread's. `unless_since`: only if it was last used before that time (Unix seconds)
    and has no unfinished run; else the answer is 0.
    """

    owner: str
    thread_id: str
    fence: Fence | None = None
    unless_since: float | None = None


@frozen
class TrimLog:
    """Delete the thread's events before `before_seq`, but none of an unfinished run; at most TRIMMED at a time.

    The answer is whether there are more.
    """

    owner: str
    thread_id: str
    before_seq: int


@frozen
class GiveFeedback:
    """Store the user's feedback on an answer, replacing earlier feedback. The answer is whether the message exists.

    `rating` is free text; None removes the rating.
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
    """Write a page and commit, with no other effect: checks that writing works."""


@frozen
class ClaimThread:
    """Claim a thread for a node, if no other living node owns it.

    The answer is the number of the new fence, one more than before; 1 if there is no such thread yet. It is 0 if
    another node owns the thread or is writing to it right now, and if the node itself is not alive.
    """

    owner: str
    thread_id: str
    node: str


@frozen
class ReleaseThread:
    """Release a thread, if it is still under this fence. The answer is whether it was."""

    owner: str
    thread_id: str
    fence: Fence


@frozen
class JoinNodes:
    """Join a node to the cluster. The answer is False, with nothing changed, if another node excludes it.

    A node that is `alone` runs without Redis: it joins only if no other is alive, and no other joins beside it.
    """

    node: str
    alone: bool = False
    lease_s: float = LEASE_S


@frozen
class RenewNode:
    """Renew a node's lease. The answer is False, with nothing changed, if the node was declared dead.

    That happens if its lease expired and another node claimed one of its threads; to an `alone` node, if another
    joined. A late renewal also extends the leases of the nodes that were alive at the previous one.
    """

    node: str
    lease_s: float = LEASE_S


@frozen
class LeaveNodes:
    """Remove a node: others can claim its threads at once. The answer is whether it was there."""

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
