"""Finds the column that a word means, and the step of time."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from understudy.tools.duckdb_session import Column, Table
from understudy.tools.queries import no_such_column

_GRAINS: Final = ("hour", "day", "week", "month", "quarter", "year")
_GRAIN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {"daily": "day", "date": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}
    | {"annual": "year", "hourly": "hour"}
    | {f"{grain}s": grain for grain in _GRAINS}
    | {grain: grain for grain in _GRAINS}
)


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def find(table: Table, name: str) -> Column | None:
    """Return the column of that name: the exact spelling first, then any case and spacing."""
    for same in (str, str.lower, _squeezed):
        for column in table.columns:
            if same(column.name) == same(name.strip()) != "":
                return column
    return None


def find_x(table: Table, name: str) -> tuple[Column, str | None]:
    """The column for x, and the step of time: “month” means the months of a column with dates."""
    column = find(table, name)
    dated = [each for each in table.columns if each.kind == "date"]
    if column is None:
        words = re.findall(r"\w+", name.lower())
        grain = next((_GRAIN_WORDS[word] for word in words if word in _GRAIN_WORDS), None)
        if grain is None or not dated:
            raise no_such_column(name, table.columns)
        named = [each for each in dated if any(word in _squeezed(each.name) for word in words if len(word) > 3)]
        return (named or dated)[0], grain
    return (column, _fitting_grain(table, column)) if column.kind == "date" else (column, None)


def _fitting_grain(table: Table, column: Column) -> str:
    """Hours within a day or two, days within two months, months within ten years, else years: as calendars are read."""
    name = column.quoted
    span, hours = table.rows(
        f"SELECT date_diff('day', min({name}), max({name})), count(DISTINCT date_trunc('hour', {name})) FROM data"  # noqa: S608
    )[0]
    if span is None or (span <= 2 and column.type != "DATE" and hours > 3):
        return "hour" if span is not None else "day"
    for grain, most in (("day", 62), ("month", 120)):
        steps = table.rows(f"SELECT count(DISTINCT date_trunc('{grain}', {name})) FROM data")[0][0]  # noqa: S608
        if steps <= most:
            return grain
    return "year"
