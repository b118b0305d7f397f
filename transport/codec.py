"""Bytes to vocabulary and back: frames to commands, envelopes to frames, envelopes to the log and from it. Pure."""

import enum
import re
from collections.abc import Mapping
from typing import Any, Final

import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from transport.commands import Command
from transport.dialects import RENDER, WIRE_NAMES, Dialect, Html, data_of, head_of
from transport.errors import CommandRejected, UnreadableEvent
from transport.events import EVENTS, Envelope
from transport.forms import command_of

# Deeper nesting has no use in a command, and every later reader of the value would recurse as deep.
MAX_DEPTH: Final = 64
# A command is no place for a table; walking this many values takes about a millisecond.
MAX_VALUES: Final = 10_000
# What a database's integer column and every client but JavaScript hold exactly.
MAX_INTEGER: Final = 2**63 - 1
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ENVELOPE_FIELDS: Final = ("seq", "thread_id", "run_id", "message_id", "conversation_id", "agent_type", "pillar")


def parse(
    frame: str | bytes, *, default_agent: tuple[str, str | None] | None = None, max_bytes: int | None = None
) -> Command:
    """The command that a client's frame stands for, in any of the accepted forms.

    `default_agent` is (agent_type, pillar) where the path fixes the agent, whatever the frame says. Raises
    CommandRejected: `message_too_large` (over `max_bytes`), `bad_json`, `invalid_command` (naming the field),
    `unknown_type`, `empty_message`, `pillar_required`.
    """
    try:
        body = frame.encode() if isinstance(frame, str) else frame
    except UnicodeEncodeError:
        raise CommandRejected("bad_json", "That was not valid UTF-8.") from None
    if max_bytes is not None and len(body) > max_bytes:
        raise CommandRejected("message_too_large", f"A message may have at most {max_bytes} bytes.")
    value = _json(body)
    if not isinstance(value, dict):
        raise CommandRejected("invalid_command", "A command must be a JSON object.")
    return command_of(value, default_agent)


def _json(body: bytes) -> Any:
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:  # the only one that untyped decoding has
        raise CommandRejected("bad_json", "A number in that JSON is too large.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandRejected("bad_json") from None
    # Only now, as in valid JSON every string ends: on anything else this pattern could take quadratic time.
    marks = _STRING.sub(b"", body)
    if marks.count(b",") + marks.count(b":") > MAX_VALUES:
        raise CommandRejected("invalid_command", f"A command may hold at most {MAX_VALUES} values.")
    # A name that stands twice in one object would silently lose its first value. The document has one colon
    # outside its strings for each member it wrote; the value has one entry for each member that was kept.
    if _members(value) != marks.count(b":"):
        raise CommandRejected("bad_json", "A name stands twice in one JSON object.")
    return value


def _members(value: Any) -> int:
    """Members of all objects in `value`, level by level; refuses what is too deep or too large on the way."""
    members = 0
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
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
        if not below:
            return members
        level = below
    raise _too_deep()


def _too_deep() -> CommandRejected:
    return CommandRejected("bad_json", f"That JSON is nested deeper than {MAX_DEPTH} levels.")


def encode(envelope: Envelope, dialect: Dialect, *, html: Html | None = None) -> bytes | None:
    """The frame that shows an event in a dialect; None where the dialect does not show it.

    `html`, given for a connection that takes rendered answers, turns an answer's text into safe HTML. Raises
    TypeError when an event holds what JSON cannot.
    """
    frame = RENDER[dialect](envelope, html)
    return None if frame is None else _dump(frame)


def to_log(envelope: Envelope) -> bytes:
    """An envelope as JSON for the log: the canonical form, but with the exact `timestamp` in Unix seconds.

    `from_log` gives an equal envelope. Raises TypeError when the event holds what JSON cannot.
    """
    frame = head_of(envelope, envelope.timestamp)
    frame["data"] = data_of(envelope.event)
    return _dump(frame)


def from_log(body: bytes) -> Envelope:
    """The envelope that `to_log` wrote. Raises UnreadableEvent when it is damaged or of an unknown type."""
    try:
        frame = msgspec.json.decode(body)
        event = _LOG.structure(frame["data"], EVENTS[frame["type"]])
        known = {name: frame.get(name) for name in _ENVELOPE_FIELDS}
        return Envelope(event, frame["timestamp"], **known, message=frame["message"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableEvent(f"a stored event cannot be read: {type(error).__name__}") from error


def _plain(value: Any) -> Any:
    """What msgspec does not know by itself: read-only mappings, which events may hold."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an event cannot hold a {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)


def _dump(frame: dict[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(frame)
    except UnicodeEncodeError:
        # Half a surrogate pair, as a model or a tool may cut it. It has no UTF-8; the rest of the event has.
        return _ENCODER.encode(_whole(frame))


def _whole(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_whole(name): _whole(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(member) for member in value]
    if hasattr(type(value), "__attrs_attrs__"):
        return _whole({field.name: getattr(value, field.name) for field in type(value).__attrs_attrs__})
    return value


def _log_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    # The log holds what was sent: nothing is converted, 5 stays 5. By identity, as the enums are subclasses of str.
    converter.register_structure_hook_func(lambda kind: kind in (str, int, float), lambda value, _: value)
    for kind in EVENTS.values():
        names = {attribute: override(rename=name) for attribute, name in WIRE_NAMES.get(kind, {}).items()}
        converter.register_structure_hook(kind, make_dict_structure_fn(kind, converter, **names))  # type: ignore[arg-type]
    return converter


_LOG: Final = _log_converter()
