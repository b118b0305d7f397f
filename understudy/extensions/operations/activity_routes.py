"""`/api/observer`: the server's activity, for operators: runs, connections, users, pools; and the timeline of a run.

1. No answer contains text of a user or of a model.
2. Runs and users are shown to operators of a tenant too: those of their tenant, and no others.
"""

import time
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final, Literal

import trio
from attrs import asdict
from msgspec import Meta, Struct
from quart import request

from actors import ActorError, ActorRef
from transport.connection.base import DescribeConnection
from transport.outbox.outbox import GetBacklog
from transport.wire.errors import CommandRejected
from understudy.auth.rights import everybody
from understudy.chat.messages import CancelRun
from understudy.chat.run.meter import usage_of
from understudy.content.texts import run_off_loop
from understudy.extensions.operations import queries as operator_queries
from understudy.extensions.operations.queries import OpenRunRow
from understudy.extensions.operations.timeline import ASIDE, as_json, timeline, waits_for
from understudy.storage.acts import Act
from understudy.storage.owners import name_of
from understudy.storage.spending import day_of
from understudy.tools.threads import tool_threads
from understudy.web.acts import say
from understudy.web.context import WebContext, identity, read_body, rights, web_context, whole_number
from understudy.web.operators import OF_OPERATOR, Reason, filtered_reason, owned, reached_run, scope, who
from understudy.web.routes import OF_ONE, Count, JsonObject, Routes, up_to
from understudy.web.run_report import short_report
from understudy.wire.vocabulary import from_log

STOPPED: Final = Act("run.stopped", "reason", "run")

blueprint = Routes("activity", __name__, url_prefix="/api/observer")

MOST: Final = 200
"""Limit of rows of one answer."""
DESCRIBE_S: Final = 1.0
"""Seconds for all connections of one answer to describe themselves; members that are unknown by then are null."""
MAX_TEXT: Final = 200
"""Limit of characters of the text to search for."""


class RunsNow(Struct):
    """The open runs, the last that ended on this node, and the id of the node, None for a single one."""

    open: list[JsonObject]
    ended: list[JsonObject]
    currency: str
    node: str | None


class ConnectionsNow(Struct):
    """Connections of this node, and how many there are."""

    connections: list[JsonObject]
    total: Count


class UsersNow(Struct):
    """Users with what they do and spend, and how many there are."""

    users: list[JsonObject]
    total: Count
    currency: str


@blueprint.get("/runs", query={"tenant": str}, errors=OF_OPERATOR)
async def runs() -> RunsNow:
    """List the open runs of all nodes, and the last that ended here."""
    of, context, now = scope(), web_context(), time.time()
    whose = rights().whose(request.args.get("tenant") or None)
    here = None if context.node is None else context.node.id  # read at each request: a lapse of the lease changes it
    aside = [about.type for about in ASIDE]
    rows = await context.store.archive.read(operator_queries.open_runs, MOST, of, aside)
    latest = await run_off_loop(partial(_latest_events, rows))
    sent = context.metrics.runs.watchdog.last_sent
    listed = []
    for row, (at, event, kind, name) in zip(rows, latest, strict=True):
        last_at = max(at or row.started_at, sent.get(row.run_id, 0.0))
        listed.append({
            "run_id": row.run_id, "thread_id": row.thread_id, **who(row.owner), "agent": row.agent,
            "age_s": round(now - row.started_at, 1), "silent_s": round(max(0.0, now - last_at), 1),
            "here": row.node in (None, here), "node": row.node, "attempts": row.attempts,
            "last_event": event, "waits_for": kind, "waits_for_name": name,
            "tokens": row.tokens, "cost": row.cost,
        })  # fmt: skip
    listed.sort(key=lambda row: -float(row["silent_s"]))
    ended = [
        {"run_id": ended_run.run_id, **who(ended_run.owner), "ago_s": round(now - ended_run.at, 1),
         "outcome": ended_run.outcome, "first_s": ended_run.first_s, "seconds": ended_run.seconds}
        for ended_run in islice((run for run in reversed(context.metrics.recent.runs) if whose(run.owner)), 50)
    ]  # fmt: skip
    return RunsNow(listed, ended, context.models.prices.currency, here)


