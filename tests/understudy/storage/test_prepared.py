"""Prepared statements on both databases: JSON in and out, NULL, lists, and constants."""

from typing import Any

import pytest
from attrs import asdict
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tests.rigs.database import Make
from understudy.storage import schema
from understudy.storage.database import Database
from understudy.storage.prepared import Prepared

_m, _r, _s = schema.messages.c, schema.runs.c, schema.steps.c
_steps = Prepared(
    select(_s.run_id, _s.number, _s.arguments, _s.result, _s.ended_at)
    .where(
        _s.run_id.in_(bindparam("runs", expanding=True)),
        _s.kind == "tool",
        _s.name.in_(bindparam("names", expanding=True)),
    )
    .order_by(_s.run_id, _s.number)
)


def test_json_is_stored_and_read_as_sqlalchemy_does(database: Database, make: Make) -> None:
    arguments: dict[str, Any] = {"text": "ü “quoted”", "list": [1, 2.5, None, True]}
    put = Prepared(insert(schema.steps))
    rows = [
        asdict(make.step(1, arguments=arguments, result=None), recurse=False),
        asdict(make.step(2, arguments=[], result="text", ended_at=None), recurse=False),
    ]
    with database.writing.begin() as connection:
        make.opening().apply(connection)
        put.run(connection, rows)
        stored = connection.execute(select(_s.arguments, _s.result, _s.ended_at).order_by(_s.number)).all()
        read = _steps.rows(connection, runs=["r1"], names=["sum"])
    assert [tuple(row) for row in stored] == [(arguments, None, 103.0), ([], "text", None)]
    assert [row[2:] for row in read] == [(arguments, None, 103.0), ([], "text", None)]


def test_none_is_null_in_the_columns_of_json_that_say_so(database: Database, make: Make) -> None:
    with database.writing.begin() as connection:
        make.opening().apply(connection)
        nulls = connection.execute(select(_m.id).where(_m.files.is_(None), _m.visualization.is_(None))).all()
    assert [null.id for null in nulls] == ["m-t1"]


def test_lists_take_any_number_of_values(database: Database, make: Make) -> None:
    with database.writing.begin() as connection:
        for name in ("r1", "r2", "r3"):
            make.opening(thread_id=f"t-{name}", run_id=name).apply(connection)
            make.change(thread_id=f"t-{name}", steps=(make.step(1, name), make.step(2, name, name="x"))).apply(
                connection
            )
        rows = [
            [row[:2] for row in _steps.rows(connection, runs=runs, names=names)]
            for runs, names in ((["r1"], ["sum"]), (["r3", "r1", "r0"], ["sum", "x"]), (["r2"], ["other"]))
        ]
    assert rows == [[("r1", 1)], [("r1", 1), ("r1", 2), ("r3", 1), ("r3", 2)], []]


def test_a_statement_has_its_constants_and_tells_how_many_rows_it_changed(database: Database, make: Make) -> None:
    end = Prepared(
        update(schema.runs).where(_r.id == bindparam("named"), _r.status == "running").values(status="failed")
    )
    with database.writing.begin() as connection:
        make.opening().apply(connection)
        changed = [end.run(connection, [{"named": "r1"}]).rowcount for _ in range(2)]
        status = connection.execute(select(_r.status)).scalar_one()
    assert (changed, status) == ([1, 0], "failed")


@pytest.mark.parametrize("numbers", [(1,), (2, 1)])
def test_a_refused_row_raises_sqlalchemys_error_with_the_drivers(
    database: Database, make: Make, numbers: tuple[int, ...]
) -> None:
    """The writer decides by its class whether one change or the whole group has failed."""
    put = Prepared(insert(schema.steps))
    rows = [asdict(make.step(number), recurse=False) for number in numbers]
    with database.writing.connect() as connection, connection.begin():
        make.opening().apply(connection)
        put.run(connection, [asdict(make.step(1), recurse=False)])
        with pytest.raises(IntegrityError) as refused:
            put.run(connection, rows)
    assert isinstance(refused.value.orig, connection.dialect.loaded_dbapi.IntegrityError)
