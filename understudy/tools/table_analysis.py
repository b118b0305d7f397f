"""Groups, trends, outliers and details of a table, with columns chosen if none is named. Runs in the table's process.

A selection `where` has conditions joined by "and": ``column = value``, ``column > number``, or a value alone, which is
sought in all columns of texts. A date is selected by its beginning, such as 2026-02 for a month.
"""

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from understudy.tools.chart_data import PERIODS, find_axis, parse_aggregate
from understudy.tools.duckdb_session import Column, Join, Table
from understudy.tools.errors import ToolError
from understudy.tools.profiling import whole
from understudy.tools.queries import Answer, find_column, no_such_column, run
from understudy.tools.questions.schema import forms, key_of
from understudy.tools.questions.vocabulary import AVERAGED, SPANS
from understudy.tools.units import check_units, mixed_unit

MAX_GROUPS: Final = 100
MAX_PERIODS: Final = 120
MAX_OUTLIERS: Final = 50
FEW_PERIODS: Final = 24
"""Periods of a trend for which no period was named: two years of months."""
MAX_SHARED: Final = 3
"""Columns of categories that an overview describes."""
CATEGORIES: Final = 200
"""Different values up to which a column groups rows; one with more is a name or a text."""
FENCE: Final = 1.5
"""Quartile distances beyond the quartiles from which a value is an outlier (Tukey, *Exploratory Data Analysis*)."""
EMPTY: Final = "(empty)"
MAX_WHERE: Final = 1_000
"""Characters of a selection that are read."""
_OPERATOR: Final = re.compile(r"(?<!\s)\s*+(==?|>=|<=|>|<|:|\bis\b|\bequals\b)\s*")
_WRITTEN: Final = "A selection is written as column = value, such as region = north."
_COMPARED: Final = (">", "<", ">=", "<=")
_MAX_LABEL: Final = 80
_OVER: Final = 0.7
"""Share of the usual reach of the dates in a period that those of the last period must have for it to count as over:
the last days of a month may have no rows."""

# Names of columns that measure something, the likely ones first, and of those whose numbers are no measures.
_MEASURES: Final = (
    "revenue sales amount cost costs total turnover profit spend spending expense expenses value price net gross "  # noqa: SIM905 (words read better as words)
    "quantity units count hours".split()
)
_COSTS: Final = (
    "cost",
    "costs",
    "spend",
    "spending",
    "expense",
    "expenses",
    "amount",
    "total",
    "value",
    "budget",
    "price",
)
_IDENTIFIERS: Final = frozenset(
    {"id", "nr", "no", "number", "code", "zip", "postcode", "year", "month", "key", "index"}
)


@frozen
class Groups:
    """Values by group, the largest first: group, value, rows. `total` is the value of all rows; `additive`: the
    values add up to it."""

    by: str
    measure: str | None
    aggregate: str
    rows: list[tuple[str, float | None, int]]
    groups: int
    total: float | None
    additive: bool


@frozen
class Trend:
    """Values by period, in order of time. `slope` is the change a period by least squares, None below three periods.

    `partial` is the last day of the data if the last period has only begun then, and empty if it is over: its value
    is no sign of a decline. The slope leaves it out.
    """

    date: str
    measure: str | None
    aggregate: str
    grain: str
    rows: list[tuple[str, float]]
    slope: float | None
    fit: float | None
    partial: str = ""


@frozen
class Outliers:
    """The outliers of one column: the usual range, their number, and the farthest with their rows."""

    column: str
    low: float
    high: float
    median: float
    count: int
    columns: tuple[str, ...]
    rows: list[list[Any]]


@frozen
class Overview:
    """The main figures of a table: its measure by categories, its trend, and its outliers.

    `mixed`: the column that says in which of several units a measure is; rows are counted then, as it has no sum.
    """

    row_count: int
    measure: str | None
    mixed: str | None
    shares: tuple[Groups, ...]
    trend: Trend | None
    outliers: tuple[Outliers, ...]


@frozen
class Joined:
    """How two tables were joined, and the first rows."""

    join: Join
    answer: Answer


