"""The agent on a whole server without a language model: tables of many users at once, charts, and refusals."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import new_token, upload
from understudy.app.server import Running


async def attach(running: Running, client: ChatClient, content: bytes) -> str:
    """Upload a table for the client's user. Return its id."""
    return str((await upload(running, client.seen[0]["data"]["session_token"], "sales.csv", content))[1]["id"])


async def call(client: ChatClient, tool: str, file: str, **arguments: Any) -> dict[str, Any]:
    """Have `insights` make a call, as a form does. Return the end."""
    parameters = {"file_id": file, **arguments}
    await client.say(tool, agent_type="liaison", pillar="insights", settings={"tool": tool}, context=parameters)
    return await client.until_end()


async def test_ten_users_with_tables_of_their_own_see_no_row_of_anybody_else(serve: Any) -> None:
    """Ten users query their own file at the same time."""
    running = await serve()

    async def one(number: int) -> None:
        async with connected(running.address) as client:
            mine = f"zebra{number}-{uuid.uuid4().hex}"
            file = await attach(running, client, f"name,number\n{mine},{number}\n".encode())
            final = await call(client, "query_table", file, sql="SELECT * FROM data")
            check_arc(client.durable())
            assert mine in json.dumps(final)
            text = json.dumps(client.seen)
            assert text.count("zebra") == text.count(mine)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(one, number)


async def test_a_table_given_to_the_guide_is_profiled_and_then_charted(serve: Any, csv_of_sales: Path) -> None:
    """The guide hands over to `insights`; an answer has the chart."""
    running = await serve()
    async with connected(running.address) as client:
        file = await attach(running, client, await trio.Path(csv_of_sales).read_bytes())
        await client.say("Profile the attached table", references=[file])
        profile = await client.until_end()
        chart = await call(client, "chart_table", file, x="month", y="sales")
    kinds = [event["type"] for event in client.durable()]
    assert kinds.count("agent_handoff") == 1
    tools = [event["data"]["tool_name"] for event in client.durable() if event["type"] == "tool_completed"]
    assert tools == ["profile_table", "chart_table"]
    assert (profile["agent_type"], profile["pillar"]) == ("liaison", "insights")
    assert "48 rows" in profile["data"]["message"]
    drawn = chart["data"]["visualization"]
    assert (set(drawn), drawn["title"]) == ({"title", "spec"}, "Sum of sales by month")
    assert len(drawn["spec"]["data"]["values"]) == 12


@pytest.mark.promise("wire.answer-kinds")
@pytest.mark.parametrize(
    ("tool", "arguments", "kind"),
    [
        ("analyse_table", {}, "analysis"),
        ("query_table", {"sql": "SELECT count(*) FROM data"}, "analysis"),
        ("query_table", {"sql": "FROM data LIMIT 3"}, "drill_down"),
        ("chart_table", {"x": "region"}, "visualization"),
    ],
)
async def test_figures_are_an_analysis_rows_a_drill_down_and_a_chart_a_visualization(
    serve: Any, csv_of_sales: Path, tool: str, arguments: dict[str, Any], kind: str
) -> None:
    """In the type of the answer that older clients get."""
    running = await serve()
    token = await new_token(running)
    file = (await upload(running, token, "sales.csv", await trio.Path(csv_of_sales).read_bytes()))[1]["id"]
    async with connected(running.address, token, path="/api/ws/agent", welcome=False) as client:
        payload = {"content": tool, "settings": {"tool": tool}, "context": {"file_id": file, **arguments}}
        await client.send({"type": "start_agent", "agent_type": "liaison", "pillar": "insights", "payload": payload})
        assert (await client.read())["type"] == kind


@pytest.mark.promise("wire.error-of-a-tool", "owasp.binary")
@pytest.mark.parametrize(
    ("content", "tool", "arguments", "code"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "profile_table", {}, "invalid_table"),
        (b"a,b\n1,2\n", "query_table", {"sql": "DROP TABLE data"}, "query_refused"),
        (b"a,b\n1,2\n", "query_table", {"sql": "SELECT nothing FROM data"}, "query_failed"),
        (b"a,b\n1,2\n", "query_table", {"sql": "SELECT * FROM read_csv('/etc/passwd')"}, "query_refused"),
    ],
)
async def test_a_table_or_a_query_that_is_none_has_a_code_of_its_own(
    serve: Any, content: bytes, tool: str, arguments: dict[str, Any], code: str
) -> None:
    """The tool fails with its code and a sentence, the run still ends in an answer, and no internals are shown."""
    running = await serve()
    async with connected(running.address) as client:
        file = await attach(running, client, content)
        final = await call(client, tool, file, **arguments)
        check_arc(client.durable())
    failed = [event["data"] for event in client.durable() if event["type"] == "tool_completed"]
    assert [data["result"]["error"]["code"] for data in failed] == [code]
    assert final["type"] == "final_response"
    assert str(Path(running.store.database.path).parent) not in json.dumps(client.seen)
