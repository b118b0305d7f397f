"""`RunFailed`, the error that a client raises while it waits for an answer."""

from attrs import Factory, define, field

from transport.wire.errors import TransportError
from understudy.wire.codes import ERRORS


@define(slots=False, eq=False, str=False)
class RunFailed(TransportError, RuntimeError):
    """A message has no answer: it was refused, or its run ended in an error. `error_id` identifies the server's log
    line.

    `retryable`: sending it again may succeed, after `retry_after` seconds if given.
    """

    code: str
    message: str = field(default=Factory(lambda self: ERRORS[self.code].text, takes_self=True))
    error_id: str = ""
    retryable: bool = False
    retry_after: float | None = None
