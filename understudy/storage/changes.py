"""Changes of a thread: its next events, with the messages, runs and steps that they tell of, in one transaction.

Events are appended by SQLite with a statement per row. PostgreSQL gets the rows of all changes as arrays in one
statement: nothing may be prepared on its server, and to parse and plan a statement per row takes several times as long
as the row itself.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
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
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from . import queries, schema
from .errors import AlreadyStored, Fenced, NotStored, RunEnded, SequenceConflict
from .fulltext import searchable
from .prepared import Prepared
from .records import Fence, LoggedEvent, Message, RunAttempt, RunEnd, RunRecord, StepRecord, Thread
from .spending import Spent
from .write import Write, add_users, insert_into

Row = dict[str, Any]

LOCK_S: Final = 0.5
"""How long a change waits for a row that another server has locked."""

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
    unmoved = (_t.owner == given["of"], _t.id == given["named"], _t.last_seq == given["before"])
    values = {"last_seq": given["last"], "stored_bytes": _t.stored_bytes + given["grown"]}
    if touch:
        values["updated_at"] = case((_t.updated_at < given["at"], given["at"]), else_=_t.updated_at)
    if answer:
        values["answered_seq"] = given["last"]
    return update(schema.threads).where(*unmoved, or_(given["under"].is_(None), under)).values(values)


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

# It waits for a locked row as long as the transaction says, or as it is given; if a change does not fit it divides by
# zero, so that as a transaction of its own it stores all or nothing.
_given_s = func.coalesce(bindparam("patience", type_=Text()), func.current_setting("lock_timeout"))
_patience = select(func.set_config("lock_timeout", _given_s, True).label("given")).cte("patience")
_moves = _move_end(_rows(**_MOVED).c).where(_patience.c.given.is_not(None)).returning(_t.id).cte("moved")
_given = _rows(**{each.name: each.type for each in _e})
_added = insert(schema.events).from_select([each.name for each in _e], select(*_given.c)).cte("added")
_all_moved = case((func.count() == bindparam("changes"), 1), else_=0)
_append_arrays = Prepared(select(1 // _all_moved).select_from(_moves).add_cte(_added))

OF_THREAD = (_t.owner == bindparam("of"), _t.id == bindparam("named"))
_AT: BindParameter[float] = bindparam("at", type_=Float)
_touch = (
    update(schema.threads).where(*OF_THREAD).values(updated_at=case((_t.updated_at < _AT, _AT), else_=_t.updated_at))
)
# The fence is checked on the locked row, as in `_move_end`.
_UNDER = (_t.node == bindparam("under"), _t.fence == bindparam("token"))
_touch_fenced = _touch.where(*_UNDER)
HOLD = select(_t.last_seq).where(*OF_THREAD).with_for_update(key_share=True)
HOLD_UNDER = HOLD.where(*_UNDER)
_newest = Prepared(update(schema.threads).where(*OF_THREAD).values(newest_run=bindparam("run")))
PLACE = select(_t.last_seq, _t.node, _t.fence).where(*OF_THREAD)
_open_run = update(schema.runs).where(_r.id == bindparam("named"), _r.owner == bindparam("of"), _r.ended_at.is_(None))
_end_run = Prepared(_open_run.values(status=bindparam("how"), ended_at=bindparam("at")))
_resume = _open_run.values(
    attempts=bindparam("times"), progress=bindparam("finished"), resume_at=bindparam("due", type_=Float)
)
_restart = _open_run.values(restarts=_r.restarts + 1)
_insert_words = Prepared(insert(schema.words).inline(), ("owner", "message_id", "thread_id", "text"))


@frozen
class _Inserts:
    """The prepared upserts of one database, of what every message stores."""

    message: Prepared
    thread: Prepared
    run: Prepared
    step: Prepared
    spent: Prepared


@cache
def _inserts(database: str) -> _Inserts:
    put = insert_into(database)
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
        message=once(schema.messages, Message, "owner", "id"),
        thread=once(schema.threads, Thread, "owner", "id"),
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
    )


@cache
def _names(rows: type) -> list[str]:
    return [field.name for field in fields(rows)]


@cache
def _reader(rows: type) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*_names(rows))


@frozen
class Change(Write):
    """One transaction on one thread.

    - `events` are the thread's next ones: their numbers follow `last_seq` without a gap;
    - `thread` is inserted if it does not exist;
    - `messages` are inserted; repeating one is fine, another message under its id is refused;
    - `run` is inserted, or replaces a queued one; one that has ended is left as it is; it becomes the thread's newest
      run;
    - `steps` are inserted, or replace the ones of the same number;
    - `run_end` ends a run;
    - `attempt` updates the attempts of an unfinished run;
    - `restarted` is the id of an unfinished run whose agent goes on after its server has died, which is counted;
    - `spent` is inserted, once each;
    - `also` is what extensions store with it;
    - `fence`, unless None, must be the thread's: if another node has claimed it since, nothing is stored. An inserted
      thread gets it.

    Raises ValueError when its parts belong to different threads or the events have a gap.
    """

    owner: str
    thread_id: str
    events: tuple[LoggedEvent, ...] = ()
    thread: Thread | None = None
    messages: tuple[Message, ...] = ()
    run: RunRecord | None = None
    run_end: RunEnd | None = None
    attempt: RunAttempt | None = None
    restarted: str | None = None
    steps: tuple[StepRecord, ...] = ()
    fence: Fence | None = None
    spent: tuple[Spent, ...] = ()
    also: tuple[Write, ...] = ()

    def __attrs_post_init__(self) -> None:
        space = (self.owner, self.thread_id)
        if self.thread is not None and (self.thread.owner, self.thread.id) != space:
            raise ValueError(f"the change is of thread {self.thread_id!r}, its thread is another")
        for part in (*self.messages, *((self.run,) if self.run else ())):
            if (part.owner, part.thread_id) != space:
                raise ValueError(f"the change is of thread {self.thread_id!r}, {part.id!r} is of another")
        for before, after in pairwise(self.events):
            if after.seq != before.seq + 1:
                raise ValueError(f"event {before.seq} is followed by {after.seq}")

    @property
    def of_thread(self) -> tuple[str, str]:
        """The thread that it changes."""
        return self.owner, self.thread_id

    @property
    def only_appends(self) -> bool:
        """Whether it only appends events, maybe with steps."""
        parts = (self.thread, self.run, self.run_end, self.attempt, self.restarted)
        return bool(self.events) and not self.messages and parts == (None,) * len(parts)

    @property
    def only_events(self) -> bool:
        """Whether it appends events, and nothing else."""
        return self.only_appends and not (self.steps or self.spent or self.also)

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        inserts, thread, run = _inserts(connection.dialect.name), self.thread, self.run
        of_thread = {"of": self.owner, "named": self.thread_id}
        if thread is not None:
            add_users(connection, [(thread.owner, thread.created_at)])
            held = {} if self.fence is None else {"node": self.fence.node, "fence": self.fence.token}
            inserts.thread.run(connection, [_row(thread) | {"last_seq": 0} | held])
        if not _append(connection, self):
            return True
        if run is not None:
            if run.request_id is not None:
                same = queries.run_of_request(connection, run.owner, run.request_id)
                if same is not None and same.id != run.id:
                    raise AlreadyStored("request", run.request_id)
            if not inserts.run.run(connection, [_row(run)]).rowcount:
                _check_same_run(queries.run(connection, run.id), run)
            _newest.run(connection, [of_thread | {"run": run.id}])
        for message in self.messages:
            if inserts.message.run(connection, [_row(message)]).rowcount:
                row = {"owner": message.owner, "message_id": message.id, "thread_id": message.thread_id}
                _insert_words.run(connection, [row | {"text": searchable(message.owner, message.content)}])
            else:
                _check_same_message(queries.message(connection, message.owner, message.id), message)
        if self.steps:
            inserts.step.run(connection, [_row(step) for step in self.steps])
        _store_once(connection, [self])
        if self.attempt is not None:
            resumed = {
                "times": self.attempt.attempts, "finished": self.attempt.progress, "due": self.attempt.resume_at
            }  # fmt: skip
            if not connection.execute(_resume, {"of": self.owner, "named": self.attempt.run_id} | resumed).rowcount:
                raise NotStored("run", self.attempt.run_id)
        if self.restarted is not None:
            connection.execute(_restart, {"of": self.owner, "named": self.restarted})
        if (end := self.run_end) is not None:
            ended = {"named": end.run_id, "of": self.owner, "how": end.status, "at": end.ended_at}
            if not _end_run.run(connection, [ended]).rowcount:
                _check_same_end(queries.run(connection, end.run_id), self.owner, end)
        return True


class Unfit(Exception):
    """One of several changes does not fit."""


def append_all(connection: Connection, changes: Sequence[Change], *, alone: bool = False) -> None:
    """Append the events and steps of several changes that have no other parts.

    Raises Unfit or DBAPIError if one does not fit, as on PostgreSQL the second of two changes of one thread. Some rows
    may be written then: the caller rolls back. `alone` (PostgreSQL): the changes have only events, which are stored in
    a transaction of one statement, all or none.
    """
    moves, events = _rows_of(changes)
    if connection.dialect.name == "postgresql":
        columns = {name: [row[name] for row in rows] for rows in (moves, events) for name in rows[0]}
        bounds = {"patience": f"{LOCK_S}s" if alone else None, "changes": len(moves)}
        _append_arrays.run(connection, [columns | bounds])
    else:
        if _move.run(connection, moves).rowcount != len(moves):
            raise Unfit
        _insert_event.run(connection, events)
    if steps := [_row(step) for change in changes for step in change.steps]:
        _inserts(connection.dialect.name).step.run(connection, steps)
    _store_once(connection, changes)


def _store_once(connection: Connection, changes: Sequence[Change]) -> None:
    """Insert what turns cost, unless it is there already, and what extensions store beside it."""
    if spent := [_row(row) for change in changes for row in change.spent]:
        _inserts(connection.dialect.name).spent.run(connection, spent)
    for write in [row for change in changes for row in change.also]:
        write.apply(connection)


def _rows_of(changes: Sequence[Change]) -> tuple[list[Row], list[Row]]:
    """Return the parameters of `_move_end` for each change, and the rows of all their events."""
    moves, events = [], []
    for change in changes:
        owner, thread_id, fence = change.owner, change.thread_id, change.fence
        grown = 0
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


def _row(record: Any) -> Row:
    return dict(zip(_names(record.__class__), _reader(record.__class__)(record), strict=True))


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
            return True
    else:
        under = {} if fence is None else {"under": fence.node, "token": fence.token}
        if at is not None:
            without = _touch if fence is None else _touch_fenced
            held = connection.execute(without, of_thread | under | {"at": at}).rowcount > 0
        else:
            held = fence is None or connection.execute(HOLD_UNDER, of_thread | under).one_or_none() is not None
        if held:
            return True
    place = connection.execute(PLACE, of_thread).one_or_none()
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
