"""Parse a client's frame, which is untrusted JSON, into a command. Pure.

1. JSON is bounded in depth and number of values, and has no duplicate names in an object. Values are counted before any
   of them is created: 8 MB of `[],[],…` would become half a gigabyte of objects in one call that cannot be interrupted.
2. Fields are in `payload`, or beside `type` if there is no payload. A null field counts as absent, and an unknown field
   is ignored, as clients of other versions expect.
"""

import enum
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs
import msgspec
from attrs import frozen

from transport.wire.commands import (
    Ack,
    Approve,
    Cancel,
    Chunk,
    ClientPing,
    Command,
    Continue,
    Decision,
    Disallow,
    Edit,
    Feedback,
    Hello,
    Rating,
    Refresh,
    Regenerate,
    Respond,
    Resume,
    Say,
    Steer,
    SteerMode,
    SwitchServer,
    Undo,
    Unsteer,
    UserTyping,
)
from transport.wire.errors import CommandRejected, UnsupportedData
from transport.wire.json_schema import COUNT, FLAG, OBJECT, TEXT, Schema, array_of, object_of, one_of, or_null, record

# Commands need no deeper nesting, and later readers of the value would recurse as deep.
FILE_MEMBERS: Final = ("file_id", "content_id")
"""Members of `metadata` that name an uploaded file. The message is answered without one that is not here."""
MAX_DEPTH: Final = 64
# Values in a command; more are refused. Walking this many takes about 1 ms.
MAX_VALUES: Final = 10_000
# The range of a database's integer column, exact in every client but JavaScript.
MAX_INTEGER: Final = 2**63 - 1
# A string, or an unterminated one to the end of the text. Possessive, so that matching takes linear time.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

MAX_NAME: Final = 200
# They become keys of the log. A UUID has 36 characters, one with a prefix or two some 62.
MAX_ID: Final = 128
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

GUIDE: Final = "guide"
LIAISON: Final = "liaison"
NAMES: Final = ("message_id", "thread_id", "conversation_id")

E = TypeVar("E", bound=enum.StrEnum)


