"""`chart_table`: the chosen chart and its points, as SVG without active content."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from xml.etree import ElementTree

import pytest
import trio
from attrs import evolve

from understudy.tools import ToolContext, ToolError, ToolResult, charts
from understudy.tools.charts import chart_table, render

Attach = Callable[..., ToolContext]

ORDERS = "ordered,region,Total Amount,age\n" + "".join(
    f"2024-{month:02}-{day:02},{'NSEW'[day % 4]},{day * month}.5,{day}\n"
    for month in range(1, 13)
    for day in range(1, 29)
)


async def chart(context: ToolContext, **arguments: object) -> ToolResult:
    """Return the chart of file ``f``."""
    return await chart_table.call({"file_id": "f", **arguments}, context)


async def points(context: ToolContext, **arguments: object) -> list[tuple[object, object]]:
    """Return the points of the chart of file ``f``."""
    result = await chart(context, **arguments)
    return [(each["x"], each["y"]) for each in result.value["points"]]


SMALL = "day,place,n\n2024-01-05,a,1\n2024-01-20,b,2\n2024-03-01,a,4\n2025-03-01,,8\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"x": "month", "y": "n"}, [("2024-01", 3), ("2024-03", 4), ("2025-03", 8)]),
        ({"x": "quarter", "y": "n", "kind": "bar"}, [("2024-Q1", 7), ("2025-Q1", 8)]),
        ({"x": "year", "y": "n", "aggregate": "average"}, [("2024", 2.33333333333), ("2025", 8)]),
        ({"x": "week", "kind": "bar"}, [("2024-W01", 1), ("2024-W03", 1), ("2024-W09", 1), ("2025-W09", 1)]),
        ({"x": "by month of day", "y": "n", "aggregate": "max"}, [("2024-01", 2), ("2024-03", 4), ("2025-03", 8)]),
        ({"x": "place", "y": "n"}, [("(empty)", 8), ("a", 5), ("b", 2)]),
        ({"x": "PLACE"}, [("a", 2), ("(empty)", 1), ("b", 1)]),
        ({"x": "place", "y": "place"}, [("a", 2), ("b", 1), ("(empty)", 0)]),
        ({"x": "n"}, [(1, 1), (2, 1), (4, 1), (8, 1)]),
        ({"x": "n", "y": "n"}, [(1, 1), (2, 2), (4, 4), (8, 8)]),
    ],
)
async def test_points(attach: Attach, arguments: dict[str, object], expected: list[object]) -> None:
    """Values are summed by default, rows counted without a measure, and dates grouped by steps of time."""
    assert await points(attach("a.csv", SMALL), **arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "kind", "title"),
    [
        ({"x": "month", "y": "total amount"}, "line", "Sum of Total Amount by month"),
        ({"x": "ordered", "y": "Total_Amount", "kind": "area"}, "area", "Sum of Total Amount by month"),
        ({"x": "region", "y": "Total Amount"}, "bar", "Sum of Total Amount by region"),
        ({"x": "region", "kind": "pie chart"}, "pie", "Rows by region"),
        ({"x": "Total Amount"}, "bar", "Rows by Total Amount"),
        ({"x": "age", "y": "Total Amount"}, "point", "Total Amount by age"),
    ],
)
async def test_kinds_are_drawn(attach: Attach, arguments: dict[str, object], kind: str, title: str) -> None:
    """Each kind becomes well-formed SVG without a background, and a spec with its data inside."""
    result = await chart(attach("a.csv", ORDERS), **arguments)
    assert result.value["kind"] == kind
    assert result.visualization is not None
    assert result.visualization["title"] == title
    assert len(result.visualization["spec"]["data"]["values"]) == len(result.value["points"]) <= 200
    drawing = ElementTree.fromstring(result.visualization["svg"])
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r'fill="(white|#fff|#000)', result.visualization["svg"])


async def test_periods_as_text_stand_in_their_order(attach: Attach) -> None:
    context = attach("a.csv", "month,n\n2026-03,2\n2026-01,1\n2026-02,3\n")
    assert await points(context, x="month", y="n") == [("2026-01", 1), ("2026-02", 3), ("2026-03", 2)]
    assert await points(context, x="month", y="n", kind="pie") == [("2026-02", 3), ("2026-03", 2), ("2026-01", 1)]


async def test_many_points_are_cut_and_said_to_be(attach: Attach) -> None:
    """Bars, slices and points are bounded, and notes name the omission."""
    context = attach("a.csv", "k,v,w\n" + "".join(f"k{n},{n},{n * 7 % 13}\n" for n in range(1_000)))
    bars = await chart(context, x="k", y="v")
    assert (len(bars.value["points"]), bars.value["points"][0]) == (40, {"x": "k999", "y": 999})
    assert "only the 40 largest of 1,000" in bars.summary
    pie = await chart(context, x="k", y="v", kind="pie")
    assert pie.value["points"][-1]["x"] == "(others)"
    assert sum(each["y"] for each in pie.value["points"]) == sum(range(1_000))
    scatter = await chart(context, x="v", y="w")
    assert len(scatter.value["points"]) == 200
    assert "a sample of 200" in scatter.summary
    assert scatter == await chart(context, x="v", y="w")
    histogram = await chart(context, x="v")
    assert sum(each["y"] for each in histogram.value["points"]) == 1_000
    assert len(histogram.value["points"]) <= 21


EVIL = (
    '"<script>alert(1)</script>",v\n"<img src=x onerror=alert(1)>",3\n'
    '"</text><script>x</script>",4\n"a""b\' onload=""x""",5\n'
)


