"""`/api/me`: who the caller is; export or erase all their data; `/api/users`: operators erase and sign out users."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Literal

from attrs import frozen
from msgspec import Struct
from quart import Response, request

from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.auth.rights import OPERATORS
from understudy.auth.sessions import ANONYMOUS
from understudy.privacy.export import FORMS, ExportOptions, Pieces
from understudy.storage import accounts, archive_queries
from understudy.storage.accounts import DisableAccount
from understudy.storage.errors import SoleAccount
from understudy.storage.owners import name_of, owner_of
from understudy.web.api.thread_answers import UserExport
from understudy.web.audit import audit
from understudy.web.context import identity, one_of, read_json, rights, web_context
from understudy.web.routes import OF_ONE, STORED, Count, Routes, choice

blueprint = Routes("account", __name__, url_prefix="/api")

MAX_EXPORTS_PER_USER: Final = 2
"""Concurrent exports of one user. Each reads as fast as the client, and holds some pages in memory."""
MAX_EXPORTS_TOTAL: Final = 32
EXPORT_TIMEOUT_S: Final = 600.0
"""Seconds within which an export must be read."""
CONFIRM_BYTES: Final = 4 * 1024
EXPORT: Final = {"format": choice(FORMS), "events": str}
_TYPES: Final = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}
LAST_OPERATOR: Final = (
    "That is the only operator's account: invite another operator first, or stop the server and use "
    "understudy users delete --force."
)
ALL_USERS: Final = ""
"""Key under which the exports of all users are counted. No user has this name."""


@frozen
class EraseRequest:
    """The body of a request to erase all data of the caller, whose name confirms it."""

    confirm: str


class Me(Struct):
    """Who the caller is, by their token."""

    user: str
    name: str
    anonymous: bool
    session: str
    tenant: str | None
    roles: Sequence[str]
    groups: Sequence[str]
    expires_at: int


@blueprint.get("/me", errors=("internal",))
async def me() -> Me:
    """Return who the caller is, by their token."""
    caller = identity()
    user = name_of(caller.user)
    name, anonymous, until = caller.name or user, user.startswith(ANONYMOUS), int(caller.expires_at)
    return Me(user, name, anonymous, caller.session, caller.tenant, caller.roles, caller.groups, until)


@blueprint.get("/me/export", query=EXPORT, errors=(*OF_ONE, "busy"), or_text="text/markdown", answer=UserExport)
async def export() -> Response:
    """Export all data of the caller. `format` is json or markdown; `events` adds the event log."""
    user, what = await web_context().archive.read(archive_queries.user, identity().user), requested_export()
    if user is None:
        raise CommandRejected("not_found", "There is nothing of yours here.")
    return await download(web_context().exporter.user(user, what), "conversations", what)


@blueprint.delete("/me", body=EraseRequest, errors=("busy", "last_operator", *STORED))
async def erase() -> dict[Literal["threads", "files"], Count]:
    """Erase all data of the caller for good. The body must be `{"confirm": "…"}` with the caller's own name."""
    owner = identity().user
    body = await read_json(EraseRequest, '{"confirm": "…"} with your user name', CONFIRM_BYTES)
    if body.confirm != name_of(owner):
        raise CommandRejected("invalid_command", 'To erase everything, send {"confirm": "…"} with your user name.')
    return await _erase(owner)


@blueprint.delete("/users/<user>", query={"tenant": str, "own": bool}, errors=(*OF_ONE, "busy", "last_operator"))
async def erase_user(user: str) -> dict[Literal["threads", "files"], Count]:
    """Erase all data of a user, for operators. `tenant` names the user's tenant; `own`: the caller means themselves."""
    owner = _target(user, "erases your own data, and ends your sessions")
    if await web_context().archive.read(archive_queries.user, owner) is None:
        raise CommandRejected("not_found", "Nothing is stored of a user of that name.")
    return await _erase(owner, as_operator=True)


@blueprint.delete("/me/sessions", errors=("busy", *STORED))
async def sign_out() -> None:
    """End all sessions of the caller, this one too: every token issued until now is refused."""
    owner = identity().user
    await audit("sessions.ended", target=owner, all=True)
    await web_context().sessions.end_all_sessions(owner)


@blueprint.delete(
    "/users/<user>/sessions", query={"tenant": str, "own": bool}, errors=("invalid_command", "busy", *STORED)
)
async def sign_out_user(user: str) -> None:
    """End all sessions of a user, for operators. `tenant` names the user's tenant; `own`: the caller means
    themselves."""
    owner = _target(user, "ends your own sessions, also the one of this request")
    await audit("sessions.ended", target=owner, as_operator=True, all=True)
    await web_context().sessions.end_all_sessions(owner)


def _target(user: str, warning: str) -> str:
    """Return the key of the user whom a request of an operator is about.

    Raises:
        CommandRejected: The caller may not (`forbidden`), or is that user and has not said `own` (`invalid_command`).
    """
    owner = owner_of(user, rights().reach(request.args.get("tenant") or None))
    if owner == identity().user and request.args.get("own", "").lower() not in ("1", "true"):
        raise CommandRejected("invalid_command", f"That is you: it {warning}. Add own=true if you mean it.")
    return owner


async def _erase(owner: str, *, as_operator: bool = False) -> dict[Literal["threads", "files"], Count]:
    """Erase all data of a user, to whose account nobody can sign in any more then.

    Raises:
        CommandRejected: The account is, or has become, the only one with which an operator signs in (`last_operator`);
            or the user's conversations go on (`busy`).
        StorageUnavailable: Accounts cannot be read, or the changes not be stored.
    """
    context = web_context()
    own = context.sessions.accounts
    if own is not None and await context.store.read(accounts.is_sole, owner, OPERATORS):
        raise CommandRejected("last_operator", LAST_OPERATOR)
    await audit("user.erased", target=owner, as_operator=as_operator)
    if own is not None:
        try:
            await context.store.commit(DisableAccount(owner, own.clock(), OPERATORS))
        except SoleAccount as refused:
            raise CommandRejected("last_operator", LAST_OPERATOR) from refused
    erased = await context.eraser.user(owner)
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
    user, exports = identity().user, web_context().exports
    if exports.held(user) >= MAX_EXPORTS_PER_USER or exports.held(ALL_USERS) >= MAX_EXPORTS_TOTAL:
        raise CommandRejected("busy", "Too many exports are under way; wait for one to end.", 5.0)
    await audit("user.exported", target=user, format=what.form, events=what.events, thread=thread)
    media_type, ending = _TYPES[what.form]
    answer = Response(_counted(pieces, exports, user), content_type=media_type)
    answer.timeout = EXPORT_TIMEOUT_S
    answer.headers.set("Content-Disposition", "attachment", filename=f"{name}.{ending}")
    return answer


async def _counted(pieces: Pieces, exports: Counter, user: str) -> AsyncGenerator[bytes, None]:
    """Count the export from its first piece on: if the client never reads, the generator never starts, and never
    ends."""
    entered = [name for name in (user, ALL_USERS) if exports.enter(name)]
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        for name in entered:
            exports.leave(name)
