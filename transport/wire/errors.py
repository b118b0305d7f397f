"""Every error of the package.

    TransportError
    ├── CommandRejected   (ValueError)        a client's frame cannot be taken; the connection lives on
    │   └── UnsupportedData                   it is no text at all; a connection ends with 1003
    ├── Unauthenticated   (PermissionError)   no valid token
    │   └── UnknownKey                        one that names a key which is not known, perhaps not yet
    ├── OriginRefused     (PermissionError)   a browser's page from elsewhere
    ├── UnknownEndpoint   (LookupError)       no socket is served at that path
    ├── UnreadableEvent   (ValueError)        an event this version cannot read, in the log or on the wire
    ├── RunFailed         (RuntimeError)      there is no answer, and why
    ├── UnusableCertificate (ValueError)      TLS cannot be spoken with these files
    ├── KeySetInvalid     (ValueError)        no public keys can be read from a document
    ├── FetchFailed       (OSError)           an address does not give what was asked of it
    └── SocketClosed      (ConnectionError)   the socket is gone

`code` is a name of `transport.wire.codes.ERRORS`, and `message` its text unless another is given; only on
`SocketClosed` it is a number of `CLOSES`.
"""

import uuid
from collections.abc import Mapping
from typing import Final

from attrs import Factory, define, field

from transport.wire.codes import ERRORS

_OWN_TEXT: Final = Factory(lambda self: ERRORS[self.code].text, takes_self=True)


def new_error_id() -> str:
    """The name of one error, told to the client and written beside it in the log: 12 hexadecimal digits."""
    return uuid.uuid4().hex[:12]


class TransportError(Exception):
    """Base of every error of this package."""

    def __str__(self) -> str:
        # Explicit because OSError's subclasses would print the code as an errno.
        return str(getattr(self, "message", "")) or super().__str__()


@define(slots=False, eq=False, str=False)
class CommandRejected(TransportError, ValueError):
    """A client's frame cannot be taken. Nothing was done for it; the connection lives on.

    `message` is a sentence for the client; `retry_after`, in seconds, is set where waiting helps. `names` are those the
    client gave: `message_id`, `thread_id`, `conversation_id`, as far as they could be read, and for a message the
    `agent_type` and `pillar` it is for.
    """

    code: str
    message: str = field(default=_OWN_TEXT)
    retry_after: float | None = None
    names: Mapping[str, str] = field(factory=dict)


@define(slots=False, eq=False, str=False)
class UnsupportedData(CommandRejected):
    """A binary frame is not UTF-8, so that it cannot be JSON. A client that sends such a frame sends others."""

    code: str = "bad_json"
    message: str = "A binary frame must hold JSON as UTF-8."


@define(slots=False, eq=False, str=False)
class Unauthenticated(TransportError, PermissionError):
    """There is no valid token. `code` is `unauthenticated`, `token_expired` or `forbidden`."""

    code: str
    message: str = field(default=_OWN_TEXT)


@define(slots=False, eq=False, str=False)
class UnknownKey(Unauthenticated):
    """The token names a key that is not known. It may be one that its signer has since begun to use."""


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
    """An event is damaged; or, in the log, of a type that this version does not know."""

    message: str


@define(slots=False, eq=False, str=False)
class UnusableCertificate(TransportError, ValueError):
    """TLS cannot be spoken with the certificate and key that were named; the text says which file, and why."""

    message: str


@define(slots=False, eq=False, str=False)
class KeySetInvalid(TransportError, ValueError):
    """No public keys can be read from a document; the text says why, and nothing of what it holds."""

    message: str


@define(slots=False, eq=False, str=False)
class FetchFailed(TransportError, OSError):
    """An address does not give what was asked of it. `host` is where, `reason` why."""

    host: str
    reason: str

    @property
    def message(self) -> str:
        """What is printed."""
        return f"{self.host}: {self.reason}"


@define(slots=False, eq=False, str=False)
class RunFailed(TransportError, RuntimeError):
    """A message has no answer: it was refused, or its run ended in an error. `error_id` leads to the server's log.

    `retryable`: saying it again may help, after `retry_after` seconds where that is known.
    """

    code: str
    message: str = field(default=_OWN_TEXT)
    error_id: str = ""
    retryable: bool = False
    retry_after: float | None = None


@define(slots=False, eq=False, str=False)
class SocketClosed(TransportError, ConnectionError):
    """The socket is closed, by either side; nothing more can be read or written.

    `code` is the close code (1006 when the connection was simply lost).
    """

    code: int
    reason: str = field(default="")

    @property
    def message(self) -> str:
        """What is printed: the code and, when there is one, the reason."""
        return f"closed with {self.code}" + (f": {self.reason}" if self.reason else "")
