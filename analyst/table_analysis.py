"""Computes groups, trends, outliers and joins of a table, choosing columns if needed. Runs in the table's process."""

import statistics
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import evolve, frozen

from analyst.chart_data import PERIODS, Points, collect, find_axis, fitting_grain, measure_sql
from analyst.duckdb_session import Column, Join, Table
from analyst.profiling import profile, rounded
from analyst.queries import Answer, find_column, no_such_column, run
from analyst.refusal import Refusal
from analyst.units import check_units, mixed_unit

MAX_GROUPS: Final = 100
MAX_PERIODS: Final = 120
MAX_ROWS: Final = 200
"""Rows of a join that are returned."""
MAX_OUTLIERS: Final = 50
MAX_SHARED: Final = 3
"""Columns of categories that an overview describes."""
CATEGORIES: Final = 200
"""Distinct values of a column that groups rows; a column with more has names or texts."""
FENCE: Final = 1.5
"""Quartile distances beyond the quartiles from which a value is an outlier (Tukey, *Exploratory Data Analysis*)."""
EMPTY: Final = "(empty)"
MAX_LABEL: Final = 80
"""Characters of the name of a group; the rest is cut off."""
_OVER: Final = 0.7
"""The last period counts as over if its dates reach at least this share of the median reach of the dates in other
periods. It is below 1, because the last days of a month may have no rows."""

# Words in the names of columns: of measures, the likely ones first; of columns whose numbers are no measures; and of
# measures whose sum has no meaning.
_MEASURES: Final = (
    "revenue sales amount cost total turnover profit spend spending expense value price net gross quantity units count "  # noqa: SIM905 (words read better as words)
    "hours umsatz betrag kosten summe menge".split()
)
_IDENTIFIERS: Final = frozenset("id nr no number code zip postcode year month key index plz".split())  # noqa: SIM905
_AVERAGED: Final = frozenset(
    "age average avg balance days degrees duration fare grade height hour humidity latency mark mean minute percent "  # noqa: SIM905
    "percentage pct price pressure rate rating ratio salary score second share speed star temp temperature weight "
    "alter anteil bewertung dauer durchschnitt gehalt gewicht note preis prozent quote stunden tage temperatur".split()
)


@frozen
class FirstLook:
    """The profile of a table and, if it has dates, the points of a chart of its likely measure by month."""

    profile: dict[str, Any]
    points: Points | None


@frozen
class Groups:
    """Values by group, the largest first: group, value, number of rows. `groups` counts all groups; `total` is the
    value of all rows; `additive`: the values of the groups add up to it."""

    by: str
    measure: str | None
    aggregate: str
    rows: list[tuple[str, float | None, int]]
    groups: int
    total: float | None
    additive: bool


@frozen
class Trend:
    """Values by period, in order of time. `slope` is the change per period by least squares, None below three periods;
    `fit` is the share of the variance that it explains. `partial` is the last day of the data if the last period is
    incomplete, else empty; the slope leaves such a period out, because its value is no sign of a decline."""

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
    """The outliers of one column: the usual range, their number, and the farthest ones with their rows."""

    column: str
    low: float
    high: float
    median: float
    count: int
    found: Answer


@frozen
class Overview:
    """The main figures of a table: its measure by categories, its trend, and its outliers. `mixed`: the column with the
    units of a measure that has several; rows are counted then, because the measure has no sum."""

    row_count: int
    measure: str | None
    mixed: str | None
    shares: tuple[Groups, ...]
    trend: Trend | None
    outliers: tuple[Outliers, ...]


@frozen
class Joined:
    """A join of two tables: its facts, its first rows, and its groups if requested."""

    join: Join
    first: Answer
    groups: Groups | None = None


def joined(table: Table, by: str | None, measure: str | None, aggregate: str | None) -> Joined:
    """Return the join that is loaded as `table`, grouped by the column `by` unless that is None.

    Raises `Refusal` ``query_failed`` for unknown columns, or a measure without numbers.
    """
    join = Joined(table.join or Join("", table.row_count, 0, 0), run(table, "SELECT * FROM data", MAX_ROWS))
    if by is None:
        return join
    column, grain = find_axis(table, by)
    measure_column = _measure(table, measure, aggregate)
    return evolve(join, groups=_group(table, column, grain, measure_column, aggregate, MAX_GROUPS))


