"""All errors of the package.

    TransportError
    ├── CommandRejected   (ValueError)        a command is refused; the connection goes on
    │   └── UnsupportedData                   a binary frame is not UTF-8; the connection ends with 1003
    ├── Unauthenticated   (PermissionError)   no valid token
    │   └── UnknownKey                        the token names an unknown key, which may be fetched later
    ├── OriginRefused     (PermissionError)   a browser's page of another origin
    ├── UnknownEndpoint   (LookupError)       no socket is served at that path
    ├── UnreadableEvent   (ValueError)        an event cannot be decoded, from the log or the wire
    ├── UnusableCertificate (ValueError)      TLS cannot use these files
    ├── KeySetInvalid     (ValueError)        a document holds no usable public keys
    ├── FetchFailed       (OSError)           an HTTP GET failed
    └── SocketClosed      (ConnectionError)   the socket is closed

`code` is a name of `transport.wire.codes.ERRORS`, to which a program adds its own, and `message` defaults to its text;
on `SocketClosed` it is a number of `CLOSES`.
"""

import uuid
from collections.abc import Mapping
from typing import Final

from attrs import Factory, define, field

from transport.wire.codes import ERRORS

_OWN_TEXT: Final = Factory(lambda self: ERRORS[self.code].text, takes_self=True)


def new_error_id() -> str:
    """Return an id for one error, sent to the client and logged: 12 hexadecimal digits."""
    return uuid.uuid4().hex[:12]


class TransportError(Exception):
    """Base class of all errors of this package."""

    def __str__(self) -> str:
        # Explicit because OSError's subclasses would print the code as an errno.
        return str(getattr(self, "message", "")) or super().__str__()


@define(slots=False, eq=False, str=False)
class CommandRejected(TransportError, ValueError):
    """A command is refused. It had no effect; the connection goes on.

    `message` is a sentence for the client; `retry_after`, in seconds, is set if waiting helps. `names` are the client's
    ids, as far as they could be parsed, and what else names the refused command: members of an envelope.
    """

    code: str
    message: str = field(default=_OWN_TEXT)
    retry_after: float | None = None
    names: Mapping[str, str] = field(factory=dict)


@define(slots=False, eq=False, str=False)
class UnsupportedData(CommandRejected):
    """A binary frame is not UTF-8, so it cannot be JSON. The connection is closed, as the client would send more."""

    code: str = "bad_json"
    message: str = "A binary frame must hold JSON as UTF-8."


@define(slots=False, eq=False, str=False)
class Unauthenticated(TransportError, PermissionError):
    """There is no valid token. `code` is `unauthenticated`, `token_expired` or `forbidden`."""

    code: str
    message: str = field(default=_OWN_TEXT)


@define(slots=False, eq=False, str=False)
class UnknownKey(Unauthenticated):
    """The token names an unknown key, which its signer may have introduced since the last fetch."""


@define(slots=False, eq=False, str=False)
class OriginRefused(TransportError, PermissionError):
    """A browser's page of another origin tried to connect. Answered with 403 before the upgrade."""

    origin: str
    message: str = "That page may not connect to this server."


@define(slots=False, eq=False, str=False)
class UnknownEndpoint(TransportError, LookupError):
    """No socket is served at `path`. Answered with 404 before the upgrade."""

    path: str
    message: str = "There is no socket at that path."


@define(slots=False, eq=False, str=False)
class UnreadableEvent(TransportError, ValueError):
    """An event is damaged; or, in the log, of an unknown type."""

    message: str


@define(slots=False, eq=False, str=False)
class UnusableCertificate(TransportError, ValueError):
    """TLS cannot use the given certificate and key; the text says which file, and why."""

    message: str


@define(slots=False, eq=False, str=False)
class KeySetInvalid(TransportError, ValueError):
    """A document holds no usable public keys; the text says why, without quoting the document."""

    message: str


@define(slots=False, eq=False, str=False)
class FetchFailed(TransportError, OSError):
    """An HTTP GET failed, at `host` and for `reason`."""

    host: str
    reason: str

    @property
    def message(self) -> str:
        """The host and the reason."""
        return f"{self.host}: {self.reason}"


@define(slots=False, eq=False, str=False)
class SocketClosed(TransportError, ConnectionError):
    """The socket was closed by either side; nothing more can be read or written.

    `code` is the close code (1006 if the connection was lost).
    """

    code: int
    reason: str = field(default="")

    @property
    def message(self) -> str:
        """The code and the reason, if any."""
        return f"closed with {self.code}" + (f": {self.reason}" if self.reason else "")
