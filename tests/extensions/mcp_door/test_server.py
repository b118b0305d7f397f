"""The server as an MCP server, with the SDK's own client over real sockets."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitResult

from tests.rigs.caller import Caller
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from understudy import Agent, tool
from understudy.app.server import Running

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")
MODES = ("auto", "legacy")


@asynccontextmanager
async def client(running: Running, token: str, **options: Any) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http,
        Client(streamable_http_client(f"{running.address}/mcp", http_client=http), **options) as connected,
    ):
        yield connected


@pytest.mark.parametrize("mode", MODES)
async def test_agents_and_their_tools_are_tools(serve: Any, mode: str) -> None:
    running = await serve(scripted(Call([("echo", {"text": "hello"})]), Say("It said hello."), Say("Again.")))
    notes: list[str | None] = []

    async def on_progress(_: float, __: float | None, message: str | None) -> None:
        notes.append(message)

    with trio.fail_after(60):
        async with client(running, await new_token(running), mode=mode) as mcp:
            listed = {item.name: item for item in (await mcp.list_tools(cursor="")).tools}  # "" names no page
            assert {"ask_guide", "ask_script", "echo", "query_table"} <= listed.keys()
            answer = await mcp.call_tool("ask_script", {"message": "go"}, progress_callback=on_progress)
            assert not answer.is_error
            structured = answer.structured_content
            assert (structured["answer"].strip(), structured["status"]) == ("It said hello.", "success")
            assert any("echo" in (note or "") for note in notes), notes
            again = await mcp.call_tool("ask_script", {"message": "more", "thread_id": structured["thread_id"]})
            assert again.structured_content["thread_id"] == structured["thread_id"]
            echoed = await mcp.call_tool("echo", {"text": "as it is"})
            assert (echoed.is_error, echoed.structured_content) == (False, {"result": "as it is"})


async def test_a_client_asks_its_user_for_consent(serve: Any) -> None:
    running = await serve(scripted(Say("x")))
    messages: list[str] = []

    async def on_ask(_: Any, params: ElicitRequestFormParams) -> ElicitResult:
        messages.append(params.message)
        return ElicitResult(action="accept", content={"decision": "allow" if len(messages) == 1 else "deny"})

    with trio.fail_after(60):
        async with client(running, await new_token(running), elicitation_callback=on_ask) as mcp:
            assert (await mcp.call_tool("send_mail", {"to": "ann"})).structured_content == {"result": "sent to ann"}
            assert (await mcp.call_tool("send_mail", {"to": "bob"})).is_error
    assert len(messages) == 2
    assert "ann" in messages[0]


async def test_what_fails_is_told_in_a_sentence(serve: Any) -> None:
    running = await serve(scripted(Say("x")))
    with trio.fail_after(60):
        async with client(running, await new_token(running)) as mcp:
            refused = await mcp.call_tool("refuse", {})
            assert (refused.is_error, refused.content[0].text) == (True, "The oven is cold.")
            crashed = await mcp.call_tool("crash", {})
            assert crashed.is_error
            assert "secret-detail" not in crashed.content[0].text
            assert (await mcp.call_tool("echo", {"nothing": 1})).is_error
            assert (await mcp.call_tool("ask_guide", {"message": " "})).is_error
            with pytest.raises(MCPError, match="There is no tool"):
                await mcp.call_tool("no_such_tool", {})


async def test_a_client_that_cancels_ends_its_call(serve_guest: Any) -> None:
    """Leaving is how a client of the newer protocol cancels: the tool is stopped, and its run ends."""
    gate = Gate()
    running, token = await serve_guest(scripted(Say("never", gate=gate)))
    with trio.fail_after(60):
        async with client(running, token) as mcp, trio.open_nursery() as nursery:
            began = trio.Event()

            async def on_progress(*_: Any) -> None:
                began.set()

            nursery.start_soon(lambda: mcp.call_tool("wait", {}, progress_callback=on_progress))
            await began.wait()
            working = await get(running, "/api/runs", token)
            nursery.cancel_scope.cancel()
        (run,) = working["runs"]
        assert (await Caller(running, token).ended(run["run_id"]))["status"] == "cancelled"


async def test_calls_of_one_tool_run_side_by_side_and_leave_no_threads(serve_guest: Any) -> None:
    here = 0
    both = trio.Event()

    @tool(timeout_s=60)
    async def meet() -> int:
        """Wait for another one."""
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await both.wait()
        return here

    running, token = await serve_guest(Agent("host", tools=[meet]))

    async def listed() -> list[str]:
        return [
            entry["id"] for entry in (await request(running.address, "GET", "/api/threads", token=token))[2]["threads"]
        ]

    results: list[Any] = []
    with trio.fail_after(60):
        async with client(running, token) as mcp:

            async def call() -> None:
                results.append((await mcp.call_tool("meet", {})).structured_content)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                while here == 0:  # noqa: ASYNC110 - the tool says it
                    await trio.sleep(0.02)
                assert len(await listed()) == 1
                nursery.start_soon(call)
    assert results == [{"result": 2}] * 2
    assert await listed() == []


async def test_the_example_of_the_how_to_runs(serve: Any) -> None:
    running = await serve()
    text = (Path(__file__).parents[3] / "docs/extensions/mcp_door.md").read_text()
    scope: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], scope)
    with trio.fail_after(60):
        assert "12" in await scope["ask"](running.address, await new_token(running))
