"""Reads, as functions from a connection to rows. Every query names its owner, so none returns another owner's rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from attrs import fields, frozen
from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)

from transport.auth import base64url

from . import schema
from .errors import InvalidCursor
from .fulltext import for_fts5, for_tsquery
from .prepared import Prepared
from .records import (
    ONCE,
    UNFINISHED,
    WIDGET,
    AnsweredMessage,
    EventPage,
    History,
    LoggedEvent,
    Message,
    Page,
    RunRecord,
    StepRecord,
    Thread,
    ThreadPage,
)

_t = schema.threads.c
_m = schema.messages.c
_r = schema.runs.c
_s = schema.steps.c
_e = schema.events.c
_u = schema.users.c

T = TypeVar("T")
R = TypeVar("R")
LONGEST_QUERY: Final = 200
"""Limit of a search query in characters; the rest is ignored."""
STEP_BYTES: Final = 8 * 1024 * 1024
"""Limit of the bytes of steps that are read with a history; of earlier runs only the texts are read."""
PAGE_BYTES: Final = 1024 * 1024
"""Approximate limit of bytes per read; a page ends there even if more rows were requested."""
LARGEST_PAGE: Final = 1000
"""Upper limit of rows per read; larger limits are reduced to it."""
LAST: Final = 2**62
"""Greater than the number of any message."""
MESSAGES_TOGETHER: Final = 25
"""Rows per fetch from PostgreSQL: a page that reaches its limit of bytes does not read the rest."""

LISTED_TAGS: Final = 200
"""Tags of a user that are listed: more than anybody can choose from."""
Which: TypeAlias = Literal["active", "pinned", "archived"]
"""A list of threads."""
THREAD = tuple(_t[field.name] for field in fields(Thread) if field.name not in ("node", "fence"))
MESSAGE = tuple(column for column in schema.messages.c if column.name != "number")
_EVENT = (_e.seq, _e.type, _e.run_id, _e.body)

# Threads that are for one answer do not crowd out the others; their user may be asked something while a run is at work.
_unfinished = or_(*(_r.status == each for each in UNFINISHED))
OPEN_RUN = and_(_r.ended_at.is_(None), _unfinished)
_at_work = select(_r.id).where(_r.id == _t.newest_run, _unfinished).exists()
LISTED = or_(_t.id.not_like(f"{ONCE.replace('_', '!_')}%", escape="!"), _at_work)

# Queries of every client that reconnects.
_owner: BindParameter[str] = bindparam("owner")
_thread_id: BindParameter[str] = bindparam("thread_id")
_thread = Prepared(select(*THREAD).where(_t.owner == _owner, _t.id == _thread_id))
_held_thread = Prepared(select(*THREAD, _t.node, _t.fence).where(_t.owner == _owner, _t.id == _thread_id))
_many = _t.owner.in_(bindparam("owners", expanding=True)), _t.id.in_(bindparam("ids", expanding=True))
_held_threads = Prepared(select(*THREAD, _t.node, _t.fence).where(*_many))
_last_seqs = Prepared(select(_t.owner, _t.id, _t.last_seq).where(*_many))
_last_seq = Prepared(select(_t.last_seq, _t.created_at).where(_t.owner == _owner, _t.id == _thread_id))
_live_threads = Prepared(
    select(_t.id, _t.last_seq)
    .where(_t.owner == _owner, LISTED)
    .order_by(_t.updated_at.desc(), _t.id.desc())
    .limit(bindparam("limit"))
)
_begun_since = Prepared(
    select(_r.thread_id, func.min(_e.seq) - 1)
    .where(_e.run_id == _r.id, _r.owner == _owner, _r.started_at >= bindparam("since"))
    .group_by(_r.thread_id)
    .order_by(func.max(_r.started_at).desc())
    .limit(bindparam("limit"))
)
_events = Prepared(
    select(*_EVENT)
    .where(_e.owner == _owner, _e.thread_id == _thread_id, _e.seq > bindparam("after"))
    .order_by(_e.seq)
    .limit(bindparam("limit"))
)
# The driver of PostgreSQL fetches the whole result before it returns a row, so the query itself stops at `room` bytes.
_before = func.sum(func.octet_length(_e.body)).over(order_by=_e.seq, rows=(None, -1))
_next_events = (
    select(*_EVENT, func.coalesce(_before, 0).label("before"))
    .where(_e.owner == _owner, _e.thread_id == _thread_id, _e.seq > bindparam("after"))
    .order_by(_e.seq)
    .limit(bindparam("limit"))
    .subquery()
)
_events_within = Prepared(
    select(*(_next_events.c[column.name] for column in _EVENT))
    .where(_next_events.c.before <= bindparam("room"))
    .order_by(_next_events.c.seq)
)
# By the run alone: with the thread in the condition SQLite uses that index, and reads the whole log of the thread.
_run_events = Prepared(select(_e.owner, _e.thread_id, *_EVENT).where(_e.run_id == bindparam("run_id")).order_by(_e.seq))
_unfinished_here = Prepared(
    select(*_r)
    .where(
        OPEN_RUN,
        _r.owner == _owner,
        _r.thread_id == _thread_id,
    )
    .order_by(_r.started_at, _r.id)
)
_run = Prepared(select(*_r).where(_r.id == bindparam("run_id")))
_runs_of = (
    select(*_r)
    .where(_r.owner == _owner, _r.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(_r.started_at, _r.id)
)
_messages_before = (
    select(_m.number, *MESSAGE)
    .where(_m.owner == _owner, _m.thread_id == _thread_id, _m.number < bindparam("before"))
    .order_by(_m.number.desc())
    .limit(bindparam("limit"))
)


@frozen
class Scope:
    """The users that a read is about: all of the server, or those of a `tenant`, None for those without one."""

    everywhere: bool = True
    tenant: str | None = None

    def of(self, owner: "Column[Any]") -> ColumnElement[bool]:
        """Return the condition that a column names one of these users."""
        return true() if self.everywhere else owner.in_(select(_u.id).where(_u.tenant == self.tenant))


def thread(connection: Connection, owner: str, thread_id: str) -> Thread | None:
    """Return a thread, or None."""
    rows = _thread.rows(connection, owner=owner, thread_id=thread_id)
    return Thread(*rows[0]) if rows else None


def threads(
    connection: Connection,
    owner: str,
    query: str,
    cursor: str | None,
    limit: int,
    which: Which = "active",
    tags: Sequence[str] = (),
) -> Page[Thread]:
    """Return the owner's threads, latest first, of those for one answer only the ones at work.

    With `tags` only threads that have all of them. With `query` only threads whose title contains it, or that have a
    message with all its words. `which`: all that are not archived (`active`), of these only the `pinned` ones, or the
    `archived` ones; a query of `active` ones also finds archived ones.
    """
    wanted = select(*THREAD).where(_t.owner == owner, LISTED)
    if which == "pinned":
        wanted = wanted.where(text(schema.PINNED))
    if which == "archived":
        wanted = wanted.where(text(schema.ARCHIVED), _t.archived_at >= _t.updated_at)
    elif which == "pinned" or not query.strip():
        wanted = wanted.where(or_(_t.archived_at.is_(None), _t.archived_at < _t.updated_at))
    query, limit = query.strip()[:LONGEST_QUERY].lower(), page_size(limit)
    if query:
        titled = _t.title.icontains(query, autoescape=True)
        said = _said(connection, owner, query)
        wanted = wanted.where(titled if said is None else or_(titled, said))
    if tags:
        wanted = wanted.where(text(schema.TAGGED), *(_t.tags.contains(f" {tag} ", autoescape=True) for tag in tags))
    if cursor is not None:
        updated_at, thread_id = decode_cursor(cursor, tuple[float, str])
        wanted = wanted.where(tuple_(_t.updated_at, _t.id) < tuple_(updated_at, thread_id))
    wanted = wanted.order_by(_t.updated_at.desc(), _t.id.desc()).limit(limit + 1)
    page = [Thread(*row) for row in connection.execute(wanted)]
    last = page[limit - 1] if len(page) > limit else None
    return Page(tuple(page[:limit]), encode(last.updated_at, last.id) if last else None)


def tags(connection: Connection, owner: str) -> list[tuple[str, int]]:
    """Return the tags of the owner's threads with the number of threads, most used first; at most LISTED_TAGS."""
    found = connection.execute(select(_t.tags).where(_t.owner == owner, text(schema.TAGGED))).scalars()
    counted = Counter(tag for tag_list in found for tag in tag_list.split())
    return sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:LISTED_TAGS]


