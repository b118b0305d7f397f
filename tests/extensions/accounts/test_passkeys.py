"""Sign-in with a passkey: who gets in, what the others are told, and what an answer is worth a second time."""

import json
import random
from typing import Any

import pytest
import trio
from attrs import define, field

from tests.extensions.accounts.invited import GOOD, HOME, code_of
from tests.extensions.accounts.invited import accounts as accounts
from tests.rigs.clock import Clock
from tests.servers.authenticator import PRESENT, Authenticator
from transport.auth import base64url
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import IssuedSession
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.local_accounts import FREE_OF_ADDRESS, LocalAccounts
from understudy.extensions.accounts.passkey_storage import of_owner, public_id
from understudy.extensions.accounts.passkeys import LIFE_S, Passkeys, Site, site_of
from understudy.extensions.accounts.storage import disable_account, invite_again
from understudy.extensions.audit.storage import AuditFilter, entries
from understudy.storage.deletion import remove_user_rows

SITE = Site("https://chat.example.org", "chat.example.org")


@define
class Person:
    passkeys: Passkeys
    device: Authenticator = field(factory=lambda: Authenticator(SITE.origin))

    async def join(self, invite: str = "invite") -> IssuedSession:
        begun = await self.passkeys.begin_join(SITE, invite, HOME)
        credential = self.device.create(begun.options)
        return await self.passkeys.join(SITE, begun.cookie, invite, "Phone", credential, HOME)

    async def sign_in(self) -> IssuedSession:
        begun = await self.passkeys.begin_sign_in(SITE, HOME)
        return await self.passkeys.sign_in(SITE, begun.cookie, self.device.get(begun.options), HOME)

    async def refused(self) -> tuple[str, str]:
        """Return the code and the sentence with which a sign-in is refused."""
        with pytest.raises((Unauthenticated, CommandRejected)) as caught:
            await self.sign_in()
        return caught.value.code, str(caught.value.message)

    async def refusal(self) -> str:
        return (await self.refused())[0]


@pytest.fixture
def ada(accounts: LocalAccounts) -> Person:
    return Person(Passkeys(accounts))


async def test_who_is_invited_joins_with_a_passkey_and_signs_in_with_it(clock: Clock, ada: Person) -> None:
    accounts = ada.passkeys.accounts
    for session in (await ada.join(), await ada.sign_in()):
        who = accounts.sessions.verify(session.token)
        assert (who.user, who.roles, who.groups) == ("ada", ("operator",), ("support",))
    assert await code_of(ada.join()) == "not_found"
    clock.now += 500
    assert await accounts.sessions.renew_and_revoke(session.token)
    with pytest.raises(Unauthenticated):
        await accounts.sign_in("ada", "", HOME)
    (stored,) = await accounts.store.read(of_owner, "ada")
    assert (stored.name, stored.sign_count) == ("Phone", 1)
    with accounts.store.database.reading.connect() as connection:
        audit = [(entry.action, entry.detail) for entry in entries(connection, AuditFilter(), 10**9, 10)]
    assert audit == [
        ("account.sign_in_refused", {}),  # the attempt with a password
        ("account.signed_in", {"passkey": True}),
        ("account.joined", {"passkey": True}),
    ]


async def test_the_options_demand_a_verified_user_and_a_passkey_that_is_found_without_a_name(ada: Person) -> None:
    making = (await ada.passkeys.begin_join(SITE, "invite", HOME)).options
    wanted = making["authenticatorSelection"]
    assert (wanted["residentKey"], wanted["userVerification"]) == ("required", "required")
    assert (making["rp"]["id"], making["user"]["name"]) == ("chat.example.org", "ada")
    assert b"ada" not in base64url.decode(making["user"]["id"])
    asking = (await ada.passkeys.begin_sign_in(SITE, HOME)).options
    assert (asking["rpId"], asking["userVerification"]) == ("chat.example.org", "required")
    assert not asking.get("allowCredentials")
    ada.device.flags = PRESENT
    assert await code_of(ada.join()) == "invalid_command"
    ada.device.flags |= 4
    await ada.join()
    ada.device.flags = PRESENT
    assert await ada.refusal() == "unauthenticated"


