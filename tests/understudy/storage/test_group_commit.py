"""Grouping is for speed alone: however changes are grouped, the outcome is that of one after another."""

import itertools
import sqlite3
from typing import Any

import psycopg
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.database import Database
from understudy.storage.errors import AlreadyStored, Fenced, Unstorable
from understudy.storage.prepared import Prepared
from understudy.storage.records import Fence, LoggedEvent, Thread
from understudy.storage.sqlite import FILE_NAME, open_database
from understudy.storage.thread_writes import delete_thread, rename_thread
from understudy.storage.write import probe
from understudy.storage.writer import commit_group

THREADS = ("t1", "t2")


def events(first: int, count: int, note: str) -> tuple[LoggedEvent, ...]:
    """Events of which the same number may have different bodies."""
    return tuple(LoggedEvent(first + n, "note", None, note.encode()) for n in range(count))


def works() -> st.SearchStrategy:
    """Any work on one of two threads; many do not fit."""
    thread_id = st.sampled_from(THREADS)
    appended = st.builds(events, st.integers(1, 5), st.integers(1, 2), st.sampled_from("ab"))
    threads = {name: Thread("ann", name, "Title", "guide", None, 1.0, 1.0) for name in THREADS}
    return st.one_of(
        st.builds(lambda name, these: Change("ann", name, these), thread_id, appended),
        st.builds(lambda name, these: Change("ann", name, these), thread_id, appended),
        st.builds(lambda name, these: Change("ann", name, these, thread=threads[name]), thread_id, appended),
        st.builds(lambda name: Change("ann", name, thread=threads[name]), thread_id),
        st.builds(lambda name: rename_thread("ann", name, "New"), thread_id),
        st.builds(lambda name: delete_thread("ann", name), thread_id),
        st.just(probe()),
    )


def state(path):
    """All that is stored, read past storage's code."""
    connection = sqlite3.connect(path)
    rows = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in ("threads", "events")]
    connection.close()
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(todo=st.lists(works(), max_size=14), cuts=st.sets(st.integers(1, 13)))
def test_grouping_makes_no_difference(migrated, tmp_path_factory, todo, cuts) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(todo)), len(todo)]
    ways = {
        "groups": [todo[start:end] for start, end in itertools.pairwise(places)],
        "singles": [[work] for work in todo],
    }
    states = {}
    for way, groups in ways.items():
        folder = tmp_path_factory.mktemp(way)
        (folder / FILE_NAME).write_bytes((migrated / FILE_NAME).read_bytes())
        database = open_database(folder)
        with database.writing.connect() as connection:
            outcomes = [outcome for group in groups for outcome in commit_group(connection, group)]
        database.close()
        states[way] = ([repr(outcome) for outcome in outcomes], state(folder / FILE_NAME))
    assert states["groups"] == states["singles"]


