"""The commands that clients send. `transport.wire.codec` parses every accepted form into one of these.

The first message of a connection may carry a `session_token`, whatever its type.
"""

import enum
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

JsonObject: TypeAlias = Mapping[str, Any]


class Decision(enum.StrEnum):
    """A user's decision about a tool call that waits for approval."""

    ALLOW = "allow"
    DENY = "deny"


class SteerMode(enum.StrEnum):
    """When a steer enters its run.

    `next`: before the next request to the model. `now`: the model's turn ends, and its text stays. `after`: it is an
    ordinary message, which waits until the run has ended.
    """

    NEXT = "next"
    NOW = "now"
    AFTER = "after"


class Rating(enum.StrEnum):
    """A user's rating of an answer."""

    UP = "up"
    DOWN = "down"


@frozen
class Say:
    """A message to an agent.

    `thread_id`, `message_id` and `conversation_id` are the client's own names within its user's space.
    `agent_type` is `guide`, `liaison` (with `pillar`) or the name of a registered agent; None leaves the choice
    to the server. `references` are ids of uploaded files, with `metadata.file_id` as the last of them. `parent_id` is
    the answer that this follows; None: the last one of the thread. `context` is data for the agent to read, `settings`
    are limits of the run: `timeout_s`, the seconds that it may work, `max_turns`, the turns of its model, `budget`,
    and `tool`: the tool that the agent calls with `context` as its arguments, in place of asking a model.
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
    """Subscribe to these threads, each from the event after the given `seq`."""

    threads: Mapping[str, int]
    session_token: str | None = field(default=None, repr=False)

    @property
    def returns(self) -> bool:
        """Whether the client has events of one of the threads already, so that it is a returning one."""
        return any(self.threads.values())


@frozen
class Cancel:
    """Stop a run."""

    run_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class Steer:
    """Send a run that is at work a further message of its user.

    `steer_id` is the client's own name of it (chosen by the server if None): repeating it refers to the same steer.
    """

    run_id: str
    content: str = field(repr=False)
    mode: SteerMode = SteerMode.NEXT
    steer_id: str | None = None
    session_token: str | None = field(default=None, repr=False)


@frozen
class Unsteer:
    """Take back a steer that its run has not taken yet."""

    run_id: str
    steer_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class Approve:
    """Approve or deny a tool call that waits for its user; the agent reads the `note`.

    `parameters` change those of an allowed call. `remember`: allow the tool always in this thread.
    """

    call_id: str
    decision: Decision
    note: str | None = field(default=None, repr=False)
    parameters: JsonObject | None = field(default=None, repr=False)
    remember: bool = False
    session_token: str | None = field(default=None, repr=False)


@frozen
class Respond:
    """Answer a question that a run asks, with an object that fits its schema, or `decline` to answer."""

    question_id: str
    answer: JsonObject | None = field(default=None, repr=False)
    decline: bool = False
    session_token: str | None = field(default=None, repr=False)


@frozen
class Disallow:
    """Take back the consent to call a tool always in a thread."""

    thread_id: str
    tool_name: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class SwitchServer:
    """Switch an MCP server off in a thread, or on again: its tools are not offered there while it is off."""

    thread_id: str
    server: str
    on: bool
    session_token: str | None = field(default=None, repr=False)


@frozen
class Undo:
    """Take back a tool call of an ended run, or with `run_id` all its calls that can be, the newest first."""

    call_id: str | None = None
    run_id: str | None = None
    session_token: str | None = field(default=None, repr=False)


@frozen
class Edit:
    """Edit a message on a new branch, as `new_message_id` (None: chosen here). `references` replace its files."""

    message_id: str
    content: str = field(repr=False)
    new_message_id: str | None = None
    session_token: str | None = field(default=None, repr=False)
    references: tuple[str, ...] = ()


@frozen
class Regenerate:
    """Request another answer to a message, on a new branch. `message_id` is the message's or the answer's.

    `request_id` is an idempotency key: repeating it refers to the same run. With `call_id`, a call of one of the
    message's runs, the new run takes over the steps before that call, which it makes again.
    """

    message_id: str
    request_id: str | None = None
    session_token: str | None = field(default=None, repr=False)
    call_id: str | None = None


@frozen
class Continue:
    """Go on with the answer of a run that was cut, in another run that begins with its work and its text.

    `request_id` is an idempotency key: repeating it refers to the same run; without one a run is continued once.
    """

    run_id: str
    request_id: str | None = None
    session_token: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.request_id or f"continue-{self.run_id}"


@frozen
class Feedback:
    """Rate an answer; `rating` None withdraws an earlier rating."""

    message_id: str
    rating: Rating | None = None
    note: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Hello:
    """Announce the client's capabilities; the last one counts.

    Several events in one frame (`batch`), large events in chunks (`chunk`), large frames compressed (`gzip`).
    """

    batch: bool = False
    chunk: bool = False
    gzip: bool = False
    session_token: str | None = field(default=None, repr=False)


@frozen
class Chunk:
    """A chunk of a large frame: `index` from 0, of `count` in all. See `transport.wire.payloads`."""

    id: str
    index: int
    count: int
    data: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Ack:
    """Acknowledge the events of a thread up to `seq`: the client has shown them."""

    thread_id: str
    seq: int
    session_token: str | None = field(default=None, repr=False)


@frozen
class Refresh:
    """Present a newer token of the same session."""

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
    Say | Resume | Cancel | Steer | Unsteer | Approve | Respond | Disallow | SwitchServer | Undo | Edit | Regenerate
    | Continue | Feedback | Hello | Chunk | Ack | Refresh | UserTyping | ClientPing
)  # fmt: skip
