"""Computes the data of a chart: columns, aggregates, and a bounded number of points. Runs in the table's process."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, frozen

from analyst.duckdb_session import Column, Table
from analyst.queries import find_column, no_such_column, squeezed
from analyst.refusal import Refusal
from analyst.units import check_units

MAX_POINTS: Final = 200
# Beyond these limits a reader cannot tell marks apart.
MAX_BARS: Final = 40
MAX_SLICES: Final = 12
_MOST: Final = MappingProxyType({"bar": MAX_BARS, "pie": MAX_SLICES})
_BINS: Final = 20  # about how many bars a histogram has
_MAX_LABEL: Final = 60  # characters of the name of a category; the rest is cut off

PERIODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hour": "strftime({}, '%Y-%m-%d %H:00')",
        "day": "strftime({}, '%Y-%m-%d')",
        "week": "strftime({}, '%G-W%V')",
        "month": "strftime({}, '%Y-%m')",
        "quarter": "strftime({0}, '%Y') || '-Q' || CAST(quarter({0}) AS VARCHAR)",
        "year": "strftime({}, '%Y')",
    }
)
_MOMENT: Final = "strftime(t, '%Y-%m-%dT%H:%M:%SZ')"
_SQL: Final[Mapping[str, str]] = MappingProxyType(
    {"sum": "sum", "mean": "avg", "median": "median", "min": "min", "max": "max"}
)
_GRAINS: Final = ("hour", "day", "week", "month", "quarter", "year")
_GRAIN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {"daily": "day", "date": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
    | {"annual": "year", "hourly": "hour"}
    | {f"{grain}s": grain for grain in _GRAINS}
    | {grain: grain for grain in _GRAINS}
)


@frozen
class ChartPlan:
    """A chart without its rows. `grain` is the step of a time axis; `aggregate` None means unaggregated points."""

    x: Column
    y: Column | None
    aggregate: str | None
    kind: str
    grain: str | None = None
    bin_width: float | None = None

    @property
    def x_title(self) -> str:
        """The column's name, with the step of time: ``month of ordered``."""
        return f"{self.grain} of {self.x.name}" if self.grain else self.x.name

    @property
    def y_title(self) -> str:
        """The measured value: ``sum of amount``, ``rows``, or the column."""
        if self.y is None:
            return "rows"
        return f"{self.aggregate} of {self.y.name}" if self.aggregate else self.y.name

    @property
    def y_sql(self) -> str:
        """SQL for the measured value of a group of rows."""
        return measure_sql(self.y, self.aggregate)


@frozen
class Points:
    """A plan with its rows ``(x, y)`` in display order. `notes` say what is left out, and how the file was read."""

    plan: ChartPlan
    rows: list[tuple[Any, float]]
    notes: tuple[str, ...] = ()


def collect(table: Table, x: str, y: str | None, aggregate: str | None, kind: str | None) -> Points:
    """Plan a chart and compute its points.

    Raises `Refusal` ``query_failed`` for unknown columns, or columns that make no chart together.
    """
    plan = _plan(table, x, y, aggregate, kind)
    if plan.y is not None and plan.aggregate != "count":
        check_units(table, plan.y, plan.x)
    if plan.grain is not None:
        points = _over_time(table, plan)
    elif plan.aggregate is None:
        points = _scattered(table, plan)
    elif plan.x.kind == "number":
        points = _over_numbers(table, plan)
    else:
        points = _by_category(table, plan)
    if not points.rows:
        raise Refusal("query_failed", f"There is nothing to draw: {plan.x.name} has no values in this table.")
    if plan.kind == "pie" and any(value < 0 for _, value in points.rows):
        raise Refusal("query_failed", "A pie cannot show amounts below zero; ask for bars instead.")
    return evolve(points, notes=(*points.notes, *table.notes))


def _plan(table: Table, x: str, y: str | None, aggregate: str | None, kind: str | None) -> ChartPlan:
    column, grain = find_axis(table, x)
    measure = find_column(table.columns, y) if y and y.strip() else None
    if y and measure is None and not (aggregate == "count" or y.strip().lower() in ("count", "rows")):
        raise no_such_column(y, table.columns)
    if measure is None or aggregate == "count" or (measure.kind != "number" and aggregate is None):
        aggregate = "count"
    elif measure.kind != "number":
        raise Refusal("query_failed", f"{aggregate} needs numbers, and “{measure.name}” has none; try count.")
    elif aggregate is None and not (column.kind == "number" and kind in (None, "point")):
        aggregate = "sum"
    mark = kind or ("line" if grain else "point" if aggregate is None else "bar")
    return ChartPlan(column, measure, aggregate, mark, grain)


def find_axis(table: Table, name: str) -> tuple[Column, str | None]:
    """Return the column for an axis, and the step of a time axis: “month” means the months of a column with dates."""
    column = find_column(table.columns, name)
    dates = [column for column in table.columns if column.kind == "date"]
    if column is None:
        words = re.findall(r"\w+", name.lower())
        grain = next((_GRAIN_WORDS[word] for word in words if word in _GRAIN_WORDS), None)
        if grain is None or not dates:
            raise no_such_column(name, table.columns)
        named = [date for date in dates if any(word in squeezed(date.name) for word in words if len(word) > 3)]
        return (named or dates)[0], grain
    return (column, fitting_grain(table, column)) if column.kind == "date" else (column, None)


