"""Tables of many users at once, through the offline model and the real tools: each user reads only their own rows."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.chat_client import ChatClient, check_arc, connected
from tests.end_to_end.http import multipart, request


async def attach(address: str, client: ChatClient, name: str, content: bytes) -> str:
    """Upload a file for the client's user. Return its id."""
    token = client.seen[0]["data"]["session_token"]
    body, kind = multipart(name, content)
    status, _, file = await request(address, "POST", "/api/files", token=token, body=body, content_type=kind)
    assert status == 201
    return str(file["id"])


async def test_ten_users_with_tables_of_their_own_see_no_row_of_anybody_else(serve: Any) -> None:
    """Ten users query their own file at the same time."""
    running = await serve()

    async def one(number: int) -> None:
        async with connected(running.address) as client:
            mine = f"zebra{number}-{uuid.uuid4().hex}"
            file = await attach(running.address, client, "mine.csv", f"name,number\n{mine},{number}\n".encode())
            await client.say("SELECT * FROM data", references=[file])
            final = await client.until_end()
            check_arc(client.durable())
            assert mine in json.dumps(final)
            text = json.dumps(client.seen)
            assert text.count("zebra") == text.count(mine)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(one, number)


async def test_the_story_of_the_readme_over_the_wire(serve: Any, csv_of_sales: Path) -> None:
    """The guide hands over, the table is profiled and charted, and the answer has the chart."""
    running = await serve()
    async with connected(running.address) as client:
        file = await attach(running.address, client, "sales.csv", await trio.Path(csv_of_sales).read_bytes())
        await client.say("profile this table and chart sales by month", references=[file])
        final = await client.until_end()
        check_arc(client.durable())
    kinds = [event["type"] for event in client.durable()]
    assert kinds.count("agent_handoff") == 1
    tools = {event["data"]["tool_name"] for event in client.durable() if event["type"] == "tool_completed"}
    assert tools == {"profile_table", "answer_question"}
    assert (final["agent_type"], final["pillar"]) == ("liaison", "insights")
    assert final["data"]["visualization"]["svg"].startswith("<svg")
    assert "48 rows" in final["data"]["message"]


@pytest.mark.promise("wire.error-of-a-tool", "owasp.binary")
@pytest.mark.parametrize(
    ("name", "content", "ask", "code"),
    [
        ("x.csv", b"\x89PNG\r\n\x1a\n\0\0\0", "profile this table", "invalid_table"),
        ("x.csv", b"a,b\n1,2\n", "DROP TABLE data", "query_refused"),
        ("x.csv", b"a,b\n1,2\n", "SELECT nothing FROM data", "query_failed"),
        ("x.csv", b"a,b\n1,2\n", "SELECT * FROM read_csv('/etc/passwd')", "query_refused"),
    ],
)
async def test_a_table_or_a_query_that_is_none_has_a_code_of_its_own(
    serve: Any, name: str, content: bytes, ask: str, code: str
) -> None:
    """The tool fails with its code and a sentence, the run still ends in an answer, and no internals are shown."""
    running = await serve()
    async with connected(running.address) as client:
        file = await attach(running.address, client, name, content)
        await client.send({"agent_type": "liaison", "pillar": "insights", "message": ask, "references": [file]})
        final = await client.until_end()
        check_arc(client.durable())
    failed = [event["data"] for event in client.durable() if event["type"] == "tool_completed"]
    assert [data["result"]["error"]["code"] for data in failed] == [code]
    assert final["type"] == "final_response"
    assert str(Path(running.store.database.path).parent) not in json.dumps(client.seen)
