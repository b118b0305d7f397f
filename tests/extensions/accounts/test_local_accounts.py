"""Sign-in with a password: who gets in, what the others are told, and what ends with the account."""

from collections.abc import Callable
from typing import Any

import argon2
import pytest
import trio
from attrs import define, evolve

from tests.extensions.accounts.invited import GOOD, HOME, code_of
from tests.extensions.accounts.invited import accounts as accounts
from tests.rigs.clock import Clock
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import IssuedSession
from understudy.extensions.accounts import storage as stored
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.local_accounts import FREE_OF_ADDRESS, FREE_OF_NAME, FREE_OF_PAIR, LocalAccounts
from understudy.extensions.accounts.passwords import Passwords
from understudy.extensions.accounts.storage import Account, add_account, change_rights, disable_account, invite_again
from understudy.extensions.audit.storage import AuditFilter, entries
from understudy.storage.store import Store


async def refusal(accounts: LocalAccounts, name: str, password: str, address: str = HOME) -> tuple[str, str]:
    with pytest.raises((Unauthenticated, CommandRejected)) as caught:
        await accounts.sign_in(name, password, address)
    return str(caught.value.code), str(caught.value.message)


async def test_who_is_invited_sets_a_password_once_and_signs_in_with_it(accounts: LocalAccounts) -> None:
    assert await accounts.invited("invite") == "ada"
    joined = await accounts.join("invite", GOOD)
    for session in (joined, await accounts.sign_in(" Ada", GOOD, HOME)):
        who = accounts.sessions.verify(session.token)
        assert (who.user, who.roles, who.groups) == ("ada", ("operator",), ("support",))
        assert session.shown().anonymous is False
    for invite in ("invite", "", "other"):
        assert await code_of(accounts.join(invite, GOOD)) == "not_found"


async def test_a_weak_password_leaves_the_invite_as_it_was(accounts: LocalAccounts) -> None:
    with pytest.raises(CommandRejected, match="12 to 256 characters") as caught:
        await accounts.join("invite", "password1234")
    assert caught.value.code == "invalid_command"
    assert await accounts.join("invite", GOOD)


async def test_an_invite_expires(clock: Clock, accounts: LocalAccounts) -> None:
    clock.now += 100
    for use in (accounts.invited("invite"), accounts.join("invite", GOOD)):
        assert await code_of(use) == "not_found"


async def test_of_two_browsers_with_one_invite_one_sets_the_password(accounts: LocalAccounts) -> None:
    outcomes = list[IssuedSession | str]()

    async def browser(password: str) -> None:
        try:
            outcomes.append(await accounts.join("invite", password))
        except CommandRejected as rejected:
            outcomes.append(rejected.code)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(browser, f"{GOOD} {number}")
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["not_found"] * 3


async def test_whoever_cannot_sign_in_is_told_the_same_after_the_same_work(accounts: LocalAccounts) -> None:
    await accounts.join("invite", GOOD)
    for name, password in (("bob", ""), ("eve", accounts.passwords.hasher.hash(GOOD))):
        await accounts.store.commit(add_account(Account(name, (), (), password, "", 0.0, 1.0)))
    await accounts.store.commit(disable_account("eve", 5.0))
    refusals, work = set[tuple[str, str]](), set[int]()
    for name in ("ada", "nobody", "no name at all", "bob", "eve"):
        before = accounts.passwords.computed
        refusals.add(await refusal(accounts, name, "wrong " + GOOD if name == "ada" else GOOD))
        work.add(accounts.passwords.computed - before)
    assert refusals == {("unauthenticated", "That name and password do not fit.")}
    assert work == {1}


