"""Finds the columns of a table that a question mentions, and translates simple questions to SQL.

The table is called ``data``, as the table tools call it.
"""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from understudy.models.offline import scan

TABLE: Final = "data"

AGGREGATES: Final = {
    "sum": ("total", "sum", "totals", "overall"),
    "avg": ("average", "mean", "avg"),
    "max": ("highest", "most", "maximum", "max", "largest", "biggest", "best", "latest", "top"),
    "min": ("lowest", "least", "minimum", "min", "smallest", "fewest", "worst", "earliest"),
    "median": ("median",),
    "count": ("count", "many", "number"),
}
_TITLES: Final = {"sum": "total", "avg": "average"}
_TOP: Final = re.compile(r"\b(?:top|first|show|last)\s(?:me\s)?(?:the\s)?(?:first\s)?(\d{1,3})\b")
BY: Final = frozenset({"by", "per", "over", "against", "across", "each", "every", "vs", "versus", "within"})
_UNITS: Final = {each: each for each in ("day", "week", "month", "quarter", "year")} | {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}
_TIMELY: Final = ("date", "time", "day", "month", "timestamp", "created", "when")
_STOP: Final = frozenset({"the", "a", "of", "in", "for", "column", "columns", "and", "with", "to"})
_ROWS: Final = frozenset({"rows", "row", "records", "entries"})
_PROFITS: Final = frozenset({"profit", "profits", "profitable", "margin", "margins"})
_LEADING: Final = frozenset({"which", "what", "who", "where", "when"})


@frozen
class Roles:
    """`measures` are the columns before a word such as "by", `groups` those after it, `unit` a unit of time."""

    measures: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    unit: str | None = None

    @property
    def mentioned(self) -> tuple[str, ...]:
        """All columns that the request mentions."""
        return tuple(dict.fromkeys((*self.measures, *self.groups)))


def find_roles(text: str, columns: Sequence[str]) -> Roles:
    """Match a request's words with a table's columns; "by month" finds a column of dates if none is called month."""
    known = {_stems(each.replace("_", " ")): each for each in reversed(columns)}
    longest = max((len(key) for key in known), default=0)
    tokens, stems = scan.words(text), _stems(text)
    measures: list[str] = []
    groups: list[str] = []
    unit: str | None = None
    after_by = False
    index = 0
    while index < len(tokens):
        word = tokens[index]
        for length in range(min(longest, len(stems) - index), 0, -1):
            if (found := known.get(stems[index : index + length])) is not None:
                (groups if after_by else measures).append(found)
                index += length
                break
        else:
            word_unit = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
            if word in BY:
                after_by = True
            elif word_unit and (after_by or word.endswith("ly")):
                if (timely := next((each for each in columns if _is_timely(each)), None)) is not None:
                    unit = word_unit
                    groups.append(timely)
            elif after_by and word not in _STOP:
                after_by = False
            index += 1
    return Roles(tuple(dict.fromkeys(measures)), tuple(dict.fromkeys(groups)), unit)


def _stems(text: str) -> tuple[str, ...]:
    return tuple(scan.stem(each) for each in scan.words(text))


def _is_timely(column: str) -> bool:
    """Whether a column's name suggests a date or a time."""
    return any(part in _TIMELY for part in scan.words(column.replace("_", " ")))


def aggregate_in(tokens: Sequence[str]) -> str | None:
    """Return the SQL aggregate that a text names, or None."""
    for word in tokens:
        for name, spellings in AGGREGATES.items():
            if word in spellings:
                return name
    return None


def sql_for_profit(text: str, columns: Sequence[str]) -> str | None:
    """Return the query for profit and margin, by group if one is named, of a table with revenue and costs.

    None if the request asks for neither, the table has a column for it, or lacks one of both.
    """
    if not _PROFITS & set(scan.words(text)) or _column_like(columns, ("profit", "margin")):
        return None
    revenue, cost = _column_like(columns, ("revenue", "sales", "income")), _column_like(columns, ("cost", "costs"))
    if revenue is None or cost is None:
        return None
    roles = find_roles(text, columns)
    group = next((each for each in roles.mentioned if each not in (revenue, cost)), None)
    profit = f"{_call('sum', revenue)} - {_call('sum', cost)}"
    values = f"{profit} AS profit, round(100 * ({profit}) / {_call('sum', revenue)}, 1) AS margin_percent"
    if group is None:
        return f"SELECT {values} FROM {TABLE}"  # noqa: S608
    return f"SELECT {quote(group)}, {values} FROM {TABLE} GROUP BY 1 ORDER BY 2 DESC, 1"  # noqa: S608


