"""How each change is written: functions on a connection whose transaction, and savepoint, the caller holds."""

from collections.abc import Sequence
from typing import Any

from attrs import asdict, evolve
from sqlalchemy import Connection, and_, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from . import queries, schema
from .changes import AddFile, Change, DeleteThread, Probe, RenameThread, RunEnd, Work
from .errors import AlreadyStored, NotStored, RunEnded, SequenceConflict
from .rows import LoggedEvent, Message, Run, Thread

_t = schema.threads.c
_r = schema.runs.c
_e = schema.events.c

_OF_THREAD = (_t.owner == bindparam("of"), _t.id == bindparam("named"))
# Two statements: naming `updated_at` in one that only moves `last_seq` would rewrite its index for every event.
_TOUCH: dict[str, Any] = {"updated_at": func.max(_t.updated_at, bindparam("at"))}
_MOVE: dict[str, Any] = {"last_seq": bindparam("last")}
_touch = update(schema.threads).where(*_OF_THREAD).values(_TOUCH)
_move = update(schema.threads).where(*_OF_THREAD, _t.last_seq == bindparam("before")).values(_MOVE)
_move_and_touch = update(schema.threads).where(*_OF_THREAD, _t.last_seq == bindparam("before")).values(_MOVE | _TOUCH)
_last_seq = select(_t.last_seq).where(*_OF_THREAD)
_insert_events = insert(schema.events)
_insert_message = insert(schema.messages).on_conflict_do_nothing(index_elements=["owner", "id"])
_insert_thread = insert(schema.threads).on_conflict_do_nothing(index_elements=["owner", "id"])
_insert_user = insert(schema.users).on_conflict_do_nothing(index_elements=["id"])
_insert_file = insert(schema.files).on_conflict_do_nothing(index_elements=["owner", "id"])
_new_run = insert(schema.runs)
_insert_run = _new_run.on_conflict_do_update(
    index_elements=["id"],
    set_={"status": _new_run.excluded.status, "started_at": _new_run.excluded.started_at},
    where=and_(
        _r.status == "queued",
        _r.owner == _new_run.excluded.owner,
        _r.thread_id == _new_run.excluded.thread_id,
        _r.message_id == _new_run.excluded.message_id,
    ),
)
_end_run = (
    update(schema.runs)
    .where(_r.id == bindparam("named"), _r.owner == bindparam("of"), _r.ended_at.is_(None))
    .values(status=bindparam("how"), ended_at=bindparam("at"))
)
_new_step = insert(schema.steps)
_upsert_step = _new_step.on_conflict_do_update(
    index_elements=["run_id", "number"],
    set_={column.name: _new_step.excluded[column.name] for column in schema.steps.c if not column.primary_key},
)


def apply(connection: Connection, work: Work) -> bool:
    """Write one piece of work; whether it found what it names (always true but for a thread renamed or deleted).

    Raises ChangeRefused, or what SQLAlchemy raises; the caller rolls back to before it.
    """
    match work:
        case Change():
            _change(connection, work)
        case RenameThread(owner, thread_id, title):
            this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id)
            return connection.execute(this.values(title=title)).rowcount > 0
        case DeleteThread(owner, thread_id):
            return connection.execute(delete(schema.threads).where(_t.owner == owner, _t.id == thread_id)).rowcount > 0
        case AddFile(file):
            connection.execute(_insert_user, {"id": file.owner, "created_at": file.created_at})
            added = connection.execute(_insert_file, asdict(file)).rowcount
            if not added and queries.file(connection, file.owner, file.id) != file:
                raise AlreadyStored("file", file.id)
        case Probe():
            _probe(connection)
    return True


def _probe(connection: Connection) -> None:
    """Change the one number of the file that is nobody's, so that its first page is written.

    An UPDATE that sets what is there already writes nothing: SQLite compares.
    """
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {0 if number else 1}")


