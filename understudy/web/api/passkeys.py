"""`/auth/passkeys`: sign-in of users with a passkey, the first one by an invite, and those of the caller.

1. A ceremony has two requests of one browser: the first answers options for `navigator.credentials` and sets a cookie
   that scripts cannot read, the second brings the credential.
2. The site is the address in the settings, or the one by which a browser on this machine reaches this server.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import max_len
from quart import Blueprint, Response, jsonify, request

from transport.auth.identity import is_loopback
from transport.wire.errors import CommandRejected
from understudy.privacy.records import passkey_of
from understudy.web.admission import peer
from understudy.web.api.accounts import LONGEST, NO_ACCOUNTS, InviteRequest
from understudy.web.context import identity, page_url, read_json, set_cookie, web_context

if TYPE_CHECKING:
    from understudy.auth.accounts.passkeys import Ceremony, Passkeys, Site

blueprint: Final = Blueprint("passkeys", __name__, url_prefix="/auth/passkeys")

NO_NAME: Final = (
    "Passkeys are for one address, and this server does not know its own: whoever runs it sets public_url "
    "(UNDERSTUDY_PUBLIC_URL)."
)
COOKIE: Final = "understudy_passkey"
COOKIE_PATH: Final = "/auth/passkeys"
BODY_BYTES: Final = 32 * 1024
"""A credential has some hundred bytes, with the attestation of a company's authenticators some thousand."""


@frozen
class PasskeySignInRequest:
    """The body of a request to sign in with a passkey: what `navigator.credentials.get` gave, by its `toJSON`."""

    credential: dict[str, Any] = field(repr=False)


@frozen
class PasskeyRequest:
    """The body of a request to store a passkey: what `navigator.credentials.create` gave, by its `toJSON`."""

    name: str = field(validator=max_len(LONGEST))
    credential: dict[str, Any] = field(repr=False)


@frozen
class PasskeyJoinRequest:
    """The body of a request to store one's first passkey by an invite."""

    invite: str = field(repr=False, validator=max_len(LONGEST))
    name: str = field(validator=max_len(LONGEST))
    credential: dict[str, Any] = field(repr=False)


@blueprint.post("/sign-in/options")
async def begin_sign_in() -> Response:
    """Begin a sign-in with a passkey."""
    return _begun(await _passkeys().begin_sign_in(_site(), peer()))


@blueprint.post("/sign-in")
async def sign_in() -> tuple[dict[str, Any], int]:
    """Sign in with a passkey."""
    passkeys = _passkeys()
    given = await read_json(PasskeySignInRequest, '{"credential": {…}}', BODY_BYTES)
    return (await passkeys.sign_in(_site(), _cookie(), given.credential, peer())).as_json(), 201


@blueprint.post("/join/options")
async def begin_join() -> Response:
    """Begin to make one's first passkey by an invite."""
    passkeys = _passkeys()
    given = await read_json(InviteRequest, '{"invite": "…"}', BODY_BYTES)
    return _begun(await passkeys.begin_join(_site(), given.invite, peer()))


@blueprint.post("/join")
async def join() -> tuple[dict[str, Any], int]:
    """Store one's first passkey by an invite, which is used up, and sign in."""
    passkeys = _passkeys()
    form = '{"invite": "…", "name": "…", "credential": {…}}'
    given = await read_json(PasskeyJoinRequest, form, BODY_BYTES)
    issued = await passkeys.join(_site(), _cookie(), given.invite, given.name, given.credential, peer())
    return issued.as_json(), 201


@blueprint.get("")
async def listing() -> dict[str, Any]:
    """Return the caller's passkeys, oldest first, and whether they have a password too."""
    caller, passkeys = identity(), _passkeys()
    account, has = await passkeys.of_user(caller)
    return {"password": bool(account.password), "passkeys": list(map(passkey_of, has))}


@blueprint.post("/options")
async def begin_add() -> Response:
    """Begin to make another passkey of the caller."""
    caller, passkeys = identity(), _passkeys()
    return _begun(await passkeys.begin_add(_site(), caller, peer()))


@blueprint.post("")
async def add() -> tuple[dict[str, Any], int]:
    """Store another passkey of the caller."""
    caller, passkeys = identity(), _passkeys()
    given = await read_json(PasskeyRequest, '{"name": "…", "credential": {…}}', BODY_BYTES)
    return passkey_of(await passkeys.add(_site(), _cookie(), caller, given.name, given.credential, peer())), 201


@blueprint.delete("/<name>")
async def remove(name: str) -> tuple[str, int]:
    """Remove a passkey of the caller."""
    await _passkeys().remove(identity(), name)
    return "", 204


def _passkeys() -> "Passkeys":
    passkeys = web_context().sessions.passkeys
    if passkeys is None:
        raise CommandRejected("not_found", NO_ACCOUNTS)
    return passkeys


def _own_url() -> str:
    return web_context().settings.public_url or page_url()


def _site() -> "Site":
    """Return the site that passkeys are for: that of `public_url`, or this machine. Who asks may name any other."""
    from understudy.auth.accounts.passkeys import site_of

    if not web_context().settings.public_url and not is_loopback(urlsplit(request.host_url).hostname or ""):
        raise CommandRejected("forbidden", NO_NAME)
    return site_of(_own_url())


def _cookie() -> str:
    return request.cookies.get(COOKIE, "")


def _begun(ceremony: "Ceremony") -> Response:
    answer = jsonify(ceremony.options)
    life_s, secure = ceremony.options["timeout"] // 1000, _own_url().startswith("https:")
    set_cookie(answer, COOKIE, ceremony.cookie, life_s, COOKIE_PATH, "Strict", secure=secure)
    return answer