@pytest.mark.parametrize("kind", ["bar", "pie", "line", "point", "area"])
async def test_markup_in_the_data_stays_text(attach: Attach, kind: str) -> None:
    """Names and values are escaped: the SVG has only shapes and text."""
    result = await chart(attach("e.csv", EVIL), x="<script>alert(1)</script>", y="v", kind=kind)
    assert result.visualization is not None
    svg = result.visualization["svg"]
    assert "<script" not in svg
    drawing = ElementTree.fromstring(svg)
    tags = {each.tag.rpartition("}")[2] for each in drawing.iter()}
    assert tags <= {"svg", "g", "rect", "path", "line", "text", "tspan", "defs", "clipPath", "title"}
    names = {name for each in drawing.iter() for name in each.attrib}
    assert not [name for name in names if name.startswith("on") or name.endswith("href")]
    assert "<script>alert(1)</script>" in " ".join(drawing.itertext())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"x": "nope"}, "query_failed", "no column “nope”. The table has “ordered”"),
        ({"x": "region", "y": "nope"}, "query_failed", "no column “nope”"),
        ({"x": "region", "y": "region", "aggregate": "sum"}, "query_failed", "needs numbers"),
        ({"x": "region", "kind": "sankey"}, "invalid_arguments", "none of bar"),
        ({"x": "region", "y": "age", "aggregate": "mode"}, "invalid_arguments", "none of sum"),
    ],
)
async def test_invalid_arguments_are_refused(
    attach: Attach, arguments: dict[str, object], code: str, message: str
) -> None:
    """The error names the valid columns, aggregates or kinds."""
    with pytest.raises(ToolError) as caught:
        await chart(attach("a.csv", ORDERS), **arguments)
    assert caught.value.code == code
    assert message in caught.value.message


async def test_nothing_to_draw(attach: Attach) -> None:
    """An empty table and a pie of negative amounts have no chart."""
    with pytest.raises(ToolError, match="nothing to draw"):
        await chart(attach("a.csv", "a,b\n"), x="a")
    with pytest.raises(ToolError, match="below zero"):
        await chart(attach("a.csv", "a,b\nx,-1\ny,2\n"), x="a", y="b", kind="pie")


async def test_a_month_without_a_date_is_an_unknown_column(attach: Attach) -> None:
    with pytest.raises(ToolError, match="no column “month”"):
        await chart(attach("a.csv", "a,b\nx,1\n"), x="month")


async def test_the_result_is_small(attach: Attach) -> None:
    """The value has the points, not the drawing."""
    result = await chart(attach("a.csv", ORDERS), x="age", y="Total Amount")
    assert len(json.dumps(result.value)) < 10_000


BARS = {"data": {"values": [{"x": "a", "y": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x"}, "y": {"field": "y"}}}


async def test_the_drawing_process_does_not_have_the_servers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session secrets and providers' keys in the environment are not passed on."""
    interpreter, seen = tmp_path / "interpreter", tmp_path / "environment"
    interpreter.write_text(f'#!/bin/sh\nenv > {seen}\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setenv("UNDERSTUDY_SECRET", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert (await render(BARS, "ada")).startswith("<svg")
    assert "secret" not in seen.read_text()


async def test_drawing_has_a_bound_of_memory(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A process beyond its bound ends, and the call fails as `tool_failed`."""
    monkeypatch.setattr(charts, "DRAWING", evolve(charts.DRAWING, memory=100_000_000))
    with pytest.raises(ToolError, match="could not be drawn") as caught:
        await render(BARS, "ada")
    assert caught.value.code == "tool_failed"
    assert [record.message for record in caplog.records] == ["chart.not_drawn"]


async def test_drawing_has_a_bound_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late process is killed, and its permit is released."""
    monkeypatch.setattr(charts, "DRAWING_S", 0.05)
    for _ in range(2):
        with pytest.raises(ToolError, match="took longer than") as caught:
            await render(BARS, "ada")
        assert caught.value.code == "tool_timeout"


async def test_one_users_charts_leave_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight concurrent charts of one user are drawn two at a time."""
    running, most, drawn = 0, 0, 0

    async def run(*_: Any, **__: Any) -> Any:
        nonlocal running, most, drawn
        running += 1
        most, drawn = max(most, running), drawn + 1
        await trio.sleep(0.02)
        running -= 1
        return CompletedProcess([], 0, b"<svg></svg>", b"")

    monkeypatch.setattr("understudy.tools.charts.spawner.run", run)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(render, BARS, "ada")
    assert (most, drawn) == (2, 8)
