"""Main figures, groups, trends, outliers and joins of attached tables, in the confined process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from analyst.analysis import analyse_table, find_outliers, join_tables, profile_table, table_trend
from analyst.charts import chart_table
from analyst.tables import query_table
from understudy import StoredFile, Tool, ToolContext, ToolError, ToolResult

SALES = "id,date,region,product,revenue\n" + "".join(
    f"{n},2026-{1 + n // 10:02}-{1 + n % 10:02},{('north', 'south', 'east')[n % 3]},{('tea', 'salt')[n % 2]},{value}\n"
    for n, value in enumerate([100 + 2 * each for each in range(59)] + [9_000])
)
REGIONS = "Region,manager\nNorth,Ada\nsouth,Bob\nwest,Cy\n"
Attach = Callable[..., ToolContext]


async def run(attach: Attach, tool: Tool, content: str = SALES, **arguments: Any) -> ToolResult:
    return await tool.call({"file_id": "f", **arguments}, attach("sales.csv", content))


async def test_an_overview_names_the_largest_groups_the_trend_and_odd_values(attach: Attach) -> None:
    result = await run(attach, analyse_table)
    assert result.kind == "analysis"
    assert result.value["measure"] == "revenue"
    assert "sales.csv: 60 rows" in result.summary
    assert "by region, east has the largest total revenue" in result.summary
    assert "1 unusual value in revenue" in result.summary
    assert {row["column"] for row in result.value["groups"]} == {"region", "product"}
    steps = {step.label: (step.tool, step.arguments) for step in result.next_steps}
    rows = {"file_id": "f", "sql": "SELECT * FROM data WHERE \"region\" = 'east'"}
    assert steps["Rows of east"] == ("query_table", rows)
    assert steps["Outliers in revenue"] == ("find_outliers", {"file_id": "f", "column": "revenue"})


async def test_each_next_step_can_be_called(attach: Attach) -> None:
    """Also of columns and values whose names are no SQL, and of the group without a value."""
    days = [(month, day) for month in (1, 2, 3) for day in (1, 2)]
    content = 'the day,"a ""kind""",place,n\n' + "".join(f"2026-{m:02}-0{d},x{d},p{d},{m}\n" for m, d in days)
    context = attach("sales.csv", content + "2026-03-09,it's,,900\n2026-03-09,it's,,1\n")
    tools = {tool.name: tool for tool in (analyse_table, chart_table, find_outliers, query_table, table_trend)}
    left, finished = [("analyse_table", {"file_id": "f"})], []
    while left:
        name, arguments = left.pop()
        result = await tools[name].call(arguments, context)
        finished.append(result.summary)
        left += [(step.tool, dict(step.arguments)) for step in result.next_steps]
    assert finished.count("2 rows of 4 columns") == 2  # of it's, and without a place
    assert len(finished) >= 8


async def test_a_trend_has_its_slope_and_best_period(attach: Attach) -> None:
    result = await run(attach, table_trend, period="month", measure="revenue")
    assert result.value["best"]["period"] == "2026-06"
    assert [row["month"] for row in result.value["periods"]] == [f"2026-0{month}" for month in range(1, 7)]
    assert result.value["periods"][1]["change_percent"] == pytest.approx(100 * 200 / 1090, abs=0.1)
    assert result.summary.startswith("Total revenue went from 1,090 in 2026-01 to 10,872")
    chosen = await run(attach, table_trend)
    assert chosen.value["period"] == "day"
    (step,) = result.next_steps
    drawn = {"file_id": "f", "x": "month of date", "y": "revenue", "aggregate": "sum"}
    assert (step.tool, step.arguments) == ("chart_table", drawn)


GIFTS = "day,donor,amount,currency\n" + "".join(
    f"2026-0{month}-0{day},{'AB'[day % 2]},{day * month},{'EUR' if day % 2 else 'USD'}\n"
    for month in (1, 2, 3)
    for day in range(1, 7)
)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (table_trend, {"measure": "amount"}),
        (chart_table, {"x": "donor", "y": "amount"}),
        (chart_table, {"x": "month", "y": "amount", "aggregate": "max"}),
    ],
)
async def test_amounts_of_several_currencies_are_not_put_together(
    attach: Attach, tool: Tool, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ToolError, match="“amount” has more than one currency; group it by currency, or choose one"):
        await tool.call({"file_id": "f", **arguments}, attach("gifts.csv", GIFTS))


