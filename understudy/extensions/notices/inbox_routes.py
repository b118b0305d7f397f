"""`/api/inbox`: what the caller has open over all threads, and how far they have read."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from attrs import field, frozen
from msgspec import Meta
from quart import Response

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.extensions.notices import inbox_storage as inbox
from understudy.extensions.notices.inbox import TYPES, items_of, unread_of
from understudy.extensions.notices.inbox_storage import MOST_MARKS, OpenItems, mark_read
from understudy.web.context import identity, read_json, web_context
from understudy.web.routes import STORED, Count, JsonObject, Routes, any_of, many, shape

blueprint = Routes("inbox", __name__, url_prefix="/api/inbox")

FORM: Final = '{"threads": {"…": 17}} or {"all": true}'
BODY_BYTES: Final = 32 * 1024
Mark: TypeAlias = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 2**31 - 1})]


@frozen
class ReadRequest:
    """The body of a request that marks answers as read: in `threads` each up to the number of an event, or `all`."""

    threads: Annotated[dict[str, Mark], Meta(extra_json_schema={"maxProperties": MOST_MARKS})] = field(factory=dict)
    all: bool = False


_THREAD: Final[dict[str, Any]] = {
    "thread_id": str, "title": str, "agent": str, "agent_type": str, "pillar": str | None,
}  # fmt: skip
_ASKED: Final[dict[str, Any]] = {
    **_THREAD, "run_id": str, "last_seq": Count, "id": str, "seq": Count, "asked_at": float, "expires_at": float,
}  # fmt: skip
_APPROVAL = shape(
    "WaitingApproval", **_ASKED, kind=Literal["approval"], call_id=str, tool_name=str, description=str,
    parameters=JsonObject, schema=JsonObject | None,
)  # fmt: skip
_QUESTION = shape(
    "WaitingQuestion", **_ASKED, kind=Literal["question", "sign_in", "doubt"], question_id=str, question=str,
    text=str | None, schema=JsonObject, choices=many(JsonObject) | None, sign_in=str | None, call_id=str | None,
    tool_name=str | None, parameters=JsonObject | None,
)  # fmt: skip
_RUNNING = shape(
    "RunAtWork", **_THREAD, run_id=str, last_seq=Count, status=Literal["queued", "running"], started_at=float,
    doing=str,
)  # fmt: skip
_UNREAD = shape("UnreadAnswer", **_THREAD, status=str | None, updated_at=float, answered_seq=Count)
_LISTS: Final = ("needs_you", "running", "unread")
InboxPage = shape(
    "Inbox", needs_you=many(Annotated[JsonObject, any_of(_APPROVAL, _QUESTION)]), running=many(_RUNNING),
    unread=many(_UNREAD), counts=shape("InboxCounts", **dict.fromkeys(_LISTS, Count)), now=float,
)  # fmt: skip


@blueprint.get("", errors=STORED, answer=InboxPage)
async def listing() -> Response:
    """List the questions that wait for the caller, their runs, and unread answers."""
    owner, context = identity().user, web_context()
    items = await context.store.read(inbox.open_items, owner, TYPES)
    now = context.services.clock()
    body = await run_off_loop(_encode, owner, items, now, context.content_filter.vault.restore_text)
    return Response(body, content_type="application/json")


@blueprint.post("/read", body=ReadRequest, errors=STORED)
async def read() -> None:
    """Mark answers as read; threads that do not exist are passed over."""
    owner, body = identity().user, await read_json(ReadRequest, FORM, BODY_BYTES)
    if body.all == bool(body.threads):
        raise CommandRejected("invalid_command", f"The body must be {FORM}.")
    if len(body.threads) > MOST_MARKS:
        raise CommandRejected("invalid_command", f"At most {MOST_MARKS} threads can be marked at once.")
    for thread_id, seq in body.threads.items():
        check_id("thread_id", thread_id)
        if not 0 <= seq < 2**31:
            raise CommandRejected("invalid_command", "The number of an event is from 0 to 2147483647.")
    context, threads = web_context(), None if body.all else body.threads
    if await context.store.commit(mark_read(owner, threads)):
        context.chat.commands.announce_read(owner, threads)


def _encode(owner: str, items: OpenItems, now: float, restore: Callable[[str, str, str], str]) -> bytes:
    needs_you: list[dict[str, Any]] = []
    running: list[dict[str, Any]] = []
    for unfinished in items.runs:
        waiting, run = items_of(unfinished, restore(owner, unfinished.run.thread_id, unfinished.title), now)
        needs_you += waiting
        running += [] if run is None else [run]
    needs_you.sort(key=lambda item: item["asked_at"])
    unread = [unread_of(row, restore(owner, row.id, row.title)) for row in items.unread]
    counts = {"needs_you": len(needs_you), "running": len(running), "unread": items.unread_count}
    lists = {"needs_you": needs_you, "running": running, "unread": unread}
    return msgspec.json.encode(lists | {"counts": counts, "now": now})
