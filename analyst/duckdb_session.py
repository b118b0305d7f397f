"""A DuckDB database with one user's file, for one question. Runs in the process of `table_worker`.

1. The file becomes the table ``data``. Its content decides on the format, the encoding and the notation of numbers; its
   name only breaks ties.
2. Before any query of a user runs, access to files and the network is switched off, the configuration is locked and a
   read-only transaction begins.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from analyst.column_types import ColumnTypes, lines_above, quote
from analyst.refusal import Refusal

if TYPE_CHECKING:
    import duckdb

MEMORY: Final = "512MB"
THREADS: Final = 2
MAX_COLUMNS: Final = 1_000
MAX_JOINED: Final = 2_000_000
"""Rows of a join; more are refused. A value that is frequent in both key columns gives the product of its counts."""

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "memory_limit": MEMORY,
    "threads": THREADS,
    "temp_directory": "",  # DuckDB would create one, and allow queries to read in it
    "max_temp_directory_size": "0B",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # else a query could read a variable of this program as a table
}
_LOCK: Final = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
    "BEGIN TRANSACTION READ ONLY",
)
_NUMBERS: Final = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT DOUBLE DECIMAL".split()  # noqa: SIM905 (words read better as words)
)

_SAMPLE: Final = 64 * 1024
_CHUNK: Final = 1024 * 1024
_SEPARATED: Final = frozenset({".csv", ".tsv", ".tab", ".psv"})
_JSON: Final = frozenset({".json", ".jsonl", ".ndjson", ".geojson"})
_DELIMITERS: Final = ("\t", ";", "|", ",")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# DuckDB's own sampling is fast, so it is tried first; then types are decided by all rows; then ragged rows are padded.
# Without `skip`, DuckDB silently drops first lines that do not fit the later ones.
_CSV_TRIES: Final[Sequence[Mapping[str, Any]]] = (
    {"skip": 0},
    {"skip": 0, "sample_size": -1},
    {"skip": 0, "sample_size": -1, "strict_mode": False, "null_padding": True},
)
_SEP: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_PAGE: Final = re.compile(r"<(!doctype|html|head|body|table|\?xml)\b", re.IGNORECASE)


@frozen
class Column:
    """A column of the table: its name, and its type in DuckDB's notation."""

    name: str
    type: str

    @property
    def quoted(self) -> str:
        """The name as an SQL identifier."""
        return quote(self.name)

    @property
    def words(self) -> frozenset[str]:
        """The words of the name, in lower case without accents, each also without a final s."""
        name = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name).casefold())
        words = re.findall(r"[a-z]+", "".join(letter for letter in name if not unicodedata.combining(letter)))
        return frozenset({*words, *(word.removesuffix("s") for word in words)})

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return "INT" in self.type and self.kind == "number"

    @property
    def kind(self) -> str:
        """``number``, ``date`` (also with a time of day), ``boolean``, ``text`` or ``nested``."""
        if self.type.startswith(("DATE", "TIMESTAMP")):
            return "date"
        if self.type.endswith("]") or self.type.startswith(("STRUCT", "MAP", "UNION", "JSON", "VARIANT")):
            return "nested"
        if self.type == "BOOLEAN":
            return "boolean"
        return "number" if self.type.split("(")[0] in _NUMBERS else "text"


@frozen
class Join:
    """The facts of a join: the column `on`, the number of rows, and those of each table without a partner."""

    on: str
    rows: int
    unmatched: int
    other_unmatched: int


class Table:
    """A loaded, locked table called ``data``."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, join: Join | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.connection = connection
        self.join = join
        self.notes = tuple(notes)  # how the file was read, if it could be read in several ways
        described = self.rows("SELECT column_name, column_type FROM (DESCRIBE data)")
        self.columns = tuple(Column(name, kind) for name, kind in described)
        self.row_count: int = self.rows("SELECT count(*) FROM data")[0][0]

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a trusted query."""
        return self.connection.execute(sql, list(parameters)).fetchall()


def open_table(name: str, path: Path, folder: Path, other: tuple[str, Path, str | None] | None = None) -> Table:
    """Load a file, called `name` by its user, and lock the database. A copy in UTF-8 may be left in `folder`.

    `other`: the name and path of a second file, and the column to join it on (None: the first that both have). The
    table then has the joined rows.

    Raises `Refusal` ``invalid_table``, with a sentence that names the file but not its path, ``query_failed`` if the
    files cannot be joined, and DuckDB's own error if memory runs out.
    """
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    connection = duckdb.connect(":memory:", config=_CONFIG)
    join, notes = None, []
    if other is not None:
        notes += _Loader(connection, other[0], other[1], folder).load()
        connection.execute("ALTER TABLE data RENAME TO other")
    notes += _Loader(connection, name, path, folder).load()
    if other is not None:
        join = _join(connection, other[2])
    for statement in _LOCK:
        connection.execute(statement).fetchall()
    return Table(connection, join, notes)


