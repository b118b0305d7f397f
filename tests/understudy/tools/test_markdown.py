"""Numbers, tables, trees and quotations as markdown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools import markdown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(5.0, "5"), (5, "5"), (0.0, "0"), (2026, "2026"), (1234567, "1,234,567"), (1234.5678, "1,234.57")],
        *[(0.1 + 0.2, "0.3"), (2.1667, "2.1667"), (-0.5, "-0.5"), (1e20, "1e+20"), (0.00001234, "1.234e-05")],
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert markdown.number(value) == text


def test_a_table_is_bounded_and_counts_the_rest() -> None:
    text = markdown.table([f"c{n}" for n in range(34)], [[n] * 34 for n in range(20)])
    lines = text.splitlines()
    assert lines[0].count("|") == 33
    assert len([line for line in lines if line.startswith("|")]) == 14
    assert lines[-1] == "*… and 8 more rows and 2 more fields.*"


def test_a_cell_cannot_break_its_table() -> None:
    text = markdown.table(["a|b"], [["x\n| y <b> `c` [d](e) *f*"]])
    assert text.splitlines()[2] == "| x \\| y \\<b> \\`c\\` \\[d](e) \\*f\\* |"


def test_a_quotation_is_bounded_and_says_so() -> None:
    text = markdown.quotation("word " * 2000)
    assert text.startswith("> word")
    assert text.endswith("*… shortened here: 4,000 more characters.*")


def test_markup_is_quoted_as_code() -> None:
    assert markdown.quotation("<b>") == "```text\n<b>\n```"
    assert markdown.quotation("a ``` b") == "````text\na ``` b\n````"


@pytest.mark.parametrize(
    ("value", "summary", "blocks"),
    [
        ({"columns": [{"name": "n"}], "rows": [[1], [2]]}, "", ["| n |\n| ---: |\n| 1 |\n| 2 |"]),
        ({"columns": ["n"], "rows": [[1]]}, "n: 1.", []),
        ([{"a": 1}, {"a": None}], "", ["| A |\n| ---: |\n| 1 |\n| \u2013 |"]),
        ([], "", ["*(nothing)*"]),
        (["x", 5.0], "", ["- x\n- 5"]),
        ({"status": "shipped", "total": 5.0}, "", ["- **Status**: shipped\n- **Total**: 5"]),
        ({"result": "5"}, "2 + 3 = 5", []),
        ({"text": "Clean."}, "Nothing found.", ["> Clean."]),
        ("plain", "", ["> plain"]),
        (7, "", ["**7**"]),
        (None, "", []),
        (
            {"path": "/", "type": "Root", "children": [{"path": "/a", "state": "running", "restarts": 2}]},
            "",
            ["- `/`: Root\n  - `/a`: running, 2 restarts"],
        ),
    ],
)
def test_values_become_blocks(value: Any, summary: str, blocks: list[str]) -> None:
    assert markdown.value(value, summary) == blocks


def test_a_large_tree_is_cut() -> None:
    tree = {"path": "/", "children": [{"path": f"/{n}", "children": []} for n in range(100)]}
    assert markdown.value(tree)[0].endswith("*… and 41 more.*")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["columns", "rows", "children", "text", "name", "a"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON, st.sampled_from(["", "A summary."]))
def test_any_value_can_be_rendered(value: Any, summary: str) -> None:
    assert all(isinstance(piece, str) for piece in markdown.value(value, summary))