def trend(table: Table, date: str | None, measure: str | None, aggregate: str | None) -> Trend:
    """Return values by period of time. `date` is a column or a period, such as month.

    Raises `Refusal` ``query_failed`` if the table has no dates, or too few of them.
    """
    dates = [column for column in table.columns if column.kind == "date"]
    if not dates:
        raise Refusal("query_failed", "There is no column of dates in this table, so it has no trend.")
    column, grain = find_axis(table, date if date and date.strip() else dates[0].name)
    if column.kind != "date" or grain is None:
        raise Refusal("query_failed", f"“{column.name[:60]}” has no dates.")
    result = _trend(table, column, grain, _measure(table, measure, aggregate), aggregate)
    if len(result.rows) < 2:
        raise Refusal("query_failed", f"All dates are in one {grain}, so there is no trend; name a shorter period.")
    return result


def outliers(table: Table, column: str | None) -> list[Outliers]:
    """Return the outliers of a column of numbers; for None, those of all measures.

    Raises `Refusal` ``query_failed`` for a column without numbers.
    """
    columns = _measures(table) if column is None else [_named(table, column)]
    if not columns:
        raise Refusal("query_failed", "There is no column of numbers in this table.")
    if columns[0].kind != "number":
        raise Refusal("query_failed", f"“{columns[0].name[:60]}” has no numbers, so it has no outliers.")
    checked = (_outliers(table, number, MAX_OUTLIERS) for number in columns[:10])
    return [result for result in checked if result is not None]


def overview(table: Table, measure: str | None) -> Overview:
    """Return the main figures of a table."""
    column = _measure(table, measure, None)
    mixed = None if column is None else mixed_unit(table, column)
    summed = None if mixed else column
    date = next((column for column in table.columns if column.kind == "date"), None)
    over_time = None if date is None else _trend(table, date, fitting_grain(table, date), summed, None)
    in_one_unit = [number for number in _measures(table) if mixed_unit(table, number) is None]
    checked = [_outliers(table, number, 5) for number in in_one_unit[:5]]
    return Overview(
        table.row_count,
        None if column is None else column.name,
        None if mixed is None else mixed.name,
        tuple(_group(table, category, None, summed, None, 10) for category in _categories(table)[:MAX_SHARED]),
        over_time if over_time is not None and len(over_time.rows) > 1 else None,
        tuple(result for result in checked if result is not None and result.count),
    )


def first_look(table: Table) -> FirstLook:
    """Profile a table. There are no points if it has no dates, or its amounts do not add up."""
    points, measure = None, _measure(table, None, None)
    name, how = (None, None) if measure is None else (measure.name, _natural(measure))
    for axis in [column.name for column in table.columns if column.kind == "date"][:1]:
        with suppress(Refusal):
            monthly = collect(table, "month", name, how, None)
            points = monthly if len(monthly.rows) > 1 else collect(table, axis, name, how, None)
    return FirstLook(profile(table), points)


def _group(
    table: Table, column: Column, grain: str | None, measure: Column | None, how: str | None, limit: int
) -> Groups:
    aggregate = "count" if measure is None else how or _natural(measure)
    one_unit = measure is None or aggregate == "count" or check_units(table, measure, column)
    key = PERIODS[grain].format(column.quoted) if grain else f"CAST({column.quoted} AS VARCHAR)"
    value = measure_sql(measure, aggregate)
    sql = (
        f"SELECT coalesce(left({key}, {MAX_LABEL}), '{EMPTY}') AS g, {value} AS v, count(*) FROM data "
        f"GROUP BY g ORDER BY {'g' if grain else 'v DESC NULLS LAST, g'} LIMIT {int(limit)}"
    )
    rows = table.rows(sql)
    ((groups, total),) = table.rows(f"SELECT count(DISTINCT coalesce({key}, '{EMPTY}')), {value} FROM data")
    return Groups(
        f"{grain} of {column.name}" if grain else column.name,
        None if measure is None else measure.name,
        aggregate,
        [(name, rounded(number), rows_of) for name, number, rows_of in rows],
        groups,
        rounded(total),
        additive=aggregate in ("sum", "count") and one_unit,
    )


def _trend(table: Table, column: Column, grain: str, measure: Column | None, how: str | None) -> Trend:
    aggregate = "count" if measure is None else how or _natural(measure)
    if measure is not None and aggregate != "count":
        check_units(table, measure, column)
    sql = (
        f"SELECT {PERIODS[grain].format('t')}, v FROM (SELECT date_trunc('{grain}', {column.quoted}) AS t, "
        f"{measure_sql(measure, aggregate)} AS v FROM data WHERE isfinite({column.quoted}) "
        f"GROUP BY t ORDER BY t DESC LIMIT {MAX_PERIODS}) ORDER BY t"
    )
    rows = [(period, number) for period, value in table.rows(sql) if (number := rounded(value)) is not None]
    partial = _unfinished(table, column, grain) if aggregate in ("sum", "count") and len(rows) > 3 else ""
    slope, fit = _line([value for _, value in rows][: -1 if partial else None])
    name = None if measure is None else measure.name
    return Trend(column.name, name, aggregate, grain, rows, slope, fit, partial)


