"""Loads an uploaded file into the table ``data``: detects its format, encoding and notation of numbers.

Runs in the process of `table_worker`. The content decides; the name only breaks ties.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from understudy.tools.errors import ToolError

if TYPE_CHECKING:
    import duckdb

MAX_COLUMNS: Final = 1_000
_SAMPLE: Final = 64 * 1024
_CHUNK: Final = 1024 * 1024

_SEPARATED: Final = frozenset({".csv", ".tsv", ".tab", ".psv"})
_JSON: Final = frozenset({".json", ".jsonl", ".ndjson", ".geojson"})
_DELIMITERS: Final = ("\t", ";", "|", ",")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# A first try with DuckDB's own sampling is fast; types are then judged by every row; then ragged rows are filled up.
# Without `skip`, DuckDB drops first lines that do not fit the later ones, and says nothing.
_CSV_TRIES: Final[Sequence[Mapping[str, Any]]] = (
    {"skip": 0},
    {"skip": 0, "sample_size": -1},
    {"skip": 0, "sample_size": -1, "strict_mode": False, "null_padding": True},
)

# 1.234,5 and 1,234.5: groups are whole, so that a version number or a list does not pass for a number.
_COMMA_DECIMAL: Final = r"^\s*[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?\s*$"
_COMMA_GROUPS: Final = r"^\s*[-+]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?\s*$"


@frozen
class TableFile:
    """An uploaded file: the user's name for it, and where its content is."""

    name: str
    path: Path


def load(connection: duckdb.DuckDBPyConnection, file: TableFile, folder: Path) -> None:
    """Create the table ``data`` from `file`; a copy of it in another encoding may be left behind in `folder`.

    Raises `ToolError` ``invalid_table``, with a sentence that names the file but not where it is kept.
    """
    head = _head(file)
    if head.startswith(b"PAR1"):
        _create(connection, file, "read_parquet", file.path, ({},))
    else:
        path, first = _text(file, head, folder)
        if _looks_like_json(file, first):
            _create(connection, file, "read_json", path, ({}, {"sample_size": -1}))
        else:
            _read_csv(connection, file, path, first)
    _tidy(connection)


def _bad(file: TableFile, why: str) -> ToolError:
    name = file.name if len(file.name) <= 80 else file.name[:79] + "…"
    return ToolError("invalid_table", f"“{name}” cannot be read as a table: {why}.")


def _head(file: TableFile) -> bytes:
    try:
        with file.path.open("rb") as stream:
            head = stream.read(_SAMPLE)
    except OSError:
        raise _bad(file, "its content is no longer here") from None
    if not head.strip():
        raise _bad(file, "it is empty")
    if head.startswith(b"PK\x03\x04"):
        raise _bad(file, "it is a spreadsheet or an archive; save it as CSV first")
    if head.startswith(b"%PDF") or (b"\0" in head and not head.startswith((b"PAR1", *_UTF16))):
        raise _bad(file, "it is not CSV, TSV, JSON, JSON Lines or Parquet")
    return head


def _text(file: TableFile, head: bytes, folder: Path) -> tuple[Path, str]:
    """The file as UTF-8, rewritten into `folder` when it is in something else, and how its text begins."""
    if head.startswith(_UTF16):
        encoding = "utf-16"
    elif _is_utf8(file.path):
        return file.path, head.decode("utf-8-sig", errors="ignore")
    else:
        # What is not UTF-8 is, of tables, nearly always Windows-1252, which agrees with Latin-1 on every letter.
        encoding = "cp1252"
    path = folder / "table"
    try:
        with path.open("w", encoding="utf-8", newline="") as rewritten:
            for piece in _pieces(file.path, encoding, "replace" if encoding == "cp1252" else "strict"):
                rewritten.write(piece)
    except UnicodeError:
        raise _bad(file, "its text is damaged") from None
    with path.open(encoding="utf-8", newline="") as rewritten:
        return path, rewritten.read(_SAMPLE)


def _pieces(path: Path, encoding: str, errors: str) -> Iterator[str]:
    with path.open(encoding=encoding, errors=errors, newline="") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def _is_utf8(path: Path) -> bool:
    try:
        for _ in _pieces(path, "utf-8", "strict"):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _looks_like_json(file: TableFile, first: str) -> bool:
    suffix = PurePath(file.name).suffix.lower()
    if suffix in _JSON:
        return True
    return suffix not in _SEPARATED and first.lstrip().startswith(("[", "{"))


