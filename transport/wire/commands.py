"""The commands that every server of this package understands, and the base of those that a program adds.

The first message of a connection may carry a `session_token`, whatever its type.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeAlias

from attrs import field, frozen

JsonObject: TypeAlias = Mapping[str, Any]


@frozen
class Command:
    """A command of a client. Subclasses are attrs classes, whose fields have their wire names.

    `starts_work`: it counts against the rate of messages, and is refused while the server drains. `signal`: it is cheap
    and frequent. `superseded`: beyond its rate it is dropped without an error, as the next one replaces it.
    `metric_name` is the class's name in snake case.
    """

    starts_work: ClassVar[bool] = False
    signal: ClassVar[bool] = False
    superseded: ClassVar[bool] = False
    metric_name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.metric_name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Make the command of fields that are valid each by itself.

        Raises CommandRejected, or InvalidField with the field's name as its place.
        """
        return cls(**given)

    @classmethod
    def names_in(cls, fields: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG003 - of a subclass
        """Return members of an envelope by which a refusal names such a command, from its unchecked fields."""
        return {}

    def names(self) -> Mapping[str, str]:
        """Return members of an envelope by which a refusal names the command, besides the envelope's `client_names`."""
        return {}


@frozen
class Resume(Command):
    """Subscribe to these threads, each from the event after the given `seq`."""

    threads: Mapping[str, int]
    session_token: str | None = field(default=None, repr=False)

    @property
    def returns(self) -> bool:
        """Whether the client has events of one of the threads already, so that it is a returning one."""
        return any(self.threads.values())


@frozen
class Hello(Command):
    """Announce the client's capabilities; the last one counts.

    Several events in one frame (`batch`), large events in chunks (`chunk`), large frames compressed (`gzip`).
    """

    batch: bool = False
    chunk: bool = False
    gzip: bool = False
    session_token: str | None = field(default=None, repr=False)


@frozen
class Chunk(Command):
    """A chunk of a large frame: `index` from 0, of `count` in all. See `transport.wire.payloads`."""

    id: str
    index: int
    count: int
    data: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@frozen
class Ack(Command):
    """Acknowledge the events of a thread up to `seq`: the client has shown them."""

    signal: ClassVar[bool] = True
    superseded: ClassVar[bool] = True

    thread_id: str
    seq: int
    session_token: str | None = field(default=None, repr=False)


@frozen
class Refresh(Command):
    """Present a newer token of the same session."""

    session_token: str = field(repr=False)


@frozen
class ClientPing(Command):
    """Answered by a `Pong` with the same `nonce`."""

    signal: ClassVar[bool] = True

    nonce: str | None = None
    session_token: str | None = field(default=None, repr=False)
