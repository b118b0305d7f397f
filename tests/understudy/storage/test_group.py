"""Grouping is for speed alone: however changes are grouped, the outcome is that of one after another."""

import itertools
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from understudy.storage import Change, LoggedEvent, Thread, open_database
from understudy.storage.changes import DeleteThread, Probe, RenameThread
from understudy.storage.group import commit_group
from understudy.storage.sqlite import FILE_NAME

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
        st.builds(lambda name: RenameThread("ann", name, "New"), thread_id),
        st.builds(lambda name: DeleteThread("ann", name), thread_id),
        st.just(Probe()),
    )


def state(path):
    """All that is stored, read past storage's code."""
    connection = sqlite3.connect(path)
    rows = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in ("threads", "events")]
    connection.close()
    return rows


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(todo=st.lists(works(), max_size=14), cuts=st.sets(st.integers(1, 13)))
def test_grouping_makes_no_difference(migrated, tmp_path_factory, todo, cuts) -> None:
    """The same works in groups and one by one: equal outcomes, equal tables."""
    places = [0, *sorted(cut for cut in cuts if cut < len(todo)), len(todo)]
    ways = {
        "groups": [todo[start:end] for start, end in itertools.pairwise(places)],
        "singles": [[work] for work in todo],
    }
    seen = {}
    for way, groups in ways.items():
        folder = tmp_path_factory.mktemp(way)
        (folder / FILE_NAME).write_bytes((migrated / FILE_NAME).read_bytes())
        database = open_database(folder)
        with database.writing.connect() as connection:
            outcomes = [outcome for group in groups for outcome in commit_group(connection, group)]
        database.close()
        seen[way] = ([repr(outcome) for outcome in outcomes], state(folder / FILE_NAME))
    assert seen["groups"] == seen["singles"]


@pytest.mark.usefixtures("on_sqlite")
def test_appends_of_a_group_are_two_statements(database, make) -> None:
    """A hundred changes that only append cost as many statements as one."""
    statements = []
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", f"t{number}", f"r{number}") for number in range(100)])
        event.listen(database.writing, "before_cursor_execute", lambda *args: statements.append(args[2]))
        appends = [make.change("ann", f"t{number}", events=make.events(2, 3)) for number in range(100)]
        assert commit_group(connection, appends) == [True] * 100
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "UPDATE", "INSERT"]


def test_one_misfit_among_appends_is_refused_alone(database, folder, make) -> None:
    """What was written together is taken back, and each is tried on its own."""
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", f"t{number}", f"r{number}") for number in range(5)])
        appends = [make.change("ann", f"t{number}", events=make.events(2, 2)) for number in range(5)]
        appends[2] = make.change("ann", "t2", events=make.events(7, 7))
        appends[3] = make.change("ann", "t3", events=[LoggedEvent(2, "type", "\ud800", b"")])
        outcomes = commit_group(connection, appends)
        again = commit_group(connection, appends[:2])
    assert [outcome is True for outcome in outcomes] == [True, True, False, False, True]
    assert again == [True, True]
    assert [row[7] for row in state(folder / FILE_NAME)[0]] == [2, 2, 1, 1, 2]


def test_changes_of_one_thread_keep_their_order(database, make) -> None:
    """Appends do not overtake what else happens to their thread in the group."""
    with database.writing.connect() as connection:
        commit_group(connection, [make.opening("ann", f"t{number}", f"r{number}") for number in range(3)])
        appends = [make.change("ann", f"t{number}", events=make.events(2, 2)) for number in range(3)]
        outcomes = commit_group(connection, [DeleteThread("ann", "t0"), *appends])
    assert [str(outcome) for outcome in outcomes] == ["1", "there is no thread 't0'", "True", "True"]
