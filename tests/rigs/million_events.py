"""A database with a million events in it, made in seconds.

    built = build(folder_or_address, events=1_000_000)
    built.owner, built.threads    # a user with threads of a thousand events each
    built.long_thread             # one thread of theirs that has a tenth of all events

Rows are what a server would have stored: runs of 25 events with two messages, two steps and the words of both
messages, under users, threads, and the newest branch. They go past the server's writer, sorted, so that it takes
seconds; the database is at the newest schema, and any server goes on with it.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg
from attrs import frozen

from transport.wire.events import Event
from understudy.storage.fulltext import searchable
from understudy.storage.postgresql import connect_database
from understudy.storage.sqlite import FILE_NAME, open_database
from understudy.wire.events import (
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    Envelope,
    FinalResponse,
    MessageAccepted,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)
from understudy.wire.vocabulary import to_log

EVENTS_OF_RUN: Final = 25
EVENTS_OF_THREAD: Final = 1_000
LONG_PART: Final = 10
"""The long thread has one in so many of all events."""
THREADS_OF_USER: Final = 50
BEGAN: Final = 1_760_000_000.0
"""Unix seconds: when the oldest thread was begun."""
OWNER: Final = "user-000"
_SEQ: Final = 987_654_321_012_345
_WORDS: Final = [
    "north", "south", "east", "west", "sales", "region", "quarter", "market", "price", "volume", "table", "average",
    "median", "total",
]  # fmt: skip

Row = tuple[Any, ...]


@frozen
class Built:
    """What there is to be read. `threads` are the owner's of the usual length, `found` a word of one message only."""

    owner: str
    threads: tuple[str, ...]
    long_thread: str
    long_events: int
    events: int
    found: str
    seconds: float


@frozen
class _Thread:
    owner: str
    id: str
    number: int
    events: int


def build(place: str | Path, events: int = 1_000_000) -> Built:
    """Fill the database of a folder (SQLite), or at an address (PostgreSQL), which has nothing in it yet.

    `events` is rounded down to whole runs. Blocks. Raises what opening and writing raise.
    """
    began = time.perf_counter()
    threads = list(_threads(events))
    if str(place).startswith("postgresql://"):
        connect_database(str(place)).close()
        _fill_postgresql(str(place), threads)
    else:
        open_database(Path(place)).close()
        _fill_sqlite(Path(place) / FILE_NAME, threads)
    names = tuple(thread.id for thread in threads[1:] if thread.owner == OWNER)
    stored = sum(thread.events for thread in threads)
    long = threads[0]
    return Built(OWNER, names, long.id, long.events, stored, _name(long, 0), time.perf_counter() - began)


