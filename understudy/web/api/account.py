"""`/api/me`: all that a user has, to keep it or to erase it; and `/api/users`, where operators erase others."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from attrs import asdict
from quart import Blueprint, Response, request

from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.privacy.erasure import Erased
from understudy.privacy.export import FORMS, ExportOptions, Pieces
from understudy.storage.tenancy import name_of, owner_of
from understudy.web.api.commands import read_body
from understudy.web.context import identity, rights, web_context

blueprint = Blueprint("account", __name__, url_prefix="/api")

MAX_EXPORTS_PER_USER: Final = 2
"""Exports of one user at a time: each reads on as fast as it is taken, and holds some pages."""
MAX_EXPORTS_TOTAL: Final = 32
EXPORT_TIMEOUT_S: Final = 600.0
"""How long one may take."""
CONFIRM_BYTES: Final = 4 * 1024
_TYPES: Final = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}
ALL_USERS: Final = ""
"""What all exports together are counted under: no user is called so."""


@blueprint.get("/me/export")
async def export() -> Response:
    """Give all that the caller has: `format` is json or markdown; also `raw` texts and `events`, where asked for."""
    user, what = await web_context().archive.user(identity().user), requested_export()
    if user is None:
        raise CommandRejected("not_found", "There is nothing of yours here.")
    return download(web_context().exporter.user(user, what), "conversations", what)


@blueprint.delete("/me")
async def erase() -> dict[str, Any]:
    """Erase all that the caller has, for good; the body says `{"confirm": "…"}` with the caller's own name."""
    owner = identity().user
    if _confirmed(await read_body(CONFIRM_BYTES)) != name_of(owner):
        raise CommandRejected("invalid_command", 'To erase everything, send {"confirm": "…"} with your user name.')
    return _as_json(await web_context().eraser.user(owner))


@blueprint.delete("/users/<user>")
async def erase_user(user: str) -> dict[str, Any]:
    """Erase all that a user has, for operators; `tenant` says of which tenant they are."""
    owner = owner_of(user, rights().reach(request.args.get("tenant") or None))
    if await web_context().archive.user(owner) is None:
        raise CommandRejected("not_found", "Nothing is stored of a user of that name.")
    return _as_json(await web_context().eraser.user(owner))


@blueprint.delete("/me/sessions")
async def sign_out() -> tuple[str, int]:
    """End all sessions of the caller, this one too: whatever token was issued until now is refused."""
    await web_context().sessions.end_all_sessions(identity().user)
    return "", 204


@blueprint.delete("/users/<user>/sessions")
async def sign_out_user(user: str) -> tuple[str, int]:
    """End all sessions of a user, for operators; `tenant` says of which tenant they are."""
    await web_context().sessions.end_all_sessions(owner_of(user, rights().reach(request.args.get("tenant") or None)))
    return "", 204


def requested_export() -> ExportOptions:
    """What the current request asks to be exported.

    Raises:
        CommandRejected: In a form that there is not (`invalid_command`).
    """
    form = request.args.get("format", "json")
    if form not in FORMS:
        raise CommandRejected("invalid_command", f"format must be one of {', '.join(FORMS)}.")
    raw, events = (request.args.get(name, "").lower() in ("1", "true") for name in ("raw", "events"))
    return ExportOptions(form, raw, events)


def download(pieces: Pieces, name: str, what: ExportOptions) -> Response:
    """An export as the answer to the current request.

    Raises:
        CommandRejected: The user, or everybody together, takes too many at this moment (`busy`).
    """
    user, exports = identity().user, web_context().exports
    if exports.held(user) >= MAX_EXPORTS_PER_USER or exports.held(ALL_USERS) >= MAX_EXPORTS_TOTAL:
        raise CommandRejected("busy", "Too many exports are under way; wait for one to end.", 5.0)
    media_type, ending = _TYPES[what.form]
    answer = Response(_counted(pieces, exports, user), content_type=media_type)
    answer.timeout = EXPORT_TIMEOUT_S
    answer.headers.set("Content-Disposition", "attachment", filename=f"{name}.{ending}")
    return answer


async def _counted(pieces: Pieces, exports: Counter, user: str) -> AsyncGenerator[bytes, None]:
    """Counted from its first piece on: an answer that nobody takes is never begun, and never ended."""
    entered = [name for name in (user, ALL_USERS) if exports.enter(name)]
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        for name in entered:
            exports.leave(name)


def _confirmed(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)["confirm"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return None


def _as_json(erased: Erased) -> dict[str, Any]:
    if not erased.whole:
        raise CommandRejected("busy", "Something new was said all the while; end that first, and ask again.", 5.0)
    return asdict(erased, filter=lambda attribute, _: attribute.name != "whole")
