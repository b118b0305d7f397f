"""What never stands in a log: tokens, passwords, what people wrote. First in the chain of every log line."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from sanitization import Action, Category, Policy, Sanitizer

REDACTED: Final = "[redacted]"
KEYS: Final = frozenset(
    {
        "token", "session_token", "authorization", "proxy_authorization", "secret", "password", "passwd", "passphrase",
        "cookie", "set_cookie", "api_key", "apikey", "jwt", "credentials", "private_key", "dsn",
        "content", "text", "prompt", "answer", "html", "arguments", "parameters", "payload", "body",
    }
)  # fmt: skip
"""Names whose values are never logged; so are names that end in `_token`, `_secret`, `_password` or `_key`."""

VALUE_MAX: Final = 8_192  # characters of one value; the rest is cut off and said so
DEPTH_MAX: Final = 6

_ENDINGS: Final = ("_token", "_secret", "_password", "_api_key", "_private_key", "_cookie")
_QUERY: Final = re.compile(r"([?&](?:session_token|access_token|token|secret|password|api_key)=)[^&\s\"']{1,4096}")
_JWT_SUBPROTOCOL: Final = re.compile(r"\bjwt\.[A-Za-z0-9_-]{8,4096}")
_SANITIZER: Final = Sanitizer(
    Policy(outbound={Category.SECRET: Action.REMOVE, Category.TERMINAL: Action.REMOVE}, max_findings=0)
)


def is_private(key: str) -> bool:
    """Whether the values of this name are never logged."""
    name = key.lower().replace("-", "_")
    return name in KEYS or name.endswith(_ENDINGS)


def redact_text(text: str) -> str:
    """The text without tokens, passwords and terminal sequences; cut at `VALUE_MAX` characters."""
    if len(text) > VALUE_MAX:
        text = f"{text[:VALUE_MAX]}… ({len(text) - VALUE_MAX} more characters)"
    text = _QUERY.sub(rf"\g<1>{REDACTED}", text)
    return _SANITIZER.sanitize(_JWT_SUBPROTOCOL.sub(f"jwt.{REDACTED}", text)).text


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor: private names lose their values, all other texts lose what looks like a secret.

    What structlog puts there itself (names that begin with `_`, and `exc_info`) is left alone.
    """
    for key, value in event.items():
        if not key.startswith("_") and key != "exc_info":
            event[key] = _value(key, value, DEPTH_MAX)
    return event


def redact_exception(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor after tracebacks became text: errors quote what they choked on."""
    for key in ("exception", "stack"):
        if isinstance(event.get(key), str):
            event[key] = "\n".join(redact_text(line) for line in event[key].splitlines())
    return event


def _value(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return REDACTED if value is not None and is_private(key) else value
    if is_private(key):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if depth == 0:
        return f"({type(value).__name__})"
    if isinstance(value, Mapping):
        return {str(name): _value(str(name), each, depth - 1) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value("", each, depth - 1) for each in value]
    return redact_text(repr(value))
