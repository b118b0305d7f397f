"""`chart_table`: a chart of an attached table, as a Vega-Lite spec and as SVG."""

import logging
import re
from typing import Annotated, Any, Final

import msgspec
import trio

from understudy.sandbox import spawner
from understudy.sandbox.spawner import MIB, Program
from understudy.tools.chart_data import ChartPlan, Points
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tables import TableId, ask_table, attached, table_permit
from understudy.tools.tool import ToolContext, tool

log: Final = logging.getLogger(__name__)

DRAWING: Final = Program(
    "understudy.tools.render_svg",
    # V8 reserves 512 MiB for code, of which it uses little. 200 MiB as measured for 5,000 points.
    memory=1024 * MIB,
    address_space=None,  # V8 reserves far more than it asks for
    read=("/usr/share/fonts", "/usr/local/share/fonts", "/etc/fonts"),
)
DRAWING_S: Final = 15.0
DRAWING_CPU_S: Final = 20

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"

# Readable on white and on near-black (contrast 4.0 and 4.6 to 1, WCAG 2.2 section 1.4.11 asks for 3).
_INK: Final = "#7d8590"
_LINE: Final = "#7d859055"
_PALETTE: Final = (
    "#3b82c4 #d9822b #3a9d6e #c4506f #8a6fc9 #a8862b #2f9aa0 #b5651d #6b8e23 #9a5ba5 #5b7fa5 #c06a5a #7d8590".split()  # noqa: SIM905 (words read better as words)
)


@tool(retry_safe=True)
async def chart_table(
    file_id: TableId,
    x: Annotated[str, Param("Column for the x axis; or month, quarter, year, week, day of a date.", format="column")],
    context: ToolContext,
    y: Annotated[str | None, Param("Column to measure; left out, rows are counted.", format="column")] = None,
    aggregate: Annotated[str | None, Param("sum, mean, median, min, max or count.", format="aggregate")] = None,
    kind: Annotated[str | None, Param("bar, line, area, point or pie; left out, what suits the data.")] = None,
) -> ToolResult:
    """Draw a chart of an attached table: bars by category, a line over time, a pie, a histogram or points."""
    file = await attached(context, file_id)
    points = await ask_table(file, context.owner, "chart", (x, y, aggregate, kind), Points)
    return await chart_result(points, context.owner)


async def chart_result(points: Points, owner: str, read_as: str = "") -> ToolResult:
    """Draw a chart, for `owner`; `read_as` says what was asked for. Raises `ToolError` as `render` does."""
    spec = build_spec(points)
    svg = await render(spec, owner)
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
    said = _sentence(title, points)
    if read_as:
        value["question"] = read_as
    return ToolResult(value, said, {"title": title, "spec": spec, "svg": svg})


def _label(plan: ChartPlan, at: Any) -> Any:
    """Return a moment as its step of time is written: 2024-03 for a month."""
    length = {"year": 4, "month": 7, "hour": 16}.get(plan.grain or "", 10)
    return at[:length].replace("T", " ") if plan.grain and isinstance(at, str) and "T" in at else at


def _sentence(title: str, points: Points) -> str:
    said = f"{title}: {len(points.rows):,} point{'' if len(points.rows) == 1 else 's'}"
    if len(points.rows) > 1:
        low, high = (edge(points.rows, key=lambda row: row[1]) for edge in (min, max))
        said += (
            f", from {low[1]:,.10g} ({_label(points.plan, low[0])}) to {high[1]:,.10g} ({_label(points.plan, high[0])})"
        )
    return "; ".join([said, *points.notes])


def title_of(plan: ChartPlan) -> str:
    """Return the title in at most 100 characters: ``Sum of sales by month``. Clients show it above the chart."""
    title = f"{plan.y_title[:1].upper()}{plan.y_title[1:]} by {plan.grain or plan.x_title}"
    return title if len(title) <= 100 else title[:99] + "…"


def build_spec(points: Points) -> dict[str, Any]:
    """Return a Vega-Lite specification with its data inside, for light and dark pages, without a title."""
    plan = points.plan
    values = [{"x": at, "y": value} for at, value in points.rows]
    if plan.bin_width is not None:
        values = [{**each, "x2": float(f"{each['x'] + plan.bin_width:.12g}")} for each in values]
    return {
        "$schema": SCHEMA,
        "width": 560,
        "height": 300,
        "background": None,
        "data": {"values": values},
        "mark": {**_MARKS[plan.kind], "tooltip": True},
        "encoding": _encoding(points),
        "config": _CONFIG,
    }


def _encoding(points: Points) -> dict[str, Any]:
    plan = points.plan
    amount = {"field": "y", "type": "quantitative", "title": plan.y_title}
    if plan.kind == "pie":
        order = [str(at) for at, _ in points.rows]
        legend = {"field": "x", "type": "nominal", "title": plan.x_title, "sort": order, "scale": {"range": _PALETTE}}
        return {"theta": {**amount, "stack": True}, "color": legend, "order": {"field": "y", "sort": "descending"}}
    along: dict[str, Any] = {"field": "x", "title": plan.x_title}
    if plan.bin_width is not None:
        along |= {"type": "quantitative", "bin": {"binned": True, "step": plan.bin_width}}
        return {"x": along, "x2": {"field": "x2"}, "y": amount}
    if plan.grain is not None and plan.kind != "bar":
        along |= {"type": "temporal", "scale": {"type": "utc"}, "axis": {"labelOverlap": True}}
    elif plan.aggregate is None or (plan.x.kind == "number" and plan.kind != "bar"):
        along |= {"type": "quantitative", "scale": {"zero": False}}
    else:
        along |= {"type": "ordinal" if plan.grain or plan.x.kind == "number" else "nominal", "sort": None}
    return {"x": along, "y": amount}


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

# Elements and attributes of SVG that do more than draw; a chart needs none of them.
_ACTIVE: Final = re.compile(r"<\s*(script|foreignObject|image|a|iframe|use|animate|set)\b|\son\w+\s*=\s*[\"']", re.I)


async def render(spec: dict[str, Any], owner: str) -> str:
    """Return the SVG of a specification: shapes and escaped text only.

    `understudy.tools.render_svg` draws it in a process, which takes a third of a second, when it is `owner`'s turn.
    Raises `ToolError`: ``busy`` if too many calls of `owner` wait, ``tool_timeout`` after `DRAWING_S` seconds,
    ``tool_failed`` if it cannot be drawn.
    """
    async with table_permit(owner), spawner.process_limiter().permit(DRAWING.memory):
        with trio.move_on_after(DRAWING_S) as waited:
            ended = await spawner.run(DRAWING, msgspec.json.encode(spec), cpu_s=DRAWING_CPU_S)
    if waited.cancelled_caught:
        raise ToolError("tool_timeout", f"Drawing the chart took longer than {DRAWING_S:g} seconds and was stopped.")
    if ended.returncode != 0:
        log.warning("chart.not_drawn", extra={"reason": ended.stderr.decode(errors="replace")[-500:]})
        raise ToolError("tool_failed", "The chart could not be drawn.")
    svg = ended.stdout.decode()
    if _ACTIVE.search(re.sub(r">[^<]*+(?:<|\Z)|\"[^\"]*\"", "><", svg)):
        raise ToolError("tool_failed", "The chart could not be drawn safely.")
    return svg
