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

# Names that people gave (`storage`, `tool-call`) stay; what a program made has digits, or is long, or is not a word.
_NAME: Final = re.compile(r"[a-z][a-z_-]{0,31}")
# Under these every child is one of many, whatever it is called.
_DYNAMIC: Final = frozenset({"conversations", "connections", "runs", "tool_calls", "tool-calls", "calls", "models"})


def path_pattern(path: str) -> str:
    """Replace the ids in a path: `/system/conversations/t-17/run-9` → `/system/conversations/*/*`."""
    parts = path.split("/")
    shown: list[str] = []
    for part in parts[:DEPTH_MAX]:
        many = bool(shown) and shown[-1] in _DYNAMIC
        shown.append(part if not part or (_NAME.fullmatch(part) and not many) else "*")
    return "/".join(shown)


class PathLabels:
    """Labels for paths: their patterns, up to `limit` of them, then `other`. So the number of labels is bounded."""

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
