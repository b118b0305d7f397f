"""What storage needs of a database, whichever it is."""

from typing import Any, Protocol

from attrs import frozen
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError


class ReadableDatabase(Protocol):
    """An open database that can be read."""

    @property
    def reading(self) -> Engine:
        """A pool that cannot write. Whatever is read in one of its transactions is the state of one moment."""


class Database(ReadableDatabase, Protocol):
    """An open database. `writing` is the writer's alone, `reading` is a pool that cannot write."""

    @property
    def where(self) -> str:
        """What an operator calls it: its file, or its host and name; never a password."""

    @property
    def writing(self) -> Engine:
        """Makes the writer's connection; its transactions are on the disk when their commit has returned."""

    def check(self) -> None:
        """Raise StorageUnavailable when what is written now would be lost; called before each transaction."""

    def interrupt(self, connection: Any) -> None:
        """Have the driver's connection fail whatever it waits for, from another thread; it is of no use afterwards."""

    def forget(self) -> None:
        """Have nothing left on the disk of what was removed, as far as that is the database's own business; blocks."""

    def close(self) -> None:
        """Close the pooled connections and let go of what keeps others out. The writer closes its own."""


@frozen
class DriverErrors:
    """What a database may raise: SQLAlchemy's errors, and those of the driver where it is called directly.

    `of_values` are those of a value that it cannot take, `all` has these too.
    """

    all: tuple[type[Exception], ...]
    of_values: tuple[type[Exception], ...]

    @classmethod
    def of(cls, engine: Engine) -> "DriverErrors":
        """Those of this engine's database."""
        driver = engine.dialect.loaded_dbapi
        return cls((SQLAlchemyError, driver.Error), (DataError, driver.DataError))
