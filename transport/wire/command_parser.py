"""Parse the JSON object of a command, in any accepted form. Pure.

Fields are in `payload`, or beside `type` if there is no payload. A null field counts as absent, and an unknown field is
ignored, as clients of other versions expect.
"""

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs
import cattrs
from attrs import evolve
from cattrs.gen import make_dict_structure_fn, override

from transport.wire.commands import (
    Ack,
    Approve,
    Cancel,
    Chunk,
    ClientPing,
    Command,
    Decision,
    Edit,
    Feedback,
    Hello,
    Rating,
    Refresh,
    Regenerate,
    Resume,
    Say,
    UserTyping,
)
from transport.wire.errors import CommandRejected

# Room for a UUID with a prefix, or two; the ids become keys of the log.
MAX_NAME: Final = 200
MAX_NOTE: Final = 2000
MAX_REFERENCES: Final = 100
MAX_THREADS: Final = 1000
MAX_CHUNKS: Final = 10_000
# Header lines of web servers are commonly bounded at 8 KiB, and tokens travel in them too.
MAX_TOKEN: Final = 8192

COMMANDS: Final[Mapping[str, type[Command]]] = MappingProxyType(
    {
        "user_message": Say,
        "start_agent": Say,
        "message": Say,
        "chat": Say,
        "agent_message": Say,
        "resume": Resume,
        "cancel": Cancel,
        "approve": Approve,
        "edit": Edit,
        "regenerate": Regenerate,
        "feedback": Feedback,
        "hello": Hello,
        "chunk": Chunk,
        "ack": Ack,
        "refresh": Refresh,
        "typing": UserTyping,
        "ping": ClientPing,
    }
)

GUIDE: Final = "guide"
LIAISON: Final = "liaison"
NAMES: Final = ("message_id", "thread_id", "conversation_id")

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=enum.StrEnum)


def parse_command(frame: Mapping[str, Any], default_agent: tuple[str, str | None] | None) -> Command:
    """Parse a JSON object into a command; `default_agent` is (agent_type, pillar) if the path fixes the agent.

    Raises CommandRejected with `invalid_command`, `unknown_type`, `empty_message` or `pillar_required`.
    """
    kind = frame.get("type")
    if kind is None and _is_untyped_say(frame):
        fields = {**frame, "content": frame.get("message")}
        return _check_say(_structured(Say, fields, {"content": "message"}), default_agent)
    if kind is None:
        raise _invalid("type", "is missing")
    if not isinstance(kind, str):
        raise _invalid("type", "must be text")
    if kind not in COMMANDS:
        raise CommandRejected("unknown_type", f"Unknown type: {_printable(kind)}")
    fields, paths = _fields(frame)
    command = _structured(COMMANDS[kind], fields, paths)
    match command:
        case Say():
            return _check_say(command, default_agent)
        case Edit(content=content) if not content.strip():
            raise CommandRejected("empty_message")
    return command


def _is_untyped_say(frame: Mapping[str, Any]) -> bool:
    """Return whether an object without a `type` is a message: its text is in `message`."""
    return "agent_type" in frame or "message" in frame


