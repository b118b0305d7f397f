"""Accounts in a database, of which one has an invite."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from pathlib import Path

import argon2
import pytest

from tests.rigs.clock import Clock
from tests.rigs.database import opened
from tests.rigs.revocations import RevocationsInMemory
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.sessions import RenewableTokens, Sessions
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.local_accounts import LocalAccounts
from understudy.extensions.accounts.passwords import Passwords
from understudy.extensions.accounts.storage import Account, add_account
from understudy.extensions.audit.storage import append_entry
from understudy.storage.sqlite import open_database

GOOD = "tree sky blue lamp"
HOME = "192.0.2.1"
QUICK = argon2.PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1)


@pytest.fixture
async def accounts(migrated_before: None, tmp_path: Path, clock: Clock) -> AsyncIterator[LocalAccounts]:
    """Accounts in a database of their own, with ada, who has an invite."""
    ended = RevocationsInMemory(clock)
    sessions = Sessions(RenewableTokens("s" * 32, clock, 50.0), False, 1000.0, ended)
    with closing(open_database(tmp_path)) as database:
        async with opened(database) as store:
            store.on_act = append_entry
            sessions.sign_in = local_accounts = LocalAccounts(store, sessions, Passwords(QUICK), clock, b"k" * 32)
            invited = Account("ada", ("operator",), ("support",), "", digest_of("invite"), clock.now + 100, clock.now)
            await store.commit(add_account(invited))
            yield local_accounts


async def code_of(use: Awaitable[object]) -> str:
    with pytest.raises((Unauthenticated, CommandRejected)) as caught:
        await use
    return str(caught.value.code)
