"""`/api/threads`: list, search, change and delete the caller's threads, and read their messages and events."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import msgspec
from attrs import frozen
from quart import Response, request

from transport.wire.codec import encode
from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.content.tags import clean_tags
from understudy.content.texts import run_off_loop
from understudy.storage import queries
from understudy.storage.cache import CachedRead
from understudy.storage.deletion import delete_whole
from understudy.storage.queries import Which
from understudy.storage.records import LoggedEvent, Message, RunRecord, Thread
from understudy.storage.snippets import snippet
from understudy.storage.thread_writes import mark_thread, rename_thread, tag_thread
from understudy.web.api.shown import message_of, newest_of, short_run_of, thread_of
from understudy.web.api.thread_answers import EventsPage, MessagesPage, Tags, ThreadRow, ThreadsPage
from understudy.web.context import identity, one_of, read_json, web_context, whole_number
from understudy.web.routes import OF_ONE, PAGE, STORED, Count, Filled, Routes, up_to
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

T = TypeVar("T")

blueprint = Routes("threads", __name__, url_prefix="/api/threads")

MAX_TITLE = 200
"""Characters of a thread's title. A longer one is refused."""
UNTITLED = "New conversation"
"""The title of a thread if redaction leaves nothing of its own title."""
TITLE_BYTES = 16 * 1024
"""Bytes of the body of a request to change a thread."""
CHANGE_FORM = '{"title"?: "…", "pinned"?: true, "archived"?: true, "tags"?: ["…"]}'


@frozen
class ThreadRequest:
    """The body of a request to change a thread; a member that is None leaves its value unchanged."""

    title: Filled | None = None
    pinned: bool | None = None
    archived: bool | None = None
    tags: Tags | None = None


@blueprint.get(
    "", query={"query": str, "tag": Tags, "which": Which, **PAGE}, errors=("invalid_command", *STORED),
    answer=ThreadsPage,
)  # fmt: skip
async def listing() -> Response:
    """List the caller's threads, newest first; `query` searches titles and messages."""
    owner, which = identity().user, one_of("which", request.args.get("which", "active"), get_args(Which))
    read = await web_context().reads.threads(
        owner,
        request.args.get("query", ""),
        request.args.get("cursor"),
        whole_number("limit", 50, 1, 200),
        which,
        clean_tags(request.args.getlist("tag")),
    )
    page = read.value
    rows = [_thread(row) for row in page.items]
    if query := request.args.get("query", "").strip():
        matches = await web_context().store.search(queries.matches, owner, query, [row.id for row in page.items])
        shown = await run_off_loop(_matches, matches, query, web_context().content_filter.vault.restore_text)
        rows = [row | {"match": shown.get(row["id"])} for row in rows]
    return await encode_read({"threads": rows, "next_cursor": page.next_cursor}, read)


@blueprint.get("/<thread_id>/messages", query=PAGE, errors=OF_ONE, answer=MessagesPage)
async def messages(thread_id: str) -> Response:
    """Return a thread's messages of all branches, oldest first, the latest page first."""
    check_id("thread_id", thread_id)
    owner, cursor, limit = identity().user, request.args.get("cursor"), whole_number("limit", 100, 1, 200)
    read = await web_context().reads.messages(owner, thread_id, cursor, limit)
    page = require_found(read.value)
    rows = _shown(owner, page.messages.items, page.runs)
    body = {"messages": rows, "newest": newest_of(page.newest), "next_cursor": page.messages.next_cursor}
    return await encode_read(body, read)


@blueprint.get("/<thread_id>/events", query={"after": Count, "limit": up_to(1000)}, errors=OF_ONE, answer=EventsPage)
async def events(thread_id: str) -> Response:
    """Return a thread's events after the sequence number `after`, as they were sent."""
    check_id("thread_id", thread_id)
    owner, after, limit = identity().user, whole_number("after", 0, 0, 2**53), whole_number("limit", 500, 1, 1000)
    read = await web_context().reads.events(owner, thread_id, after, limit)
    page = require_found(read.value)
    shown = partial(web_context().content_filter.vault.restore_envelope, owner)
    mark = b',"stale":true' if read.stale else b""
    body = b'{"events":[%s],"last_seq":%d%s}' % (
        await run_off_loop(_events, page.events, shown),
        page.thread.last_seq,
        mark,
    )
    return _dated(Response(body, content_type="application/json"), read)


@blueprint.get("/<thread_id>", errors=OF_ONE, answer=ThreadRow)
async def one(thread_id: str) -> Response:
    """Return one thread."""
    read = await existing(thread_id)
    return await encode_read(_thread(read.value), read)