def client_names(frame: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the client's ids in a frame, so that a refusal can name the message."""
    given = _given(frame)
    return {name: given[name] for name in NAMES if _is_name(given.get(name))}


def addressed_agent(frame: Mapping[str, Any], default_agent: tuple[str, str | None] | None) -> Mapping[str, str]:
    """Return the agent that a frame is addressed to, so that a refusal names it; empty unless the frame is a message.

    If the path fixes the agent (`default_agent`), an object without a `type` counts as a message too, and an empty one
    stands for a frame that could not be parsed.
    """
    kind = frame.get("type")
    typed = isinstance(kind, str) and COMMANDS.get(kind) is Say
    if default_agent is not None and (typed or kind is None):
        return agent_names(*default_agent)
    if not (typed or (kind is None and _is_untyped_say(frame))):
        return {}
    given = _given(frame)
    agent_type, pillar = (given[name] if _is_name(given.get(name)) else None for name in ("agent_type", "pillar"))
    return agent_names(agent_type, pillar)


def addressee(agent_type: str | None, pillar: str | None) -> str:
    """Return the `agent_type` that a message is for: if it names none, the liaison of its pillar, or else the guide."""
    if agent_type is not None:
        return agent_type
    return LIAISON if pillar else GUIDE


def agent_names(agent_type: str | None, pillar: str | None) -> Mapping[str, str]:
    """Return the envelope members that name the agent of a message."""
    names = {"agent_type": addressee(agent_type, pillar)}
    return names | {"pillar": pillar} if pillar else names


def _given(frame: Mapping[str, Any]) -> Mapping[str, Any]:
    payload = frame.get("payload")
    return {**frame, **payload} if isinstance(payload, dict) else frame


def _is_name(value: Any) -> bool:
    try:
        return bool(_id(value))
    except _InvalidField:
        return False


def _fields(frame: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the command's fields, and the path of each in the client's frame."""
    if "payload" not in frame:
        return dict(frame), {}
    payload = frame["payload"]
    if not isinstance(payload, dict):
        raise _invalid("payload", "must be an object")
    paths = {name: f"payload.{name}" for name in KNOWN_FIELDS}
    if payload.get("session_token") is None and "session_token" in frame:
        return {**payload, "session_token": frame["session_token"]}, paths | {"session_token": "session_token"}
    return payload, paths


def _check_say(say: Say, default_agent: tuple[str, str | None] | None) -> Say:
    if default_agent is not None:
        say = evolve(say, agent_type=default_agent[0], pillar=default_agent[1])
    if say.agent_type == LIAISON and not say.pillar:
        raise CommandRejected("pillar_required")
    if not say.content.strip():
        raise CommandRejected("empty_message")
    file_id = say.metadata.get("file_id")
    if file_id is not None and file_id not in say.references:
        say = evolve(say, references=(*say.references, file_id))
    return say


class _InvalidField(ValueError):
    """A field is invalid: `complaint` says why, `at` where inside it (such as `[2].id`)."""

    def __init__(self, complaint: str, at: str = "") -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.at = at


def _structured(kind: type[C], fields: Mapping[str, Any], paths: Mapping[str, str]) -> C:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return _CONVERTER.structure(given, kind)
    except cattrs.ClassValidationError as group:
        error, note = group.group_exceptions()[0][0]
        path = paths.get(note.name, note.name)
        if isinstance(error, _InvalidField):
            raise _invalid(path + error.at, error.complaint) from None
        raise _invalid(path, "is missing") from None


def _invalid(path: str, complaint: str) -> CommandRejected:
    return CommandRejected("invalid_command", f"The field `{path}` {complaint}.")


def _printable(text: str) -> str:
    """Return a client's text for use in an error message: at most 40 characters, without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text[:40])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _InvalidField("must be text")
    return value


def _name(value: Any) -> str:
    if len(_text(value)) > MAX_NAME:
        raise _InvalidField(f"may have at most {MAX_NAME} characters")
    if not value.isprintable():
        raise _InvalidField("must not contain control characters")
    return str(value)


def _id(value: Any) -> str:
    if not _name(value).strip():
        raise _InvalidField("must not be blank")
    return str(value)


def _token(value: Any) -> str:
    if len(_text(value)) > MAX_TOKEN:
        raise _InvalidField(f"may have at most {MAX_TOKEN} characters")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _InvalidField("must be true or false")
    return value


def _note(value: Any) -> str:
    if len(_text(value)) > MAX_NOTE:
        raise _InvalidField(f"may have at most {MAX_NOTE} characters")
    return str(value)


def _one_of(words: type[E]) -> Callable[[Any], E]:
    def check(value: Any) -> E:
        word = _text(value)
        try:
            return words(word)
        except ValueError:
            raise _InvalidField(f"must be one of {', '.join(words)}") from None

    return check


def _seq(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _InvalidField("must be a whole number, 0 or more")
    return value


def _count(value: Any) -> int:
    if not 1 <= _seq(value) <= MAX_CHUNKS:
        raise _InvalidField(f"must be from 1 to {MAX_CHUNKS}")
    return int(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _InvalidField("must be an object")
    return value


def _metadata(value: Any) -> dict[str, Any]:
    metadata = _object(value)
    if metadata.get("file_id") is not None:
        _within(".file_id", _id, metadata["file_id"])
    return metadata


def _references(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _InvalidField("must be a list")
    if len(value) > MAX_REFERENCES:
        raise _InvalidField(f"may have at most {MAX_REFERENCES} entries")
    ids = (_within(f"[{index}]", _reference, entry) for index, entry in enumerate(value))
    return tuple(dict.fromkeys(ids))


def _reference(entry: Any) -> str:
    if not isinstance(entry, dict):
        return _within("", _id, entry)
    for name in ("file_id", "id"):
        if entry.get(name) is not None:
            return _within(f".{name}", _id, entry[name])
    raise _InvalidField("must have a `file_id` or an `id`")


def _threads(value: Any) -> dict[str, int]:
    threads = _object(value)
    if len(threads) > MAX_THREADS:
        raise _InvalidField(f"may name at most {MAX_THREADS} threads")
    return {_id(thread): _within(f".{_printable(thread)}", _seq, seq) for thread, seq in threads.items()}


R = TypeVar("R", str, int)


def _within(at: str, check: Callable[[Any], R], value: Any) -> R:
    try:
        return check(value)
    except _InvalidField as wrong:
        raise _InvalidField(wrong.complaint, at + wrong.at) from None


CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "content": _text,
        "thread_id": _id,
        "message_id": _id,
        "new_message_id": _id,
        "parent_id": _id,
        "request_id": _id,
        "call_id": _id,
        "decision": _one_of(Decision),
        "rating": _one_of(Rating),
        "note": _note,
        "conversation_id": _id,
        "run_id": _id,
        "nonce": _name,
        "agent_type": _name,
        "pillar": _name,
        "references": _references,
        "context": _object,
        "settings": _object,
        "metadata": _metadata,
        "session_token": _token,
        "threads": _threads,
        "id": _id,
        "index": _seq,
        "count": _count,
        "data": _text,
        "batch": _flag,
        "chunk": _flag,
        "gzip": _flag,
        "html": _flag,
        "seq": _seq,
    }
)
KNOWN_FIELDS: Final = frozenset(CHECKS)


def _hook(check: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: check(value)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    for kind in set(COMMANDS.values()):
        checks = {field.name: override(struct_hook=_hook(CHECKS[field.name])) for field in attrs.fields(kind)}
        converter.register_structure_hook(kind, make_dict_structure_fn(kind, converter, **checks))  # type: ignore[arg-type]
    return converter


_CONVERTER: Final = _converter()
