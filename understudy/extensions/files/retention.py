"""The actor that deletes files that nothing refers to, and what an upload has left in the folder.

If several servers share the database, the one that has been alive the longest does it.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio
from sqlalchemy import Connection, Text, cast, select, tuple_

from actors import ActorError
from understudy.chat.placement import is_in_charge
from understudy.extensions.files.folder import FileStore, FolderFiles
from understudy.extensions.files.tables import files
from understudy.storage import schema
from understudy.storage.deletion import remove_rows
from understudy.storage.errors import StorageError
from understudy.storage.polling import Poller, rest
from understudy.storage.store import Store

if TYPE_CHECKING:
    from understudy.chat.placement import Node

log = logging.getLogger(__name__)

FIRST_S: Final = 180.0
"""Time from the start of the server to the first pass: a starting server is busy."""
EVERY_S: Final = 6 * 3600.0
AGE_S: Final = 24 * 3600.0
"""Minimum age of an unreferenced file to be deleted: its message may not have been sent yet."""
TOGETHER: Final = 200
"""Files examined per transaction."""
LOOKED_FOR: Final = 20
"""Limit of file ids searched in texts at a time: each is a scan of its user's messages."""

Key = tuple[str, str]
"""An owner and the id of a file."""
_ID: Final = re.compile(r"[0-9a-f]{32}")
_f = files.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c


class FileRetention(Poller):
    """Deletes what nothing refers to, some minutes after its start, and every `EVERY_S` seconds.

    `count` is called with the number of deleted files, `clock` gives Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        kept: FileStore,
        node: "Node | None",
        count: Callable[[int], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.kept = kept
        self.node = node
        self.count = count
        self.clock = clock
        self.first = True

    async def poll(self) -> float:
        """Delete what nothing refers to now; if the database is away, do it in the next pass."""
        if self.first:
            self.first = False
            return FIRST_S
        before = self.clock() - AGE_S
        try:
            await self._orphans(before)
            if isinstance(self.kept, FolderFiles):
                await self._strays(self.kept, before)
        except (StorageError, ActorError) as error:
            log.warning("retention.postponed", extra={"reason": str(error)})
        return EVERY_S

    async def _orphans(self, before: float) -> None:
        last: Key | None = ("", "")
        while last is not None and await is_in_charge(self.node):
            began = trio.current_time()
            last, orphans = await self.store.archive.read(old_files, last, before)
            await rest(began)
            for owner, file_id in orphans:
                began = trio.current_time()
                await self.kept.remove(owner, [file_id])
                await self.store.commit(remove_rows(files, ((owner, file_id),)))
                self.count(1)
                await rest(began)

    async def _strays(self, folder: FolderFiles, before: float) -> None:
        """Delete files in the folder without a row: their server died before it could store the row."""
        names = await folder.older_than(before)
        for first in range(0, len(names), TOGETHER):
            began, some = trio.current_time(), names[first : first + TOGETHER]
            rows = await self.store.archive.read(known_files, some)
            strays = [name for name in some if name not in rows]
            await folder.remove("", strays)
            if strays:
                self.count(len(strays))
            await rest(began)


def old_files(connection: Connection, after: Key, before: float) -> tuple[Key | None, list[Key]]:
    """Return the last of the next files that were uploaded before a time, and those of them that no stored text names.

    The first of the pair is None on the last page.
    """
    key = tuple_(_f.owner, _f.id)
    wanted = select(_f.owner, _f.id).where(key > tuple_(*after), _f.created_at < before)
    rows = [(owner, name) for owner, name in connection.execute(wanted.order_by(_f.owner, _f.id).limit(TOGETHER))]
    of_owner: dict[str, list[str]] = {}
    for owner, name in rows:
        of_owner.setdefault(owner, []).append(name)
    orphans = [(owner, name) for owner, names in of_owner.items() for name in _unnamed(connection, owner, names)]
    return (rows[-1] if len(rows) == TOGETHER else None), orphans


def known_files(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these ids are files of any owner."""
    return set(connection.execute(select(_f.id).where(_f.id.in_(ids))).scalars())


def _unnamed(connection: Connection, owner: str, names: Sequence[str]) -> list[str]:
    """Return the owner's files that no message names, and no text of a message or result of a tool contains."""
    references = cast(_m.references, Text)
    named: set[str] = set()
    for (listed,) in connection.execute(select(references).where(_m.owner == owner, references != "[]")):
        named.update(_ID.findall(listed))
    made = cast(_m.files, Text)
    for (listed,) in connection.execute(select(made).where(_m.owner == owner, _m.files.is_not(None))):
        named.update(_ID.findall(listed))
    left = [name for name in names if name not in named][:LOOKED_FOR]
    of_owner = select(_s.run_id).join(schema.runs, _r.id == _s.run_id).where(_r.owner == owner)
    unnamed = []
    for name in left:
        texts: Any = (
            select(_m.number).where(_m.owner == owner, _m.content.contains(name, autoescape=True)),
            of_owner.where(cast(_s.result, Text).contains(name, autoescape=True)),
        )
        if all(connection.execute(text.limit(1)).first() is None for text in texts):
            unnamed.append(name)
    return unnamed
