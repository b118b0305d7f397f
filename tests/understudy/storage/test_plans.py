"""How queries that every connection asks are answered: by an index, on either database, however long a log is."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.rigs.million_events import OWNER, Built, build
from tests.servers.postgresql import Postgres
from understudy.extensions.files import EXTENSION as FILES
from understudy.extensions.files.storage import among
from understudy.extensions.memory.storage import memories
from understudy.extensions.privacy import queries as archive_queries
from understudy.storage import queries, turns
from understudy.storage.postgresql import connect_database
from understudy.storage.sqlite import open_database

EVENTS = 20_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield a database with a thread of 2,000 events and others of 1,000, and its contents."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("filled")
        built = build(folder, EVENTS)
        database: Any = open_database(folder)
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        address = postgres.create()
        built = build(address, EVENTS)
        database = connect_database(address)
    yield database, built
    database.close()


def plans(connection: Connection, ask: Any) -> str:
    """How each statement of a question would be answered."""
    queries_seen: list[tuple[str, Any]] = []
    driver = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        driver.set_trace_callback(lambda sql: None if sql.startswith("--") else queries_seen.append((sql, None)))
        ask()
        driver.set_trace_callback(None)
        rows = [row for sql, _ in queries_seen for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
        return "\n".join(str(row[3]) for row in rows)
    driver.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = on")
    execute = driver.execute

    def explained(sql: Any, *args: Any, **kwargs: Any) -> Any:
        queries_seen.extend((row[0], None) for row in execute(f"EXPLAIN {sql}", *args, **kwargs).fetchall())
        return execute(sql, *args, **kwargs)

    def before(_connection: Any, cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        rows = cursor.connection.cursor().execute(f"EXPLAIN {sql}", parameters).fetchall()
        queries_seen.extend((row[0], None) for row in rows)

    event.listen(connection, "before_cursor_execute", before)
    driver.execute = explained
    try:
        ask()
    finally:
        del driver.execute
        event.remove(connection, "before_cursor_execute", before)
    return "\n".join(line for line, _ in queries_seen)


def questions(built: Built) -> dict[str, Any]:
    """Return the frequent queries as functions of a connection."""
    long, last = built.long_thread, built.long_events
    return {
        "thread": lambda c: queries.thread(c, OWNER, long),
        "opening": lambda c: queries.thread_with_open_runs(c, OWNER, long),
        "opening.many": lambda c: queries.many_with_open_runs(c, [(OWNER, long), ("user-001", "t")]),
        "last_seqs.many": lambda c: queries.last_seqs_of_many(c, [(OWNER, [long]), ("user-001", ["t"])]),
        "live_threads": lambda c: queries.live_threads(c, OWNER, 50),
        "begun_since": lambda c: queries.begun_since(c, OWNER, 2e9, 50),
        "last_seqs": lambda c: queries.last_seqs(c, OWNER, [long]),
        "log_page": lambda c: queries.log_page(c, OWNER, long, last - 1000, 1000),
        "threads": lambda c: queries.threads(c, OWNER, "", None, 50),
        "threads.pinned": lambda c: queries.threads(c, OWNER, "", None, 50, "pinned"),
        "threads.archived": lambda c: queries.threads(c, OWNER, "", None, 50, "archived"),
        "threads.tagged": lambda c: queries.threads(c, OWNER, "", None, 50, "active", ("work",)),
        "tags": lambda c: queries.tags(c, OWNER),
        "threads.next": lambda c: queries.threads(c, OWNER, "", queries.encode(3.5, long), 50),
        "messages": lambda c: queries.messages(c, OWNER, long, None, 100),
        "messages.next": lambda c: queries.messages(c, OWNER, long, queries.encode(7), 100),
        "thread_page": lambda c: queries.thread_page(c, OWNER, long, None, 100),
        "turns_page": lambda c: turns.turns_page(c, OWNER, long, None, None, 20),
        "turns_page.before": lambda c: turns.turns_page(c, OWNER, long, f"answer-{50:032x}", None, 20),
        "turns_page.through": lambda c: turns.turns_page(c, OWNER, long, None, f"{70:032x}", 20),
        "event_page": lambda c: queries.event_page(c, OWNER, long, last - 1000, 1000),
        "messages_forward": lambda c: queries.messages_forward(c, OWNER, long, None, 100),
        "message": lambda c: queries.message(c, OWNER, f"said-{built.found}"),
        "run_events": lambda c: queries.run_events(c, OWNER, long, f"{0:032x}"),
        "run_of_request": lambda c: queries.run_of_request(c, OWNER, "q1"),
        "runs_of": lambda c: queries.runs_of(c, OWNER, [f"said-{built.found}"]),
        "run": lambda c: queries.run(c, f"{0:032x}"),
        "steps": lambda c: queries.steps(c, f"{0:032x}"),
        "history": lambda c: queries.history(c, OWNER, f"said-{built.found}", 100),
        "unfinished": lambda c: queries.unfinished_runs(c, None, None),
        "search": lambda c: queries.threads(c, OWNER, built.found, None, 50),
        "files": lambda c: among(c, OWNER, ["0" * 32, "1" * 32]),
        "archive.users": lambda c: archive_queries.users(c, "", None),
        "archive.threads": lambda c: archive_queries.threads(c, OWNER, ""),
        "archive.steps": lambda c: archive_queries.steps(c, [f"{0:032x}"]),
        "archive.files": lambda c: archive_queries.rows(c, FILES.user_data()[0], OWNER),
        "archive.contexts": lambda c: memories(c, OWNER, ("", "")),
        "ageing.threads": lambda c: archive_queries.old_threads(c, ("", ""), 0.0, 2e9),
    }


NAMES = tuple(questions(Built("", (), "", 0, 0, "", 0.0)))


@pytest.mark.parametrize("name", NAMES)
def test_an_index_answers(filled: Any, name: str) -> None:
    database, built = filled
    with database.reading.connect() as connection, connection.begin():
        plan = plans(connection, lambda: questions(built)[name](connection))
    assert plan
    scans = re.findall(r"^SCAN (\w+)$|Seq Scan on (\w+)", plan, re.MULTILINE)
    assert {table for scan in scans for table in scan} <= {"", "way", "below", "words_index"}, plan
    if name == "run_events":
        assert "ix_events_run_id_seq" in plan
    if name == "search" and connection.dialect.name == "sqlite":  # the other goes by owner if words are few
        assert "words_index" in plan
    if name == "log_page":
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan


def test_a_page_is_bounded_by_the_database(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    database, built = filled
    monkeypatch.setattr(queries, "PAGE_BYTES", 10_000)
    with database.reading.connect() as connection, connection.begin():
        page = queries.events(connection, OWNER, built.long_thread, 0, 1000)
        sizes = [len(event.body) for event in page]
        assert sum(sizes[:-1]) <= 10_000 < sum(sizes) + max(sizes)
        assert [event.seq for event in page] == list(range(1, len(page) + 1))
        if connection.dialect.name == "postgresql":
            of_thread = {"owner": OWNER, "thread_id": built.long_thread, "after": 0, "limit": 1000}
            assert len(queries._events_within.rows(connection, **of_thread, room=10_000)) <= len(page) + 1
        limit = archive_queries.PAGE
        assert len(queries.messages_forward(connection, OWNER, built.long_thread, None, limit).items) < limit


def test_the_builder_makes_what_a_server_would(filled: Any) -> None:
    from understudy.wire.vocabulary import from_log

    database, built = filled
    with database.reading.connect() as connection, connection.begin():
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one() == built.events
        log = queries.events(connection, OWNER, built.threads[0], 0, 1000)
        assert [from_log(event.body).seq for event in log] == list(range(1, 1001))
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in ("words", "messages")
        ]
        assert counts[0] == counts[1] == 2 * built.events // 25
        message = queries.messages(connection, OWNER, built.long_thread, None, 2).items[0]
        assert queries.history(connection, OWNER, message.id, 5).left_out > 100
