"""`/api/inbox`: what the caller has open over all threads, and how far they have read."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from attrs import field, frozen
from quart import Blueprint, Response

from transport.wire.errors import CommandRejected
from understudy.chat.inbox import TYPES, items_of, scheduled_of, unread_of
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.storage import inbox
from understudy.storage.inbox import MOST_MARKS, MarkRead, OpenItems
from understudy.storage.schedules import Schedule
from understudy.web.context import identity, read_json, web_context

blueprint = Blueprint("inbox", __name__, url_prefix="/api/inbox")

FORM: Final = '{"threads": {"…": 17}} or {"all": true}'
BODY_BYTES: Final = 32 * 1024


@frozen
class ReadRequest:
    """The body of a request that marks answers as read: up to a number each in these `threads`, or `all`."""

    threads: dict[str, int] = field(factory=dict)
    all: bool = False


@blueprint.get("")
async def listing() -> Response:
    """List the questions that wait for the caller, their runs, unread answers, and the next times of schedules."""
    owner, context = identity().user, web_context()
    found = await context.store.read(inbox.open_items, owner, TYPES)
    schedules = await context.store.schedules(owner)
    now = context.streams.callbacks.clock()
    body = await run_off_loop(_encode, owner, found, schedules, now, context.content_filter.vault.restore_text)
    return Response(body, content_type="application/json")


@blueprint.post("/read")
async def read() -> tuple[str, int]:
    """Mark answers as read; threads that do not exist are passed over."""
    owner, given = identity().user, await read_json(ReadRequest, FORM, BODY_BYTES)
    if given.all == bool(given.threads):
        raise CommandRejected("invalid_command", f"The body must be {FORM}.")
    if len(given.threads) > MOST_MARKS:
        raise CommandRejected("invalid_command", f"At most {MOST_MARKS} threads can be marked at once.")
    for thread_id, seq in given.threads.items():
        check_id("thread_id", thread_id)
        if not 0 <= seq < 2**31:
            raise CommandRejected("invalid_command", "The number of an event is from 0 to 2147483647.")
    context, threads = web_context(), None if given.all else given.threads
    if await context.store.commit(MarkRead(owner, threads)):
        context.announce_read(owner, threads)
    return "", 204


def _encode(
    owner: str, found: OpenItems, schedules: list[Schedule], now: float, restore: Callable[[str, str, str], str]
) -> bytes:
    needs_you: list[dict[str, Any]] = []
    running: list[dict[str, Any]] = []
    for each in found.runs:
        waiting, run = items_of(each, restore(owner, each.run.thread_id, each.title), now)
        needs_you += waiting
        running += [] if run is None else [run]
    needs_you.sort(key=lambda item: item["asked_at"])
    unread = [unread_of(row, restore(owner, row.id, row.title)) for row in found.unread]
    scheduled = scheduled_of(schedules, lambda row: row.name or row.message)
    counts = {"needs_you": len(needs_you), "running": len(running), "unread": found.unread_count}
    lists = {"needs_you": needs_you, "running": running, "unread": unread, "scheduled": scheduled}
    return msgspec.json.encode(lists | {"counts": counts | {"scheduled": len(scheduled)}, "now": now})
