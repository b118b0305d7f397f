"""The rows of storage as plain values. Times are Unix seconds. Ids that a client chose are names within their owner's
space.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from attrs import field, frozen
from attrs.validators import ge, in_

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


@frozen
class Thread:
    """A conversation. `last_seq` is the number of its newest event, 0 before the first.

    `updated_at` is the latest time that a change of the thread named (a message, a run's beginning or end). `pinned_at`
    and `archived_at` are when its user pinned it and put it away, None if not; see `archived`. `tags` are its tags,
    each between two spaces. `newest_run` is the run that began last: its answer is where the newest branch ends. `node`
    is the server that has the thread, None for none, and `fence` counts who had it: only that node under that number
    appends to its log.
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
    `rating` and `note` are the user's feedback on an answer. `next_steps` are the calls that it offers: each has
    `label`, `tool` and `arguments`. `files` are those that were made for it: each has `id`, `name`,
    `media_type` and `size`.
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
    next_steps: Sequence[Mapping[str, Json]] | None = field(default=None, repr=False)
    files: Sequence[Mapping[str, Json]] | None = field(default=None, repr=False)


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


_FILE_ID: Final = re.compile(r"[0-9a-f]{32}")


def is_file_id(text: str) -> bool:
    """Return whether this has the form of the id of a file."""
    return _FILE_ID.fullmatch(text) is not None


@frozen
class AnsweredMessage:
    """A message of the user on a path, with the run that answered it on that path, and the steps of that run.

    `answer` is None if the run has none. `status` is the run's. `whole` is False if its steps were not read, because
    they are too many.
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
        messages = (message for pair in self.exchanges for message in (pair.message, pair.answer))
        return tuple(message for message in messages if message is not None)


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
