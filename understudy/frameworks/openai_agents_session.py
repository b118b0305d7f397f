"""The session of an agent of the OpenAI Agents SDK: what it knows of the conversation.

It is in memory: what a run has added is kept when the run has ended, and made again from kept replies after a crash.
"""

from typing import Any

from attrs import define, field


@define(eq=False)
class SdkSession:
    """The conversation as a session of the SDK: `items` that the run before has kept, then those of this run."""

    session_id: str
    items: list[Any] = field(repr=False)
    session_settings: Any = None

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the last `limit` items, or all."""
        return self.items[-limit:] if limit else list(self.items)

    async def add_items(self, items: list[Any]) -> None:
        """Add items to the end."""
        self.items.extend(items)

    async def pop_item(self) -> Any:
        """Remove the last item and return it, None if there is none."""
        return self.items.pop() if self.items else None

    async def clear_session(self) -> None:
        """Remove all items."""
        self.items.clear()
