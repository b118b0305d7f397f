"""Tokens that are refreshed before they expire: once for all who ask, and without being lost."""

from collections import Counter
from pathlib import Path

import pytest
import trio
from attrs import evolve

from tests.rigs.mcp_signed_in import accounts_in, ready, sign_in
from tests.servers.mcp_oauth import Provider, serving
from understudy import mcp
from understudy.extensions.mcp.errors import RefusedToken, SignedOut
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.accounts import CLAIM_S, EARLY, Accounts
from understudy.extensions.mcp.oauth.storage import claim_sign_in
from understudy.extensions.oauth.errors import Unreachable
from understudy.storage.queries import Scope


async def test_tokens_are_refreshed_early_and_once_for_all_who_ask(tmp_path: Path) -> None:
    """Ten tasks of two nodes ask at a time; the server takes each refresh token once. Refreshes are spread."""
    provider, shift = Provider(pause_s=0.4), [0.0]
    async with ready(tmp_path, provider) as (first, server):
        clock = first.clock
        first.clock = provider.clock = lambda: clock() + shift[0]
        other = Accounts(first.store, first.seal, first.clock)
        times = set()
        for owner in ("ada", "bob", "eve"):
            await sign_in(first, owner, server)
            tokens = await first.tokens(owner, server)
            left = (tokens.expires_at - tokens.refresh_at) / provider.life_s
            assert 1 - EARLY[1] - 0.01 <= left <= 1 - EARLY[0] + 0.01
            times.add(round(left, 2))
        assert len(times) > 1
        for at in (0.0, 500.0, 1090.0, 1690.0):
            shift[0] = at
            received: list[str] = []

            async def ask(accounts: Accounts, into: list[str] = received) -> None:
                into.append((await accounts.tokens("ada", server)).access)

            async with trio.open_nursery() as nursery:
                for n in range(10):
                    nursery.start_soon(ask, (first, other)[n % 2])
            assert all(token in provider.access for token in received)
            assert len(Counter(received)) <= 2  # those who need not wait go on with the token that is still good
        assert provider.refreshed == 3
        assert provider.refused == 0


async def test_a_cancelled_caller_does_not_lose_a_refresh_token(tmp_path: Path) -> None:
    provider = Provider(hold=trio.Event())
    async with ready(tmp_path, provider) as (accounts, server):
        await sign_in(accounts, "ada", server)
        old = await accounts.tokens("ada", server)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                await accounts.tokens("ada", server, RefusedToken(old.access))

            nursery.start_soon(ask)
            while not (row := await accounts.store.read(sign_ins.sign_in, "ada", "notes")) or not row.claimed_until:  # noqa: ASYNC110 - the store
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
            provider.hold.set()
        assert provider.refreshed == 1
        newer = (await accounts.tokens("ada", server)).access
        assert newer in provider.access
        assert newer != old.access


async def test_a_refused_refresh_ends_the_sign_in_and_a_server_that_is_away_does_not(tmp_path: Path) -> None:
    provider = Provider()
    with trio.fail_after(90):
        async with accounts_in(tmp_path) as accounts:
            async with serving(provider) as url:
                server = mcp(url, name="notes", auth="user")
                await sign_in(accounts, "ada", server)
                tokens = await accounts.tokens("ada", server)
            with pytest.raises(Unreachable):
                await accounts.tokens("ada", server, RefusedToken(tokens.access))
            assert await accounts.tokens("ada", server) == tokens
            row = await accounts.store.read(sign_ins.sign_in, "ada", "notes")
            assert row is not None
            async with serving(provider) as url:
                moved = evolve(tokens, token_endpoint=f"{url.removesuffix('/mcp')}/token")
                await accounts.keep("ada", server, moved)
                now = accounts.clock()
                dead = await accounts.store.read(sign_ins.sign_in, "ada", "notes")
                claim = claim_sign_in("ada", "notes", dead.stamp, "dead", now + CLAIM_S)
                assert await accounts.store.commit(claim)
                accounts.clock = lambda: now + CLAIM_S + 1
                newer = await accounts.tokens("ada", server, RefusedToken(tokens.access))
                assert newer.access in provider.access
                provider.end()
                with pytest.raises(SignedOut):
                    await accounts.tokens("ada", server, RefusedToken(newer.access))
                assert await accounts.store.read(sign_ins.of_all, 9, Scope()) == []