async def test_an_answer_is_worth_nothing_a_second_time_late_or_in_another_browser(clock: Clock, ada: Person) -> None:
    await ada.join()
    begun = await ada.passkeys.begin_sign_in(SITE, HOME)
    answer = ada.device.get(begun.options)
    for cookie in ("", "another browser's"):
        assert await code_of(ada.passkeys.sign_in(SITE, cookie, answer, HOME)) == "not_found"
    assert await ada.passkeys.sign_in(SITE, begun.cookie, answer, HOME)
    assert await code_of(ada.passkeys.sign_in(SITE, begun.cookie, answer, HOME)) == "not_found"
    begun = await ada.passkeys.begin_sign_in(SITE, HOME)
    clock.now += LIFE_S
    assert await code_of(ada.passkeys.sign_in(SITE, begun.cookie, ada.device.get(begun.options), HOME)) == "not_found"


async def test_a_challenge_is_good_for_what_it_was_made_for_only(ada: Person) -> None:
    """The cookie of one sign-in does not fit the challenge of another, and a sign-in makes no passkey."""
    session = await ada.join()
    first, second = [await ada.passkeys.begin_sign_in(SITE, HOME) for _ in range(2)]
    with pytest.raises(Unauthenticated):
        await ada.passkeys.sign_in(SITE, second.cookie, ada.device.get(first.options), HOME)
    begun = await ada.passkeys.begin_add(SITE, session.identity, HOME)
    assert await code_of(ada.passkeys.sign_in(SITE, begun.cookie, ada.device.get(first.options), HOME)) == "not_found"


async def test_what_was_signed_elsewhere_or_by_another_key_signs_nobody_in(clock: Clock, ada: Person) -> None:
    """An unknown passkey, one of a disabled or removed account and a wrong signature get the same sentence."""
    accounts = ada.passkeys.accounts
    await ada.join()
    ada.device.origin = "https://chat.example.org.evil.example"
    assert await ada.refusal() == "forbidden"
    ada.device.origin = SITE.origin
    ada.device.framed = True
    assert await ada.refusal() == "forbidden"
    ada.device.framed = False
    other = Authenticator(SITE.origin, id=ada.device.id)
    refusals = set[tuple[str, str]]()
    for device in (other, Authenticator(SITE.origin)):
        ada.device, own_device = device, ada.device
        refusals.add(await ada.refused())
        ada.device = own_device
    handle, ada.device.handle = ada.device.handle, base64url.encode(b"somebody else")
    assert await ada.refusal() == "unauthenticated"
    ada.device.handle = handle
    assert await ada.sign_in()
    await accounts.store.commit(disable_account("ada", clock.now))
    refusals.add(await ada.refused())
    await accounts.store.commit(remove_user_rows("ada"))
    refusals.add(await ada.refused())
    assert refusals == {("unauthenticated", "This passkey does not fit any account here.")}


async def test_a_refused_passkey_is_logged_as_a_wrong_password_is(ada: Person, caplog: Any) -> None:
    """The log has the user if the passkey is an account's. Once an address has to wait, nothing more is logged."""
    caplog.set_level("INFO", "understudy.extensions.accounts")

    def logged() -> list[tuple[str, str | None]]:
        records = [(record.message, getattr(record, "user", None)) for record in caplog.records]
        caplog.clear()
        return [line for line in records if line[0].startswith("sign_in.")]

    await ada.join()
    with pytest.raises(Unauthenticated):
        await ada.passkeys.accounts.sign_in("ada", "wrong", HOME)
    logged()
    own_device = ada.device
    for device, user in ((Authenticator(SITE.origin, id=own_device.id), "ada"), (Authenticator(SITE.origin), None)):
        ada.device = device
        assert await ada.refusal() == "unauthenticated"
        assert logged() == [("sign_in.wrong", user)]
    while await ada.refusal() != "rate_limited":
        assert logged() == [("sign_in.wrong", None)]
    assert logged() == []


