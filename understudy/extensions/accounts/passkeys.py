"""Passkeys (WebAuthn) of local accounts: sign-in, joining by an invite, and further passkeys of a signed-in user.

1. A challenge is bound to one browser (by a cookie) and one purpose, and is removed from the database before its
   signature is checked. So a response cannot be replayed, used later, by another browser or for another purpose.
2. The authenticator must verify its user, so possession of the device alone does not suffice.
3. Each challenge counts as an attempt of its address, as a password does, and is forgiven when the ceremony succeeds.
4. An unknown passkey, a removed or disabled account, and a wrong signature get the same refusal.
5. The name of a session contains the public id of its passkey. Removing a passkey ends its sessions, also one that
   begins at that moment, except the session that removes it.
"""

import hashlib
import hmac
import json
import logging
import secrets
import struct
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import trio
from attrs import define, evolve, frozen

from transport.auth import base64url
from transport.auth.fetch import PORTS
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import SIGN_IN_AGAIN, IssuedSession, secrets_for_storage
from understudy.extensions.accounts import passkey_storage as passkeys
from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.challenges import add_challenge, take_challenge
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.local_accounts import LOCAL, NO_INVITE, LocalAccounts
from understudy.extensions.accounts.passkey_storage import (
    ADDED,
    MOST_OF_ACCOUNT,
    REMOVED,
    Passkey,
    add_passkey,
    join_by_passkey,
    public_id,
    remove_passkey,
    use_passkey,
)
from understudy.extensions.accounts.passwords import Passwords
from understudy.extensions.accounts.storage import JOINED, SIGNED_IN, Account
from understudy.storage.acts import PAGE, Deed, say
from understudy.storage.errors import ExtraNotInstalled

try:
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )
except ImportError as missing:
    raise ExtraNotInstalled("accounts", "accounts") from missing

if TYPE_CHECKING:
    from understudy.web.context import WebContext

log = logging.getLogger(__name__)

LIFE_S: Final = 120
"""Seconds for which a challenge is valid: long enough to fetch one's phone."""
LONGEST_NAME: Final = 64
SIGN_IN: Final = "sign-in"
EXPIRED: Final = "This challenge has expired, was used already, or was made for another browser. Try again."
UNKNOWN: Final = "This passkey does not fit any account here."
FOREIGN: Final = "This passkey was used on a page of another address."
COPIED: Final = "The counter of this passkey went back: it may have been copied. Remove it and sign in in another way."
NO_CREDENTIAL: Final = "This is no passkey that can be used here."
NEEDS_NAME: Final = "Passkeys need a server with a host name, such as localhost or chat.example.org, not an address."
NO_ACCOUNT: Final = "You are not signed in to an account of this server."
TOO_MANY: Final = f"An account has at most {MOST_OF_ACCOUNT} passkeys; remove one first."
LAST: Final = "That is your only way to sign in: add another passkey first."
_MALFORMED: Final = (
    WebAuthnException, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error,
    RecursionError,
)  # fmt: skip
"""Errors that the library raises while it parses a malformed credential, which any stranger can send."""


@frozen
class Site:
    """The origin of the page, and the name by which authenticators know this server (the host)."""

    origin: str
    name: str


@frozen
class Ceremony:
    """A started ceremony: the options for the browser's `navigator.credentials`, and the value of its cookie."""

    options: dict[str, Any]
    cookie: str