@blueprint.get("/runs/<run_id>", errors=("not_found", *OF_OPERATOR))
async def run(run_id: str) -> dict[str, Any]:
    """Return a run with its timeline, without any text."""
    record, context = await reached_run(run_id), web_context()
    rows = await context.store.run_events(record.owner, record.thread_id, run_id)
    steps = await context.store.steps(run_id)

    def describe() -> dict[str, Any]:
        return as_json(timeline((from_log(row.body) for row in rows), steps), steps)

    shown = await run_off_loop(describe)
    used = [usage for step in steps if (usage := usage_of(step)) is not None]
    tokens = sum(usage.input + usage.output for usage in used)
    return {**short_report(record), **who(record.owner), "attempts": record.attempts, "tokens": tokens, **shown}


@blueprint.post("/runs/<run_id>/stop", status=202, body=Reason, errors=(*OF_ONE, "content_blocked"))
async def stop(run_id: str) -> dict[Literal["run_id"], str]:
    """End the run of any user within the caller's rights with what it has."""
    record, body = await reached_run(run_id), await read_body()
    reason = await filtered_reason(record.owner, body) if body else None
    await say(STOPPED, target=record.owner, as_operator=True, run=run_id, reason=reason or "")
    if record.ended_at is None:
        cancel = partial(CancelRun, run_id, by=identity().user, reason=reason)
        await web_context().chat.commands.ask(record.owner, record.thread_id, cancel)
    return {"run_id": run_id}


@blueprint.get("/connections", query={"user": str, "limit": up_to(MOST)}, errors=OF_OPERATOR)
async def connections() -> ConnectionsNow:
    """List connections of this node, the largest backlog first."""
    rights().check_server()
    context, user_part = web_context(), request.args.get("user", "")
    limit = whole_number("limit", 100, 1, MOST)
    listed = context.presence.connections(lambda owner: user_part in owner)
    described: list[dict[str, Any]] = []
    with trio.move_on_after(DESCRIBE_S):
        async with trio.open_nursery() as nursery:
            for connection_id, owner, outbox, thread_id in islice(listed, limit):
                row = {"connection_id": connection_id, **who(owner), "thread_id": thread_id, "dialect": None,
                       "age_s": None, "rtt_ms": None, "events": None, "bytes": None, "behind": None}  # fmt: skip
                described.append(row)
                nursery.start_soon(_describe, row, outbox)
    described.sort(key=lambda row: -(row["bytes"] or 0))
    return ConnectionsNow(described, context.presence.count(lambda owner: user_part in owner))


@blueprint.get("/users", query={"tenant": str}, errors=OF_OPERATOR)
async def users() -> UsersNow:
    """List the users who are connected here, or spent most today."""
    of, context, today = scope(), web_context(), day_of(time.time())
    whose = rights().whose(request.args.get("tenant") or None)
    rows: dict[str, dict[str, Any]] = {}

    def row(owner: str) -> dict[str, Any]:
        if owner not in rows:
            rows[owner] = {**who(owner), "connections": 0, "open_runs": 0, "ended_runs": 0, "tokens": 0, "cost": 0.0}
        return rows[owner]

    for owner, tokens, cost in await context.store.archive.read(operator_queries.spent_on, today, MOST, of):
        row(owner).update(tokens=tokens, cost=cost)
    for owner, count in (await context.store.archive.read(operator_queries.open_run_counts, of)).items():
        row(owner).update(open_runs=count)
    for ended in context.metrics.recent.runs:
        if whose(ended.owner):
            row(ended.owner)["ended_runs"] += 1
    for _, owner, _, _ in context.presence.connections(whose):
        row(owner)["connections"] += 1
    ordered = sorted(rows.values(), key=lambda user: (-user["open_runs"], -user["tokens"], -user["connections"]))
    return UsersNow(ordered[:MOST], len(rows), context.models.prices.currency)


