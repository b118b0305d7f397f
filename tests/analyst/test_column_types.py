"""Columns of a CSV are what their values are: against tables whose figures Python's own integers and decimals have."""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from analyst.column_types import lines_above
from analyst.duckdb_session import Table, open_table
from analyst.profiling import profile
from analyst.queries import query
from analyst.refusal import Refusal

TABLES = 200
SAMPLE = 20


def table_of(folder: Path, content: str, name: str = "t.csv") -> Table:
    path = folder / "given"
    path.write_text(content)
    return open_table(name, path, folder)


def types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["01234", "94107"], "VARCHAR"),
        (["+4930123456", "030123"], "VARCHAR"),
        (["+44", "+1"], "VARCHAR"),
        (["+3", "-1.5"], "DOUBLE"),
        (["12345678901234567", "1"], "VARCHAR"),
        (["4006381333931", "1"], "BIGINT"),
        (["1E5", "12E4"], "VARCHAR"),
        (["1.5e-3", "2.0E+05"], "DOUBLE"),
        (["1", "2.5"], "DOUBLE"),
        (["0", "-7"], "BIGINT"),
        (["0.5", ".5"], "DOUBLE"),
        (["1.2.3", "1.10"], "VARCHAR"),
        (["10.0.0.1", "10.0.0.2"], "VARCHAR"),
        (["true", "FALSE"], "BOOLEAN"),
        (["1", "0"], "BIGINT"),
        (["2024-01-02", "2024-2-3"], "DATE"),
        (["03.04.2024", "31.12.2024"], "DATE"),
        (["31/12/2024", "03/04/2024"], "DATE"),
        (["12/31/2024", "03/04/2024"], "DATE"),
        (["03/04/2024", "05/06/2024"], "VARCHAR"),
        (["2024-01-02 10:00", "2024-01-02T10:00:05.5"], "TIMESTAMP"),
        (["2024-01-02T10:00:00+02:00", "2024-01-02T10:00:00Z"], "TIMESTAMP"),
        (["2024-13-45", "2024-01-01"], "VARCHAR"),
        (["DE89 3704 0044", "DE89"], "VARCHAR"),
        (["1 234", "2"], "VARCHAR"),
        (["12 %", "13 %"], "VARCHAR"),
        (["", ""], "VARCHAR"),
    ],
)
def test_a_column_is_what_all_of_its_values_are(tmp_path: Path, values: list[str], kind: str) -> None:
    """Also if the value that decides is the last of many."""
    first, last = values
    for rows in (2, 30_001):
        content = "name;v\n" + f"a;{first}\n" * (rows - 1) + f"b;{last}\n"
        assert types(table_of(tmp_path, content))["v"] == kind


@pytest.mark.parametrize(
    ("content", "kind", "total", "note"),
    [
        ("a;v;w\nx;1.234;12,50\ny;2.500;1,00\n", "BIGINT", 3734, "“v” is read with a decimal comma"),
        ("a;v;w\nx;1.234;12.50\ny;2.500;1.00\n", "DOUBLE", 3.734, "“v” is read with a decimal point"),
        ("a;v\nx;1.234\ny;2.500\n", "VARCHAR", None, "“v” is read as text: 1.234 may be 1234 or 1.234"),
        ("a;v;w;z\nx;1.234;12,50;1.5\ny;2.500;1,00;2.5\n", "VARCHAR", None, "“v” is read as text"),
        ("a,v\nx,1.234\ny,2.500\n", "DOUBLE", 3.734, "“v” is read with a decimal point: 1.234 is 1.234"),
        ("a;v\nx;1.234.567\ny;2.500\n", "BIGINT", 1_237_067, ""),
        ('a,v\nx,"1,234,567"\ny,"2,500"\n', "BIGINT", 1_237_067, ""),
        ("a;v\nx;0,125\ny;2,500\n", "DOUBLE", 2.625, ""),
        ("a;v\nx;0.125\ny;2.500\n", "DOUBLE", 2.625, ""),
    ],
)  # fmt: skip
def test_the_table_decides_what_a_point_is(
    tmp_path: Path, content: str, kind: str, total: float | None, note: str
) -> None:
    """Where it does not, the column stays text, and the profile says both readings."""
    table = table_of(tmp_path, content)
    profiled = profile(table)
    column = next(entry for entry in profiled["columns"] if entry["name"] == "v")
    assert (column["type"], column.get("sum")) == (kind, total)
    assert any(entry.startswith(note) for entry in profiled["notes"]) if note else not profiled["notes"]
    assert query(table, "SELECT * FROM data", 10).notes == tuple(profiled["notes"])


