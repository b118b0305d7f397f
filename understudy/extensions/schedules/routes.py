"""`/api/schedules`: make, list, read, change, pause and delete schedules. All of it is the caller's own."""

import hashlib
import uuid
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from attrs import evolve, field, fields, frozen
from msgspec import Meta
from quart import request

from transport.wire.errors import CommandRejected
from transport.wire.fields import MAX_ID
from understudy.chat.routing import check_id
from understudy.extensions.schedules import storage
from understudy.extensions.schedules.cron import BadCron
from understudy.extensions.schedules.due import POLICIES, When
from understudy.extensions.schedules.firing import RUNNER, identity_of, say_of
from understudy.extensions.schedules.settings import ScheduleSettings
from understudy.extensions.schedules.storage import (
    FULL,
    Schedule,
    ScheduleRow,
    add_schedule,
    change_schedule,
    delete_schedule,
    record_of,
)
from understudy.storage.acts import Act
from understudy.storage.polling import poll_now
from understudy.web.acts import say
from understudy.web.api.runs import KEY
from understudy.web.context import agents_of_caller, identity, one_of, read_json, web_context
from understudy.web.operators import MOST, OF_OPERATOR, listed, owned, scope
from understudy.web.routes import OF_ONE, STORED, Filled, Routes, many, shape, some_of

CHANGED: Final = Act("schedule.changed", "schedule")
DELETED: Final = Act("schedule.deleted", "schedule")
MADE: Final = Act("schedule.made", "schedule")

blueprint = Routes("schedules", __name__, url_prefix="/api/schedules")
of_operators = Routes("admin_schedules", __name__, url_prefix="/api/admin/schedules")

Policy: TypeAlias = Annotated[str, Meta(extra_json_schema={"enum": list(POLICIES)})]
FORM: Final = '{"message": "…", "agent": "…", "cron": "…" or "every_s": 3600, …}'
MAX_NAME: Final = 200
TRIES: Final = 3
"""Limit of attempts at a change that collides with firings of the schedule; then it is refused as `busy`."""


@frozen
class ScheduleRequest:
    """The body of a request to make a schedule; in a request to change one all members are optional."""

    message: Filled
    agent: str | None = None
    name: str = ""
    cron: str | None = None
    every_s: Annotated[int, Meta(extra_json_schema={"minimum": 0})] | None = None
    time_zone: str = "UTC"
    thread_id: str | None = None
    policy: Policy = "once"
    settings: dict[str, Any] = field(factory=dict)
    enabled: bool = True


MEMBERS: Final = tuple(attribute.name for attribute in fields(ScheduleRequest))
ERRORS: Final = (
    "invalid_command", "empty_message", "unknown_agent_type", "unknown_pillar", "content_blocked",
    "forbidden", "message_too_large", "not_found", "rate_limited", "busy", "quota_exceeded", *STORED,
)  # fmt: skip
_FIRED = shape("Fired", due_at=float, **dict.fromkeys(("thread_id", "run_id", "code", "message"), str | None))
ShownSchedule = shape(
    "Schedule", ScheduleRequest, id=str, created_at=float, next_due_at=float | None, last=_FIRED | None
)
ScheduleChange = some_of("ScheduleChange", ScheduleRequest)


@blueprint.get("", errors=STORED, answer=shape("Schedules", schedules=many(ShownSchedule)))
async def listing() -> dict[str, Any]:
    """List the caller's schedules, oldest first."""
    return {"schedules": [record_of(row) for row in await web_context().store.read(storage.of_owner, identity().user)]}


@blueprint.post("", status=201, body=ScheduleRequest, headers={KEY: str}, errors=ERRORS, answer=ShownSchedule)
async def make() -> dict[str, Any]:
    """Make a schedule. A repeated `Idempotency-Key` is the same schedule."""
    owner, key = identity().user, request.headers.get(KEY) or uuid.uuid4().hex
    schedule_id = hashlib.sha256(f"{owner}\n{key}".encode()).hexdigest()[:32]
    schedule = _structure(await _object())
    store, limit = web_context().store, web_context().settings.of(ScheduleSettings).per_user
    existing, now = await store.read(storage.one, owner, schedule_id)
    if existing is None:
        blank = Schedule(
            schedule_id, owner, "", None, "", When(None, None, "UTC", now), None, "once", {}, False, now, None
        )  # fmt: skip
        defined = await _defined(blank, schedule, now)
        await say(MADE, target=owner, schedule=schedule_id)
        if await store.commit(add_schedule(defined, limit)) == FULL:
            raise CommandRejected("quota_exceeded", f"You can have {limit} schedules; delete one first.")
        poll_now(web_context().find(RUNNER))
    return record_of((await _own(schedule_id))[0])


@blueprint.get("/<schedule_id>", errors=OF_ONE, answer=ShownSchedule)
async def one(schedule_id: str) -> dict[str, Any]:
    """Return a schedule, with what became of its last due time."""
    return record_of((await _own(schedule_id))[0])


