"""Agents with the tools of MCP's reference server (`@modelcontextprotocol/server-everything` from npm)."""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import ChatClient, connected
from tests.end_to_end.test_agui_stock import install
from tests.end_to_end.test_mcp import calling, ended
from tests.servers.needed import free_port, program
from understudy import McpServer, mcp

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")]
STOCK = Path(__file__).resolve().parents[1] / "stock_mcp"
MAIN = Path("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
NAME = "everything"
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
    """Return the server's program."""
    return install(tmp_path_factory.mktemp("stock") / "mcp", STOCK) / MAIN


@asynccontextmanager
async def served(main: Path, transport: str) -> AsyncIterator[McpServer]:
    """Name the server over stdio, or start it and name its address."""
    node = str(program("node", "nodejs"))
    options: dict[str, Any] = {"name": NAME, "approval": False, "start_s": START_S}
    if transport == "stdio":
        yield mcp([node, str(main)], **options)
        return
    port = free_port()
    env = os.environ | {"PORT": str(port)}
    process = await trio.lowlevel.open_process(
        [node, str(main), "streamableHttp"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with trio.fail_after(START_S):
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    await trio.sleep(0.05)
        yield mcp(f"http://127.0.0.1:{port}/mcp", **options)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def named(name: str) -> str:
    """Return our name of one of its tools."""
    return f"{NAME}_{name}"


def completed(client: ChatClient) -> list[dict[str, Any]]:
    """Return the data of the calls that have ended, in their order."""
    return [each["data"] for each in client.seen if each["type"] == "tool_completed"]


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_each_kind_of_tool_and_content_is_understood(serve: Any, main: Path, transport: str) -> None:
    """Texts, images, links, embedded files, structured values, progress, errors, a form of every kind of field."""
    async with served(main, transport) as server:
        calls = [(named(name), arguments) for name, arguments in CALLS]
        running = await serve(calling(server, *calls, ("list_resources", {}), timeout_s=100))
        async with connected(running.address) as client:
            await client.say("go", agent_type="script", thread_id="t")
            asked = (await client.until("question_asked"))["data"]
            fields = asked["schema"]["properties"]
            assert {each["type"] for each in fields.values()} == {"string", "boolean", "integer", "number", "array"}
            answer = {"name": "Ann", "integer": 7, "titledSingleSelectEnum": "hero-2"}
            question = asked["question_id"]
            await client.send({"type": "answer", "payload": {"question_id": question, "answer": answer}})
            await ended(client)
        found = completed(client)
        assert [each["status"] for each in found] == ["ok"] * 9 + ["failed"] + ["ok"] * 2, found
        values = [each["result"] for each in found]
        assert values[:2] == ["Echo: hello", "The sum of 2 and 3 is 5."]
        assert [each.get("media_type") for each in values[2] if isinstance(each, dict)] == ["image/png"]
        assert [each.get("media_type") for each in values[3] if isinstance(each, dict)] == ["image/png"]
        assert values[4].keys() == {"temperature", "conditions", "humidity"}
        assert sum(isinstance(each, dict) and "uri" in each for each in values[5]) == 2
        assert any(isinstance(each, dict) and "file" in each for each in values[6])
        assert values[7]["media_type"] == "application/gzip"
        notes = [each["message"] for each in client.seen if each["type"] == "agent_progress"]
        assert any(named("trigger-long-running-operation") in each for each in notes), notes
        assert "everything_get-sum failed" in found[9]["result_summary"]
        assert "Ann" in str(values[10])
        assert "hero-2" in str(values[10])
        assert len(values[11]) >= 7
        if transport == "stdio":
            assert "NODE" not in str(values)
