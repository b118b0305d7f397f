"""Parse a client's frame, which is untrusted JSON, into a command. Pure.

1. JSON is bounded in depth and number of values, and has no duplicate names in an object. Values are counted before any
   of them is created: 8 MB of `[],[],…` would become half a gigabyte of objects in one call that cannot be interrupted.
2. Fields are in `payload`, or beside `type` if there is no payload. A null field counts as absent, and an unknown field
   is ignored, as clients of other versions expect.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
import msgspec
from attrs import frozen

from transport.wire.commands import Ack, Chunk, ClientPing, Command, Hello, Refresh, Resume
from transport.wire.errors import CommandRejected, UnsupportedData
from transport.wire.fields import CHECKS, Check, InvalidField, is_id, printable

# Commands need no deeper nesting, and later readers of the value would recurse as deep.
MAX_DEPTH: Final = 64
# Values in a command; more are refused. Walking this many takes about 1 ms.
MAX_VALUES: Final = 10_000
# The range of a database's integer column, exact in every client but JavaScript.
MAX_INTEGER: Final = 2**63 - 1
# A string, or an unterminated one to the end of the text. Possessive, so that matching takes linear time.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)

COMMANDS: Final[Mapping[str, type[Command]]] = MappingProxyType(
    {"resume": Resume, "hello": Hello, "chunk": Chunk, "ack": Ack, "refresh": Refresh, "ping": ClientPing}
)
"""The commands of this package."""


@frozen
class UntypedForm:
    """A command without a `type`: an object that has one of the members `marks`. `renamed` are fields with another
    name there."""

    kind: type[Command]
    marks: tuple[str, ...]
    renamed: Mapping[str, str] = MappingProxyType({})

    def fields_of(self, frame: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the unchecked fields of an object; None if it is not such a command."""
        if not any(mark in frame for mark in self.marks):
            return None
        return {**frame, **{field: frame.get(name) for field, name in self.renamed.items()}}


class CommandParser:
    """Parses the commands of a program: the classes by `type`, and the checks of their fields by name."""

    def __init__(
        self,
        commands: Mapping[str, type[Command]],
        checks: Mapping[str, Check] = CHECKS,
        client_names: tuple[str, ...] = ("message_id", "thread_id"),
        untyped: UntypedForm | None = None,
    ) -> None:
        self._commands = commands
        self._client_names = client_names
        self._untyped = untyped
        # For each kind of command its fields: the name, the check, and whether the field is required.
        self._fields = {
            kind: [(part.name, checks[part.name].read, part.default is attrs.NOTHING) for part in attrs.fields(kind)]
            for kind in commands.values()
        }

    def parse_frame(self, frame: str | bytes, *, max_bytes: int | None = None) -> Command:
        """Parse a client's frame, in any of the accepted forms, into a command.

        Raises CommandRejected: `message_too_large` (over `max_bytes`), `bad_json`, `invalid_command` (naming the
        field), `unknown_type`, and codes of the program's commands; and UnsupportedData for bytes that are not UTF-8.
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
            return self.parse_command(value)
        except CommandRejected as rejected:
            if rejected.code == "bad_json" and isinstance(frame, bytes) and not _is_text(frame):
                raise UnsupportedData from None
            if isinstance(value, dict):
                rejected.names = self._names_in(value)
            raise

    def parse_command(self, frame: Mapping[str, Any]) -> Command:
        """Parse a JSON object into a command. Raises CommandRejected, as `parse_frame`."""
        kind, fields = self._kind_of(frame)
        values: dict[str, Any] = {}
        for field, check, required in self._fields[kind]:
            value = fields.get(field)
            if value is not None:
                try:
                    values[field] = check(value)
                except InvalidField as wrong:
                    raise _invalid(self._path(frame, field) + wrong.at, wrong.complaint) from None
            elif required:
                raise _invalid(self._path(frame, field), "is missing")
        try:
            return kind.of(values)
        except InvalidField as wrong:
            raise _invalid(self._path(frame, wrong.at), wrong.complaint) from None

    def _kind_of(self, frame: Mapping[str, Any]) -> tuple[type[Command], Mapping[str, Any]]:
        """Return the class of a command and its unchecked fields."""
        name = frame.get("type")
        fields: Any
        if name is None:
            untyped = self._untyped
            fields = None if untyped is None else untyped.fields_of(frame)
            if untyped is None or fields is None:
                raise _invalid("type", "is missing")
            return untyped.kind, fields
        if not isinstance(name, str):
            raise _invalid("type", "must be text")
        if name not in self._commands:
            raise CommandRejected("unknown_type", f"Unknown type: {printable(name)}")
        fields = frame
        if "payload" in frame:
            fields = frame["payload"]
            if not isinstance(fields, dict):
                raise _invalid("payload", "must be an object")
            if fields.get("session_token") is None and "session_token" in frame:
                fields = {**fields, "session_token": frame["session_token"]}
        return self._commands[name], fields

    def _path(self, frame: Mapping[str, Any], field: str) -> str:
        """Return the path of a field in the client's frame."""
        if frame.get("type") is None and self._untyped is not None:
            return self._untyped.renamed.get(field, field)
        payload = frame.get("payload")
        if payload is None or (field == "session_token" and payload.get(field) is None and field in frame):
            return field
        return f"payload.{field}"

    def _names_in(self, frame: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the client's names in a frame that is refused, so that the refusal can name its message."""
        payload = frame.get("payload")
        fields = {**frame, **payload} if isinstance(payload, dict) else frame
        names = {name: fields[name] for name in self._client_names if is_id(fields.get(name))}
        name, untyped = frame.get("type"), self._untyped
        kind = self._commands.get(name) if isinstance(name, str) else None
        if name is None and untyped is not None and untyped.fields_of(frame) is not None:
            kind = untyped.kind
        return names if kind is None else {**names, **kind.names_in(fields)}


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


def _invalid(path: str, complaint: str) -> CommandRejected:
    return CommandRejected("invalid_command", f"The field `{path}` {complaint}.")
