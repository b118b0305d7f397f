"""Files that tools make: announced by the call and the answer, kept in the history, previewed, and downloaded."""

from typing import Any

import msgspec

from tests.end_to_end.chat_client import check_arc, connected
from tests.end_to_end.http import multipart, new_token, request
from tests.end_to_end.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, AgentTurn, ToolContext, ToolError, tool

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
EVIL = b"<html><script>alert(1)</script>\n"


@tool
async def report(context: ToolContext) -> str:
    """Make two files."""
    await context.files.save("Umsätze.csv", "text/csv", b"month,sales\n" + b"2025-01,3\n" * 80)
    await context.files.save("page.html", "text/html", EVIL)
    return "Made."


@tool
async def draw(context: ToolContext) -> str:
    """Make a picture, and fail."""
    await context.files.save("plot.png", "image/png", PNG)
    raise ToolError("tool_failed", "The plotter jammed.")


async def by_hand(turn: AgentTurn) -> None:
    """Save a file without a tool."""
    await turn.files.save("own.txt", "text/plain", b"by hand")
    await turn.say("Saved.")


async def test_the_user_is_told_of_made_files_and_fetches_them(serve: Any) -> None:
    """Also those of a call that failed; they are in the history too. No other user has them."""
    model = ScriptedModel(Call([("report", {}), ("draw", {})]), Say("Done"))
    running = await serve(Agent("script", tools=[report, draw], model=model), Agent("hand", run=by_hand))
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="t")
        final = await client.until_end()
        check_arc(client.durable())
        ended = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
        await client.say("go", agent_type="hand", thread_id="h")
        own = (await client.until_end())["data"]["data"]["files"]

    made = final["data"]["data"]["files"]
    assert sorted(each["name"] for each in made) == ["Umsätze.csv", "page.html", "plot.png"]
    assert {each["tool_name"]: len(each["files"]) for each in ended} == {"report": 2, "draw": 1}
    _, _, history = await request(running.address, "GET", "/api/threads/t/messages", token=token)
    assert history["messages"][-1]["files"] == made
    assert [each["name"] for each in own] == ["own.txt"]

    ids = {each["name"]: each["id"] for each in made}
    _, _, table = await request(running.address, "GET", f"/api/files/{ids['Umsätze.csv']}/preview", token=token)
    assert (table["kind"], table["columns"], table["rows"][0], len(table["rows"]), table["cut"]) == (
        "table", ["month", "sales"], ["2025-01", "3"], 50, True,
    )  # fmt: skip
    _, _, page = await request(running.address, "GET", f"/api/files/{ids['page.html']}/preview", token=token)
    assert (page["kind"], page["language"]) == ("text", "html")
    assert page["text"] == EVIL.decode()
    _, _, plot = await request(running.address, "GET", f"/api/files/{ids['plot.png']}/preview", token=token)
    assert (plot["kind"], plot["image_type"]) == ("image", "image/png")

    status, headers, body = await request(running.address, "GET", f"/api/files/{ids['page.html']}", token=token)
    assert (status, body, headers["content-type"]) == (200, EVIL, "application/octet-stream")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    _, headers, _ = await request(running.address, "GET", f"/api/files/{ids['Umsätze.csv']}", token=token)
    assert "filename*=UTF-8''Ums%C3%A4tze.csv" in headers["content-disposition"]
    for path in (f"/api/files/{ids['plot.png']}", f"/api/files/{ids['plot.png']}/preview"):
        assert (await request(running.address, "GET", path, token=await new_token(running)))[0] == 404

    _, _, export = await request(running.address, "GET", "/api/threads/t/export", token=token)
    whole = export if isinstance(export, dict) else msgspec.json.decode(export)
    assert sorted(each["id"] for each in whole["files"]) == sorted(ids.values())


async def test_a_table_that_only_a_database_reads_is_previewed(serve: Any, tmp_path: Any) -> None:
    """A Parquet file has its first rows; one that is broken has none, and is no error."""
    import duckdb

    path = tmp_path / "t.parquet"
    duckdb.sql(f"COPY (SELECT range AS n, 'a' || range AS t FROM range(60)) TO '{path}' (FORMAT parquet)")
    running = await serve()
    token = await new_token(running)
    kinds = []
    for content in (path.read_bytes(), b"PAR1" + b"\0" * 40):
        body, kind = multipart("t.parquet", content)
        _, _, file = await request(running.address, "POST", "/api/files", token=token, body=body, content_type=kind)
        _, _, shown = await request(running.address, "GET", f"/api/files/{file['id']}/preview", token=token)
        kinds.append((shown["kind"], shown["columns"], shown["rows"][:1]))
    assert kinds == [("table", ["n", "t"], [[0, "a0"]]), ("none", [], [])]
