"""Local accounts on both databases."""

import trio
from attrs import evolve

from tests.understudy.storage.test_store import opened
from understudy.storage.accounts import (
    Account,
    AddAccount,
    ChangeRights,
    DisableAccount,
    InviteAgain,
    ReplacePassword,
    TakeInvite,
)
from understudy.storage.deletion import RemoveUser

ADA = Account("ada", ("operator",), ("support",), "", "digest", 90.0, 5.0)


async def test_an_invite_is_taken_once_and_not_after_its_time(database) -> None:
    """Of two requests one sets the password; a digest that is empty names nobody."""
    with trio.fail_after(30):
        async with opened(database) as store:
            assert [bool(await store.commit(AddAccount(ADA))) for _ in range(2)] == [True, False]
            assert [await store.invited_account("digest", at) for at in (89.0, 90.0)] == [ADA, None]
            assert not await store.commit(TakeInvite("ada", "digest", "late", 90.0))
            taken = [await store.commit(TakeInvite("ada", "digest", hashed, 80.0)) for hashed in ("one", "two")]
            assert [bool(each) for each in taken] == [True, False]
            assert await store.account("ada") == evolve(ADA, password="one", invite="")
            assert await store.invited_account("", 1.0) is None


async def test_a_new_invite_takes_the_password_away_and_lets_the_user_in_again(database) -> None:
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(ADA))
            assert await store.commit(DisableAccount("ada", 7.0))
            disabled = await store.account("ada")
            assert (disabled.disabled_at, disabled.invite) == (7.0, "")
            assert await store.invited_account("digest", 80.0) is None
            assert await store.commit(InviteAgain("ada", "newer", 99.0))
            assert await store.account("ada") == evolve(ADA, invite="newer", invite_expires_at=99.0)
            assert not await store.commit(InviteAgain("bob", "newer", 99.0))


async def test_a_disabled_account_takes_no_invite(database) -> None:
    """The invite was read before the account was disabled."""
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(ADA))
            await store.commit(DisableAccount("ada", 7.0))
            assert not await store.commit(TakeInvite("ada", "digest", "hash", 80.0))
            assert not await store.commit(DisableAccount("bob", 7.0))


async def test_a_hash_is_replaced_only_if_the_password_is_still_the_same(database) -> None:
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(evolve(ADA, password="one")))
            replaced = [await store.commit(ReplacePassword("ada", "one", new)) for new in ("two", "three")]
            assert [bool(each) for each in replaced] == [True, False]
            assert (await store.account("ada")).password == "two"


async def test_rights_change_and_an_account_goes_with_its_user(database) -> None:
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(ADA))
            assert await store.commit(ChangeRights("ada", (), ("sales", "desk")))
            changed = await store.account("ada")
            assert (changed.roles, changed.groups) == ((), ("sales", "desk"))
            await store.commit(RemoveUser("ada"))
            assert await store.account("ada") is None


async def test_only_who_can_sign_in_counts_as_the_sole_account_of_a_role(database) -> None:
    """Neither accounts of other roles, nor invites that were not taken, nor disabled accounts."""
    ready = evolve(ADA, password="one", invite="")
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(ADA))
            assert not await store.is_sole_account("ada", ("operator",))
            await store.commit(TakeInvite("ada", "digest", "one", 80.0))
            for owner, roles in (("bob", ("auditor",)), ("eve", ("server_operator",))):
                await store.commit(AddAccount(evolve(ready, owner=owner, roles=roles)))
            await store.commit(AddAccount(evolve(ADA, owner="kim", invite="other")))
            await store.commit(DisableAccount("eve", 7.0))
            roles = ("operator", "server_operator")
            assert [await store.is_sole_account(each, roles) for each in ("ada", "bob", "eve", "kim", "no")] == [
                True, False, False, False, False,
            ]  # fmt: skip
            await store.commit(TakeInvite("kim", "other", "two", 80.0))
            assert not await store.is_sole_account("ada", roles)


async def test_a_disabled_account_gets_no_other_hash(database) -> None:
    with trio.fail_after(30):
        async with opened(database) as store:
            await store.commit(AddAccount(evolve(ADA, password="one")))
            await store.commit(DisableAccount("ada", 7.0))
            assert not await store.commit(ReplacePassword("ada", "one", "two"))


def test_what_is_secret_is_not_shown() -> None:
    shown = repr(evolve(ADA, password="hash")) + repr(TakeInvite("ada", "digest", "hash", 1.0))
    assert "hash" not in shown
    assert "digest" not in shown