def runs(
    connection: Connection,
    owner: str,
    status: str | None,
    agent: str | None,
    thread_id: str | None,
    cursor: str | None,
    limit: int,
) -> Page[RunRecord]:
    """Return the owner's runs, newest first: of one status, agent (by its name), or thread, unless these are None."""
    wanted, limit = select(*_r).where(_r.owner == owner), page_size(limit)
    if status is not None:
        wanted = wanted.where(_r.status == status)
    if agent is not None:
        wanted = wanted.where(func.coalesce(_r.pillar, _r.agent_type) == agent)
    if thread_id is not None:
        wanted = wanted.where(_r.thread_id == thread_id)
    if cursor is not None:
        started_at, run_id = decode_cursor(cursor, tuple[float, str])
        wanted = wanted.where(tuple_(_r.started_at, _r.id) < tuple_(started_at, run_id))
    wanted = wanted.order_by(_r.started_at.desc(), _r.id.desc()).limit(limit + 1)
    page = [RunRecord(*row) for row in connection.execute(wanted)]
    last = page[limit - 1] if len(page) > limit else None
    return Page(tuple(page[:limit]), encode(last.started_at, last.id) if last else None)


def _said(connection: Connection, owner: str, query: str) -> ColumnElement[bool] | None:
    """Return a condition: a message of the thread contains all words of the query. None if the query has no words."""
    matching = _with_words(connection, owner, query)
    threads = select(schema.words.c.thread_id).where(schema.words.c.owner == owner)
    return None if matching is None else _t.id.in_(threads.where(matching))