@blueprint.patch("/<schedule_id>", body=ScheduleChange, errors=ERRORS, answer=ShownSchedule)
async def change(schedule_id: str) -> dict[str, Any]:
    """Change some members of a schedule; `{"enabled": false}` pauses it."""
    body = await _object()
    for _ in range(TRIES):
        row, now = await _own(schedule_id)
        members = {name: value for name, value in record_of(row).items() if name in MEMBERS} | body
        for name, other in (("cron", "every_s"), ("every_s", "cron")):
            if body.get(name) is not None and other not in body:
                members[other] = None
        defined = await _defined(row, _structure(members), now)
        await say(CHANGED, target=row.owner, schedule=row.id)
        if await web_context().store.commit(change_schedule(defined)):
            poll_now(web_context().find(RUNNER))
            return record_of((await _own(schedule_id))[0])
    raise CommandRejected("busy", "The schedule is firing right now; try again in a moment.", 1.0)


@blueprint.delete("/<schedule_id>", errors=OF_ONE)
async def delete(schedule_id: str) -> None:
    """Delete a schedule. Its conversations stay."""
    row, _ = await _own(schedule_id)
    await say(DELETED, target=row.owner, schedule=row.id)
    if not await web_context().store.commit(delete_schedule(row.owner, row.id)):
        raise CommandRejected("not_found", "There is no schedule of that name.")


@of_operators.get("", query={"tenant": str}, errors=OF_OPERATOR, answer=listed("schedules", ScheduleRow))
async def all_of_them() -> dict[str, Any]:
    """List the schedules of users, those that are due next first."""
    rows = await web_context().store.archive.read(storage.of_scope, MOST, scope())
    return {"schedules": [owned(row) for row in rows]}


async def _own(schedule_id: str) -> tuple[Schedule, float]:
    check_id("schedule_id", schedule_id)
    schedule, now = await web_context().store.read(storage.one, identity().user, schedule_id)
    if schedule is None:
        raise CommandRejected("not_found", "There is no schedule of that name.")
    return schedule, now


async def _object() -> dict[str, Any]:
    body: dict[str, Any] = await read_json(dict[str, Any], FORM)
    unknown = next((name for name in body if name not in MEMBERS), None)
    if unknown is not None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in unknown[:40])
        raise CommandRejected("invalid_command", f"A schedule has no {shown}; it has {', '.join(MEMBERS)}.")
    return body


def _structure(members: dict[str, Any]) -> ScheduleRequest:
    try:
        return msgspec.convert(members, ScheduleRequest)
    except msgspec.ValidationError as error:
        raise CommandRejected("invalid_command", f"The body must be {FORM}: {error}.") from error


async def _defined(row: Schedule, body: ScheduleRequest, now: float) -> Schedule:
    """Return the schedule with these members, checked as if it fired now, and its next due time.

    Raises:
        CommandRejected: A member cannot be used; the sentence names it.
    """
    context = web_context()
    when = When(body.cron, body.every_s, body.time_zone, row.when.starts_at)
    fresh = when != row.when
    if fresh:
        when = evolve(when, starts_at=float(int(now)))  # so that due times are whole seconds
    try:
        timing = when.check(context.settings.of(ScheduleSettings).every_s)
    except BadCron as error:
        raise CommandRejected("invalid_command", f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    one_of("policy", body.policy, POLICIES)
    if len(body.name) > MAX_NAME:
        raise CommandRejected("invalid_command", f"A name has at most {MAX_NAME} characters.")
    check_id("thread_id", body.thread_id)
    if body.agent is not None and len(body.agent) > MAX_ID:
        raise CommandRejected("unknown_agent_type")
    owner, content_filter = row.owner, context.content_filter
    due_at = row.next_due_at
    if fresh or due_at is None or not body.enabled:
        due_at = next(timing.due_times(now), None) if body.enabled else None
    members = {name: getattr(body, name) for name in MEMBERS if name in Schedule.__annotations__}
    schedule = evolve(row, **members, when=when, next_due_at=due_at)
    say = say_of(schedule, now, context.agents)
    try:
        await context.chat.commands.check(identity_of(schedule), say)
    except CommandRejected as refused:
        if body.agent in agents_of_caller() and refused.code.startswith("unknown"):
            sentence = f"The agent {body.agent} cannot run on a schedule: it is not for everyone, and a schedule's "
            raise CommandRejected("forbidden", f"{sentence}runs have no roles and groups.") from refused
        if refused.code == "forbidden":
            sentence = f"{refused.message} The runs of a schedule have no roles and groups."
            raise CommandRejected("forbidden", sentence) from refused
        raise
    if body.message != row.message:
        schedule = evolve(schedule, message=await content_filter.filter_note(owner, body.message))
    if body.name and body.name != row.name:
        schedule = evolve(schedule, name=await content_filter.filter_note(owner, body.name))
    return schedule
