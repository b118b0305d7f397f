"""Agents with the tools of MCP's reference server (`@modelcontextprotocol/server-everything` from npm)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.mcp_demo_agent import calling, ended, lines_of, noted
from tests.end_to_end.mcp_demo_agent import notes as notes
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.watcher import Watcher
from tests.rigs.watcher import calling as calling_now
from tests.rigs.watcher import ended as run_ended
from tests.servers.needed import free_port, program
from tests.servers.npm import install, listening
from understudy import McpServer, mcp

pytestmark = [
    pytest.mark.proof("clients"),
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning"),
]
STOCK = Path(__file__).resolve().parents[1] / "stock_mcp"
MAIN = Path("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
NAME = "everything"
COUNTER = "tests.end_to_end.mcp_agent:counter"
START_S = 60.0
ZIPPED = {"name": "a.gz", "data": "data:text/plain;base64,aGVsbG8=", "outputType": "resource"}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("echo", {"message": "hello"}),
    ("get-sum", {"a": 2, "b": 3}),
    ("get-tiny-image", {}),
    ("get-annotated-message", {"messageType": "debug", "includeImage": True}),
    ("get-structured-content", {"location": "Chicago"}),
    ("get-resource-links", {"count": 2}),
    ("get-resource-reference", {"resourceType": "Blob", "resourceId": 1}),
    ("gzip-file-as-resource", ZIPPED),
    ("trigger-long-running-operation", {"duration": 1, "steps": 4}),
    ("get-sum", {"a": "two", "b": 3}),
    ("trigger-elicitation-request", {}),
]


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(STOCK, tmp_path_factory.mktemp("stock") / "mcp") / MAIN


@asynccontextmanager
async def served(main: Path, transport: str) -> AsyncIterator[McpServer]:
    """Name the server over stdio, or start it and name its address."""
    options: dict[str, Any] = {"name": NAME, "approval": False, "start_s": START_S}
    if transport == "stdio":
        yield mcp([str(program("node")), str(main)], **options)
        return
    port = free_port()
    async with listening(port, str(main), "streamableHttp"):
        yield mcp(f"http://127.0.0.1:{port}/mcp", **options)


def named(name: str) -> str:
    return f"{NAME}_{name}"


def completed(client: ChatClient) -> list[dict[str, Any]]:
    return [event["data"] for event in client.seen if event["type"] == "tool_completed"]


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_each_kind_of_tool_and_content_is_understood(serve_client: Any, main: Path, transport: str) -> None:
    async with served(main, transport) as server:
        calls = [(named(name), arguments) for name, arguments in CALLS]
        async with serve_client(calling(server, *calls, ("list_resources", {}), timeout_s=100)) as client:
            question = (await client.ask("go", agent_type="script", thread_id="t", until="question_asked"))["data"]
            fields = question["schema"]["properties"]
            assert {field["type"] for field in fields.values()} == {"string", "boolean", "integer", "number", "array"}
            answer = {"name": "Ann", "integer": 7, "titledSingleSelectEnum": "hero-2"}
            question_id = question["question_id"]
            await client.send({"type": "answer", "payload": {"question_id": question_id, "answer": answer}})
            await ended(client)
        by_tool = completed(client)
        assert [call["status"] for call in by_tool] == ["ok"] * 9 + ["failed"] + ["ok"] * 2, by_tool
        values = [call["result"] for call in by_tool]
        assert values[:2] == ["Echo: hello", "The sum of 2 and 3 is 5."]
        assert [block.get("media_type") for block in values[2] if isinstance(block, dict)] == ["image/png"]
        assert [block.get("media_type") for block in values[3] if isinstance(block, dict)] == ["image/png"]
        assert values[4].keys() == {"temperature", "conditions", "humidity"}
        assert sum(isinstance(block, dict) and "uri" in block for block in values[5]) == 2
        assert any(isinstance(block, dict) and "file" in block for block in values[6])
        assert values[7]["media_type"] == "application/gzip"
        notes = [event["message"] for event in client.seen if event["type"] == "agent_progress"]
        assert any(named("trigger-long-running-operation") in note for note in notes), notes
        assert "everything_get-sum failed" in by_tool[9]["result_summary"]
        assert "Ann" in str(values[10])
        assert "hero-2" in str(values[10])
        assert len(values[11]) >= 7
        if transport == "stdio":
            assert "NODE" not in str(values)


async def test_a_long_call_is_a_task_that_asks_and_tells_its_progress(serve_client: Any, main: Path) -> None:
    async with served(main, "stdio") as server:
        research = (named("simulate-research-query"), {"topic": "python", "ambiguous": True})
        async with serve_client(calling(server, research, timeout_s=100)) as client:
            await client.say("go", agent_type="script", thread_id="t")
            question = (await client.until("question_asked"))["data"]["question_id"]
            reply = {"question_id": question, "answer": {"interpretation": "snake"}}
            await client.send({"type": "answer", "payload": reply})
            await ended(client)
        (done,) = completed(client)
        assert done["status"] == "ok"
        assert "python (snake)" in str(done["result"])
        messages = [event["message"] for event in client.seen if event["type"] == "agent_progress"]
        assert any("Gathering sources" in note for note in messages), messages


@asynccontextmanager
async def tasks_server(main: Path, notes: Path, port: int) -> AsyncIterator[str]:
    program_of_tasks = main.parents[4] / "tasks.mjs"
    async with listening(port, str(program_of_tasks), str(port), str(notes)):
        yield f"http://127.0.0.1:{port}/mcp"


async def test_a_task_is_found_again_by_the_next_server(main: Path, notes: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    async with tasks_server(main, notes, free_port()) as address:
        options = {"TASKS_ADDRESS": address}
        async with started(tmp_path / "data", COUNTER, **options) as server:
            token = (await request(server.address, "POST", "/api/sessions"))[2]["session_token"]
            async with connected(server.address, token) as client:
                await client.say("go", agent_type="counter", thread_id="t")
                await watcher.until(client, calling_now("tasks_count"))
                await noted(notes, "polled")
                await server.kill()
        async with started(tmp_path / "data", COUNTER, **options) as server, connected(server.address, token) as client:
            await client.send({"type": "resume", "payload": {"threads": {"t": watcher.seq}}})
            await trio.Path(f"{notes}.go").touch()
            with trio.fail_after(100):
                await watcher.until(client, run_ended)
    (done,) = watcher.kinds("tool_completed")
    assert (done["status"], done["result"]) == ("ok", "counted to 3")
    assert lines_of(notes).count("begun") == 1
    check_arc(watcher.events)


async def test_a_task_whose_run_is_stopped_is_cancelled(serve_client: Any, main: Path, notes: Path) -> None:
    async with tasks_server(main, notes, free_port()) as address:
        async with serve_client(
            calling(mcp(address, name="tasks", timeout_s=100), ("tasks_count", {"to": 3}))
        ) as client:
            began = await client.ask("go", agent_type="script", thread_id="t", until="tool_executing")
            await noted(notes, "polled")
            await client.send({"type": "cancel", "payload": {"run_id": began["run_id"]}})
            await ended(client)
            await noted(notes, "cancelled")
        assert client.seen[-1]["data"]["status"] == "cancelled"
        assert lines_of(notes).count("cancelled") == 1
