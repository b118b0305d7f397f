"""How each change is written: functions on a connection whose transaction, and savepoint, the caller holds."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Float,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from understudy.storage.tenancy import tenant_of

from . import agent_memory, deletion, nodes, queries, retention_queries, revocations, schema
from .agent_memory import Forget, ForgetExpired, Remember
from .bulk_append import append
from .deletion import MergeFulltext, RemoveFiles, RemoveUser
from .errors import AlreadyStored, ChangeRefused, Fenced, NotStored, RunEnded, SequenceConflict
from .fulltext import searchable
from .revocations import RevokeSession
from .rows import Message, RunRecord, StepRecord, Thread
from .writes import (
    TRIMMED,
    AddFile,
    Change,
    ClaimThread,
    DeleteThread,
    Fence,
    GiveFeedback,
    JoinNodes,
    LeaveNodes,
    ProbeWrite,
    ReleaseThread,
    RenameThread,
    RenewNode,
    RunEnd,
    TrimLog,
    Write,
)

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_e = schema.events.c

_OF_THREAD = (_t.owner == bindparam("of"), _t.id == bindparam("named"))
_AT: BindParameter[float] = bindparam("at", type_=Float)
_touch = (
    update(schema.threads).where(*_OF_THREAD).values(updated_at=case((_t.updated_at < _AT, _AT), else_=_t.updated_at))
)
# The fence is checked on the locked row: a node that claims the thread waits for this, or this sees the claim.
_UNDER = (_t.node == bindparam("under"), _t.fence == bindparam("token"))
_touch_fenced = _touch.where(*_UNDER)
_hold = select(_t.last_seq).where(*_OF_THREAD).with_for_update(key_share=True)
_hold_fenced = _hold.where(*_UNDER)
_GONE: BindParameter[int] = bindparam("gone", type_=BigInteger)
_shrink = (
    update(schema.threads)
    .where(*_OF_THREAD)
    .values(stored_bytes=case((_t.stored_bytes > _GONE, _t.stored_bytes - _GONE), else_=0))
)
_newest = update(schema.threads).where(*_OF_THREAD).values(newest_run=bindparam("run"))
_place = select(_t.last_seq, _t.node, _t.fence).where(*_OF_THREAD)
_end_run = (
    update(schema.runs)
    .where(_r.id == bindparam("named"), _r.owner == bindparam("of"), _r.ended_at.is_(None))
    .values(status=bindparam("how"), ended_at=bindparam("at"))
)
_take_up = (
    update(schema.runs)
    .where(_r.id == bindparam("named"), _r.owner == bindparam("of"), _r.ended_at.is_(None))
    .values(attempts=bindparam("times"), progress=bindparam("finished"))
)
_insert_words = insert(schema.words).inline()


@frozen
class _Inserts:
    """What is written unless it is there: SQLite and PostgreSQL say it alike, SQLAlchemy has a class for each."""

    message: Any
    thread: Any
    user: Any
    file: Any
    raw: Any
    run: Any
    step: Any
    put: Callable[[Table], Any]


def _inserts(connection: Connection) -> _Inserts:
    return _inserts_of(connection.dialect.name)


@cache
def _inserts_of(dialect: str) -> _Inserts:
    made = import_module(f"sqlalchemy.dialects.{dialect}")

    def put(table: Table) -> Any:
        # Whether a row was added is asked for, which number it got is not.
        return made.insert(table).inline().execution_options(preserve_rowcount=True)

    run, step = put(schema.runs), put(schema.steps)
    queued = (
        _r.status == "queued",
        _r.owner == run.excluded.owner,
        _r.thread_id == run.excluded.thread_id,
        _r.message_id == run.excluded.message_id,
    )
    return _Inserts(
        put=put,
        message=put(schema.messages).on_conflict_do_nothing(index_elements=["owner", "id"]),
        thread=put(schema.threads).on_conflict_do_nothing(index_elements=["owner", "id"]),
        user=put(schema.users).on_conflict_do_nothing(index_elements=["id"]),
        file=put(schema.files).on_conflict_do_nothing(index_elements=["owner", "id"]),
        raw=put(schema.raw_texts).on_conflict_do_nothing(index_elements=["owner", "message_id"]),
        run=run.on_conflict_do_update(
            index_elements=["id"],
            set_={"status": run.excluded.status, "started_at": run.excluded.started_at},
            where=and_(*queued),
        ),
        step=step.on_conflict_do_update(
            index_elements=["run_id", "number"],
            set_={column.name: step.excluded[column.name] for column in schema.steps.c if not column.primary_key},
        ),
    )


def apply(connection: Connection, work: Write) -> int:
    """Write one piece of work. The answer is the one its class names, else true.

    Raises ChangeRefused, or what SQLAlchemy raises; the caller rolls back to before it.
    """
    match work:
        case Change():
            _change(connection, work)
        case RenameThread(owner, thread_id, title):
            this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id)
            return connection.execute(this.values(title=title)).rowcount > 0
        case DeleteThread():
            return _delete(connection, work)
        case TrimLog():
            return _trim(connection, work)
        case GiveFeedback(owner, message_id, rating, note):
            answer = update(schema.messages).where(_m.owner == owner, _m.id == message_id, _m.role == "assistant")
            return connection.execute(answer.values(rating=rating, note=note)).rowcount > 0
        case AddFile(file):
            connection.execute(_inserts(connection).user, _user_row(file.owner, file.created_at))
            added = connection.execute(_inserts(connection).file, asdict(file)).rowcount
            if not added and queries.file(connection, file.owner, file.id) != file:
                raise AlreadyStored("file", file.id)
        case ProbeWrite():
            _probe(connection)
        case RevokeSession():
            return revocations.write(connection, work, _inserts(connection).put)
        case Remember() | Forget() | ForgetExpired():
            return agent_memory.write(connection, work, _inserts(connection).put)
        case ClaimThread() | ReleaseThread() | JoinNodes() | RenewNode() | LeaveNodes():
            return nodes.write(connection, work)
        case RemoveFiles() | RemoveUser() | MergeFulltext():
            return deletion.write(connection, work)
    return True


def _delete(connection: Connection, work: DeleteThread) -> int:
    of_thread = {"of": work.owner, "named": work.thread_id}
    if (
        work.fence is not None
        and connection.execute(_hold_fenced, of_thread | _under(work.fence)).one_or_none() is None
    ):
        place = connection.execute(_place, of_thread).one_or_none()
        if place is not None:
            raise Fenced(work.thread_id, place.node)
    if work.unless_since is not None and not retention_queries.still_old(
        connection, work.owner, work.thread_id, work.unless_since
    ):
        return 0
    return deletion.remove_thread(connection, work.owner, work.thread_id)


def _under(fence: Fence) -> dict[str, Any]:
    return {"under": fence.node, "token": fence.token}


def _trim(connection: Connection, trim: TrimLog) -> bool:
    """Remove a thread's first events; whether there are more of them to remove."""
    # Nobody else appends meanwhile: a run that begins after the look for open ones keeps its events.
    if connection.execute(_hold, {"of": trim.owner, "named": trim.thread_id}).one_or_none() is None:
        return False
    of_thread = (_e.owner == trim.owner, _e.thread_id == trim.thread_id)
    open_runs = select(_r.id).where(_r.owner == trim.owner, _r.thread_id == trim.thread_id, _r.ended_at.is_(None))
    needed = connection.execute(select(func.min(_e.seq)).where(_e.run_id.in_(open_runs))).scalar_one()
    before = trim.before_seq if needed is None else min(trim.before_seq, needed)
    first = connection.execute(select(func.min(_e.seq)).where(*of_thread)).scalar_one()
    if first is None or first >= before:
        return False
    now = min(before, first + TRIMMED)
    going = (*of_thread, _e.seq < now)
    size = connection.execute(select(func.coalesce(func.sum(func.length(_e.body)), 0)).where(*going)).scalar_one()
    connection.execute(delete(schema.events).where(*going))
    connection.execute(_shrink, {"of": trim.owner, "named": trim.thread_id, "gone": int(size)})
    return bool(now < before)