async def test_refused_passkeys_of_an_account_are_in_the_audit_log_until_the_waits_begin(ada: Person) -> None:
    await ada.join()
    own_device, refused = ada.device, [("account.sign_in_refused", "ada", {"passkey": True})]

    async def tried(device: Authenticator, times: int = 1) -> list[tuple[str, str | None, object]]:
        ada.device = device
        for _ in range(times):
            assert await ada.refusal() == "unauthenticated"
        with ada.passkeys.accounts.store.database.reading.connect() as connection:
            rows = entries(connection, AuditFilter(action="account.sign_in_refused"), 10**9, 100)
        return [(entry.action, entry.target, entry.detail) for entry in rows]

    copy = Authenticator(SITE.origin, id=own_device.id)
    assert await tried(Authenticator(SITE.origin)) == []
    assert await tried(copy) == refused
    assert await tried(copy, 3) == refused
    assert await tried(copy) == refused * 2
    assert await tried(copy, 7) == refused * 2
    ada.device = own_device
    assert await ada.sign_in()
    assert await tried(copy) == refused * 3


async def test_a_passkey_whose_counter_goes_back_is_refused(ada: Person) -> None:
    ada.device.step = 0
    await ada.join()
    assert await ada.sign_in()
    assert await ada.sign_in()
    ada.device.step = 5
    assert await ada.sign_in()
    ada.device.count = 3
    ada.device.step = 1
    assert await ada.refusal() == "forbidden"
    assert await ada.refusal() == "forbidden", "the count of before is none that has grown"
    assert await ada.sign_in()


async def test_challenges_of_an_address_wait_as_its_passwords_do(ada: Person) -> None:
    await ada.join()
    for _ in range(FREE_OF_ADDRESS + 2):
        assert await ada.sign_in()
    for _ in range(FREE_OF_ADDRESS):
        await ada.passkeys.begin_sign_in(SITE, HOME)
    assert await ada.refusal() == "rate_limited"
    assert await code_of(ada.passkeys.accounts.sign_in("ada", GOOD, HOME)) == "rate_limited"
    assert (await ada.passkeys.begin_sign_in(SITE, "198.51.100.7")).options["challenge"]


async def test_sessions_end_with_the_passkey_that_began_them_but_for_the_one_that_removes_it(
    clock: Clock, ada: Person
) -> None:
    """Those of other passkeys and of the password go on, and the one that removes the passkey is renewed."""
    accounts, passkeys = ada.passkeys.accounts, ada.passkeys
    first = await ada.join()
    clock.now += 1
    lost, current = await ada.sign_in(), await ada.sign_in()
    who = accounts.sessions.verify(current.token)
    (phone,) = await accounts.store.read(of_owner, "ada")
    other = Person(passkeys)
    begun = await passkeys.begin_add(SITE, who, HOME)
    await passkeys.add(SITE, begun.cookie, who, "Key", other.device.create(begun.options), HOME)
    of_other_key = await other.sign_in()
    await passkeys.remove(who, public_id(phone.id))
    for session in (first, lost):
        with pytest.raises(Unauthenticated):
            accounts.sessions.verify(session.token)
    with pytest.raises(Unauthenticated):
        await accounts.sessions.renew_and_revoke(lost.token)
    assert accounts.sessions.verify(of_other_key.token).user == "ada"
    clock.now += 500
    again = await accounts.sessions.renew_and_revoke(current.token)
    assert again.token != current.token
    assert accounts.sessions.verify(again.token).session == who.session


