"""The turns of one branch of a thread, read from its end: what a client shows when it opens the thread.

A turn is a message of the user with one run that answers it. A branch is walked from a run up to the beginning of the
thread: each message follows an answer, whose run names the message before it. Every query uses an index, so a page
costs the same however long the thread is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, and_, bindparam, func, or_, select, text

from . import queries, schema
from .records import LoggedEvent, Message, RunRecord, Thread

_m = schema.messages.c
_r = schema.runs.c
_e = schema.events.c

ANSWER: Final = "answer-"
"""Prefix of the id of an answer; the rest is the id of its run."""
TEXT_CHARACTERS: Final = 48_000
"""A page ends with the turn whose answers exceed this: rendering so much from scratch takes some 150 ms."""
EVENT_BYTES: Final = 1024 * 1024
"""A page ends with the turn whose events exceed this, as they are stored."""
MOST_OTHERS: Final = 500
"""Limit of turns of other branches that are named with a page."""
DEEPEST: Final = 10_000
"""Limit of turns below one that are searched for the newest."""


@frozen
class StoredTurn:
    """A message of the user, one run of it, and what is stored of that.

    `events` are all that the log still has of the run, oldest first; `answer` is None if there is none. `first_seq` is
    the number of the first of its events, None if the log has none. `again`: an earlier run answers the message too.
    `earlier` are the runs whose cut answer this one goes on with, oldest first, with their events: they are no turns.
    """

    message: Message
    run: RunRecord
    answer: Message | None
    events: tuple[LoggedEvent, ...]
    first_seq: int | None
    again: bool
    earlier: tuple[tuple[RunRecord, tuple[LoggedEvent, ...]], ...] = ()


@frozen
class OtherTurn:
    """A turn of another branch beside one of the page, by its names alone; as in `StoredTurn`."""

    message_id: str
    parent_id: str | None
    run: RunRecord
    first_seq: int | None
    again: bool


@frozen
class TurnsPage:
    """A page of a branch. `thread.last_seq` is the number of the newest event that it reflects.

    `turns` are oldest first, and on the last page preceded by unfinished turns of other branches; `tip` is the run at
    the end of the branch, None if the thread has no run. `older` is the answer that the first turn follows, None if
    that is the thread's beginning.
    """

    thread: Thread
    turns: tuple[StoredTurn, ...]
    others: tuple[OtherTurn, ...]
    tip: str | None
    older: str | None


# The numbers of messages decrease along the way, so the recursion ends even if the rows form a cycle.
WAY = text("""
    WITH RECURSIVE way(number, message_id, parent_id, run_id, depth) AS (
        SELECT said.number, said.id, said.parent_id, runs.id, 1
        FROM runs JOIN messages AS said ON said.owner = runs.owner AND said.id = runs.message_id
        WHERE runs.id = :run_id AND runs.owner = :owner AND runs.thread_id = :thread_id
        UNION ALL
        SELECT said.number, said.id, said.parent_id, runs.id, way.depth + 1
        FROM way
        JOIN runs ON runs.id = substr(way.parent_id, 8) AND runs.owner = :owner
        JOIN messages AS said ON said.owner = runs.owner AND said.id = runs.message_id AND said.number < way.number
        WHERE way.depth <= :depth
    )
    SELECT message_id, parent_id, run_id FROM way ORDER BY depth
""")
_below = text("""
    WITH RECURSIVE below(run_id, number) AS (
        SELECT runs.id, said.number
        FROM runs JOIN messages AS said ON said.owner = runs.owner AND said.id = runs.message_id
        WHERE runs.id = :run_id AND runs.owner = :owner AND runs.thread_id = :thread_id
        UNION ALL
        SELECT runs.id, said.number
        FROM below
        JOIN messages AS said ON said.owner = :owner AND said.thread_id = :thread_id
            AND said.parent_id = 'answer-' || below.run_id AND said.role = 'user' AND said.number > below.number
        JOIN runs ON runs.owner = said.owner AND runs.message_id = said.id
    )
    SELECT run_id FROM below LIMIT :most
