"""`/api/runs`: list, start, read and cancel the caller's runs, and read their events."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

import msgspec
from attrs import field, frozen
from msgspec import Struct
from quart import Response, request

from transport.wire.codec import encode
from transport.wire.errors import CommandRejected
from understudy.chat.commands.request import Accepted
from understudy.chat.routing import check_id, find_stored_agent
from understudy.content.texts import run_off_loop
from understudy.storage.records import ENDED, UNFINISHED, RunRecord
from understudy.web.api.commands import COMMAND_ERRORS
from understudy.web.context import agents_of_caller, identity, one_of, read_json, web_context, whole_number
from understudy.web.routes import OF_ONE, PAGE, STORED, Count, JsonObject, Routes, choice, up_to
from understudy.web.run_report import ListedRun, RunReport, report, short_report
from understudy.wire.commands import Say
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log, parse_frame

blueprint = Routes("runs", __name__, url_prefix="/api/runs")

KEY: Final = "Idempotency-Key"


@frozen
class StartRequest:
    """The body of a request to start a run."""

    message: str
    agent: str | None = None
    thread_id: str | None = None
    message_id: str | None = None
    parent_id: str | None = None
    references: list[str] = field(factory=list)
    context: dict[str, Any] = field(factory=dict)
    settings: dict[str, Any] = field(factory=dict)
    webhook: str | None = None


class RunsPage(Struct):
    """Runs, newest first, and the cursor of the next page."""

    runs: list[ListedRun]
    next_cursor: str | None


class EventsOfRun(Struct):
    """Events of a run, whether there are more, and the status of the run."""

    events: list[JsonObject]
    more: bool
    status: str


@blueprint.get(
    "", query={"status": choice([*UNFINISHED, *ENDED]), "agent": str, "thread": str, **PAGE},
    errors=("invalid_command", *STORED),
)  # fmt: skip
async def listing() -> RunsPage:
    """List the caller's runs, newest first."""
    status, agent, thread = (request.args.get(name) for name in ("status", "agent", "thread"))
    status = None if status is None else one_of("status", status, (*UNFINISHED, *ENDED))
    limit, cursor = whole_number("limit", 50, 1, 200), request.args.get("cursor")
    page = await web_context().store.runs(
        identity().user, status=status, agent=agent, thread_id=thread, cursor=cursor, limit=limit
    )
    return RunsPage([short_report(row) for row in page.items], page.next_cursor)


@blueprint.post("", status=202, body=StartRequest, headers={KEY: str}, errors=COMMAND_ERRORS)
async def start() -> Accepted:
    """Start a run in the background; its effects are in its events. A repeated `message_id` is the same run."""
    caller = identity()
    body = await read_json(StartRequest, '{"message": "…", "agent": "…"}')
    frame: dict[str, Any] = {"type": "chat", "content": body.message}
    if body.agent is not None:
        agent = agents_of_caller().get(body.agent)
        frame["agent_type"] = body.agent if agent is None else agent.agent_type
        frame["pillar"] = None if agent is None else agent.pillar
    message_id = body.message_id or request.headers.get(KEY) or uuid.uuid4().hex
    # The thread's id is derived from the message's, so that a repeated request finds the thread of the first one.
    thread_id = body.thread_id or f"run-{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"
    ids = {"thread_id": thread_id, "message_id": message_id, "parent_id": body.parent_id}
    frame |= {name: value for name, value in ids.items() if value is not None}
    frame |= {"references": body.references, "context": body.context}
    frame["settings"] = body.settings if body.webhook is None else {**body.settings, "webhook": body.webhook}
    limit = web_context().settings.limits.frame_bytes
    command = parse_frame(msgspec.json.encode(frame), max_bytes=2 * limit)
    assert isinstance(command, Say)  # noqa: S101 - for the type checker
    return await web_context().chat.accept(caller, command)


@blueprint.get("/<run_id>", errors=OF_ONE, answer=RunReport)
async def one(run_id: str) -> Response:
    """Return the state of a run."""
    run = await _own(run_id)
    shown = partial(web_context().content_filter.vault.restore_envelope, run.owner)
    return await state_of(run, shown, {})


@blueprint.get("/<run_id>/events", query={"after": Count, "limit": up_to(1000)}, errors=OF_ONE, answer=EventsOfRun)
async def events(run_id: str) -> Response:
    """Return a run's events after the sequence number `after`."""
    run = await _own(run_id)
    shown = partial(web_context().content_filter.vault.restore_envelope, run.owner)
    return await events_of(run, shown, whole_number("after", 0, 0, 2**53))


@blueprint.post("/<run_id>/cancel", status=202, errors=(*OF_ONE, "rate_limited"))
async def cancel(run_id: str) -> dict[Literal["run_id"], str]:
    """Stop a run; it ends with what it has."""
    check_id("run_id", run_id)
    await web_context().chat.stop(identity(), run_id)
    return {"run_id": run_id}


async def state_of(run: RunRecord, shown: Callable[[Envelope], Envelope], extra: Mapping[str, Any]) -> Response:
    """Return the answer with the state of a run and the fields of `extra`; `shown` converts an event for the caller."""
    store, agents, limits = web_context().store, web_context().agents, web_context().settings.limits
    steps = await store.steps(run.id)
    rows = await store.run_events(run.owner, run.thread_id, run.id)
    agent = agents.get(find_stored_agent(run.agent_type, run.pillar, agents) or "")

    def describe() -> bytes:
        events = [shown(from_log(row.body)).event for row in rows]
        return msgspec.json.encode({**report(run, events, steps, agent, limits), **extra})

    return Response(await run_off_loop(describe), content_type="application/json")


async def events_of(run: RunRecord, shown: Callable[[Envelope], Envelope], after: int | None) -> Response:
    """Return the answer with at most `limit` (in the query) events of a run: those after the number `after`, or the
    last ones for None. `shown` converts an event for the caller."""
    limit = whole_number("limit", 500, 1, 1000)
    rows = await web_context().store.run_events(run.owner, run.thread_id, run.id)
    selected = rows[-limit:] if after is None else [row for row in rows if row.seq > after]

    def encode_events() -> bytes:
        bodies = [encode(shown(from_log(row.body)), Dialect.CANONICAL) for row in selected[:limit]]
        return b",".join(body for body in bodies if body)

    more = b"true" if len(selected) > limit else b"false"
    body = b'{"events":[%s],"more":%s,"status":"%s"}' % (await run_off_loop(encode_events), more, run.status.encode())
    return Response(body, content_type="application/json")


async def _own(run_id: str) -> RunRecord:
    check_id("run_id", run_id)
    user = identity().user  # before the read, so that callers without a token cannot learn which ids exist
    run = await web_context().store.run(run_id)
    if run is None or run.owner != user:
        raise CommandRejected("not_found", "There is no run of that name.")
    return run
