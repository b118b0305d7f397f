"""Executes the writes: functions on a connection whose transaction and savepoint the caller holds.

Events are appended by SQLite with a statement per row. PostgreSQL gets the rows of all changes as arrays in one
statement: nothing may be prepared on its server, and to parse and plan a statement per row takes several times as long
as the row itself.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

from attrs import evolve, fields, frozen
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Connection,
    Float,
    Integer,
    Table,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from . import (
    accounts,
    agent_memory,
    agent_states,
    archive_queries,
    attempts,
    audit,
    consents,
    deletion,
    deliveries,
    inbox,
    memberships,
    nodes,
    passkeys,
    provider_sessions,
    pushes,
    queries,
    revocations,
    schedules,
    schema,
    servers_off,
    shares,
    sign_ins,
    spending,
    stops,
    web_push,
)
from .accounts import (
    AddAccount,
    ChangeRights,
    DisableAccount,
    InviteAgain,
    ReplacePassword,
    TakeInvite,
)
from .agent_memory import Amend, Forget, ForgetAll, ForgetExpired, Remember
from .agent_states import SaveState
from .attempts import ForgiveAttempt, TakeAttempt
from .audit import AuditEntry, ExpireAudit
from .consents import AllowTool, DisallowTool
from .deletion import MergeFulltext, RemoveFiles, RemoveUser
from .deliveries import ClaimDelivery, DelayDelivery, Delivery, EndDelivery
from .errors import AlreadyStored, Fenced, NotStored, RunEnded, SequenceConflict
from .fulltext import searchable
from .memberships import SetMemberships
from .passkeys import AddChallenge, AddPasskey, JoinByPasskey, RemovePasskey, TakeChallenge, UsePasskey
from .prepared import Prepared
from .provider_sessions import AddProviderSession, ChangeProviderSession, ClaimProviderSession, DropProviderSession
from .pushes import AddPush, ClaimPush, DropPush, MovePush
from .records import (
    TRIMMED,
    AddFile,
    Change,
    ClaimThread,
    DeleteThread,
    GiveFeedback,
    JoinNodes,
    LeaveNodes,
    MarkRead,
    MarkThread,
    Message,
    ProbeWrite,
    RawText,
    ReleaseThread,
    RenameThread,
    RenewNode,
    RunEnd,
    RunRecord,
    TagThread,
    Thread,
    TrimLog,
    Write,
    tenant_of,
)
from .revocations import RevokeSession
from .schedules import AddSchedule, ChangeSchedule, ClaimFiring, DeleteSchedules, EndFiring
from .servers_off import SetServerOn
from .shares import AddShare, DropExpiredShares, DropShare
from .sign_ins import AddClient, AddStart, ClaimSignIn, DropClient, DropSignIn, DropStarts, PutSignIn, TakeStart
from .spending import ForgetSpending, Spent
from .stops import AddStop, DropStop
from .web_push import ClaimNotice, DelayNotice, DropBrowser, EndNotice, PutBrowser

Row = dict[str, Any]

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_e = schema.events.c


def _move_end(given: Any, *, touch: bool = False, answer: bool = False) -> Any:
    """Build the UPDATE that moves the end of a thread's log from `before` to `last`, if its fence is the given one.

    `under` None: without a fence. The fence is checked on the locked row, so either a node that claims the thread waits
    for this transaction, or this sees the claim. `touch` also raises `updated_at`: an UPDATE that names this column
    rewrites its index, so a change that only appends leaves it out. `answer`: with these events an answer ends.
    """
    under = and_(_t.node == given["under"], _t.fence == given["token"])
    this = (_t.owner == given["of"], _t.id == given["named"], _t.last_seq == given["before"])
    values = {"last_seq": given["last"], "stored_bytes": _t.stored_bytes + given["grown"]}
    if touch:
        values["updated_at"] = case((_t.updated_at < given["at"], given["at"]), else_=_t.updated_at)
    if answer:
        values["answered_seq"] = given["last"]
    return update(schema.threads).where(*this, or_(given["under"].is_(None), under)).values(values)


def _rows(**columns: TypeEngine[Any]) -> TableValuedAlias:
    """Build a table expression over bound arrays, one array per column."""
    arrays = (bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items())
    return func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in columns.items())).render_derived()


_MOVED: Final[dict[str, TypeEngine[Any]]] = {
    "of": Text(),
    "named": Text(),
    "before": Integer(),
    "last": Integer(),
    "under": Text(),
    "token": Integer(),
    "grown": BigInteger(),
}
_PARAMETERS: Final = {name: bindparam(name, type_=kind) for name, kind in {**_MOVED, "at": Float()}.items()}
_move = Prepared(_move_end(_PARAMETERS))
_move_and_touch = Prepared(_move_end(_PARAMETERS, touch=True))
_move_and_answer = Prepared(_move_end(_PARAMETERS, touch=True, answer=True))
_insert_event = Prepared(insert(schema.events))

_moves = _move_end(_rows(**_MOVED).c).returning(_t.id).cte("moved")
_given = _rows(**{each.name: each.type for each in _e})
_added = insert(schema.events).from_select([each.name for each in _e], select(*_given.c)).cte("added")
_append_arrays = Prepared(select(func.count()).select_from(_moves).add_cte(_added))

_OF_THREAD = (_t.owner == bindparam("of"), _t.id == bindparam("named"))
_AT: BindParameter[float] = bindparam("at", type_=Float)
_touch = (
    update(schema.threads).where(*_OF_THREAD).values(updated_at=case((_t.updated_at < _AT, _AT), else_=_t.updated_at))
)
# The fence is checked on the locked row, as in `_move_end`.
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
_newest = Prepared(update(schema.threads).where(*_OF_THREAD).values(newest_run=bindparam("run")))
_place = select(_t.last_seq, _t.node, _t.fence).where(*_OF_THREAD)
_open_run = update(schema.runs).where(_r.id == bindparam("named"), _r.owner == bindparam("of"), _r.ended_at.is_(None))
_end_run = Prepared(_open_run.values(status=bindparam("how"), ended_at=bindparam("at")))
_resume = _open_run.values(
    attempts=bindparam("times"), progress=bindparam("finished"), resume_at=bindparam("due", type_=Float)
)
_restart = _open_run.values(restarts=_r.restarts + 1)
_insert_words = Prepared(insert(schema.words).inline(), ("owner", "message_id", "thread_id", "text"))


@frozen
class _Inserts:
    """The upserts of one database: SQLAlchemy has a class of INSERT for each, with the same clauses.

    Those of every message are prepared; SQLAlchemy makes `file` and what `put` returns each time.
    """

    message: Prepared
    thread: Prepared
    user: Prepared
    file: Any
    raw: Prepared
    run: Prepared
    step: Prepared
    spent: Prepared
    delivery: Prepared
    put: Callable[[Table], Any]


def _build_inserts(insert_into: Callable[[Table], Any]) -> _Inserts:
    def put(table: Table) -> Any:
        # Return whether a row was added, but not its number.
        return insert_into(table).inline().execution_options(preserve_rowcount=True)

    run, step = put(schema.runs), put(schema.steps)
    queued = (
        _r.status == "queued",
        _r.owner == run.excluded.owner,
        _r.thread_id == run.excluded.thread_id,
        _r.message_id == run.excluded.message_id,
    )

    def once(table: Table, rows: type, *unique: str) -> Prepared:
        return Prepared(put(table).on_conflict_do_nothing(index_elements=unique), _names(rows))

    return _Inserts(
        put=put,
        message=once(schema.messages, Message, "owner", "id"),
        thread=once(schema.threads, Thread, "owner", "id"),
        user=Prepared(put(schema.users).on_conflict_do_nothing(index_elements=["id"])),
        file=put(schema.files).on_conflict_do_nothing(index_elements=["owner", "id"]),
        raw=once(schema.raw_texts, RawText, "owner", "message_id"),
        run=Prepared(
            run.on_conflict_do_update(
                index_elements=["id"],
                set_={"status": run.excluded.status, "started_at": run.excluded.started_at},
                where=and_(*queued),
            ),
            _names(RunRecord),
        ),
        step=Prepared(
            step.on_conflict_do_update(
                index_elements=["run_id", "number"],
                set_={column.name: step.excluded[column.name] for column in schema.steps.c if not column.primary_key},
            )
        ),
        spent=once(schema.spending, Spent, "run_id", "number"),
        delivery=once(schema.deliveries, Delivery, "id"),
    )


@cache
def _names(rows: type) -> list[str]:
    return [each.name for each in fields(rows)]


@cache
def _inserts(database: str) -> _Inserts:
    """Return the upserts of this database. No other dialect is imported: that of PostgreSQL takes 2 MB and 20 ms."""
    if database == "sqlite":
        from sqlalchemy.dialects import sqlite

        return _build_inserts(sqlite.insert)
    from sqlalchemy.dialects import postgresql

    return _build_inserts(postgresql.insert)


def apply(connection: Connection, work: Write) -> int:
    """Execute a write. Return the answer that its class documents, else True.

    Raises ChangeRefused and the errors of SQLAlchemy; the caller then rolls back to the savepoint before it.
    """
    match work:
        case Change():
            _change(connection, work)
        case RenameThread(owner, thread_id, title, expected):
            this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id)
            if expected is not None:
                this = this.where(_t.title == expected)
            return connection.execute(this.values(title=title)).rowcount > 0
        case MarkThread(owner, thread_id, mark, at):
            this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id)
            return connection.execute(this.values({f"{mark}_at": at})).rowcount > 0
        case TagThread(owner, thread_id, tags):
            this = update(schema.threads).where(_t.owner == owner, _t.id == thread_id)
            return connection.execute(this.values(tags=f" {' '.join(tags)} " if tags else "")).rowcount > 0
        case DeleteThread():
            return _delete(connection, work)
        case TrimLog():
            return _trim(connection, work)
        case GiveFeedback(owner, message_id, rating, note):
            answer = update(schema.messages).where(_m.owner == owner, _m.id == message_id, _m.role == "assistant")
            return connection.execute(answer.values(rating=rating, note=note)).rowcount > 0
        case AddFile(file):
            add_users(connection, [(file.owner, file.created_at)])
            added = connection.execute(_inserts(connection.dialect.name).file, _row(file)).rowcount
            if not added and queries.file(connection, file.owner, file.id) != file:
                raise AlreadyStored("file", file.id)
        case ProbeWrite():
            _probe(connection)
        case RevokeSession():
            return revocations.write(connection, work, _inserts(connection.dialect.name).put)
        case Remember() | Amend() | Forget() | ForgetAll() | ForgetExpired():
            if isinstance(work, Remember) and work.by_user:
                add_users(connection, [(work.owner, work.now)])
            return agent_memory.write(connection, work, _inserts(connection.dialect.name).put)
        case AllowTool() | DisallowTool():
            return consents.write(connection, work, _inserts(connection.dialect.name).put)
        case AuditEntry(target=target, who=who, tenant=tenant):
            concerns = tenant_of(target or who) if tenant is None else tenant
            return audit.write(connection, work, _inserts(connection.dialect.name).put, concerns)
        case AddStop() | DropStop():
            return stops.write(connection, work, _inserts(connection.dialect.name).put)
        case ExpireAudit():
            return audit.write(connection, work, _inserts(connection.dialect.name).put, None)
        case SetServerOn():
            return servers_off.write(connection, work, _inserts(connection.dialect.name).put)
        case PutSignIn() | ClaimSignIn() | DropSignIn() | DropStarts() | TakeStart() | AddClient() | DropClient():
            return sign_ins.write(connection, work, _inserts(connection.dialect.name).put)
        case AddStart():
            add_users(connection, [(work.owner, work.now)])
            return sign_ins.write(connection, work, _inserts(connection.dialect.name).put)
        case AddProviderSession() | ChangeProviderSession() | ClaimProviderSession() | DropProviderSession():
            if isinstance(work, AddProviderSession):
                add_users(connection, [(work.session.owner, work.now)])
            return provider_sessions.write(connection, work, _inserts(connection.dialect.name).put)
        case AddAccount() | InviteAgain() | TakeInvite() | ReplacePassword() | ChangeRights() | DisableAccount():
            if isinstance(work, AddAccount):
                add_users(connection, [(work.account.owner, work.account.created_at)])
            return accounts.write(connection, work, _inserts(connection.dialect.name).put)
        case AddPasskey() | JoinByPasskey() | UsePasskey() | RemovePasskey() | AddChallenge() | TakeChallenge():
            return passkeys.write(connection, work, _inserts(connection.dialect.name).put)
        case TakeAttempt() | ForgiveAttempt():
            return attempts.write(connection, work, _inserts(connection.dialect.name).put)
        case SaveState():
            return agent_states.write(connection, work, _inserts(connection.dialect.name).put)
        case AddPush() | ClaimPush() | MovePush() | DropPush():
            return pushes.write(connection, work, _inserts(connection.dialect.name).put)
        case PutBrowser() | DropBrowser() | ClaimNotice() | DelayNotice() | EndNotice():
            if isinstance(work, PutBrowser):
                add_users(connection, [(work.browser.owner, work.browser.created_at)])
            return web_push.write(connection, work, _inserts(connection.dialect.name).put)
        case AddShare() | DropShare() | DropExpiredShares():
            return shares.write(connection, work, _inserts(connection.dialect.name).put)
        case ClaimThread() | ReleaseThread() | JoinNodes() | RenewNode() | LeaveNodes():
            return nodes.write(connection, work)
        case ClaimDelivery() | DelayDelivery() | EndDelivery():
            return deliveries.write(connection, work)
        case AddSchedule() | ChangeSchedule() | DeleteSchedules() | ClaimFiring() | EndFiring():
            if isinstance(work, AddSchedule):
                add_users(connection, [(work.schedule.owner, work.schedule.created_at)])
            return schedules.write(connection, work, _inserts(connection.dialect.name).put)
        case MarkRead():
            return inbox.write(connection, work)
        case ForgetSpending(before_day):
            ended = memberships.forget(connection, before_day)
            return spending.forget(connection, work) or ended
        case SetMemberships(owner, at=at):
            add_users(connection, [(owner, at)])
            return memberships.write(connection, work, _inserts(connection.dialect.name).put)
        case RemoveFiles() | RemoveUser() | MergeFulltext():
            return deletion.write(connection, work)
    return True


def append_all(connection: Connection, changes: Sequence[Change]) -> bool:
    """Append the events and steps of several changes that have no other parts. Return False if one does not fit.

    If this returns False or raises, some rows may be written: the caller rolls back. On PostgreSQL the changes must be
    of different threads: of two changes of one thread, the second does not fit.
    """
    moves, events = _rows_of(changes)
    if connection.dialect.name == "postgresql":
        columns = {name: [row[name] for row in rows] for rows in (moves, events) for name in rows[0]}
        if _append_arrays.run(connection, [columns]).fetchone()[0] != len(moves):
            return False
    else:
        if _move.run(connection, moves).rowcount != len(moves):
            return False
        _insert_event.run(connection, events)
    web_push.queue(connection, events, _inserts(connection.dialect.name).put)
    if steps := [_row(step) for change in changes for step in change.steps]:
        _inserts(connection.dialect.name).step.run(connection, steps)
    _store_once(connection, changes)
    return True


def _store_once(connection: Connection, changes: Sequence[Change]) -> None:
    """Insert what turns cost, and the webhooks of events, unless they are there already."""
    inserts = _inserts(connection.dialect.name)
    if spent := [_row(each) for change in changes for each in change.spent]:
        inserts.spent.run(connection, spent)
    if queued := [_row(each) for change in changes for each in change.deliveries]:
        inserts.delivery.run(connection, queued)


def _rows_of(changes: Sequence[Change]) -> tuple[list[Row], list[Row]]:
    """Return the parameters of `_move_end` for each change, and the rows of all their events."""
    moves, events = [], []
    for change in changes:
        owner, thread_id, fence = change.owner, change.thread_id, change.fence
        grown = 0 if change.raw is None else len(change.raw.sealed)
        for message in change.messages:
            grown += len(message.content.encode("utf-8", "surrogatepass"))
        for event in change.events:
            grown += len(event.body)
            row = {"seq": event.seq, "type": event.type, "run_id": event.run_id, "body": event.body}
            events.append({"owner": owner, "thread_id": thread_id} | row)
        moves.append(
            {
                "of": owner,
                "named": thread_id,
                "before": change.events[0].seq - 1,
                "last": change.events[-1].seq,
                "under": None if fence is None else fence.node,
                "token": None if fence is None else fence.token,
                "grown": grown,
            }
        )
    return moves, events


def add_users(connection: Connection, users: Sequence[tuple[str, float]]) -> bool:
    """Insert users that do not exist yet, each with the time of arrival. Return True."""
    rows = [{"id": owner, "created_at": created_at, "tenant": tenant_of(owner)} for owner, created_at in users]
    _inserts(connection.dialect.name).user.run(connection, rows)
    return True


def _row(record: Any) -> Row:
    return {name: getattr(record, name) for name in _names(record.__class__)}


def _change(connection: Connection, change: Change) -> None:
    insert_into, thread, run = _inserts(connection.dialect.name), change.thread, change.run
    of_thread = {"of": change.owner, "named": change.thread_id}
    if thread is not None:
        add_users(connection, [(thread.owner, thread.created_at)])
        held = {} if change.fence is None else {"node": change.fence.node, "fence": change.fence.token}
        insert_into.thread.run(connection, [_row(thread) | {"last_seq": 0} | held])
    if not _append(connection, change):
        return
    if run is not None:
        if run.request_id is not None:
            same = queries.run_of_request(connection, run.owner, run.request_id)
            if same is not None and same.id != run.id:
                raise AlreadyStored("request", run.request_id)
        if not insert_into.run.run(connection, [_row(run)]).rowcount:
            _check_same_run(queries.run(connection, run.id), run)
        _newest.run(connection, [of_thread | {"run": run.id}])
    for message in change.messages:
        if insert_into.message.run(connection, [_row(message)]).rowcount:
            row = {"owner": message.owner, "message_id": message.id, "thread_id": message.thread_id}
            _insert_words.run(connection, [row | {"text": searchable(message.owner, message.content)}])
        else:
            _check_same_message(queries.message(connection, message.owner, message.id), message)
    if change.raw is not None:
        insert_into.raw.run(connection, [_row(change.raw)])
    if change.steps:
        insert_into.step.run(connection, [_row(step) for step in change.steps])
    _store_once(connection, [change])
    if change.attempt is not None:
        resumed = {
            "times": change.attempt.attempts, "finished": change.attempt.progress, "due": change.attempt.resume_at
        }  # fmt: skip
        if not connection.execute(_resume, {"of": change.owner, "named": change.attempt.run_id} | resumed).rowcount:
            raise NotStored("run", change.attempt.run_id)
    if change.restarted is not None:
        connection.execute(_restart, {"of": change.owner, "named": change.restarted})
    if (end := change.run_end) is not None:
        ended = {"named": end.run_id, "of": change.owner, "how": end.status, "at": end.ended_at}
        if not _end_run.run(connection, [ended]).rowcount:
            _check_same_end(queries.run(connection, end.run_id), change.owner, end)


def _append(connection: Connection, change: Change) -> bool:
    """Append the events of a change and move the thread's `updated_at`, if the thread is under the change's fence.

    Return False if exactly these events are stored already, and with them the whole change.
    """
    fence, of_thread = change.fence, {"of": change.owner, "named": change.thread_id}
    times = [message.created_at for message in change.messages]
    if change.run is not None:
        times.append(change.run.started_at)
    if change.run_end is not None:
        times.append(change.run_end.ended_at)
    at = max(times, default=None)
    if change.events:
        moves, events = _rows_of([change])
        end = change.run_end
        touch = _move_and_touch if end is None or end.status == "cancelled" else _move_and_answer
        moved = _move.run(connection, moves) if at is None else touch.run(connection, [moves[0] | {"at": at}])
        if moved.rowcount:
            _insert_event.run(connection, events)
            web_push.queue(connection, events, _inserts(connection.dialect.name).put)
            return True
    else:
        under = {} if fence is None else {"under": fence.node, "token": fence.token}
        if at is not None:
            without = _touch if fence is None else _touch_fenced
            there = connection.execute(without, of_thread | under | {"at": at}).rowcount > 0
        else:
            there = fence is None or connection.execute(_hold_fenced, of_thread | under).one_or_none() is not None
        if there:
            return True
    place = connection.execute(_place, of_thread).one_or_none()
    if place is None:
        raise NotStored("thread", change.thread_id)
    if change.events:
        first = change.events[0].seq
        same = queries.events(connection, change.owner, change.thread_id, first - 1, len(change.events))
        if tuple(same) == change.events:
            return False
        if fence is None or (place.node, place.fence) == (fence.node, fence.token):
            raise SequenceConflict(change.thread_id, place.last_seq + 1, first)
    raise Fenced(change.thread_id, place.node)


def _check_same_run(stored: RunRecord | None, run: RunRecord) -> None:
    identity = attrgetter("owner", "thread_id", "message_id")
    if stored is None or identity(stored) != identity(run):
        raise AlreadyStored("run", run.id)


def _check_same_message(stored: Message | None, message: Message) -> None:
    # JSON comes back with lists for tuples, and feedback comes later: neither makes it another.
    beside: dict[str, Any] = {"visualization": None, "next_steps": None, "files": None, "rating": None, "note": None}
    if stored is None or evolve(stored, **beside) != evolve(message, **beside):
        raise AlreadyStored("message", message.id)


def _check_same_end(stored: RunRecord | None, owner: str, end: RunEnd) -> None:
    if stored is None or stored.owner != owner:
        raise NotStored("run", end.run_id)
    if stored.status != end.status:
        raise RunEnded(end.run_id, stored.status)


def _delete(connection: Connection, work: DeleteThread) -> int:
    of_thread, fence = {"of": work.owner, "named": work.thread_id}, work.fence
    if fence is not None:
        under = {"under": fence.node, "token": fence.token}
        if connection.execute(_hold_fenced, of_thread | under).one_or_none() is None:
            place = connection.execute(_place, of_thread).one_or_none()
            if place is not None:
                raise Fenced(work.thread_id, place.node)
    if work.unless_since is not None and not archive_queries.still_old(
        connection, work.owner, work.thread_id, work.unless_since
    ):
        return 0
    return deletion.remove_thread(connection, work.owner, work.thread_id)


def _trim(connection: Connection, trim: TrimLog) -> bool:
    """Delete the first events of a thread. Return True if there are more to delete."""
    # Lock the thread: a run that starts after the query for unfinished ones must keep its events.
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
    """Write to the disk without changing any row."""
    if connection.dialect.name == "postgresql":
        # A read-only server accepts the message, but refuses to lock rows.
        connection.exec_driver_sql("SELECT FROM alembic_version WHERE false FOR KEY SHARE")
        connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'understudy', '')")
        return
    # `user_version` is the one free number in the first page. SQLite writes nothing if the number stays the same.
    number = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {0 if number else 1}")
