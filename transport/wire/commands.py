"""The vocabulary of commands (client to server). `transport.wire.codec` turns every accepted client form into one of
these.

A `session_token` may come with the first message of a connection, whatever it is.
"""

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

JsonObject: TypeAlias = Mapping[str, Any]


class Decision(enum.StrEnum):
    """What a user decides about a tool call that waits for consent."""

    ALLOW = "allow"
    DENY = "deny"


class Rating(enum.StrEnum):
    """Thumbs on an answer."""

    UP = "up"
    DOWN = "down"


@frozen
class Say:
    """A message to an agent.

    `thread_id`, `message_id` and `conversation_id` are the client's own names within its user's space.
    `agent_type` is `guide`, `liaison` (with `pillar`) or the name of a registered agent; None leaves the choice
    to the server. `references` are ids of uploaded files, with `metadata.file_id` as the last of them. `parent_id` is
    the answer that this follows; None: the last one of the thread. `context` is data for the agent to read, `settings`
    are limits of the run; see `understudy.chat.run.run_settings`.
    """

    content: str = field(repr=False)
    thread_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    agent_type: str | None = None
    pillar: str | None = None
    parent_id: str | None = None
    references: tuple[str, ...] = ()
    context: JsonObject = field(factory=dict, repr=False)
    settings: JsonObject = field(factory=dict, repr=False)
    metadata: JsonObject = field(factory=dict, repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Resume:
    """Follow these threads, each from the event after the given `seq`."""

    threads: Mapping[str, int]
    session_token: str | None = field(default=None, repr=False)

    @property
    def returns(self) -> bool:
        """Whether the client has events of one of the threads already, and so was here before."""
        return any(self.threads.values())


@frozen
class Cancel:
    """Stop a run."""

    run_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class Approve:
    """Let a tool call that waits for its user's consent go on, or refuse it; `note` is for the agent to read."""

    call_id: str
    decision: Decision
    note: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Edit:
    """Say a message in other words: a new branch beside it, with `new_message_id` (the server's when None)."""

    message_id: str
    content: str = field(repr=False)
    new_message_id: str | None = None
    session_token: str | None = field(default=None, repr=False)


@frozen
class Regenerate:
    """Have a message answered once more: a new branch beside its answer. `message_id` is the message's or the answer's.

    `request_id` makes a repeat safe: the same one again is the same run.
    """

    message_id: str
    request_id: str | None = None
    session_token: str | None = field(default=None, repr=False)


@frozen
class Feedback:
    """What the user thinks of an answer; `rating` None takes an earlier one back."""

    message_id: str
    rating: Rating | None = None
    note: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Hello:
    """What the client can take; the last one counts.

    Several events in one frame (`batch`), large events in parts (`chunk`), large frames compressed (`gzip`), rendered
    answers (`html`).
    """

    batch: bool = False
    chunk: bool = False
    gzip: bool = False
    html: bool = False
    session_token: str | None = field(default=None, repr=False)


@frozen
class Chunk:
    """A part of a large frame: `index` from 0, of `count` in all. See `transport.wire.chunks`."""

    id: str
    index: int
    count: int
    data: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Ack:
    """The last `seq` of a thread that the client has shown."""

    thread_id: str
    seq: int
    session_token: str | None = field(default=None, repr=False)


@frozen
class Refresh:
    """A newer token for the same session."""

    session_token: str = field(repr=False)


@frozen
class UserTyping:
    """The user is typing in a thread."""

    thread_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class ClientPing:
    """Answered by a `Pong` with the same `nonce`."""

    nonce: str | None = None
    session_token: str | None = field(default=None, repr=False)


Command: TypeAlias = (
    Say
    | Resume
    | Cancel
    | Approve
    | Edit
    | Regenerate
    | Feedback
    | Hello
    | Chunk
    | Ack
    | Refresh
    | UserTyping
    | ClientPing
)
