"""Files that tools make: announced by the call and the answer, kept in the history, previewed, and downloaded."""

from typing import Any

import msgspec

from tests.rigs.chat_client import connected
from tests.rigs.http import get, new_token, request
from tests.rigs.making_tool import EVIL, report
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, AgentTurn, ToolContext, ToolError, tool

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@tool
async def draw(context: ToolContext) -> str:
    """Make a picture, and fail."""
    await context.files.save("plot.png", "image/png", PNG)
    raise ToolError("tool_failed", "The plotter jammed.")


async def by_hand(turn: AgentTurn) -> None:
    """Save a file without a tool."""
    await turn.files.save("own.txt", "text/plain", b"by hand")
    await turn.say("Saved.")


async def test_the_user_is_told_of_made_files_and_fetches_them(serve_guest: Any) -> None:
    model = ScriptedModel(Call([("report", {}), ("draw", {})]), Say("Done"))
    running, token = await serve_guest(Agent("script", tools=[report, draw], model=model), Agent("hand", run=by_hand))
    async with connected(running.address, token) as client:
        final = await client.ask("go", agent_type="script", thread_id="t", checked=True)
        ended = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
        hand_files = (await client.ask("go", agent_type="hand", thread_id="h"))["data"]["data"]["files"]

    files = final["data"]["data"]["files"]
    assert sorted(file["name"] for file in files) == ["Umsätze.csv", "page.html", "plot.png"]
    assert {call["tool_name"]: len(call["files"]) for call in ended} == {"report": 2, "draw": 1}
    assert (await get(running, "/api/threads/t/messages", token))["messages"][-1]["files"] == files
    assert [file["name"] for file in hand_files] == ["own.txt"]

    ids = {file["name"]: file["id"] for file in files}
    table = await get(running, f"/api/files/{ids['Umsätze.csv']}/preview", token)
    assert (table["kind"], table["columns"], table["rows"][0], len(table["rows"]), table["cut"]) == (
        "table", ["month", "sales"], ["2025-01", "3"], 50, True,
    )  # fmt: skip
    page = await get(running, f"/api/files/{ids['page.html']}/preview", token)
    assert (page["kind"], page["language"]) == ("text", "html")
    assert page["text"] == EVIL.decode()
    plot = await get(running, f"/api/files/{ids['plot.png']}/preview", token)
    assert (plot["kind"], plot["image_type"]) == ("image", "image/png")

    status, headers, body = await request(running.address, "GET", f"/api/files/{ids['page.html']}", token=token)
    assert (status, body, headers["content-type"]) == (200, EVIL, "application/octet-stream")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    _, headers, _ = await request(running.address, "GET", f"/api/files/{ids['Umsätze.csv']}", token=token)
    assert "filename*=UTF-8''Ums%C3%A4tze.csv" in headers["content-disposition"]
    for path in (f"/api/files/{ids['plot.png']}", f"/api/files/{ids['plot.png']}/preview"):
        assert (await request(running.address, "GET", path, token=await new_token(running)))[0] == 404

    export = await get(running, "/api/threads/t/export", token)
    exported = export if isinstance(export, dict) else msgspec.json.decode(export)
    assert sorted(file["id"] for file in exported["files"]) == sorted(ids.values())
