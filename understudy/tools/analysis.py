"""Tools that find what an attached table says: main figures, groups, trends, outliers, joins, and the rows behind them.

Each result offers next steps that go deeper: a message that names the table, so that it works in any later turn.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, DRILL_DOWN, NextStep, ToolResult
from understudy.tools.schema import Param
from understudy.tools.table_analysis import MAX_GROUPS, MAX_OUTLIERS, Groups, Joined, Outliers, Overview, Trend, largest
from understudy.tools.tables import TableId, ask_table, attached
from understudy.tools.tool import ToolContext, tool

MAX_ROWS: Final = 200
_MAX_VALUE: Final = 60
"""Characters of a value in the message of a next step."""
_NAMED: Final = {"sum": "total", "mean": "average", "min": "smallest", "max": "largest"}

Measure = Annotated[str | None, Param("Column to measure; left out, the likely one.", format="column")]
Aggregate = Annotated[str | None, Param("sum, mean, median, min, max or count.", format="aggregate")]
Where = Annotated[str | None, Param("Only these rows: column = value, column > 5, a value alone.", format="selection")]


@tool(retry_safe=True)
async def analyse_table(file_id: TableId, context: ToolContext, measure: Measure = None) -> ToolResult:
    """Analyse an attached table: what stands out, key insights and drivers, the largest groups with their shares, the
    trend, unusual values; a first look at any data, numbers or file."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "overview", (measure,), Overview)
    said, steps = [f"{file.name}: {number_of_rows(found.row_count)}"], []
    if found.mixed is not None:
        said.append(f"{found.measure} has more than one {found.mixed}, so it is not added up")
        by = f"Group total {found.measure} by {found.mixed} in {file.name}"
        steps.append(NextStep(f"{found.measure} by {found.mixed}", by))
    for groups in found.shares:
        if (first := largest(groups.rows)) is not None:
            share = f" ({100 * first[1] / groups.total:.0f} %)" if groups.additive and groups.total else ""
            said.append(f"by {groups.by}, {first[0]} has the largest {_value_name(groups)}, {_figure(first[1])}{share}")
            steps.append(rows_step(file.name, groups.by, first[0]))
            steps.append(NextStep(f"{capital(_value_name(groups))} by {groups.by}", _group_message(file.name, groups)))
    if found.trend is not None:
        said.append(_trend_sentence(found.trend))
        of = f" of {found.trend.measure}" if found.trend.measure else ""
        steps.insert(0, NextStep("The trend", f"Show the trend{of} by month in {file.name}"))
    for each in found.outliers:
        said.append(f"{each.count:,} unusual value{'' if each.count == 1 else 's'} in {each.column}")
        steps.append(NextStep(f"Outliers in {each.column}", f"Find outliers in {each.column} of {file.name}"))
    value = {
        "file": file.name,
        "rows": found.row_count,
        "measure": found.measure,
        "groups": [row for groups in found.shares for row in _group_rows(groups, column=True)],
        "trend": [] if found.trend is None else _trend_rows(found.trend),
        "outliers": [_outlier_row(each) for each in found.outliers],
    }
    return ToolResult(value, f"{'; '.join(said)}.", kind=ANALYSIS, next_steps=steps)


@tool(retry_safe=True)
async def join_tables(
    file_id: Annotated[str, Param("Id of the first attached table.", format="table-id")],
    other_id: Annotated[str, Param("Id of the second attached table.", format="table-id")],
    context: ToolContext,
    on: Annotated[str | None, Param("Column to join on; left out, the first that both have.", format="shared")] = None,
    by: Annotated[str | None, Param("Column to group the joined rows by; left out, rows.", format="grouping")] = None,
    measure: Measure = None,
    aggregate: Aggregate = None,
) -> ToolResult:
    """Join two attached tables: combine, merge or match two files on a common column, with what has no partner; and
    group the joined rows."""
    file, other = await attached(context, file_id), await attached(context, other_id)
    if file.id == other.id:
        raise ToolError("invalid_arguments", "Two tables are needed to join; both are the same file.")
    found = await ask_table(file, context.owner, "joined", (MAX_ROWS,), Joined, other=other, on=on)
    join = found.join
    both = f"{file.name} and {other.name} joined on {join.on}: {number_of_rows(join.rows)}"
    unmatched = number_of_rows(join.unmatched)
    alone = f"{unmatched} of {file.name} and {join.other_unmatched:,} of {other.name} without a partner"
    facts = {
        "on": join.on,
        "rows_joined": join.rows,
        "unmatched": join.unmatched,
        "other_unmatched": join.other_unmatched,
    }
    if by is None:
        columns = [{"name": each.name, "type": each.type} for each in found.answer.columns]
        value = {**facts, "columns": columns, "rows": found.answer.rows, "note": found.answer.truncated}
        return ToolResult(value, f"{both}; {alone}", kind=DRILL_DOWN)
    arguments = (by, measure, aggregate, MAX_GROUPS)
    groups = await ask_table(file, context.owner, "group", arguments, Groups, other=other, on=on)
    value = {**facts, "groups": _group_rows(groups)}
    return ToolResult(value, f"{both}; {alone}. {_group_sentence(groups)}", kind=ANALYSIS)


