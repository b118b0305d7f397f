"""The commands of the chat. Those that every server understands are in `transport.wire.commands`."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from attrs import field, frozen

from transport.wire import fields
from transport.wire.command_parser import UntypedForm
from transport.wire.commands import Ack, Chunk, ClientPing, Command, Hello, JsonObject, Refresh, Resume
from transport.wire.errors import CommandRejected
from transport.wire.fields import ID, NAMED, Check, InvalidField, is_id, read_id, read_object, within, words_of
from transport.wire.json_schema import array_of, object_of, or_null, record

FILE_MEMBERS: Final = ("file_id", "content_id")
"""Members of `metadata` that name an uploaded file. The message is answered without one that is not here."""
MAX_REFERENCES: Final = 100
GUIDE: Final = "guide"
LIAISON: Final = "liaison"


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
class Say(Command):
    """A message to an agent.

    `thread_id`, `message_id` and `conversation_id` are the client's own names within its user's space.
    `agent_type` is `guide`, `liaison` (with `pillar`) or the name of a registered agent; None leaves the choice
    to the server. `references` are ids of uploaded files, with `metadata.file_id` as the last of them. `parent_id` is
    the answer that this follows; None: the last one of the thread. `context` is data for the agent to read, `settings`
    are limits of the run: `timeout_s`, the seconds that it may work, `max_turns`, the turns of its model, `budget`,
    and `tool`: the tool that the agent calls with `context` as its arguments, in place of asking a model.
    """

    starts_work: ClassVar[bool] = True

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

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Add the files that `metadata` names to the references. Raises CommandRejected."""
        if fields.get("agent_type") == LIAISON and not fields.get("pillar"):
            raise CommandRejected("pillar_required")
        for name in FILE_MEMBERS if "metadata" in fields else ():
            file_id = fields["metadata"].get(name)
            if file_id is not None and file_id not in fields.get("references", ()):
                fields["references"] = (*fields.get("references", ()), file_id)
        return cls(**_with_content(fields))

    @classmethod
    def names_in(cls, fields: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the agent that the message is addressed to."""
        agent_type, pillar = (fields[name] if is_id(fields.get(name)) else None for name in ("agent_type", "pillar"))
        return agent_names(agent_type, pillar)

    def names(self) -> Mapping[str, str]:
        """Return the agent that the message is addressed to."""
        return agent_names(self.agent_type, self.pillar)


@frozen
class Cancel(Command):
    """Stop a run."""

    run_id: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class Steer(Command):
    """Send a run that is at work a further message of its user.

    `steer_id` is the client's own name of it (chosen by the server if None): repeating it refers to the same steer.
    """

    starts_work: ClassVar[bool] = True

    run_id: str
    content: str = field(repr=False)
    mode: SteerMode = SteerMode.NEXT
    steer_id: str | None = None
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make the command. Raises CommandRejected `empty_message`."""
        return cls(**_with_content(fields))

    def names(self) -> Mapping[str, str]:
        """Return the steer's id as the message's."""
        return {} if self.steer_id is None else {"message_id": self.steer_id}


@frozen
class Unsteer(Command):
    """Take back a steer that its run has not taken yet."""

    run_id: str
    steer_id: str
    session_token: str | None = field(default=None, repr=False)

    def names(self) -> Mapping[str, str]:
        """Return the steer's id as the message's."""
        return {"message_id": self.steer_id}


@frozen
class Approve(Command):
    """Approve or deny a tool call that waits for its user; the agent reads the `note`.

    `parameters` change those of an allowed call. `remember`: allow the tool always in this thread.
    """

    call_id: str
    decision: Decision
    note: str | None = field(default=None, repr=False)
    parameters: JsonObject | None = field(default=None, repr=False)
    remember: bool = False
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make the command. Raises InvalidField for what only an allowed call can have."""
        if fields["decision"] is Decision.DENY:
            for name in ("parameters", "remember"):
                if fields.get(name):
                    raise InvalidField("goes with the decision `allow` only", name)
        return cls(**fields)


@frozen
class Respond(Command):
    """Answer a question that a run asks, with an object that fits its schema, or `decline` to answer."""

    question_id: str
    answer: JsonObject | None = field(default=None, repr=False)
    decline: bool = False
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make the command. Raises InvalidField unless it either answers or declines."""
        if ("answer" in fields) == fields.get("decline", False):
            raise InvalidField("is missing" if "answer" not in fields else "goes with no `decline`", "answer")
        return cls(**fields)


@frozen
class Disallow(Command):
    """Take back the consent to call a tool always in a thread."""

    thread_id: str
    tool_name: str
    session_token: str | None = field(default=None, repr=False)


@frozen
class SwitchServer(Command):
    """Switch an MCP server off in a thread, or on again: its tools are not offered there while it is off."""

    thread_id: str
    server: str
    on: bool
    session_token: str | None = field(default=None, repr=False)


@frozen
class Undo(Command):
    """Take back a tool call of an ended run, or with `run_id` all its calls that can be, the newest first."""

    call_id: str | None = None
    run_id: str | None = None
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make the command. Raises InvalidField unless it names either a call or a run."""
        if ("call_id" in fields) == ("run_id" in fields):
            raise InvalidField("is missing" if "run_id" not in fields else "goes with no `run_id`", "call_id")
        return cls(**fields)


@frozen
class Edit(Command):
    """Edit a message on a new branch, as `new_message_id` (None: chosen here). `references` replace its files."""

    starts_work: ClassVar[bool] = True

    message_id: str
    content: str = field(repr=False)
    new_message_id: str | None = None
    session_token: str | None = field(default=None, repr=False)
    references: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """Make the command. Raises CommandRejected `empty_message`."""
        return cls(**_with_content(fields))

    def names(self) -> Mapping[str, str]:
        """Return the new message's id."""
        return {"message_id": self.new_message_id or self.message_id}


@frozen
class Regenerate(Command):
    """Request another answer to a message, on a new branch. `message_id` is the message's or the answer's.

    `request_id` is an idempotency key: repeating it refers to the same run. With `call_id`, a call of one of the
    message's runs, the new run takes over the steps before that call, which it makes again.
    """

    starts_work: ClassVar[bool] = True

    message_id: str
    request_id: str | None = None
    session_token: str | None = field(default=None, repr=False)
    call_id: str | None = None


@frozen
class Continue(Command):
    """Go on with the answer of a run that was cut, in another run that begins with its work and its text.

    `request_id` is an idempotency key: repeating it refers to the same run; without one a run is continued once.
    """

    starts_work: ClassVar[bool] = True

    run_id: str
    request_id: str | None = None
    session_token: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.request_id or f"continue-{self.run_id}"

    def names(self) -> Mapping[str, str]:
        """Return the idempotency key as the message's id; `run_id` would make the refusal the end of that run."""
        return {"message_id": self.key}


@frozen
class Feedback(Command):
    """Rate an answer; `rating` None withdraws an earlier rating."""

    message_id: str
    rating: Rating | None = None
    note: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class UserTyping(Command):
    """The user is typing in a thread."""

    signal: ClassVar[bool] = True
    superseded: ClassVar[bool] = True

    thread_id: str
    session_token: str | None = field(default=None, repr=False)


def _with_content(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a message. Raises CommandRejected `empty_message`."""
    if not fields["content"].strip():
        raise CommandRejected("empty_message")
    return fields


def addressee(agent_type: str | None, pillar: str | None) -> str:
    """Return the `agent_type` that a message is for: if it names none, the liaison of its pillar, or else the guide."""
    if agent_type is not None:
        return agent_type
    return LIAISON if pillar else GUIDE


def agent_names(agent_type: str | None, pillar: str | None) -> Mapping[str, str]:
    """Return the envelope members that name the agent of a message."""
    names = {"agent_type": addressee(agent_type, pillar)}
    return names | {"pillar": pillar} if pillar else names


def _metadata(value: Any) -> dict[str, Any]:
    metadata = read_object(value)
    for name in FILE_MEMBERS:
        if metadata.get(name) is not None:
            within(f".{name}", read_id, metadata[name])
    return metadata


def _references(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidField("must be a list")
    if len(value) > MAX_REFERENCES:
        raise InvalidField(f"may have at most {MAX_REFERENCES} entries")
    ids = (within(f"[{index}]", _reference, entry) for index, entry in enumerate(value))
    return tuple(dict.fromkeys(ids))


def _reference(entry: Any) -> str:
    if not isinstance(entry, dict):
        return within("", read_id, entry)
    for name in ("file_id", "id"):
        if entry.get(name) is not None:
            return within(f".{name}", read_id, entry[name])
    raise InvalidField("must have a `file_id` or an `id`")


COMMANDS: Final[Mapping[str, type[Command]]] = MappingProxyType(
    {
        "user_message": Say,
        "start_agent": Say,
        "message": Say,
        "chat": Say,
        "agent_message": Say,
        "resume": Resume,
        "cancel": Cancel,
        "steer": Steer,
        "unsteer": Unsteer,
        "approve": Approve,
        "answer": Respond,
        "disallow": Disallow,
        "switch_server": SwitchServer,
        "undo": Undo,
        "edit": Edit,
        "regenerate": Regenerate,
        "continue": Continue,
        "feedback": Feedback,
        "hello": Hello,
        "chunk": Chunk,
        "ack": Ack,
        "refresh": Refresh,
        "typing": UserTyping,
        "ping": ClientPing,
    }
)

UNTYPED: Final = UntypedForm(Say, ("agent_type", "message"), MappingProxyType({"content": "message"}))
"""A message without a `type`: it names an agent, or has its text in `message`."""
_REFERENCE: Final = {
    "anyOf": [ID.schema, record(file_id=ID.schema), object_of({"file_id": {"type": "null"}, "id": ID.schema}, ["id"])]
}
CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **fields.CHECKS,
        "content": fields.PLAIN_TEXT,
        **dict.fromkeys(
            ("new_message_id", "parent_id", "request_id", "call_id", "conversation_id", "run_id", "question_id",
             "steer_id", "tool_name", "server"),
            ID,
        ),
        **dict.fromkeys(("agent_type", "pillar"), NAMED),
        **dict.fromkeys(("answer", "context", "parameters", "settings"), fields.ANY_OBJECT),
        **dict.fromkeys(("decline", "on", "remember"), fields.YES_OR_NO),
        "decision": words_of(Decision),
        "mode": words_of(SteerMode),
        "rating": words_of(Rating),
        "note": fields.NOTE,
        "references": Check(_references, array_of(_REFERENCE, maxItems=MAX_REFERENCES)),
        "metadata": Check(_metadata, object_of({"file_id": or_null(ID.schema)})),
    }
)  # fmt: skip
"""Every field of a command."""