@blueprint.get("/health", query={"minutes": up_to(60)}, errors=OF_OPERATOR)
async def health() -> dict[Literal["health", "pools", "activity"], Mapping[str, Any]]:
    """Return health checks, pools, and the operations of the last `minutes`."""
    rights().check_server()
    context, minutes = web_context(), whole_number("minutes", 5, 1, 60)
    activity = context.status.activity(minutes)
    activity.pop("open_runs")
    return {"health": context.status.health(), "pools": _pools(context), "activity": activity}


@blueprint.get("/find", query={"text": Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]}, errors=OF_OPERATOR)
async def find() -> dict[Literal["users", "threads", "runs", "incidents"], list[JsonObject]]:
    """Return the users, threads, runs and incidents that a text names."""
    rights().check_server()
    text, context = request.args.get("text", "").strip(), web_context()
    if not text or len(text) > MAX_TEXT:
        raise CommandRejected("invalid_command", f"text must have 1 to {MAX_TEXT} characters.")
    matches = await context.store.archive.read(operator_queries.find, text)
    runs = list(matches.runs)
    named = [owner for owner in matches.users if text in (owner, name_of(owner))]
    places: list[tuple[str, str | None]] = [*matches.threads, *((owner, None) for owner in named)]
    if places:
        runs += await context.store.archive.read(operator_queries.runs_of, *places[0])
    incidents = [asdict(incident) for incident in context.recorder.incidents_after() if text in incident.error_id]
    return {
        "users": [who(owner) for owner in matches.users],
        "threads": [{**who(owner), "thread_id": thread_id} for owner, thread_id in matches.threads],
        "runs": [owned(fromkey) for fromkey in dict.fromkeys(runs)],
        "incidents": incidents,
    }


def _latest_events(rows: list[OpenRunRow]) -> list[tuple[float | None, str | None, str, str]]:
    """Return for each run the time and type of its latest event, and the kind and name of what it waits for."""
    latest_events: list[tuple[float | None, str | None, str, str]] = []
    for row in rows:
        latest = None if row.last_body is None else from_log(row.last_body)
        kind, name = ("queue", "") if row.work_body is None else waits_for(from_log(row.work_body), row.call)
        at, event = (None, None) if latest is None else (latest.timestamp, latest.event.type)
        latest_events.append((at, event, kind, name))
    return latest_events


async def _describe(row: dict[str, Any], outbox: ActorRef) -> None:
    """Fill in the row of a connection by asking it and its outbox; its members stay null if it has gone."""
    system = web_context().status.system
    path = outbox.path.rpartition("/")[0]
    connection, actor = system.find(path), system.explain(path)
    if connection is None or actor is None:
        return
    row["age_s"] = round(actor.for_s, 1)
    try:
        backlog = await outbox.ask(GetBacklog(), timeout_s=DESCRIBE_S)
        row.update(events=backlog.events, bytes=backlog.bytes, behind=backlog.threads)
        info = await connection.ask(DescribeConnection(), timeout_s=DESCRIBE_S)
        row.update(dialect=info.dialect, rtt_ms=None if info.rtt_s is None else round(info.rtt_s * 1000, 1))
    except ActorError:
        return


def _pools(server: WebContext) -> dict[str, dict[str, int]]:
    """Return for each pool of the server the numbers at work and waiting, and if known its limit or lost threads."""
    readers, runs = server.store.readers, server.status.counts(everybody)
    threads = tool_threads()
    return {
        "runs": {"at_work": runs["runs"], "waiting": runs["runs_waiting"], "total": server.settings.limits.runs_total},
        "reads of the database": {"at_work": readers.at_work, "waiting": readers.waiting},
        "threads of tools": {"at_work": threads.working, "lost": threads.lost.total()},
    }