""")
_unfinished = select(_r.id).where(
    queries.OPEN_RUN,
    _r.owner == bindparam("owner"),
    _r.thread_id == bindparam("thread_id"),
)
_firsts = (
    select(_e.run_id, func.min(_e.seq)).where(_e.run_id.in_(bindparam("runs", expanding=True))).group_by(_e.run_id)
)
_weights = (
    select(_e.run_id, func.sum(func.length(_e.body)))
    .where(_e.run_id.in_(bindparam("runs", expanding=True)))
    .group_by(_e.run_id)
)
_events = (
    select(_e.owner, _e.seq, _e.type, _e.run_id, _e.body)
    .where(_e.run_id.in_(bindparam("runs", expanding=True)))
    .order_by(_e.run_id, _e.seq)
)
_followed = select(_m.parent_id).where(
    _m.owner == bindparam("owner"), _m.parent_id.in_(bindparam("ids", expanding=True)), text(schema.SAID)
)
_texts = select(_m.id, func.length(_m.content)).where(
    _m.owner == bindparam("owner"), _m.id.in_(bindparam("ids", expanding=True))
)
_messages = select(*queries.MESSAGE).where(_m.owner == bindparam("owner"), _m.id.in_(bindparam("ids", expanding=True)))


def turns_page(
    connection: Connection, owner: str, thread_id: str, before: str | None, through: str | None, limit: int
) -> TurnsPage | None:
    """Return the last page of a branch, None if there is no such thread.

    The branch is the newest; with `through`, a run, the newest through that; with `before`, an answer, the part of a
    branch that ends with it.
    """
    thread = queries.thread(connection, owner, thread_id)
    if thread is None:
        return None
    limit = queries.page_size(limit)
    of_thread: dict[str, Any] = {"owner": owner, "thread_id": thread_id}
    open_runs: list[str] = []
    if before is not None:
        tip: str | None = before.removeprefix(ANSWER)
    elif through is not None:
        below = connection.execute(_below, of_thread | {"run_id": through, "most": DEEPEST}).scalars()
        tip = _newest(connection, below.all())
    else:
        open_runs = list(connection.execute(_unfinished, of_thread).scalars())
        tip = _newest(connection, [*([] if thread.newest_run is None else [thread.newest_run]), *open_runs])
    path = connection.execute(WAY, of_thread | {"run_id": tip, "depth": limit}).all() if tip is not None else []
    page = _within(connection, owner, path[:limit])
    older = path[len(page) - 1].parent_id if 0 < len(page) < len(path) else None
    run_ids = [run_id for _, _, run_id in reversed(page)]
    aside = [run_id for run_id in open_runs if run_id not in run_ids]
    parents = [parent_id for _, parent_id, _ in page]
    asked = {name for name, _, _ in page} | set(connection.execute(_said_in(aside)).scalars() if aside else ())
    siblings = connection.execute(_beside(owner, thread_id, parents)).all() if page else []
    runs = queries.runs_of(connection, owner, sorted(asked | {row.id for row in siblings}))
    firsts = dict(connection.execute(_firsts, {"runs": [run.id for run in runs]}).all())
    first_of = {run.message_id: run.id for run in reversed(runs)}
    by_id = {run.id: run for run in runs}
    continued = _continued(connection, owner, by_id)
    turns = _stored(connection, owner, [by_id[run_id] for run_id in (*aside, *run_ids)], firsts, first_of, continued)
    parent_of = {row.id: row.parent_id for row in siblings} | {name: parent_id for name, parent_id, _ in page}
    others = [
        OtherTurn(said, parent_of[said], run, firsts.get(run.id), run.id != first_of[said])
        for run in runs
        for said in (run.message_id,)
        if said in parent_of and run.id not in run_ids and run.id not in aside and run.id not in continued.values()
    ]
    return TurnsPage(thread, tuple(turns), tuple(others[-MOST_OTHERS:]), tip if path else None, older)


def _continued(connection: Connection, owner: str, runs: dict[str, RunRecord]) -> dict[str, str]:
    """Return the cut runs with which others of these go on, by the others; not those whose answer is followed."""
    pairs = {run.id: run.continues for run in runs.values() if run.continues in runs and run.continues is not None}
    if not pairs:
        return {}
    names = [ANSWER + cut for cut in pairs.values()]
    followed = set(connection.execute(_followed, {"owner": owner, "ids": names}).scalars())
    return {run_id: cut for run_id, cut in pairs.items() if ANSWER + cut not in followed}


def _newest(connection: Connection, runs: Sequence[str]) -> str | None:
    """Return the run whose message was accepted last, None if there is none.

    Events are trimmed from the oldest on: a run without any is older than those with one.
    """
    firsts = dict(connection.execute(_firsts, {"runs": runs}).all()) if len(runs) > 1 else {}
    return max(runs, key=lambda run_id: firsts.get(run_id, 0), default=None)


def _within(connection: Connection, owner: str, path: Sequence[Any]) -> Sequence[Any]:
    """Return the first turns of a way, newest first, that a page has room for; at least one."""
    runs = [run_id for _, _, run_id in path]
    if not runs:
        return path
    weights = dict(connection.execute(_weights, {"runs": runs}).all())
    names = [ANSWER + run_id for run_id in runs]
    texts = dict(connection.execute(_texts, {"owner": owner, "ids": names}).all())
    weight = characters = 0
    for count, run_id in enumerate(runs):
        weight += int(weights.get(run_id, 0))
        characters += texts.get(ANSWER + run_id, 0)
        if count and (weight > EVENT_BYTES or characters > TEXT_CHARACTERS):
            return path[:count]
    return path


def _said_in(runs: Sequence[str]) -> Any:
    return select(_r.message_id).where(_r.id.in_(runs))


def _beside(owner: str, thread_id: str, parents: Iterable[str | None]) -> Any:
    """Return the query for the user's messages that follow one of these answers; None: that begin the thread."""
    parent_ids = [parent_id for parent_id in parents if parent_id is not None]
    follows = [_m.parent_id.in_(parent_ids)] if parent_ids else []
    if None in parents:
        follows.append(_m.parent_id.is_(None))
    of_user = and_(_m.owner == owner, _m.thread_id == thread_id, text(schema.SAID))
    return select(_m.id, _m.parent_id).where(of_user, or_(*follows)).order_by(_m.number.desc()).limit(MOST_OTHERS)


