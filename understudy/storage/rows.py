"""The rows of storage, as plain values.

Times are Unix seconds. Ids that a client chose are names within their owner's space.
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

from attrs import field, frozen
from attrs.validators import ge, in_

Json: TypeAlias = Any
Item = TypeVar("Item")

UNFINISHED: Final = ("queued", "running")
ENDED: Final = ("success", "failed", "cancelled", "interrupted")
ROLES: Final = ("user", "assistant")
STEP_KINDS: Final = ("model", "tool")


@frozen
class Thread:
    """A conversation. `last_seq` is the number of its newest event, 0 before the first.

    `updated_at` is the latest time that a change of the thread named (a message, a run's beginning or end).
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
    node: str | None = None
    fence: int = 0


@frozen
class Message:
    """A message of a user, or a complete answer. `references` are ids of files; `status` is free text.

    Messages are a tree. `parent_id` of an answer is the message that it answers; of a user's message the answer that
    it follows, None for the first of a thread. That answer need not be stored: its run may have ended without one.
    `branch_of` is the message that this is an edit of or, of an answer, the message that was answered once more.
    `rating` and `note` are the user's feedback on an answer.
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
    `found` is the summary of redactions that the user is shown, None for none; opaque to storage.
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


@frozen
class StepRecord:
    """A recorded step of a run: a turn of the model or a tool call. `number` counts within the run."""

    run_id: str
    number: int
    kind: str = field(validator=in_(STEP_KINDS))
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
class History:
    """The messages on the path to a message, oldest first; `left_out` earlier ones were omitted."""

    messages: tuple[Message, ...]
    left_out: int = 0


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
