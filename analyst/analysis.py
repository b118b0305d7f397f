"""The tools that analyse attached tables: main figures, groups, trends, outliers, and joins of two tables.

Each result offers next steps that go deeper: calls of these tools, of `query_table` and of `chart_table`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from analyst.charts import chart_of
from analyst.column_types import quote
from analyst.profiling import sentence
from analyst.table_analysis import EMPTY, MAX_LABEL, FirstLook, Groups, Joined, Outliers, Overview, Trend
from analyst.tables import Aggregate, TableId, ask_table, attached
from understudy import NextStep, Param, ToolContext, ToolError, ToolResult, tool

_MAX_STEP: Final = 100
"""Characters of the label of a next step."""
_NAMED: Final = {"sum": "total", "mean": "average", "min": "smallest", "max": "largest"}

Measure = Annotated[str | None, Param("Column to measure; left out, the likely one.")]


@tool(retry_safe=True, on_server_loop=True)
async def profile_table(file_id: TableId, context: ToolContext) -> ToolResult:
    """Describe an attached table: rows, columns, types, missing and distinct values, ranges, averages, quartiles,
    most frequent values, and rows that occur more than once; with a chart by month if it has dates."""
    file = await attached(context, file_id)
    look = await ask_table(file, context.owner, "profile", (), FirstLook)
    chart = None if look.points is None else chart_of(look.points)
    summary = f"{file.name}: {sentence(look.profile)}"
    return ToolResult({"file": file.name, **look.profile}, summary, chart, kind="analysis")


@tool(retry_safe=True, on_server_loop=True)
async def analyse_table(file_id: TableId, context: ToolContext, measure: Measure = None) -> ToolResult:
    """Analyse an attached table: what stands out, key insights and drivers, the largest groups with their shares, the
    trend, unusual values; a first look at any data, numbers or file."""
    file = await attached(context, file_id)
    overview = await ask_table(file, context.owner, "overview", (measure,), Overview)
    parts, steps = [f"{file.name}: {_rows(overview.row_count)}"], list[NextStep]()
    if (unit := overview.mixed) is not None:
        parts.append(f"{overview.measure} has more than one {unit}, so it is not added up")
        steps.append(_chart_step(f"{overview.measure} by {unit}", file_id, unit, overview.measure, "sum"))
    for groups in overview.shares:
        what = _value_words(groups.aggregate, groups.measure)
        for name, most in _with_values(groups)[:1]:
            share = f" ({100 * most / groups.total:.0f} %)" if groups.additive and groups.total else ""
            parts.append(f"by {groups.by}, {name} has the largest {what}, {_figure(most)}{share}")
            steps += _rows_step(file_id, groups.by, name)
            label = f"{_capital(what)} by {groups.by}"
            steps.append(_chart_step(label, file_id, groups.by, groups.measure, groups.aggregate))
    if overview.trend is not None:
        parts.append(_trend_sentence(overview.trend))
        steps.insert(0, NextStep("The trend", "table_trend", {"file_id": file_id, "measure": overview.trend.measure}))
    for outlier in overview.outliers:
        parts.append(f"{outlier.count:,} unusual value{'' if outlier.count == 1 else 's'} in {outlier.column}")
        steps.append(_outliers_step(file_id, outlier.column))
    value = {
        "file": file.name,
        "rows": overview.row_count,
        "measure": overview.measure,
        "groups": [row for groups in overview.shares for row in _group_rows(groups, column=True)],
        "trend": [] if overview.trend is None else _trend_rows(overview.trend),
        "outliers": [_outlier_row(outlier) for outlier in overview.outliers],
    }
    return ToolResult(value, f"{'; '.join(parts)}.", kind="analysis", next_steps=steps)


@tool(retry_safe=True, on_server_loop=True)
async def join_tables(
    file_id: Annotated[str, Param("Id of the first attached table.", format="table-id")],
    other_id: Annotated[str, Param("Id of the second attached table.", format="table-id")],
    context: ToolContext,
    on: Annotated[str | None, Param("Column to join on; left out, the first that both have.")] = None,
    by: Annotated[str | None, Param("Column to group the joined rows by; left out, rows.")] = None,
    measure: Measure = None,
    aggregate: Aggregate = None,
) -> ToolResult:
    """Join two attached tables: combine, merge or match two files on a common column, with what has no partner; and
    group the joined rows."""
    file, other = await attached(context, file_id), await attached(context, other_id)
    if file.id == other.id:
        raise ToolError("invalid_arguments", "Two tables are needed to join; both are the same file.")
    joined = await ask_table(file, context.owner, "joined", (by, measure, aggregate), Joined, other=other, on=on)
    join = joined.join
    summary = (
        f"{file.name} and {other.name} joined on {join.on}: {_rows(join.rows)}; {_rows(join.unmatched)} of {file.name} "
        f"and {join.other_unmatched:,} of {other.name} without a partner"
    )
    facts = {
        "on": join.on,
        "rows_joined": join.rows,
        "unmatched": join.unmatched,
        "other_unmatched": join.other_unmatched,
    }
    if joined.groups is not None:
        value = {**facts, "groups": _group_rows(joined.groups)}
        return ToolResult(value, f"{summary}. {_group_sentence(joined.groups)}", kind="analysis")
    rows = joined.first
    columns = [{"name": column.name, "type": column.type} for column in rows.columns]
    return ToolResult(
        {**facts, "columns": columns, "rows": rows.rows, "note": rows.truncated}, summary, kind="drill_down"
    )


@tool(retry_safe=True, on_server_loop=True)
async def table_trend(
    file_id: TableId,
    context: ToolContext,
    measure: Measure = None,
    period: Annotated[str | None, Param("month, week, day, quarter or year; or a column of dates.")] = None,
    aggregate: Aggregate = None,
) -> ToolResult:
    """Show the trend in an attached table: how values develop over time, growth or decline, best and worst month, week
    or year."""
    file = await attached(context, file_id)
    trend = await ask_table(file, context.owner, "trend", (period, measure, aggregate), Trend)
    complete = trend.rows[: -1 if trend.partial else None]
    best, worst = (edge(complete, key=lambda row: row[1]) for edge in (max, min))
    value = {
        "measure": trend.measure or "rows",
        "aggregate": trend.aggregate,
        "period": trend.grain,
        "periods": _trend_rows(trend),
        "change_per_period": trend.slope,
        "fit": trend.fit,
        "best": {"period": best[0], "value": best[1]},
        "worst": {"period": worst[0], "value": worst[1]},
    }
    summary = (
        f"{_capital(_trend_sentence(trend))}; highest in {best[0]} with {_figure(best[1])}, lowest in {worst[0]} with "
        f"{_figure(worst[1])}."
    )
    chart = _chart_step("As a chart", file_id, f"{trend.grain} of {trend.date}", trend.measure, trend.aggregate)
    return ToolResult(value, summary, kind="analysis", next_steps=[chart])


@tool(retry_safe=True, on_server_loop=True)
async def find_outliers(
    file_id: TableId,
    context: ToolContext,
    column: Annotated[str | None, Param("Column of numbers; left out, all that measure.")] = None,
) -> ToolResult:
    """Find outliers in an attached table: unusual, odd, extreme or suspicious values and anomalies, with their rows."""
    file = await attached(context, file_id)
    checked = await ask_table(file, context.owner, "outliers", (column,), list[Outliers])
    odd = [outliers for outliers in checked if outliers.count]
    usual = "; ".join(f"{result.column} from {result.low:,.6g} to {result.high:,.6g}" for result in checked[:3])
    if odd:
        counts = ", ".join(
            f"{result.count:,} in {result.column} (farthest {_figure(result.found.rows[0][0])})" for result in odd[:3]
        )
        summary = f"Outliers in {file.name}: {counts}. Usual: {usual}."
    else:
        summary = f"No outliers in {file.name}. Usual: {usual}."
    value: dict[str, Any] = {"columns_checked": [_outlier_row(outliers) for outliers in checked]}
    if odd:
        value |= {"columns": [shown.name for shown in odd[0].found.columns], "rows": odd[0].found.rows}
    steps = [_outliers_step(file_id, outliers.column) for outliers in odd[1:]]
    return ToolResult(value, summary, kind="drill_down" if odd else "analysis", next_steps=steps)


def _with_values(groups: Groups) -> list[tuple[str, float]]:
    """Return name and value of the groups that have a value."""
    return [(name, value) for name, value, _ in groups.rows if value is not None]


def _group_sentence(groups: Groups) -> str:
    what = _capital(_value_words(groups.aggregate, groups.measure))
    lead = f"{what} by {groups.by}: {groups.groups:,} group{'' if groups.groups == 1 else 's'}"
    values = _with_values(groups)
    if not values:
        return f"{lead}, without values."
    best = max(values, key=lambda pair: pair[1])
    share = ""
    if groups.additive and groups.total:
        share = f" ({100 * best[1] / groups.total:.0f} % of {_figure(groups.total)})"
    least = min(values, key=lambda pair: pair[1])
    smallest = f", the smallest {least[0]} with {_figure(least[1])}" if len(values) > 1 else ""
    if len(values) > 1 and least[1] == best[1]:
        return f"{lead}; each has {_figure(best[1])}."
    cut = f"; only the first {len(groups.rows)} are listed" if groups.groups > len(groups.rows) else ""
    return f"{lead}; the largest is {best[0]} with {_figure(best[1])}{share}{smallest}{cut}."


def _group_rows(groups: Groups, *, column: bool = False) -> list[dict[str, Any]]:
    """Return groups as rows: group, value, share, rows. `column`: name the column in the row, not as its key."""
    rows = []
    for name, value, count in groups.rows:
        row: dict[str, Any] = {"column": groups.by, "group": name} if column else {groups.by: name}
        row[_value_words(groups.aggregate, groups.measure)] = value
        if groups.additive and groups.total and value is not None:
            row["share_percent"] = round(100 * value / groups.total, 1)
        rows.append(row | {"rows": count})
    return rows


def _trend_rows(trend: Trend) -> list[dict[str, Any]]:
    previous: float | None = None
    rows: list[dict[str, Any]] = []
    for period, value in trend.rows:
        change = None if not previous else round(100 * (value - previous) / abs(previous), 1)
        rows.append(
            {trend.grain: period, _value_words(trend.aggregate, trend.measure): value, "change_percent": change}
        )
        previous = value
    return rows


def _trend_sentence(trend: Trend) -> str:
    complete = trend.rows[: -1 if trend.partial else None]
    (first, begins), (last, ends) = complete[0], complete[-1]
    what = _value_words(trend.aggregate, trend.measure)
    change = f" ({100 * (ends - begins) / abs(begins):+.0f} %)" if begins else ""
    slope = "" if trend.slope is None else f", {trend.slope:+,.4g} a {trend.grain} on average"
    cut = f"; the last {trend.grain} is not over (data until {trend.partial})" if trend.partial else ""
    return f"{what} went from {_figure(begins)} in {first} to {_figure(ends)} in {last}{change}{slope}{cut}"


def _outlier_row(outliers: Outliers) -> Mapping[str, Any]:
    return {
        "column": outliers.column,
        "outliers": outliers.count,
        "usual_from": outliers.low,
        "usual_to": outliers.high,
        "median": outliers.median,
    }


def _rows_step(file_id: str, column: str, value: str) -> list[NextStep]:
    """Return the step to the rows of a group, unless the name of the group was cut."""
    if len(value) >= MAX_LABEL:
        return []
    text = "'" + value.replace("'", "''") + "'"
    where = f"{quote(column)} IS NULL" if value == EMPTY else f"{quote(column)} = {text}"
    sql = f"SELECT * FROM data WHERE {where}"
    return [NextStep(f"Rows of {value.strip() or text}", "query_table", {"file_id": file_id, "sql": sql})]


def _chart_step(label: str, file_id: str, x: str, y: str | None, aggregate: str) -> NextStep:
    chart = {"file_id": file_id, "x": x, "y": y, "aggregate": aggregate}
    return NextStep(label[:_MAX_STEP], "chart_table", chart)


def _outliers_step(file_id: str, column: str) -> NextStep:
    return NextStep(f"Outliers in {column}"[:_MAX_STEP], "find_outliers", {"file_id": file_id, "column": column})


def _value_words(aggregate: str, measure: str | None) -> str:
    return "number of rows" if measure is None else f"{_NAMED.get(aggregate, aggregate)} {measure}"


def _figure(value: float) -> str:
    """Return a number for readers: with two decimals from a hundred on, else with four digits."""
    return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 100 else f"{value:,.4g}"


def _capital(text: str) -> str:
    """Return a text with a capital first letter. Other letters are unchanged, as they may be those of a name."""
    return text[:1].upper() + text[1:]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
