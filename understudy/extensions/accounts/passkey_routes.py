"""`/auth/passkeys`: sign-in with a passkey, making the first passkey by an invite, and managing the caller's passkeys.

1. A WebAuthn ceremony has two requests of one browser: the first returns the options for `navigator.credentials` and
   sets a cookie that scripts cannot read, the second sends the credential.
2. The site of a passkey is `public_url`, or the loopback address by which a browser on this machine reaches the server.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from msgspec import Struct
from quart import Response, request

from transport.auth.identity import is_loopback
from transport.wire.errors import CommandRejected
from understudy.auth.sessions import Session
from understudy.extensions.accounts.passkey_storage import ShownPasskey, passkey_of
from understudy.extensions.accounts.routes import InviteRequest, Text, local_accounts
from understudy.web.admission import peer
from understudy.web.context import identity, page_url, read_json, set_cookie, web_context
from understudy.web.routes import STORED, JsonObject, Routes, as_json

if TYPE_CHECKING:
    from understudy.extensions.accounts.passkeys import Ceremony, Passkeys, Site

blueprint: Final = Routes("passkeys", __name__, url_prefix="/auth/passkeys")

NO_NAME: Final = (
    "Passkeys are for one address, and this server does not know its own: whoever runs it sets public_url "
    "(UNDERSTUDY_PUBLIC_URL)."
)
COOKIE: Final = "understudy_passkey"
COOKIE_PATH: Final = "/auth/passkeys"
BODY_BYTES: Final = 32 * 1024
"""Limit of a body. A credential has hundreds of bytes; with the attestation of a company's authenticator, thousands."""


@frozen
class PasskeySignInRequest:
    """The body of a request to sign in with a passkey: `toJSON` of the result of `navigator.credentials.get`."""

    credential: dict[str, Any] = field(repr=False)


@frozen
class PasskeyRequest:
    """The body of a request to store a passkey: `toJSON` of the result of `navigator.credentials.create`."""

    name: Text
    credential: dict[str, Any] = field(repr=False)


@frozen
class PasskeyJoinRequest:
    """The body of a request to store one's first passkey by an invite."""

    invite: Text = field(repr=False)
    name: Text
    credential: dict[str, Any] = field(repr=False)


class OwnPasskeys(Struct):
    """The caller's passkeys, and whether they have a password too."""

    password: bool
    passkeys: list[ShownPasskey]


@blueprint.post(
    "/sign-in/options", token=False, errors=("invalid_command", "not_found", "rate_limited", *STORED), answer=JsonObject
)
async def begin_sign_in() -> Response:
    """Begin a sign-in with a passkey."""
    return _with_cookie(await _passkeys().begin_sign_in(_site(), peer()))


@blueprint.post(
    "/sign-in", status=201, body=PasskeySignInRequest, token=False,
    errors=("unauthenticated", "token_expired", "forbidden", "not_found", *STORED),
)  # fmt: skip
async def sign_in() -> Session:
    """Sign in with a passkey."""
    passkeys = _passkeys()
    body = await read_json(PasskeySignInRequest, '{"credential": {…}}', BODY_BYTES)
    return (await passkeys.sign_in(_site(), _cookie(), body.credential, peer())).shown()


@blueprint.post(
    "/join/options", body=InviteRequest, token=False, errors=("not_found", "rate_limited", *STORED), answer=JsonObject
)
async def begin_join() -> Response:
    """Begin to make one's first passkey by an invite."""
    passkeys = _passkeys()
    body = await read_json(InviteRequest, '{"invite": "…"}', BODY_BYTES)
    return _with_cookie(await passkeys.begin_join(_site(), body.invite, peer()))


@blueprint.post(
    "/join", status=201, body=PasskeyJoinRequest, token=False,
    errors=("token_expired", "forbidden", "not_found", *STORED),
)  # fmt: skip
async def join() -> Session:
    """Store one's first passkey by an invite, which is used up, and sign in."""
    passkeys = _passkeys()
    form = '{"invite": "…", "name": "…", "credential": {…}}'
    body = await read_json(PasskeyJoinRequest, form, BODY_BYTES)
    issued = await passkeys.join(_site(), _cookie(), body.invite, body.name, body.credential, peer())
    return issued.shown()


@blueprint.get("", errors=("forbidden", "not_found", *STORED))
async def listing() -> OwnPasskeys:
    """Return the caller's passkeys, oldest first, and whether they have a password too."""
    caller, passkeys = identity(), _passkeys()
    account, stored = await passkeys.of_user(caller)
    return OwnPasskeys(bool(account.password), list(map(passkey_of, stored)))


@blueprint.post(
    "/options", errors=("invalid_command", "forbidden", "not_found", "rate_limited", "quota_exceeded", *STORED),
    answer=JsonObject,
)  # fmt: skip
async def begin_add() -> Response:
    """Begin to make another passkey of the caller."""
    caller, passkeys = identity(), _passkeys()
    return _with_cookie(await passkeys.begin_add(_site(), caller, peer()))


@blueprint.post("", status=201, body=PasskeyRequest, errors=("forbidden", "not_found", "quota_exceeded", *STORED))
async def add() -> ShownPasskey:
    """Store another passkey of the caller."""
    caller, passkeys = identity(), _passkeys()
    body = await read_json(PasskeyRequest, '{"name": "…", "credential": {…}}', BODY_BYTES)
    return passkey_of(await passkeys.add(_site(), _cookie(), caller, body.name, body.credential, peer()))


@blueprint.delete("/<name>", errors=("forbidden", "not_found", *STORED))
async def remove(name: str) -> None:
    """Remove a passkey of the caller."""
    await _passkeys().remove(identity(), name)


def _passkeys() -> "Passkeys":
    accounts = local_accounts()
    from understudy.extensions.accounts.passkeys import Passkeys

    return Passkeys(accounts)


def _own_url() -> str:
    return web_context().settings.public_url or page_url()


def _site() -> "Site":
    """Return the site of passkeys: that of `public_url`, or this machine. Other hosts are refused as mere claims."""
    from understudy.extensions.accounts.passkeys import site_of

    if not web_context().settings.public_url and not is_loopback(urlsplit(request.host_url).hostname or ""):
        raise CommandRejected("forbidden", NO_NAME)
    return site_of(_own_url())


def _cookie() -> str:
    return request.cookies.get(COOKIE, "")


def _with_cookie(ceremony: "Ceremony") -> Response:
    response = as_json(ceremony.options)
    life_s, secure = ceremony.options["timeout"] // 1000, _own_url().startswith("https:")
    set_cookie(response, COOKIE, ceremony.cookie, life_s, COOKIE_PATH, "Strict", secure=secure)
    return response
