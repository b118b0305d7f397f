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
_TOP: Final = re.compile(r"\b(?:top|first|show|last)\s(?:me\s)?(?:the\s)?(?:first\s)?(\d{1,3})\b")
_BY: Final = frozenset({"by", "per", "over", "against", "across", "each", "every", "vs", "versus", "within"})
TIME_UNITS: Final = ("day", "week", "month", "quarter", "year")
_TIMELY: Final = ("date", "time", "day", "month", "timestamp", "created", "when")
_STOP: Final = frozenset({"the", "a", "of", "in", "for", "column", "columns", "and", "with", "to"})
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
    known = {_key(each): each for each in reversed(columns)}
    longest = max((len(key) for key in known), default=0)
    tokens = scan.words(text)
    stems = [scan.stem(each) for each in tokens]
    measures: list[str] = []
    groups: list[str] = []
    unit: str | None = None
    after_by = False
    index = 0
    while index < len(tokens):
        found, length = _longest(stems, index, known, longest)
        if found is not None:
            (groups if after_by else measures).append(found)
            index += length
            continue
        if tokens[index] in _BY:
            after_by = True
        elif _unit(tokens[index]) and (after_by or tokens[index].endswith("ly")):
            timely = time_column(columns)
            if timely is not None:
                unit = _unit(tokens[index])
                groups.append(timely)
        elif after_by and tokens[index] not in _STOP:
            after_by = False
        index += 1
    return Roles(tuple(dict.fromkeys(measures)), tuple(dict.fromkeys(groups)), unit)


def time_column(columns: Sequence[str]) -> str | None:
    """Return the first column whose name suggests a date or a time."""
    for each in columns:
        if any(part in _TIMELY for part in scan.words(each.replace("_", " "))):
            return each
    return None


def _unit(word: str) -> str | None:
    plain = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}.get(word)
    word = plain or word.removesuffix("s")
    return word if word in TIME_UNITS else None


def _key(column: str) -> tuple[str, ...]:
    return tuple(scan.stem(each) for each in scan.words(column.replace("_", " ")))


def _longest(
    stems: Sequence[str], index: int, known: dict[tuple[str, ...], str], longest: int
) -> tuple[str | None, int]:
    for length in range(min(longest, len(stems) - index), 0, -1):
        found = known.get(tuple(stems[index : index + length]))
        if found is not None:
            return found, length
    return None, 0


@frozen
class _Question:
    tokens: tuple[str, ...]
    roles: Roles
    columns: tuple[str, ...]
    number: int | None

    def says(self, *some: str) -> bool:
        return any(each in self.tokens for each in some)


def aggregate_in(tokens: Sequence[str]) -> str | None:
    """Return the SQL aggregate that a text names, or None."""
    for word in tokens:
        for name, spellings in AGGREGATES.items():
            if word in spellings:
                return name
    return None


def sql_for(text: str, columns: Sequence[str]) -> str | None:
    """Return the query for a question about a table with these columns; None if it is not simple enough."""
    tokens = scan.words(text)
    number = _TOP.search(" ".join(tokens))
    question = _Question(tokens, find_roles(text, columns), tuple(columns), int(number[1]) if number else None)
    for rule in (_count_rows, _winner, _grouped, _count_distinct, _plain_aggregate, _first_rows):
        query = rule(question)
        if query is not None:
            return query
    return None