def fitting_grain(table: Table, column: Column) -> str:
    """Return the step for dates: hours for up to two days, days for two months, months for ten years, else years."""
    name = column.quoted
    span, hours = table.rows(
        f"SELECT date_diff('day', min({name}), max({name})), count(DISTINCT date_trunc('hour', {name})) FROM data"
    )[0]
    if span is None or (span <= 2 and column.type != "DATE" and hours > 3):
        return "hour" if span is not None else "day"
    for grain, most in (("day", 62), ("month", 120)):
        steps = table.rows(f"SELECT count(DISTINCT date_trunc('{grain}', {name})) FROM data")[0][0]
        if steps <= most:
            return grain
    return "year"


def measure_sql(measure: Column | None, aggregate: str | None) -> str:
    """Return SQL for an aggregate of a column's finite numbers; for None, SQL for the number of rows."""
    if measure is None:
        return "count(*)"
    if aggregate == "count":
        return f"count({measure.quoted})"
    number = f"CAST({measure.quoted} AS DOUBLE)"
    return f"{_SQL[aggregate or 'sum']}({number}) FILTER (isfinite({number}))"


def _rows(table: Table, sql: str) -> list[tuple[Any, float]]:
    return [(x, float(f"{y:.12g}")) for x, y in table.rows(sql) if y is not None and math.isfinite(y)]


def _over_time(table: Table, plan: ChartPlan) -> Points:
    name, most = plan.x.quoted, _MOST.get(plan.kind, MAX_POINTS)
    step = f"date_trunc('{plan.grain}', {name})"
    named = PERIODS[plan.grain or "day"].format("t")
    label = named if plan.kind in ("bar", "pie") else _MOMENT
    # The latest steps are kept, because most questions are about them.
    rows = _rows(
        table,
        f"SELECT {label}, n FROM (SELECT {step} AS t, {plan.y_sql} AS n FROM data WHERE isfinite({name}) "
        f"GROUP BY t ORDER BY t DESC LIMIT {most + 1}) ORDER BY t",
    )
    notes = [f"only the last {most} {plan.grain}s are shown"] if len(rows) > most else []
    undated = table.rows(f"SELECT count(*) FROM data WHERE {name} IS NULL")[0][0]
    if undated:
        notes.append(f"{undated:,} row{'' if undated == 1 else 's'} without a date left out")
    return Points(plan, rows[-most:], tuple(notes))


_PERIOD: Final = re.compile(r"\d{4}(?:-(?:\d\d|Q[1-4]|W\d\d))?")
"""A period as text, such as 2026-03. Bars of periods are sorted by time, not by their size."""


def _by_category(table: Table, plan: ChartPlan) -> Points:
    most = _MOST.get(plan.kind, MAX_POINTS)
    label = f"coalesce(left(CAST({plan.x.quoted} AS VARCHAR), {_MAX_LABEL}), '(empty)')"
    grouped = f"SELECT {label} AS g, {plan.y_sql} AS n FROM data GROUP BY g"
    rows = _rows(table, f"SELECT g, n FROM ({grouped}) WHERE n IS NOT NULL ORDER BY n DESC, g LIMIT {most}")
    groups, total = table.rows(f"SELECT count(*), sum(n) FROM ({grouped}) WHERE n IS NOT NULL")[0]
    if groups <= most:
        periods = all(_PERIOD.fullmatch(x) for x, _ in rows)
        return Points(plan, sorted(rows) if periods and plan.kind != "pie" else rows)
    if plan.kind == "pie" and plan.aggregate in ("sum", "count"):
        others = float(total) - sum(value for _, value in rows)
        note = f"{groups - most:,} small ones are one slice"
        return Points(plan, [*rows, ("(others)", float(f"{others:.12g}"))], (note,))
    return Points(plan, rows, (f"only the {most} largest of {groups:,} are shown",))


def _over_numbers(table: Table, plan: ChartPlan) -> Points:
    """Return points with numbers along x: one for each number if they are few, else for equal intervals."""
    name = f"CAST({plan.x.quoted} AS DOUBLE)"
    usable = f"FROM data WHERE isfinite({name})"
    distinct, low, high = table.rows(f"SELECT count(DISTINCT {name}), min({name}), max({name}) {usable}")[0]
    if distinct > MAX_BARS:
        width = _nice((high - low) / _BINS)
        plan = evolve(plan, bin_width=width)
        name = f"floor({name} / {width!r}) * {width!r}"
    rows = _rows(
        table,
        f"SELECT {name} AS g, {plan.y_sql} {usable} GROUP BY g ORDER BY g LIMIT {MAX_POINTS}",
    )
    return Points(plan, [(float(f"{x:.12g}"), y) for x, y in rows])


def _nice(step: float) -> float:
    """Return the smallest number of the series 1, 2, 5, 10, 20, … that is at least `step`."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9)))


def _scattered(table: Table, plan: ChartPlan) -> Points:
    """Return unaggregated points. If there are too many, return a sample that is the same every time."""
    if plan.y is None:
        raise Refusal("query_failed", "Points need two columns of numbers.")
    x, y = f"CAST({plan.x.quoted} AS DOUBLE)", f"CAST({plan.y.quoted} AS DOUBLE)"
    usable = f"FROM data WHERE isfinite({x}) AND isfinite({y})"
    count = table.rows(f"SELECT count(*) {usable}")[0][0]
    rows = _rows(table, f"SELECT {x} AS a, {y} AS b {usable} ORDER BY hash(rowid) LIMIT {MAX_POINTS}")
    notes = (f"a sample of {MAX_POINTS} of {count:,} points is shown",) if count > MAX_POINTS else ()
    return Points(plan, sorted(rows), notes)
