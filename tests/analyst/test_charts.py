"""`chart_table`: the chosen chart and its points, as a specification with its data inside."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from analyst.charts import chart_table
from understudy import ToolContext, ToolResult

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
        ({"x": "region", "kind": "pie"}, "pie", "Rows by region"),
        ({"x": "Total Amount"}, "bar", "Rows by Total Amount"),
        ({"x": "age", "y": "Total Amount"}, "point", "Total Amount by age"),
    ],
)
async def test_each_kind_is_a_specification_with_its_data_inside(
    attach: Attach, arguments: dict[str, object], kind: str, title: str
) -> None:
    result = await chart(attach("a.csv", ORDERS), **arguments)
    assert result.value["kind"] == kind
    assert result.visualization is not None
    assert set(result.visualization) == {"title", "spec"}
    assert result.visualization["title"] == title
    spec = result.visualization["spec"]
    assert len(spec["data"]["values"]) == len(result.value["points"]) <= 200
    assert spec["background"] is None


async def test_moments_are_those_of_one_zone(attach: Attach) -> None:
    """A browser reads a moment without a zone as its own time, and would draw it hours away from its month."""
    result = await chart(attach("a.csv", ORDERS), x="month", y="age")
    assert result.visualization is not None
    assert result.visualization["spec"]["data"]["values"][2]["x"] == "2024-03-01T00:00:00Z"


EVIL = (
    '"<script>alert(1)</script>",v\n"<img src=x onerror=alert(1)>",3\n'
    '"{expr: 1}",4\n"datum.y",5\n"https://example.org/a.png",6\n'
)
ACTIVE = {"url", "href", "expr", "signal", "calculate", "filter", "test", "labelExpr", "params", "image"}


@pytest.mark.parametrize("kind", ["bar", "pie", "line", "point", "area"])
async def test_texts_of_the_table_stay_data_and_titles(attach: Attach, kind: str) -> None:
    """No text of a table becomes a name of the specification, an address or an expression."""
    result = await chart(attach("e.csv", EVIL), x="<script>alert(1)</script>", y="v", kind=kind)
    assert result.visualization is not None
    names: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            names.update(value)
        for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(member)

    look(result.visualization["spec"])
    assert not names & ACTIVE
    assert all(name.isascii() and name.replace("$", "").isalnum() for name in names)


async def test_the_result_is_small(attach: Attach) -> None:
    """The value has the points, with their periods as people write them."""
    result = await chart(attach("a.csv", ORDERS), x="month", y="age")
    assert result.value["points"] == [{"x": f"2024-{month:02}", "y": 406} for month in range(1, 13)]
    assert len(json.dumps(result.value)) < 10_000
