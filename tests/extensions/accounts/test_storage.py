"""Local accounts on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve

from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.storage import (
    Account,
    SoleAccount,
    add_account,
    change_rights,
    disable_account,
    invite_again,
    replace_password,
    take_invite,
)
from understudy.storage.deletion import remove_user_rows
from understudy.storage.postgresql import connect_database
from understudy.storage.sqlite import open_database
from understudy.storage.writer import commit_group

ROUNDS = 12
ADA = Account("ada", ("operator",), ("support",), "", "digest", 90.0, 5.0)


async def test_an_invite_is_taken_once_and_not_after_its_time(store) -> None:
    assert [bool(await store.commit(add_account(ADA))) for _ in range(2)] == [True, False]
    assert [await store.read(accounts.invited, "digest", at) for at in (89.0, 90.0)] == [ADA, None]
    assert not await store.commit(take_invite("ada", "digest", "late", 90.0))
    outcomes = [await store.commit(take_invite("ada", "digest", hashed, 80.0)) for hashed in ("one", "two")]
    assert [bool(was_taken) for was_taken in outcomes] == [True, False]
    assert await store.read(accounts.one, "ada") == evolve(ADA, password="one", invite="")
    assert await store.read(accounts.invited, "", 1.0) is None


async def test_a_new_invite_takes_the_password_away_and_lets_the_user_in_again(store) -> None:
    await store.commit(add_account(ADA))
    assert await store.commit(disable_account("ada", 7.0))
    disabled = await store.read(accounts.one, "ada")
    assert (disabled.disabled_at, disabled.invite) == (7.0, "")
    assert await store.read(accounts.invited, "digest", 80.0) is None
    assert not await store.commit(take_invite("ada", "digest", "read before", 80.0))
    assert await store.commit(invite_again("ada", "newer", 99.0))
    assert await store.read(accounts.one, "ada") == evolve(ADA, invite="newer", invite_expires_at=99.0)
    assert not await store.commit(invite_again("bob", "newer", 99.0))


async def test_a_hash_is_replaced_only_if_the_password_is_still_the_same(store) -> None:
    await store.commit(add_account(evolve(ADA, password="one")))
    replaced = [await store.commit(replace_password("ada", "one", new)) for new in ("two", "three")]
    assert [bool(was_replaced) for was_replaced in replaced] == [True, False]
    assert (await store.read(accounts.one, "ada")).password == "two"


async def test_rights_change_and_an_account_goes_with_its_user(store) -> None:
    await store.commit(add_account(ADA))
    assert await store.commit(change_rights("ada", (), ("sales", "desk")))
    changed = await store.read(accounts.one, "ada")
    assert (changed.roles, changed.groups) == ((), ("sales", "desk"))
    await store.commit(remove_user_rows("ada"))
    assert await store.read(accounts.one, "ada") is None


async def test_only_who_can_sign_in_counts_as_the_sole_account_of_a_role(store) -> None:
    ready = evolve(ADA, password="one", invite="")
    await store.commit(add_account(ADA))
    assert not await store.read(accounts.is_sole, "ada", ("operator",))
    await store.commit(take_invite("ada", "digest", "one", 80.0))
    for owner, roles in (("bob", ("auditor",)), ("eve", ("server_operator",))):
        await store.commit(add_account(evolve(ready, owner=owner, roles=roles)))
    await store.commit(add_account(evolve(ADA, owner="kim", invite="other")))
    await store.commit(disable_account("eve", 7.0))
    roles = ("operator", "server_operator")
    assert [await store.read(accounts.is_sole, name, roles) for name in ("ada", "bob", "eve", "kim", "no")] == [
        True, False, False, False, False,
    ]  # fmt: skip
    await store.commit(take_invite("kim", "other", "two", 80.0))
    assert not await store.read(accounts.is_sole, "ada", roles)


async def test_the_only_account_of_a_role_keeps_it_unless_told_otherwise(store) -> None:
    """A change that leaves one of the roles is none of these, nor is one of an account that nobody can sign in to."""
    ready, roles = evolve(ADA, password="one", invite=""), ("operator", "server_operator")
    await store.commit(add_account(ready))
    for refused in (disable_account("ada", 7.0, roles), change_rights("ada", ("auditor",), (), roles)):
        with pytest.raises(SoleAccount, match="ada is the only operator"):
            await store.commit(refused)
        assert await store.read(accounts.one, "ada") == ready
    assert await store.commit(change_rights("ada", ("server_operator",), (), roles))
    await store.commit(add_account(evolve(ADA, owner="kim")))
    assert await store.commit(disable_account("kim", 7.0, roles))
    assert not await store.commit(disable_account("nobody", 7.0, roles))
    assert await store.commit(disable_account("ada", 7.0))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_two_changes_that_take_each_other_the_role_one_is_refused(kind: str, request: Any) -> None:
    roles, together = ("operator",), threading.Barrier(2, timeout=60)
    if kind == "sqlite":
        folder = request.getfixturevalue("folder")
        databases = [open_database(folder), open_database(folder, locked=True)]
    else:
        address = request.getfixturevalue("postgres").create(request.getfixturevalue("template"))
        databases = [connect_database(address) for _ in range(2)]
    names, ready = ("ada", "kim"), evolve(ADA, password="one", invite="")

    def change(number: int) -> list[Any]:
        outcomes = []
        with databases[number].writing.connect() as connection:
            for turn in range(ROUNDS):
                together.wait()
                account = add_account(evolve(ready, owner=f"{names[number]}{turn}"))
                commit_group(connection, [account])
                together.wait()
                other = f"{names[1 - number]}{turn}"
                write = change_rights(other, (), (), roles) if turn % 2 else disable_account(other, 7.0, roles)
                outcomes += commit_group(connection, [write])
                together.wait()
                commit_group(connection, [disable_account(f"{names[number]}{turn}", 8.0)])
        return outcomes

    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(change, range(2))
    finally:
        for database in databases:
            database.close()
    kinds = [sorted((type(a).__name__, type(b).__name__)) for a, b in zip(first, second, strict=True)]
    assert kinds == [["SoleAccount", "bool"]] * ROUNDS, kinds


async def test_a_disabled_account_gets_no_other_hash(store) -> None:
    await store.commit(add_account(evolve(ADA, password="one")))
    await store.commit(disable_account("ada", 7.0))
    assert not await store.commit(replace_password("ada", "one", "two"))


def test_what_is_secret_is_not_shown() -> None:
    text = repr(evolve(ADA, password="hash")) + repr(take_invite("ada", "digest", "hash", 1.0))
    assert "hash" not in text
    assert "digest" not in text