async def test_a_user_adds_and_removes_passkeys_but_not_the_only_way_in(clock: Clock, ada: Person) -> None:
    session = await ada.join()
    clock.now += 1
    passkeys, who = ada.passkeys, session.identity
    phone = (await passkeys.of_user(who))[1][0]
    assert await code_of(passkeys.remove(who, public_id(phone.id))) == "forbidden"
    key = Authenticator(SITE.origin)
    for name in ("", "x" * 65, "\u202eevil"):
        begun = await passkeys.begin_add(SITE, who, HOME)
        assert (
            await code_of(passkeys.add(SITE, begun.cookie, who, name, key.create(begun.options), HOME))
            == "invalid_command"
        )
    begun = await passkeys.begin_add(SITE, who, HOME)
    assert [excluded["id"] for excluded in begun.options["excludeCredentials"]] == [phone.id]
    added = await passkeys.add(SITE, begun.cookie, who, " My  key ", key.create(begun.options), HOME)
    assert [passkey.name for passkey in (await passkeys.of_user(who))[1]] == ["Phone", "My key"]
    ada.device, own_device = key, ada.device
    assert await ada.sign_in()
    await passkeys.remove(who, public_id(added.id))
    assert await ada.refusal() == "unauthenticated"
    assert await code_of(passkeys.remove(who, public_id(added.id))) == "not_found"
    ada.device = own_device
    assert await ada.sign_in()
    store = passkeys.accounts.store
    with store.database.reading.connect() as connection:
        actions = [entry.action for entry in entries(connection, AuditFilter(), 10**9, 20)]
    assert (actions.count("passkey.added"), actions.count("passkey.removed")) == (1, 2)


async def test_a_new_invite_takes_passkeys_away_and_the_sessions_with_them(clock: Clock, ada: Person) -> None:
    accounts = ada.passkeys.accounts
    session = await ada.join()
    await accounts.store.commit(invite_again("ada", digest_of("again"), clock.now + 900))
    assert await ada.refusal() == "unauthenticated"
    clock.now += 500
    with pytest.raises(Unauthenticated):
        await accounts.sessions.renew_and_revoke(session.token)
    assert await ada.join("again")


async def test_what_is_no_credential_is_refused_with_a_code_whatever_it_is(ada: Person) -> None:
    chance = random.Random(7)
    with trio.fail_after(120):
        session = await ada.join()
        passkeys = ada.passkeys
        for number in range(150):
            signing = number % 2
            address = f"198.51.{number}.1"
            begun = await (
                passkeys.begin_sign_in(SITE, address) if signing
                else passkeys.begin_add(SITE, session.identity, address)
            )  # fmt: skip
            device = ada.device if signing else Authenticator(SITE.origin)
            answer = device.get(begun.options) if signing else device.create(begun.options)
            broken = _broken(answer, chance)
            use = (
                passkeys.sign_in(SITE, begun.cookie, broken, address) if signing
                else passkeys.add(SITE, begun.cookie, session.identity, "Key", broken, address)
            )  # fmt: skip
            with pytest.raises((Unauthenticated, CommandRejected)):
                await use
        ada.device.count += 1
        assert await ada.sign_in()


def _broken(answer: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return a credential with one part cut, of another type or changed in a byte that is checked."""
    broken: dict[str, Any] = json.loads(json.dumps(answer))
    response = broken["response"]
    name = chance.choice([member for member in response if member != "userHandle"])
    match chance.randrange(4):
        case 0:
            del response[name]
        case 1:
            response[name] = chance.choice([None, 7, [], {}, "", "%", "AAAA"])
        case 2:
            response[name] = response[name][: chance.randrange(8, len(response[name]) // 2)]
        case 3:
            broken[chance.choice(["id", "rawId", "type"])] = chance.choice([None, "", "x", 7])
    return broken


@pytest.mark.parametrize(
    ("url", "origin", "name"),
    [
        ("https://chat.example.org/", "https://chat.example.org", "chat.example.org"),
        ("https://Chat.Example.org:443/sub", "https://chat.example.org", "chat.example.org"),
        ("http://localhost:8002", "http://localhost:8002", "localhost"),
    ],
)
def test_the_site_is_the_origin_and_the_host_of_an_address(url: str, origin: str, name: str) -> None:
    assert site_of(url) == Site(origin, name)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8002", "http://[::1]:8002/", "nothing"])
def test_an_address_without_a_name_has_no_passkeys(url: str) -> None:
    with pytest.raises(CommandRejected) as caught:
        site_of(url)
    assert caught.value.code == "invalid_command"
