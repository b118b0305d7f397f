"""`/api/threads`: list, search, rename, delete, history and event log. All of it is the caller's own."""

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import asdict
from quart import Blueprint, Response, request

from transport.codec import encode, from_log
from transport.dialects import Dialect
from transport.errors import CommandRejected
from understudy.chat.rendered import aside, rendered
from understudy.chat.routing import check_id
from understudy.rest.parts import identity, parts
from understudy.storage.rows import LoggedEvent, Message, Thread

blueprint = Blueprint("threads", __name__, url_prefix="/api/threads")

MAX_TITLE = 200
"""Characters of a thread's title."""


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """Give the caller's threads, newest first; `query` searches titles and messages, `cursor` goes on."""
    owner = identity().user
    page = await parts().store.threads(
        owner, request.args.get("query", ""), request.args.get("cursor"), _number("limit", 50, 1, 200)
    )
    return {"threads": [_thread(row) for row in page.items], "next_cursor": page.next_cursor}


@blueprint.get("/<thread_id>/messages")
async def messages(thread_id: str) -> Response:
    """Give a thread's messages, oldest first, the latest page first; answers also as safe HTML."""
    await _existing(thread_id)
    page = await parts().store.messages(
        identity().user, thread_id, request.args.get("cursor"), _number("limit", 100, 1, 200)
    )
    shown = [_message(row, await rendered(row.content) if row.role == "assistant" else None) for row in page.items]
    body = await aside(msgspec.json.encode, {"messages": shown, "next_cursor": page.next_cursor})
    return Response(body, content_type="application/json")


@blueprint.get("/<thread_id>/events")
async def events(thread_id: str) -> Response:
    """Give a thread's events after the sequence number `after`, as they were sent."""
    thread = await _existing(thread_id)
    after = _number("after", 0, 0, 2**53)
    rows = await parts().store.events(identity().user, thread_id, after, _number("limit", 500, 1, 1000))
    body = b'{"events":[%s],"last_seq":%d}' % (await aside(_events, rows), thread.last_seq)
    return Response(body, content_type="application/json")


@blueprint.get("/<thread_id>")
async def one(thread_id: str) -> dict[str, Any]:
    """Give one thread."""
    return _thread(await _existing(thread_id))


@blueprint.patch("/<thread_id>")
async def rename(thread_id: str) -> dict[str, Any]:
    """Give a thread another title: `{"title": "…"}`."""
    await _existing(thread_id)
    title = _title(await request.get_data())
    await parts().store.rename_thread(identity().user, thread_id, title)
    return _thread(await _existing(thread_id))


@blueprint.delete("/<thread_id>")
async def delete(thread_id: str) -> tuple[str, int]:
    """Delete a thread with all its messages and events."""
    await _existing(thread_id)
    await parts().delete_thread(identity().user, thread_id)
    return "", 204


async def _existing(thread_id: str) -> Thread:
    check_id("thread_id", thread_id)
    thread = await parts().store.thread(identity().user, thread_id)
    if thread is None:
        raise CommandRejected("not_found", "There is no conversation of that name.")
    return thread


def _title(body: str | bytes) -> str:
    try:
        given = msgspec.json.decode(body)
        title = " ".join(given["title"].split())
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CommandRejected("invalid_command", 'The body must be {"title": "…"}.') from error
    if not 0 < len(title) <= MAX_TITLE:
        raise CommandRejected("invalid_command", f"A title has 1 to {MAX_TITLE} characters.")
    return title


def _number(name: str, default: int, low: int, high: int) -> int:
    try:
        value = int(request.args.get(name, default))
    except ValueError as error:
        raise CommandRejected("invalid_command", f"{name} must be a whole number.") from error
    if not low <= value <= high:
        raise CommandRejected("invalid_command", f"{name} must be from {low} to {high}.")
    return value


def _thread(row: Thread) -> dict[str, Any]:
    return asdict(row, filter=lambda attribute, _: attribute.name != "owner")


def _message(row: Message, html: str | None) -> dict[str, Any]:
    return asdict(row, recurse=False, filter=lambda attribute, _: attribute.name != "owner") | {"html": html}


def _events(rows: Sequence[LoggedEvent]) -> bytes:
    shown = [encode(from_log(row.body), Dialect.CANONICAL) for row in rows]
    return b",".join(each for each in shown if each)
