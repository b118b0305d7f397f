"""Connections of users to a server at which each signs in: opened when used, closed when idle or when they are many."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from actors import ActorSystem, ChildSpec, StartChild, Supervisor
from tests.extensions.mcp.linked import context_of
from tests.rigs.mcp_signed_in import ready, sign_in
from tests.servers.mcp_oauth import Provider
from understudy import Agent, McpServer
from understudy.extensions.mcp import connection as _connection  # noqa: F401 - it takes a second, as at a server's start
from understudy.extensions.mcp import user_links
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import LinkState
from understudy.extensions.mcp.user_links import UserLinks
from understudy.tools.context import CallMeans
from understudy.tools.errors import QuestionDeclined, QuestionExpired, ToolError
from understudy.tools.form import Question
from understudy.tools.tool import Tool


@asynccontextmanager
async def linked(folder: Path, provider: Provider) -> AsyncIterator[tuple[McpCatalogue, McpServer, UserLinks]]:
    async with ready(folder, provider) as (accounts, server):
        catalogue = McpCatalogue.of([server])
        async with ActorSystem("links", [ChildSpec("mcp", Supervisor)]) as system:

            async def spawn(child: ChildSpec) -> object:
                supervisor = system.find("/links/mcp")
                return await supervisor.ask(StartChild(child))

            catalogue.users = users = UserLinks(accounts, spawn)
            yield catalogue, server, users
            await system.stop(grace_s=10)


async def tools_of(catalogue: McpCatalogue, server: McpServer, owner: str) -> dict[str, Tool]:
    agent = Agent("a", tools=[server])
    await catalogue.settle(agent, (), owner)
    return {tool.name: tool for tool in catalogue.with_tools(agent, (), owner).tools}


async def until(links: UserLinks, server: McpServer, owner: str, state: LinkState) -> None:
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
        assert [users.of(server, user).state for user in ("bob", "eve")] == [LinkState.READY] * 2
        monkeypatch.setattr(user_links, "IDLE_S", 0.5)
        first = (await tools_of(catalogue, server, "ada"))["notes_whose"]
        await until(users, server, "ada", LinkState.READY)
        await until(users, server, "ada", LinkState.SIGNED_IN)
        assert (await tools_of(catalogue, server, "ada"))["notes_whose"] is first
        assert (await first.call({}, context_of(tmp_path, owner="ada"))).value["result"]


async def test_nobody_who_is_away_is_asked_and_a_question_that_expires_fails_the_call(tmp_path: Path) -> None:
    questions: list[Question] = []

    async def expire(question: Question, _: Any) -> Mapping[str, Any]:
        questions.append(question)
        raise QuestionExpired("forbidden", "too late")

    async def lie(question: Question, _: Any) -> Mapping[str, Any]:
        questions.append(question)
        return {}

    async with linked(tmp_path, Provider()) as (catalogue, server, users):
        tools = await tools_of(catalogue, server, "ada")
        assert list(tools) == ["notes_sign_in"]
        await sign_in(users.accounts, "bob", server)
        whose = (await tools_of(catalogue, server, "bob"))["notes_whose"]
        await users.accounts.sign_out("bob", server)  # as another node does
        users.of(server, "bob").close()
        for tool, owner in ((tools["notes_sign_in"], "ada"), (whose, "bob")):
            with pytest.raises(ToolError, match="You are not signed in to notes"):
                await tool.call({}, context_of(tmp_path, owner=owner, means=CallMeans(attended=False)))
            assert questions == []
            for asker in (expire, lie):
                with pytest.raises(ToolError, match="You are not signed in to notes"):
                    await tool.call({}, context_of(tmp_path, owner=owner, means=CallMeans(asker)))
            assert [question.sign_in for question in questions] == ["notes"] * 2
            questions.clear()
        assert "notes_whose" in await tools_of(catalogue, server, "bob")


async def test_a_server_that_is_away_does_not_sign_anybody_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_port:
        port = silent_port.getsockname()[1]
    async with linked(tmp_path, Provider()) as (catalogue, server, users):
        await sign_in(users.accounts, "ada", server)
        tokens = await users.accounts.tokens("ada", server)
        away = evolve(server, name="away", url=f"http://127.0.0.1:{port}/mcp")
        await users.accounts.keep("ada", away, tokens)
        catalogue.signing_in = {"away": away}
        assert await tools_of(catalogue, away, "ada") == {}
        assert users.of(away, "ada").state is LinkState.AWAY
        assert await users.accounts.signed_in("ada", away)


@asynccontextmanager
async def signed_in(
    folder: Path, provider: Provider
) -> AsyncIterator[tuple[Callable[..., Awaitable[Any]], Callable[..., Any], UserLinks]]:
    """Yield a call of a user who is signed in, to be made with an asker, and one that signs in again."""
    async with linked(folder, provider) as (catalogue, server, users):
        await sign_in(users.accounts, "ada", server)
        tools = await tools_of(catalogue, server, "ada")

        async def agree(question: Question, _: Any) -> Mapping[str, Any]:
            assert "needs more rights" in question.text
            assert users.of(server, "ada").state is LinkState.READY
            await sign_in(users.accounts, "ada", server)
            return {}

        async def call(name: str = "notes_whose", **more: Any) -> Any:
            parameters = {"uri": "notes://all"} if name == "read_resource" else {}
            return (await tools[name].call(parameters, context_of(folder, owner="ada", **more))).value

        yield call, agree, users


@pytest.mark.parametrize(
    ("refusal", "refreshes", "tool"),
    [
        ((403, 'Bearer error="insufficient_scope", scope="{}", resource_metadata="x"'), True, "notes_whose"),
        ((403, "bearer scope={}, error=insufficient_scope"), False, "read_resource"),
        ((401, 'Bearer error="invalid_token", scope="notes {}"'), True, "notes_whose"),
        ((401, 'Bearer scope="{}"'), False, "notes_whose"),
    ],
)
async def test_a_call_that_needs_more_scopes_asks_for_all_and_is_made(
    tmp_path: Path, refusal: tuple[int, str], refreshes: bool, tool: str
) -> None:
    """The connection goes on if the user does not want to sign in for more."""

    async def decline(*_: Any) -> Mapping[str, Any]:
        raise QuestionDeclined("forbidden", "no")

    provider = Provider(refusal=refusal, refreshes=refreshes)
    async with signed_in(tmp_path, provider) as (call, agree, _):
        provider.needs = {"whose": "write", "resources/read": "write"}
        for means in (CallMeans(decline), CallMeans(attended=False)):
            with pytest.raises(ToolError, match=r"notes needs more rights \(notes write\)"):
                await call(means=means)
        assert await call(tool, means=CallMeans(agree))
        assert [row[0].scopes for row in provider.access.values()][-1] == ["notes", "write"]
        assert await call(means=CallMeans(attended=False))


@pytest.mark.parametrize(("grants_all", "refusals"), [(True, 1), (False, user_links.ASKS)])
async def test_a_server_that_goes_on_refusing_asks_a_few_times(tmp_path: Path, grants_all: bool, refusals: int) -> None:
    """It refuses a token for all scopes that it names, or its authorization server gives no token for more."""
    provider = Provider(grants_all=grants_all, refusal=(403, 'Bearer error="insufficient_scope", scope="write"'))
    async with signed_in(tmp_path, provider) as (call, agree, _):
        provider.needs["whose"] = "write other"
        with pytest.raises(ToolError, match="HTTP 403" if grants_all else "needs more rights"):
            await call(means=CallMeans(agree))
        assert provider.asked == 1 + refusals


async def test_a_server_that_does_not_tell_its_tools_without_more_scopes_has_its_user_sign_in(tmp_path: Path) -> None:
    provider = Provider(needs={"tools/list": "write"})
    async with linked(tmp_path, provider) as (catalogue, server, users):
        await sign_in(users.accounts, "ada", server)
        for links in (users, UserLinks(users.accounts, users.spawn)):  # also after a restart
            catalogue.users = links
            assert list(await tools_of(catalogue, server, "ada")) == ["notes_sign_in"]
            assert links.of(server, "ada").state is LinkState.SIGNED_OUT
        await sign_in(users.accounts, "ada", server)
        assert "notes_whose" in await tools_of(catalogue, server, "ada")
        provider.refusal, provider.needs = (403, "Bearer"), {"tools/list": "other"}
        await sign_in(users.accounts, "eve", server)
        assert await tools_of(catalogue, server, "eve") == {}
        assert links.of(server, "eve").state is LinkState.AWAY
        assert "HTTP 403" in catalogue.missing(Agent("a", tools=[server]), (), "eve")[0]
