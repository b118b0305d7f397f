"""Statements that are compiled once, and executed by the driver: SQLAlchemy's processing costs more than SQLite's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import JSON, Connection, Insert, Select, TextClause, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

_Compiled: TypeAlias = tuple[str, dict[str, Any], dict[str, bool]]
"""A statement's text, its constants, and its parameters of JSON, each with whether None is NULL."""


class Prepared:
    """A statement that is compiled once per database: compiling takes ten times as long as SQLite needs to execute it.

    Its parameters are named, and of columns that the driver takes without conversion (texts, numbers and bytes) or of
    JSON; expanding ones take lists. `columns` are those that an INSERT without values fills, by default all of the
    table.
    """

    def __init__(self, query: Select[Any] | TextClause | Insert | Update, columns: Sequence[str] | None = None) -> None:
        self._query = query
        selected = query.selected_columns if isinstance(query, Select) else ()
        self._json_at = [place for place, column in enumerate(selected) if isinstance(column.type, JSON)]
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def _compile(self, dialect: str) -> "_Compiled":
        compiled = self._query.compile(dialect=_dialect(dialect), column_keys=self._columns)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        as_json = {bind.key: bind.type.none_as_null for bind in compiled.binds.values() if isinstance(bind.type, JSON)}
        self._compiled[dialect] = compiled.string, constants, as_json
        return self._compiled[dialect]

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Execute the statement once per mapping of values, of which there is at least one. Return the driver's cursor.

        SQLAlchemy's processing of a statement takes longer than SQLite's: the driver is called in the transaction of
        `connection`, and only JSON is converted here. Raises the errors of SQLAlchemy.
        """
        dialect = connection.dialect
        sql, constants, as_json = self._compiled.get(dialect.name) or self._compile(dialect.name)
        if constants or as_json:
            rows = whole = [{**constants, **row} for row in rows]
            for name, none_as_null in as_json.items():
                for row in whole:
                    if row[name] is not None or not none_as_null:
                        row[name] = msgspec.json.encode(row[name]).decode()
        driver: Any = connection.connection.dbapi_connection
        try:
            if len(rows) == 1:
                return driver.execute(sql, rows[0])
            cursor = driver.cursor()
            cursor.executemany(sql, rows)
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(sql, None, error, dialect.loaded_dbapi.Error, dialect=dialect) from error
        return cursor

    def rows(self, connection: Connection, **values: object) -> list[tuple[Any, ...]]:
        """Return all rows, in the transaction of `connection`. Raises the errors of the driver."""
        return list(self.each(connection, **values))

    def each(self, connection: Connection, **values: object) -> Iterator[tuple[Any, ...]]:
        """Return an iterator over the rows; a row is read from the database when it is requested."""
        dialect = connection.dialect.name
        sql, constants, _ = self._compiled.get(dialect) or self._compile(dialect)
        driver: Any = connection.connection.dbapi_connection
        # In its text format PostgreSQL would send the bytes of an event at twice their size.
        options = {} if dialect == "sqlite" else {"binary": True}
        mark = ":{}_{}" if dialect == "sqlite" else "%({}_{})s"
        for name, members in [(name, each) for name, each in values.items() if isinstance(each, list)]:
            marks = ", ".join(mark.format(name, place) for place in range(len(members)))
            sql = sql.replace(f"__[POSTCOMPILE_{name}]", marks)
            del values[name]
            values |= {f"{name}_{place}": each for place, each in enumerate(members)}
        rows: Iterator[tuple[Any, ...]] = driver.execute(sql, constants | values, **options)
        return map(self._decoded, rows) if self._json_at and dialect == "sqlite" else rows

    def _decoded(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row of SQLite with its JSON decoded, which the driver of PostgreSQL does itself."""
        whole = list(row)
        for place in self._json_at:
            if isinstance(whole[place], str):  # the column's affinity makes a number of one
                whole[place] = msgspec.json.decode(whole[place])
        return tuple(whole)


def _dialect(database: str) -> Dialect:
    """Return the dialect of this database; no other is imported."""
    if database == "sqlite":
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        return SQLiteDialect_pysqlite(paramstyle="named")
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    return PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]
