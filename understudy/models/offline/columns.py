"""Finds the columns of a table that a request mentions, and their roles: measures and groups."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from understudy.models.offline import scan

_BY: Final = frozenset({"by", "per", "over", "against", "across", "each", "every", "vs", "versus", "within"})
TIME_UNITS: Final = ("day", "week", "month", "quarter", "year")
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
