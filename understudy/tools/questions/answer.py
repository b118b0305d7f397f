"""Answers a question about a table, or says what is missing. Runs in the table's process."""

import difflib
import math
import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve, frozen

from understudy.tools.column_types import shown
from understudy.tools.duckdb_session import Table
from understudy.tools.errors import ToolError
from understudy.tools.profiling import whole
from understudy.tools.questions.doubts import may_be_of_all_rows, mixed_units
from understudy.tools.questions.grammar import queries_of
from understudy.tools.questions.lexer import Lexer
from understudy.tools.questions.query import MAX_ROWS, GroupKey, TableQuery
from understudy.tools.questions.schema import Schema, forms, plain, read_schema
from understudy.tools.questions.vocabulary import WORDS

MAX_CHARACTERS: Final = 400
"""Characters of a question. A longer one is refused: its rest may change what it asks."""
MAX_OFFERED: Final = 4
"""Readings that are offered."""
_MAX_CELL: Final = 200


@frozen
class Answered:
    """The answer to a question: how it was read, the rows that it is about, and the figures or rows.

    `more`: rows were left out. `figures`: the rows are figures, not rows of the table. `ranked`: they are the best of
    some. `grouped_by` is the column of values that the figures are grouped by, and `rows_where` the condition for rows,
    in words. `chart` has the arguments of a chart, if one is asked for.
    """

    read_as: str
    sql: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    counted: int
    more: bool = False
    figures: bool = False
    ranked: bool = False
    chartable: bool = False
    grouped_by: str | None = None
    rows_where: str = ""
    chart: tuple[Any, ...] | None = None


@frozen
class AskedBack:
    """Why a question is not answered: the words that have no place in it, or that it may mean several things; and
    questions near it, that can be answered."""

    unplaced: tuple[str, ...]
    readings: tuple[str, ...]
    ambiguous: bool = False


@frozen
class Outcome:
    """An answer, or why there is none. `notes` say how the columns that it is about were read, where that was open."""

    answered: Answered | None = None
    asked: AskedBack | None = None
    notes: tuple[str, ...] = ()


def answer(table: Table, name: str, question: str, before: str | None = None) -> Outcome:
    """Answer a question about a table called `name`; `before` is the question that it continues, if it does.

    Raises `ToolError` ``invalid_arguments`` for a question of more than `MAX_CHARACTERS`.
    """
    if max(len(question), len(before or "")) > MAX_CHARACTERS:
        message = f"A question about a table may have {MAX_CHARACTERS} characters; ask for less at once."
        raise ToolError("invalid_arguments", message)
    question = _without_name(question, name)
    schema = read_schema(table, name, f"{question} {before or ''}")
    queries = queries_of(question, schema)
    if not queries and before is None:
        queries = queries_of(question, schema, bare=True)
    if before is not None:
        earlier = queries_of(_without_name(before, name), schema)[:1]
        if not queries:
            queries = _continued(question, earlier, schema)
        elif not any(each.where for each in queries):  # “and units?” may be of pears, as the price before was
            queries = [*queries, *(evolve(each, where=of.where) for of in earlier if of.where for each in queries)]
    found: list[tuple[TableQuery, Answered]] = []
    for query in queries:
        answered = _run(table, query)
        if not any(_agree(answered, each) and _same_rows(table, query, of) for of, each in found):
            found.append((query, answered))
    if len(found) == 1:
        ((query, answered),) = found
        if (units := mixed_units(table, query, schema)) is not None:
            by_unit = evolve(query, form="figures", groups=(GroupKey(units), *query.groups), ranked=None, limit=None)
            return Outcome(asked=AskedBack((), (by_unit.said,) if query.measures else (), ambiguous=True))
        if not may_be_of_all_rows(table, query, question):
            return Outcome(answered, notes=_notes(table, query.sql))
    if found:
        asked = AskedBack((), tuple(query.said for query, _ in found[:MAX_OFFERED]), ambiguous=True)
    else:
        unknown = [each.text for each in Lexer(question, schema).unknown()]
        near = tuple(_near(question, unknown, schema))[:MAX_OFFERED]
        asked = AskedBack(tuple(dict.fromkeys(unknown)), near)
    return Outcome(asked=asked, notes=_notes(table, question))


def _notes(table: Table, text: str) -> tuple[str, ...]:
    """Return the table's notes about columns that a question or its SQL names."""
    names = [column.name for column in table.columns]
    named = [shown(each) for each in names if re.search(rf"(?i)(?<!\w){re.escape(each)}(?!\w)", text)]
    return tuple(each for each in table.notes if each.startswith(tuple(named)))[:MAX_OFFERED]


def _without_name(question: str, name: str) -> str:
    """Return a question without the name of its file, as in “rows in sales.csv”."""
    stem = name.rsplit(".", 1)[0]
    for each in (name, *((stem,) if re.search(r"[\W\d_]", stem) else ())):
        question = re.sub(rf"(?i)(?:\b(?:in|of|from|for)\s+)?(?<![\w.]){re.escape(each)}(?![\w])", " ", question)
    return question


