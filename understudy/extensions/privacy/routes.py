"""The routes of exports and erasure: of the caller's data by `/api/me`, of a thread, and of any user by operators."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal

from attrs import frozen
from msgspec import UnsetType
from quart import Response, request

from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.extensions.privacy import queries
from understudy.extensions.privacy.erasure import ERASED, Eraser
from understudy.extensions.privacy.export import EXPORTED, FORMS, Exporter, ExportOptions, Pieces
from understudy.extensions.privacy.records import FORMAT, VERSION
from understudy.storage.owners import name_of
from understudy.storage.records import File, StepRecord
from understudy.web.acts import say
from understudy.web.api.account import target_of
from understudy.web.api.thread_answers import FEEDBACK, MESSAGE, NEWEST, RUN, ThreadRow
from understudy.web.api.threads import existing
from understudy.web.context import identity, one_of, read_json, web_context
from understudy.web.routes import OF_ONE, STORED, Count, EventFrame, Routes, choice, many, shape

blueprint = Routes("privacy", __name__, url_prefix="/api")

MAX_EXPORTS_PER_USER: Final = 2
"""Limit of concurrent exports of one user. Each holds some pages in memory for as long as its client reads."""
MAX_EXPORTS_TOTAL: Final = 32
"""Limit of concurrent exports of all users; more are refused."""
EXPORT_TIMEOUT_S: Final = 600.0
"""Seconds within which an export must be read."""
CONFIRM_BYTES: Final = 4 * 1024
EXPORT: Final = {"format": choice(FORMS), "events": str}
_TYPES: Final = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}
ALL_USERS: Final = ""
"""The key under which the exports of all users are counted; no user has this name."""

_STEP = shape("ShownStep", StepRecord, ("run_id",))

_HEAD: dict[str, Any] = {"format": Literal[FORMAT], "version": Literal[VERSION], "exported_at": float}
_EXPORTED_RUN = shape(
    "ExportedRun", agent_type=str, pillar=str | None, conversation_id=str | None, started_at=float,
    ended_at=float | None, steps=many(_STEP), **RUN,
)  # fmt: skip
_FILES = many(shape("ExportedFile", File, ("owner",)))
_THREAD: dict[str, Any] = {
    "thread": ThreadRow, "newest": NEWEST, "files": _FILES,
    "messages": many(shape("ExportedMessage", *MESSAGE, feedback=FEEDBACK | None, runs=many(_EXPORTED_RUN))),
    "events": many(EventFrame) | UnsetType,
}  # fmt: skip
ThreadExport = shape("Export", **_HEAD, **_THREAD)
UserExport = shape(
    "UserExport", user=str, tenant=str | None, created_at=float, files=_FILES,
    threads=many(shape("ExportedThread", **_THREAD)), **_HEAD,
)  # fmt: skip


@frozen
class EraseRequest:
    """The body of a request to erase all data of the caller, whose name confirms it."""

    confirm: str


@blueprint.get("/me/export", query=EXPORT, errors=(*OF_ONE, "busy"), or_text="text/markdown", answer=UserExport)
async def export() -> Response:
    """Export all data of the caller, as JSON or Markdown."""
    user, what = await web_context().store.archive.read(queries.user, identity().user), requested_export()
    if user is None:
        raise CommandRejected("not_found", "There is nothing of yours here.")
    return await download(web_context().parts[Exporter].user(user, what), "conversations", what)


@blueprint.delete("/me", body=EraseRequest, errors=("busy", "last_operator", *STORED))
async def erase() -> dict[Literal["threads", "files"], Count]:
    """Erase all data of the caller. The body confirms their name."""
    owner = identity().user
    body = await read_json(EraseRequest, '{"confirm": "…"} with your user name', CONFIRM_BYTES)
    if body.confirm != name_of(owner):
        raise CommandRejected("invalid_command", 'To erase everything, send {"confirm": "…"} with your user name.')
    return await _erase(owner)


@blueprint.delete("/users/<user>", query={"tenant": str, "own": bool}, errors=(*OF_ONE, "busy", "last_operator"))
async def erase_user(user: str) -> dict[Literal["threads", "files"], Count]:
    """Erase all data of a user, for operators."""
    owner = target_of(user, "erases your own data, and ends your sessions")
    if await web_context().store.archive.read(queries.user, owner) is None:
        raise CommandRejected("not_found", "Nothing is stored of a user of that name.")
    return await _erase(owner, as_operator=True)


@blueprint.get(
    "/threads/<thread_id>/export", query=EXPORT, errors=(*OF_ONE, "busy"), or_text="text/markdown", answer=ThreadExport
)
async def export_thread(thread_id: str) -> Response:
    """Export a thread, as JSON or Markdown."""
    thread, what = (await existing(thread_id)).value, requested_export()
    return await download(web_context().parts[Exporter].thread(thread, what), "conversation", what, thread=True)


async def _erase(owner: str, *, as_operator: bool = False) -> dict[Literal["threads", "files"], Count]:
    """Erase all data of a user, and disable the sign-in with their account.

    Raises:
        CommandRejected: The account is, or has become, the last one with which an operator can sign in
            (`last_operator`); or the user kept sending messages (`busy`).
        StorageUnavailable: Accounts cannot be read, or the changes cannot be stored.
    """
    context = web_context()
    sign_in = context.sessions.sign_in
    if sign_in is not None:
        await sign_in.check_erasable(owner)
    await say(ERASED, target=owner, as_operator=as_operator)
    if sign_in is not None:
        await sign_in.shut_out(owner)
    erased = await context.parts[Eraser].user(owner)
    if not erased.whole:
        raise CommandRejected("busy", "New messages arrived all the while; wait for them to end, and try again.", 5.0)
    return {"threads": erased.threads, "files": erased.files}


def requested_export() -> ExportOptions:
    """Return the options of the export that the current request asks for.

    Raises:
        CommandRejected: The format is unknown (`invalid_command`).
    """
    form = one_of("format", request.args.get("format", "json"), FORMS)
    return ExportOptions(form, request.args.get("events", "").lower() in ("1", "true"))


async def download(pieces: Pieces, name: str, what: ExportOptions, *, thread: bool = False) -> Response:
    """Answer the current request with an export of all data of the caller, or of a `thread`.

    Raises:
        CommandRejected: The user, or all users together, have too many exports in progress (`busy`).
        StorageUnavailable: The audit log cannot be written.
    """
    user, exports = identity().user, web_context().parts[Exporter].under_way
    if exports.held(user) >= MAX_EXPORTS_PER_USER or exports.held(ALL_USERS) >= MAX_EXPORTS_TOTAL:
        raise CommandRejected("busy", "Too many exports are under way; wait for one to end.", 5.0)
    await say(EXPORTED, target=user, format=what.form, events=what.events, thread=thread)
    media_type, ending = _TYPES[what.form]
    answer = Response(_counted(pieces, exports, user), content_type=media_type)
    answer.timeout = EXPORT_TIMEOUT_S
    answer.headers.set("Content-Disposition", "attachment", filename=f"{name}.{ending}")
    return answer


async def _counted(pieces: Pieces, exports: Counter, user: str) -> AsyncGenerator[bytes, None]:
    """Yield the pieces, and count the export while it is read. It is counted from its first piece on, because the
    generator of a client that never reads never starts, and so never ends."""
    entered = [name for name in (user, ALL_USERS) if exports.enter(name)]
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        for name in entered:
            exports.leave(name)