def matches(connection: Connection, owner: str, query: str, ids: Sequence[str]) -> dict[str, Message]:
    """Return the newest message with all words of a query in each of these threads that has one, by thread id."""
    matching = _with_words(connection, owner, query.strip()[:LONGEST_QUERY].lower())
    if matching is None or not ids:
        return {}
    words = schema.words.c
    in_page = words.thread_id.in_(ids[:LARGEST_PAGE])
    newest = select(func.max(words.number)).where(words.owner == owner, in_page, matching)
    wanted = select(*MESSAGE).where(_m.number.in_(newest.group_by(words.thread_id)))
    rows = [Message(*row) for row in connection.execute(wanted)]
    return {row.thread_id: row for row in rows}


def _with_words(connection: Connection, owner: str, query: str) -> Any:
    """Return a condition on `words`: it contains all words of the query. None if the query has no words."""
    if connection.dialect.name == "sqlite":
        search = for_fts5(owner, query)
        matching = text("words.number IN (SELECT rowid FROM words_index WHERE words_index MATCH :asked)")
    else:
        search = for_tsquery(owner, query)
        matching = text("array_to_tsvector(string_to_array(words.text, ' ')) @@ CAST(:asked AS tsquery)")
    return None if search is None else matching.bindparams(asked=search)


def live_threads(connection: Connection, owner: str, limit: int = 50) -> dict[str, int]:
    """Return the last seq of the owner's most recently used threads, by thread id."""
    return dict(_live_threads.rows(connection, owner=owner, limit=page_size(limit)))


def begun_since(connection: Connection, owner: str, since: float, limit: int = 50) -> dict[str, int]:
    """Return the owner's threads with runs that began since then (Unix seconds), most recent first.

    With each comes the number of the event before the first one of these runs that is in the log.
    """
    return dict(_begun_since.rows(connection, owner=owner, since=since, limit=page_size(limit)))


def last_seqs(connection: Connection, owner: str, ids: Sequence[str]) -> dict[str, int]:
    """Return the last seq of the owner's threads among these ids, by thread id."""
    seqs = {}
    for thread_id in ids[:LARGEST_PAGE]:
        for last_seq, _ in _last_seq.rows(connection, owner=owner, thread_id=thread_id):
            seqs[thread_id] = last_seq
    return seqs