def site_of(url: str) -> Site:
    """Return the site of a server's address.

    Raises:
        CommandRejected: Its host is an address of IPv4 or IPv6, for which browsers make no passkeys
            (`invalid_command`).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or ":" in host or host.rpartition(".")[2].isdecimal():
        raise CommandRejected("invalid_command", NEEDS_NAME)
    port = "" if parts.port in (None, PORTS.get(parts.scheme)) else f":{parts.port}"
    return Site(f"{parts.scheme}://{host}{port}", host)


@define(eq=False)
class Passkeys:
    """The passkeys of `accounts`."""

    accounts: LocalAccounts

    async def begin_sign_in(self, site: Site, address: str) -> Ceremony:
        """Begin a sign-in with any passkey of this server that the browser has. `address` is the client's.

        Raises:
            CommandRejected: Too many attempts (`rate_limited`).
            StorageUnavailable: The challenge cannot be stored.
        """
        cookie, challenge = await self._begin(SIGN_IN, address)
        options = webauthn.generate_authentication_options(
            rp_id=site.name,
            challenge=challenge,
            timeout=LIFE_S * 1000,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return Ceremony(json.loads(webauthn.options_to_json(options)), cookie)

    async def sign_in(self, site: Site, cookie: str, credential: dict[str, Any], address: str) -> IssuedSession:
        """Return a session of the user whose passkey has signed the challenge.

        Raises:
            Unauthenticated: The passkey is unknown, its signature is wrong, or its account is disabled or gone.
            CommandRejected: The challenge is not valid any more (`not_found`), or was signed on a page of another
                origin or by a passkey whose counter went back (`forbidden`).
            StorageUnavailable: The passkey cannot be read, or its counter cannot be stored.
        """
        store, now = self.accounts.store, self.accounts.clock()
        challenge = await self._take(SIGN_IN, cookie)
        _check_origin(credential, site)
        passkey = await store.read(passkeys.one, str(credential.get("id", "")))
        account = None if passkey is None else await store.read(accounts.one, passkey.owner)
        if passkey is None or account is None or account.disabled_at is not None:
            raise await self._refused(None)
        try:
            verified = await trio.to_thread.run_sync(_verified, credential, challenge, site, passkey)
        except _MALFORMED:
            raise await self._refused(account.owner) from None
        if not await store.commit(use_passkey(passkey.owner, passkey.id, verified, now)):
            if await store.read(passkeys.one, passkey.id) is None:
                raise await self._refused(account.owner)
            log.warning("sign_in.passkey_copied", extra={"user": account.owner})
            await self.accounts.note_refused_passkey(account.owner)
            raise CommandRejected("forbidden", COPIED)
        await self.accounts.forgive_passkeys(account.owner, address)
        await say(store, Deed(SIGNED_IN, account.owner, PAGE, account.owner, detail={"passkey": True}))
        return await self.accounts.begin(account, passkey_family(passkey))

    async def begin_join(self, site: Site, invite: str, address: str) -> Ceremony:
        """Begin to make the first passkey of a user who was invited.

        Raises:
            CommandRejected: The invite is not valid (`not_found`), or too many attempts (`rate_limited`).
            StorageUnavailable: The challenge cannot be stored.
        """
        owner = await self.accounts.invited(invite)
        return await self._begin_making(site, owner, f"join {digest_of(invite)}", address, [])

    async def join(
        self, site: Site, cookie: str, invite: str, name: str, credential: dict[str, Any], address: str
    ) -> IssuedSession:
        """Store the first passkey of a user by an invite, which is used up, and return a session of theirs.

        Raises:
            CommandRejected: The invite or the challenge is not valid (`not_found`), the page is of another origin
                (`forbidden`), or this is no passkey (`invalid_command`); the invite stays valid then.
            StorageUnavailable: The passkey cannot be stored.
        """
        store, owner, digest = self.accounts.store, await self.accounts.invited(invite), digest_of(invite)
        passkey = await self._made(site, cookie, f"join {digest}", owner, name, credential)
        await say(store, Deed(JOINED, owner, PAGE, owner, detail={"passkey": True}))
        if not await store.commit(join_by_passkey(digest, self.accounts.clock(), passkey)):
            raise CommandRejected("not_found", NO_INVITE)
        await self.accounts.forgive_address(address)
        account = await store.read(accounts.one, owner)
        if account is None or account.disabled_at is not None or account.invite:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        return await self.accounts.begin(account, passkey_family(passkey))

    async def begin_add(self, site: Site, identity: Identity, address: str) -> Ceremony:
        """Begin to make another passkey of a signed-in user.

        Raises:
            CommandRejected: The session does not belong to an account (`forbidden`), the account has the most passkeys
                allowed (`quota_exceeded`), or too many attempts (`rate_limited`).
            StorageUnavailable: The challenge cannot be stored.
        """
        _, stored = await self.of_user(identity)
        if len(stored) >= MOST_OF_ACCOUNT:
            raise CommandRejected("quota_exceeded", TOO_MANY)
        return await self._begin_making(site, identity.user, f"add {identity.user}", address, stored)

    async def add(
        self, site: Site, cookie: str, identity: Identity, name: str, credential: dict[str, Any], address: str
    ) -> Passkey:
        """Store another passkey of a signed-in user, and return it. Raises the errors of `begin_add` and `join`."""
        store, owner = self.accounts.store, (await self.of_user(identity))[0].owner
        passkey = await self._made(site, cookie, f"add {owner}", owner, name, credential)
        await say(store, Deed(ADDED, owner, PAGE, owner, detail={"passkey": public_id(passkey.id)}))
        if not await store.commit(add_passkey(passkey)):
            raise CommandRejected("quota_exceeded", TOO_MANY)
        await self.accounts.forgive_address(address)
        return passkey

    async def of_user(self, identity: Identity) -> tuple[Account, list[Passkey]]:
        """Return the account of a signed-in user and its passkeys, oldest first.

        Raises:
            CommandRejected: The session does not belong to an account (`forbidden`).
            StorageUnavailable: The account cannot be read.
        """
        store = self.accounts.store
        account = await store.read(accounts.one, identity.user)
        if account is None or not identity.session.startswith(LOCAL):
            raise CommandRejected("forbidden", NO_ACCOUNT)
        return account, await store.read(passkeys.of_owner, account.owner)

    async def remove(self, identity: Identity, name: str) -> None:
        """Remove the passkey with the public id `name`, and end the sessions that it began, except that of `identity`.

        If these cannot be ended, the passkey is removed nevertheless.

        Raises:
            CommandRejected: No such passkey (`not_found`); it is the user's only way to sign in, or the session does
                not belong to an account (`forbidden`); or no more revocations can be stored now (`busy`).
            StorageUnavailable: The passkey cannot be removed, or the sessions cannot be ended.
        """
        store, (account, stored) = self.accounts.store, await self.of_user(identity)
        passkey = next((registered for registered in stored if public_id(registered.id) == name), None)
        if passkey is None:
            raise CommandRejected("not_found", "There is no such passkey.")
        await say(store, Deed(REMOVED, account.owner, PAGE, account.owner, detail={"passkey": name}))
        if not await store.commit(remove_passkey(account.owner, passkey.id)):
            raise CommandRejected("forbidden", LAST)
        await self.accounts.sessions.revoke_family(account.owner, passkey_family(passkey), identity)

    async def _begin_making(self, site: Site, owner: str, purpose: str, address: str, old: list[Passkey]) -> Ceremony:
        cookie, challenge = await self._begin(purpose, address)
        options = webauthn.generate_registration_options(
            rp_id=site.name,
            rp_name="understudy",
            user_name=owner,
            user_id=_handle_of(owner),
            challenge=challenge,
            timeout=LIFE_S * 1000,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(base64url.decode(passkey.id)) for passkey in old],
        )
        return Ceremony(json.loads(webauthn.options_to_json(options)), cookie)

    async def _made(
        self, site: Site, cookie: str, purpose: str, owner: str, name: str, credential: dict[str, Any]
    ) -> Passkey:
        """Verify and return the passkey that the browser has made for a challenge, without storing it."""
        challenge = await self._take(purpose, cookie)
        _check_origin(credential, site)
        name = " ".join(name.split())
        if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            raise CommandRejected("invalid_command", f"A passkey has a name of 1 to {LONGEST_NAME} characters.")
        try:
            passkey = await trio.to_thread.run_sync(_registered, credential, challenge, site)
        except _MALFORMED as error:
            log.info("passkey.refused", extra={"user": owner, "why": str(error)[:200]})
            raise CommandRejected("invalid_command", NO_CREDENTIAL) from None
        return evolve(passkey, owner=owner, name=name, created_at=self.accounts.clock())

    async def _refused(self, user: str | None) -> Unauthenticated:
        """Note a refused passkey, and return the error to raise. `user`: its account; None if none may sign in."""
        log.info("sign_in.wrong", extra={"user": user})
        if user is not None:
            await self.accounts.note_refused_passkey(user)
        return Unauthenticated("unauthenticated", UNKNOWN)

    async def _begin(self, purpose: str, address: str) -> tuple[str, bytes]:
        """Count an attempt of `address`, and store a new challenge. Return the value of its cookie, and itself."""
        await self.accounts.count_address(address)
        cookie, now = secrets.token_urlsafe(32), self.accounts.clock()
        await self.accounts.store.commit(add_challenge(_key(purpose, cookie), now + LIFE_S, now))
        return cookie, self._challenge(purpose, cookie)

    async def _take(self, purpose: str, cookie: str) -> bytes:
        if not await self.accounts.store.commit(take_challenge(_key(purpose, cookie), self.accounts.clock())):
            raise CommandRejected("not_found", EXPIRED)
        return self._challenge(purpose, cookie)

    def _challenge(self, purpose: str, cookie: str) -> bytes:
        text = f"understudy: challenge, version 1\0{purpose}\0{cookie}"
        return hmac.digest(self.accounts.secret, text.encode(errors="replace"), "sha256")


def passkey_family(passkey: Passkey) -> str:
    """Return the prefix of the names of a passkey's sessions, without the last dash."""
    return LOCAL + public_id(passkey.id)