def _column_like(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((each for each in columns if set(names) & set(scan.words(each.replace("_", " ")))), None)


def sql_for(text: str, columns: Sequence[str]) -> str | None:
    """Return the query for a question about a table with these columns; None if it is not simple enough."""
    if (profit := sql_for_profit(text, columns)) is not None:
        return profit
    tokens, roles = scan.words(text), find_roles(text, columns)
    said, measures, groups = set(tokens), roles.measures, roles.groups
    top, how, how_many = _TOP.search(" ".join(tokens)), aggregate_in(tokens), {"how", "many"} <= said
    # How many rows are there; number of rows by region.
    if (how_many or said & {"count", "number"}) and said & {*_ROWS, "record", "lines"}:
        if groups:
            return _by_group("count(*)", "rows", groups[0], roles.unit)
        return f"SELECT count(*) AS rows FROM {TABLE}"  # noqa: S608 - a query is what this makes; names are quoted
    # Which region has the highest sales; top 5 regions by sales.
    if said & {*AGGREGATES["max"], *AGGREGATES["min"]}:
        ranked = None
        if top and len(measures) == 1 and len(groups) == 1:
            ranked = measures[0], "sum", groups[0], top[1]
        elif tokens[0] in _LEADING and len(measures) == 2 and not groups:
            ranked = measures[0], "avg" if said & {*AGGREGATES["avg"]} else "sum", measures[1], top[1] if top else "1"
        if ranked is not None:
            of, function, ranked_by, limit = ranked
            value = f"{_call(function, ranked_by)} AS {quote(_name(function, ranked_by))}"
            order = f"2 {'ASC' if said & {*AGGREGATES['min']} else 'DESC'} LIMIT {int(limit)}"
            return f"SELECT {quote(of)}, {value} FROM {TABLE} GROUP BY 1 ORDER BY {order}"  # noqa: S608
    # Total sales by region; average price per month; how many orders by region.
    group = next((each for each in groups if each not in measures), None)
    if group is not None and measures:
        function = how or "sum"
        return _by_group(_call(function, measures[0]), _name(function, measures[0]), group, roles.unit)
    if group is not None and how == "count":
        return _by_group("count(*)", "rows", group, roles.unit)
    # How many different customers; list the distinct regions.
    if len(measures) == 1 and (how_many or said & {"distinct", "different", "unique"}):
        column = quote(measures[0])
        if said & {"list", "show", "what", "which"}:
            return f"SELECT DISTINCT {column} FROM {TABLE} ORDER BY 1"  # noqa: S608
        return f"SELECT count(DISTINCT {column}) AS {quote('distinct_' + measures[0])} FROM {TABLE}"  # noqa: S608
    # What is the average price.
    if how not in (None, "count") and measures:
        values = ", ".join(f"{_call(how, each)} AS {quote(_name(how, each))}" for each in measures)
        return f"SELECT {values} FROM {TABLE}"  # noqa: S608
    # Show the first 5 rows.
    if said & _ROWS and said & {"show", "first", "list", "top", "see"}:
        return f"SELECT * FROM {TABLE} LIMIT {int(top[1]) if top else 10}"  # noqa: S608
    return None


def quote(column: str) -> str:
    """Return a column's name as an SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def _by_group(value: str, name: str, group: str, unit: str | None) -> str:
    """Return the query for a value by group; by `unit` of time if the group is a date, as text that sorts by time."""
    key, order = quote(group), "2 DESC, 1"
    if unit is not None:
        pattern, date = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}.get(unit), f"CAST({key} AS DATE)"
        period = f"{date}, '{pattern}'" if pattern else f"date_trunc('{unit}', {date}), '%Y-%m-%d'"
        key, order = f"strftime({period}) AS {quote(unit)}", "1"
    return f"SELECT {key}, {value} AS {quote(name)} FROM {TABLE} GROUP BY 1 ORDER BY {order}"  # noqa: S608


def _call(function: str, column: str) -> str:
    # A sum of whole numbers is a HUGEINT, which JSON cannot represent.
    return f"CAST(sum({quote(column)}) AS DOUBLE)" if function == "sum" else f"{function}({quote(column)})"


def _name(function: str, column: str) -> str:
    return f"{_TITLES.get(function, function)}_{column}"
