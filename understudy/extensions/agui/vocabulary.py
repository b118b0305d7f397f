"""Names and values that the modules of the AG-UI translation share."""

from typing import Any, Final, TypeAlias

PROTOCOL_VERSION: Final = "1.0"
METADATA_KEY: Final = "understudy"
"""The key of this server's data in `metadata` and in the state."""

AguiEvent: TypeAlias = dict[str, Any]