def _read_csv(connection: duckdb.DuckDBPyConnection, file: TableFile, path: Path, first: str) -> None:
    separated = PurePath(file.name).suffix.lower() in _SEPARATED
    if first.lstrip().startswith("<") and not separated:
        raise _bad(file, "it is a page or XML, not a table")
    delimiter = _delimiter(first)
    tries = tuple({**each, "delim": delimiter} for each in _CSV_TRIES) if delimiter else _CSV_TRIES
    _create(connection, file, "read_csv", path, tries)
    names = _names(connection)
    if _header_was_missed(connection, names):
        connection.execute("DROP TABLE data")
        _create(connection, file, "read_csv", path, tuple({**each, "header": True} for each in tries))
    elif len(names) == 1 and not separated and " " in names[0]:
        raise _bad(file, "it looks like plain text, without columns")
    _mend_numbers(connection, decimal_comma=delimiter == ";")


def _delimiter(first: str) -> str | None:
    """Return the delimiter of the names in the first line; None if there is only one name."""
    line = re.sub(r'"[^"]*"', "", first.lstrip().split("\n", 1)[0])
    return max((each for each in _DELIMITERS if each in line), key=line.count, default=None)


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT column_name FROM (DESCRIBE data)").fetchall()]


def _header_was_missed(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> bool:
    """Whether DuckDB took the header for a row and invented names, which it does if all columns are text."""
    width = len(str(len(names) - 1))
    if list(names) != [f"column{place:0{width}d}" for place in range(len(names))]:
        return False
    row = connection.execute("SELECT * FROM data LIMIT 1").fetchall()
    cells = row[0] if row else ()
    return bool(cells) and len(set(cells)) == len(cells) and all(isinstance(c, str) and c.strip() for c in cells)


def _create(
    connection: duckdb.DuckDBPyConnection,
    file: TableFile,
    reader: str,
    path: Path,
    tries: Sequence[Mapping[str, Any]],
) -> None:
    """Read the file with the first of the `tries` that works."""
    import duckdb  # here: only the worker needs it, and the server starts lighter without

    # No line is named: the one in DuckDB's message is often that of our own query, not one of the file.
    fault = "one of its rows does not fit the rest" if reader == "read_csv" else "its content does not fit together"
    for options in tries:
        given = "".join(f", {name} := ${name}" for name in options)
        try:
            connection.execute(
                f"CREATE TABLE data AS SELECT * FROM {reader}($path{given})",  # noqa: S608 (names are ours)
                {"path": str(path), **options},
            ).fetchall()
        except duckdb.OutOfMemoryException:
            raise _bad(file, "it needs more memory than a table may use here") from None
        except duckdb.Error:
            continue
        if len(_names(connection)) > MAX_COLUMNS:
            raise _bad(file, f"it has more than {MAX_COLUMNS:,} columns")
        return
    raise _bad(file, fault)


def _mend_numbers(connection: duckdb.DuckDBPyConnection, *, decimal_comma: bool) -> None:
    """Columns of text in which every value is a number written with commas become numbers."""
    european = (_COMMA_DECIMAL, "replace(replace({}, '.', ''), ',', '.')")
    english = (_COMMA_GROUPS, "replace({}, ',', '')")
    ways = (european, english) if decimal_comma else (english, european)
    described = connection.execute("SELECT column_name FROM (DESCRIBE data) WHERE column_type = 'VARCHAR'").fetchall()
    for (name,) in described:
        column = '"' + name.replace('"', '""') + '"'
        for pattern, plain in ways:
            fits = connection.execute(
                f"SELECT coalesce(bool_and(regexp_matches({column}, $1)), false) FROM data",  # noqa: S608 (quoted)
                [pattern],
            ).fetchall()[0][0]
            if fits:
                number = f"CAST(trim({plain.format(column)}) AS DOUBLE)"
                connection.execute(f"ALTER TABLE data ALTER {column} TYPE DOUBLE USING {number}").fetchall()
                break


def _tidy(connection: duckdb.DuckDBPyConnection) -> None:
    """Times with a zone become UTC, so that a table reads the same on every machine."""
    connection.execute("SET TimeZone = 'UTC'")
    zoned = "SELECT column_name FROM (DESCRIBE data) WHERE column_type = 'TIMESTAMP WITH TIME ZONE'"
    for (name,) in connection.execute(zoned).fetchall():
        column = '"' + name.replace('"', '""') + '"'
        connection.execute(f"ALTER TABLE data ALTER {column} TYPE TIMESTAMP").fetchall()
