"""`Vocabulary`: the events and commands of a program, which it makes once and gives to its connections. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import attrs
import cattrs
import msgspec
from cattrs.gen import make_dict_structure_fn, override

from transport.wire import command_parser, events
from transport.wire.codec import EventEncoder, WrapFrame
from transport.wire.command_parser import CommandParser, UntypedForm
from transport.wire.commands import Command
from transport.wire.dialects import Dialect, names_of, wire_fields
from transport.wire.errors import UnreadableEvent
from transport.wire.events import Envelope, Event
from transport.wire.fields import CHECKS, Check
from transport.wire.unknown_event import UnknownEvent

EVENTS: Final[Mapping[str, type[Event]]] = {kind.type: kind for kind in events.EVENTS}


class Vocabulary:
    """The events and commands of a program. By default they are those of this package.

    `events` and `commands` are the classes by their type on the wire, this package's among them; `checks` those of the
    commands' fields by name. `envelope` is the class of all envelopes. `untyped` is the command without a type.
    """

    def __init__(
        self,
        events: Mapping[str, type[Event]] = EVENTS,
        commands: Mapping[str, type[Command]] = command_parser.COMMANDS,
        checks: Mapping[str, Check] = CHECKS,
        envelope: type[Envelope] = Envelope,
        untyped: UntypedForm | None = None,
    ) -> None:
        self.events = events
        self.envelope = envelope
        self.parser = CommandParser(commands, checks, envelope.client_names, untyped)
        self._encoders: dict[tuple[object, WrapFrame | None], EventEncoder] = {}
        self._readers = _event_readers(events)
        self._frames: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_frame_type(envelope))
        self._names = attrgetter("seq", "thread_id", "run_id", "message_id", "message", *names_of(envelope))

    def encoder_for(self, dialect: Dialect, wrap_frame: WrapFrame | None = None) -> EventEncoder:
        """Return the encoder of a dialect: always the same object, which keys `Deliver`'s cache of frames.

        It is kept for good, so `wrap_frame` must be one of a few functions, not one made for a connection.
        """
        key = dialect.render, wrap_frame
        encoder = self._encoders.get(key)
        if encoder is None:
            encoder = self._encoders[key] = EventEncoder(dialect, wrap_frame)
        return encoder

    def read_event(self, frame: bytes) -> Envelope:
        """Decode a canonical frame of this program. An event of an unknown type, as a later release has, is an
        `UnknownEvent`.

        The result equals the envelope that was encoded, but for its time, which is to the millisecond. Raises
        UnreadableEvent if the frame is damaged.
        """
        try:
            shown = self._frames.decode(frame)
            read = self._readers.get(shown.type)
            event = UnknownEvent(shown.type, shown.data) if read is None else read(shown.data)
            seq, thread_id, run_id, message_id, message, *names = self._names(shown)
            timestamp = shown.timestamp.timestamp()
            return self.envelope(event, timestamp, seq, thread_id, run_id, message_id, message, "", frame, *names)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnreadableEvent(f"a stored event cannot be read: {type(error).__name__}") from error


def _frame_type(envelope: type[Envelope]) -> type[msgspec.Struct]:
    """Return the Struct that a canonical frame is decoded into: members in it have the types of the envelope's."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(envelope)}
    needed: list[Any] = [("type", str), ("timestamp", datetime), ("message", str), ("data", dict[str, Any])]
    names = ("seq", "thread_id", "run_id", "message_id", *names_of(envelope))
    return msgspec.defstruct("ReadFrame", [*needed, *((name, kinds[name], None) for name in names)], gc=False)


def _event_readers(kinds: Mapping[str, type[Event]]) -> dict[str, Callable[[dict[str, Any]], Event]]:
    """Return, for each event type, the function that converts the `data` of a frame into an event."""
    converter = cattrs.Converter(detailed_validation=False)
    # The log holds values as they were sent: 5 stays 5. Compared by identity, as the enums are subclasses of str.
    converter.register_structure_hook_func(lambda kind: kind in (str, int, float), lambda value, _: value)
    converter.register_structure_hook_func(attrs.has, msgspec.convert)
    readers: dict[str, Callable[[dict[str, Any]], Event]] = {}
    for kind in kinds.values():
        renamed = {attribute: override(rename=name) for attribute, name, _ in wire_fields(kind) if attribute != name}
        readers[kind.type] = make_dict_structure_fn(kind, converter, **renamed)  # type: ignore[arg-type]
    return readers
