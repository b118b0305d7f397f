"""Connections of users to a server at which each signs in: opened when used, closed when idle or when they are many."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from actors import ActorSystem, ChildSpec, StartChild, Supervisor
from tests.servers.mcp_oauth import Provider, serving
from tests.understudy.tools.mcp.oauth.signed_in import accounts_in, sign_in
from tests.understudy.tools.mcp.test_link import context_of
from understudy import Agent, McpServer, mcp
from understudy.tools.errors import QuestionExpired, ToolError
from understudy.tools.form import Question
from understudy.tools.mcp import connection as _connection  # noqa: F401 - it takes a second, as at a server's start
from understudy.tools.mcp import user_links
from understudy.tools.mcp.catalogue import McpCatalogue
from understudy.tools.mcp.link import LinkState
from understudy.tools.mcp.user_links import UserLinks
from understudy.tools.tool import Tool


@asynccontextmanager
async def linked(folder: Path, provider: Provider) -> AsyncIterator[tuple[McpCatalogue, McpServer, UserLinks]]:
    """Return a catalogue with a server at which users sign in."""
    with trio.fail_after(90):
        async with serving(provider) as url, accounts_in(folder) as accounts:
            server = mcp(url, name="notes", auth="user")
            catalogue = McpCatalogue.of([server])
            async with ActorSystem("links", [ChildSpec("mcp", Supervisor)]) as system:

                async def spawn(child: ChildSpec) -> object:
                    supervisor = system.find("/links/mcp")
                    assert supervisor is not None
                    return await supervisor.ask(StartChild(child))

                catalogue.users = users = UserLinks(accounts, spawn)
                yield catalogue, server, users
                await system.stop(grace_s=10)


async def tools_of(catalogue: McpCatalogue, server: McpServer, owner: str) -> dict[str, Tool]:
    """Return the tools that an agent has for a user."""
    agent = Agent("a", tools=[server])
    await catalogue.settle(agent, (), owner)
    return {each.name: each for each in catalogue.with_tools(agent, (), owner).tools}


async def until(links: UserLinks, server: McpServer, owner: str, state: LinkState) -> None:
    """Wait for the state of a user's link."""
    while links.of(server, owner).state is not state:  # noqa: ASYNC110 - its actor ends by itself
        await trio.sleep(0.02)


async def test_an_idle_connection_is_closed_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its tools meanwhile, and of two connections that are allowed the older makes room for a third."""
    monkeypatch.setattr(user_links, "CONNECTED", 2)
    async with linked(tmp_path, Provider()) as (catalogue, server, users):
        for owner in ("ada", "bob", "eve"):
            await sign_in(users.accounts, owner, server)
            tools = await tools_of(catalogue, server, owner)
            assert (await tools["notes_whose"].call({}, context_of(tmp_path, owner=owner))).value["result"]
        await until(users, server, "ada", LinkState.SIGNED_IN)
        assert [users.of(server, each).state for each in ("bob", "eve")] == [LinkState.READY] * 2
        monkeypatch.setattr(user_links, "IDLE_S", 0.5)
        first = (await tools_of(catalogue, server, "ada"))["notes_whose"]
        await until(users, server, "ada", LinkState.READY)
        await until(users, server, "ada", LinkState.SIGNED_IN)
        assert (await tools_of(catalogue, server, "ada"))["notes_whose"] is first
        assert (await first.call({}, context_of(tmp_path, owner="ada"))).value["result"]


async def test_nobody_who_is_away_is_asked_and_a_question_that_expires_fails_the_call(tmp_path: Path) -> None:
    """Without a sign-in there is one tool; the tools that were known stay, and say what is missing."""
    asked: list[Question] = []

    async def expire(question: Question, _: Any) -> Mapping[str, Any]:
        asked.append(question)
        raise QuestionExpired("forbidden", "too late")

    async def lie(question: Question, _: Any) -> Mapping[str, Any]:
        asked.append(question)
        return {}

    async with linked(tmp_path, Provider()) as (catalogue, server, users):
        tools = await tools_of(catalogue, server, "ada")
        assert list(tools) == ["notes_sign_in"]
        await sign_in(users.accounts, "bob", server)
        known = (await tools_of(catalogue, server, "bob"))["notes_whose"]
        await users.accounts.sign_out("bob", server)  # as another node does
        users.of(server, "bob").close()
        for tool, owner in ((tools["notes_sign_in"], "ada"), (known, "bob")):
            with pytest.raises(ToolError, match="You are not signed in to notes"):
                await tool.call({}, context_of(tmp_path, owner=owner, attended=False))
            assert asked == []
            for asker in (expire, lie):
                with pytest.raises(ToolError, match="You are not signed in to notes"):
                    await tool.call({}, context_of(tmp_path, owner=owner, asker=asker))
            assert [each.sign_in for each in asked] == ["notes"] * 2
            asked.clear()
        assert "notes_whose" in await tools_of(catalogue, server, "bob")


async def test_a_server_that_is_away_does_not_sign_anybody_out(tmp_path: Path) -> None:
    """The next use connects again, once it is back."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with linked(tmp_path, Provider()) as (catalogue, server, users):
        await sign_in(users.accounts, "ada", server)
        tokens = await users.accounts.tokens("ada", server)
        away = evolve(server, name="away", url=f"http://127.0.0.1:{port}/mcp")
        await users.accounts.keep("ada", away, tokens)
        catalogue.signing_in = {"away": away}
        assert await tools_of(catalogue, away, "ada") == {}
        assert users.of(away, "ada").state is LinkState.AWAY
        assert await users.accounts.signed_in("ada", away)