def _run(table: Table, query: TableQuery) -> Answered:
    found = table.rows(f"SELECT * FROM ({query.sql}) LIMIT {MAX_ROWS + 1}")  # noqa: S608 (made of quoted names)
    heads = [each for each, *_ in table.connection.description or ()]
    where = f" WHERE {query.condition}" if query.condition and query.form != "share" else ""
    ((counted,),) = table.rows(f"SELECT count(*) FROM data{where}")  # noqa: S608 (quoted)
    rows = [[_cell(each) for each in row] for row in found[:MAX_ROWS]]
    figures = query.form in ("figures", "share", "growth")
    alone = query.groups[0] if len(query.groups) == 1 else None
    return Answered(
        query.said,
        query.sql,
        tuple(heads),
        rows,
        counted,
        more=len(found) > MAX_ROWS,
        figures=figures,
        ranked=query.form == "figures" and query.limit is not None,
        chartable=alone is not None and query.form == "figures" and query.limit is None and len(query.measures) == 1,
        grouped_by=alone.field.name if alone is not None and not alone.unit and not alone.field.expression else None,
        rows_where=query.rows_where,
        chart=_chart(query),
    )


def _chart(query: TableQuery) -> tuple[Any, ...] | None:
    """Return the arguments of a chart: x, y, aggregate, kind and condition."""
    if query.chart is None:
        return None
    measure, group = query.measures[0], query.groups[0]
    field = None if measure.field is None else measure.field.name
    return group.said, field, measure.aggregate, query.chart or None, query.condition


def _agree(one: Answered, other: Answered) -> bool:
    """Whether two readings give the same: the same figures in the same order, whatever their columns are called."""
    if one.chart != other.chart or not one.rows:
        return False
    if one.ranked and other.ranked:
        return [each[0] for each in one.rows] == [each[0] for each in other.rows]
    return one.rows == other.rows


def _same_rows(table: Table, one: TableQuery, other: TableQuery) -> bool:
    """Return whether two readings are about the same rows: two matches at home are not the two away."""
    if one.condition == other.condition:
        return True
    ((differing,),) = table.rows(
        f"SELECT count(*) FROM data WHERE ({one.condition or 'TRUE'}) <> ({other.condition or 'TRUE'})"  # noqa: S608 (quoted)
    )
    return bool(differing == 0)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return str(value)[:_MAX_CELL]


def _continued(question: str, before: Sequence[TableQuery], schema: Schema) -> list[TableQuery]:
    """Return the query of an earlier question with what this one changes: “and by month?”, “what about south?”."""
    text = re.sub(r"(?i)^\W*(?:no|nein|nope)\s*,", "", question)  # a correction, and no condition
    rest = re.sub(r"(?i)^\W*(?:and|or|so|now|then|what about|how about|only|just|und|oder|nur)\b", "", text)
    found = []
    for earlier in before:
        for text in (f"number of rows {rest}", f"number of rows where {rest}", f"number of rows by {rest}"):
            for each in queries_of(text, schema):
                if each.form != "figures" or each.measures[0].field is not None:
                    continue
                if not (each.where or each.groups or each.chart is not None):
                    continue
                if (each.groups or each.chart is not None) and earlier.form != "figures":
                    continue  # rows have no groups
                changed = evolve(earlier, groups=each.groups or earlier.groups, where=_merged(earlier, each))
                if each.chart is not None:
                    changed = evolve(changed, chart=each.chart)
                if earlier.limit is None and changed not in found:
                    found.append(changed)
            if found:
                return found
    return found


def _merged(earlier: TableQuery, later: TableQuery) -> Any:
    """Return the conditions of both; one for the same column replaces the earlier one."""
    if not later.where:
        return earlier.where
    if len(later.where) > 1 or len(earlier.where) > 1:
        return later.where
    named = {term.field.name for terms in later.where for term in terms}
    kept = tuple(term for terms in earlier.where for term in terms if term.field.name not in named)
    return ((*kept, *later.where[0]),)


def _near(question: str, unknown: Sequence[str], schema: Schema) -> list[str]:
    """Return questions near one that has no reading: its misspelt words mended, or without its unknown words."""
    known = {word for words in WORDS for word in words if len(word) > 3}
    for each in schema.fields:
        known |= {form for word in each.key for form in forms(word) if len(word) > 2}
        known |= {word for key in list(each.values)[:500] for word in key if len(word) > 2}
    found: list[str] = []
    for mended in (True, False):
        text = question
        for word in unknown:
            near = difflib.get_close_matches(plain(word), sorted(known), 1, 0.75) if mended else []
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", near[0] if near else " ", text)
        if unknown and text.split() != question.split():
            found += [each.said for each in queries_of(text, schema)]
    if not found:
        found = _with_mentioned(question, schema)
    return list(dict.fromkeys(found))


def _with_mentioned(question: str, schema: Schema) -> list[str]:
    """Return questions about the columns that are mentioned."""
    lexer, found = Lexer(question, schema), list[str]()
    measured = [each for each in schema.of_kind("number") if not (each.is_identifier or each.counts_rows)]
    for number in measured[:MAX_OFFERED]:
        found += [query.said for query in queries_of(f'{question} "{number.name}"', schema)[:1]]
    if found:
        return found
    columns = [e.value for reading in list(lexer.readings())[:1] for e in reading if e.kind == "column"]
    numbers = [each for each in columns if each in measured] or measured[:1]
    groups = [each for each in columns if each.kind in ("text", "date")] or list(schema.of_kind("text"))[:1]
    for number in numbers[:2]:
        how = "average" if number.is_averaged else "total"
        for group in groups[:1]:
            by = f"month of {group.name}" if group.kind == "date" else group.name
            found.append(f"{how} {number.name} by {by}")
        found.append(f"{how} {number.name}")
    found += [f"number of rows by {each.name}" for each in groups[:1] if each.kind == "text"]
    return [said for each in found for said in (query.said for query in queries_of(each, schema)[:1])] or ["rows"]
