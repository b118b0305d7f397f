"""Passkeys on both databases."""

import pytest
from attrs import evolve

from understudy.extensions.accounts import passkey_storage as passkeys
from understudy.extensions.accounts import storage as accounts
from understudy.extensions.accounts.passkey_storage import (
    Passkey,
    add_passkey,
    join_by_passkey,
    remove_passkey,
    use_passkey,
)
from understudy.extensions.accounts.storage import Account, add_account, disable_account, invite_again
from understudy.storage.deletion import remove_user_rows

ADA = Account("ada", ("operator",), (), "", "digest", 90.0, 5.0)
KEY = Passkey("id-1", "ada", b"\x00\xff", 0, "Phone", 6.0)


async def test_an_invite_is_taken_by_one_passkey(store) -> None:
    await store.commit(add_account(ADA))
    assert not await store.commit(join_by_passkey("digest", 90.0, KEY))
    assert not await store.commit(join_by_passkey("", 80.0, KEY))
    assert await store.read(passkeys.of_owner, "ada") == []
    assert not (await store.read(accounts.one, "ada")).is_joined
    outcomes = [await store.commit(join_by_passkey("digest", 80.0, evolve(KEY, id=name))) for name in ("id-1", "b")]
    assert [bool(was_taken) for was_taken in outcomes] == [True, False]
    assert (await store.read(accounts.one, "ada")).is_joined
    assert await store.read(passkeys.of_owner, "ada") == [KEY]
    assert await store.read(accounts.is_sole, "ada", ("operator",))
    await store.commit(add_account(evolve(ADA, owner="bob", invite="other")))
    assert not await store.commit(join_by_passkey("other", 80.0, evolve(KEY, owner="bob")))
    assert (await store.read(accounts.one, "bob")).invite == "other", "it stays valid"


async def test_the_counter_only_grows_unless_a_passkey_does_not_count(store) -> None:
    await store.commit(add_account(evolve(ADA, password="hash")))
    await store.commit(add_passkey(KEY))
    used = [bool(await store.commit(use_passkey("ada", "id-1", count, 7.0))) for count in (0, 0, 3, 3, 2, 0, 4)]
    assert used == [True, True, True, False, False, False, True]
    high = 2**32 - 1
    assert await store.commit(use_passkey("ada", "id-1", high, 8.0))
    assert await store.read(passkeys.one, "id-1") == evolve(KEY, sign_count=high, used_at=8.0)
    assert not await store.commit(use_passkey("bob", "id-1", high + 1, 8.0))
    assert not await store.commit(use_passkey("ada", "other", 5, 8.0))


async def test_passkeys_are_bounded_unique_and_of_an_enabled_account(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passkeys, "MOST_OF_ACCOUNT", 2)
    await store.commit(add_account(evolve(ADA, password="hash")))
    added = [bool(await store.commit(add_passkey(evolve(KEY, id=name)))) for name in ("a", "a", "b", "c")]
    assert added == [True, False, True, False]
    assert not await store.commit(add_passkey(evolve(KEY, owner="nobody", id="d")))
    await store.commit(remove_passkey("ada", "a"))
    await store.commit(disable_account("ada", 7.0))
    assert not await store.commit(add_passkey(evolve(KEY, id="c")))


async def test_the_only_way_to_sign_in_is_not_removed(store) -> None:
    await store.commit(add_account(ADA))
    await store.commit(join_by_passkey("digest", 80.0, KEY))
    assert not await store.commit(remove_passkey("ada", "id-1"))
    await store.commit(add_passkey(evolve(KEY, id="id-2")))
    assert not await store.commit(remove_passkey("bob", "id-2"))
    assert await store.commit(remove_passkey("ada", "id-1"))
    assert not await store.commit(remove_passkey("ada", "id-2"))
    await store.commit(add_account(evolve(ADA, owner="eve", password="hash", invite="")))
    await store.commit(add_passkey(evolve(KEY, owner="eve")))
    assert await store.commit(remove_passkey("eve", "id-1")), "there is a password"


async def test_passkeys_go_with_a_new_invite_and_with_the_user(store) -> None:
    await store.commit(add_account(ADA))
    await store.commit(join_by_passkey("digest", 80.0, KEY))
    await store.commit(invite_again("ada", "newer", 99.0))
    assert await store.read(passkeys.of_owner, "ada") == []
    await store.commit(join_by_passkey("newer", 80.0, KEY))
    await store.commit(remove_user_rows("ada"))
    assert await store.read(passkeys.one, "id-1") is None


def test_what_is_secret_is_not_shown() -> None:
    assert "xff" not in repr(KEY)
    assert "digest" not in repr(join_by_passkey("digest", 1.0, KEY))
