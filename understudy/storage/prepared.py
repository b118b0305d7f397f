"""Queries that are compiled once: building one anew costs ten times what SQLite needs to answer it."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect


class Prepared:
    """A query with named parameters, for columns that the driver gives as they are: texts, numbers and bytes."""

    def __init__(self, query: Select[Any]) -> None:
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

    def rows(self, connection: Connection, **values: object) -> list[tuple[Any, ...]]:
        """All rows, in the transaction of `connection`. Raises what the driver raises."""
        return list(self.each(connection, **values))

    def each(self, connection: Connection, **values: object) -> Iterator[tuple[Any, ...]]:
        """The rows as they are asked for: one that is not is not read."""
        sql, constants = self._for_sqlite if connection.dialect.name == "sqlite" else self._for_postgresql
        driver: Any = connection.connection.dbapi_connection
        rows: Iterator[tuple[Any, ...]] = driver.execute(sql, constants | values)
        return rows
