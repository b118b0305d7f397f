"""Links to servers that misbehave: each call has a clear end, and the link lives on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.extensions.mcp.linked import SERVERS, context_of, linked, over_http, tools_of
from understudy import Agent, mcp
from understudy.extensions.mcp import connection as _connection  # noqa: F401 - it takes a second, as at a server's start
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import LinkState
from understudy.tools.context import CallMeans
from understudy.tools.errors import ToolError
from understudy.tools.form import Question
from understudy.tools.tool import Tool

BAD = mcp([sys.executable, str(SERVERS / "mcp_bad.py")], name="bad", timeout_s=20.0)


@pytest.mark.proof("timing")
async def test_a_server_that_misbehaves_harms_its_own_call_only(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    async with linked(BAD) as (catalogue, link):
        assert (link.state, link.protocol) == (LinkState.READY, "2025-11-25")
        assert {tool.name: tool.why.split()[2] for tool in link.offer.left_out} == {"deep": "is", "huge": "has"}
        tools = tools_of(catalogue, BAD)
        assert tools["bad_recursive"].parameters["properties"] == {"a": {"$ref": "#"}}
        assert (tools["bad_spy"].approval, tools["bad_forge"].approval) == (True, False)
        for name in ("forge", "babble"):
            assert (await tools[f"bad_{name}"].call({}, context)).value == "ok"
        with trio.move_on_after(3), pytest.raises(ToolError, match="malformed"):
            await tools["bad_nest"].call({}, context)
        long_result = await tools["bad_many"].call({}, context)
        assert len(long_result.value) == 201
        assert long_result.value[-1] == "800 more blocks are left out."
        with pytest.raises(ToolError, match="was lost during the call"):
            await tools["bad_flood"].call({}, context)
        await link.settled(30)
        assert (await tools["bad_forge"].call({}, context)).value == "ok"
    assert link.state is not LinkState.READY


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")
async def test_a_bad_server_over_http_harms_its_own_call_only(tmp_path: Path) -> None:
    """Forged ids, megabytes, a cut, a hang and a changed definition: each call has its end, and the next one works.

    The first answer in the response of a request is taken for its own, whatever id it has.
    """
    context = context_of(tmp_path)
    async with over_http("mcp_bad.py") as (address, process):
        server = mcp(f"{address}/mcp", name="bad", timeout_s=100.0)
        async with linked(server) as (catalogue, link):
            tools = tools_of(catalogue, server)
            assert (await tools["bad_forge"].call({}, context)).value == "forged"
            for name in ("babble", "nest", "flood", "cut"):
                with trio.move_on_after(3 if name == "nest" else 60) as limit, pytest.raises(ToolError):
                    await tools[f"bad_{name}"].call({}, context)
                assert name == "nest" or not limit.cancelled_caught, name
                assert len((await tools["bad_many"].call({}, context)).value) == 201
            with trio.move_on_after(0.5) as limit:
                await tools["bad_hang"].call({}, context)
            assert limit.cancelled_caught
            version = link.offer.version
            await tools["bad_version"].call({}, context)
            while link.offer.version == version:  # noqa: ASYNC110 - the server says it in the call
                await trio.sleep(0.02)
            with pytest.raises(ToolError, match="has changed bad_forge"):
                await tools["bad_forge"].call({}, context)
            process.kill()
            with pytest.raises(ToolError):
                await tools_of(catalogue, server)["bad_forge"].call({}, context)


async def test_a_question_reaches_the_only_call_and_a_change_of_definition_asks_for_consent(tmp_path: Path) -> None:
    questions: list[Question] = []

    async def answer(question: Question, check: Any) -> Mapping[str, Any]:
        questions.append(question)
        check({"a": "b"})
        return {"a": "b"}

    async with linked(BAD) as (catalogue, link):
        tools = tools_of(catalogue, BAD)
        answered = await tools["bad_ask"].call({}, context_of(tmp_path, means=CallMeans(answer)))
        assert (questions[0].text, '"accept"' in answered.value) == ("Which?", True)
        assert '"decline"' in (await tools["bad_ask"].call({}, context_of(tmp_path))).value
        before, version = tools["bad_forge"], link.offer.version
        await tools["bad_version"].call({}, context_of(tmp_path))
        while link.offer.version == version:  # noqa: ASYNC110 - the server says it after its answer
            await trio.sleep(0.02)
        with pytest.raises(ToolError, match="has changed bad_forge"):
            await before.call({}, context_of(tmp_path))
        assert tools_of(catalogue, BAD)["bad_forge"].approval is True


async def test_users_take_turns_and_nobody_is_asked_in_a_run_without_a_user(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    server = mcp([sys.executable, str(SERVERS / "mcp_demo.py")], name="demo", env={"DEMO_NOTES": str(notes)})
    refused: list[ToolError] = []

    async def linger(tool: Tool) -> None:
        try:
            await tool.call({}, context_of(tmp_path))
        except ToolError as error:
            refused.append(error)

    async with linked(server) as (catalogue, _), trio.open_nursery() as nursery:
        tools = tools_of(catalogue, server)
        for _ in range(40):
            nursery.start_soon(linger, tools["demo_linger"])
        while notes.read_text().count("lingering") < 8 or not refused:  # noqa: ASYNC110 - a process writes it
            await trio.sleep(0.05)
        other = context_of(tmp_path, owner="bob", means=CallMeans(attended=False))
        assert (await tools["demo_add"].call({"a": 1, "b": 2}, other)).value == {"result": 3}
        assert (await tools["demo_choose"].call({}, other)).value == "cancel "
        assert {refusal.code for refusal in refused} == {"busy"}
        assert notes.read_text().count("lingering") == 8
        nursery.cancel_scope.cancel()


async def test_a_call_that_hangs_can_be_left_and_its_server_is_stopped(tmp_path: Path) -> None:
    """A process that does not end when its input is closed is killed with its actor."""
    async with linked(BAD) as (catalogue, _):
        with trio.move_on_after(0.5) as limit:
            await tools_of(catalogue, BAD)["bad_hang"].call({}, context_of(tmp_path))
        assert limit.cancelled_caught


async def test_servers_that_cannot_start_are_away_with_a_reason() -> None:
    for target, why in (
        ("no-such-program", "there is no program"),
        ([sys.executable, "-c", "import sys; sys.exit('no key')"], "no key"),
        ("http://127.0.0.1:9/mcp", "cannot be reached"),
    ):
        async with linked(mcp(target, name="it", start_s=20)) as (catalogue, link):
            assert link.state is LinkState.AWAY
            assert why in link.why
            agent = Agent("a", tools=[link.server])
            assert "MCP server it are missing" in catalogue.missing(agent)[0]
            assert catalogue.with_tools(agent).tools == ()


def test_two_servers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two different MCP servers are called 'it'"):
        McpCatalogue.of([mcp("a", name="it"), mcp("b", name="it")])
    assert len(McpCatalogue.of([mcp("a", name="it"), mcp("a", name="it")]).links) == 1
