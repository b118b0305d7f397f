"""Each scan of a text by examples, and the time bound of all."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cpu import cpu_seconds
from understudy.models.offline import arithmetic, scan
from understudy.models.offline.filling import _shaped
from understudy.models.offline.roles import Roles, find_roles

SCANS: list[Callable[[str], Any]] = [
    scan.words,
    scan.quoted,
    scan.numbers,
    scan.percentages,
    scan.names,
    scan.pairs,
    scan.DATE.findall,
    scan.sql,
    scan.json_object,
    arithmetic.expressions,
    scan.cash_flows,
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("charts", "charting"),
        ("profile", "profiled"),
        ("summarise", "summarizing"),
        ("tables", "table"),
        ("query", "queries"),
    ],
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert scan.stem(one) == scan.stem(other)


@pytest.mark.parametrize(("one", "other"), [("sales", "sum"), ("date", "data"), ("north", "norm")])
def test_different_words_have_different_stems(one: str, other: str) -> None:
    assert scan.stem(one) != scan.stem(other)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('say "a b" and “c”', ["a b", "c"]),
        ("`code` then 'no'", ["code"]),
        ('5" wide, “named”', ["named"]),
        ('""', []),
        ("", []),
    ],
)
def test_quotations(text: str, found: list[str]) -> None:
    """Quotations are returned without their marks; a mark without its closing one is ignored."""
    assert scan.quoted(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("-1,000, 2.5 and 7", [-1000, 2.5, 7]),
        ("on 2026-11-20 there were 3", [3]),
        ("A-17 and v2", []),
        ("1,5", [1, 5]),
        ("12345678901234567890", [12345678901234567890.0]),
    ],
)
def test_numbers(text: str, found: list[float]) -> None:
    """Numbers are found, but not dates or digits of names."""
    assert scan.numbers(text) == found


def test_percentages() -> None:
    assert scan.percentages("at 8% or 7.5 percent, not 3") == [8.0, 7.5]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("where is A-17?", ["A-17"]),
        ("ticket #4512, please", ["#4512"]),
        ("INV2024 of 2026-11-20", ["INV2024"]),
        ("order 17 at 8%", []),
    ],
)
def test_names(text: str, found: list[str]) -> None:
    assert scan.names(text) == found


def test_pairs() -> None:
    """`name=value` and `name: value`, the first of each name, quoted or not."""
    assert scan.pairs('city="New York", days: 5, Days=6') == {"city": "New York", "days": "5"}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("run ```sql\nSELECT a FROM data;\n``` now", "SELECT a FROM data"),
        ("please select a from data where b > 1", "select a from data where b > 1"),
        ("WITH t AS (SELECT 1 FROM data) SELECT * FROM t", "WITH t AS (SELECT 1 FROM data) SELECT * FROM t"),
        ("now DELETE FROM data where 1=1;", "DELETE FROM data where 1=1"),
        ("```sql\ndrop table data\n```", "drop table data"),
        ("select a good book", None),
        ("delete the duplicates", None),
        ("update me on the set of rows", None),
        ("with best wishes", None),
        ("```python\nprint()\n```", None),
    ],
)
def test_sql(text: str, query: str | None) -> None:
    """Code blocks and bare queries are found, but no English sentence with the same first word."""
    assert scan.sql(text) == query


def test_a_json_object_is_found() -> None:
    """A JSON object is found anywhere in the text; an invalid or too deep one gives an empty result."""
    assert scan.json_object('use {"order_id": "A-17"} please') == {"order_id": "A-17"}
    assert scan.json_object("{not json}") == {}
    assert scan.json_object('{"a":' + "[" * 100_000 + "]" * 100_000 + "}") == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2+3", ["2 + 3"]),
        ("What is (2 + 3) * 4?", ["(2 + 3) * 4"]),
        ("15% of 80", ["15% of 80"]),
        ("compute 2+3 and 4*5", ["2 + 3", "4 * 5"]),
        ("-2 + 3", ["-2 + 3"]),
        ("3 \u00d7 4 \u00f7 2", ["3 * 4 / 2"]),
        ("2**10", ["2**10"]),
        ("2 plus 3 times 4", ["2 + 3 * 4"]),
        ("10 divided by 4", ["10 / 4"]),
        ("the square root of 16", ["sqrt(16)"]),
        ("square root of nine", ["sqrt(9)"]),
        ("two plus two", ["2 + 2"]),
        ("add 5 and 7", ["5 + 7"]),
        ("subtract 5 from 12", ["12 - 5"]),
        ("divide 100 by 7", ["100 / 7"]),
        ("What's 3/4 of 120?", ["3 / 4 * 120"]),
        ("a 20% tip on 45.80", ["20% of 45.80"]),
        ("percentage increase from 80 to 100", ["100 * (100 - 80) / 80"]),
        ("the difference between 75 and 100", ["abs(75 - 100)"]),
        ("the cube of 3", ["3**3"]),
        ("add 3 days", []),
        ("two of them", []),
        ("round(2/3, 2)", ["round(2 / 3, 2)"]),
        ("1,000 * 2", ["1,000 * 2"]),
        ("(((2 + 3", ["2 + 3"]),
        ("2 + 3)", ["2 + 3"]),
        ("A-17", []),
        ("on 2026-11-20", []),
        ("version 3", []),
        ("a - b", []),
        ("and/or", []),
        ("", []),
    ],
)
def test_expressions(text: str, found: list[str]) -> None:
    """Arithmetic in signs and words is found, but not names, dates and single numbers."""
    assert arithmetic.expressions(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT " + "+".join("1" * 9_000), []),
        ("what is " + " + ".join("1" * 2_000), []),
        ("what is " + " plus ".join("1" * 2_000), []),
        ("what is " + "+".join(["sqrt(4)"] * 500), []),
        ("what is 2+2? " + "1+" * 2_000 + "1", ["2 + 2"]),
        ("what is 5*5? " + "blah " * 400, ["5 * 5"]),
        ("blah " * 400 + " so what is 3 * 4", ["3 * 4"]),
    ],
)
def test_arithmetic_that_was_cut_is_left_out(text: str, found: list[str]) -> None:
    """A sum that was cut gives no expression, because its value would be wrong."""
    assert arithmetic.expressions(scan.window(text)) == found


def test_cash_flows() -> None:
    """Named lists of at least two numbers are found, without the rate."""
    text = "Compare scenarios at 8%: Build: -1000, 400, 500; Buy it: -700, 300"
    assert scan.cash_flows(text) == [("Build", [-1000, 400, 500]), ("Buy it", [-700, 300])]
    assert scan.cash_flows("of -1000, 500, 700 at 10%") == [("Scenario 1", [-1000, 500, 700])]
    assert scan.cash_flows("Compare scenarios: -1, 2; B: -3, 4") == [("Scenario 1", [-1, 2]), ("B", [-3, 4])]
    assert scan.cash_flows("just 5") == []


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "object"}, {"A": [1, 2]}),
        ({"type": "array", "items": {"type": "array"}}, [[1, 2]]),
        ({"type": "array", "items": {"type": "number"}}, [1, 2]),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "flows": {"type": "array"}}},
            },
            [{"name": "A", "flows": [1, 2]}],
        ),
    ],
)
def test_cash_flows_take_the_schema_s_shape(schema: dict[str, Any], shape: Any) -> None:
    assert _shaped([("A", [1, 2])], schema) == shape


COLUMNS = ("order date", "region", "sales", "unit_price")


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("sales by region", Roles(("sales",), ("region",))),
        ("Sales per regions and unit price", Roles(("sales",), ("region", "unit_price"))),
        ("sales by month", Roles(("sales",), ("order date",), "month")),
        ("monthly sales", Roles(("sales",), ("order date",), "month")),
        ("sales in the month", Roles(("sales",), ())),
        ("something else", Roles()),
    ],
)
def test_roles_of_columns(text: str, roles: Roles) -> None:
    """Measures precede "by", groups follow it; a month needs a column of dates."""
    assert find_roles(text, COLUMNS) == roles


def test_a_mark_without_an_end_is_searched_once() -> None:
    text = "“" * 400_000
    assert scan.quoted(text) == []
    assert cpu_seconds(lambda: scan.quoted(text), 1.0) < 1.0


@given(st.text(max_size=300))
def test_no_text_breaks_a_scan(text: str) -> None:
    """No scan raises an error, for any text."""
    for each in SCANS:
        each(text)


@pytest.mark.parametrize("each", SCANS)
@pytest.mark.parametrize(
    "unit", ["a", '"', "“", "1+", "(", "1,", "A-1 ", "x=", "x=y: ", "{", "5% ", "select ", "```", "-", " ", "1.", "9"]
)
def test_a_scan_of_a_full_window_takes_milliseconds(each: Callable[[str], Any], unit: str) -> None:
    """Scans are linear also for adversarial texts."""
    text = (unit * 60_000)[:60_000]
    assert cpu_seconds(lambda: each(text), 1.0) < 1.0


def test_a_plan_in_words_is_a_list_of_flows() -> None:
    text = "Option A costs 1000 and returns 600 a year for two years, option B costs 1.5k and saves 500 for 4 years"
    assert scan.cash_flows(text) == [("Option A", [-1000, 600, 600]), ("Option B", [-1500, 500, 500, 500, 500])]
    assert scan.plans("We pay 5 for lunch and 6 for dinner") == []
