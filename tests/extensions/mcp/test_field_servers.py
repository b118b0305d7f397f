"""What servers in the field do: they restart, refuse, and describe tools oddly. Their other tools work."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.extensions.mcp.linked import SERVERS, context_of, linked, over_http, tools_of
from understudy import Agent, mcp
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import LinkState, McpLink
from understudy.tools.errors import EffectUnknown, ToolError
from understudy.tools.tool import Tool

SERVER = "mcp_field.py"


@asynccontextmanager
async def by_stdio(folder: Path, *arguments: str) -> AsyncIterator[tuple[McpCatalogue, McpLink, Path]]:
    log = folder / "asked"
    log.touch()
    server = mcp([sys.executable, str(SERVERS / SERVER), str(log), *arguments], name="s", timeout_s=20.0)
    async with linked(server) as (catalogue, link):
        yield catalogue, link, log


@asynccontextmanager
async def by_http(*arguments: str) -> AsyncIterator[tuple[McpCatalogue, McpLink, str]]:
    async with (
        over_http(SERVER, *arguments) as (address, _),
        linked(mcp(f"{address}/mcp", name="s", timeout_s=20.0)) as (catalogue, link),
    ):
        yield catalogue, link, address


def echo_of(catalogue: McpCatalogue, link: McpLink) -> Tool:
    return tools_of(catalogue, link.server)["s_echo"]


async def get(address: str) -> list[str]:
    """Return which methods a server was asked; its session ends if the address says so."""
    async with httpx2.AsyncClient() as client:
        methods: list[str] = (await client.get(address)).json()
        return methods


async def test_a_process_that_ends_at_any_other_first_message_than_the_handshake(tmp_path: Path) -> None:
    async with by_stdio(tmp_path, "handshake") as (catalogue, link, log):
        assert link.state is LinkState.READY
        assert (await echo_of(catalogue, link).call({"text": "hi"}, context_of(tmp_path))).value == "you said hi"
        link.end("a test")
        await link.settled(30)
        assert (await echo_of(catalogue, link).call({"text": "hi"}, context_of(tmp_path))).value == "you said hi"
        methods = [line.split()[1] for line in log.read_text().splitlines()]
        assert (methods.count("server/discover"), methods.count("initialize")) == (1, 2)


async def test_odd_descriptions_cost_their_own_tools_only(tmp_path: Path) -> None:
    async with by_stdio(tmp_path, "odd") as (catalogue, link, log):
        tools = tools_of(catalogue, link.server)
        assert {tool for tool in tools if "resource" not in tool} == {
            "s_echo", "s_no_schema", "s_php", "s_untyped", "s_choice"
        }  # fmt: skip
        assert {tool.name: tool.why for tool in link.offer.left_out} == {
            "price": "its schema is malformed",
            "text": "its arguments are no JSON object",
        }
        assert tools["s_untyped"].approval, "hints that cannot be read are none"
        assert "anyOf" not in tools["s_choice"].parameters
        assert "Give one of these" not in tools["s_choice"].description, "the only choice is needed"
        assert tools["s_choice"].parameters["required"] == ["a"]
        listed = await tools["list_resources"].call({"server": "s"}, context_of(tmp_path))
        assert "good" in json.dumps(listed.value)
        assert len({line.split()[0] for line in log.read_text().splitlines()}) == 1


async def test_a_server_that_does_not_tell_its_tools_is_away_and_not_restarted(tmp_path: Path) -> None:
    async with by_stdio(tmp_path, "no-list") as (catalogue, link, log):
        assert (link.state, link.why) == (LinkState.AWAY, "s refused: The catalogue is being built")
        assert catalogue.missing(Agent("a", tools=[link.server])) == [
            "The tools of the MCP server s are missing now: s refused: The catalogue is being built"
        ]
        assert len({line.split()[0] for line in log.read_text().splitlines()}) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("limit", "s refused: Rate limit of the upstream reached"),
        ("closed", "s refused: Connection closed"),
        ("deaf", "s refused: Parse error"),
        ("broken", "The answer of s is malformed."),
        ("large", "s was asked, and the answer has more than 2,097,152 bytes."),
        ("large, sorted", "s was asked, and the answer has more than 2,097,152 bytes."),
        ("large, id last", "s was asked, and the answer has more than 2,097,152 bytes."),
    ],
)
async def test_an_error_of_a_process_that_lives_is_its_words_once(tmp_path: Path, text: str, why: str) -> None:
    async with by_stdio(tmp_path) as (catalogue, link, log):
        with trio.fail_after(15), pytest.raises(ToolError) as caught:
            await echo_of(catalogue, link).call({"text": text}, context_of(tmp_path))
        assert caught.value.message == why
        assert not isinstance(caught.value, EffectUnknown)
        assert (await echo_of(catalogue, link).call({"text": "hi"}, context_of(tmp_path))).value == "you said hi"
        lines = [line.split() for line in log.read_text().splitlines()]
        assert len({process for process, _ in lines}) == 1
        assert [method for _, method in lines].count("tools/call") == 2


ODD = {
    "a block of another kind": ({"content": [{"type": "json", "json": 1}, {"type": "text", "text": "hi"}]}, 2),
    "its own schema does not fit": ({"structuredContent": {"n": "x"}}, {"n": "x"}),
    "half an emoji": ({"content": "cut \ud83d"}, "cut \ufffd"),
    "no content": ({"isError": None, "_meta": "odd"}, []),
    "another type": ({"resultType": "odd", "content": None, "structuredContent": [1]}, [1]),
}


@pytest.mark.parametrize("by", ["stdio", "http"])
async def test_an_odd_result_is_kept_since_its_call_took_effect(tmp_path: Path, by: str) -> None:
    async with by_stdio(tmp_path) if by == "stdio" else by_http() as (catalogue, link, _):
        for why, (result, wanted) in ODD.items():
            value = (await echo_of(catalogue, link).call({"text": json.dumps(result)}, context_of(tmp_path))).value
            assert value == wanted or len(value) == wanted, why


@pytest.mark.parametrize("by", ["stdio", "http"])
async def test_the_words_of_an_error_are_kept_in_whatever_form(tmp_path: Path, by: str) -> None:
    errors: dict[str, Any] = {
        "zap": "zap",
        "zap 1": {"code": "E1", "message": "zap 1"},
        "zap 2": {"message": "zap 2"},
        '{"code": 7}': {"code": 7},
        'zap 3 ({"why": "zip"})': {"code": -32000, "message": "zap 3", "data": {"why": "zip"}},
        "zap 4 (zip)": {"code": -32000, "message": "zap 4", "data": "zip"},
    }
    async with by_stdio(tmp_path) if by == "stdio" else by_http() as (catalogue, link, _):
        for words, error in errors.items():
            with pytest.raises(ToolError) as caught:
                await echo_of(catalogue, link).call({"text": json.dumps({"error": error})}, context_of(tmp_path))
            assert caught.value.message == f"s refused: {words}"


@pytest.mark.parametrize("manner", ["own-404", "plain-404", "example-400", "gone-410"])
async def test_a_session_that_the_server_does_not_know_is_begun_anew(tmp_path: Path, manner: str) -> None:
    """The call is made once more, since it had no effect, and only once in the new session."""
    async with by_http(manner) as (catalogue, link, address):
        echo = echo_of(catalogue, link)
        assert (await echo.call({"text": "a"}, context_of(tmp_path))).value == "you said a"
        await get(f"{address}/restart")
        assert (await echo.call({"text": "b"}, context_of(tmp_path))).value == "you said b"
        methods = await get(f"{address}/asked")
        assert (methods.count("initialize"), methods.count("tools/call")) == (2, 3)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("403", "s refused: HTTP 403 Forbidden"),
        ("404", "s refused: HTTP 404 Not Found"),
        ("413", f"s refused: HTTP 413 {HTTPStatus(413).phrase}: No room."),
        ("429", "s refused: HTTP 429 Too Many Requests"),
        ("429 9000", "s refused: HTTP 429 Too Many Requests"),
        ("500", "s refused: HTTP 500 Internal Server Error"),
    ],
)
async def test_a_status_that_refuses_is_told_with_its_reason(tmp_path: Path, status: str, why: str) -> None:
    """The session lives on, so that a 404 for one call alone is no lost session."""
    async with by_http() as (catalogue, link, address):
        with pytest.raises(ToolError) as caught:
            await echo_of(catalogue, link).call({"text": f"status {status}"}, context_of(tmp_path))
        assert caught.value.message == why
        assert not isinstance(caught.value, EffectUnknown)
        assert (await echo_of(catalogue, link).call({"text": "hi"}, context_of(tmp_path))).value == "you said hi"
        assert (await get(f"{address}/asked")).count("initialize") == 1


@pytest.mark.parametrize("status", ["429", "503"])
async def test_a_server_that_asks_to_wait_is_waited_for(tmp_path: Path, status: str) -> None:
    async with by_http() as (catalogue, link, address):
        answer = await echo_of(catalogue, link).call({"text": f"status {status} 1"}, context_of(tmp_path))
        assert answer.value == f"you said status {status} 1"
        assert (await get(f"{address}/asked")).count("tools/call") == 2
