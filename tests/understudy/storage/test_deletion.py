"""Deletion in parts: it deletes all and only the given data, and continues after an interruption."""

import pytest
from sqlalchemy import Connection, func, select

from understudy.extensions.files.storage import add_file
from understudy.extensions.files.tables import files
from understudy.extensions.memory.storage import remember
from understudy.extensions.privacy.fulltext import merge_fulltext
from understudy.storage import deletion, schema
from understudy.storage.deletion import GONE, MORE, remove_rows, remove_user_rows
from understudy.storage.thread_writes import delete_thread
from understudy.storage.writer import commit_group

TABLES = ("threads", "messages", "words", "runs", "steps", "events", "files", "contexts", "users")


def counts(connection: Connection) -> dict[str, int]:
    tables = schema.whole().tables
    rows = {name: connection.execute(select(func.count()).select_from(tables[name])).scalar_one() for name in TABLES}
    connection.rollback()
    return {name: number for name, number in rows.items() if number}


def fill(connection: Connection, make, owner: str, thread_id: str, run_id: str) -> None:
    """A thread of every kind of row: 12 events, 5 messages, 3 steps, and a file and a memory of the user's."""
    messages = tuple(make.message(owner, thread_id, f"{run_id}-{n}") for n in range(4))
    outcomes = commit_group(
        connection,
        [
            make.opening(owner, thread_id, run_id),
            make.change(owner, thread_id, events=make.events(2, 12, run_id), messages=messages),
            make.change(owner, thread_id, steps=[make.step(n, run_id) for n in range(1, 4)]),
            add_file(make.file(owner, f"{len(run_id):032x}")),
            remember(owner, "guide", "likes", "tea", 1.0, 2.0),
        ],
    )
    assert all(outcome is True for outcome in outcomes)


ONE = {
    "threads": 1, "messages": 5, "words": 5, "runs": 1, "steps": 3, "events": 12, "files": 1,
    "contexts": 1, "users": 1,
}  # fmt: skip


def test_a_small_thread_goes_at_once_and_nothing_else_does(database, make) -> None:
    with database.writing.connect() as connection:
        fill(connection, make, "ann", "t1", "r1")
        fill(connection, make, "bob", "t1", "r02")
        assert commit_group(connection, [delete_thread("ann", "t1"), delete_thread("ann", "t1")]) == [GONE, 0]
        assert counts(connection) == ONE | {"files": 2, "contexts": 2, "users": 2}


@pytest.mark.parametrize(("events", "messages"), [(5, 100), (1000, 2), (4, 2)])
def test_a_long_thread_goes_in_pieces(
    database, make, monkeypatch: pytest.MonkeyPatch, events: int, messages: int
) -> None:
    monkeypatch.setattr(deletion, "EVENTS", events)
    monkeypatch.setattr(deletion, "MESSAGES", messages)
    with database.writing.connect() as connection:
        fill(connection, make, "ann", "t1", "r1")
        earlier, pieces = counts(connection), 0
        while (outcomes := commit_group(connection, [delete_thread("ann", "t1")])) == [MORE]:
            now, pieces = counts(connection), pieces + 1
            for name in ("events", "steps", "messages", "runs"):
                assert earlier.get(name, 0) - now.get(name, 0) <= (messages if name == "messages" else events)
            assert now.get("words") == now.get("messages")
            earlier = now
        assert outcomes == [GONE]
        assert pieces >= 2
        assert counts(connection) == {"files": 1, "contexts": 1, "users": 1}


def test_a_user_goes_last(database, make) -> None:
    with database.writing.connect() as connection:
        fill(connection, make, "ann", "t1", "r1")
        fill(connection, make, "bob", "t2", "r02")
        assert commit_group(connection, [remove_user_rows("ann"), remove_user_rows("nobody")]) == [0, 0]
        assert commit_group(connection, [delete_thread("ann", "t1"), remove_user_rows("ann")]) == [GONE, 0]
        gone = remove_rows(files, (("ann", f"{2:032x}"), ("ann", "0" * 32)))
        assert commit_group(connection, [gone, gone]) == [1, 0]
        assert commit_group(connection, [remove_user_rows("ann"), remove_user_rows("ann")]) == [GONE, 0]
        assert counts(connection) == ONE


def test_memories_of_agents_go_in_pieces(database, make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "EVENTS", 2)
    with database.writing.connect() as connection:
        commit_group(connection, [add_file(make.file("ann")), remove_rows(files, (("ann", "0" * 32),))])
        commit_group(connection, [remember("ann", "guide", f"n{n}", n, 1.0, 2.0) for n in range(5)])
        assert [commit_group(connection, [remove_user_rows("ann")])[0] for _ in range(4)] == [MORE, MORE, GONE, 0]
        assert counts(connection) == {}


def test_the_file_forgets_what_was_removed(folder, database, make) -> None:
    """Text and words: neither the tables nor the index of words nor the log beside the file have them any more."""
    with database.writing.connect() as connection:
        for number in range(40):
            message = make.message("ann", "t1", f"m{number}", content=f"chatter {number} " + "kumquat " * (number % 3))
            note = f"kumquat {number} " + "x" * 5000
            commit_group(
                connection,
                [
                    make.opening("ann", "t1"),
                    make.change("ann", "t1", messages=[message], events=make.events(number + 2, number + 2, note=note)),
                    make.opening("bob", "t2", "r2"),
                    make.change("bob", "t2", messages=[make.message("bob", "t2", f"m{number}", content="papaya")]),
                ],
            )
        assert any(b"kumquat" in path.read_bytes() for path in folder.iterdir())
        while commit_group(connection, [delete_thread("ann", "t1")]) == [MORE]:
            pass
        outcome = commit_group(connection, [merge_fulltext(begin=True)])
        while outcome == [True]:
            outcome = commit_group(connection, [merge_fulltext()])
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
        connection.rollback()
        database.forget()  # while the writer has the file open: else whoever closes it last empties its log
        for path in folder.iterdir():
            assert b"kumquat" not in path.read_bytes(), path.name
        assert b"papaya" in (folder / "understudy.db").read_bytes()
        connection.exec_driver_sql("INSERT INTO words_index (words_index) VALUES ('integrity-check')")
