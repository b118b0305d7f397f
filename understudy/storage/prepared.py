"""Statements that are compiled once: building one anew costs ten times what SQLite needs to carry it out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, CursorResult, Insert, Select, Update
from sqlalchemy.engine import Dialect


class Prepared:
    """A statement with named parameters, for columns that the driver takes as they are: texts, numbers and bytes."""

    def __init__(self, query: Select[Any] | Insert | Update) -> None:
        self._query = query

    @cached_property
    def _for_sqlite(self) -> tuple[str, dict[str, Any]]:
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        return self._compiled(SQLiteDialect_pysqlite(paramstyle="named"))

    @cached_property
    def _for_postgresql(self) -> tuple[str, dict[str, Any]]:
        from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

        return self._compiled(PGDialect_psycopg(paramstyle="pyformat"))  # type: ignore[no-untyped-call]

    def _compiled(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        compiled = self._query.compile(dialect=dialect)
        return compiled.string, {name: value for name, value in compiled.params.items() if value is not None}

    def _for(self, connection: Connection) -> tuple[str, dict[str, Any]]:
        return self._for_sqlite if connection.dialect.name == "sqlite" else self._for_postgresql

    def run(self, connection: Connection, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Carry it out with these values, or once for each of many; it has no constants. Raises what SQLAlchemy raises.

        The values go to the driver as they are: SQLAlchemy's own work on each row takes as long as SQLite's.
        """
        return connection.exec_driver_sql(self._for(connection)[0], values)

    def rows(self, connection: Connection, **values: object) -> list[tuple[Any, ...]]:
        """All rows, in the transaction of `connection`. Raises what the driver raises."""
        return list(self.each(connection, **values))

    def each(self, connection: Connection, **values: object) -> Iterator[tuple[Any, ...]]:
        """The rows as they are asked for: one that is not is not read."""
        sql, constants = self._for(connection)
        driver: Any = connection.connection.dbapi_connection
        # PostgreSQL would send the bytes of an event as text, at twice their size.
        how = {} if connection.dialect.name == "sqlite" else {"binary": True}
        rows: Iterator[tuple[Any, ...]] = driver.execute(sql, constants | values, **how)
        return rows
