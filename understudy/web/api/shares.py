"""`/api/threads/{id}/shares`, `/api/shares`, `/api/shared`: links by which anybody reads a thread as it was.

1. Only the owner of a thread makes, lists and revokes its links. A link's token is told once, when it is made.
2. A reader gets the messages of one branch as they are stored: what was redacted stays redacted; and the charts and the
   files that were made for its answers. No arguments and results of tools, no uploads, and nothing that came later.
3. A link that is unknown, revoked or expired is answered in one way, and so is any link while `share_links` is off.
"""

import secrets
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import ge, le
from quart import Blueprint, Response, jsonify

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.privacy.records import share_of
from understudy.storage import queries, shares
from understudy.storage.records import File, Message
from understudy.storage.shared_page import SharedPage, shared_page
from understudy.storage.shares import FULL, MOST, AddShare, DropShare, digest_of
from understudy.web.api.files import download_of, preview_for
from understudy.web.audit import audit
from understudy.web.context import identity, read_json, web_context, whole_number

blueprint = Blueprint("shares", __name__, url_prefix="/api")

FORM: Final = '{"run_id"?: "…", "days"?: 30}'
BODY_BYTES: Final = 4 * 1024
TOKEN_BYTES: Final = 24
"""Random bytes of a token: 192 bits, of which nobody guesses one."""
DAYS: Final = 30
MOST_DAYS: Final = 365
DAY_S: Final = 24 * 3600.0
TURNS: Final = 20
"""Turns of a page."""
DEEPEST: Final = 10_000
"""Limit of turns that a reader goes back."""


@frozen
class ShareRequest:
    """The body of a request for a link: the run at the end of the branch to share, and the days until it expires."""

    run_id: str | None = None
    days: int = field(default=DAYS, validator=[ge(1), le(MOST_DAYS)])


@blueprint.post("/threads/<thread_id>/shares")
async def make(thread_id: str) -> tuple[dict[str, Any], int]:
    """Make a link to a thread as it is now."""
    check_id("thread_id", thread_id)
    owner, asked = identity().user, await read_json(ShareRequest, FORM, BODY_BYTES)
    check_id("run_id", asked.run_id)
    if not web_context().settings.share_links:
        raise CommandRejected("forbidden", "This server makes no links to conversations.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    share_id, store = digest_of(token), web_context().store
    await audit("share.made", target=owner, share=share_id)
    stored = await store.commit(AddShare(share_id, owner, thread_id, asked.run_id, asked.days * DAY_S))
    if stored == FULL:
        raise CommandRejected("quota_exceeded", f"You have {MOST} links; revoke one first.")
    made = next((each for each in await store.read(shares.of_thread, owner, thread_id) if each.id == share_id), None)
    if made is None:
        raise CommandRejected("not_found", "There is no such conversation, or nothing in it yet.")
    return share_of(made) | {"path": f"/share/{token}"}, 201


@blueprint.get("/threads/<thread_id>/shares")
async def listing(thread_id: str) -> dict[str, Any]:
    """List the links to a thread, oldest first, without their tokens."""
    check_id("thread_id", thread_id)
    found = await web_context().store.read(shares.of_thread, identity().user, thread_id)
    return {"shares": list(map(share_of, found))}


@blueprint.delete("/shares/<share_id>")
async def revoke(share_id: str) -> tuple[str, int]:
    """Revoke a link: it is not found from now on."""
    check_id("share_id", share_id)
    owner, store = identity().user, web_context().store
    if not await store.read(shares.exists, share_id):
        raise CommandRejected("not_found", "There is no such link.")
    await audit("share.revoked", target=owner, share=share_id)
    if not await store.commit(DropShare(owner, share_id)):
        raise CommandRejected("not_found", "There is no such link.")
    return "", 204


@blueprint.get("/shared/<token>")
async def read(token: str) -> Response:
    """Return a page of the conversation behind a link; `skip` is how many of its last turns to leave out."""
    found, skip = await _page(token)
    return jsonify(
        {
            "title": found.title,
            "created_at": found.share.created_at,
            "expires_at": found.share.expires_at,
            "messages": [_message(row) for row in found.messages],
            "older": skip + TURNS if found.older else None,
        }
    )


@blueprint.get("/shared/<token>/files/<file_id>")
async def shared_file(token: str, file_id: str) -> Response:
    """Return a file that was made for an answer of the page `skip` behind a link, as a download."""
    return await download_of(await _made_file(token, file_id))


@blueprint.get("/shared/<token>/files/<file_id>/preview")
async def shared_preview(token: str, file_id: str) -> dict[str, Any]:
    """Return what can be shown of such a file without opening it."""
    return await preview_for(await _made_file(token, file_id))


async def _page(token: str) -> tuple[SharedPage, int]:
    context, skip = web_context(), whole_number("skip", 0, 0, DEEPEST)
    allowed = context.settings.share_links
    found = await context.store.read(shared_page, digest_of(token), skip, TURNS) if allowed else None
    if found is None:
        raise CommandRejected("not_found", "This link does not exist any more.")
    return found, skip


async def _made_file(token: str, file_id: str) -> File:
    """Return a file that an answer of a page names: nothing else of its owner can be read."""
    found, _ = await _page(token)
    made = {each["id"] for row in found.messages for each in row.files or ()}
    row = await web_context().store.read(queries.file, found.share.owner, file_id) if file_id in made else None
    if row is None:
        raise CommandRejected("not_found", "There is no such file behind this link.")
    return row


async def link_exists(token: str) -> bool:
    """Return whether a link can be read; False while `share_links` is off."""
    context = web_context()
    return context.settings.share_links and await context.store.read(shares.exists, digest_of(token))


def _message(row: Message) -> dict[str, Any]:
    """Encode a message. Placeholders of what was redacted stay."""
    return {
        "role": row.role,
        "agent": row.pillar or row.agent_type,
        "content": row.content,
        "status": row.status,
        "created_at": row.created_at,
        "visualization": row.visualization,
        "files": list(row.files or ()),
    }