def test_whole_numbers_keep_all_digits(tmp_path: Path) -> None:
    table = table_of(tmp_path, "n\n999999999999999\n" + "999999999999998\n" * 9)
    total = 999999999999999 + 9 * 999999999999998
    assert query(table, "SELECT sum(n), min(n) FROM data", 1).rows == [[str(total), 999999999999998]]
    assert profile(table)["columns"][0]["sum"] == str(total), "as text, where readers of JSON would round"


def test_one_odd_value_is_counted_and_named(tmp_path: Path) -> None:
    profiled = profile(table_of(tmp_path, "d,n\n" + "2024-01-01,5\n" * 8 + "soon,some\n2024-01-02,6\n"))
    assert profiled["notes"] == [
        "“d” is read as text: 1 of its 10 values is no date, the first in row 9: 'soon'.",
        "“n” is read as text: 1 of its 10 values is no number, the first in row 9: 'some'.",
    ]


@pytest.mark.parametrize(
    ("content", "names", "rows", "note"),
    [
        ("sep=;\nregion;sales\nN;5\n", ["region", "sales"], 1, ""),
        ("sep=|\nregion|sales\nN|5\n", ["region", "sales"], 1, ""),
        ("Report 2024\nregion;sales\nN;5\nS;6\n", ["region", "sales"], 2, "“Report 2024”"),
        ("region;sales\nN;12,50\nS;6,00\n", ["region", "sales"], 2, ""),
        ("1,2\n3,4\n", ["column0", "column1"], 2, ""),
    ],
)
def test_what_stands_above_the_heads_is_no_row(
    tmp_path: Path, content: str, names: list[str], rows: int, note: str
) -> None:
    table = table_of(tmp_path, content)
    assert ([column.name for column in table.columns], table.row_count) == (names, rows)
    assert note in " ".join(table.notes)
    assert bool(table.notes) == bool(note)


@pytest.mark.parametrize("content", ["<!DOCTYPE html><html><table>", "\n<html>\n<body>a,b\n", "<table><tr><td>1"])
def test_a_page_is_no_table_whatever_its_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refusal, match="it is a web page or XML"):
        table_of(tmp_path, content, "export.csv")


def test_a_title_is_told_by_its_missing_delimiters() -> None:
    assert lines_above(["Report", "", "a;b", "1;2"]) == (2, ";")
    assert lines_above(["a;b", "1,5;2"]) == (0, None)
    assert lines_above(["plain", "text"]) == (0, None)


@define
class Drawn:
    """A table drawn at random: its text, and what its columns must be."""

    content: str
    texts: dict[str, list[str]]
    sums: dict[str, Decimal]


IDENTIFIERS: dict[str, Any] = {
    "zip": lambda chance: f"{chance.randrange(100_000):05}",
    "account": lambda chance: f"{chance.randrange(10**20):020}",
    "phone": lambda chance: f"+49{chance.randrange(10**9, 10**10)}",
    "article": lambda chance: f"{chance.randrange(1, 99)}E{chance.randrange(1, 9)}",
    "card": lambda chance: str(chance.randrange(10**15, 10**16)),
}


def written(amount: Decimal, habit: str, *, grouped: bool) -> str:
    text = f"{amount:,f}" if grouped else f"{amount:f}"
    return text.translate(str.maketrans(",.", ".,")) if habit == "european" else text