def quote(column: str) -> str:
    """Return a column's name as an SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def _count_rows(question: _Question) -> str | None:
    counting = question.says("count") or ("how" in question.tokens and question.says("many")) or question.says("number")
    things = question.says("rows", "row", "records", "record", "lines", "entries")
    if not (counting and things):
        return None
    if question.roles.groups:
        return _group_by(question, "count(*)", "rows", question.roles.groups[0])
    return f"SELECT count(*) AS rows FROM {TABLE}"  # noqa: S608 - a query is what this makes; names are quoted


def _winner(question: _Question) -> str | None:
    """Which region has the highest sales; top 5 regions by sales."""
    measures, groups = question.roles.measures, question.roles.groups
    direction = "ASC" if question.says(*AGGREGATES["min"]) else "DESC"
    extreme = question.says(*AGGREGATES["max"], *AGGREGATES["min"])
    if extreme and question.number and len(measures) == 1 and len(groups) == 1:
        return _ranked(measures[0], _call("sum", groups[0]), f"total_{groups[0]}", direction, question.number)
    asked = bool(question.tokens) and question.tokens[0] in _LEADING
    if extreme and asked and len(measures) == 2 and not groups:
        how = "avg" if question.says(*AGGREGATES["avg"]) else "sum"
        name = f"{'average' if how == 'avg' else 'total'}_{measures[1]}"
        return _ranked(measures[0], _call(how, measures[1]), name, direction, question.number or 1)
    return None


def _ranked(group: str, value: str, name: str, direction: str, limit: int) -> str:
    return (
        f"SELECT {quote(group)}, {value} AS {quote(name)} FROM {TABLE} "  # noqa: S608 - names are quoted
        f"GROUP BY 1 ORDER BY 2 {direction} LIMIT {limit}"
    )


def _grouped(question: _Question) -> str | None:
    """Total sales by region; average price per month; how many orders by region."""
    how = aggregate_in(question.tokens)
    if not question.roles.groups:
        return None
    group = next((each for each in question.roles.groups if each not in question.roles.measures), None)
    if group is None:
        return None
    if not question.roles.measures:
        return _group_by(question, "count(*)", "rows", group) if how == "count" else None
    measure = question.roles.measures[0]
    if how == "count":
        return _group_by(question, f"count({quote(measure)})", f"count_{measure}", group)
    return _group_by(question, _call(how or "sum", measure), f"{_word(how or 'sum')}_{measure}", group)


def _group_by(question: _Question, value: str, name: str, group: str) -> str:
    key = quote(group)
    if question.roles.unit:
        key = f"{_period(question.roles.unit, quote(group))} AS {quote(question.roles.unit)}"
    order = "1" if question.roles.unit else "2 DESC, 1"
    return f"SELECT {key}, {value} AS {quote(name)} FROM {TABLE} GROUP BY 1 ORDER BY {order}"  # noqa: S608


def _count_distinct(question: _Question) -> str | None:
    if not ("how" in question.tokens and question.says("many")) and not question.says(
        "distinct", "different", "unique"
    ):
        return None
    if len(question.roles.measures) != 1:
        return None
    column = question.roles.measures[0]
    if question.says("list", "show", "what", "which"):
        return f"SELECT DISTINCT {quote(column)} FROM {TABLE} ORDER BY 1"  # noqa: S608
    return f"SELECT count(DISTINCT {quote(column)}) AS {quote('distinct_' + column)} FROM {TABLE}"  # noqa: S608


def _plain_aggregate(question: _Question) -> str | None:
    how = aggregate_in(question.tokens)
    if how is None or how == "count" or not question.roles.measures:
        return None
    columns = ", ".join(f"{_call(how, c)} AS {quote(f'{_word(how)}_{c}')}" for c in question.roles.measures)
    return f"SELECT {columns} FROM {TABLE}"  # noqa: S608


def _first_rows(question: _Question) -> str | None:
    if question.says("rows", "row", "records", "entries") and question.says("show", "first", "list", "top", "see"):
        return f"SELECT * FROM {TABLE} LIMIT {question.number or 10}"  # noqa: S608
    return None


def _call(how: str, column: str) -> str:
    # A sum of whole numbers is a HUGEINT, which JSON cannot represent.
    return f"CAST(sum({quote(column)}) AS DOUBLE)" if how == "sum" else f"{how}({quote(column)})"


def _period(unit: str, column: str) -> str:
    """Return SQL for the month, year, … of a date, as text that sorts by time."""
    pattern = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}.get(unit)
    date = f"CAST({column} AS DATE)"
    return f"strftime({date}, '{pattern}')" if pattern else f"strftime(date_trunc('{unit}', {date}), '%Y-%m-%d')"


def _word(how: str) -> str:
    return {"sum": "total", "avg": "average"}.get(how, how)
