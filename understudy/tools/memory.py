"""The memory of a user across sessions, as tools and agents see it: of one agent, or of all that share a notebook.

Values are plain JSON under short names, and expire. The server stores them; `Notebook` keeps them in memory, for tests
of tools.
"""

import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec
from attrs import define, field, frozen

from understudy.tools.errors import InvalidResult, ToolError
from understudy.tools.result import to_json

DAY_S: Final = 24 * 3600.0
TTL_S: Final = 30 * DAY_S
"""Default lifetime of a value in seconds; then it expires."""
LONGEST_S: Final = 366 * DAY_S
VALUE_BYTES: Final = 8 * 1024
"""Bytes of JSON of one value; a larger one is refused."""
VALUES: Final = 50
"""Values in one notebook for one user; one more is refused as ``busy``."""
FOUND: Final = 10
"""Default limit of the values that a search returns."""
QUERY_WORDS: Final = 16
"""Words of a query that are searched for; further ones are ignored."""

_WORD: Final = re.compile(r"[^\W_]+")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")


@frozen
class MemoryEntry:
    """A remembered value. `updated_at` and `expires_at` are seconds of the memory's clock: Unix time on a server."""

    name: str
    value: Any = field(repr=False)
    updated_at: float
    expires_at: float


class Memory(Protocol):
    """The memory of an agent, or of several that share a notebook, about the user for whom a tool runs."""

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Store a value under a name for `ttl_s` seconds, replacing an older one. Raises `ToolError`."""

    async def recall(self, name: str) -> Any:
        """Return the value of that name; None if there is none, or it has expired. Raises `ToolError`."""

    async def forget(self, name: str) -> bool:
        """Delete a value. Return False if there was none. Raises `ToolError`."""

    async def search(self, query: str, limit: int = FOUND) -> list[MemoryEntry]:
        """Return the values with words of the query in name or value: those with most of them first, then the latest.

        An empty query finds all. Raises `ToolError`.
        """


def checked(name: str, value: Any, ttl_s: float) -> Any:
    """Check a value before it is stored, and return it as plain JSON.

    Raises `ToolError`: ``invalid_arguments`` for a bad name or time, ``tool_failed`` for a value that is no JSON,
    ``message_too_large`` for one of more than `VALUE_BYTES`.
    """
    check_name(name)
    if not (0 < ttl_s <= LONGEST_S and math.isfinite(ttl_s)):
        raise ToolError("invalid_arguments", f"A value is remembered for up to {LONGEST_S:,.0f} s, not {ttl_s!r}.")
    try:
        plain = to_json(value)
    except InvalidResult as error:
        raise ToolError("tool_failed", f"{name} cannot be remembered: {error}") from None
    size = len(msgspec.json.encode(plain))
    if size > VALUE_BYTES:
        raise ToolError("message_too_large", f"{name} has {size:,} bytes; {VALUE_BYTES:,} can be remembered.")
    return plain


def check_name(name: str) -> None:
    """Check a name. Raises `ToolError` ``invalid_arguments``."""
    if not _NAME.match(name):
        raise ToolError("invalid_arguments", "A name has a letter, then letters, digits, '_', '.' or '-', 64 at most.")


def no_room() -> ToolError:
    """Return the error for a value beyond the limit."""
    return ToolError("busy", f"{VALUES} values are remembered already; forget one first.")


def ranked(entries: Iterable[MemoryEntry], query: str) -> list[MemoryEntry]:
    """Return the entries that have words of the query at the beginning of words in their name or value.

    Those with most words of the query come first, then the latest; all entries if the query has no words. Letter case
    and a plural "s" do not matter. A scan is enough: a notebook holds `VALUES` entries of `VALUE_BYTES` at most, which
    takes a few milliseconds.
    """
    latest = sorted(entries, key=lambda entry: -entry.updated_at)
    words = list(dict.fromkeys(_stem(word) for word in _WORD.findall(query.casefold())))[:QUERY_WORDS]
    if not words:
        return latest
    scored_entries = []
    for entry in latest:
        value = msgspec.json.encode(entry.value).decode()
        text = f"{entry.name} {value}".replace("_", " ").casefold()
        # The search for a plain text is many times faster than that for a pattern, and rejects nearly all entries.
        if score := sum(word in text and re.search(rf"\b{word}", text) is not None for word in words):
            scored_entries.append((score, entry))
    return [entry for _, entry in sorted(scored_entries, key=lambda scored: -scored[0])]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


@define
class Notebook:
    """A memory in this object alone, with the same bounds as a stored one. `clock` returns seconds."""

    clock: Callable[[], float] = time.monotonic
    _entries: dict[str, MemoryEntry] = field(factory=dict, init=False, repr=False)

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Store a value, see `Memory.remember`."""
        plain, now = checked(name, value, ttl_s), self.clock()
        self._entries = {key: entry for key, entry in self._entries.items() if entry.expires_at > now}
        if name not in self._entries and len(self._entries) >= VALUES:
            raise no_room()
        self._entries[name] = MemoryEntry(name, plain, now, now + ttl_s)

    async def recall(self, name: str) -> Any:
        """Return a value, see `Memory.recall`."""
        check_name(name)
        entry = self._entries.get(name)
        return entry.value if entry is not None and entry.expires_at > self.clock() else None

    async def forget(self, name: str) -> bool:
        """Delete a value, see `Memory.forget`."""
        check_name(name)
        entry = self._entries.pop(name, None)
        return entry is not None and entry.expires_at > self.clock()

    async def search(self, query: str, limit: int = FOUND) -> list[MemoryEntry]:
        """Return the values that fit, see `Memory.search`."""
        now = self.clock()
        return ranked((entry for entry in self._entries.values() if entry.expires_at > now), query)[: max(0, limit)]


class NoMemory(Notebook):
    """The memory of a server that remembers nothing."""

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Raise `ToolError` ``forbidden``."""
        raise ToolError("forbidden", "This server remembers nothing.")


class Memories:
    """The memories of the users of a server: none without the extension `memory`."""

    def of(self, owner: str, notebook: str) -> Memory:
        """Return the memory of a user in a notebook."""
        return NoMemory()