def parse_frame(frame: str | bytes, *, max_bytes: int | None = None) -> Command:
    """Parse a client's frame, in any of the accepted forms, into a command.

    Raises CommandRejected: `message_too_large` (over `max_bytes`), `bad_json`, `invalid_command` (naming the field),
    `unknown_type`, `empty_message`, `pillar_required`; and UnsupportedData for bytes that are not UTF-8.
    """
    try:
        body = frame.encode() if isinstance(frame, str) else frame
    except UnicodeEncodeError:
        raise CommandRejected("bad_json", "That was not valid UTF-8.") from None
    value: Any = None
    try:
        if max_bytes is not None and len(body) > max_bytes:
            raise CommandRejected("message_too_large", f"A message may have at most {max_bytes} bytes.")
        value = decode(body)
        if not isinstance(value, dict):
            raise CommandRejected("invalid_command", "A command must be a JSON object.")
        return parse_command(value)
    except CommandRejected as rejected:
        if rejected.code == "bad_json" and isinstance(frame, bytes) and not _is_text(frame):
            raise UnsupportedData from None
        given = value if isinstance(value, dict) else {}
        rejected.names = {**client_names(given), **addressed_agent(given)}
        raise


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def decode(body: bytes, max_values: int = MAX_VALUES) -> Any:
    """Decode a JSON text.

    Raises CommandRejected: `bad_json` if it is not JSON, nested too deep, or has a duplicate name in an object or an
    integer of more than 64 bits; `invalid_command` for more than `max_values` values.
    """
    # In valid JSON each string is a value or a member's name, so no more than this many need to be scanned.
    marks, strings = _STRING.subn(b"", body, 2 * max_values + 2)
    # All other values but a few have a comma or a colon beside them; brackets without either only nest.
    if strings > 2 * max_values + 1 or marks.count(b",") + marks.count(b":") > max_values:
        raise CommandRejected("invalid_command", f"A command may hold at most {max_values} values.")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:  # untyped decoding raises no other
        raise CommandRejected("bad_json", "A number in that JSON is too large.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandRejected("bad_json") from None
    # A duplicate name in an object would silently lose its first value. The document has one colon outside its strings
    # per member; the value has one entry per distinct member.
    members = depth = 0
    level: list[Any] = [[value]]
    while level:
        if depth > MAX_DEPTH:
            raise _too_deep()
        below: list[Any] = []
        for container in level:
            for item in container.values() if isinstance(container, dict) else container:
                if isinstance(item, dict):
                    members += len(item)
                    below.append(item)
                elif isinstance(item, list):
                    below.append(item)
                elif isinstance(item, int) and abs(item) > MAX_INTEGER:
                    raise CommandRejected("bad_json", "A number in that JSON is too large.")
        level = below
        depth += 1
    if members != marks.count(b":"):
        raise CommandRejected("bad_json", "A name stands twice in one JSON object.")
    return value


def _too_deep() -> CommandRejected:
    return CommandRejected("bad_json", f"That JSON is nested deeper than {MAX_DEPTH} levels.")


def parse_command(frame: Mapping[str, Any]) -> Command:
    """Parse a JSON object into a command.

    Raises CommandRejected with `invalid_command`, `unknown_type`, `empty_message` or `pillar_required`.
    """
    name = frame.get("type")
    fields: Any = frame
    if name is None and _is_untyped_say(frame):
        kind: type[Command] = Say
        fields = {**frame, "content": frame.get("message")}
    elif name is None:
        raise _invalid("type", "is missing")
    elif not isinstance(name, str):
        raise _invalid("type", "must be text")
    elif name not in COMMANDS:
        raise CommandRejected("unknown_type", f"Unknown type: {_printable(name)}")
    else:
        kind = COMMANDS[name]
        if "payload" in frame:
            fields = frame["payload"]
            if not isinstance(fields, dict):
                raise _invalid("payload", "must be an object")
            if fields.get("session_token") is None and "session_token" in frame:
                fields = {**fields, "session_token": frame["session_token"]}
    given: dict[str, Any] = {}
    for field, check, required in _FIELDS[kind]:
        value = fields.get(field)
        if value is not None:
            try:
                given[field] = check(value)
            except _InvalidField as wrong:
                raise _invalid(_path(frame, field) + wrong.at, wrong.complaint) from None
        elif required:
            raise _invalid(_path(frame, field), "is missing")
    if kind is Say:
        if given.get("agent_type") == LIAISON and not given.get("pillar"):
            raise CommandRejected("pillar_required")
        for name in FILE_MEMBERS if "metadata" in given else ():
            file_id = given["metadata"].get(name)
            if file_id is not None and file_id not in given.get("references", ()):
                given["references"] = (*given.get("references", ()), file_id)
    if kind in (Say, Edit, Steer) and not given["content"].strip():
        raise CommandRejected("empty_message")
    if kind is Approve and given["decision"] is Decision.DENY:
        for field in ("parameters", "remember"):
            if given.get(field):
                raise _invalid(_path(frame, field), "goes with the decision `allow` only")
    if kind is Respond and ("answer" in given) == given.get("decline", False):
        raise _invalid(_path(frame, "answer"), "is missing" if "answer" not in given else "goes with no `decline`")
    if kind is Undo and ("call_id" in given) == ("run_id" in given):
        raise _invalid(_path(frame, "call_id"), "is missing" if "run_id" not in given else "goes with no `run_id`")
    return kind(**given)


def _path(frame: Mapping[str, Any], field: str) -> str:
    """Return the path of a field in the client's frame."""
    if frame.get("type") is None:
        return "message" if field == "content" else field
    payload = frame.get("payload")
    if payload is None or (field == "session_token" and payload.get(field) is None and field in frame):
        return field
    return f"payload.{field}"


def _is_untyped_say(frame: Mapping[str, Any]) -> bool:
    """Return whether an object without a `type` is a message: its text is in `message`."""
    return "agent_type" in frame or "message" in frame


def client_names(frame: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the client's ids in a frame, so that a refusal can name the message."""
    given = _given(frame)
    return {name: given[name] for name in NAMES if _is_name(given.get(name))}


def addressed_agent(frame: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the agent that a frame is addressed to, so a refusal can name it; empty unless it is a message."""
    kind = frame.get("type")
    typed = isinstance(kind, str) and COMMANDS.get(kind) is Say
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


class _InvalidField(ValueError):
    """A field is invalid: `complaint` says why, `at` where inside it (such as `[2].id`)."""

    def __init__(self, complaint: str, at: str = "") -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.at = at


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
    if len(value) > MAX_ID:
        raise _InvalidField(f"may have at most {MAX_ID} characters")
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
    for name in FILE_MEMBERS:
        if metadata.get(name) is not None:
            _within(f".{name}", _id, metadata[name])
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


@frozen
class Check:
    """What a field may be: `read` returns its value, or raises _InvalidField, and `schema` says the same."""

    read: Callable[[Any], Any]
    schema: Schema


def _words(kind: type[enum.StrEnum]) -> Check:
    return Check(_one_of(kind), one_of(kind))


# What is not a control character, roughly what Python calls printable.
_NAMED: Final = Check(_name, {"type": "string", "maxLength": MAX_NAME, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"})
_ID: Final[Schema] = {
    "type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$",
}  # fmt: skip
_REFERENCE: Final[Schema] = {
    "anyOf": [_ID, record(file_id=_ID), object_of({"file_id": {"type": "null"}, "id": _ID}, ["id"])]
}
CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **dict.fromkeys(("content", "data"), Check(_text, TEXT)),
        **dict.fromkeys(
            ("thread_id", "message_id", "new_message_id", "parent_id", "request_id", "call_id", "conversation_id",
             "run_id", "question_id", "steer_id", "tool_name", "server", "id"),
            Check(_id, _ID),
        ),
        **dict.fromkeys(("nonce", "agent_type", "pillar"), _NAMED),
        **dict.fromkeys(("answer", "context", "parameters", "settings"), Check(_object, OBJECT)),
        **dict.fromkeys(("batch", "chunk", "decline", "gzip", "on", "remember"), Check(_flag, FLAG)),
        **dict.fromkeys(("seq", "index"), Check(_seq, COUNT)),
        "decision": _words(Decision),
        "mode": _words(SteerMode),
        "rating": _words(Rating),
        "note": Check(_note, {"type": "string", "maxLength": MAX_NOTE}),
        "references": Check(_references, array_of(_REFERENCE, maxItems=MAX_REFERENCES)),
        "metadata": Check(_metadata, object_of({"file_id": or_null(_ID)})),
        "session_token": Check(_token, {"type": "string", "maxLength": MAX_TOKEN}),
        "threads": Check(_threads, {
            "type": "object", "propertyNames": _ID, "additionalProperties": COUNT, "maxProperties": MAX_THREADS,
        }),
        "count": Check(_count, {"type": "integer", "minimum": 1, "maximum": MAX_CHUNKS}),
    }
)  # fmt: skip
"""Every field of a command."""


# For each kind of command its fields: the name, the check, and whether the field is required.
_FIELDS: Final[Mapping[type[Command], tuple[tuple[str, Callable[[Any], Any], bool], ...]]] = {
    kind: tuple((each.name, CHECKS[each.name].read, each.default is attrs.NOTHING) for each in attrs.fields(kind))
    for kind in COMMANDS.values()
}