def _join(connection: duckdb.DuckDBPyConnection, on: str | None) -> Join:
    """Replace ``data`` by its rows joined with those of ``other``. Values are compared as text, without case."""

    def names(table: str) -> list[str]:
        described = connection.execute(f"SELECT column_name FROM (DESCRIBE {table})").fetchall()
        return [name for (name,) in described]

    columns, others = names("data"), names("other")
    keys = {name.lower() for name in (columns if on is None else [on])}
    pairs = [(a, b) for a in columns for b in others if a.lower() == b.lower() and a.lower() in keys]
    if not pairs:
        listed = [", ".join(f"“{name[:60]}”" for name in names[:10]) for names in (columns, others)]
        raise Refusal("query_failed", f"No column to join on is in both tables: {listed[0]}, and {listed[1]}.")
    key, other_key = pairs[0]
    left, right = (f"lower(trim(CAST({t}.{quote(k)} AS VARCHAR)))" for t, k in (("data", key), ("other", other_key)))
    taken, shown = {name.lower() for name in columns}, [f"data.{quote(name)}" for name in columns]
    for name in others:
        if name != other_key:
            free = next(new for new in (name, f"{name} (2)", f"{name} (3)") if new.lower() not in taken)
            taken.add(free.lower())
            shown.append(f"other.{quote(name)} AS {quote(free)}")

    def count(sql: str) -> int:
        number: int = connection.execute(f"SELECT count(*) FROM {sql}").fetchall()[0][0]
        return number

    rows = count(f"data JOIN other ON {left} = {right}")
    if rows > MAX_JOINED:
        raise Refusal("query_failed", f"Joined on “{key[:60]}”, the tables have {rows:,} rows, too many to work with.")
    unmatched = count(f"data ANTI JOIN other ON {left} = {right}")
    other_unmatched = count(f"other ANTI JOIN data ON {left} = {right}")
    select = f"SELECT {', '.join(shown)} FROM data JOIN other ON {left} = {right}"
    for statement in (f"CREATE TABLE joined AS {select}", "DROP TABLE data", "DROP TABLE other"):
        connection.execute(statement)
    connection.execute("ALTER TABLE joined RENAME TO data")
    return Join(key, rows, unmatched, other_unmatched)


