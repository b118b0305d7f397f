"""The memory of an agent about a user: filtered before it is stored, and given to a model as data.

Reads go to the database first, as another node may have written; the cache answers while the database is away.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from attrs import define

from actors import Actor, Context
from understudy.content.filter import ContentFilter
from understudy.models.model import fenced
from understudy.storage.agent_memory import Forget, Remember, Remembered
from understudy.storage.cache import CachedReads
from understudy.storage.errors import NotStored, StorageUnavailable, Unstorable
from understudy.storage.spending import KEPT_DAYS, day_of
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.memory import TTL_S, check_name, checked, no_room

log = logging.getLogger(__name__)

FOR_MODEL_BYTES: Final = 16 * 1024
"""Bytes of JSON of the memory in a model's instructions, the latest first; older values are left out."""
EVERY_S: Final = 60.0
"""Interval of removing expired memories."""


@define
class AgentMemory:
    """The memory of one agent about one user. `clock` gives Unix seconds."""

    owner: str
    agent: str
    store: Store
    reads: CachedReads
    content_filter: ContentFilter
    clock: Callable[[], float]

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Store a filtered value for `ttl_s` seconds; `understudy.tools.memory.Memory.remember` lists the errors."""
        plain = checked(name, value, ttl_s)
        clean = await self.content_filter.filter_value(plain, self.content_filter.tool)
        if clean.blocked:
            blocked = self.content_filter.blocked_error(f"{name} is not remembered", clean.texts)
            raise ToolError("content_blocked", blocked.message)
        checked(name, clean.value, ttl_s)  # the placeholder of a secret may be longer than the secret
        now = self.clock()
        try:
            kept = await self.store.remember(Remember(self.owner, self.agent, name, clean.value, now, now + ttl_s))
        except StorageUnavailable:
            raise _unavailable() from None
        except (NotStored, Unstorable):
            raise ToolError("tool_failed", f"{name} cannot be stored.") from None
        if not kept:
            raise no_room()

    async def recall(self, name: str) -> Any:
        """Return the remembered value, or None; `understudy.tools.memory.Memory.recall` lists the errors."""
        check_name(name)
        return next((each.value for each in await self._all() if each.name == name), None)

    async def forget(self, name: str) -> bool:
        """Remove a value. Return False if there is none; `understudy.tools.memory.Memory.forget` lists the errors."""
        check_name(name)
        try:
            return await self.store.forget(Forget(self.owner, self.agent, name, self.clock()))
        except StorageUnavailable:
            raise _unavailable() from None

    async def for_model(self) -> str:
        """Return the memory for a model's instructions, fenced; empty if nothing is remembered.

        While the database is away it comes from the cache; if the cache has none, it is left out.
        """
        try:
            known = await self._all()
        except ToolError:
            return ""
        return describe_for_model(known)

    async def _all(self) -> Sequence[Remembered]:
        now = self.clock()
        try:
            found = await self.reads.remembered(self.owner, self.agent, now)
        except StorageUnavailable:
            raise _unavailable() from None
        return [each for each in found.value if each.expires_at > now]


def describe_for_model(known: Sequence[Remembered]) -> str:
    """Describe the remembered values for a model, in a fence that they cannot end."""
    shown: dict[str, Any] = {}
    room = FOR_MODEL_BYTES
    for each in known:
        room -= len(msgspec.json.encode({each.name: each.value}))
        if room < 0:
            break
        shown[each.name] = each.value
    if not shown:
        return ""
    left_out = len(known) - len(shown)
    more = f" {left_out} older values are left out." if left_out else ""
    return f"Remembered of this user from earlier conversations:{more}\n{fenced(shown)}"


def _unavailable() -> ToolError:
    return ToolError("storage_unavailable", "What is remembered cannot be reached right now; try again in a moment.")


class _Expire:
    """To itself: remove expired memories now."""


class MemoryExpiry(Actor):
    """Removes expired memories, and old rows of what users spent, every `every_s` seconds, on each node.

    `clock` gives Unix seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float], every_s: float = EVERY_S) -> None:
        self.store = store
        self.clock = clock
        self.every_s = every_s

    async def on_start(self, context: Context) -> None:
        """Check at once: the server may have been down for long."""
        context.ref.tell(_Expire())

    async def receive(self, message: object, context: Context) -> None:
        """Remove expired memories; while the database is away they stay, but are not returned."""
        match message:
            case _Expire():
                try:
                    await self.store.forget_expired(self.clock())
                    while await self.store.forget_spending(day_of(self.clock()) - KEPT_DAYS):
                        pass
                except StorageUnavailable as error:
                    log.debug("contexts.not_removed", extra={"reason": error.reason})
                context.set_timer("look", self.every_s, _Expire())
            case _:
                context.unhandled(message)
