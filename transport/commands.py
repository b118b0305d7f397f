"""The vocabulary of commands (client to server). `transport.codec` turns every accepted client form into one of these.

A `session_token` may come with the first message of a connection, whatever it is.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

JsonObject: TypeAlias = Mapping[str, Any]


@frozen
class Say:
    """A message to an agent.

    `thread_id`, `message_id` and `conversation_id` are the client's own names within its user's space.
    `agent_type` is `guide`, `liaison` (with `pillar`) or the name of a registered agent; None leaves the choice
    to the server. `references` are ids of uploaded files.
    """

    content: str = field(repr=False)
    thread_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    agent_type: str | None = None
    pillar: str | None = None
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


@frozen
class Cancel:
    """Stop a run."""

    run_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class Hello:
    """What the client can take: several events in one frame (`batch`), rendered answers (`html`)."""

    batch: bool = False
    html: bool = False
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


Command: TypeAlias = Say | Resume | Cancel | Hello | Ack | Refresh | UserTyping | ClientPing