@frozen
class _Loader:
    """Creates the table ``data`` from a file."""

    connection: duckdb.DuckDBPyConnection
    name: str
    path: Path
    folder: Path

    def load(self) -> list[str]:
        """Create the table. Return notes on how it was read."""
        head, notes = self._head(), list[str]()
        if head.startswith(b"PAR1"):
            self._create("read_parquet", self.path, ({},))
        else:
            path, first = self._utf8(head)
            suffix = PurePath(self.name).suffix.lower()
            if suffix in _JSON or (suffix not in _SEPARATED and first.lstrip().startswith(("[", "{"))):
                self._create("read_json", path, ({}, {"sample_size": -1}))
            else:
                notes = self._read_csv(path, first, separated=suffix in _SEPARATED)
        # Times with a zone become UTC, so that a table reads the same on every machine.
        self._rows("SET TimeZone = 'UTC'")
        for column in self._columns("TIMESTAMP WITH TIME ZONE"):
            self._rows(f"ALTER TABLE data ALTER {quote(column)} TYPE TIMESTAMP")
        return notes

    def _rows(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def _columns(self, type_name: str = "%") -> list[str]:
        sql = "SELECT column_name FROM (DESCRIBE data) WHERE column_type LIKE $1"
        return [name for (name,) in self._rows(sql, [type_name])]

    def _invalid(self, reason: str) -> Refusal:
        name = self.name if len(self.name) <= 80 else self.name[:79] + "…"
        return Refusal("invalid_table", f"“{name}” cannot be read as a table: {reason}.")

    def _head(self) -> bytes:
        try:
            with self.path.open("rb") as stream:
                head = stream.read(_SAMPLE)
        except OSError:
            raise self._invalid("its content is no longer here") from None
        if not head.strip():
            raise self._invalid("it is empty")
        if head.startswith(b"PK\x03\x04"):
            raise self._invalid("it is a spreadsheet or an archive; save it as CSV first")
        if head.startswith(b"%PDF") or (b"\0" in head and not head.startswith((b"PAR1", *_UTF16))):
            raise self._invalid("it is not CSV, TSV, JSON, JSON Lines or Parquet")
        return head

    def _utf8(self, head: bytes) -> tuple[Path, str]:
        """Return the path of the file in UTF-8, rewritten into `folder` if necessary, and the beginning of its text."""
        # Tables that are not UTF-8 are nearly always in Windows-1252, which has all letters of Latin-1.
        encoding, errors = ("utf-16", "strict") if head.startswith(_UTF16) else ("cp1252", "replace")
        if encoding == "cp1252" and _is_utf8(self.path):
            return self.path, head.decode("utf-8-sig", errors="ignore")
        path = self.folder / "table"
        try:
            with path.open("w", encoding="utf-8", newline="") as rewritten:
                rewritten.writelines(_pieces(self.path, encoding, errors))
        except UnicodeError:
            raise self._invalid("its text is damaged") from None
        with path.open(encoding="utf-8", newline="") as rewritten:
            return path, rewritten.read(_SAMPLE)

    def _read_csv(self, path: Path, first: str, *, separated: bool) -> list[str]:
        start = first.lstrip()
        if _PAGE.match(start) or (start.startswith("<") and not separated):
            raise self._invalid("it is a web page or XML, not a table; save it as CSV")
        skip, delimiter, notes = 0, None, list[str]()
        if (match := _SEP.match(first)) is not None:  # Excel's own first line, with the delimiter
            skip, delimiter = 1, match[1]
        lines = first.splitlines()[skip : skip + 30]
        if delimiter is None:
            above, delimiter = lines_above([line for line in lines[:-1] if line.strip()] if len(lines) > 1 else [])
            if above and lines[:above] == [line for line in lines[:above] if line.strip()]:
                skip += above
                title = " ".join(lines[:above]).strip()[:60]
                notes.append(f"What stands above the heads is left out: “{title}”.")
            else:
                delimiter = None
        if delimiter is None:
            header = re.sub(r'"[^"]*"', "", start.split("\n", 1)[0])
            delimiter = max((mark for mark in _DELIMITERS if mark in header), key=header.count, default=None)
        format_options: dict[str, Any] = {"skip": skip} | ({"delim": delimiter} if delimiter else {})
        tries = [{**options, **format_options} for options in _CSV_TRIES]
        # DuckDB finds the header by the types of the first rows; each column's type is decided by all of its values.
        self._create("read_csv", path, [*tries, *(options | {"all_varchar": True} for options in tries)], limit=1)
        names = self._columns()
        missed = self._header_was_missed(names)
        if not missed and len(names) == 1 and not separated and " " in names[0]:
            raise self._invalid("it looks like plain text, without columns")
        has_header = missed or not _are_invented(names)
        self._rows("DROP TABLE data")
        self._create("read_csv", path, [options | {"header": has_header, "all_varchar": True} for options in tries])
        return notes + ColumnTypes(self._rows, self._columns("VARCHAR"), delimiter).settle()

    def _header_was_missed(self, names: Sequence[str]) -> bool:
        """Return whether DuckDB read the header as a row and invented names, as it does if all columns are text."""
        if not _are_invented(names):
            return False
        cells = next(iter(self._rows("SELECT * FROM data LIMIT 1")), ())
        return bool(cells) and len(set(cells)) == len(cells) and all(isinstance(c, str) and c.strip() for c in cells)

    def _create(self, reader: str, path: Path, tries: Sequence[Mapping[str, Any]], limit: int | None = None) -> None:
        """Read the file, or its first rows, with the first of the `tries` that works."""
        import duckdb  # here: only the worker needs it, and the server starts lighter without

        for options in tries:
            arguments = "".join(f", {name} := ${name}" for name in options)
            limited = "" if limit is None else f" LIMIT {limit}"
            sql = f"CREATE TABLE data AS SELECT * FROM {reader}($path{arguments}){limited}"
            try:
                self._rows(sql, {"path": str(path), **options})
            except duckdb.OutOfMemoryException:
                raise self._invalid("it needs more memory than a table may use here") from None
            except duckdb.Error:
                continue
            if len(self._columns()) > MAX_COLUMNS:
                raise self._invalid(f"it has more than {MAX_COLUMNS:,} columns")
            return
        # DuckDB's message is not repeated, because it often names a line of the query instead of the file.
        is_csv = reader == "read_csv"
        raise self._invalid("one of its rows does not fit the rest" if is_csv else "its content does not fit together")


def _are_invented(names: Sequence[str]) -> bool:
    """Return whether these are the names that DuckDB invents for columns without a header."""
    width = len(str(len(names) - 1))
    return list(names) == [f"column{place:0{width}d}" for place in range(len(names))]


def _pieces(path: Path, encoding: str, errors: str = "strict") -> Iterator[str]:
    with path.open(encoding=encoding, errors=errors, newline="") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def _is_utf8(path: Path) -> bool:
    try:
        for _ in _pieces(path, "utf-8"):
            pass
    except UnicodeDecodeError:
        return False
    return True