def last_seqs_of_many(connection: Connection, asked: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, int]]:
    """Return the answers of `last_seqs` to several owners."""
    if any(len(ids) != 1 for _, ids in asked):  # all names are looked up for all owners
        return [last_seqs(connection, *each) for each in asked]
    found = {
        (owner, thread_id): last_seq
        for owner, thread_id, last_seq in _last_seqs.rows(
            connection, owners=list({owner for owner, _ in asked}), ids=list({each for _, ids in asked for each in ids})
        )
    }
    return [{each: found[owner, each] for each in ids if (owner, each) in found} for owner, ids in asked]


def message(connection: Connection, owner: str, message_id: str) -> Message | None:
    """Return a message, or None."""
    row = connection.execute(select(*MESSAGE).where(_m.owner == owner, _m.id == message_id)).one_or_none()
    return None if row is None else Message(*row)


def messages_forward(
    connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int
) -> Page[Message]:
    """Return the thread's first messages, oldest first; the next cursor leads to the page after."""
    (number,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (0,)
    wanted = select(_m.number, *MESSAGE).where(_m.owner == owner, _m.thread_id == thread_id, _m.number > number)
    wanted = wanted.order_by(_m.number).limit(bindparam("limit"))
    page, more = _messages_page(connection, wanted, limit)
    return Page(tuple(Message(*row[1:]) for row in page), encode(page[-1].number) if more else None)


def messages(connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int) -> Page[Message]:
    """Return the thread's last messages, oldest first; the next cursor leads to the page before."""
    (before,) = decode_cursor(cursor, tuple[int]) if cursor is not None else (LAST,)
    of_thread = {"owner": owner, "thread_id": thread_id, "before": before}
    page, more = _messages_page(connection, _messages_before, limit, of_thread)
    page.reverse()
    return Page(tuple(Message(*row[1:]) for row in page), encode(page[0].number) if more else None)


def thread_page(
    connection: Connection, owner: str, thread_id: str, cursor: str | None, limit: int
) -> ThreadPage | None:
    """Return a page of `messages` with the thread, its newest run, and the runs that answered these messages."""
    opened = thread(connection, owner, thread_id)
    if opened is None:
        return None
    page = messages(connection, owner, thread_id, cursor, limit)
    questions = [row.id for row in page.items if row.role == "user"]
    newest = None if opened.newest_run is None else run(connection, opened.newest_run)
    return ThreadPage(opened, newest, page, tuple(runs_of(connection, owner, questions)))


# The path from a message to the first of its thread: each follows an answer, whose run names the message before it.
# The numbers decrease along the path, so the recursion ends even if the rows form a cycle.
_path = Prepared(
    text("""
    WITH RECURSIVE way(number, message_id, answer_id, depth) AS (
        SELECT number, id, parent_id, 0 FROM messages WHERE owner = :owner AND id = :message_id
        UNION ALL
        SELECT said.number, said.id, said.parent_id, way.depth + 1
        FROM way
        JOIN runs ON runs.id = substr(way.answer_id, 8) AND runs.owner = :owner
        JOIN messages AS said ON said.owner = runs.owner AND said.id = runs.message_id AND said.number < way.number
    )
    SELECT way.depth, way.message_id, answer.id, runs.id, runs.status
    FROM way
    LEFT JOIN messages AS answer ON answer.owner = :owner AND answer.id = way.answer_id
    LEFT JOIN runs ON runs.id = substr(way.answer_id, 8) AND runs.owner = :owner
    ORDER BY way.depth DESC
""")
)
# Of runs: how many bytes their steps have, and how many are finished summaries, whose arguments name the first run that
# is left.
_step_bytes = func.coalesce(func.length(cast(_s.result, Text)), 0) + func.coalesce(
    func.length(cast(_s.arguments, Text)), 0
)
_is_summary = and_(_s.kind == "summary", _s.ended_at.is_not(None))
_weights = Prepared(
    select(_s.run_id, func.sum(_step_bytes), func.sum(case((_is_summary, 1), else_=0)))
    .where(_s.run_id.in_(bindparam("runs", expanding=True)))
    .group_by(_s.run_id)
)
_summaries = Prepared(
    select(_s.run_id, _s.arguments)
    .where(_s.run_id.in_(bindparam("runs", expanding=True)), _is_summary)
    .order_by(_s.number)
)
_named = (_m.owner == bindparam("owner"), _m.id.in_(bindparam("names", expanding=True)))
_sizes = Prepared(select(_m.id, func.length(_m.content)).where(*_named))
_messages_named = Prepared(select(*MESSAGE).where(*_named))
_steps_of = Prepared(select(*_s).where(_s.run_id.in_(bindparam("runs", expanding=True))).order_by(_s.run_id, _s.number))


def history(connection: Connection, owner: str, message_id: str, limit: int) -> History:
    """Return the path from the root of a thread to before a message, newest first until the limits are reached.

    The limits are `limit` messages, `PAGE_BYTES` of text, and `STEP_BYTES` of steps. If more messages are on the path
    a quarter of the limit is omitted at a time, so that the first message read stays the same for a while. Messages
    that a summary stands for are neither read nor counted as left out, nor are calls by user interfaces of tools.
    """
    limit = page_size(limit)
    asked: list[str] = []  # messages of the user, oldest first
    answers: dict[str, tuple[str | None, str | None, str]] = {}  # of those: answer, run, status
    path = _path.rows(connection, owner=owner, message_id=message_id)
    for (depth, said, *_), (_, _, answer, run_id, status) in pairwise(path):
        assert depth  # noqa: S101 - only the last row is the message itself
        if said.startswith(WIDGET):
            continue
        asked.append(said)
        answers[said] = (answer, run_id, status or "")
    counts = {said: 1 + (answers[said][0] is not None) for said in asked}
    omitted, left_out, total = 0, 0, sum(counts.values())
    if total > limit:
        coarse = max(1, limit // 4)
        target = -(-(total - limit) // coarse) * coarse
        while left_out < target and omitted < len(asked) - 1:
            left_out += counts[asked[omitted]]
            omitted += 1
    asked = asked[omitted:]
    weights: dict[str, int] = {}
    first_runs: dict[str, str | None] = {}
    if runs := [run_id for said in asked if (run_id := answers[said][1]) is not None]:
        of_runs = _weights.rows(connection, runs=runs)
        weights = {name: size for name, size, _ in of_runs}
        if summarised := [name for name, _, summaries in of_runs if summaries]:
            first_runs = {name: of["first_run"] for name, of in _summaries.each(connection, runs=summarised)}
    first_run = next((first_runs[name] for name in reversed(runs) if name in first_runs), None)
    names = [name for said in asked for name in (said, answers[said][0]) if name is not None]
    sizes: dict[str, int] = dict(_sizes.rows(connection, owner=owner, names=names)) if names else {}
    shown: list[str] = []
    whole: list[str] = []
    room, step_room = PAGE_BYTES, STEP_BYTES
    for said in reversed(asked):
        answer, run_id, _ = answers[said]
        if shown and room < 0:
            break
        shown.append(said)
        room -= sizes.get(said, 0) + sizes.get(answer or "", 0)
        step_room -= weights.get(run_id or "", 0)
        if run_id is not None and step_room >= 0:
            whole.append(run_id)
        if first_run is not None and run_id == first_run:  # what came before is in its summary
            break
    shown.reverse()
    if first_run is None or not shown or answers[shown[0]][1] != first_run:
        left_out += sum(counts[said] for said in asked[: len(asked) - len(shown)])
    else:
        left_out = 0
    names = [name for said in shown for name in (said, answers[said][0]) if name is not None]
    rows = _messages_named.each(connection, owner=owner, names=names) if names else ()
    messages = {message.id: message for message in (Message(*row) for row in rows)}
    steps: dict[str, list[StepRecord]] = {}
    if whole:
        for row in _steps_of.each(connection, runs=whole):
            steps.setdefault(row[0], []).append(StepRecord(*row))
    exchanges = []
    for said in shown:
        answer, run_id, status = answers[said]
        of_run = tuple(steps.get(run_id or "", ()))
        complete = run_id is None or run_id in whole
        exchanges.append(AnsweredMessage(messages[said], run_id, status, messages.get(answer or ""), of_run, complete))
    return History(tuple(exchanges), left_out, sum(weights.get(run_id, 0) for run_id in whole))


def events(connection: Connection, owner: str, thread_id: str, after: int, limit: int) -> list[LoggedEvent]:
    """Return up to `limit` events of the thread after number `after`, in order."""
    limit = page_size(limit)
    of_thread: dict[str, object] = {"owner": owner, "thread_id": thread_id, "after": after, "limit": limit}
    if connection.dialect.name == "sqlite":
        rows = _events.each(connection, **of_thread)
    else:
        rows = _events_within.each(connection, **of_thread, room=PAGE_BYTES)
    return [LoggedEvent(*row) for row in _page(rows, limit, lambda row: len(row[3]))[0]]


def log_page(
    connection: Connection, owner: str, thread_id: str, after: int, limit: int
) -> tuple[int | None, float | None, list[LoggedEvent]]:
    """Return the last seq of a thread and when it was created, None if there is no such thread, and its events after
    number `after`."""
    rows = _last_seq.rows(connection, owner=owner, thread_id=thread_id)
    last_seq, created_at = rows[0] if rows else (None, None)
    if last_seq is None or last_seq <= after:
        return last_seq, created_at, []
    return last_seq, created_at, events(connection, owner, thread_id, after, limit)


def event_page(connection: Connection, owner: str, thread_id: str, after: int, limit: int) -> EventPage | None:
    """Return a page of `events` with the thread; None if there is no such thread."""
    opened = thread(connection, owner, thread_id)
    return None if opened is None else EventPage(opened, tuple(events(connection, owner, thread_id, after, limit)))


def thread_with_open_runs(connection: Connection, owner: str, thread_id: str) -> tuple[Thread, list[RunRecord]] | None:
    """Return a thread with its owner node, and its unfinished runs; None if there is no such thread."""
    rows = _held_thread.rows(connection, owner=owner, thread_id=thread_id)
    return _with_open_runs(connection, Thread(*rows[0])) if rows else None


def many_with_open_runs(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> list[tuple[Thread, list[RunRecord]] | None]:
    """Return the answers of `thread_with_open_runs` for several threads."""
    owners, ids = ({names[place] for names in keys} for place in (0, 1))
    rows = _held_threads.rows(connection, owners=list(owners), ids=list(ids))
    opened = {(thread.owner, thread.id): thread for thread in (Thread(*row) for row in rows)}
    return [_with_open_runs(connection, opened[names]) if names in opened else None for names in keys]


def _with_open_runs(connection: Connection, held: Thread) -> tuple[Thread, list[RunRecord]]:
    rows = _unfinished_here.rows(connection, owner=held.owner, thread_id=held.id)
    return held, [RunRecord(*row) for row in rows]


def run_events(connection: Connection, owner: str, thread_id: str, run_id: str) -> list[LoggedEvent]:
    """Return all events of a run, in order."""
    rows = _run_events.each(connection, run_id=run_id)
    return [LoggedEvent(*row[2:]) for row in rows if row[:2] == (owner, thread_id)]


def run_start(connection: Connection, owner: str, thread_id: str, run_id: str) -> int | None:
    """Return the number of a run's first event; None if the log has none."""
    # By the run alone, whose index has the first event; of a thread's many events the first of a run may be the last.
    wanted = select(_e.owner, _e.thread_id, _e.seq).where(_e.run_id == run_id).order_by(_e.seq).limit(1)
    row = connection.execute(wanted).first()
    return row.seq if row is not None and (row.owner, row.thread_id) == (owner, thread_id) else None


def run(connection: Connection, run_id: str) -> RunRecord | None:
    """Return a run, or None."""
    rows = _run.rows(connection, run_id=run_id)
    return RunRecord(*rows[0]) if rows else None


def run_of_request(connection: Connection, owner: str, request_id: str) -> RunRecord | None:
    """Return the run that a request to answer a message again started, or None."""
    row = connection.execute(select(*_r).where(_r.owner == owner, _r.request_id == request_id)).one_or_none()
    return None if row is None else RunRecord(*row)


def runs_of(connection: Connection, owner: str, message_ids: Sequence[str]) -> list[RunRecord]:
    """Return the runs that answered these messages, oldest first."""
    rows = connection.execute(_runs_of, {"owner": owner, "ids": message_ids})
    return [RunRecord(*row) for row in rows]


def unfinished_runs(connection: Connection, owner: str | None, thread_id: str | None) -> list[RunRecord]:
    """Return the unfinished runs of all owners, of an owner, or of a thread, oldest first."""
    wanted = select(*_r).where(OPEN_RUN)
    if owner is not None:
        wanted = wanted.where(_r.owner == owner)
    if thread_id is not None:
        wanted = wanted.where(_r.thread_id == thread_id)
    return [RunRecord(*row) for row in connection.execute(wanted.order_by(_r.started_at, _r.id))]


def with_open_effects(others: Sequence[Select[tuple[str]]]) -> ColumnElement[bool]:
    """Return the condition on a run that calls of it are being settled after its end, or that `others` find its id."""
    unsettled = select(_s.run_id).where(text(schema.UNSETTLED))
    return _r.id.in_(union_all(unsettled, *others))  # not OR, so that each condition uses its index


def open_effects(
    connection: Connection, owner: str | None, thread_id: str | None, others: Sequence[Select[tuple[str]]]
) -> list[RunRecord]:
    """Return the runs of all owners, or of a thread, with something to finish; `others` as in `with_open_effects`."""
    wanted = select(*_r).where(with_open_effects(others))
    if owner is not None:
        wanted = wanted.where(_r.owner == owner, _r.thread_id == thread_id)
    return [RunRecord(*row) for row in connection.execute(wanted.order_by(_r.started_at, _r.id))]


def steps(connection: Connection, run_id: str) -> list[StepRecord]:
    """Return the recorded steps of a run, in order."""
    rows = connection.execute(select(*_s).where(_s.run_id == run_id).order_by(_s.number))
    return [StepRecord(*row) for row in rows]


def step_of_call(connection: Connection, call_id: str) -> tuple[StepRecord, RunRecord] | None:
    """Return the newest step of a tool call with its run, or None."""
    wanted = (
        select(*_s, *_r)
        .join(schema.runs, _r.id == _s.run_id)
        .where(_s.call_id == call_id)
        .order_by(_s.started_at.desc(), _s.number.desc())
        .limit(1)
    )
    row = connection.execute(wanted).one_or_none()
    return None if row is None else (StepRecord(*row[: len(_s)]), RunRecord(*row[len(_s) :]))


def alive(connection: Connection) -> bool:
    """Read a row of each table, from the disk if a write has changed its page; raises if one cannot be read."""
    for rows in _one_row_of_each():
        connection.execute(rows).all()
    return True


@cache
def _one_row_of_each() -> Sequence[Select[Any]]:
    return [select(table).limit(1) for table in schema.whole().sorted_tables]


def _messages_page(
    connection: Connection, wanted: Select[Any], limit: int, values: Mapping[str, Any] | None = None
) -> tuple[list[Any], bool]:
    limit = page_size(limit)
    options = {} if connection.dialect.name == "sqlite" else {"yield_per": MESSAGES_TOGETHER}
    rows = connection.execute(wanted, {**(values or {}), "limit": limit + 1}, execution_options=options)
    try:
        return _page(rows, limit, lambda row: len(row.content))
    finally:
        rows.close()


def page_size(limit: int) -> int:
    """Return a limit of rows that is neither 0 nor too large."""
    return max(1, min(limit, LARGEST_PAGE))


def _page(rows: Iterable[R], limit: int, size_of: Callable[[R], int]) -> tuple[list[R], bool]:
    """Return up to `limit` rows, of about `PAGE_BYTES` together but at least one, and whether there are more."""
    page: list[R] = []
    room = PAGE_BYTES
    for row in rows:
        if len(page) == limit or (page and room < 0):
            return page, True
        page.append(row)
        room -= size_of(row)
    return page, False


def encode(*place: Any) -> str:
    """Return the cursor of a position in a list, opaque to clients."""
    return base64url.encode(msgspec.json.encode(place))


def decode_cursor(cursor: str, shape: type[T]) -> T:
    """Return the position that a cursor stands for. Raises InvalidCursor."""
    try:
        return msgspec.json.decode(base64url.decode(cursor), type=shape)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor(cursor) from error
