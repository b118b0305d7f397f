"""Profiles a table, column by column, in a result of bounded size. Runs in the table's process."""

import math
from typing import Any, Final

from analyst.duckdb_session import Column, Table

EXACT_ROWS: Final = 1_000_000
"""Rows above which distinct values are estimated (DuckDB's HyperLogLog, a few per cent off); a note says so."""
MAX_COLUMNS: Final = 200
TOP: Final = 5  # most frequent values that are listed for a column
MAX_TEXT: Final = 80  # characters of a listed value or type; the rest is cut off


def profile(table: Table) -> dict[str, Any]:
    """Return rows, columns, repeated rows, and type, gaps, range and shape of each of the first 200 columns.

    Numbers that are not finite are left out of means and quartiles. Texts are cut at 80 characters.
    """
    exact = table.row_count <= EXACT_ROWS
    shown = table.columns[:MAX_COLUMNS]
    notes = list(table.notes)
    if not exact:
        notes.append(f"Distinct values and repeated rows of more than {EXACT_ROWS:,} rows are estimates.")
    if len(shown) < len(table.columns):
        notes.append(f"Only the first {MAX_COLUMNS} of {len(table.columns):,} columns are described.")
    return {
        "rows": table.row_count,
        "column_count": len(table.columns),
        "duplicate_rows": _duplicates(table, exact),
        "columns": [_column(table, column, exact) for column in shown],
        "notes": notes,
    }


def sentence(profile: dict[str, Any]) -> str:
    """Return a profile as one line."""
    rows, columns = profile["rows"], profile["column_count"]
    gaps = [column["name"] for column in profile["columns"] if column["nulls"]]
    parts = [f"{rows:,} row{'' if rows == 1 else 's'}, {columns:,} column{'' if columns == 1 else 's'}"]
    if gaps:
        names = ", ".join(name[:40] for name in gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")
        parts.append(f"values missing in {names}")
    else:
        parts.append("no values missing")
    if profile["duplicate_rows"]:
        parts.append(f"{profile['duplicate_rows']:,} repeated")
    return "; ".join(parts)


def _distinct(expression: str, exact: bool) -> str:
    return f"count(DISTINCT {expression})" if exact else f"approx_count_distinct({expression})"


def _duplicates(table: Table, exact: bool) -> int:
    """Count the rows that equal an earlier one.

    Rows are compared by a 64-bit hash: at a million rows the chance of a single wrong match is one in thirty million.
    """
    if not table.row_count:
        return 0
    columns = ", ".join(column.quoted for column in table.columns)
    distinct = table.rows(f"SELECT {_distinct(f'hash({columns})', exact)} FROM data")[0][0]
    return max(0, table.row_count - int(distinct))


def _column(table: Table, column: Column, exact: bool) -> dict[str, Any]:
    name = column.quoted
    count_sql = _distinct(f"CAST({name} AS VARCHAR)" if column.kind == "nested" else name, exact)
    filled, distinct = table.rows(f"SELECT count({name}), {count_sql} FROM data")[0]
    described = {
        "name": column.name,
        "type": column.type if len(column.type) <= MAX_TEXT else column.type[: MAX_TEXT - 1] + "…",
        "kind": column.kind,
        "nulls": table.row_count - filled,
        "distinct": min(int(distinct), filled),
    }
    if not filled:
        return described
    match column.kind:
        case "number":
            return described | _numbers(table, name) | (_exact(table, name) if column.is_whole else {})
        case "date":
            sql = f"SELECT CAST(min({name}) AS VARCHAR), CAST(max({name}) AS VARCHAR) FROM data"
            first, last = table.rows(sql)[0]
            return described | {"min": first, "max": last}
    sql = f"""
        SELECT left(CAST({name} AS VARCHAR), {MAX_TEXT}) AS value, count(*) AS rows FROM data
        WHERE {name} IS NOT NULL GROUP BY value ORDER BY rows DESC, value LIMIT {TOP}
    """
    return described | {"top": [{"value": value, "rows": rows} for value, rows in table.rows(sql)]}


def _numbers(table: Table, name: str) -> dict[str, Any]:
    sql = f"""
        SELECT min(n), max(n), avg(n), stddev_samp(n), quantile_cont(n, [0.25, 0.5, 0.75]), sum(n)
        FROM (SELECT CAST({name} AS DOUBLE) AS n FROM data WHERE {name} IS NOT NULL)
        WHERE isfinite(n) AND abs(n) < 1e150  -- squares of larger ones leave the range of a double
    """
    low, high, mean, deviation, quartiles, total = table.rows(sql)[0]
    if low is None:
        return {"min": None, "max": None}
    q1, median, q3 = quartiles
    shape = {"min": low, "max": high, "mean": mean, "stddev": deviation, "q1": q1, "median": median, "q3": q3}
    return {key: rounded(value) for key, value in (shape | {"sum": total}).items()}


def _exact(table: Table, name: str) -> dict[str, Any]:
    """Return least, greatest and sum of whole numbers with all digits; see `whole`."""
    ((low, high, total),) = table.rows(f"SELECT min({name}), max({name}), sum({name}) FROM data")
    return {key: whole(value) for key, value in (("min", low), ("max", high), ("sum", total))}


def whole(value: int) -> int | str:
    """Return a whole number for JSON: as text from 2**53 on, because readers of JSON round larger ones."""
    return value if abs(value) < 2**53 else str(value)


def rounded(value: float | None) -> float | int | None:
    """Round to twelve significant digits, which removes the noise of sums of decimals. Return None if not finite."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
