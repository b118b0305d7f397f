"""Purges the words of deleted messages from SQLite's full-text index."""

from typing import Final

from sqlalchemy import Connection, text

from understudy.storage.write import write

MERGED_PAGES: Final = 32
"""Pages of SQLite's full-text index merged per transaction: about 10 ms."""


@write
def merge_fulltext(connection: Connection, begin: bool = False) -> bool:
    """Merge a part of SQLite's full-text index, which purges deleted words. `begin`: from its start.

    Return whether there is more; PostgreSQL purges by itself.
    """
    if connection.dialect.name != "sqlite":
        return False
    merge = text("INSERT INTO words_index (words_index, rank) VALUES ('merge', :pages)")
    changes = text("SELECT total_changes()")
    changes_before = connection.execute(changes).scalar_one()
    connection.execute(merge, {"pages": -MERGED_PAGES if begin else MERGED_PAGES})
    return bool(connection.execute(changes).scalar_one() - changes_before >= 2)
