"""The files that tools and hand-written agents make, as the answer offers them to the user."""

from collections.abc import Iterable
from typing import Any, Final

from attrs import define

from understudy.tools.context import Files, StoredFile

MAX_OF_CALL: Final = 20
"""Files of one call that its user is shown; more are stored, and not listed."""
MAX_OF_ANSWER: Final = 50
"""Files of one answer that its user is shown."""


@define(eq=False)
class SavedFiles:
    """The user's files for one call. `cards` gets the card of each file that the call saves."""

    files: Files
    cards: list[dict[str, Any]]

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id. Raises LookupError if this user has none."""
        return await self.files.get(file_id)

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user. Raises ValueError if it is larger than the server accepts."""
        saved = await self.files.save(name, media_type, content)
        if len(self.cards) < MAX_OF_CALL:
            self.cards.append({"id": saved.id, "name": saved.name, "media_type": saved.media_type, "size": saved.size})
        return saved


def files_of_answer(cards: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each file once, in the order in which they were made; at most `MAX_OF_ANSWER`."""
    return list({card["id"]: card for card in cards}.values())[:MAX_OF_ANSWER]
