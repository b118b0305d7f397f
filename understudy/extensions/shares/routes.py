"""`/api/threads/{id}/shares`, `/api/shares`, `/api/shared`, `/share`: links by which anybody reads a thread as it was.

1. Only the owner of a thread makes, lists and revokes its links. A link's token is returned once, when it is made.
2. A reader gets the messages of one branch as they are stored, so redacted text stays redacted, and the charts and
   files that were made for its answers; but no arguments and results of tools, no uploads, and nothing that came later.
3. The answers for unknown, revoked and expired links, and for any link while `shares.links` is off, are the same.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from attrs import frozen
from msgspec import Meta, Struct
from quart import Response

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.extensions.files.routes import ShownPreview, download_of, preview_for
from understudy.extensions.shares import storage
from understudy.extensions.shares.settings import ShareSettings
from understudy.extensions.shares.shared_page import SharedPage, shared_page
from understudy.extensions.shares.storage import FULL, MOST, ShownShare, add_share, digest_of, drop_share, record_of
from understudy.storage.acts import Act
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import File, Message
from understudy.web.acts import say
from understudy.web.api.page import page_of
from understudy.web.context import identity, read_json, web_context, whole_number
from understudy.web.routes import OF_ONE, Count, Routes

MADE: Final = Act("share.made", "share")
REVOKED: Final = Act("share.revoked", "share")

blueprint = Routes("shares", __name__)

FORM: Final = '{"run_id"?: "…", "days"?: 30}'
BODY_BYTES: Final = 4 * 1024
TOKEN_BYTES: Final = 24
"""Random bytes of a token: its 192 bits cannot be guessed."""
DAYS: Final = 30
MOST_DAYS: Final = 365
"""Days until a link expires unless its owner says otherwise, and the limit of these days."""
DAY_S: Final = 24 * 3600.0
TURNS: Final = 20
"""Number of turns on a page."""
DEEPEST: Final = 10_000
"""Limit of turns that a reader can skip."""


@frozen
class ShareRequest:
    """The body of a request for a link: the run at the end of the branch to share, and the days until it expires."""

    run_id: str | None = None
    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = DAYS


class NewShare(ShownShare):
    """A link that was just made: its `path` has the token."""

    path: str


class SharedMessage(Struct):
    """A message behind a link, as it is stored, with placeholders for redacted text."""

    role: str
    agent: str
    content: str
    status: str
    created_at: float
    visualization: Mapping[str, Any] | None
    files: Sequence[Mapping[str, Any]]


class PageOfLink(Struct):
    """A page of the conversation behind a link. `older` is the number of turns to skip for the page before it."""

    title: str
    created_at: float
    expires_at: float
    messages: list[SharedMessage]
    older: Count | None


@blueprint.post(
    "/api/threads/<thread_id>/shares", status=201, body=ShareRequest, errors=(*OF_ONE, "forbidden", "quota_exceeded")
)
async def make(thread_id: str) -> NewShare:
    """Make a link to a thread as it is now."""
    check_id("thread_id", thread_id)
    owner, body = identity().user, await read_json(ShareRequest, FORM, BODY_BYTES)
    check_id("run_id", body.run_id)
    if not _are_on():
        raise CommandRejected("forbidden", "This server makes no links to conversations.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    share_id, store = digest_of(token), web_context().store
    await say(MADE, target=owner, share=share_id)
    stored = await store.commit(add_share(share_id, owner, thread_id, body.run_id, body.days * DAY_S))
    if stored == FULL:
        raise CommandRejected("quota_exceeded", f"You have {MOST} links; revoke one first.")
    made = next((share for share in await store.read(storage.of_owner, owner, thread_id) if share.id == share_id), None)
    if made is None:
        raise CommandRejected("not_found", "There is no such conversation, or nothing in it yet.")
    return NewShare(made.id, thread_id, made.created_at, made.expires_at, f"/share/{token}")


@blueprint.get("/api/threads/<thread_id>/shares", errors=OF_ONE)
async def listing(thread_id: str) -> dict[Literal["shares"], list[ShownShare]]:
    """List the links to a thread, oldest first, without their tokens."""
    check_id("thread_id", thread_id)
    shares = await web_context().store.read(storage.of_owner, identity().user, thread_id)
    return {"shares": list(map(record_of, shares))}


@blueprint.delete("/api/shares/<share_id>", errors=OF_ONE)
async def revoke(share_id: str) -> None:
    """Revoke a link: it is not found from now on."""
    check_id("share_id", share_id)
    owner, store = identity().user, web_context().store
    if not await store.read(storage.exists, share_id):
        raise CommandRejected("not_found", "There is no such link.")
    await say(REVOKED, target=owner, share=share_id)
    if not await store.commit(drop_share(owner, share_id)):
        raise CommandRejected("not_found", "There is no such link.")


@blueprint.get("/api/shared/<token>", query={"skip": Count}, token=False, errors=OF_ONE)
async def read(token: str) -> PageOfLink:
    """Return a page of the conversation behind a link; `skip` is how many of its last turns to leave out."""
    shared, skip = await _page(token)
    messages, older = [_message(row) for row in shared.messages], skip + TURNS if shared.older else None
    return PageOfLink(shared.title, shared.share.created_at, shared.share.expires_at, messages, older)


@blueprint.get(
    "/api/shared/<token>/files/<file_id>", media="application/octet-stream", query={"skip": Count}, token=False,
    errors=OF_ONE,
)  # fmt: skip
async def shared_file(token: str, file_id: str) -> Response:
    """Return a file that was made for an answer of the page `skip` behind a link, as a download."""
    return await download_of(await _made_file(token, file_id))


@blueprint.get("/api/shared/<token>/files/<file_id>/preview", query={"skip": Count}, token=False, errors=OF_ONE)
async def shared_preview(token: str, file_id: str) -> ShownPreview:
    """Return what can be shown of such a file without opening it."""
    return await preview_for(await _made_file(token, file_id))


@blueprint.get(
    "/share/<token>", media="text/html", token=False,
    also={404: "There is no such link any more.", 503: "The database is away."},
)  # fmt: skip
async def page(token: str) -> Response:
    """Return the page on which anybody reads a shared conversation."""
    answer = await page_of("share.html")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    try:
        if not (_are_on() and await web_context().store.read(storage.exists, digest_of(token))):
            answer.status_code = 404
    except StorageUnavailable:
        answer.status_code = 503  # the page says that it cannot be read now
    return answer


def _are_on() -> bool:
    """Return whether links are made and can be read."""
    return web_context().settings.of(ShareSettings).links


async def _page(token: str) -> tuple[SharedPage, int]:
    skip = whole_number("skip", 0, 0, DEEPEST)
    shared = await web_context().store.read(shared_page, digest_of(token), skip, TURNS) if _are_on() else None
    if shared is None:
        raise CommandRejected("not_found", "This link does not exist any more.")
    return shared, skip


async def _made_file(token: str, file_id: str) -> File:
    """Return a file that an answer on a page names; no other file of the owner can be read."""
    shared, _ = await _page(token)
    file_ids = {file["id"] for row in shared.messages for file in row.files or ()}
    files = web_context().services.attachments(shared.share.owner)
    for row in await files.rows([file_id]) if file_id in file_ids else ():
        return row
    raise CommandRejected("not_found", "There is no such file behind this link.")


def _message(row: Message) -> SharedMessage:
    agent, files = row.pillar or row.agent_type, row.files or ()
    return SharedMessage(row.role, agent, row.content, row.status, row.created_at, row.visualization, files)
