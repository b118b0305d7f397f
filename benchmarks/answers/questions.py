"""Families of questions about a drawn table, with answers that `statistics` and plain loops compute.

The families of `HELD` were not looked at while the grammar was written.
"""

from __future__ import annotations

import calendar
import random
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import frozen

from .tables import Drawn, Row

ASK: Final = "ask"
"""The answer to a question that has none: it is asked back."""


@frozen
class Question:
    """A question of a family, and its answer: a figure, rows by group, a count of rows, or `ASK`."""

    family: str
    text: str
    answer: Any


class Drawing:
    """What the questions of one table are about."""

    def __init__(self, table: Drawn, seed: int) -> None:
        self.rng = random.Random(seed)
        self.table = table
        self.rows = table.rows

    def column(self) -> str:
        """Draw a column of texts."""
        return self.rng.choice(sorted(self.table.texts))

    def value(self, column: str) -> str:
        """Draw a value of a column."""
        return self.rng.choice(sorted({row[column] for row in self.rows}))

    def number(self) -> str:
        """Draw a column of numbers."""
        return self.rng.choice(self.table.numbers)

    def added(self) -> str:
        """Draw a column whose sum has a meaning."""
        return self.rng.choice(self.table.sums)

    def said(self, name: str) -> str:
        """Say a column as people do."""
        spaced = "".join(f" {c}" if c.isupper() and n and name[n - 1].islower() else c for n, c in enumerate(name))
        plain = spaced.replace("_", " ")
        return self.rng.choice((name, plain, plain.lower() if not self.table.german else plain))

    def pick(self, *texts: str) -> str:
        """Draw one of some texts."""
        return self.rng.choice(texts)

    def month(self) -> tuple[int, int]:
        """Draw a year and a month that the table has."""
        day = self.rng.choice(self.rows)[self.table.date]
        return day.year, day.month

    def groups(self, column: str) -> dict[str, list[Row]]:
        """Return the rows of each value of a column."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row[column], []).append(row)
        return found

    def totals(self, name: str, column: str) -> dict[str, float]:
        """Return the sum of a column for each value of another one."""
        return {value: sum(self.values(name, rows)) for value, rows in self.groups(column).items()}

    def values(self, name: str, rows: list[Row] | None = None) -> list[float]:
        """Return the values of a column."""
        return [row[name] for row in (self.rows if rows is None else rows) if row[name] is not None]


AGGREGATES: Final[dict[str, tuple[str, Callable[[list[float]], float]]]] = {
    "total": ("sum", sum),
    "average": ("mean", statistics.fmean),
    "median": ("median", statistics.median),
    "mean": ("mean", statistics.fmean),
    "sum of": ("sum", sum),
    "lowest": ("min", min),
    "highest": ("max", max),
}


def _figure(values: list[float], how: str) -> float | None:
    return AGGREGATES[how][1](values) if values else None


def aggregate(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family aggregate."""
    name, how = d.number(), d.pick("total", "average", "median", "sum of")
    said = d.said(name)
    text = d.pick(f"{how} {said}", f"What is the {how} {said}?", f"please give me the {how} {said}")
    yield text, _figure(d.values(name), how)