@blueprint.patch(
    "/<thread_id>", body=ThreadRequest, errors=(*OF_ONE, "file_too_large", "content_blocked", "rate_limited", "busy"),
    answer=ThreadRow,
)  # fmt: skip
async def change(thread_id: str) -> dict[str, Any]:
    """Rename, pin, archive or tag a thread: `{"title"?, "pinned"?, "archived"?, "tags"?}`."""
    owner, context = identity().user, web_context()
    await existing(thread_id)
    body = await read_json(ThreadRequest, CHANGE_FORM, TITLE_BYTES)
    tags = None if body.tags is None else await _filtered_tags(owner, body.tags)
    if body.title is not None:
        title = " ".join(body.title.split())
        if not 0 < len(title) <= MAX_TITLE:
            raise CommandRejected("invalid_command", f"A title has 1 to {MAX_TITLE} characters.")
        title = await context.content_filter.filter_note(owner, title)
        await context.store.commit(rename_thread(owner, thread_id, " ".join(title.split()) or UNTITLED))
    now = context.services.clock()
    if body.pinned is not None:
        await context.store.commit(mark_thread(owner, thread_id, "pinned", now if body.pinned else None))
    if body.archived is not None:
        await context.store.commit(mark_thread(owner, thread_id, "archived", now if body.archived else None))
    if tags is not None:
        await context.store.commit(tag_thread(owner, thread_id, tuple(tags)))
    context.chat.commands.announce_change(owner, thread_id)
    return _thread((await existing(thread_id)).value)


@blueprint.delete("/<thread_id>", errors=OF_ONE)
async def delete(thread_id: str) -> None:
    """Delete a thread with all its messages and events."""
    await existing(thread_id)
    context = web_context()
    await delete_whole(context.store, context.chat.commands.delete_thread, identity().user, thread_id)


async def _filtered_tags(owner: str, raw_tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in their stored form, in lower case. Refuse them if the content filter would redact one.

    The filter also scans the raw tags, because it does not recognize a secret in lower case.
    """
    tags = clean_tags(raw_tags)
    listed = "\n".join([*(" ".join(tag.split()) for tag in raw_tags), *tags])
    if await web_context().content_filter.filter_note(owner, listed) != listed:
        raise CommandRejected("content_blocked", "A tag may not hold a secret or personal data.")
    return tags


async def existing(thread_id: str) -> CachedRead[Thread]:
    """Return a thread of the caller. Raises CommandRejected (`not_found`)."""
    check_id("thread_id", thread_id)
    read = await web_context().reads.thread(identity().user, thread_id)
    return CachedRead(require_found(read.value), read.age_s)


def require_found(value: T | None) -> T:
    """Return a value that was read for a thread. Raises CommandRejected (`not_found`) if it is None: no such thread."""
    if value is None:
        raise CommandRejected("not_found", "There is no conversation of that name.")
    return value


async def encode_read(body: dict[str, Any], read: CachedRead[Any]) -> Response:
    """Encode a read as JSON. If the cache answered it, its age is in headers (RFC 9111, 5.1 and 5.5)."""
    body = body | {"stale": True} if read.stale else body
    return _dated(Response(await run_off_loop(msgspec.json.encode, body), content_type="application/json"), read)


def _dated(answer: Response, read: CachedRead[Any]) -> Response:
    if read.age_s is not None:
        answer.headers["Age"] = str(int(read.age_s))
        answer.headers["Warning"] = '110 understudy "Response is Stale"'
    return answer


def _thread(row: Thread) -> dict[str, Any]:
    return thread_of(row, partial(web_context().content_filter.vault.restore_text, row.owner, row.id))


def _matches(
    found: Mapping[str, Message], query: str, restore: Callable[[str, str, str], str]
) -> dict[str, dict[str, Any]]:
    """Encode the message that a search found in each thread, with a snippet around the words of the query."""
    return {
        thread_id: {
            "message_id": row.id,
            "role": row.role,
            "snippet": [
                {"text": text, "hit": hit} for text, hit in snippet(restore(row.owner, thread_id, row.content), query)
            ],
        }
        for thread_id, row in found.items()
    }


def _shown(owner: str, rows: Sequence[Message], answers: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Encode messages for clients. A user's message has all its runs, oldest first."""
    runs: dict[str, list[dict[str, str]]] = {row.id: [] for row in rows if row.role == "user"}
    for run in answers:
        runs[run.message_id].append(short_run_of(run))
    text = web_context().content_filter.vault.restore_text
    return [message_of(row, runs.get(row.id, []), partial(text, owner, row.thread_id)) for row in rows]


def _events(rows: Sequence[LoggedEvent], shown: Callable[[Envelope], Envelope]) -> bytes:
    encoded = [encode(shown(from_log(row.body)), Dialect.CANONICAL) for row in rows]
    return b",".join(event for event in encoded if event)
