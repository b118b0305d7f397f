"""The records of storage as plain values: rows, the keys of their owners, and the writes that change them.

Times are Unix seconds. Ids that a client chose are names within their owner's space. The key of an owner is the user
name of the token or, with tenants, both names, separated by a character that no claim of a token can contain, so that
no two users share a key. A write is stored completely or not at all, and storing it twice is storing it once.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen
from attrs.validators import ge, in_

from .accounts import AccountWrite
from .agent_memory import MemoryWrite
from .agent_states import SaveState
from .attempts import AttemptWrite
from .audit import AuditWrite
from .consents import ConsentWrite
from .deletion import DeletionWrite
from .deliveries import Delivery, DeliveryWrite
from .errors import BadName
from .memberships import SetMemberships
from .passkeys import PasskeyWrite
from .provider_sessions import ProviderSessionWrite
from .pushes import PushWrite
from .revocations import RevokeSession
from .schedules import ScheduleWrite
from .servers_off import SetServerOn
from .shares import ShareWrite
from .sign_ins import SignInWrite
from .spending import ForgetSpending, Spent
from .stops import StopWrite
from .web_push import WebPushWrite

Json: TypeAlias = Any
Item = TypeVar("Item")

UNFINISHED: Final = ("queued", "running")
ENDED: Final = ("success", "failed", "cancelled", "interrupted")
ROLES: Final = ("user", "assistant")
STEP_KINDS: Final = ("model", "tool", "steer", "summary", "undo", "step", "ask")
ONCE: Final = "once_"
"""Prefix of the ids of threads that are for one answer: they are listed while a run is at work, and deleted soon."""
WIDGET: Final = "widget-"
"""Prefix of the ids of messages that stand for a call by the user interface of a tool: no model is given them."""
BETWEEN: Final = "\x1f"
"""Separates tenant and user in a key: U+001F, the unit separator; claims are printable (`transport.auth.tokens`)."""
TRIMMED: Final = 200
"""Limit of events deleted per transaction (about 10 ms), as all other writes wait for it."""
LEASE_S: Final = 2.0
"""Duration of a node's lease after a renewal, by the database's clock."""


def owner_of(user: str, tenant: str | None = None) -> str:
    """Return the key under which a user's data is stored.

    Raises `BadName` for a name with characters that are not printable: with `BETWEEN` in it, the key of a user without
    a tenant would be that of one with a tenant.
    """
    if not user.isprintable() or not (tenant or "").isprintable():
        raise BadName
    return user if tenant is None else f"{tenant}{BETWEEN}{user}"


def name_of(owner: str) -> str:
    """Return the user name of a key, as in the token."""
    return owner.rpartition(BETWEEN)[2]


def tenant_of(owner: str) -> str | None:
    """Return the tenant of a key, or None."""
    tenant, between, _ = owner.rpartition(BETWEEN)
    return tenant if between else None


@frozen
class Thread:
    """A conversation. `last_seq` is the number of its newest event, 0 before the first.

    `updated_at` is the latest time that a change of the thread named (a message, a run's beginning or end).
    `pinned_at` and `archived_at` are when its user pinned it and put it away, None if not; see `archived`. `tags` are
    its tags, each between two spaces.
    `newest_run` is the run that began last: its answer is where the newest branch ends. `node` is the server that has
    the thread, None for none, and `fence` counts who had it: only that node under that number appends to its log.
    """

    owner: str
    id: str
    title: str = field(repr=False)
    agent_type: str
    pillar: str | None
    created_at: float
    updated_at: float
    last_seq: int = 0
    newest_run: str | None = None
    pinned_at: float | None = None
    archived_at: float | None = None
    tags: str = field(default="", repr=False)
    node: str | None = None
    fence: int = 0

    @property
    def archived(self) -> bool:
        """Whether its user has put it away, and it was not used since."""
        return self.archived_at is not None and self.archived_at >= self.updated_at


@frozen
class Message:
    """A message of a user, or a complete answer. `references` are ids of files; `status` is free text.

    Messages are a tree. `parent_id` of an answer is the message that it answers; of a user's message the answer that
    it follows, None for the first of a thread. That answer need not be stored: its run may have ended without one.
    `branch_of` is the message that this is an edit of or, of an answer, the message that was answered once more.
    `rating` and `note` are the user's feedback on an answer. `next_steps` are the requests that it offers: each has
    `label` and `message`. `files` are those that were made for it: each has `id`, `name`, `media_type` and `size`.
    """

    owner: str
    id: str
    thread_id: str
    run_id: str | None
    role: str = field(validator=in_(ROLES))
    content: str = field(repr=False)
    agent_type: str
    pillar: str | None
    status: str
    created_at: float
    references: tuple[str, ...] = field(default=(), converter=tuple[str, ...])
    visualization: Mapping[str, Json] | None = field(default=None, repr=False)
    parent_id: str | None = None
    branch_of: str | None = None
    rating: str | None = None
    note: str | None = field(default=None, repr=False)
    next_steps: Sequence[Mapping[str, str]] | None = field(default=None, repr=False)
    files: Sequence[Mapping[str, Json]] | None = field(default=None, repr=False)


@frozen
class RawText:
    """The original text of a user's message, before redaction: encrypted, opaque to storage."""

    owner: str
    message_id: str
    thread_id: str
    sealed: bytes = field(repr=False)


@frozen
class RunRecord:
    """The work on one accepted message. Its id is made by the server, so it is unique among all owners.

    `request_id` is the client's name for the request to answer a message once more. `attempts` counts how often work
    on it was taken up again without a further step than at the time before; `progress` is how many steps it had then.
    `found` is the summary of redactions that the user is shown, None for none; opaque to storage. `resume_at` is when
    the next attempt at an interrupted run is due, None if it is under way or was not put off. `continues` is the run
    whose answer it goes on with, None for most. `restarts` counts how often it went on after its server had died.
    """

    id: str
    owner: str
    thread_id: str
    message_id: str
    conversation_id: str | None
    agent_type: str
    pillar: str | None
    status: str = field(validator=in_((*UNFINISHED, *ENDED)))
    started_at: float
    ended_at: float | None = None
    request_id: str | None = None
    attempts: int = 0
    progress: int = 0
    found: bytes | None = field(default=None, repr=False)
    resume_at: float | None = None
    continues: str | None = None
    restarts: int = 0


@frozen
class StepRecord:
    """A recorded step of a run: a turn of the model, a tool call, a message of its user that entered it, a
    summary of what came before, for the model, or the undo of a tool call.

    `number` counts within the run. A node of a later release may have written a `kind` that is not in `STEP_KINDS`.
    """

    run_id: str
    number: int
    kind: str
    name: str
    call_id: str | None
    arguments: Json = field(repr=False)
    result: Json = field(repr=False)
    status: str
    started_at: float
    ended_at: float | None = None


@frozen
class LoggedEvent:
    """An event of a thread's log: `seq` counts from 1 without gaps; `body` is the encoded event, opaque to storage."""

    seq: int = field(validator=ge(1))
    type: str
    run_id: str | None
    body: bytes = field(repr=False)


@frozen
class File:
    """An uploaded file. The bytes lie under `id` in the `FileStore`; `name` is for showing only, `sha256` is hex."""

    owner: str
    id: str
    name: str = field(repr=False)
    media_type: str
    size: int
    sha256: str
    created_at: float


@frozen
class AnsweredMessage:
    """A message of the user on a path, with the run that answered it on that path, and the steps of that run.

    `answer` is None if the run has none. `status` is the run's. `whole` is False if its
    steps were not read, because they are too many.
    """

    message: Message
    run_id: str | None = None
    status: str = ""
    answer: Message | None = None
    steps: tuple[StepRecord, ...] = ()
    whole: bool = True


@frozen
class History:
    """The path to a message, oldest first; `left_out` earlier messages were omitted.

    `step_characters` are those of the arguments and results of all its steps, as JSON.
    """

    exchanges: tuple[AnsweredMessage, ...]
    left_out: int = 0
    step_characters: int = 0

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages on the path, with the answers."""
        each = (message for pair in self.exchanges for message in (pair.message, pair.answer))
        return tuple(message for message in each if message is not None)


@frozen
class Page(Generic[Item]):
    """A page of a list; `next_cursor` leads to the next page, None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


@frozen
class ThreadPage:
    """A page of a thread's messages, with the thread and its runs.

    `newest` is the run that started last, None if there was none; `runs` are those that answered the messages of the
    user, oldest first.
    """

    thread: Thread
    newest: RunRecord | None
    messages: Page[Message]
    runs: tuple[RunRecord, ...]


@frozen
class EventPage:
    """A page of a thread's log."""

    thread: Thread
    events: tuple[LoggedEvent, ...]


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
    """An interrupted run is resumed, or will be at `resume_at`; the numbers of attempts and finished steps so far."""

    run_id: str
    attempts: int
    progress: int
    resume_at: float | None = None


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
    - `restarted` is the id of an unfinished run whose agent goes on after its server has died, which is counted;
    - `raw` is inserted beside its message, once;
    - `spent` and `deliveries` are inserted, once each;
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
    restarted: str | None = None
    steps: tuple[StepRecord, ...] = ()
    raw: RawText | None = None
    fence: Fence | None = None
    spent: tuple[Spent, ...] = ()
    deliveries: tuple[Delivery, ...] = ()

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
        parts = (self.thread, self.run, self.run_end, self.attempt, self.restarted, self.raw)
        return bool(self.events) and not self.messages and parts == (None,) * len(parts)


@frozen
class RenameThread:
    """Set the title of a thread, if `expected` is given only if it is that one. The answer is whether it was set."""

    owner: str
    thread_id: str
    title: str = field(repr=False)
    expected: str | None = field(default=None, repr=False)


@frozen
class MarkThread:
    """Pin or archive a thread at a time (Unix seconds), None to take that back. The answer is whether there is one."""

    owner: str
    thread_id: str
    mark: Literal["pinned", "archived"]
    at: float | None


@frozen
class TagThread:
    """Set the tags of a thread, in place of those it had. The answer is whether there is one."""

    owner: str
    thread_id: str
    tags: tuple[str, ...] = field(repr=False)


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
class MarkRead:
    """Record that a user has seen these threads up to a number each; None: all answers that have ended.

    A mark never moves back, nor beyond the end of the log. The answer is how many threads were marked.
    """

    owner: str
    threads: Mapping[str, int] | None


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
    | MarkThread
    | TagThread
    | DeleteThread
    | TrimLog
    | GiveFeedback
    | MarkRead
    | AddFile
    | ProbeWrite
    | MemoryWrite
    | ConsentWrite
    | AuditWrite
    | SetServerOn
    | SignInWrite
    | ProviderSessionWrite
    | SaveState
    | PushWrite
    | WebPushWrite
    | ShareWrite
    | NodeWrite
    | DeletionWrite
    | RevokeSession
    | ForgetSpending
    | SetMemberships
    | DeliveryWrite
    | ScheduleWrite
    | StopWrite
    | AccountWrite
    | AttemptWrite
    | PasskeyWrite
)
