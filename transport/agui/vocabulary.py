"""Names and values that the parts of the AG-UI translation share."""

from typing import Any, Final, TypeAlias

import msgspec

PROTOCOL_VERSION: Final = "1.0"
METADATA_KEY: Final = "understudy"
"""The key of this server's data in `metadata` and in the state."""

AguiEvent: TypeAlias = dict[str, Any]


def plain(value: object) -> Any:
    """Return a value of an event as JSON data."""
    return msgspec.to_builtins(value, enc_hook=dict)


def json_text(value: object) -> str:
    """Return a value of an event as JSON text."""
    return msgspec.json.encode(value, enc_hook=dict).decode()
