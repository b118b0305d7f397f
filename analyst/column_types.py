"""Decides the types of a CSV's columns: numbers, dates, truth values or text. Runs in the process of `table_worker`.

1. All rows count: a single value that does not fit makes a column text, and a note says which value and how many.
2. Values with leading zeros, a `+`, more than 15 digits, or like `12E4` are text: they are ZIP codes, accounts,
   telephone numbers and articles. As numbers they would lose digits, become equal, or be added up.
3. `1.234` may be either of two numbers. The whole table decides which; if it does not, the column stays text, and a
   note gives both.
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
"""Changes, such as +3 and -1.5. They are numbers only in a column with negative ones; else +44 is a telephone code."""
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
"""The share of a column's values that must be numbers or dates for a note about the other values."""
MAX_NOTES: Final = 20
MISSING: Final = ("n/a", "na", "n.a.", "#n/a", "-", "--", "–", "—", "null", "none", "nan", "k.a.", "?")  # noqa: RUF001
"""Texts that people and programs write into a cell without a value. In columns of numbers or dates they are null."""
_MARKS: Final = ", ".join(f"'{mark}'" for mark in MISSING)
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
    kind: re.compile(form, re.IGNORECASE | re.ASCII) for kind, form in (("number", _NUMBER), ("date", _DATE))
}
SAMPLE: Final = 20_000
"""Cells of the sample that decides which forms a column may have; then all rows are checked for these forms."""
_WIDE: Final = 100
"""Columns of one query, because each form takes memory for each column."""


@define
class _Facts:
    """A column's number of values, the forms that all of them have, and how many are negative or have a point. `odd`
    is the kind of most values in the sample, if it is not that of all: ``number``, ``date`` or ""."""

    name: str
    count: int = 0
    forms: list[str] = field(factory=list)
    negative: int = 0
    pointed: int = 0
    odd: str = ""


