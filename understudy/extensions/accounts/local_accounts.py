"""Sign-in with a name and a password, joining by an invite, and the renewal of such sessions.

1. An unknown name, a disabled account, one without a password and a wrong password get the same answer after the same
   work: one write, one read and one Argon2 comparison, and a second write if the attempt must be noted.
2. Attempts are counted in the database by the pair of name and address, by name and by address, so that several nodes
   count together. The limit of the pair is the lowest, so a stranger who guesses at a name does not lock its user out.
3. A token is issued before the account is read for the last time. If the account was disabled or changed meanwhile, the
   token is not handed out. If it is disabled or changed later, the sign-out of the user revokes the token.
4. Of the refused attempts for an account the audit log has the first since a success or a day without attempts, and
   those that begin a wait. So guessing cannot fill the log: the waits allow some 100 attempts for a name in a day.
5. Tokens carry the roles and groups of the account. A change of these signs the user out, so no token outlives it.
"""

import hashlib
import hmac
import ipaddress
import logging
import secrets
import sys
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, evolve, field

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.rights import OPERATORS
from understudy.auth.sessions import SIGN_IN_AGAIN, IssuedSession, Sessions, UserSignIn, WaysIn
from understudy.extensions.accounts import password_rules
from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.attempts import NOTED, forgive_attempt, take_attempt
from understudy.extensions.accounts.invites import account_name, digest_of
from understudy.extensions.accounts.passwords import Passwords
from understudy.extensions.accounts.storage import (
    JOINED,
    PASSWORD_CHANGED,
    SIGN_IN_REFUSED,
    SIGNED_IN,
    Account,
    SoleAccount,
    replace_password,
    take_invite,
)
from understudy.storage.acts import PAGE, Deed, say
from understudy.storage.store import Store
from understudy.storage.write import Write

log = logging.getLogger(__name__)

LOCAL: Final = "local-"
"""Prefix of the names of sessions of users who signed in with a password."""
FREE_OF_PAIR: Final = 5
FREE_OF_NAME: Final = 50
FREE_OF_ADDRESS: Final = 30
"""Free attempts before waits begin: for a pair of name and address, for a name, and for an address (of an office)."""
LATER_S: Final = 0.002
"""Seconds to wait after a sign-out so that the next token is newer: times of issue are in whole milliseconds."""
NOT_HERE: Final = "You are not signed in with a password of this server."
NOT_PRESENT: Final = "That is not your present password."
NO_FIT: Final = "That name and password do not fit."
LAST_OPERATOR: Final = (
    "That is the only operator's account: invite another operator first, or stop the server and use "
    "understudy users delete --force."
)
NO_INVITE: Final = "This invite has been used, withdrawn or has expired; ask for a new one."


