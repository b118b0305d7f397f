"""Questions find their rows by an index: none of them reads a table from end to end as it grows."""

import pytest
from sqlalchemy import event

from understudy.storage import queries
from understudy.storage.queries import encode

ASKED = [
    (queries.thread, "ann", "t1"),
    (queries.threads, "ann", "", None, 50),
    (queries.threads, "ann", "", encode(3.5, "t1"), 50),
    (queries.live_threads, "ann", 50),
    (queries.message, "ann", "m1"),
    (queries.messages, "ann", "t1", None, 100),
    (queries.messages, "ann", "t1", encode(7), 100),
    (queries.events, "ann", "t1", 5, 500),
    (queries.run_events, "ann", "t1", "r1"),
    (queries.run, "r1"),
    (queries.unfinished_runs, None, None),
    (queries.steps, "r1"),
    (queries.file, "ann", "f1"),
    (queries.files, "ann", ["f1", "f2"]),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked[0].__name__)
def test_every_question_has_an_index(database, asked) -> None:
    """SQLite's plan searches, and sorts at most rows of an equal moment."""
    query, *args = asked
    statements = []
    with database.reading.begin() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: statements.append(call[2:4]))
        query(connection, *args)
        [(statement, parameters)] = statements
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for step in plan:
        assert step.startswith(("SEARCH", "SCAN runs USING INDEX ix_runs_unfinished")) or "ORDER BY" in step, plan
        assert step != "USE TEMP B-TREE FOR ORDER BY", plan
