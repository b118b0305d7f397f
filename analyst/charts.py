"""`chart_table`: makes a chart of an attached table, as a Vega-Lite specification that clients draw."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from analyst.chart_data import ChartPlan, Points
from analyst.tables import Aggregate, TableId, ask_table, attached
from understudy import Param, ToolContext, ToolResult, tool

Kind: TypeAlias = Literal["bar", "line", "area", "point", "pie"]
SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"

# Readable on white and on near-black: contrast 4.0 and 4.6 to 1, where WCAG 2.2 section 1.4.11 demands 3.
_INK: Final = "#7d8590"
_LINE: Final = "#7d859055"
_PALETTE: Final = (
    "#3b82c4 #d9822b #3a9d6e #c4506f #8a6fc9 #a8862b #2f9aa0 #b5651d #6b8e23 #9a5ba5 #5b7fa5 #c06a5a #7d8590".split()  # noqa: SIM905 (words read better as words)
)


@tool(retry_safe=True, on_server_loop=True)
async def chart_table(
    file_id: TableId,
    x: Annotated[str, Param("Column for the x axis; or month, quarter, year, week, day of a date.")],
    context: ToolContext,
    y: Annotated[str | None, Param("Column to measure; left out, rows are counted.")] = None,
    aggregate: Aggregate = None,
    kind: Annotated[Kind | None, Param("Left out, what suits the data.")] = None,
) -> ToolResult:
    """Draw a chart of an attached table: bars by category, a line over time, a pie, a histogram or points."""
    file = await attached(context, file_id)
    points = await ask_table(file, context.owner, "chart", (x, y, aggregate, kind), Points)
    title = title_of(points.plan)
    value = {
        "title": title,
        "kind": points.plan.kind,
        "x": points.plan.x_title,
        "y": points.plan.y_title,
        "aggregate": points.plan.aggregate,
        "points": [{"x": _label(points.plan, at), "y": value} for at, value in points.rows],
        "notes": list(points.notes),
    }
    return ToolResult(value, _sentence(title, points), chart_of(points))


def chart_of(points: Points) -> dict[str, Any]:
    """Return the chart of these points, for `ToolResult.visualization`."""
    return {"title": title_of(points.plan), "spec": build_spec(points)}


def _label(plan: ChartPlan, at: Any) -> Any:
    """Return a value of the x axis; a time is cut to its step, such as 2024-03 for a month."""
    length = {"year": 4, "month": 7, "hour": 16}.get(plan.grain or "", 10)
    return at[:length].replace("T", " ") if plan.grain and isinstance(at, str) and "T" in at else at


def _sentence(title: str, points: Points) -> str:
    text = f"{title}: {len(points.rows):,} point{'' if len(points.rows) == 1 else 's'}"
    if len(points.rows) > 1:
        low, high = (edge(points.rows, key=lambda row: row[1]) for edge in (min, max))
        text += (
            f", from {low[1]:,.10g} ({_label(points.plan, low[0])}) to {high[1]:,.10g} ({_label(points.plan, high[0])})"
        )
    return "; ".join([text, *points.notes])


def title_of(plan: ChartPlan) -> str:
    """Return the title in at most 100 characters: ``Sum of sales by month``. Clients show it above the chart."""
    title = f"{plan.y_title[:1].upper()}{plan.y_title[1:]} by {plan.grain or plan.x_title}"
    return title if len(title) <= 100 else title[:99] + "…"


def build_spec(points: Points) -> dict[str, Any]:
    """Return a Vega-Lite specification with its data inside, for light and dark pages, without a title."""
    plan = points.plan
    values = [{"x": at, "y": value} for at, value in points.rows]
    if plan.bin_width is not None:
        values = [{**value, "x2": float(f"{value['x'] + plan.bin_width:.12g}")} for value in values]
    return {
        "$schema": SCHEMA,
        "width": 560,
        "height": {"step": 22} if _is_horizontal(points) else 300,
        "background": None,
        "data": {"values": values},
        "mark": {**_MARKS[plan.kind], "tooltip": True},
        "encoding": _encoding(points),
        "config": _CONFIG,
    }


def _encoding(points: Points) -> dict[str, Any]:
    plan = points.plan
    amount = {"field": "y", "type": "quantitative", "title": plan.y_title}
    category = {"field": "x", "type": "nominal", "title": plan.x_title}
    if plan.kind == "pie":
        legend = {**category, "sort": [str(at) for at, _ in points.rows], "scale": {"range": _PALETTE}}
        order = {"field": "y", "sort": "descending"}
        return {"theta": {**amount, "stack": True}, "color": legend, "order": order, "tooltip": [category, amount]}
    if _is_horizontal(points):
        return {"y": {**category, "sort": None}, "x": amount, "tooltip": [category, amount]}
    x: dict[str, Any] = {"field": "x", "title": plan.x_title}
    if plan.bin_width is not None:
        x |= {"type": "quantitative", "bin": {"binned": True, "step": plan.bin_width}}
        return {"x": x, "x2": {"field": "x2"}, "y": amount}
    if plan.grain is not None and plan.kind != "bar":
        x |= {"type": "temporal", "timeUnit": _TIME_UNITS[plan.grain], "axis": {"labelOverlap": "greedy"}}
        if plan.grain in _TICKS:
            x["axis"] |= {"format": _TICKS[plan.grain]}
    elif plan.aggregate is None or (plan.x.kind == "number" and plan.kind != "bar"):
        x |= {"type": "quantitative", "scale": {"zero": False}}
    else:
        x |= {"type": "ordinal" if plan.grain or plan.x.kind == "number" else "nominal", "sort": None}
        x["axis"] = {"labelOverlap": "greedy"} if plan.grain else {"labelAngle": 0, "labelOverlap": "greedy"}
    return {"x": x, "y": amount}


def _is_horizontal(points: Points) -> bool:
    """Return whether the bars are horizontal, because their names are too long to stand side by side on a phone."""
    if points.plan.kind != "bar" or points.plan.grain or points.plan.x.kind == "number":
        return False
    return len(points.rows) * (max(len(str(at)) for at, _ in points.rows) + 2) > _NAMES


_NAMES: Final = 36
"""Characters of names that fit side by side, including two between names."""
_TIME_UNITS: Final = {
    "hour": "utcyearmonthdatehours", "day": "utcyearmonthdate", "week": "utcyearmonthdate", "month": "utcyearmonth",
    "quarter": "utcyearquarter", "year": "utcyear",
}  # fmt: skip
_TICKS: Final = {"hour": "%a %H:%M", "day": "%b %d", "week": "%b %d"}
"""Formats of times on the axis, in d3's notation; steps without one have the format of their time unit."""


_MARKS: Final[dict[str, dict[str, Any]]] = {
    "pie": {"type": "arc", "innerRadius": 50},
    "line": {"type": "line", "point": True},
    "area": {"type": "area", "opacity": 0.6, "line": True},
    "point": {"type": "point", "filled": True, "opacity": 0.7},
    "bar": {"type": "bar"},
}
_CONFIG: Final[dict[str, Any]] = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {"labelColor": _INK, "titleColor": _INK, "gridColor": _LINE, "domainColor": _LINE, "tickColor": _LINE}
    | {"labelLimit": 160, "titleLimit": 400, "titleFontWeight": "normal", "titlePadding": 10, "tickCount": 6},
    "axisX": {"grid": False},
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelLimit": 200},
    "mark": {"color": _PALETTE[0]},
    "range": {"category": _PALETTE},
}