def filtered(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family filtered."""
    name, column, how = d.number(), d.column(), d.pick("total", "average", "median")
    value = d.value(column)
    rows = [row for row in d.rows if row[column] == value]
    text = d.pick(
        f"{how} {d.said(name)} of {value}",
        f"what is the {how} {d.said(name)} for {value}?",
        f"{how} {d.said(name)} where {d.said(column)} is {value}",
        f"{how} {d.said(name)} of {value.lower()}",
    )
    yield text, _figure(d.values(name, rows), how)


def month(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family month."""
    name, (year, number) = d.added(), d.month()
    rows = [row for row in d.rows if (row[d.table.date].year, row[d.table.date].month) == (year, number)]
    text = d.pick(
        f"total {d.said(name)} in {year}-{number:02}", f"total {d.said(name)} in {calendar.month_name[number]} {year}"
    )
    yield text, _figure(d.values(name, rows), "total")


def without(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family without."""
    name, column = d.added(), d.column()
    value = d.value(column)
    rows = [row for row in d.rows if row[column] != value]
    yield (
        f"total {d.said(name)} {d.pick('without', 'except', 'excluding')} {value}",
        _figure(d.values(name, rows), "total"),
    )


def counted(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family counted."""
    name = d.number()
    limit = round(statistics.median(d.values(name)))
    sign, test = d.rng.choice(
        (
            ("above", lambda x: x > limit),
            ("at least", lambda x: x >= limit),
            ("below", lambda x: x < limit),
            ("of at most", lambda x: x <= limit),
        )
    )
    found = sum(1 for each in d.values(name) if test(each))
    lead = d.pick("How many rows have", "number of rows with", "count rows with")
    yield f"{lead} {d.said(name)} {sign} {limit}", found


def grouped(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family grouped."""
    name, column, how = d.number(), d.column(), d.pick("total", "average", "highest")
    found = {value: _figure(d.values(name, rows), how) for value, rows in d.groups(column).items()}
    yield d.pick(f"{how} {d.said(name)} by {d.said(column)}", f"{how} {d.said(name)} per {d.said(column)}"), found


def monthly(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family monthly."""
    name = d.added()
    found: dict[str, Any] = {}
    for row in d.rows:
        found.setdefault(row[d.table.date].strftime("%Y-%m"), []).append(row)
    totals = {key: _figure(d.values(name, rows), "total") for key, rows in found.items()}
    yield d.pick(f"total {d.said(name)} by month", f"total {d.said(name)} per month"), totals


def best(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family best."""
    name, column, way = d.added(), d.column(), d.pick("highest", "lowest")
    totals = d.totals(name, column)
    edge = (max if way == "highest" else min)(totals.values())
    found = {key: value for key, value in totals.items() if value == edge}
    yield f"Which {d.said(column)} has the {way} total {d.said(name)}?", found


def listed(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family listed."""
    column = d.column()
    value = d.value(column)
    found = sum(1 for row in d.rows if row[column] == value)
    yield (
        d.pick(f"Rows of {value}", f"show the rows of {value}", f"list all rows where {column} = {value}"),
        ("rows", found),
    )


def top(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family top."""
    name, number = d.number(), d.rng.randint(2, 4)
    way = d.pick("top", "bottom")
    values = sorted(d.values(name), reverse=way == "top")
    edge = values[number - 1]
    kept = [each for each in values if (each >= edge if way == "top" else each <= edge)]
    yield f"{way} {number} rows by {d.said(name)}", ("column", name, kept)


def extreme(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family extreme."""
    name, way = d.number(), d.pick("highest", "lowest")
    yield f"{way} {d.said(name)}", ("contains", (max if way == "highest" else min)(d.values(name)))


def share(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family share."""
    name, column = d.added(), d.column()
    value = d.value(column)
    part = sum(d.values(name, [row for row in d.rows if row[column] == value]))
    way = "goes to" if column == "destination" else "comes from"
    yield (
        d.pick(f"share of {value} in {d.said(name)}", f"what percentage of {d.said(name)} {way} {value}?"),
        (
            "first",
            100 * part / sum(d.values(name)),
        ),
    )


# held back: written once, and only measured


def between(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family between."""
    name = d.number()
    low, high = sorted(round(each) for each in d.rng.sample(d.values(name), 2))
    found = sum(1 for each in d.values(name) if low <= each <= high)
    yield (
        d.pick(
            f"how many rows have {d.said(name)} between {low} and {high}?",
            f"number of rows where {d.said(name)} is between {low} and {high}",
        ),
        found,
    )


def both(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family both."""
    first, second = d.rng.sample(sorted(d.table.texts), 2)
    one, two, name = d.value(first), d.value(second), d.added()
    rows = [row for row in d.rows if row[first] == one and row[second] == two]
    yield (
        d.pick(
            f"total {d.said(name)} of {one} and {two}"
            if d.rng.random() < 0.3
            else f"total {d.said(name)} of {one} in {two}",
            f"how much {d.said(name)} where {d.said(first)} is {one} and {d.said(second)} is {two}",
        ),
        _figure(d.values(name, rows), "total"),
    )


def either(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family either."""
    column = d.column()
    values = sorted({row[column] for row in d.rows})
    if len(values) < 2:
        return
    one, two = d.rng.sample(values, 2)
    found = sum(1 for row in d.rows if row[column] in (one, two))
    yield (
        d.pick(
            f"how many rows are {one} or {two}",
            f"count of rows where {d.said(column)} is {one} or {two}",
            f"how many rows have the {d.said(column)} {one} or {two}?",
        ),
        found,
    )


def different(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family different."""
    column = d.column()
    yield (
        d.pick(
            f"how many different {d.said(column)}s are there"
            if not d.table.german
            else f"number of different {column}",
            f"number of distinct {d.said(column)}",
        ),
        len({row[column] for row in d.rows}),
    )


def growth(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family growth."""
    name = d.added()
    months = sorted({(row[d.table.date].year, row[d.table.date].month) for row in d.rows})
    if len(months) < 2:
        return
    one, two = sorted(d.rng.sample(months, 2))
    before, after = (
        _figure(d.values(name, [r for r in d.rows if (r[d.table.date].year, r[d.table.date].month) == each]), "total")
        for each in (one, two)
    )
    if not before or after is None:  # the growth to a month without values is none
        return
    said = [f"{calendar.month_name[m]} {y}" for y, m in (one, two)]
    yield (
        d.pick(
            f"growth of {d.said(name)} from {said[0]} to {said[1]}",
            f"how much did {d.said(name)} grow from {said[0]} to {said[1]}?",
            f"change of total {d.said(name)} between {one[0]}-{one[1]:02} and {two[0]}-{two[1]:02}",
        ),
        ("contains", 100 * (after - before) / before),
    )


def since(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family since."""
    day = d.rng.choice(d.rows)[d.table.date]
    way = d.pick("after", "before", "since")
    tests: dict[str, Callable[[Any], bool]] = {
        "after": lambda each: each > day,
        "before": lambda each: each < day,
        "since": lambda each: each >= day,
    }
    found = sum(1 for row in d.rows if tests[way](row[d.table.date]))
    said = d.pick(day.isoformat(), f"{day.day} {calendar.month_name[day.month]} {day.year}")
    yield f"how many rows are {way} {said}", found


def quarter(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family quarter."""
    name, (year, number) = d.added(), d.month()
    which = (number + 2) // 3
    rows = [r for r in d.rows if r[d.table.date].year == year and (r[d.table.date].month + 2) // 3 == which]
    yield (
        d.pick(
            f"total {d.said(name)} in Q{which} {year}",
            f"total {d.said(name)} in the {('first', 'second', 'third', 'fourth')[which - 1]} quarter of {year}",
        ),
        _figure(d.values(name, rows), "total"),
    )


def having(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family having."""
    name, column = d.added(), d.column()
    totals = d.totals(name, column)
    limit = int(statistics.median(totals.values()))
    yield (
        f"which {d.said(column)} have a total {d.said(name)} above {limit}",
        {key: value for key, value in totals.items() if value > limit},
    )


def topped(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family topped."""
    name, column = d.added(), d.column()
    totals = d.totals(name, column)
    edge = sorted(totals.values(), reverse=True)[:2][-1]
    yield f"top 2 {d.said(column)} by total {d.said(name)}", {k: v for k, v in totals.items() if v >= edge}


def flagged(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family flagged."""
    if not d.table.flag:
        return
    yield (
        d.pick(f"how many rows are {d.said(d.table.flag)}?", f"number of rows where {d.said(d.table.flag)} is true"),
        sum(1 for row in d.rows if row[d.table.flag]),
    )


def deutsch(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family deutsch."""
    if not d.table.german:
        return
    name, column = d.added(), d.column()
    value = d.value(column)
    rows = [row for row in d.rows if row[column] == value]
    price = d.rng.choice(d.table.means)
    limit = round(statistics.median(d.values(price)), 1)
    more = sum(1 for each in d.values(price) if each > limit)
    yield from [
        d.rng.choice(
            (
                (f"Wie hoch ist der Durchschnitt von {price} für {value}?", _figure(d.values(price, rows), "average")),
                (f"Summe {name} in {value}", _figure(d.values(name, rows), "total")),
                (f"Wie viele Zeilen haben {price} über {str(limit).replace('.', ',')}?", more),
                (f"Zeige die Zeilen ohne {value}", ("rows", len(d.rows) - len(rows))),
                ("Wie viele Zeilen gibt es?", len(d.rows)),
            )
        )
    ]


def deutsch_grouped(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family deutsch grouped."""
    if not d.table.german:
        return
    name, column = d.added(), d.column()
    totals = d.totals(name, column)
    yield d.pick(f"Summe {name} nach {column}", f"{name} insgesamt je {column}", f"Gesamt {name} pro {column}"), totals


# intractable: a word, or what is measured, is not of the table


def unknown_word(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family unknown word."""
    strange = d.pick("organic", "weekend", "profitable", "discounted", "premium", "quarantined", "biologische")
    column, name = d.column(), d.added()
    yield (
        d.pick(
            f"total {d.said(name)} of {strange} {d.value(column)}",
            f"average {d.said(name)} of {strange} rows",
            f"how many {strange} rows are there",
            f"total {d.said(name)} by {strange}",
        ),
        ASK,
    )


def unknown_number(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family unknown number."""
    name = d.added()
    yield (
        d.pick(
            f"total {d.said(name)} for the last {d.rng.randint(2, 9)} days",
            f"total {d.said(name)} {d.rng.randint(2, 90)}",
            f"{d.said(name)} per {d.rng.randint(2, 9)} rows",
            f"forecast {d.said(name)} for next year",
        ),
        ASK,
    )


def unsaid(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family unsaid."""
    yield d.pick("Which month was the best?", f"Which {d.said(d.column())} is the best?", "what is the total?"), ASK


def correlated(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family correlated."""
    one, two = d.rng.sample(d.table.numbers, 2)
    yield (
        d.pick(
            f"correlation of {d.said(one)} and {d.said(two)}",
            f"total {d.said(one)} divided by {d.said(two)}",
            f"{d.said(one)} of the row with the highest {d.said(two)} minus the lowest",
            f"why is {d.said(one)} so high",
        ),
        ASK,
    )


# families of the second half: their results were not looked at before they were measured


def ranked_groups(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family ranked groups."""
    name, column = d.added(), d.column()
    totals = d.totals(name, column)
    number = min(2, len(totals))
    edge = sorted(totals.values())[:number][-1]
    yield (
        d.pick(
            f"the {number} {d.said(column)} with the lowest total {d.said(name)}",
            f"bottom {number} {d.said(column)} by total {d.said(name)}",
            f"{number} {d.said(column)} with the smallest sum of {d.said(name)}",
        ),
        {k: v for k, v in totals.items() if v <= edge},
    )


def outside(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family outside."""
    column = d.column()
    value = d.value(column)
    found = sum(1 for row in d.rows if row[column] != value)
    yield (
        d.pick(
            f"how many rows are not {value}?",
            f"number of rows where {d.said(column)} is not {value}",
            f"count all rows whose {d.said(column)} is other than {value}",
            f"how many rows are there apart from {value}",
        ),
        found,
    )


def lowest_per(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family lowest per."""
    name, column, how = d.number(), d.column(), d.pick("lowest", "median", "mean")
    found = {value: _figure(d.values(name, rows), how) for value, rows in d.groups(column).items()}
    word = {"lowest": d.pick("lowest", "minimum", "smallest"), "mean": d.pick("mean", "avg")}.get(how, how)
    yield f"Show me the {word} {d.said(name)} for each {d.said(column)}, please", found


def crowded(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family crowded."""
    column = d.column()
    counts = {value: len(rows) for value, rows in d.groups(column).items()}
    limit = int(statistics.median(counts.values()))
    yield (
        d.pick(f"{d.said(column)} with more than {limit} rows", f"which {d.said(column)} have over {limit} rows?"),
        {key: value for key, value in counts.items() if value > limit},
    )


def under_conditions(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family under conditions."""
    name, column = d.number(), d.column()
    value, limit = d.value(column), round(statistics.median(d.values(name)))
    found = sum(1 for r in d.rows if r[column] == value and r[name] is not None and r[name] > limit)
    yield (
        d.pick(
            f"how many {value} rows have {d.said(name)} over {limit}?",
            f"number of rows of {value} where {d.said(name)} exceeds {limit}",
            f"count the rows with {d.said(name)} greater than {limit} and {d.said(column)} = {value}",
        ),
        found,
    )


def span(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family span."""
    name = d.added()
    one, two = sorted(row[d.table.date] for row in d.rng.sample(d.rows, 2))
    rows = [row for row in d.rows if one <= row[d.table.date] <= two]
    yield (
        d.pick(
            f"total {d.said(name)} from {one} to {two}",
            f"sum of {d.said(name)} between {one} and {two}",
            f"how much {d.said(name)} was there from {one.day} {calendar.month_name[one.month]} {one.year} until "
            f"{two.day} {calendar.month_name[two.month]} {two.year}?",
        ),
        _figure(d.values(name, rows), "total"),
    )


def shares(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family shares."""
    name, column = d.added(), d.column()
    whole = sum(d.values(name))
    found = {value: 100 * total / whole for value, total in d.totals(name, column).items()}
    yield (
        d.pick(f"share of {d.said(name)} by {d.said(column)}", f"percentage of {d.said(name)} per {d.said(column)}"),
        found,
    )


def yearly(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family yearly."""
    name, (year, _) = d.added(), d.month()
    rows = [row for row in d.rows if row[d.table.date].year == year]
    yield (
        d.pick(f"{d.said(name)} total of {year}", f"overall {d.said(name)} in {year}", f"total {year} {d.said(name)}"),
        (_figure(d.values(name, rows), "total")),
    )


def deutsch_more(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family deutsch more."""
    if not d.table.german:
        return
    name, column = d.added(), d.column()
    values = sorted({row[column] for row in d.rows})
    counts = {value: sum(1 for row in d.rows if row[column] == value) for value in values}
    limit = round(statistics.median(d.values(name)))
    small = sum(1 for each in d.values(name) if each < limit)
    yield d.rng.choice(
        (
            (f"Anzahl der Zeilen je {column}", counts),
            (f"Wie viele Zeilen haben weniger als {limit} {name}?", small),
            (f"Wie viele verschiedene {column} gibt es?", len(values)),
            (
                f"Wie viel {name} insgesamt ohne {values[0]}?",
                _figure(d.values(name, [row for row in d.rows if row[column] != values[0]]), "total"),
            ),
        )
    )


def compared(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family compared, which have no answer here."""
    column = d.column()
    values = sorted({row[column] for row in d.rows})
    name = d.added()
    yield (
        d.pick(
            f"how much more {d.said(name)} did {values[0]} have than {values[-1]}?",
            f"what is the difference in {d.said(name)} between {values[0]} and {values[-1]}?",
            f"is the {d.said(name)} of {values[0]} growing?",
            f"average monthly {d.said(name)} of {values[0]}",
            f"second highest {d.said(name)}",
            f"{d.said(name)} of {values[0]} as a fraction of {values[-1]}",
        ),
        ASK,
    )


def relative(d: Drawing) -> Iterator[tuple[str, Any]]:
    """Questions of the family relative, which have no answer here."""
    name = d.number()
    yield (
        d.pick(
            f"rows with {d.said(name)} above the average",
            f"total {d.said(name)} last month",
            f"how many rows have twice the {d.said(name)} of last year",
            f"{d.said(name)} this week",
            f"rows where {d.said(name)} is unusually high",
            f"total {d.said(name)} on weekends",
        ),
        ASK,
    )


Family = Callable[[Drawing], Iterator[tuple[str, Any]]]
SEEN: Final[tuple[Family, ...]] = (
    aggregate, filtered, month, without, counted, grouped, monthly, best, listed, top, extreme, share, unknown_word,
    unsaid, between, both, either, different, growth, since, quarter, having, topped, flagged, deutsch, deutsch_grouped,
    unknown_number, correlated,
)  # fmt: skip
HELD: Final[tuple[Family, ...]] = (
    ranked_groups, outside, lowest_per, crowded, under_conditions, span, shares, yearly, deutsch_more, compared,
    relative,
)  # fmt: skip


def questions(table: Drawn, seed: int, families: tuple[Family, ...]) -> Iterator[Question]:
    """Yield one question of each family about a table."""
    for place, family in enumerate(families):
        for text, answer in family(Drawing(table, seed * 1_000 + place)):
            yield Question(family.__name__, text, answer)