async def test_attempts_wait_longer_and_longer_also_for_names_that_nobody_has(
    clock: Clock, accounts: LocalAccounts
) -> None:
    await accounts.join("invite", GOOD)
    waits = {name: list[float]() for name in ("ada", "nobody")}
    for name, observed in waits.items():
        for _ in range(FREE_OF_PAIR):
            assert (await refusal(accounts, name, "wrong"))[0] == "unauthenticated"
        for _ in range(3):
            before = accounts.passwords.computed
            with pytest.raises(CommandRejected) as caught:
                await accounts.sign_in(name, GOOD, HOME)
            assert (caught.value.code, accounts.passwords.computed) == ("rate_limited", before)
            observed.append(caught.value.retry_after)
            clock.now += caught.value.retry_after
            assert (await refusal(accounts, name, "wrong"))[0] == "unauthenticated"
    assert waits["ada"] == waits["nobody"] == [1.0, 2.0, 4.0]
    assert await accounts.sign_in("ada", GOOD, "198.51.100.7"), "another address does not wait"
    clock.now += 100
    assert await accounts.sign_in("ada", GOOD, HOME)
    assert (await refusal(accounts, "ada", "wrong"))[0] == "unauthenticated"
    assert await accounts.sign_in("ada", GOOD, HOME), "the success has forgotten the failures"


async def test_attempts_that_come_at_once_do_not_pass_the_limit_together(accounts: LocalAccounts) -> None:
    codes = list[str]()

    async def attempt() -> None:
        codes.append((await refusal(accounts, "ada", "wrong"))[0])

    async with trio.open_nursery() as nursery:
        for _ in range(3 * FREE_OF_PAIR):
            nursery.start_soon(attempt)
    assert codes.count("unauthenticated") == FREE_OF_PAIR
    assert codes.count("rate_limited") == 2 * FREE_OF_PAIR


async def test_an_address_that_tries_many_names_waits_as_does_a_name_tried_from_many(accounts: LocalAccounts) -> None:
    for number in range(FREE_OF_ADDRESS):
        assert (await refusal(accounts, f"name{number}", "x", f"2001:db8::{number:x}"))[0] == "unauthenticated"
    assert (await refusal(accounts, "another", "x", "2001:db8::ffff"))[0] == "rate_limited"
    assert (await refusal(accounts, "another", "x", "2001:db8:0:1::1"))[0] == "unauthenticated"
    for number in range(FREE_OF_NAME):
        assert (await refusal(accounts, "ada", "x", f"198.51.100.{number}"))[0] == "unauthenticated"
    assert (await refusal(accounts, "ada", "x", "203.0.113.1"))[0] == "rate_limited"


async def test_an_own_account_does_not_reset_the_attempts_of_an_address(accounts: LocalAccounts) -> None:
    """Otherwise a user with a password could try the names of others without end."""
    await accounts.join("invite", GOOD)
    for number in range(FREE_OF_ADDRESS):
        assert (await refusal(accounts, f"name{number}", "x"))[0] == "unauthenticated"
        if number < FREE_OF_ADDRESS - 1:
            assert await accounts.sign_in("ada", GOOD, HOME)
    assert (await refusal(accounts, "another", "x"))[0] == "rate_limited"


async def test_a_renewal_has_the_rights_of_now_and_ends_with_the_account(clock: Clock, accounts: LocalAccounts) -> None:
    session = await accounts.join("invite", GOOD)
    await accounts.store.commit(change_rights("ada", (), ("sales",)))
    clock.now += 500
    session = await accounts.sessions.renew_and_revoke(session.token)
    assert (session.identity.roles, session.identity.groups) == ((), ("sales",))
    clock.now += 500
    await accounts.store.commit(disable_account("ada", clock.now))
    with pytest.raises(Unauthenticated):
        await accounts.sessions.renew_and_revoke(session.token)
    await accounts.store.commit(invite_again("ada", digest_of("again"), clock.now + 100))
    with pytest.raises(Unauthenticated):
        await accounts.sessions.renew_and_revoke(session.token)
    assert await accounts.join("again", GOOD)


@define
class Meanwhile:
    """A store in which the account is disabled before it is read for the last time."""

    store: Store
    reads: int = 0

    async def read(self, query: Callable[..., object], owner: str, *more: object) -> object:
        self.reads += query is stored.one
        if self.reads == 2:
            await self.store.commit(disable_account(owner, 1.0))
        return await self.store.read(query, owner, *more)

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


