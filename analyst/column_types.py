"""Decides what the columns of a CSV are: numbers, dates, truth values or text. Runs in the process of `table_worker`.

1. Every row counts: one value that does not fit makes a column text, and a note says which and how many.
2. What only looks like a number is text: leading zeros, a `+`, more than 15 digits, `12E4`. These are ZIP codes,
   accounts, telephone numbers and articles; read as numbers they would lose digits, become the same, or be added up.
3. `1.234` is one of two numbers. The whole table decides which; where it does not, the column stays text, and a note
   says both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

Ask = Callable[..., list[tuple[Any, ...]]]

_WHOLE: Final = r"(0|[1-9]\d{0,14})"
_INTEGER: Final = rf"-?{_WHOLE}"
_DECIMAL: Final = rf"-?({_WHOLE}\.\d*(e[-+]?\d+)?|\.\d+(e[-+]?\d+)?|{_WHOLE}(e[-+]\d+)?)"
_SIGNED: Final = rf"[-+]?({_WHOLE}(\.\d+)?)"
"""Changes, such as +3 and -1.5: only beside negative ones, or +44 would be one."""
_EUROPEAN: Final = rf"-?([1-9]\d{{0,2}}(\.\d{{3}})+|{_WHOLE})(,\d+)?"
_ENGLISH: Final = rf"-?([1-9]\d{{0,2}}(,\d{{3}})+|{_WHOLE})(\.\d+)?"
_DAYS: Final = (
    ("%Y-%m-%d", r"\d{4}-\d{1,2}-\d{1,2}"),
    ("%Y/%m/%d", r"\d{4}/\d{1,2}/\d{1,2}"),
    ("%d.%m.%Y", r"\d{1,2}\.\d{1,2}\.\d{4}"),
    ("%d/%m/%Y", r"\d{1,2}/\d{1,2}/\d{4}"),
    ("%m/%d/%Y", r"\d{1,2}/\d{1,2}/\d{4}"),
    ("%d-%m-%Y", r"\d{1,2}-\d{1,2}-\d{4}"),
    ("%m-%d-%Y", r"\d{1,2}-\d{1,2}-\d{4}"),
)
_HOURS: Final = ((" %H:%M", r" \d{1,2}:\d{2}"), (" %H:%M:%S", r" \d{1,2}:\d{2}:\d{2}"))
_INSTANT: Final = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_ZONED: Final = rf"{_INSTANT} ?(Z|[-+]\d{{2}}(:?\d{{2}})?)"
_DELIMITERS: Final = ("\t", ";", "|", ",")
MOSTLY: Final = 0.8
"""Part of a column's values that must be numbers or dates for a note about the others."""
MAX_NOTES: Final = 20
MISSING: Final = ("n/a", "na", "n.a.", "#n/a", "-", "--", "–", "—", "null", "none", "nan", "k.a.", "?")  # noqa: RUF001
"""What people and programs write into a cell without a value; among numbers or dates it is none of them."""
_MARKS: Final = ", ".join(f"'{each}'" for each in MISSING)
_DATES: Final = {day + hour: form + hour_form for day, form in _DAYS for hour, hour_form in (("", ""), *_HOURS)}
_NUMBER: Final = "|".join((_INTEGER, _DECIMAL, _EUROPEAN, _ENGLISH))
_DATE: Final = "|".join(dict.fromkeys(_DATES.values()))
_FORMS: Final[Mapping[str, str]] = {
    "integer": _INTEGER,
    "european": _EUROPEAN,
    "english": _ENGLISH,
    "decimal": _DECIMAL,
    "signed": _SIGNED,
    "boolean": "true|false",
    "instant": _INSTANT,
    "zoned": _ZONED,
    "date": _DATE,
}
_PATTERNS: Final = {name: re.compile(form, re.IGNORECASE | re.ASCII) for name, form in _FORMS.items()}
_ODD: Final = {
    what: re.compile(form, re.IGNORECASE | re.ASCII) for what, form in (("number", _NUMBER), ("date", _DATE))
}
SAMPLE: Final = 20_000
"""Cells by which it is found out what the columns may be; then every row is asked whether they are."""
_WIDE: Final = 100
"""Columns of one query: each form takes memory for each of them."""