def _probe(connection: Connection) -> None:
    """Have something written to the disk that is nobody's."""
    if connection.dialect.name == "postgresql":
        # The message is taken from a read-only server too, but to lock a row, if there were one, is not.
        connection.exec_driver_sql("SELECT FROM alembic_version WHERE false FOR KEY SHARE")
        connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'understudy', '')")
        return
    # The one number in the first page that is free. An UPDATE that sets what is there writes nothing: SQLite compares.
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {0 if number else 1}")


def add_users(connection: Connection, users: Sequence[tuple[str, float]]) -> bool:
    """Write users that are not there, each with the time they came; true."""
    connection.execute(_inserts(connection).user, [_user_row(*each) for each in users])
    return True


def _user_row(owner: str, created_at: float) -> dict[str, Any]:
    return {"id": owner, "created_at": created_at, "tenant": tenant_of(owner)}


def put_steps(connection: Connection, steps: Sequence[StepRecord]) -> None:
    """Write steps, each in place of the one of its number."""
    if steps:
        connection.execute(_inserts(connection).step, [asdict(step, recurse=False) for step in steps])


def _change(connection: Connection, change: Change) -> None:
    if change.thread is not None:
        _add_thread(connection, change.thread, change.fence)
    if not _number(connection, change):
        return
    if change.run is not None:
        _add_run(connection, change.run)
        connection.execute(_newest, {"of": change.owner, "named": change.thread_id, "run": change.run.id})
    for message in change.messages:
        _add_message(connection, message)
    if change.raw is not None:
        connection.execute(_inserts(connection).raw, asdict(change.raw))
    put_steps(connection, change.steps)
    if change.attempt is not None:
        taken = {"times": change.attempt.attempts, "finished": change.attempt.progress}
        if not connection.execute(_take_up, {"of": change.owner, "named": change.attempt.run_id} | taken).rowcount:
            raise NotStored("run", change.attempt.run_id)
    if change.run_end is not None:
        _end(connection, change.owner, change.run_end)


