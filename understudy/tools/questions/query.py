"""A query as a question asks for it: what is measured, by which groups, of which rows. It is written as SQL, and as a
sentence, which is a question that means the same."""

from typing import Final

from attrs import frozen

from understudy.tools.chart_data import PERIODS
from understudy.tools.column_types import quote
from understudy.tools.questions.schema import KnownColumn

Text = str | float | int
_NAMES: Final = {"sum": "total", "mean": "average"}
_SQL: Final = {"mean": "avg", "sum": "sum", "median": "median", "min": "min", "max": "max"}
MAX_ROWS: Final = 200
_PERIODS: Final = {**PERIODS, "year": "CAST(year({}) AS INTEGER)"}


@frozen
class Dates:
    """The days from `start` to before `end`, as ISO dates, and how a question says them."""

    start: str
    end: str
    said: str


@frozen
class Term:
    """A condition for rows. `op` is one of = > >= < <= between in (values) within before after since until (dates)
    missing and true; `values` are what it compares with, or `other`, a column."""

    field: KnownColumn
    op: str
    values: tuple[Text | Dates, ...] = ()
    negated: bool = False
    other: KnownColumn | None = None

    @property
    def sql(self) -> str:
        """The condition, which is never unknown: a row without a value meets only a negated one."""
        name, values = self.field.quoted, self.values
        match self.op:
            case "in":
                sql = f"{name} IN ({', '.join(map(literal, values))})"
            case "between":
                sql = f"{name} BETWEEN {literal(values[0])} AND {literal(values[1])}"
            case "within":
                sql = " OR ".join(
                    f"({name} >= DATE '{each.start}' AND {name} < DATE '{each.end}')"
                    for each in values
                    if isinstance(each, Dates)
                )
            case "before" | "after" | "since" | "until":
                day = _dates(values[0])
                sign, edge = {
                    "before": ("<", day.start),
                    "since": (">=", day.start),
                    "after": (">=", day.end),
                    "until": ("<", day.end),
                }[self.op]
                sql = f"{name} {sign} DATE '{edge}'"
            case "missing":
                sql = f"{name} IS NULL"
            case "true":
                sql = name
            case _:
                sql = f"{name} {self.op} {literal(values[0]) if self.other is None else self.other.quoted}"
        return f"(({sql}) IS {'NOT ' if self.negated else ''}TRUE)"

    @property
    def said(self) -> str:
        """The condition in words of the grammar."""
        name, no = self.field.name, "not " if self.negated else ""
        match self.op:
            case "in":
                return f"{name} {'not ' if self.negated else '= '}{' or '.join(map(_shown, self.values))}"
            case "between":
                return f"{name} {no}between {_shown(self.values[0])} and {_shown(self.values[1])}"
            case "within":
                said = [each.said for each in self.values if isinstance(each, Dates)]
                return f"{name} {no}in {' or '.join(said)}"
            case "before" | "after" | "since" | "until":
                day = _dates(self.values[0])
                return f"{name} {no}{self.op} {day.said}"
            case "missing":
                return f"{name} is {no}missing"
            case "true":
                return f"{name} is {'false' if self.negated else 'true'}"
        return f"{name} {no}{self.op} {_shown(self.values[0]) if self.other is None else self.other.name}"


@frozen
class Measure:
    """A figure: rows counted (without a field), different values counted (``distinct``), or an aggregate of a field."""

    aggregate: str
    field: KnownColumn | None = None

    @property
    def sql(self) -> str:
        """The aggregate."""
        if self.field is None:
            return "count(*)"
        if self.aggregate == "distinct":
            return f"count(DISTINCT {self.field.quoted})"
        return f"{_SQL[self.aggregate]}(CAST({self.field.quoted} AS DOUBLE))"

    @property
    def said(self) -> str:
        """The figure in words of the grammar."""
        if self.field is None:
            return "number of rows"
        if self.aggregate == "distinct":
            return f"number of different {self.field.name}"
        return f"{_NAMES.get(self.aggregate, self.aggregate)} {self.field.name}"

    @property
    def title(self) -> str:
        """The head of its column."""
        if self.field is None:
            return "rows"
        how = "different" if self.aggregate == "distinct" else _NAMES.get(self.aggregate, self.aggregate)
        return f"{how} {self.field.name}"


@frozen
class GroupKey:
    """A field to group by, or the periods of its dates."""

    field: KnownColumn
    unit: str = ""

    @property
    def sql(self) -> str:
        """The expression to group by."""
        return _PERIODS[self.unit].format(self.field.quoted) if self.unit else self.field.quoted

    @property
    def title(self) -> str:
        """The head of its column."""
        return self.unit or self.field.name

    @property
    def said(self) -> str:
        """The group in words of the grammar."""
        return f"{self.unit} of {self.field.name}" if self.unit else self.field.name