@tool(retry_safe=True)
async def table_trend(
    file_id: TableId,
    context: ToolContext,
    measure: Measure = None,
    period: Annotated[
        str | None, Param("month, week, day, quarter or year; or a column of dates.", format="period")
    ] = None,
    aggregate: Aggregate = None,
    where: Where = None,
) -> ToolResult:
    """Show the trend in an attached table: how values develop over time, growth or decline, best and worst month, week
    or year."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "trend", (period, measure, aggregate, where), Trend)
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
    steps = [
        NextStep(f"Rows of {period}", f"Show the rows of {file.name} where {found.date} is in {period}")
        for period, _ in (best, worst)
        if found.grain != "week"
    ]
    chart = f"Chart {_value_words(found.aggregate, found.measure)} by {found.grain} from {file.name}"
    only = f"; only rows with {where}" if where else ""
    summary = (
        capital(_trend_sentence(found))
        + f"; highest in {best[0]} with {_figure(best[1])}, lowest in {worst[0]} with {_figure(worst[1])}{only}."
    )
    return ToolResult(value, summary, kind=ANALYSIS, next_steps=[NextStep("As a chart", chart), *steps])


@tool(retry_safe=True)
async def find_outliers(
    file_id: TableId,
    context: ToolContext,
    column: Annotated[str | None, Param("Column of numbers; left out, all that measure.", format="column")] = None,
) -> ToolResult:
    """Find outliers in an attached table: unusual, odd, extreme or suspicious values and anomalies, with their rows."""
    file = await attached(context, file_id)
    found = await ask_table(file, context.owner, "outliers", (column, MAX_OUTLIERS), list[Outliers])
    odd = [each for each in found if each.count]
    usual = "; ".join(f"{each.column} from {each.low:,.6g} to {each.high:,.6g}" for each in found[:3])
    if odd:
        named = ", ".join(f"{each.count:,} in {each.column} (farthest {_figure(each.rows[0][0])})" for each in odd[:3])
        summary = f"Outliers in {file.name}: {named}. Usual: {usual}."
    else:
        summary = f"No outliers in {file.name}. Usual: {usual}."
    value: dict[str, Any] = {"columns_checked": [_outlier_row(each) for each in found]}
    if odd:
        value |= {"columns": list(odd[0].columns), "rows": odd[0].rows}
    more = [
        NextStep(f"Outliers in {each.column}", f"Find outliers in {each.column} of {file.name}") for each in odd[1:]
    ]
    return ToolResult(value, summary, kind=DRILL_DOWN if odd else ANALYSIS, next_steps=more)


def _group_sentence(found: Groups) -> str:
    lead = f"{capital(_value_name(found))} by {found.by}: {found.groups:,} group{'' if found.groups == 1 else 's'}"
    known = [(name, value) for name, value, _ in found.rows if value is not None]
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
        row[_value_name(found)] = value
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


def rows_step(file: str, column: str, value: str) -> NextStep:
    """Return the step to the rows in which a column of a table called `file` has a value."""
    plain = " ".join(value.split())[:_MAX_VALUE]
    return NextStep(f"Rows of {plain or 'it'}", f"Show the rows of {file} where {column} = “{plain}”")


def _group_message(file: str, found: Groups) -> str:
    return f"Group {_value_words(found.aggregate, found.measure)} by {found.by} in {file}"


def _value_name(found: Groups) -> str:
    return _value_words(found.aggregate, found.measure)


def _value_words(aggregate: str, measure: str | None) -> str:
    if measure is None or aggregate == "count":
        return "number of rows"
    return f"{_NAMED.get(aggregate, aggregate)} {measure}"


def _figure(value: float) -> str:
    """Return a number as people read it: two decimals from a hundred on, four digits below."""
    return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 100 else f"{value:,.4g}"


def capital(text: str) -> str:
    """Return a text with a capital first letter; the rest, which may be a name, is unchanged."""
    return text[:1].upper() + text[1:]


def number_of_rows(count: int) -> str:
    """Return a number of rows in words: 1 row, 1,200 rows."""
    return f"{count:,} row{'' if count == 1 else 's'}"