def drawn(seed: int) -> Drawn:
    chance = random.Random(seed)
    rows, habit = chance.randrange(2, 40), chance.choice(["european", "english"])
    delimiter = chance.choice(";\t|") if habit == "european" else chance.choice(";\t|,")
    columns: dict[str, list[str]] = {}
    texts: dict[str, list[str]] = {}
    sums: dict[str, Decimal] = {}
    for name in chance.sample(sorted(IDENTIFIERS), chance.randrange(1, 4)):
        values = [IDENTIFIERS[name](chance) for _ in range(rows)]
        if name == "zip":
            values[chance.randrange(rows)] = f"0{chance.randrange(10_000):04}"
        if name == "account":
            values[0] = "9" + values[0][1:]
        columns[name] = texts[name] = values
    barcodes = [chance.randrange(10**12, 10**13) for _ in range(rows)]
    columns["ean"], sums["ean"] = [str(cell) for cell in barcodes], Decimal(sum(barcodes))
    for name in ("price", "stock")[: chance.randrange(1, 3)]:
        places = chance.choice([0, 2, 3]) if name == "price" else 0
        amounts = [Decimal(chance.randrange(1, 10**7)).scaleb(-places) for _ in range(rows)]
        grouped = chance.random() < 0.5 and (habit == "european" or delimiter != ",")
        columns[name], sums[name] = [written(cell, habit, grouped=grouped) for cell in amounts], sum(amounts, Decimal())
    order = chance.sample(sorted(columns), len(columns))
    lines = [delimiter.join(order), *(delimiter.join(columns[name][row] for name in order) for row in range(rows))]
    return Drawn("\n".join(lines) + "\n", texts, sums)


@pytest.mark.parametrize(
    "seed",
    [
        *range(SAMPLE),
        *(pytest.param(seed, marks=pytest.mark.proof("cases")) for seed in range(SAMPLE, TABLES)),
    ],
)
def test_no_drawn_table_is_read_wrong(tmp_path: Path, seed: int) -> None:
    """Identifiers keep their text; sums are exact, or the column is text and a note says how it could be read."""
    wanted = drawn(seed)
    table = table_of(tmp_path, wanted.content)
    columns = {entry["name"]: entry for entry in profile(table)["columns"]}
    for name, values in wanted.texts.items():
        assert columns[name]["kind"] == "text", name
        assert [row[0] for row in query(table, f'SELECT "{name}" FROM data', 1_000).rows] == values
    for name, total in wanted.sums.items():
        if columns[name]["kind"] == "text":
            assert any(f"“{name}” is read as text" in entry for entry in table.notes), name
        else:
            assert abs(Decimal(str(columns[name]["sum"])) - total) <= abs(total) * Decimal("1e-11"), name


@pytest.mark.parametrize("mark", ["n/a", "-", "NULL", "k.A.", "–"])  # noqa: RUF001
def test_a_sign_for_no_value_leaves_numbers_and_dates_what_they_are(tmp_path: Path, mark: str) -> None:
    """The cell is empty, and the profile says how many there are; in a column of text the sign is a value."""
    content = f"d,n,t\n2024-01-01,5,a\n{mark},7,{mark}\n2024-01-03,{mark},b\n{mark},{mark},c\n"
    profiled = profile(table_of(tmp_path, content))
    assert [column["type"] for column in profiled["columns"]] == ["DATE", "BIGINT", "VARCHAR"]
    assert [column["nulls"] for column in profiled["columns"]] == [2, 2, 0]
    assert profiled["notes"] == [
        f"“d”: 2 cells have no value, such as “{mark}”.",
        f"“n”: 2 cells have no value, such as “{mark}”.",
    ]


def test_dates_of_several_forms_are_all_read(tmp_path: Path) -> None:
    """Each form must have one meaning: 3/4/2024 has two unless another date of its form decides it."""
    mixed = profile(table_of(tmp_path, "d\n2024-01-31\n03.02.2024\n25/12/2024\n3/4/2024\n"))
    assert mixed["columns"][0]["type"] == "DATE"
    assert mixed["columns"][0]["max"] == "2024-12-25"
    assert mixed["notes"] == ["“d” has dates of 3 forms, all read as dates."]
    open_ = profile(table_of(tmp_path, "d\n2024-01-31\n3/4/2024\n"))
    assert open_["columns"][0]["type"] == "VARCHAR"
