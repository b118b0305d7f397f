"""A database that is only read, beside whatever server uses it: no lock of the folder, nothing migrated."""

from pathlib import Path

from attrs import field, frozen
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from . import schema
from .errors import CannotConnect, CannotOpen, driver_words
from .inspection import BUSY_TIMEOUT_MS, FILE_NAME, look_at
from .sqlite import reading_engine

OLDER = "its schema is older than this understudy: `understudy migrate` brings it up to date"
NOTHING = "there is no database of understudy there"


@frozen
class ReadDatabase:
    """An open database. Whatever is read in one transaction of `reading` is the state of one moment."""

    reading: Engine = field(repr=False)

    def close(self) -> None:
        """Close the pooled connections."""
        self.reading.dispose()


def read_folder(folder: Path) -> ReadDatabase:
    """Open the SQLite database of a data folder; blocks. A server may be running.

    Raises CannotOpen (also where there is none, or its schema is older), NotADatabase, Damaged or SchemaTooNew.
    """
    path = folder / FILE_NAME
    found = look_at(path, BUSY_TIMEOUT_MS) if path.is_file() else None
    if schema.is_behind(found):
        raise CannotOpen(path, NOTHING if found is None else OLDER)
    return ReadDatabase(reading_engine(path))


def read_server(address: str) -> ReadDatabase:
    """Connect to a PostgreSQL database; blocks. Servers may be running.

    Raises CannotConnect (also where there is none, or its schema is older), ForeignTables or SchemaTooNew.
    """
    from .postgresql import inspect_server, reader_of, where_is  # most have no use for it

    found = inspect_server(address)[1]
    if schema.is_behind(found):
        raise CannotConnect(where_is(address), NOTHING if found is None else OLDER)
    try:
        return ReadDatabase(reader_of(address))
    except SQLAlchemyError as error:
        raise CannotConnect(where_is(address), " ".join(driver_words(error).split())) from None