@frozen
class _Selection:
    """The rows to work on: a condition in SQL with its parameters."""

    condition: str = "true"
    parameters: tuple[str, ...] = ()
    text: str = ""

    def rows(self, table: Table, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over the selected rows, which are called ``chosen``."""
        return table.rows(f"WITH chosen AS (SELECT * FROM data WHERE {self.condition}) {sql}", self.parameters)


def group(table: Table, by: str, measure: str | None, aggregate: str | None, limit: int) -> Groups:
    """Return values by group. Without `measure`, those of the likely one.

    Raises `ToolError` ``query_failed`` for unknown columns, or ones that do not go together.
    """
    how = parse_aggregate(aggregate)
    column, grain = find_axis(table, by)
    if column.kind == "date" and find_column(table.columns, by) is not None and grain in ("hour", "day"):
        grain = "day"
    return _group(table, column, grain, _measure(table, measure, how), how, limit)


def costs(table: Table, limit: int) -> Groups:
    """Return the amounts of a table of costs by its first category or text.

    Raises `ToolError` ``query_failed`` if it has no column of amounts or none of names.
    """
    measure = _likely(table, _COSTS)
    texts = [each for each in table.columns if each.kind == "text"]
    label = next(iter(_categories(table)), None) or next(iter(texts), None)
    if measure is None or label is None:
        raise ToolError(
            "query_failed", "That table is no list of costs: it needs a column of names and one of amounts."
        )
    return _group(table, label, None, measure, "sum", limit)


def trend(table: Table, date: str | None, measure: str | None, aggregate: str | None, where: str | None) -> Trend:
    """Return values by period of time. `date` is a column or a period, such as month.

    Raises `ToolError` ``query_failed`` if the table has no dates, or too few of them.
    """
    selected, how = _select(table, where), parse_aggregate(aggregate)
    dated = [each for each in table.columns if each.kind == "date"]
    if not dated:
        raise ToolError("query_failed", "There is no column of dates in this table, so it has no trend.")
    column, grain = find_axis(table, date if date and date.strip() else dated[0].name)
    if find_column(table.columns, date or dated[0].name) is not None:
        grain = _fitting_grain(table, column) if column.kind == "date" else None
    if column.kind != "date" or grain is None:
        raise ToolError("query_failed", f"“{column.name[:60]}” has no dates.")
    found = _trend(table, column, grain, _measure(table, measure, how), how, selected)
    if len(found.rows) < 2:
        raise ToolError("query_failed", f"All dates are in one {grain}, so there is no trend; name a shorter period.")
    return found


def outliers(table: Table, column: str | None, limit: int) -> list[Outliers]:
    """Return the outliers of a column of numbers; without one, of all that measure something.

    Raises `ToolError` ``query_failed`` for a column without numbers.
    """
    if column is not None:
        named = _named(table, column)
        if named.kind != "number":
            raise ToolError("query_failed", f"“{named.name[:60]}” has no numbers, so it has no outliers.")
        columns = [named]
    else:
        columns = _measures(table)
        if not columns:
            raise ToolError("query_failed", "There is no column of numbers in this table.")
    return [found for each in columns[:10] if (found := _outliers(table, each, limit)) is not None]


def overview(table: Table, measure: str | None) -> Overview:
    """Return the main figures of a table."""
    column = _measure(table, measure, None)
    mixed = None if column is None else mixed_unit(table, column.name)
    added = None if mixed else column
    shares = tuple(_group(table, each, None, added, None, 10) for each in _categories(table)[:MAX_SHARED])
    over_time = None
    for dated in (each for each in table.columns if each.kind == "date"):
        over_time = _trend(table, dated, _fitting_grain(table, dated), added, None, _Selection())
        break
    one_unit = [each for each in _measures(table) if mixed_unit(table, each.name) is None]
    found = tuple(each for one in one_unit[:5] if (each := _outliers(table, one, 5)) is not None)
    return Overview(
        table.row_count,
        None if column is None else column.name,
        None if mixed is None else mixed.name,
        shares,
        over_time if over_time is not None and len(over_time.rows) > 1 else None,
        tuple(each for each in found if each.count),
    )


def joined(table: Table, limit: int) -> Joined:
    """Return how the tables were joined, and the first rows."""
    join = table.join or Join("", "", table.row_count, 0, 0)
    return Joined(join, run(table, "SELECT * FROM data", limit))


def _group(
    table: Table, column: Column, grain: str | None, measure: Column | None, how: str | None, limit: int
) -> Groups:
    aggregate = "count" if measure is None else how or _natural(measure)
    one_unit = measure is None or aggregate == "count" or check_units(table, measure.name, column.name)
    key = PERIODS[grain].format(column.quoted) if grain else f"CAST({column.quoted} AS VARCHAR)"
    value = _value(measure, aggregate)
    sql = (
        f"SELECT coalesce(left({key}, {_MAX_LABEL}), '{EMPTY}') AS g, {value} AS v, count(*) FROM data "
        f"GROUP BY g ORDER BY {'g' if grain else 'v DESC NULLS LAST, g'} LIMIT {int(limit)}"
    )
    rows = table.rows(sql)
    ((groups, total),) = table.rows(f"SELECT count(DISTINCT coalesce({key}, '{EMPTY}')), {value} FROM data")
    return Groups(
        f"{grain} of {column.name}" if grain else column.name,
        None if measure is None else measure.name,
        aggregate,
        [(name, _finite(number), rows_of) for name, number, rows_of in rows],
        groups,
        _finite(total),
        additive=aggregate in ("sum", "count") and one_unit,
    )


def _trend(table: Table, column: Column, grain: str, measure: Column | None, how: str | None, on: _Selection) -> Trend:
    aggregate = "count" if measure is None else how or _natural(measure)
    if measure is not None and aggregate != "count":
        check_units(table, measure.name, column.name, on.condition, on.parameters)
    label = PERIODS[grain].format("t")
    sql = (
        f"SELECT {label}, v FROM (SELECT date_trunc('{grain}', {column.quoted}) AS t, "
        f"{_value(measure, aggregate)} AS v FROM chosen WHERE isfinite({column.quoted}) "
        f"GROUP BY t ORDER BY t DESC LIMIT {MAX_PERIODS}) ORDER BY t"
    )
    rows = [(period, _finite(value)) for period, value in on.rows(table, sql)]
    known = [(period, value) for period, value in rows if value is not None]
    partial = _unfinished(table, column, grain, on) if aggregate in ("sum", "count") and len(known) > 3 else ""
    slope, fit = _line([value for _, value in known][: -1 if partial else None])
    name = None if measure is None else measure.name
    return Trend(column.name, name, aggregate, grain, known, slope, fit, partial)


def _unfinished(table: Table, column: Column, grain: str, on: _Selection) -> str:
    """Return the last date if it lies much earlier in its period than the last dates of the other periods in theirs;
    else an empty text. So dates that are all the first of a month are no sign of an unfinished month."""
    sql = (
        "SELECT left(CAST(max(t) AS VARCHAR), 10), max(epoch(t)) - min(epoch(p)) FROM "
        f"(SELECT date_trunc('{grain}', t) AS p, t FROM "
        f"(SELECT CAST({column.quoted} AS TIMESTAMP) AS t FROM chosen WHERE isfinite({column.quoted}))) "
        f"GROUP BY p ORDER BY p DESC LIMIT {MAX_PERIODS}"
    )
    (last, reach), *earlier = on.rows(table, sql)
    return str(last) if reach < _OVER * statistics.median(each for _, each in earlier) else ""


def _fitting_grain(table: Table, column: Column) -> str:
    """Return the shortest period of which the dates have few enough to be read at a glance."""
    for grain in ("day", "week", "month", "quarter"):
        (count,) = table.rows(f"SELECT count(DISTINCT date_trunc('{grain}', {column.quoted})) FROM data")[0]
        if count <= FEW_PERIODS:
            return grain
    return "year"


def _line(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the slope of the least-squares line through equally spaced values, and the share it explains (R²)."""
    if len(values) < 3:
        return None, None
    middle, mean = (len(values) - 1) / 2, math.fsum(values) / len(values)
    spread = math.fsum((place - middle) ** 2 for place in range(len(values)))
    shared = math.fsum((place - middle) * (value - mean) for place, value in enumerate(values))
    whole = math.fsum((value - mean) ** 2 for value in values)
    return _finite(shared / spread), _finite(shared**2 / (spread * whole)) if whole else 1.0


def _outliers(table: Table, column: Column, limit: int) -> Outliers | None:
    number = f"CAST({column.quoted} AS DOUBLE)"
    usable = f"isfinite({number}) AND abs({number}) < 1e150"
    quartiles = table.rows(f"SELECT quantile_cont({number}, [0.25, 0.5, 0.75]) FROM data WHERE {usable}")[0][0]
    if quartiles is None:
        return None
    q1, median, q3 = quartiles
    low, high = q1 - FENCE * (q3 - q1), q3 + FENCE * (q3 - q1)
    if low < 0 <= table.rows(f"SELECT min({number}) FROM data WHERE {usable}")[0][0]:
        low = 0.0  # of values of which none is negative
    outside = f"{usable} AND ({number} < ? OR {number} > ?)"
    (count,) = table.rows(f"SELECT count(*) FROM data WHERE {outside}", [low, high])[0]
    shown = [column, *(each for each in table.columns if each.name != column.name)][:8]
    listed = ", ".join(_plain(each) for each in shown)
    sql = f"SELECT {listed} FROM data WHERE {outside} ORDER BY abs({number} - ?) DESC LIMIT {int(limit)}"
    rows = table.rows(sql, [low, high, median])
    cells = [[_finite(cell) for cell in row] for row in rows]
    range_ = (_rounded(low), _rounded(high), _rounded(median))
    return Outliers(column.name, *range_, count, tuple(each.name for each in shown), cells)


def _select(table: Table, where: str | None) -> _Selection:
    """Return the rows that a selection has.

    Raises `ToolError`: ``invalid_arguments`` if a condition is written otherwise, ``query_failed`` for an unknown
    column, or a value alone that no column has.
    """
    if where is None or not where.strip():
        return _Selection()
    conditions: list[_Selection] = []
    given = ""
    for part in re.split(r"(?<!\s)\s++and\s+", where.strip()[:MAX_WHERE]):
        found = _condition(table, part)
        if found is None:
            if not conditions:
                raise _no_such_value(table, part)
            part = f"{given} and {part}"  # the "and" belongs to the value
            conditions.pop()
            found = _condition(table, part)
            if found is None:
                raise _no_such_value(table, part)
        given = part
        conditions.append(found)
    return _Selection(
        " AND ".join(each.condition for each in conditions),
        tuple(value for each in conditions for value in each.parameters),
        " and ".join(each.text for each in conditions),
    )


def _condition(table: Table, written: str) -> _Selection | None:
    """Return the rows that one condition has; None for a value that no column has."""
    parts = _OPERATOR.split(written.strip(), maxsplit=1)
    if len(parts) == 1:
        return _by_value(table, _unquoted(written))
    name, operator, value = _unquoted(parts[0]), parts[1].strip().lower(), _unquoted(parts[2])
    if not value or (not name and operator not in _COMPARED):
        raise ToolError("invalid_arguments", _WRITTEN)
    column = _named(table, name) if name else _likely(table, _MEASURES)
    if column is None:
        raise ToolError("query_failed", "There is no column of numbers in this table.")
    text = f"{column.name} {operator if operator in _COMPARED else '='} {value}"
    if operator in _COMPARED:
        if column.kind == "number":
            value = value.replace(",", "")
            compared = f"CAST({column.quoted} AS DOUBLE) {operator} TRY_CAST(? AS DOUBLE)"
            return _Selection(compared, (value,), text)
        if column.kind == "date":
            return _Selection(f"CAST({column.quoted} AS VARCHAR) {operator} ?", (value,), text)
        raise ToolError("query_failed", f"“{column.name[:60]}” has no numbers to compare.")
    return evolve(_equal(column, value), text=text)


def _equal(column: Column, value: str) -> _Selection:
    text = f"CAST({column.quoted} AS VARCHAR)"
    if value == EMPTY:
        return _Selection(f"{column.quoted} IS NULL")
    if column.kind == "date":
        return _Selection(f"starts_with({text}, ?)", (value,))
    if column.kind == "number":
        return _Selection(f"CAST({column.quoted} AS DOUBLE) = TRY_CAST(? AS DOUBLE)", (value,))
    if column.kind == "boolean":
        value = {"yes": "true", "no": "false"}.get(value.lower(), value)
    return _Selection(f"lower(trim({text})) = lower(?)", (value,))


def _by_value(table: Table, value: str) -> _Selection | None:
    """Return the rows of the first column of texts that has a value; None if no column has it."""
    for column in [each for each in table.columns if each.kind == "text"][:50]:
        selection = _equal(column, value)
        if table.rows(f"SELECT 1 FROM data WHERE {selection.condition} LIMIT 1", selection.parameters):
            return evolve(selection, text=f"{column.name} = {value}")
    return None


def _no_such_value(table: Table, written: str) -> ToolError:
    value = _unquoted(written)
    if find_column(table.columns, value) is not None:
        return ToolError("invalid_arguments", _WRITTEN)
    return ToolError("query_failed", f"No column of this table has the value “{value[:60]}”.")


def _unquoted(text: str) -> str:
    return text.strip("\"'“”` \u2018\u2019")


def _named(table: Table, name: str) -> Column:
    column = find_column(table.columns, name)
    if column is None:
        raise no_such_column(name, table.columns)
    return column


def _measure(table: Table, name: str | None, how: str | None) -> Column | None:
    """Return the column to measure: the named one, else the likely one; None to count rows.

    Raises `ToolError` ``query_failed`` for a column whose values are no numbers.
    """
    if name is not None and name.strip():
        column = _named(table, name)
        if how == "count" or (how is None and column.kind != "number"):
            return None
        if column.kind != "number":
            raise ToolError("query_failed", f"“{column.name[:60]}” has no numbers; only rows can be counted by it.")
        return column
    return None if how == "count" else _likely(table, _MEASURES)


def _natural(measure: Column) -> str:
    """Return the aggregate that suits a column of which no other was asked."""
    words = {form for word in key_of(measure.name) for form in forms(word)}
    return "sum" if words.isdisjoint(AVERAGED | SPANS) else "mean"


def _likely(table: Table, words: Sequence[str]) -> Column | None:
    """Return the column of numbers whose name has the earliest of these words, else the last one that measures."""
    measures = _measures(table)
    for word in words:
        for column in measures:
            if word in re.findall(r"[a-z]+", column.name.lower()):
                return column
    return measures[-1] if measures else None


def _measures(table: Table) -> list[Column]:
    """Return the columns of numbers, without identifiers."""
    return [
        each
        for each in table.columns
        if each.kind == "number" and not _IDENTIFIERS & set(re.findall(r"[a-z]+", each.name.lower()))
    ]


def _categories(table: Table) -> list[Column]:
    """Return the columns of texts and truth values that repeat, those with fewest values first."""
    columns = [each for each in table.columns if each.kind in ("text", "boolean")]
    counted = []
    for column in columns[:50]:
        (different,) = table.rows(f"SELECT approx_count_distinct({column.quoted}) FROM data")[0]
        if 1 < different <= min(CATEGORIES, max(2, table.row_count // 2)):
            counted.append((different, column))
    return [column for _, column in sorted(counted, key=lambda each: each[0])]


def _value(measure: Column | None, aggregate: str) -> str:
    if measure is None or aggregate == "count":
        return "CAST(count(*) AS DOUBLE)"
    number = f"CAST({measure.quoted} AS DOUBLE)"
    function = {"mean": "avg"}.get(aggregate, aggregate)
    return f"{function}({number}) FILTER (isfinite({number}))"


def _plain(column: Column) -> str:
    """Return an expression of the column's value as a JSON value."""
    if column.is_whole:
        return column.quoted
    if column.kind == "number":
        return f"CAST({column.quoted} AS DOUBLE)"
    return column.quoted if column.kind == "boolean" else f"left(CAST({column.quoted} AS VARCHAR), 1000)"


def _finite(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return whole(value)
    if not isinstance(value, float):
        return value
    return _rounded(value) if math.isfinite(value) else None


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


def largest(rows: Iterable[tuple[str, float | None, int]]) -> tuple[str, float] | None:
    """Return the first row with a value."""
    return next(((name, value) for name, value, _ in rows if value is not None), None)