def _key(purpose: str, cookie: str) -> str:
    return hashlib.sha256(f"{purpose}\0{cookie}".encode(errors="replace")).hexdigest()


def _handle_of(owner: str) -> bytes:
    """Return the user handle of an account: a digest, so that a lost authenticator does not show the name."""
    return hashlib.sha256(f"understudy: user handle\0{owner}".encode()).digest()


def _check_origin(credential: dict[str, Any], site: Site) -> None:
    """Refuse a credential of a page of another origin. The library checks this too, but raises no error of its own.

    Raises:
        CommandRejected: The page is of another origin (`forbidden`), or this is no credential (`invalid_command`).
    """
    try:
        client_data = json.loads(base64url.decode(credential["response"]["clientDataJSON"]))
        origin, framed = client_data["origin"], client_data.get("crossOrigin") is True  # in a page of another origin
    except _MALFORMED:
        raise CommandRejected("invalid_command", NO_CREDENTIAL) from None
    if origin != site.origin or framed:
        log.warning("sign_in.passkey_elsewhere", extra={"origin": str(origin)[:200]})
        raise CommandRejected("forbidden", FOREIGN)


def _registered(credential: dict[str, Any], challenge: bytes, site: Site) -> Passkey:
    proof = webauthn.verify_registration_response(
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=site.name,
        expected_origin=site.origin,
        require_user_verification=True,
    )
    return Passkey(base64url.encode(proof.credential_id), "", proof.credential_public_key, proof.sign_count, "", 0.0)


def _verified(credential: dict[str, Any], challenge: bytes, site: Site, passkey: Passkey) -> int:
    """Verify a signature. Return the counter in it, which `use_passkey` compares with the stored one."""
    proof = webauthn.verify_authentication_response(
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=site.name,
        expected_origin=site.origin,
        credential_public_key=passkey.public_key,
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    handle = credential["response"].get("userHandle")
    if handle is not None and base64url.decode(handle) != _handle_of(passkey.owner):
        raise ValueError("it is of another user")
    return proof.new_sign_count


def open_accounts(server: "WebContext") -> LocalAccounts:
    """Build the accounts of a server. It is here so that a missing package for passkeys is noticed at the start."""
    secret = secrets_for_storage(server.settings)[0]
    return LocalAccounts(server.store, server.sessions, Passwords(), time.time, secret)
