"""Paths of the server's actors, and their form as labels of metrics, in which ids become `*`."""

import re
from typing import Final

SYSTEM: Final = "/system"
CLUSTER: Final = "/system/cluster"
CONNECTIONS: Final = "/system/connections"
CONVERSATIONS: Final = "/system/conversations"
MCP: Final = "/system/mcp"
RECOVERY: Final = "/system/observe/recovery"
WRITER: Final = "/system/storage/writer"

OTHER: Final = "other"
PATTERNS_MAX: Final = 200
DEPTH_MAX: Final = 12

# Names from the source (`storage`, `tool-call`) are kept; generated ones have digits, or are long, or are not words.
_NAME: Final = re.compile(r"[a-z][a-z_-]{0,31}")
# Every child of these has a generated name, even if it looks like a word.
_DYNAMIC: Final = frozenset({"conversations", "connections", "runs", "tool_calls", "tool-calls", "calls", "models"})


def path_pattern(path: str) -> str:
    """Replace the ids in a path: `/system/conversations/t-17/run-9` → `/system/conversations/*/*`."""
    parts = path.split("/")
    shown: list[str] = []
    for part in parts[:DEPTH_MAX]:
        is_dynamic = bool(shown) and shown[-1] in _DYNAMIC
        shown.append(part if not part or (_NAME.fullmatch(part) and not is_dynamic) else "*")
    return "/".join(shown)


class PathLabels:
    """Labels for paths: at most `limit` patterns, and `other` for all further ones, so their number is bounded."""

    def __init__(self, limit: int = PATTERNS_MAX) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def label(self, path: str) -> str:
        """Return the pattern of a path, or `other` for a new pattern beyond the limit."""
        pattern = path_pattern(path)
        if pattern in self._seen:
            return pattern
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(pattern)
        return pattern