@define
class ColumnTypes:
    """Converts a table of texts to typed columns. `ask` runs SQL; `delimiter` is that of the file. The notation of
    numbers is ``european`` (1.234,5) or ``english`` (1,234.5)."""

    ask: Ask
    columns: Sequence[str]
    delimiter: str | None
    notes: list[str] = field(factory=list)
    _types: dict[str, str] = field(factory=dict)  # SQL that converts a text to the type, by column
    _ambiguous: list[_Facts] = field(factory=list)  # columns whose numbers may have either notation
    _notations: set[str] = field(factory=set)  # notations of numbers that cannot have the other one

    def settle(self) -> list[str]:
        """Convert the table. Return notes for its readers."""
        facts, is_whole = self._sampled()
        for first in range(0, len(facts), _WIDE):
            part = facts[first : first + _WIDE]
            for column in part if is_whole else self._checked(part):
                if column.count:
                    self._settle_one(column)
        # If all unambiguous numbers of the table have one notation, the ambiguous ones have it too.
        notation = next(iter(self._notations)) if len(self._notations) == 1 else None
        for column in self._ambiguous:
            self._settle_ambiguous(column, notation)
        if self._types:
            self._note_missing()
            typed = ", ".join(f"{self._types.get(name, quote(name))} AS {quote(name)}" for name in self.columns)
            self.ask(f"CREATE TABLE typed AS SELECT {typed} FROM data")
            self.ask("DROP TABLE data")
            self.ask("ALTER TABLE typed RENAME TO data")
        return self.notes[:MAX_NOTES]

    def _sampled(self) -> tuple[list[_Facts], bool]:
        """Return the facts of all columns by the first rows, and whether these are all rows."""
        rows = max(20, SAMPLE // max(1, len(self.columns)))
        names = ", ".join(map(_bare, self.columns))
        cells = self.ask(f"SELECT {names} FROM data LIMIT {rows}") if self.columns else []
        facts = []
        for name, column in zip(self.columns, zip(*cells, strict=True), strict=False):
            values = Counter(value for value in column if value and value.lower() not in MISSING)
            forms = [form for form, pattern in _PATTERNS.items() if all(map(pattern.fullmatch, values))]
            negative, pointed = (sum(has_mark(value) for value in values) for has_mark in (_is_negative, _has_point))
            column_facts = _Facts(name, values.total(), forms, negative, pointed)
            if not forms:
                for kind, pattern in _ODD.items():
                    fits = sum(number for value, number in values.items() if pattern.fullmatch(value))
                    if fits >= MOSTLY * column_facts.count:
                        column_facts.odd = kind
                        break
            facts.append(column_facts)
        return facts, len(cells) < rows

    def _checked(self, columns: Sequence[_Facts]) -> list[_Facts]:
        """Check the sample's facts by all rows. Return the facts of all rows, with the forms that all values have."""
        parts = []
        for column in columns:
            value = quote(column.name)
            is_filled = f"{value} <> ''"
            parts.append(f"count(*) FILTER ({is_filled})")
            parts.append(f"count(*) FILTER ({value} LIKE '-%')" if column.forms else "0")
            parts.append(f"count(*) FILTER ({value} LIKE '%.%')" if column.forms else "0")
            parts += [
                f"coalesce(bool_and(regexp_full_match({value}, '{_FORMS[form]}', 'i')) FILTER ({is_filled}), true)"
                for form in column.forms
            ]
        # The subquery trims each cell once, instead of once for each form.
        cells = ", ".join(f"{_trimmed(column.name)} AS {quote(column.name)}" for column in columns)
        ((*results,),) = self.ask(f"SELECT {', '.join(parts)} FROM (SELECT {cells} FROM data)")
        facts, answers = [], iter(results)
        for column in columns:
            count, negative, pointed = next(answers), next(answers), next(answers)
            forms = [form for form in column.forms if next(answers)]
            has_dates = not {"date", "instant", "zoned"}.isdisjoint(column.forms)
            odd = column.odd or ("date" if has_dates else "number" if column.forms else "")
            facts.append(_Facts(column.name, count, forms, negative, pointed, odd))
        return facts

    def _settle_one(self, column: _Facts) -> None:
        """Choose the type of one column, unless it is text, or its numbers are ambiguous."""
        forms, name = column.forms, column.name
        if "integer" in forms:
            self._types[name] = _typed(name, "BIGINT")
        elif "european" in forms and "english" in forms:
            self._ambiguous.append(column)
        elif "decimal" in forms or ("signed" in forms and column.negative):
            if column.pointed:
                self._notations.add("english")
            self._types[name] = _typed(name, "DOUBLE")
        elif "european" in forms or "english" in forms:
            notation = "european" if "european" in forms else "english"
            self._notations.add(notation)
            self._types[name] = self._number(name, notation)
        elif "boolean" in forms:
            self._types[name] = _typed(name, "BOOLEAN")
        elif "zoned" in forms:
            self._types[name] = _typed(name, "TIMESTAMP WITH TIME ZONE")
        elif "instant" in forms:
            self._types[name] = _typed(name, "TIMESTAMP")
        elif not self._settle_date(column):
            self._note_odd(column)

    def _settle_ambiguous(self, column: _Facts, notation: str | None) -> None:
        name, label = column.name, shown(column.name)
        sql = f"SELECT {_trimmed(name)} FROM data WHERE regexp_full_match({_trimmed(name)}, $1) LIMIT 1"
        ((example,),) = self.ask(sql, [r"-?[1-9]\d{0,2}([.,]\d{3})+"])
        if example.count(".") + example.count(",") > 1:  # 1.234.567 has no decimals
            notation = "european" if "." in example else "english"
        elif notation is not None:
            read = f"is read with a decimal {'comma' if notation == 'european' else 'point'}, as other numbers"
            self.notes.append(f"{label} {read}: {example} is {_value(example, notation)}.")
        elif self.delimiter == ",":  # then decimals are hardly ever written with a comma
            notation = "english"
            self.notes.append(f"{label} is read with a decimal point: {example} is {_value(example, notation)}.")
        else:
            either = f"{_value(example, 'european')} or {_value(example, 'english')}"
            self.notes.append(f"{label} is read as text: {example} may be {either}, and no other number decides it.")
            return
        self._types[name] = self._number(name, notation)

    def _settle_date(self, column: _Facts) -> bool:
        """Make a column one of dates, or note that its dates are ambiguous. Return False if its values are no dates."""
        name = column.name
        fitting = [
            date_format
            for date_format, form in (_DATES.items() if "date" in column.forms else ())
            if not self._count(name, f"NOT regexp_full_match({{}}, '{form}') OR {_parsed(date_format)} IS NULL")
        ]
        if len(fitting) > 1:  # in every row the day could be the month, too
            same = " = ".join(map(_parsed, fitting[:2]))
            if self._count(name, same) < column.count:
                sql = f"SELECT {_trimmed(name)} FROM data WHERE {_is_filled(name)} LIMIT 1"
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
        """Make a column one of dates that are written in several forms, if none of the forms is ambiguous."""
        name, chosen = column.name, list[str]()
        for form in dict.fromkeys(_DATES.values()):
            matches = f"regexp_full_match({{}}, '{form}')"
            if not self._count(name, matches):
                continue
            fitting = [
                date_format
                for date_format, written in _DATES.items()
                if written == form and not self._count(name, f"{matches} AND {_parsed(date_format)} IS NULL")
            ]
            if not fitting or (
                len(fitting) > 1 and self._count(name, f"{matches} AND {' <> '.join(map(_parsed, fitting[:2]))}")
            ):
                return False
            chosen.append(fitting[0])
        kind = "TIMESTAMP" if any(" " in date_format for date_format in chosen) else "DATE"
        parsed = ", ".join(_parsed(date_format).replace("{}", _filled(name)) for date_format in chosen)
        self._types[name] = f"CAST(coalesce({parsed}) AS {kind})"
        self.notes.append(f"{shown(name)} has dates of {len(chosen)} forms, all read as dates.")
        return True

    def _note_missing(self) -> None:
        """Note how many cells in columns of numbers and dates have one of the texts `MISSING`."""
        names = list(self._types)
        for first in range(0, len(names), _WIDE):
            part = names[first : first + _WIDE]
            conditions = [f"{_bare(name)} <> '' AND {_trimmed(name)} = ''" for name in part]
            parts = [
                f"count(*) FILTER ({condition}), min({_bare(name)}) FILTER ({condition})"
                for condition, name in zip(conditions, part, strict=True)
            ]
            ((*results,),) = self.ask(f"SELECT {', '.join(parts)} FROM data")
            for name, count, example in zip(part, results[::2], results[1::2], strict=True):
                if not count:
                    self._types[name] = self._types[name].replace(_trimmed(name), _bare(name))
                else:
                    cells = "cell has" if count == 1 else "cells have"
                    self.notes.append(f"{shown(name)}: {count:,} {cells} no value, such as “{example}”.")

    def _note_odd(self, column: _Facts) -> None:
        """Note which values prevent a column from being one of numbers or dates, if most of its values are such."""
        if not column.odd:
            return
        name, count, value, form = column.name, column.count, _trimmed(column.name), _ODD[column.odd].pattern
        fits = f"regexp_full_match({value}, $1, 'i')"
        ((fitting,),) = self.ask(f"SELECT count(*) FROM data WHERE {_is_filled(name)} AND {fits}", [form])
        if MOSTLY * count <= fitting < count:
            sql = f"SELECT rowid + 1, left({value}, 40) FROM data WHERE {_is_filled(name)} AND NOT {fits}"
            ((row, first),) = self.ask(f"{sql} ORDER BY rowid LIMIT 1", [form])
            are = "is" if count - fitting == 1 else "are"
            odd = f"{count - fitting:,} of its {count:,} values {are} no {column.odd}"
            self.notes.append(f"{shown(name)} is read as text: {odd}, the first in row {row:,}: {first!r}.")

    def _number(self, name: str, notation: str) -> str:
        """Return SQL that converts the texts of a column to numbers, by their notation."""
        mark = "," if notation == "european" else "."
        plain = f"replace({_filled(name)}, '{'.' if notation == 'european' else ','}', '')"
        kind = "DOUBLE" if self._count(name, f"contains({{}}, '{mark}')") else "BIGINT"
        return f"CAST(replace({plain}, ',', '.') AS {kind})"

    def _count(self, name: str, condition: str) -> int:
        """Count the values of a column for which an SQL condition holds, in which `{}` stands for the value."""
        where = condition.replace("{}", _trimmed(name))
        number: int = self.ask(f"SELECT count(*) FROM data WHERE {_is_filled(name)} AND ({where})")[0][0]
        return number


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
    """Return the number of lines of a title, which have no delimiter, and the delimiter of the others; else 0, None."""
    above = next((number for number, line in enumerate(lines) if any(mark in line for mark in _DELIMITERS)), 0)
    table_lines = lines[above:]
    if above and len(table_lines) > 1:
        for delimiter in _DELIMITERS:
            counts = {line.count(delimiter) for line in table_lines}
            if len(counts) == 1 and counts != {0}:
                return above, delimiter
    return 0, None


def _value(example: str, notation: str) -> str:
    return example.replace(".", "").replace(",", ".") if notation == "european" else example.replace(",", "")


def quote(name: str) -> str:
    """Return a name as an SQL identifier, with any characters in it."""
    return '"' + name.replace('"', '""') + '"'


def _trimmed(name: str) -> str:
    """Return SQL for the text of a cell without surrounding spaces; empty for the texts `MISSING`."""
    text = _bare(name)
    return f"CASE WHEN lower({text}) IN ({_MARKS}) THEN '' ELSE {text} END"


def _bare(name: str) -> str:
    return f"trim({quote(name)})"


def _is_filled(name: str) -> str:
    return f"{_trimmed(name)} <> ''"


def shown(name: str) -> str:
    """Return a column's name in quotes, with which notes begin."""
    return f"“{name[:60]}”"
