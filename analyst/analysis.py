"""Tools that find what an attached table says: main figures, groups, trends, outliers, and joins of two tables.

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
    found = await ask_table(file, context.owner, "profile", (), FirstLook)
    chart = None if found.points is None else chart_of(found.points)
    summary = f"{file.name}: {sentence(found.profile)}"
    return ToolResult({"file": file.name, **found.profile}, summary, chart, kind="analysis")


@tool(retry_safe=True, on_server_loop=True)
async def analyse_table(file_id: TableId, context: ToolContext, measure: Measure = None) -> ToolResult:
    """Analyse an attached table: what stands out, key insights and drivers, the largest groups with their shares, the
    trend, unusual values; a first look at any data, numbers or file."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "overview", (measure,), Overview)
    said, steps = [f"{file.name}: {_rows(found.row_count)}"], list[NextStep]()
    if found.mixed is not None:
        said.append(f"{found.measure} has more than one {found.mixed}, so it is not added up")
        steps.append(_chart_step(f"{found.measure} by {found.mixed}", file_id, found.mixed, found.measure, "sum"))
    for groups in found.shares:
        what = _value_words(groups.aggregate, groups.measure)
        for name, most in _known(groups)[:1]:
            share = f" ({100 * most / groups.total:.0f} %)" if groups.additive and groups.total else ""
            said.append(f"by {groups.by}, {name} has the largest {what}, {_figure(most)}{share}")
            steps += _rows_step(file_id, groups.by, name)
            label = f"{_capital(what)} by {groups.by}"
            steps.append(_chart_step(label, file_id, groups.by, groups.measure, groups.aggregate))
    if found.trend is not None:
        said.append(_trend_sentence(found.trend))
        steps.insert(0, NextStep("The trend", "table_trend", {"file_id": file_id, "measure": found.trend.measure}))
    for outlier in found.outliers:
        said.append(f"{outlier.count:,} unusual value{'' if outlier.count == 1 else 's'} in {outlier.column}")
        steps.append(_outliers_step(file_id, outlier.column))
    value = {
        "file": file.name,
        "rows": found.row_count,
        "measure": found.measure,
        "groups": [row for groups in found.shares for row in _group_rows(groups, column=True)],
        "trend": [] if found.trend is None else _trend_rows(found.trend),
        "outliers": [_outlier_row(outlier) for outlier in found.outliers],
    }
    return ToolResult(value, f"{'; '.join(said)}.", kind="analysis", next_steps=steps)


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
    found = await ask_table(file, context.owner, "joined", (by, measure, aggregate), Joined, other=other, on=on)
    join = found.join
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
    if found.groups is not None:
        value = {**facts, "groups": _group_rows(found.groups)}
        return ToolResult(value, f"{summary}. {_group_sentence(found.groups)}", kind="analysis")
    rows = found.first
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
    found = await ask_table(file, context.owner, "trend", (period, measure, aggregate), Trend)
    over = found.rows[: -1 if found.partial else None]
    best, worst = (edge(over, key=lambda row: row[1]) for edge in (max, min))
    value = {
        "measure": found.measure or "rows",
        "aggregate": found.aggregate,
        "period": found.grain,
        "periods": _trend_rows(found),
        "change_per_period": found.slope,
        "fit": found.fit,
        "best": {"period": best[0], "value": best[1]},
        "worst": {"period": worst[0], "value": worst[1]},
    }
    summary = (
        f"{_capital(_trend_sentence(found))}; highest in {best[0]} with {_figure(best[1])}, lowest in {worst[0]} with "
        f"{_figure(worst[1])}."
    )
    chart = _chart_step("As a chart", file_id, f"{found.grain} of {found.date}", found.measure, found.aggregate)
    return ToolResult(value, summary, kind="analysis", next_steps=[chart])


