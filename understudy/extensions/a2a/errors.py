"""The errors of A2A over JSON-RPC (sections 5.4 and 9.5 of the A2A specification)."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from understudy.wire.codes import ERRORS

NUMBERS: Final[Mapping[str, int]] = {
    "JSON_PARSE": -32700, "INVALID_REQUEST": -32600, "METHOD_NOT_FOUND": -32601, "INVALID_PARAMS": -32602,
    "INTERNAL_ERROR": -32603, "TASK_NOT_FOUND": -32001, "TASK_NOT_CANCELABLE": -32002, "UNSUPPORTED_OPERATION": -32004,
    "CONTENT_TYPE_NOT_SUPPORTED": -32005, "VERSION_NOT_SUPPORTED": -32009,
}  # fmt: skip
"""The code of each error by its `reason`."""
INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_REASONS: Final = {"bad_json": "JSON_PARSE", "message_too_large": "INVALID_REQUEST"}


@frozen
class A2aError(Exception):
    """A refusal. `reason` is a key of `NUMBERS`, `message` a sentence, `code` this server's error code, or empty."""

    reason: str
    message: str
    code: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the `error` of a JSON-RPC response."""
        info = {"@type": INFO, "reason": self.reason, "domain": "a2a-protocol.org"}
        extra = {"metadata": {"code": self.code}} if self.code else {}
        return {"code": NUMBERS[self.reason], "message": self.message, "data": [info | extra]}


def refusal(code: str, message: str) -> A2aError:
    """Return the error for a code of `ERRORS`: internal if the request may succeed later, else invalid parameters."""
    temporary = ERRORS[code].retryable or ERRORS[code].http_status >= 500
    return A2aError(_REASONS.get(code, "INTERNAL_ERROR" if temporary else "INVALID_PARAMS"), message, code)
