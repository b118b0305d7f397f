"""What leaves a question open that has one reading: a figure of several units, or of all rows of a value."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from understudy.tools.duckdb_session import Table
from understudy.tools.questions.lexer import tokens_of
from understudy.tools.questions.query import Measure, TableQuery
from understudy.tools.questions.schema import KnownColumn, Schema, key_of
from understudy.tools.questions.vocabulary import WORDS
from understudy.tools.units import mixed_unit


def mixed_units(table: Table, query: TableQuery, schema: Schema) -> KnownColumn | None:
    """Return the column of units of which a figure has several in one, such as dollars and euros; None for no such."""
    figures = [each.field for each in query.measures if each.aggregate not in ("count", "distinct")]
    grouped = [each.field.name for each in query.groups]
    where = "" if query.form == "share" else query.condition  # a share is of all
    for each in [*figures, query.ranked]:
        if each is not None and (unit := mixed_unit(table, each.name, grouped, where)) is not None:
            return next(known for known in schema.fields if known.name == unit.name)
    return None


def may_be_of_all_rows(table: Table, query: TableQuery, question: str) -> bool:
    """Return whether a question for values is about all rows of each together, which would be other values.

    Customers without pears have no row of pears, and not some other row, too; those with only pears have no other row;
    those with pears and plums have a row of each; those with less than 20 units have less in all. Nothing is open if
    the question says “where”: that is of rows.
    """
    counted = [each.field for each in query.measures if each.aggregate == "distinct"]
    fields = query.fields if query.form == "values" else () if query.groups else tuple(counted)
    tokens = tokens_of(question)
    kinds = {kind for each in tokens for kind, _ in WORDS.get((each.plain,), ())}
    words = {each.plain for each in tokens}
    if len(fields) != 1 or fields[0] is None or fields[0].unique or len(query.where) != 1 or words & {"where", "wo"}:
        return False
    (terms,), name = query.where, fields[0].quoted

    def found(sql: Sequence[str]) -> str:
        return f"SELECT {name} FROM data WHERE {' AND '.join(['TRUE', *sql])}"  # noqa: S608 (quoted)

    of_all = []
    denied = [each for each in terms if each.negated or each.op == "missing" or each.values == (0,)]
    if words & {"only", "nur"}:
        of_all.append(f"{found([query.condition])} EXCEPT {found([f'NOT ({query.condition})'])}")
    elif "not" in kinds and denied:
        refuting = [each.sql for each in terms if each not in denied]
        refuting.append(f"NOT ({' AND '.join(each.sql for each in denied)})")
        of_all.append(f"{found([])} EXCEPT {found(refuting)}")
    for term in terms:
        others = [each.sql for each in terms if each is not term]
        if term.op == "in" and not term.negated and "and" in kinds and "or" not in kinds:
            same_value: dict[Any, list[Any]] = {}
            for value in term.values:
                same_value.setdefault(key_of(str(value)), []).append(value)
            each_one = [evolve(term, values=tuple(values)).sql for values in same_value.values()]
            of_all.append(" INTERSECT ".join(found([*others, sql]) for sql in each_one))
        elif term.op in ("<", ">", "<=", ">=") and not term.field.is_averaged:
            total = f"{Measure('sum', term.field).sql} {term.op} {term.values[0]}"
            of_all.append(f"{found(others)} GROUP BY ALL HAVING {'NOT ' if term.negated else ''}{total}")
    some = found([query.condition])
    for each in of_all:
        sql = f"SELECT count(*) FROM ((({each}) EXCEPT ({some})) UNION ALL (({some}) EXCEPT ({each})))"  # noqa: S608
        if table.rows(sql)[0][0]:
            return True
    return False