def _stored(
    connection: Connection,
    owner: str,
    runs: Sequence[RunRecord],
    firsts: dict[str, int],
    first_of: dict[str, str],
    continued: Mapping[str, str],
) -> list[StoredTurn]:
    """Read the turns of these runs, in the same order; `continued` are the runs with which others go on."""
    if not runs:
        return []
    earlier = {run.id: _chain(run.id, continued) for run in runs}
    cut = sorted({name for chain in earlier.values() for name in chain})
    cut_runs = {run.id: run for run in (queries.run(connection, name) for name in cut) if run is not None}
    names = [name for run in runs for name in (run.message_id, ANSWER + run.id)]
    rows = connection.execute(_messages, {"owner": owner, "ids": names})
    messages = {row.id: Message(*row) for row in rows}
    events: dict[str, list[LoggedEvent]] = {}
    for whose, *row in connection.execute(_events, {"runs": [*(run.id for run in runs), *cut_runs]}):
        if whose == owner:
            events.setdefault(row[2], []).append(LoggedEvent(*row))
    return [
        StoredTurn(
            messages[run.message_id],
            run,
            messages.get(ANSWER + run.id),
            tuple(events.get(run.id, ())),
            firsts.get(run.id),
            (earlier[run.id] or [run.id])[0] != first_of[run.message_id],
            tuple((cut_runs[name], tuple(events.get(name, ()))) for name in earlier[run.id] if name in cut_runs),
        )
        for run in runs
    ]


def _chain(run_id: str, continued: Mapping[str, str]) -> list[str]:
    """Return the runs with which a run goes on, one after the other, oldest first."""
    chain: list[str] = []
    while (cut := continued.get(chain[0] if chain else run_id)) is not None and cut not in chain:
        chain.insert(0, cut)
    return chain