async def test_an_account_that_is_disabled_during_a_sign_in_or_a_renewal_gives_no_session(
    clock: Clock, accounts: LocalAccounts
) -> None:
    """The sign-out of the user may have come before the token was issued, so it would not be revoked."""
    session = await accounts.join("invite", GOOD)
    clock.now += 500
    store = accounts.store
    accounts.store = Meanwhile(store)  # type: ignore[assignment]
    with pytest.raises(Unauthenticated):
        await accounts.sessions.renew_and_revoke(session.token)
    accounts.store = store
    await store.commit(invite_again("ada", digest_of("again"), clock.now + 100))
    await accounts.join("again", GOOD)
    accounts.store = Meanwhile(store)  # type: ignore[assignment]
    assert await refusal(accounts, "ada", GOOD) == ("token_expired", "This session is over; sign in again.")


async def test_a_hash_of_older_parameters_is_replaced_at_the_next_sign_in(accounts: LocalAccounts) -> None:
    await accounts.join("invite", GOOD)
    accounts.passwords = Passwords(argon2.PasswordHasher(memory_cost=2048, time_cost=1, parallelism=1))
    assert await accounts.sign_in("ada", GOOD, HOME)
    account = await accounts.store.read(stored.one, "ada")
    assert "m=2048" in account.password
    assert await accounts.sign_in("ada", GOOD, HOME)


def audited(accounts: LocalAccounts) -> list[tuple[str, str]]:
    """Return the action of each entry of the audit log and the account concerned, oldest first."""
    with accounts.store.database.reading.connect() as connection:
        rows = entries(connection, AuditFilter(), 10**9, 500)
    return [(entry.action.removeprefix("account."), str(entry.target)) for entry in reversed(rows)]


async def test_the_audit_log_has_who_joined_signed_in_and_was_refused(accounts: LocalAccounts) -> None:
    """Of the refused attempts for an account the first, and the one with which a wait begins; after a success anew."""
    await accounts.join("invite", GOOD)
    assert audited(accounts) == [("joined", "ada")]
    await refusal(accounts, "ada", "wrong")
    assert audited(accounts)[1:] == [("sign_in_refused", "ada")]
    for _ in range(FREE_OF_PAIR - 2):
        await refusal(accounts, "Ada", "wrong")
    assert audited(accounts)[2:] == []
    await refusal(accounts, "ada", "wrong")
    assert audited(accounts)[2:] == [("sign_in_refused", "ada")]
    assert (await refusal(accounts, "ada", "wrong"))[0] == "rate_limited"
    assert await accounts.sign_in("ada", GOOD, "192.0.2.2")
    await refusal(accounts, "ada", "wrong", "192.0.2.2")
    assert audited(accounts)[3:] == [("signed_in", "ada"), ("sign_in_refused", "ada")]


async def test_guessing_does_not_fill_the_audit_log(clock: Clock, accounts: LocalAccounts) -> None:
    """A day of guesses, each as soon as its wait ends and from ever new addresses, and invented names."""
    await accounts.join("invite", GOOD)
    begun, address, counted = clock.now, 0, 0
    while clock.now < begun + 24 * 3600:
        name = f"invented {counted}" if counted % 2 else "ada"
        try:
            await accounts.sign_in(name, "wrong", f"10.0.{address // 256}.{address % 256}")
        except Unauthenticated:
            counted += 1
        except CommandRejected as refused:
            clock.now += refused.retry_after or 0.0
        address = counted // FREE_OF_PAIR
    rows = audited(accounts)
    assert set(rows[1:]) == {("sign_in_refused", "ada")}
    assert len(rows) <= 32, f"{len(rows)} entries of {counted} refusals"
    with accounts.store.database.reading.connect() as connection:
        texts = str(entries(connection, AuditFilter(), 10**9, 500))
    assert "invented" not in texts


