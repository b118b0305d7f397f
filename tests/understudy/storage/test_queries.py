"""Questions find their rows by an index: none of them reads a table from end to end as it grows."""

import pytest

from understudy.storage import queries
from understudy.storage.queries import encode

pytestmark = pytest.mark.usefixtures("on_sqlite")

ASKED = [
    (queries.thread, "ann", "t1"),
    (queries.threads, "ann", "", None, 50),
    (queries.threads, "ann", "", encode(3.5, "t1"), 50),
    (queries.live_threads, "ann", 50),
    (queries.message, "ann", "m1"),
    (queries.messages, "ann", "t1", None, 100),
    (queries.messages, "ann", "t1", encode(7), 100),
    (queries.messages_forward, "ann", "t1", encode(7), 100),
    (queries.last_seqs, "ann", ("t1", "t2")),
    (queries.run_of_request, "ann", "q1"),
    (queries.events, "ann", "t1", 5, 500),
    (queries.log_page, "ann", "t1", 5, 500),
    (queries.thread_with_open_runs, "ann", "t1"),
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
    statements: list[str] = []
    with database.reading.begin() as connection:
        driver = connection.connection.dbapi_connection
        driver.set_trace_callback(statements.append)
        query(connection, *args)
        driver.set_trace_callback(None)
        assert statements
        plan = [row[3] for statement in statements for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
    for step in plan:
        assert (
            step.startswith(("SEARCH", "CORRELATED", "SCAN runs USING INDEX ix_runs_unfinished")) or "ORDER BY" in step
        ), plan
        assert step != "USE TEMP B-TREE FOR ORDER BY", plan