async def test_amounts_of_one_currency_are_added_up(attach: Attach) -> None:
    context = attach("gifts.csv", GIFTS)
    chart = await chart_table.call({"file_id": "f", "x": "currency", "y": "amount"}, context)
    assert [(point["x"], point["y"]) for point in chart.value["points"]] == [("USD", 72), ("EUR", 54)]
    counted = await chart_table.call({"file_id": "f", "x": "donor", "y": "amount", "aggregate": "count"}, context)
    assert [point["y"] for point in counted.value["points"]] == [9, 9]
    overview = await analyse_table.call({"file_id": "f"}, context)
    assert "amount has more than one currency, so it is not added up" in overview.summary
    assert {row["number of rows"] for row in overview.value["groups"]} == {9}
    drawn = {"file_id": "f", "x": "currency", "y": "amount", "aggregate": "sum"}
    assert (overview.next_steps[1].tool, overview.next_steps[1].arguments) == ("chart_table", drawn)


async def test_a_period_that_has_only_begun_is_no_decline(attach: Attach) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (1, 2, 3, 4) for day in (1, 15, 28)] + ["2026-05-02"]
    result = await run(attach, table_trend, "date,revenue\n" + "".join(f"{day},10\n" for day in days), period="month")
    assert result.summary.startswith("Total revenue went from 30 in 2026-01 to 30 in 2026-04 (+0 %)")
    assert "the last month is not over (data until 2026-05-02)" in result.summary


async def test_outliers_come_with_their_rows(attach: Attach) -> None:
    result = await run(attach, find_outliers)
    assert result.value["columns"][0] == "revenue"
    assert [row[0] for row in result.value["rows"]] == [9_000]
    assert result.kind == "drill_down"
    none = await run(attach, find_outliers, "a,b\n" + "1,2\n" * 20)
    assert none.summary.startswith("No outliers")


async def test_two_tables_are_joined_whatever_the_case(attach: Attach, tmp_path: Path) -> None:
    context = attach("sales.csv", SALES)
    path = tmp_path / "regions"
    path.write_text(REGIONS)
    both = {**context.files.files, "g": StoredFile("g", "regions.csv", "text/csv", 10, path)}  # type: ignore[attr-defined]
    context = evolve(context, files=type(context.files)(both, tmp_path))  # type: ignore[call-arg]
    rows = await join_tables.call({"file_id": "f", "other_id": "g"}, context)
    assert (rows.value["rows_joined"], rows.value["unmatched"], rows.value["other_unmatched"]) == (40, 20, 1)
    assert [column["name"] for column in rows.value["columns"]][-1] == "manager"
    grouped = await join_tables.call({"file_id": "f", "other_id": "g", "by": "manager", "measure": "revenue"}, context)
    assert {row["manager"] for row in grouped.value["groups"]} == {"Ada", "Bob"}
    with pytest.raises(ToolError, match="No column to join on"):
        await join_tables.call({"file_id": "f", "other_id": "g", "on": "product"}, context)
    with pytest.raises(ToolError, match="same file"):
        await join_tables.call({"file_id": "f", "other_id": "f"}, context)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (find_outliers, {"column": "region"}, "has no numbers"),
        (table_trend, {"period": "region"}, "has no dates"),
    ],
)
async def test_a_wrong_column_is_named(attach: Attach, tool: Tool, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        await run(attach, tool, **arguments)


async def test_names_and_values_of_columns_are_no_sql(attach: Attach) -> None:
    """A header and a value with quotes and braces are only names and values."""
    content = '"a""; DROP TABLE data; --",{0} {chosen}\nx\' OR 1=1,1\ny,2\nx\' OR 1=1,3\n'
    result = await run(attach, analyse_table, content)
    assert [row["rows"] for row in result.value["groups"]] == [2, 1]


async def test_an_answer_says_how_a_column_was_read_where_that_was_open(attach: Attach) -> None:
    content = "name;price;cost\na;1.234;12,50\nb;2.500;1,25\n"
    note = "“price” is read with a decimal comma, as other numbers: 1.234 is 1234."
    rows = await run(attach, query_table, content, sql="SELECT sum(price) FROM data")
    assert (rows.value["rows"], rows.value["notes"]) == ([[3734]], [note])
    assert note in (await run(attach, profile_table, content)).value["notes"]
    assert note in (await run(attach, chart_table, content, x="name", y="price")).summary


async def test_a_profile_has_a_chart_by_month_where_there_are_dates(attach: Attach) -> None:
    """Of the likely measure. A table without dates, or whose amounts do not add up, has none."""
    profile = await run(attach, profile_table)
    assert profile.visualization is not None
    assert profile.visualization["title"] == "Sum of revenue by month"
    assert len(profile.visualization["spec"]["data"]["values"]) == 6
    assert (await run(attach, profile_table, "a,b\n1,2\n3,4\n")).visualization is None
    gifts = await profile_table.call({"file_id": "f"}, attach("gifts.csv", GIFTS))
    assert gifts.visualization is None