def _number(connection: Connection, change: Change) -> bool:
    """Add the events after the thread's last one; False when they are there already, and with them the whole change."""
    at, fence = change.touched_at, change.fence
    if not change.events:
        thread = {"of": change.owner, "named": change.thread_id} | ({} if fence is None else _under(fence))
        if at is not None:
            there = connection.execute(_touch if fence is None else _touch_fenced, thread | {"at": at}).rowcount > 0
        else:
            there = fence is None or connection.execute(_hold_fenced, thread).one_or_none() is not None
        if not there:
            raise _lost(change, connection.execute(_place, thread).one_or_none())
        return True
    return append(connection, change) or _already_there(connection, change)


def _lost(change: Change, place: Any) -> ChangeRefused:
    """Why a thread was not found as the change names it."""
    if place is None:
        return NotStored("thread", change.thread_id)
    return Fenced(change.thread_id, place.node)


def _already_there(connection: Connection, change: Change) -> bool:
    """False when exactly these events are stored; else raises: the thread is not there, is elsewhere, or another's."""
    place = connection.execute(_place, {"of": change.owner, "named": change.thread_id}).one_or_none()
    if place is None:
        raise NotStored("thread", change.thread_id)
    first = change.events[0].seq
    same = queries.events(connection, change.owner, change.thread_id, first - 1, len(change.events))
    if tuple(same) == change.events:
        return False
    if change.fence is not None and (place.node, place.fence) != (change.fence.node, change.fence.token):
        raise Fenced(change.thread_id, place.node)
    raise SequenceConflict(change.thread_id, place.last_seq + 1, first)


def _add_thread(connection: Connection, thread: Thread, fence: Fence | None) -> None:
    connection.execute(_inserts(connection).user, _user_row(thread.owner, thread.created_at))
    held = {} if fence is None else {"node": fence.node, "fence": fence.token}
    connection.execute(_inserts(connection).thread, asdict(thread) | {"last_seq": 0} | held)


def _add_message(connection: Connection, message: Message) -> None:
    if connection.execute(_inserts(connection).message, asdict(message, recurse=False)).rowcount:
        connection.execute(_insert_words, _words_row(message))
    elif not _same(queries.message(connection, message.owner, message.id), message):
        raise AlreadyStored("message", message.id)


def _words_row(message: Message) -> dict[str, str]:
    return {
        "owner": message.owner,
        "message_id": message.id,
        "thread_id": message.thread_id,
        "text": searchable(message.owner, message.content),
    }


def _same(stored: Message | None, message: Message) -> bool:
    # A visualization comes back from JSON with lists for tuples, and feedback comes later: neither makes it another.
    beside: dict[str, Any] = {"visualization": None, "rating": None, "note": None}
    return stored is not None and evolve(stored, **beside) == evolve(message, **beside)


def _add_run(connection: Connection, run: RunRecord) -> None:
    if run.request_id is not None:
        same = queries.run_of_request(connection, run.owner, run.request_id)
        if same is not None and same.id != run.id:
            raise AlreadyStored("request", run.request_id)
    if not connection.execute(_inserts(connection).run, asdict(run)).rowcount:
        stored = queries.run(connection, run.id)
        if stored is None or _identity(stored) != _identity(run):
            raise AlreadyStored("run", run.id)


def _identity(run: RunRecord) -> Sequence[str]:
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
