"""`UnknownEvent`: an event of another release, which this one passes on without interpreting it."""

from attrs import field, frozen

from transport.wire.events import Event, JsonObject


@frozen
class UnknownEvent(Event):
    """An event that this release cannot decode: `kind` is its type on the wire, `data` its fields as they came."""

    kind: str
    data: JsonObject = field(repr=False)

    @property
    def type(self) -> str:  # type: ignore[override]  # of other events it is the class's
        """The type on the wire."""
        return self.kind