def build_threads(folder: Path, events: Mapping[str, int]) -> None:
    """Fill the SQLite database of a folder, which has nothing in it yet, with threads of OWNER by id.

    Each has so many events, rounded down to whole runs. Blocks. Raises what opening and writing raise.
    """
    open_database(folder).close()
    rounded = {name: count // EVENTS_OF_RUN * EVENTS_OF_RUN for name, count in events.items()}
    threads = [_Thread(OWNER, name, number, count) for number, (name, count) in enumerate(rounded.items())]
    _fill_sqlite(folder / FILE_NAME, threads)


def _threads(events: int) -> Iterator[_Thread]:
    """The long one first; then those of all users."""
    long = max(1, events // LONG_PART // EVENTS_OF_RUN) * EVENTS_OF_RUN
    yield _Thread(OWNER, "long", 0, long)
    for number in range(1, max(2, (events - long) // EVENTS_OF_THREAD + 1)):
        owner = f"user-{(number - 1) // THREADS_OF_USER:03}"
        yield _Thread(owner, f"thread-{number:05}", number, EVENTS_OF_THREAD)


# Rows, table by table, in the order of their keys


def _rows(threads: list[_Thread]) -> Iterator[tuple[str, tuple[str, ...], Iterator[Row]]]:
    """Each table with its columns and rows, those that others name first."""
    owners = dict.fromkeys(thread.owner for thread in threads)
    yield "users", ("id", "created_at"), iter([(owner, BEGAN) for owner in owners])
    columns = ("owner", "id", "title", "agent_type", "created_at", "updated_at", "last_seq", "newest_run")
    yield "threads", columns, (_thread_row(thread) for thread in threads)
    columns = ("id", "owner", "thread_id", "message_id", "agent_type", "status", "started_at", "ended_at")
    yield "runs", columns, (row for thread in threads for row in _run_rows(thread))
    columns = (
        "owner", "id", "thread_id", "run_id", "role", "content", "agent_type", "status", "created_at", "references",
        "parent_id",
    )  # fmt: skip
    yield "messages", columns, (row for thread in threads for row in _message_rows(thread))
    columns = ("owner", "message_id", "thread_id", "text")
    yield (
        "words",
        columns,
        ((row[0], row[1], row[2], searchable(row[0], row[5])) for thread in threads for row in _message_rows(thread)),
    )
    columns = ("run_id", "number", "kind", "name", "call_id", "arguments", "result", "status", "started_at", "ended_at")
    yield "steps", columns, (row for thread in threads for row in _step_rows(thread))
    columns = ("owner", "thread_id", "seq", "type", "run_id", "body")
    yield "events", columns, (row for thread in threads for row in _event_rows(thread))


def _thread_row(thread: _Thread) -> Row:
    title, last = f"Sales of region {thread.number}", _last(thread)
    begin, end = _at(thread, 0), _at(thread, last) + 5
    return (thread.owner, thread.id, title, "guide", begin, end, thread.events, _run_id(thread, last))


def _run_rows(thread: _Thread) -> Iterator[Row]:
    for number in range(_last(thread) + 1):
        at = _at(thread, number)
        said = f"said-{_name(thread, number)}"
        yield (_run_id(thread, number), thread.owner, thread.id, said, "guide", "success", at, at + 5)


def _message_rows(thread: _Thread) -> Iterator[Row]:
    last = None
    for number in range(_last(thread) + 1):
        at, run, said = _at(thread, number), _run_id(thread, number), f"said-{_name(thread, number)}"
        words = (_name(thread, number), *_some(thread.number * 7919 + number, 20))
        answer = " ".join(_some(thread.number * 104729 + number, 60))
        yield (thread.owner, said, thread.id, run, "user", " ".join(words), "guide", "accepted", at, "[]", last)
        last = f"answer-{run}"
        yield (thread.owner, last, thread.id, run, "assistant", answer, "guide", "success", at + 5, "[]", said)


def _step_rows(thread: _Thread) -> Iterator[Row]:
    for number in range(_last(thread) + 1):
        run, at = _run_id(thread, number), _at(thread, number)
        yield (run, 1, "model", "guide", None, '{"turn":1}', '{"text":"Counting."}', "ok", at, at + 1)
        yield (run, 2, "tool", "query_table", f"call-{run}", '{"sql":"SELECT 1"}', '{"rows":[[1]]}', "ok", at, at + 2)


def _event_rows(thread: _Thread) -> Iterator[Row]:
    for number in range(_last(thread) + 1):
        run, name = _run_id(thread, number), _name(thread, number)
        values = {b"RUN": run.encode(), b"THREAD": thread.id.encode(), b"NAME": name.encode()}
        for place, (kind, template) in enumerate(_TEMPLATES, 1):
            seq = number * EVENTS_OF_RUN + place
            yield (thread.owner, thread.id, seq, kind, run, template % {**values, b"SEQ": b"%d" % seq})


def _templates() -> list[tuple[str, bytes]]:
    """The events of a run as they are logged, with names in place of what differs."""
    events: list[Event] = [
        MessageAccepted("said-@NAME@", "@RUN@", "How were sales in the north? @NAME@"),
        AgentStarted("guide-1", "The guide is on it", BEGAN),
    ]
    for call in range((EVENTS_OF_RUN - 4) // 3):
        call_id, result = f"@RUN@-{call}", {"columns": ["region", "sales"], "rows": [["north", 1], ["south", 2]]}
        sql = {"sql": "SELECT region, sum(sales) FROM sales GROUP BY region"}
        events += [
            AgentThinking("guide-1", "Counting rows by region and quarter", BEGAN),
            ToolExecuting("guide-1", call_id, "query_table", sql, "Counting rows", BEGAN),
            ToolCompleted("guide-1", call_id, "query_table", result, "2 rows", ToolStatus.OK, 12.5, BEGAN),
        ]
    result = " ".join(_some(1, 60))
    events += [
        AgentCompleted("guide-1", result, RunStatus.SUCCESS, Usage(100, 200), BEGAN),
        FinalResponse(result, status=RunStatus.SUCCESS, usage=Usage(100, 200)),
    ]
    return [(event.type, _template(event)) for event in events]


def _template(event: Event) -> bytes:
    around = Envelope(
        event,
        BEGAN,
        _SEQ,
        "@THREAD@",
        "@RUN@",
        "said-@NAME@",
        conversation_id="guide_1",
        agent_type="guide",
        message="Counting",
    )
    logged = to_log(around).replace(b"%", b"%%").replace(b"%d" % _SEQ, b"%(SEQ)b")
    for name in (b"THREAD", b"RUN", b"NAME"):
        logged = logged.replace(b"@%b@" % name, b"%%(%b)b" % name)
    return logged


def _some(seed: int, count: int) -> list[str]:
    return random.Random(seed).choices(_WORDS, k=count)


def _last(thread: _Thread) -> int:
    return thread.events // EVENTS_OF_RUN - 1


def _at(thread: _Thread, number: int) -> float:
    return BEGAN + thread.number * 1_000 + number * 10


def _run_id(thread: _Thread, number: int) -> str:
    return f"{thread.number:016x}{number:016x}"


def _name(thread: _Thread, number: int) -> str:
    return f"w{thread.number:05}x{number:06}"


_TEMPLATES: Final = _templates()
if len(_TEMPLATES) != EVENTS_OF_RUN:
    raise AssertionError("the events of a run do not fill it")


# Writing them


def _fill_sqlite(path: Path, threads: list[_Thread]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode=DELETE", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-200000"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("BEGIN")
        for table, columns, rows in _rows(threads):
            names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL").fetchall()


def _fill_postgresql(address: str, threads: list[_Thread]) -> None:
    with psycopg.connect(address) as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        superuser = connection.execute("SELECT usesuper FROM pg_user WHERE usename = current_user").fetchone()
        if superuser == (True,):  # the keys hold as the rows are made; looking takes as long as the rest
            connection.execute("SET LOCAL session_replication_role = replica")
        for table, columns, rows in _rows(threads):
            names = ", ".join(f'"{name}"' for name in columns)
            with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ANALYZE")  # as autovacuum would have done