def _unfinished(table: Table, column: Column, grain: str) -> str:
    """Return the last date if it is much earlier in its period than the last dates of other periods are in theirs, else
    an empty text. So a month whose dates are all its first day counts as over if that holds for the other months."""
    sql = (
        "SELECT left(CAST(max(t) AS VARCHAR), 10), max(epoch(t)) - min(epoch(p)) FROM "
        f"(SELECT date_trunc('{grain}', t) AS p, t FROM "
        f"(SELECT CAST({column.quoted} AS TIMESTAMP) AS t FROM data WHERE isfinite({column.quoted}))) "
        f"GROUP BY p ORDER BY p DESC LIMIT {MAX_PERIODS}"
    )
    (last, reach), *earlier = table.rows(sql)
    return str(last) if reach < _OVER * statistics.median(other for _, other in earlier) else ""


def _line(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the slope of the least-squares line through equally spaced values, and the share it explains (R²)."""
    if len(values) < 3:
        return None, None
    steps = range(len(values))
    slope = statistics.linear_regression(steps, values).slope
    fit = statistics.correlation(steps, values) ** 2 if len(set(values)) > 1 else 1.0
    return rounded(slope), rounded(fit)


def _outliers(table: Table, column: Column, limit: int) -> Outliers | None:
    number = f"CAST({column.quoted} AS DOUBLE)"
    usable = f"isfinite({number}) AND abs({number}) < 1e150"
    quartiles, least = table.rows(
        f"SELECT quantile_cont({number}, [0.25, 0.5, 0.75]), min({number}) FROM data WHERE {usable}"
    )[0]
    if quartiles is None:
        return None
    q1, median, q3 = quartiles
    low, high = q1 - FENCE * (q3 - q1), q3 + FENCE * (q3 - q1)
    if low < 0 <= least:
        low = 0.0  # the column has no negative values
    outside = f"{usable} AND ({number} < {low!r} OR {number} > {high!r})"
    (count,) = table.rows(f"SELECT count(*) FROM data WHERE {outside}")[0]
    columns = [column, *(other for other in table.columns if other != column)][:8]
    shown = ", ".join(other.quoted for other in columns)
    rows = run(table, f"SELECT {shown} FROM data WHERE {outside} ORDER BY abs({number} - {median!r}) DESC", limit)
    return Outliers(column.name, rounded(low) or 0, rounded(high) or 0, rounded(median) or 0, count, rows)


def _named(table: Table, name: str) -> Column:
    column = find_column(table.columns, name)
    if column is None:
        raise no_such_column(name, table.columns)
    return column


def _measure(table: Table, name: str | None, how: str | None) -> Column | None:
    """Return the column to measure: the named one, else the likely one; None to count rows.

    Raises `Refusal` ``query_failed`` for a column whose values are no numbers.
    """
    if name is not None and name.strip():
        column = _named(table, name)
        if how == "count" or (how is None and column.kind != "number"):
            return None
        if column.kind != "number":
            raise Refusal("query_failed", f"“{column.name[:60]}” has no numbers; only rows can be counted by it.")
        return column
    measures = [] if how == "count" else _measures(table)
    likely = [measure for word in _MEASURES for measure in measures if word in measure.words]
    return next(iter(likely), measures[-1] if measures else None)


def _natural(measure: Column) -> str:
    """Return the aggregate that suits a measure if none is requested."""
    return "sum" if measure.words.isdisjoint(_AVERAGED) else "mean"


def _measures(table: Table) -> list[Column]:
    """Return the columns of numbers, without identifiers."""
    return [column for column in table.columns if column.kind == "number" and column.words.isdisjoint(_IDENTIFIERS)]


def _categories(table: Table) -> list[Column]:
    """Return the columns of texts and truth values with repeated values, those with the fewest distinct ones first."""
    counted = []
    for column in [column for column in table.columns if column.kind in ("text", "boolean")][:50]:
        (distinct,) = table.rows(f"SELECT approx_count_distinct({column.quoted}) FROM data")[0]
        if 1 < distinct <= min(CATEGORIES, max(2, table.row_count // 2)):
            counted.append((distinct, column))
    return [column for _, column in sorted(counted, key=lambda pair: pair[0])]