def append_all(connection: Connection, changes: Sequence[Change]) -> bool:
    """Write changes that only append events, all in two statements; False when one of them does not fit.

    Then, as when this raises, some may be written: the caller rolls back to before it.
    """
    moves = [
        {
            "of": change.owner,
            "named": change.thread_id,
            "before": change.events[0].seq - 1,
            "last": change.events[-1].seq,
        }
        for change in changes
    ]
    if connection.execute(_move, moves).rowcount != len(moves):
        return False
    connection.execute(_insert_events, [_event_row(change, event) for change in changes for event in change.events])
    return True


def _change(connection: Connection, change: Change) -> None:
    if change.thread is not None:
        _add_thread(connection, change.thread)
    if not _number(connection, change):
        return
    if change.run is not None:
        _add_run(connection, change.run)
    for message in change.messages:
        _add_message(connection, message)
    if change.steps:
        connection.execute(_upsert_step, [asdict(step, recurse=False) for step in change.steps])
    if change.run_end is not None:
        _end(connection, change.owner, change.run_end)


def _number(connection: Connection, change: Change) -> bool:
    """Add the events after the thread's last one; False when they are there already, and with them the whole change."""
    at = change.touched_at
    thread: dict[str, Any] = {"of": change.owner, "named": change.thread_id, "at": at}
    if not change.events:
        if at is not None and not connection.execute(_touch, thread).rowcount:
            raise NotStored("thread", change.thread_id)
        return True
    first, last = change.events[0].seq, change.events[-1].seq
    thread |= {"before": first - 1, "last": last}
    if at is None:
        del thread["at"]
    if not connection.execute(_move if at is None else _move_and_touch, thread).rowcount:
        return _already_there(connection, change)
    connection.execute(_insert_events, [_event_row(change, event) for event in change.events])
    return True


def _event_row(change: Change, event: LoggedEvent) -> dict[str, Any]:
    return {
        "owner": change.owner,
        "thread_id": change.thread_id,
        "seq": event.seq,
        "type": event.type,
        "run_id": event.run_id,
        "body": event.body,
    }


def _already_there(connection: Connection, change: Change) -> bool:
    """False when exactly these events are stored; else raises: the thread is not there, or is elsewhere."""
    stored = connection.execute(_last_seq, {"of": change.owner, "named": change.thread_id}).scalar_one_or_none()
    if stored is None:
        raise NotStored("thread", change.thread_id)
    first = change.events[0].seq
    same = queries.events(connection, change.owner, change.thread_id, first - 1, len(change.events))
    if tuple(same) != change.events:
        raise SequenceConflict(change.thread_id, stored + 1, first)
    return False


def _add_thread(connection: Connection, thread: Thread) -> None:
    connection.execute(_insert_user, {"id": thread.owner, "created_at": thread.created_at})
    connection.execute(_insert_thread, asdict(thread) | {"last_seq": 0})


def _add_message(connection: Connection, message: Message) -> None:
    added = connection.execute(_insert_message, asdict(message, recurse=False)).rowcount
    if not added and not _same(queries.message(connection, message.owner, message.id), message):
        raise AlreadyStored("message", message.id)


def _same(stored: Message | None, message: Message) -> bool:
    # A visualization comes back from JSON with lists for tuples: no reason to call it another message.
    return stored is not None and evolve(stored, visualization=None) == evolve(message, visualization=None)


def _add_run(connection: Connection, run: Run) -> None:
    if not connection.execute(_insert_run, asdict(run)).rowcount:
        stored = queries.run(connection, run.id)
        if stored is None or _identity(stored) != _identity(run):
            raise AlreadyStored("run", run.id)


def _identity(run: Run) -> Sequence[str]:
    return run.owner, run.thread_id, run.message_id


def _end(connection: Connection, owner: str, end: RunEnd) -> None:
    row = {"named": end.run_id, "of": owner, "how": end.status, "at": end.ended_at}
    if connection.execute(_end_run, row).rowcount:
        return
    stored = queries.run(connection, end.run_id)
    if stored is None or stored.owner != owner:
        raise NotStored("run", end.run_id)
    if stored.status != end.status:
        raise RunEnded(end.run_id, stored.status)