@tool(retry_safe=True, on_server_loop=True)
async def find_outliers(
    file_id: TableId,
    context: ToolContext,
    column: Annotated[str | None, Param("Column of numbers; left out, all that measure.")] = None,
) -> ToolResult:
    """Find outliers in an attached table: unusual, odd, extreme or suspicious values and anomalies, with their rows."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "outliers", (column,), list[Outliers])
    odd = [each for each in found if each.count]
    usual = "; ".join(f"{each.column} from {each.low:,.6g} to {each.high:,.6g}" for each in found[:3])
    if odd:
        named = ", ".join(
            f"{each.count:,} in {each.column} (farthest {_figure(each.found.rows[0][0])})" for each in odd[:3]
        )
        summary = f"Outliers in {file.name}: {named}. Usual: {usual}."
    else:
        summary = f"No outliers in {file.name}. Usual: {usual}."
    value: dict[str, Any] = {"columns_checked": [_outlier_row(each) for each in found]}
    if odd:
        value |= {"columns": [each.name for each in odd[0].found.columns], "rows": odd[0].found.rows}
    more = [_outliers_step(file_id, each.column) for each in odd[1:]]
    return ToolResult(value, summary, kind="drill_down" if odd else "analysis", next_steps=more)


def _known(found: Groups) -> list[tuple[str, float]]:
    """Return the groups that have a value."""
    return [(name, value) for name, value, _ in found.rows if value is not None]


def _group_sentence(found: Groups) -> str:
    what = _capital(_value_words(found.aggregate, found.measure))
    lead = f"{what} by {found.by}: {found.groups:,} group{'' if found.groups == 1 else 's'}"
    known = _known(found)
    if not known:
        return f"{lead}, without values."
    best = max(known, key=lambda each: each[1])
    share = (
        f" ({100 * best[1] / found.total:.0f} % of {_figure(found.total)})" if found.additive and found.total else ""
    )
    least = min(known, key=lambda each: each[1])
    rest = f", the smallest {least[0]} with {_figure(least[1])}" if len(known) > 1 else ""
    if len(known) > 1 and least[1] == best[1]:
        return f"{lead}; each has {_figure(best[1])}."
    cut = f"; only the first {len(found.rows)} are listed" if found.groups > len(found.rows) else ""
    return f"{lead}; the largest is {best[0]} with {_figure(best[1])}{share}{rest}{cut}."


def _group_rows(found: Groups, *, column: bool = False) -> list[dict[str, Any]]:
    """Return groups as rows: the group under its column's name, or with `column` beside it, value, share, rows."""
    rows = []
    for name, value, count in found.rows:
        row: dict[str, Any] = {"column": found.by, "group": name} if column else {found.by: name}
        row[_value_words(found.aggregate, found.measure)] = value
        if found.additive and found.total and value is not None:
            row["share_percent"] = round(100 * value / found.total, 1)
        rows.append(row | {"rows": count})
    return rows


def _trend_rows(found: Trend) -> list[dict[str, Any]]:
    before: float | None = None
    rows: list[dict[str, Any]] = []
    for period, value in found.rows:
        change = None if not before else round(100 * (value - before) / abs(before), 1)
        rows.append(
            {found.grain: period, _value_words(found.aggregate, found.measure): value, "change_percent": change}
        )
        before = value
    return rows


def _trend_sentence(found: Trend) -> str:
    over = found.rows[: -1 if found.partial else None]
    (first, begins), (last, ends) = over[0], over[-1]
    what = _value_words(found.aggregate, found.measure)
    change = f" ({100 * (ends - begins) / abs(begins):+.0f} %)" if begins else ""
    slope = "" if found.slope is None else f", {found.slope:+,.4g} a {found.grain} on average"
    cut = f"; the last {found.grain} is not over (data until {found.partial})" if found.partial else ""
    return f"{what} went from {_figure(begins)} in {first} to {_figure(ends)} in {last}{change}{slope}{cut}"


def _outlier_row(found: Outliers) -> Mapping[str, Any]:
    return {
        "column": found.column,
        "outliers": found.count,
        "usual_from": found.low,
        "usual_to": found.high,
        "median": found.median,
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
    """Return a number as people read it: two decimals from a hundred on, four digits below."""
    return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 100 else f"{value:,.4g}"


def _capital(text: str) -> str:
    """Return a text with a capital first letter; the rest, which may be a name, is unchanged."""
    return text[:1].upper() + text[1:]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
