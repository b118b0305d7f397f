"""Sign-ins at a real authorization server: from the browser's two requests to the tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from attrs import evolve

from tests.servers.mcp_oauth import Provider, serving
from tests.understudy.tools.mcp.oauth.signed_in import BACK, REDIRECT, accounts_in, begun, came_back
from understudy import McpServer, mcp
from understudy.auth.oauth.errors import SignInFailed
from understudy.storage.sign_ins import AddStart, PutSignIn
from understudy.tools.mcp.errors import SignedOut
from understudy.tools.mcp.oauth.accounts import Accounts
from understudy.tools.mcp.oauth.flow import finish, start


@asynccontextmanager
async def ready(folder: Path) -> AsyncIterator[tuple[Accounts, McpServer, Provider]]:
    """Return a store with an MCP server whose users sign in."""
    provider = Provider()
    with trio.fail_after(60):
        async with serving(provider) as url, accounts_in(folder) as accounts:
            yield accounts, mcp(url, name="notes", auth="user"), provider


async def test_a_user_signs_in_and_out(tmp_path: Path) -> None:
    """The client is registered once; the stored row does not show the tokens; signing out revokes them."""
    async with ready(tmp_path) as (accounts, server, provider):
        for owner in ("ada", "bob"):
            given = await came_back(await begun(accounts, owner, server))
            assert await finish(accounts, server, given) == (owner, BACK)
        assert len(provider.clients) == 1
        assert len(provider.access) == 2
        tokens = await accounts.tokens("ada", server)
        assert tokens.access in provider.access
        row = await accounts.store.sign_in("ada", "notes")
        assert row is not None
        assert tokens.access.encode() not in row.sealed
        moved = evolve(server, url=server.url.replace("/mcp", "/other"))
        assert not await accounts.signed_in("ada", moved)  # no token is sent to another address
        await accounts.store.commit(AddStart("eve", "eve", b"", 1.0, 0.0))
        await accounts.store.commit(PutSignIn(evolve(row, owner="eve")))
        assert not await accounts.signed_in("eve", server)  # nor is one of another user
        assert await accounts.sign_out("ada", server)
        assert tokens.access not in provider.access
        with pytest.raises(SignedOut):
            await accounts.tokens("ada", server)


async def test_an_answer_that_is_not_of_this_sign_in_is_refused(tmp_path: Path) -> None:
    """A made-up state, another browser, another server, another issuer, a code that was used, a user who refuses."""
    async with ready(tmp_path) as (accounts, server, provider):
        good = await came_back(await begun(accounts, "ada", server))
        for given, words in (
            (evolve(good, state="made up"), "has expired"),
            (evolve(good, cookie="of another"), "another browser"),
            (good, "finished already"),  # a state is taken once
        ):
            with pytest.raises(SignInFailed, match=words):
                await finish(accounts, server, given)
        other = evolve(server, name="other")
        with pytest.raises(SignInFailed, match="not for this server"):
            await finish(accounts, other, await came_back(await begun(accounts, "ada", server)))
        forged = evolve(await came_back(await begun(accounts, "ada", server)), issuer="https://evil.example")
        with pytest.raises(SignInFailed, match="another server than the one"):
            await finish(accounts, server, forged)
        stolen = (await came_back(await begun(accounts, "bob", server))).code
        for _ in range(2):  # a code of another sign-in does not fit to the verifier; and it was used then
            with pytest.raises(SignInFailed, match="refused there"):
                await finish(
                    accounts, server, evolve(await came_back(await begun(accounts, "ada", server)), code=stolen)
                )
        provider.refuse = True
        with pytest.raises(SignInFailed, match="not allowed"):
            await finish(accounts, server, await came_back(await begun(accounts, "ada", server)))
        assert not await accounts.signed_in("ada", server)


async def test_a_start_expires_and_a_user_has_few(tmp_path: Path) -> None:
    async with ready(tmp_path) as (accounts, server, _):
        old = await came_back(await begun(accounts, "ada", server))
        now = accounts.clock()
        accounts.clock = lambda: now + 601
        with pytest.raises(SignInFailed, match="expired"):
            await finish(accounts, server, old)
        for _ in range(20):
            await begun(accounts, "ada", server)
        with pytest.raises(SignInFailed, match="Too many"):
            await start(accounts, "ada", server, REDIRECT, BACK)


async def test_the_browser_is_asked_with_pkce_and_for_this_resource(tmp_path: Path) -> None:
    async with ready(tmp_path) as (accounts, server, _):
        began = await start(accounts, "ada", evolve(server, client_id="mine"), REDIRECT, BACK)
    asked = {name: each[0] for name, each in parse_qs(urlsplit(began.url).query).items()}
    assert asked.pop("state")
    assert len(asked.pop("code_challenge")) == 43
    assert asked == {
        "response_type": "code",
        "client_id": "mine",
        "redirect_uri": REDIRECT,
        "code_challenge_method": "S256",
        "resource": server.url,
        "scope": "notes",
    }
    assert urlsplit(began.url).path == "/authorize"
