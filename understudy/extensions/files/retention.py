"""The actor that deletes unreferenced files, and files in the folder that have no row.

If several servers share the database, only the one that has been alive the longest does this.
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
"""Seconds from the start of the server to the first pass, because a starting server is busy."""
EVERY_S: Final = 6 * 3600.0
AGE_S: Final = 24 * 3600.0
"""Age in seconds before which no file is deleted, because its message may not have been sent yet."""
TOGETHER: Final = 200
"""Files examined per transaction."""
LOOKED_FOR: Final = 20
"""Limit of file ids searched in texts per transaction, because each search scans its user's messages."""

Key = tuple[str, str]
"""An owner and the id of a file."""
_ID: Final = re.compile(r"[0-9a-f]{32}")
_f = files.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c


class FileRetention(Poller):
    """Deletes unreferenced files, `FIRST_S` after its start and then every `EVERY_S` seconds.

    `count` is called with the number of deleted files, `clock` returns Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        file_store: FileStore,
        node: "Node | None",
        count: Callable[[int], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.file_store = file_store
        self.node = node
        self.count = count
        self.clock = clock
        self.first = True

    async def poll(self) -> float:
        """Delete all unreferenced files. If the database is unavailable, the next pass does it."""
        if self.first:
            self.first = False
            return FIRST_S
        before = self.clock() - AGE_S
        try:
            await self._orphans(before)
            if isinstance(self.file_store, FolderFiles):
                await self._strays(self.file_store, before)
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
                await self.file_store.remove(owner, [file_id])
                await self.store.commit(remove_rows(files, ((owner, file_id),)))
                self.count(1)
                await rest(began)

    async def _strays(self, folder: FolderFiles, before: float) -> None:
        """Delete files in the folder without a row: their server was killed before it stored the row."""
        ids = await folder.older_than(before)
        for first in range(0, len(ids), TOGETHER):
            began, batch = trio.current_time(), ids[first : first + TOGETHER]
            stored = await self.store.archive.read(known_files, batch)
            strays = [file_id for file_id in batch if file_id not in stored]
            await folder.remove("", strays)
            if strays:
                self.count(len(strays))
            await rest(began)


def old_files(connection: Connection, after: Key, before: float) -> tuple[Key | None, list[Key]]:
    """Examine a page of the files after `after` that were uploaded before a time (Unix seconds).

    Return the last key of the page, None if it is the last page, and the keys of its unreferenced files.
    """
    key = tuple_(_f.owner, _f.id)
    query = select(_f.owner, _f.id).where(key > tuple_(*after), _f.created_at < before)
    rows = [(owner, file_id) for owner, file_id in connection.execute(query.order_by(_f.owner, _f.id).limit(TOGETHER))]
    of_owner: dict[str, list[str]] = {}
    for owner, file_id in rows:
        of_owner.setdefault(owner, []).append(file_id)
    orphans = [(owner, file_id) for owner, ids in of_owner.items() for file_id in _unreferenced(connection, owner, ids)]
    return (rows[-1] if len(rows) == TOGETHER else None), orphans


def known_files(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return the ones of these ids that are files of any owner."""
    return set(connection.execute(select(_f.id).where(_f.id.in_(ids))).scalars())


def _unreferenced(connection: Connection, owner: str, ids: Sequence[str]) -> list[str]:
    """Return up to `LOOKED_FOR` ids of an owner's files that are in no message and in no result of a tool."""
    references = cast(_m.references, Text)
    referenced: set[str] = set()
    for (value,) in connection.execute(select(references).where(_m.owner == owner, references != "[]")):
        referenced.update(_ID.findall(value))
    attached = cast(_m.files, Text)
    for (value,) in connection.execute(select(attached).where(_m.owner == owner, _m.files.is_not(None))):
        referenced.update(_ID.findall(value))
    candidates = [file_id for file_id in ids if file_id not in referenced][:LOOKED_FOR]
    of_owner = select(_s.run_id).join(schema.runs, _r.id == _s.run_id).where(_r.owner == owner)
    orphans = []
    for file_id in candidates:
        texts: Any = (
            select(_m.number).where(_m.owner == owner, _m.content.contains(file_id, autoescape=True)),
            of_owner.where(cast(_s.result, Text).contains(file_id, autoescape=True)),
        )
        if all(connection.execute(text.limit(1)).first() is None for text in texts):
            orphans.append(file_id)
    return orphans