@define(eq=False)
class LocalAccounts(UserSignIn):
    """Signs in the users of this server's own accounts. `sessions` issues and revokes their tokens; `secret` keys the
    digests under which attempts are counted; `clock` returns Unix seconds."""

    store: Store
    sessions: Sessions
    passwords: Passwords
    clock: Callable[[], float]
    secret: bytes = field(repr=False)
    prefix = LOCAL

    def ways(self) -> WaysIn:
        """Return the ways to sign in: to an account, with a password or a passkey."""
        return WaysIn("accounts")

    async def check_erasable(self, owner: str) -> None:
        """Raise CommandRejected (`last_operator`) if no other operator could sign in without this user."""
        if await self.store.read(accounts.is_sole, owner, OPERATORS):
            raise CommandRejected("last_operator", LAST_OPERATOR)

    async def shut_out(self, owner: str) -> None:
        """Disable the account of a user. Raises CommandRejected (`last_operator`) if no other operator can sign in."""
        try:
            await self.store.commit(accounts.shut_out(owner))
        except SoleAccount as error:
            raise CommandRejected("last_operator", LAST_OPERATOR) from error

    async def sign_in(self, typed: str, password: str, address: str) -> IssuedSession:
        """Return a new session of the user with this name and password. `address` is the client's.

        Raises:
            Unauthenticated: The name and the password do not fit; the refusal does not show why.
            CommandRejected: Too many attempts (`rate_limited`, with the seconds to wait), or too many callers (`busy`).
            StorageUnavailable: The account cannot be read, or the attempt cannot be counted.
        """
        name = account_name(typed) or ""
        forgiveness, noted = await self._take_attempt(name, address)
        account = await self.store.read(accounts.one, name)
        hashed = "" if account is None or account.disabled_at is not None else account.password
        password = password_rules.normalized(password)
        if not await self.passwords.verify(password, hashed) or account is None:
            log.info("sign_in.wrong", extra={"user": None if account is None else name})
            if noted:
                await self._note_refusal(account)
            raise Unauthenticated("unauthenticated", NO_FIT)
        if self.passwords.is_outdated(hashed):
            newer = await self.passwords.hash(password)
            if await self.store.commit(replace_password(name, hashed, newer)):
                account = evolve(account, password=newer)
        await self.store.commit(forgiveness)
        await say(self.store, Deed(SIGNED_IN, name, PAGE, name))
        return await self.begin(account)

    async def change_password(self, identity: Identity, old: str, new: str, address: str) -> IssuedSession:
        """Replace the password of a signed-in user, end all their sessions, and return the next token of this one.

        An old password that does not fit is counted as an attempt to sign in. If the sessions cannot be ended, the
        password is changed nevertheless.

        Raises:
            CommandRejected: The old password is wrong, or the session does not belong to an account (`forbidden`); the
                new one is too weak (`invalid_command`); too many attempts (`rate_limited`) or callers (`busy`).
            Unauthenticated: The account was disabled or changed meanwhile.
            StorageUnavailable: The password cannot be stored, or the sessions cannot be ended.
        """
        account = await self.store.read(accounts.one, identity.user)
        if account is None or not account.password or not identity.session.startswith(LOCAL):
            raise CommandRejected("forbidden", NOT_HERE)
        forgiveness, noted = await self._take_attempt(account.owner, address)
        old, new = password_rules.normalized(old), password_rules.normalized(new)
        if not await self.passwords.verify(old, account.password):
            log.info("sign_in.wrong", extra={"user": account.owner})
            if noted:
                await self._note_refusal(account)
            raise CommandRejected("forbidden", NOT_PRESENT)
        await self.store.commit(forgiveness)
        if new == old or not password_rules.is_taken(new, account.owner):
            raise CommandRejected("invalid_command", password_rules.SENTENCE)
        hashed = await self.passwords.hash(new)
        await say(self.store, Deed(PASSWORD_CHANGED, account.owner, PAGE, account.owner))
        if not await self.store.commit(replace_password(account.owner, account.password, hashed)):
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        await self.sessions.end_all_sessions(account.owner)
        await trio.sleep(LATER_S)
        changed = evolve(account, password=hashed)
        return await self._issue(changed, identity.session, identity.signed_in_at or self.clock())

    async def invited(self, invite: str) -> str:
        """Return the name of the user whom an invite is for.

        Raises:
            CommandRejected: The invite was used, withdrawn, has expired or never existed (`not_found`).
            StorageUnavailable: The invite cannot be read.
        """
        return (await self._invited(invite)).owner

    async def join(self, invite: str, password: str) -> IssuedSession:
        """Set the first password of a user by an invite, which is used up, and return a session of theirs.

        Raises:
            CommandRejected: The invite is not valid (`not_found`), the password is too weak (`invalid_command`; the
                invite stays valid), or too many callers wait (`busy`).
            StorageUnavailable: The password cannot be stored.
        """
        account = await self._invited(invite)
        password = password_rules.normalized(password)
        if not password_rules.is_taken(password, account.owner):
            raise CommandRejected("invalid_command", password_rules.SENTENCE)
        hashed = await self.passwords.hash(password)
        await say(self.store, Deed(JOINED, account.owner, PAGE, account.owner))
        if not await self.store.commit(take_invite(account.owner, account.invite, hashed, self.clock())):
            raise CommandRejected("not_found", NO_INVITE)
        return await self.begin(evolve(account, password=hashed, invite=""))

    async def renew(self, identity: Identity, token: str) -> IssuedSession:
        """Issue the next token of a session, with the roles and groups of the account.

        Raises:
            Unauthenticated: The session has reached its longest duration, or the account is disabled or gone.
            StorageUnavailable: The account cannot be read.
        """
        account = await self.store.read(accounts.one, identity.user)
        if account is None or not account.is_joined:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        return await self._checked(account, self.sessions.renew(token, account.roles, account.groups))

    async def count_address(self, address: str) -> None:
        """Count an attempt of an address, for any user. Raises CommandRejected (`rate_limited`) if it is too soon."""
        await self._count((self._key("address", address), FREE_OF_ADDRESS))

    async def forgive_address(self, address: str) -> None:
        """Take back a counted attempt of an address, because it succeeded."""
        await self.store.commit(forgive_attempt((self._key("address", address),), ()))

    async def note_refused_passkey(self, name: str) -> None:
        """Count a refused passkey of an account, and store an entry in the audit log if the attempt must be noted."""
        key = self._key("passkey", name)
        if await self.store.commit(take_attempt(((key, FREE_OF_PAIR),), self.clock(), (key,))) == NOTED:
            await say(self.store, Deed(SIGN_IN_REFUSED, name, PAGE, name, detail={"passkey": True}))

    async def forgive_passkeys(self, name: str, address: str) -> None:
        """After a success, forget the refused passkeys of an account, and take back the attempt of the address."""
        await self.store.commit(forgive_attempt((self._key("address", address),), (self._key("passkey", name),)))

    async def _note_refusal(self, account: Account | None) -> None:
        """Store an entry in the audit log about a refused password. Without an account, write elsewhere: a faster
        response would show that the account does not exist."""
        if account is None:
            await self.store.commit(take_attempt(((self._key("no account"), sys.maxsize),), self.clock()))
        else:
            await say(self.store, Deed(SIGN_IN_REFUSED, account.owner, PAGE, account.owner))

    async def _take_attempt(self, name: str, address: str) -> tuple[Write, bool]:
        """Count an attempt. Return the write that forgives it after a success, and whether its refusal must be noted.
        Raises CommandRejected (`rate_limited`) if it comes too soon."""
        pair, of_name, of_address = (
            self._key("pair", name, address), self._key("name", name), self._key("address", address),
        )  # fmt: skip
        keys = ((pair, FREE_OF_PAIR), (of_name, FREE_OF_NAME), (of_address, FREE_OF_ADDRESS))
        noted = await self._count(*keys, noted=(pair, of_name))
        return forgive_attempt((of_address,), (pair, of_name)), noted

    async def _count(self, *keys: tuple[str, int], noted: tuple[str, ...] = ()) -> bool:
        """Count an attempt under `keys`. Return whether its refusal must be noted. Raises CommandRejected."""
        wait_ms = await self.store.commit(take_attempt(keys, self.clock(), noted))
        if wait_ms > 0:
            raise CommandRejected("rate_limited", "Too many attempts to sign in; wait a moment.", wait_ms / 1000)
        return wait_ms == NOTED

    async def begin(self, account: Account, family: str = LOCAL.removesuffix("-")) -> IssuedSession:
        """Return a new session of a user who has signed in to `account`, as it was read before.

        `family` is the prefix of the session's name; for a passkey, its `passkey_family`.

        Raises:
            Unauthenticated: The account was disabled or changed meanwhile.
            StorageUnavailable: The account cannot be read.
        """
        issued = await self._issue(account, f"{family}-{secrets.token_hex(16)}", self.clock())
        log.info("sign_in.done", extra={"user": account.owner})
        return issued

    async def _issue(self, account: Account, session: str, began: float) -> IssuedSession:
        """Issue a token of a session that `began` at a time (Unix seconds). Raises Unauthenticated if the session has
        reached its longest duration, or the account was changed since `account` was read."""
        left_s = began + self.sessions.longest_s - self.clock()
        if left_s <= 0:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        identity = Identity(account.owner, session, None, account.roles, groups=account.groups, signed_in_at=began)
        return await self._checked(account, self.sessions.issue(identity, min(self.sessions.ttl_s, left_s)))

    async def _checked(self, account: Account, issued: IssuedSession) -> IssuedSession:
        """Return the session just `issued`. Raises Unauthenticated if the account was changed since it was read."""
        newest = await self.store.read(accounts.one, account.owner)
        if newest is None or newest.disabled_at is not None or newest != account:
            raise Unauthenticated("token_expired", SIGN_IN_AGAIN)
        return issued

    async def _invited(self, invite: str) -> Account:
        account = await self.store.read(accounts.invited, digest_of(invite), self.clock())
        if account is None:
            raise CommandRejected("not_found", NO_INVITE)
        return account

    def _key(self, *parts: str) -> str:
        """Return the key under which attempts are counted: a digest, because users type passwords as names too."""
        kind, *values = parts
        if kind in ("pair", "address"):
            values[-1] = _network(values[-1])
        text = "\0".join((kind, *values)).encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:32]


def _network(address: str) -> str:
    """Return the range of addresses that one client has: a single IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
