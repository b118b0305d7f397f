"""Redacts tokens, passwords and users' texts in log lines. It is the first processor of every line."""

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
"""Keys whose values are never logged; nor are those of keys with one of `_ENDINGS`."""

VALUE_MAX: Final = 8_192  # characters of one value; the rest is cut off, and its length is logged
DEPTH_MAX: Final = 6  # levels of nesting; a deeper value is logged as the name of its type

_ENDINGS: Final = ("_token", "_secret", "_password", "_api_key", "_private_key", "_cookie")
_QUERY: Final = re.compile(r"([?&](?:session_token|access_token|token|secret|password|api_key)=)[^&\s\"']{1,4096}")
_JWT_SUBPROTOCOL: Final = re.compile(r"\bjwt\.[A-Za-z0-9_-]{8,4096}")
_SANITIZER: Final = Sanitizer(
    Policy(outbound={Category.SECRET: Action.REMOVE, Category.TERMINAL: Action.REMOVE}, max_findings=0)
)


def is_private(key: str) -> bool:
    """Return whether values of this key must not be logged."""
    name = key.lower().replace("-", "_")
    return name in KEYS or name.endswith(_ENDINGS)


def redact_text(text: str) -> str:
    """Remove tokens, passwords and terminal sequences from a text, and cut it at `VALUE_MAX` characters."""
    if len(text) > VALUE_MAX:
        text = f"{text[:VALUE_MAX]}… ({len(text) - VALUE_MAX} more characters)"
    text = _QUERY.sub(rf"\g<1>{REDACTED}", text)
    return _SANITIZER.sanitize(_JWT_SUBPROTOCOL.sub(f"jwt.{REDACTED}", text)).text


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of private keys, and redact all other texts. A structlog processor.

    Keys of structlog itself (a leading `_`, and `exc_info`) are left alone.
    """
    for key, value in event.items():
        if not key.startswith("_") and key != "exc_info":
            event[key] = _value(key, value, DEPTH_MAX)
    return event


def redact_exception(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact formatted tracebacks, because errors quote their input. A structlog processor."""
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
        return {str(name): _value(str(name), member, depth - 1) for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value("", item, depth - 1) for item in value]
    return redact_text(repr(value))
