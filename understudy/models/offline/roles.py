"""Finds the columns of a table that a request mentions, and the aggregate that it names."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from understudy.models.offline import scan

AGGREGATES: Final = {
    "sum": ("total", "sum", "totals", "overall"),
    "avg": ("average", "mean", "avg"),
    "max": ("highest", "most", "maximum", "max", "largest", "biggest", "best", "latest", "top"),
    "min": ("lowest", "least", "minimum", "min", "smallest", "fewest", "worst", "earliest"),
    "median": ("median",),
    "count": ("count", "many", "number"),
}
_BY: Final = frozenset({"by", "per", "over", "against", "across", "each", "every", "vs", "versus", "within"})
_UNITS: Final = {each: each for each in ("day", "week", "month", "quarter", "year")} | {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}
_TIMELY: Final = ("date", "time", "day", "month", "timestamp", "created", "when")
_STOP: Final = frozenset({"the", "a", "of", "in", "for", "column", "columns", "and", "with", "to"})


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
            if word in _BY:
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