def note_statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the first word of each statement, of those that SQLAlchemy executes and the prepared."""
    words, run = [], Prepared.run
    event.listen(database.writing, "before_cursor_execute", lambda *args: words.append(args[2].split()[0]))

    def noted(self, connection, rows):
        cursor = run(self, connection, rows)
        words.append(self._compiled[connection.dialect.name][0].split()[0])
        return cursor

    monkeypatch.setattr(Prepared, "run", noted)
    return words


def note_savepoints(connection: Connection) -> list[str]:
    """Return a list that gets the first words of each statement about savepoints that the driver executes."""
    noted: list[str] = []

    def note(statement: object) -> None:
        words = str(statement).split()[:2]
        if {"SAVEPOINT", "RELEASE", "ROLLBACK"} & set(words):
            noted.append(" ".join(words))

    class NotingCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            note(query)
            return super().execute(query, *args, **options)

    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        driver.set_trace_callback(note)
    else:
        driver.cursor_factory = NotingCursor
    return noted


def test_only_a_group_with_a_refused_write_has_savepoints(database, make) -> None:
    with database.writing.connect() as connection:
        noted = note_savepoints(connection)
        opening = [make.opening("ann", name, name) for name in ("t1", "t2")]
        append = make.change("ann", "t1", events=make.events(2, 2))
        assert commit_group(connection, [*opening, rename_thread("ann", "t2", "New")]) == [True] * 3
        assert commit_group(connection, [append]) == [True]
        assert noted == []
        taken = evolve(make.opening("ann", "t3", "t3"), messages=(make.message(thread_id="t3", message_id="m-t1"),))
        outcomes = commit_group(
            connection, [rename_thread("ann", "t1", "Newer"), taken, make.opening("ann", "t4", "t4")]
        )
        assert [type(outcome) for outcome in outcomes] == [bool, AlreadyStored, bool]
        assert noted.count("SAVEPOINT change") == 3
    with database.reading.begin() as connection:
        titles = {name: queries.thread(connection, "ann", name) for name in ("t1", "t2", "t3", "t4")}
    assert {name: thread and thread.title for name, thread in titles.items()} == {
        "t1": "Newer", "t2": "New", "t3": None, "t4": make.thread("ann", "t4").title
    }  # fmt: skip


def test_appends_of_a_group_cost_as_many_statements_as_one(database, kind, make, monkeypatch) -> None:
    """A hundred changes that only append are two statements, on PostgreSQL one, which is the whole transaction."""
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", f"t{number}", f"r{number}") for number in range(100)])
        statements = note_statements(database, monkeypatch)
        appends = [make.change("ann", f"t{number}", events=make.events(2, 3)) for number in range(100)]
        assert commit_group(connection, appends) == [True] * 100
    wanted = {"sqlite": ["BEGIN", "UPDATE", "INSERT"], "postgresql": ["WITH"]}
    assert statements == wanted[kind]


def test_steps_go_along_with_the_appends_of_a_group(database, kind, make, monkeypatch) -> None:
    names = [f"t{number}" for number in range(50)]

    def ended(seq: int, run_ids: dict[str, str]) -> list[Change]:
        return [
            make.change("ann", name, events=make.events(seq, seq, name), steps=[make.step(1, run_id, result=seq)])
            for name, run_id in run_ids.items()
        ]

    runs = dict(zip(names, names, strict=True))
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", name, name) for name in names])
        assert commit_group(connection, ended(2, runs)) == [True] * 50
        statements = note_statements(database, monkeypatch)
        assert commit_group(connection, ended(3, runs)) == [True] * 50
        wanted = {"sqlite": ["BEGIN", "UPDATE", "INSERT", "INSERT"], "postgresql": ["BEGIN;", "WITH", "INSERT"]}
        assert statements == wanted[kind]
        outcomes = commit_group(connection, ended(4, {"t1": "t1", "t2": "nobody", "t3": "t3"}))
        assert [type(outcome) for outcome in outcomes] == [bool, Unstorable, bool]
    with database.reading.begin() as connection:
        assert [queries.steps(connection, name)[0].result for name in ("t1", "t2", "t3", "t4")] == [4, 3, 4, 3]
        assert queries.last_seqs(connection, "ann", ["t1", "t2"]) == {"t1": 4, "t2": 3}


def test_appends_under_fences_and_without_are_one_group(database, make) -> None:
    held = {name: Fence("a", number) for number, name in enumerate(("t1", "t2", "t3"), 1)}
    with database.writing.connect() as connection:
        commit_group(connection, [evolve(make.opening("ann", name, name), fence=held[name]) for name in held])
        fences = {"t1": held["t1"], "t2": None, "t3": held["t3"]}
        appends = [make.change("ann", name, events=make.events(2, 3, None), fence=fences[name]) for name in fences]
        statements: list[str] = []
        event.listen(database.writing, "before_cursor_execute", lambda *args: statements.append(args[2]))
        assert commit_group(connection, appends) == [True] * 3
        assert len(statements) <= 3
        stale = {"t1": held["t1"], "t2": Fence("a", 1), "t3": Fence("b", 3)}
        appends = [make.change("ann", name, events=make.events(4, 4), fence=stale[name]) for name in stale]
        outcomes = [commit_group(connection, [append])[0] for append in appends]
        assert [type(outcome) for outcome in outcomes] == [bool, Fenced, Fenced]
    with database.reading.begin() as connection:
        assert queries.last_seqs(connection, "ann", list(held)) == {"t1": 4, "t2": 3, "t3": 3}
        assert queries.events(connection, "ann", "t3", 0, 9) == [*make.events(1, 1, "t3"), *make.events(2, 3, None)]


@pytest.mark.parametrize("logged", [LoggedEvent(2, "\ud800", None, b""), LoggedEvent(2**70, "note", None, b"")])
def test_a_value_that_no_database_can_hold_is_refused_alone(database, make, logged: LoggedEvent) -> None:
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", name, name) for name in ("t1", "t2", "t3")])
        appends = [make.change("ann", name, events=make.events(2, 2)) for name in ("t1", "t2", "t3")]
        appends[1] = make.change("ann", "t2", events=[logged])
        outcomes = commit_group(connection, appends)
    assert [type(outcome) for outcome in outcomes] == [bool, Unstorable, bool]
    with database.reading.begin() as connection:
        assert queries.last_seqs(connection, "ann", ["t1", "t2", "t3"]) == {"t1": 2, "t2": 1, "t3": 2}
