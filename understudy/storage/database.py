"""The interface of a database: SQLite or PostgreSQL."""

from typing import Any, Protocol

from attrs import frozen
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError


class ReadableDatabase(Protocol):
    """An open database that can be read."""

    @property
    def reading(self) -> Engine:
        """A read-only pool; each of its transactions sees one snapshot."""


class Database(ReadableDatabase, Protocol):
    """An open database. `writing` is the writer's alone, `reading` is a pool that cannot write."""

    @property
    def where(self) -> str:
        """The name for operators: the file, or host and database name; never a password."""

    @property
    def writing(self) -> Engine:
        """The engine of the writer's connection; its transactions are durable when their commit has returned."""

    def check(self) -> None:
        """Raise StorageUnavailable if writes would be lost; called before each transaction."""

    def interrupt(self, connection: Any) -> None:
        """Interrupt a connection of the driver from another thread; the connection is unusable afterwards."""

    def forget(self) -> None:
        """Purge deleted data from the files of the database, as far as the database leaves it there; blocks."""

    def close(self) -> None:
        """Close the pooled connections and release the lock of the data folder. The writer closes its own."""


@frozen
class DriverErrors:
    """The errors of a database: SQLAlchemy's, and the driver's where it is called directly.

    `of_values` are errors of values that it cannot store; `all` includes these.
    """

    all: tuple[type[Exception], ...]
    of_values: tuple[type[Exception], ...]

    @classmethod
    def of(cls, engine: Engine) -> "DriverErrors":
        """Those of this engine's database."""
        driver = engine.dialect.loaded_dbapi
        return cls((SQLAlchemyError, driver.Error), (DataError, driver.DataError))