@frozen
class Having:
    """A condition for groups: a figure compared with a number."""

    measure: Measure
    op: str
    value: float

    @property
    def said(self) -> str:
        """The condition in words of the grammar."""
        return f"with {self.measure.said} {self.op} {_shown(self.value)}"


@frozen
class TableQuery:
    """What a question asks for.

    `form`: ``figures`` (by groups, if there are some), ``rows``, ``values`` (different ones of `fields`), ``list`` (of
    `fields`), ``share`` or ``growth``. `limit` with `descending` ranks groups by the first measure, or rows by
    `ranked`, by which all rows are sorted without a limit. `where` is a disjunction of conjunctions. `pair`: the
    periods of a growth, of the column `dated`.
    """

    form: str
    measures: tuple[Measure, ...] = ()
    groups: tuple[GroupKey, ...] = ()
    where: tuple[tuple[Term, ...], ...] = ()
    having: Having | None = None
    fields: tuple[KnownColumn, ...] = ()
    ranked: KnownColumn | None = None
    descending: bool | None = None
    limit: int | None = None
    pair: tuple[Dates, Dates] | None = None
    dated: KnownColumn | None = None
    chart: str | None = None

    @property
    def condition(self) -> str:
        """The condition for rows, in SQL; empty without one."""
        return " OR ".join("(" + " AND ".join(term.sql for term in terms) + ")" for terms in self.where)

    @property
    def rows_where(self) -> str:
        """The condition for rows in words; empty without one."""
        return " or ".join(" and ".join(term.said for term in terms) for terms in self.where)

    @property
    def sql(self) -> str:
        """The query, over the table ``data``."""
        where = f" WHERE {self.condition}" if self.condition else ""
        match self.form:
            case "share":
                return self._share()
            case "growth":
                return self._growth(where)
            case "rows" | "list":
                return self._rows(where)
            case "values":
                names = ", ".join(each.selected for each in self.fields)
                return f"SELECT DISTINCT {names} FROM data{where} ORDER BY ALL"  # noqa: S608 (quoted)
        heads = [f"{each.sql} AS {quote(each.title)}" for each in self.groups]
        heads += [f"{each.sql} AS {quote(each.title)}" for each in self.measures]
        sql = f"SELECT {', '.join(heads)} FROM data{where}"  # noqa: S608 (quoted)
        if not self.groups:
            return sql
        sql += f" GROUP BY {', '.join(str(n) for n in range(1, len(self.groups) + 1))}"
        if self.having is not None:
            sql += f" HAVING {self.having.measure.sql} {self.having.op} {literal(self.having.value)}"
        value = self.measures[0].sql
        if self.limit is not None:
            way = "DESC" if self.descending else "ASC"
            sql += f" QUALIFY {value} IS NOT NULL AND rank() OVER (ORDER BY {value} {way} NULLS LAST) <= {self.limit}"
            return f"{sql} ORDER BY {value} {way}, 1"
        if self.descending is not None:
            return f"{sql} ORDER BY {value} {'DESC' if self.descending else 'ASC'} NULLS LAST, 1"
        in_order = bool(self.groups[0].unit) or self.groups[0].field.kind != "text"
        return f"{sql} ORDER BY {'ALL' if in_order else f'{value} DESC NULLS LAST, 1'}"

    def _rows(self, where: str) -> str:
        names = ", ".join(each.selected for each in self.fields) or "*"
        sql = f"SELECT {names} FROM data{where}"  # noqa: S608 (quoted)
        if self.ranked is not None:
            name, way = self.ranked.quoted, "DESC" if self.descending else "ASC"
            if self.limit is None:
                return f"{sql} ORDER BY {name} {way} NULLS LAST, rowid"
            rank = f"rank() OVER (ORDER BY {name} {way} NULLS LAST)"
            return f"{sql} QUALIFY {name} IS NOT NULL AND {rank} <= {self.limit} ORDER BY {name} {way}, rowid"
        if self.limit is None:
            return f"{sql} ORDER BY rowid"
        if self.limit >= 0:
            return f"{sql} ORDER BY rowid LIMIT {self.limit}"
        return f"SELECT * FROM (SELECT {names} FROM data{where} ORDER BY rowid DESC LIMIT {-self.limit})"  # noqa: S608

    def _share(self) -> str:
        (measure,) = self.measures
        whole = measure.sql
        if self.groups:
            where = f" WHERE {self.condition}" if self.condition else ""
            heads = ", ".join(f"{each.sql} AS {quote(each.title)}" for each in self.groups)
            numbers = ", ".join(str(n) for n in range(1, len(self.groups) + 1))
            share = f"100.0 * {whole} / sum({whole}) OVER ()"
            return (
                f'SELECT {heads}, {share} AS "share in %", {whole} AS {quote(measure.title)} FROM data{where} '  # noqa: S608
                f"GROUP BY {numbers} ORDER BY {len(self.groups) + 1} DESC"
            )
        part = f"{whole} FILTER ({self.condition})"
        return (
            f'SELECT 100.0 * coalesce({part}, 0) / nullif({whole}, 0) AS "share in %", '  # noqa: S608 (quoted)
            f"{part} AS {quote(measure.title)}, {whole} AS {quote(measure.title + ' of all')} FROM data"
        )

    def _growth(self, where: str) -> str:
        (measure,), pair, dated = self.measures, self.pair, self.dated
        if pair is None or dated is None:
            raise ValueError("growth needs two periods of a column of dates")
        first, second = (f"{measure.sql} FILTER ({Term(dated, 'within', (each,)).sql})" for each in pair)
        return (
            f"SELECT {first} AS {quote(pair[0].said)}, {second} AS {quote(pair[1].said)}, "  # noqa: S608 (quoted)
            f'{second} - {first} AS "change", 100.0 * ({second} - {first}) / nullif({first}, 0) AS "growth in %" '
            f"FROM data{where}"
        )

    @property
    def _most(self) -> str:
        return "highest" if self.descending else "lowest"

    @property
    def said(self) -> str:
        """The query in words of the grammar: a question that is read as this query."""
        where = f" where {self.rows_where}" if self.where else ""
        by = f" by {' and '.join(each.said for each in self.groups)}" if self.groups else ""
        figures = " and ".join(each.said for each in self.measures)
        match self.form:
            case "share":
                said = f"share of {figures.removeprefix('total ').removeprefix('number of ')}{by}{where}"
            case "growth" if self.pair is not None:
                said = f"growth of {figures} from {self.pair[0].said} to {self.pair[1].said}{where}"
            case "values":
                said = f"different {' and '.join(each.name for each in self.fields)}{where}"
            case "rows" | "list":
                what = " and ".join(each.name for each in self.fields) or "rows"
                if self.ranked is not None and self.limit is None:
                    way = "descending" if self.descending else "ascending"
                    said = f"{what}{where} sorted by {self.ranked.name} {way}"
                elif self.ranked is not None and self.limit == 1 and not self.fields:
                    said = f"{self._most} {self.ranked.name}{where}"
                elif self.ranked is not None and self.limit == 1:
                    said = f"{self.fields[0].name} with the {self._most} {self.ranked.name}{where}"
                elif self.ranked is not None:
                    ranked = self.fields[0].name if self.fields else "rows"
                    said = (
                        f"{'top' if self.descending else 'bottom'} {self.limit} {ranked} by {self.ranked.name}{where}"
                    )
                elif self.limit is not None:
                    said = f"{'first' if self.limit >= 0 else 'last'} {abs(self.limit)} {what}{where}"
                else:
                    numbers = bool(self.fields) and all(each.kind == "number" for each in self.fields)
                    said = f"{'list ' if len(self.fields) == 1 or numbers else ''}{what}{where}"
            case _ if self.groups and self.limit is not None:
                groups = " and ".join(each.said for each in self.groups)
                if self.limit == 1 and self.measures[0].aggregate in ("min", "max"):
                    figures = figures.partition(" ")[2]
                if self.limit == 1:
                    said = f"{groups} with the {self._most} {figures}{where}"
                else:
                    said = f"{'top' if self.descending else 'bottom'} {self.limit} {groups} by {figures}{where}"
            case _ if self.having is not None:
                said = f"{figures}{by} {self.having.said}{where}"
            case _:
                way = "" if self.descending is None else ", highest first" if self.descending else ", lowest first"
                said = f"{figures}{by}{where}{way}"
        return said if self.chart is None else f"{self.chart} chart of {said}".strip()


def literal(value: Text | Dates) -> str:
    """Return a value as SQL."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Dates):
        raise TypeError("a period is no single value")
    return repr(value)


def _dates(value: Text | Dates) -> Dates:
    if not isinstance(value, Dates):
        raise TypeError(f"not a period: {value!r}")
    return value


def _shown(value: Text | Dates) -> str:
    if isinstance(value, str):
        return f"“{value}”"
    return f"{value:.15g}" if isinstance(value, int | float) else value.said