@define
class _Facts:
    """What is known of a column: how many values it has, the forms that all of them have, how many are negative, and
    how many have a point. `odd` is what most values of a sample are."""

    name: str
    count: int = 0
    forms: list[str] = field(factory=list)
    negative: int = 0
    pointed: int = 0
    odd: str = ""


@define
class ColumnTypes:
    """Gives the columns of a table of texts their types. `ask` runs SQL; `delimiter` is that of the file."""

    ask: Ask
    columns: Sequence[str]
    delimiter: str | None
    notes: list[str] = field(factory=list)
    _types: dict[str, str] = field(factory=dict)  # SQL that makes a value of text one of its type, by column
    _open: list[_Facts] = field(factory=list)  # columns whose numbers are one of two
    _habits: set[str] = field(factory=set)  # for which there is evidence

    def settle(self) -> list[str]:
        """Give the table's columns their types. Return notes for who reads it."""
        found, is_all = self._sampled()
        for first in range(0, len(found), _WIDE):
            some = found[first : first + _WIDE]
            for each in some if is_all else self._look(some):
                if each.count:
                    self._settle_one(each)
        # A number that can only be of one habit decides on those that could be of both.
        habit = next(iter(self._habits)) if len(self._habits) == 1 else None
        for each in self._open:
            self._settle_open(each, habit)
        if self._types:
            self._note_missing()
            listed = ", ".join(f"{self._types.get(each, quote(each))} AS {quote(each)}" for each in self.columns)
            self.ask(f"CREATE TABLE typed AS SELECT {listed} FROM data")
            self.ask("DROP TABLE data")
            self.ask("ALTER TABLE typed RENAME TO data")
        return self.notes[:MAX_NOTES]

    def _sampled(self) -> tuple[list[_Facts], bool]:
        """Return the columns with the forms that the first values have, and whether these are all values."""
        rows = max(20, SAMPLE // max(1, len(self.columns)))
        listed = ", ".join(map(_bare, self.columns))
        cells = self.ask(f"SELECT {listed} FROM data LIMIT {rows}") if self.columns else []
        found = []
        for name, column in zip(self.columns, zip(*cells, strict=True), strict=False):
            values = Counter(each for each in column if each and each.lower() not in MISSING)
            forms = [form for form, pattern in _PATTERNS.items() if all(map(pattern.fullmatch, values))]
            negative, pointed = (sum(mark(each) for each in values) for mark in (_is_negative, _has_point))
            facts = _Facts(name, values.total(), forms, negative, pointed)
            if not forms:
                for what, pattern in _ODD.items():
                    fits = sum(number for value, number in values.items() if pattern.fullmatch(value))
                    if fits >= MOSTLY * facts.count:
                        facts.odd = what
                        break
            found.append(facts)
        return found, len(cells) < rows

    def _look(self, columns: Sequence[_Facts]) -> list[_Facts]:
        """Return these columns with the forms, of those that they have, that all values have."""
        parts = []
        for each in columns:
            value = quote(each.name)
            given = f"{value} <> ''"
            parts.append(f"count(*) FILTER ({given})")
            parts.append(f"count(*) FILTER ({value} LIKE '-%')" if each.forms else "0")
            parts.append(f"count(*) FILTER ({value} LIKE '%.%')" if each.forms else "0")
            parts += [
                f"coalesce(bool_and(regexp_full_match({value}, '{_FORMS[form]}', 'i')) FILTER ({given}), true)"
                for form in each.forms
            ]
        # Each cell is trimmed once, not for each form.
        cells = ", ".join(f"{_trimmed(each.name)} AS {quote(each.name)}" for each in columns)
        ((*answers,),) = self.ask(f"SELECT {', '.join(parts)} FROM (SELECT {cells} FROM data)")
        found, rest = [], iter(answers)
        for each in columns:
            count, negative, pointed = next(rest), next(rest), next(rest)
            forms = [form for form in each.forms if next(rest)]
            dated = not {"date", "instant", "zoned"}.isdisjoint(each.forms)
            odd = each.odd or ("date" if dated else "number" if each.forms else "")
            found.append(_Facts(each.name, count, forms, negative, pointed, odd))
        return found

    def _settle_one(self, column: _Facts) -> None:
        """Choose the type of one column, unless it is text, or its numbers may be two."""
        forms, name = column.forms, column.name
        if "integer" in forms:
            self._types[name] = _typed(name, "BIGINT")
        elif "european" in forms and "english" in forms:
            self._open.append(column)
        elif "decimal" in forms or ("signed" in forms and column.negative):
            if column.pointed:
                self._habits.add("english")
            self._types[name] = _typed(name, "DOUBLE")
        elif "european" in forms or "english" in forms:
            habit = "european" if "european" in forms else "english"
            self._habits.add(habit)
            self._types[name] = self._number(name, habit)
        elif "boolean" in forms:
            self._types[name] = _typed(name, "BOOLEAN")
        elif "zoned" in forms:
            self._types[name] = _typed(name, "TIMESTAMP WITH TIME ZONE")
        elif "instant" in forms:
            self._types[name] = _typed(name, "TIMESTAMP")
        elif not self._settle_date(column):
            self._note_odd(column)

    def _settle_open(self, column: _Facts, habit: str | None) -> None:
        name, called = column.name, shown(column.name)
        sql = f"SELECT {_trimmed(name)} FROM data WHERE regexp_full_match({_trimmed(name)}, $1) LIMIT 1"
        ((example,),) = self.ask(sql, [r"-?[1-9]\d{0,2}([.,]\d{3})+"])
        if example.count(".") + example.count(",") > 1:  # 1.234.567 has no decimals
            habit = "european" if "." in example else "english"
        elif habit is not None:
            mark = "a decimal comma" if habit == "european" else "a decimal point"
            self.notes.append(f"{called} is read with {mark}, as other numbers: {example} is {_value(example, habit)}.")
        elif self.delimiter == ",":  # such files hardly write decimals with a comma
            habit = "english"
            self.notes.append(f"{called} is read with a decimal point: {example} is {_value(example, habit)}.")
        else:
            either = f"{_value(example, 'european')} or {_value(example, 'english')}"
            self.notes.append(f"{called} is read as text: {example} may be {either}, and no other number decides it.")
            return
        self._types[name] = self._number(name, habit)

    def _settle_date(self, column: _Facts) -> bool:
        """Make a column one of dates, or note that its dates may be two. Return False if its values are none."""
        name = column.name
        fitting = [
            each
            for each, form in (_DATES.items() if "date" in column.forms else ())
            if not self._count(name, f"NOT regexp_full_match({{}}, '{form}') OR {_parsed(each)} IS NULL")
        ]
        if len(fitting) > 1:  # every day could be the month, too
            same = " = ".join(map(_parsed, fitting[:2]))
            if self._count(name, same) < column.count:
                sql = f"SELECT {_trimmed(name)} FROM data WHERE {_given(name)} LIMIT 1"
                example = self.ask(sql)[0][0]
                self.notes.append(
                    f"{shown(name)} is read as text: in {example} either number may be the month, in every row."
                )
                return True
        if fitting:
            kind = "TIMESTAMP" if " " in fitting[0] else "DATE"
            self._types[name] = f"CAST({_parsed(fitting[0]).replace('{}', _filled(name))} AS {kind})"
            return True
        return "date" in column.forms and self._settle_mixed_dates(column)

    def _settle_mixed_dates(self, column: _Facts) -> bool:
        """Make a column one of dates that are written in several forms, if each form has one meaning."""
        name, chosen = column.name, list[str]()
        for form in dict.fromkeys(_DATES.values()):
            matches = f"regexp_full_match({{}}, '{form}')"
            if not self._count(name, matches):
                continue
            fitting = [
                each
                for each, written in _DATES.items()
                if written == form and not self._count(name, f"{matches} AND {_parsed(each)} IS NULL")
            ]
            if not fitting or (
                len(fitting) > 1 and self._count(name, f"{matches} AND {' <> '.join(map(_parsed, fitting[:2]))}")
            ):
                return False
            chosen.append(fitting[0])
        kind = "TIMESTAMP" if any(" " in each for each in chosen) else "DATE"
        parsed = ", ".join(_parsed(each).replace("{}", _filled(name)) for each in chosen)
        self._types[name] = f"CAST(coalesce({parsed}) AS {kind})"
        self.notes.append(f"{shown(name)} has dates of {len(chosen)} forms, all read as dates.")
        return True

    def _note_missing(self) -> None:
        """Note how many cells of numbers and dates say that they have no value."""
        names = list(self._types)
        for first in range(0, len(names), _WIDE):
            some = names[first : first + _WIDE]
            marked = [f"{_bare(each)} <> '' AND {_trimmed(each)} = ''" for each in some]
            parts = [
                f"count(*) FILTER ({each}), min({_bare(n)}) FILTER ({each})"
                for each, n in zip(marked, some, strict=True)
            ]
            ((*found,),) = self.ask(f"SELECT {', '.join(parts)} FROM data")
            for name, count, example in zip(some, found[::2], found[1::2], strict=True):
                if not count:
                    self._types[name] = self._types[name].replace(_trimmed(name), _bare(name))
                else:
                    cells = "cell has" if count == 1 else "cells have"
                    self.notes.append(f"{shown(name)}: {count:,} {cells} no value, such as “{example}”.")

    def _note_odd(self, column: _Facts) -> None:
        """Note which values keep a column from being numbers or dates, if most are."""
        if not column.odd:
            return
        name, count, value, form = column.name, column.count, _trimmed(column.name), _ODD[column.odd].pattern
        fits = f"regexp_full_match({value}, $1, 'i')"
        ((most,),) = self.ask(f"SELECT count(*) FROM data WHERE {_given(name)} AND {fits}", [form])
        if MOSTLY * count <= most < count:
            sql = f"SELECT rowid + 1, left({value}, 40) FROM data WHERE {_given(name)} AND NOT {fits}"
            ((row, first),) = self.ask(f"{sql} ORDER BY rowid LIMIT 1", [form])
            are = "is" if count - most == 1 else "are"
            odd = f"{count - most:,} of its {count:,} values {are} no {column.odd}"
            self.notes.append(f"{shown(name)} is read as text: {odd}, the first in row {row:,}: {first!r}.")

    def _number(self, name: str, habit: str) -> str:
        """Return SQL that makes a number of a text of this habit."""
        mark = "," if habit == "european" else "."
        plain = f"replace({_filled(name)}, '{'.' if habit == 'european' else ','}', '')"
        kind = "DOUBLE" if self._count(name, f"contains({{}}, '{mark}')") else "BIGINT"
        return f"CAST(replace({plain}, ',', '.') AS {kind})"

    def _count(self, name: str, condition: str) -> int:
        """Count the values for which an SQL condition holds; `{}` is the value."""
        where = condition.replace("{}", _trimmed(name))
        found: int = self.ask(f"SELECT count(*) FROM data WHERE {_given(name)} AND ({where})")[0][0]
        return found


def _is_negative(value: str) -> bool:
    return value.startswith("-")


def _has_point(value: str) -> bool:
    return "." in value


def _typed(name: str, kind: str) -> str:
    return f"CAST({_filled(name)} AS {kind})"


def _parsed(form: str) -> str:
    return f"try_strptime({{}}, '{form}')"


def _filled(name: str) -> str:
    return f"nullif({_trimmed(name)}, '')"


def lines_above(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return how many lines are a title above the heads, and the delimiter of the others: the title has none."""
    above = next((place for place, line in enumerate(lines) if any(each in line for each in _DELIMITERS)), 0)
    rest = lines[above:]
    if above and len(rest) > 1:
        for delimiter in _DELIMITERS:
            counts = {line.count(delimiter) for line in rest}
            if len(counts) == 1 and counts != {0}:
                return above, delimiter
    return 0, None


def _value(example: str, habit: str) -> str:
    return example.replace(".", "").replace(",", ".") if habit == "european" else example.replace(",", "")


def quote(name: str) -> str:
    """Return a name as an SQL identifier, with any characters in it."""
    return '"' + name.replace('"', '""') + '"'


def _trimmed(name: str) -> str:
    """Return SQL for the text of a cell, without spaces around it; empty for one that says that it has no value."""
    text = _bare(name)
    return f"CASE WHEN lower({text}) IN ({_MARKS}) THEN '' ELSE {text} END"


def _bare(name: str) -> str:
    return f"trim({quote(name)})"


def _given(name: str) -> str:
    return f"{_trimmed(name)} <> ''"


def shown(name: str) -> str:
    """Return a column's name as notes begin with it."""
    return f"“{name[:60]}”"
