"""The interface of a database: SQLite or PostgreSQL."""

from typing import Any, Final, Protocol

from attrs import field, frozen
from sqlalchemy import Engine, event
from sqlalchemy.exc import DataError, SQLAlchemyError

from .errors import StorageUnavailable, Unstorable, driver_words


class ReadableDatabase(Protocol):
    """An open database that can be read."""

    @property
    def reading(self) -> Engine:
        """A read-only pool; each of its transactions sees one snapshot."""


def close_engine(engine: Engine) -> None:
    """Close the pooled connections; one that a thread still has, or makes, is closed when it gives it back."""
    event.listen(engine, "checkin", _close)
    engine.dispose()


def _close(connection: Any, _record: object) -> None:
    if connection is not None:
        connection.close()


@frozen
class ReadDatabase:
    """A database that is open for reading only, beside any servers: its folder is not locked, nothing is migrated."""

    reading: Engine = field(repr=False)

    def close(self) -> None:
        """Close the pooled connections."""
        close_engine(self.reading)


BEFORE_RELEASES: Final = (
    "its schema {found} is older than the first release: export what is to be kept with the version that made it"
)
OLDER_SCHEMA: Final = "its schema is older than this understudy: `understudy migrate` brings it up to date"
NO_DATABASE: Final = "there is no database of understudy there"


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

    def stamp(self) -> tuple[int, int] | None:
        """Return what differs after each commit, of any process, but for such within a tick of the file system's clock;
        None if only a read can tell. Takes microseconds."""

    def interrupt(self, connection: Any) -> None:
        """Interrupt a connection of the driver from another thread; the connection is unusable afterwards."""

    def forget(self) -> None:
        """Purge deleted data from the files of the database, as far as the database leaves it there; blocks."""

    def close(self) -> None:
        """Close the pooled connections and release the lock of the data folder. The writer closes its own."""


@frozen
class DriverErrors:
    """The errors of a database: SQLAlchemy's, and those of its driver.

    `of_values` are the errors of values that the database cannot store; `all` includes them.
    """

    all: tuple[type[Exception], ...]
    of_values: tuple[type[Exception], ...]

    @classmethod
    def of(cls, engine: Engine) -> "DriverErrors":
        """Return the errors of this engine's database."""
        driver = engine.dialect.loaded_dbapi
        return cls((SQLAlchemyError, driver.Error), (DataError, driver.DataError))

    def translate(self, error: Exception) -> Exception:
        """Return Unstorable or StorageUnavailable for an error of the driver or of a value; others unchanged."""
        if isinstance(error, (*self.of_values, UnicodeEncodeError, OverflowError)):
            translated: Exception = Unstorable(driver_words(error))
        elif isinstance(error, self.all):
            translated = StorageUnavailable(driver_words(error))
        else:
            return error
        translated.__cause__ = error
        return translated
