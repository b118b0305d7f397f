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


async def test_the_result_is_small(attach: Attach) -> None:
    """The value has the points, not the drawing, with their periods as people write them."""
    result = await chart(attach("a.csv", ORDERS), x="month", y="age")
    assert result.value["points"] == [{"x": f"2024-{month:02}", "y": 406} for month in range(1, 13)]
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