async def test_a_refused_password_of_nobody_is_written_about_as_often(
    accounts: LocalAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the time of the answer would show which names have an account."""
    await accounts.join("invite", GOOD)
    committed, commit = list[object](), Store.commit

    async def counting(store: Store, work: Any) -> Any:
        committed.append(work)
        return await commit(store, work)

    monkeypatch.setattr(Store, "commit", counting)
    numbers = []
    for name in ("ada", "nobody"):
        for _ in range(FREE_OF_PAIR):
            await refusal(accounts, name, "wrong", f"192.0.2.{len(name)}")
            numbers.append(len(committed))
            committed.clear()
    assert numbers == [2, 1, 1, 1, 2] * 2


async def changed_refusal(accounts: LocalAccounts, session: IssuedSession, old: str, new: str) -> tuple[str, str]:
    """Return the code and the sentence with which a change of the password is refused."""
    with pytest.raises((Unauthenticated, CommandRejected)) as caught:
        await accounts.change_password(session.identity, old, new, HOME)
    return str(caught.value.code), str(caught.value.message)


async def test_a_changed_password_ends_all_other_sessions_and_only_the_new_one_is_good(
    clock: Clock, accounts: LocalAccounts
) -> None:
    """The session goes on with another token, and lasts no longer than it would have."""
    session = await accounts.join("invite", GOOD)
    other = await accounts.sign_in("ada", GOOD, HOME)
    clock.now += 50
    newer = await accounts.change_password(session.identity, GOOD, "another " + GOOD, HOME)
    for ended in (session, other):
        with pytest.raises(Unauthenticated):
            accounts.sessions.verify(ended.token)
    who = accounts.sessions.verify(newer.token)
    assert (who.user, who.session, who.roles) == ("ada", session.identity.session, ("operator",))
    assert who.signed_in_at == session.identity.signed_in_at
    assert (await refusal(accounts, "ada", GOOD))[0] == "unauthenticated"
    assert await accounts.sign_in("ada", "another " + GOOD, HOME)
    assert await accounts.sessions.renew_and_revoke(newer.token)
    with accounts.store.database.reading.connect() as connection:
        actions = [entry.action for entry in entries(connection, AuditFilter(user="ada"), 10**9, 10)]
    assert actions.count("account.password_changed") == 1


async def test_a_password_is_not_changed_without_the_old_one_or_to_a_bad_one(accounts: LocalAccounts) -> None:
    session = await accounts.join("invite", GOOD)
    wrong = await changed_refusal(accounts, session, "wrong " + GOOD, "another " + GOOD)
    assert audited(accounts)[-1] == ("sign_in_refused", "ada")
    assert wrong == ("forbidden", "That is not your present password.")
    for new in ("short", "password1234", GOOD):
        assert (await changed_refusal(accounts, session, GOOD, new))[0] == "invalid_command"
    assert accounts.sessions.verify(session.token)
    assert await accounts.sign_in("ada", GOOD, HOME)


async def test_old_passwords_are_tried_as_often_as_passwords_and_no_more(accounts: LocalAccounts) -> None:
    """Somebody at an unlocked machine has the session; a sign-in and a change count together."""
    session = await accounts.join("invite", GOOD)
    for _ in range(FREE_OF_PAIR - 1):
        assert (await changed_refusal(accounts, session, "wrong", "another " + GOOD))[0] == "forbidden"
    assert (await refusal(accounts, "ada", "wrong"))[0] == "unauthenticated"
    assert (await changed_refusal(accounts, session, GOOD, "another " + GOOD))[0] == "rate_limited"
    assert (await refusal(accounts, "ada", GOOD))[0] == "rate_limited"


async def test_only_a_session_of_an_account_that_is_there_changes_its_password(
    clock: Clock, accounts: LocalAccounts
) -> None:
    """A token that an operator made for the name, and a session of a disabled or reset account, are refused."""
    session = await accounts.join("invite", GOOD)
    by_hand = accounts.sessions.issue(evolve(session.identity, session="by-hand"), 100.0)
    assert (await changed_refusal(accounts, by_hand, GOOD, "another " + GOOD))[0] == "forbidden"
    await accounts.store.commit(disable_account("ada", clock.now))
    assert (await changed_refusal(accounts, session, GOOD, "another " + GOOD))[0] == "token_expired"
    await accounts.store.commit(invite_again("ada", digest_of("again"), clock.now + 100))
    assert (await changed_refusal(accounts, session, GOOD, "another " + GOOD))[0] == "forbidden"
    assert await accounts.join("again", GOOD)
