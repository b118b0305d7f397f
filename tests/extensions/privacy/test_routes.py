"""A user's data: exported in both forms, and erased from disk and database without touching other users."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from tests.rigs import tokens
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import get, request, upload
from tests.rigs.marked_text import MARKER, talk, where_marked
from tests.rigs.marked_text import database as database
from tests.rigs.scripted_model import Call, Say, scripted
from understudy.app.server import Running
from understudy.app.settings import Settings
from understudy.content.vault import Vault
from understudy.extensions.frameworks.states import save_state
from understudy.extensions.memory.storage import remember
from understudy.extensions.permissions.consents import allow_tool
from understudy.extensions.privacy import queries
from understudy.extensions.privacy.erasure import Erased, Eraser
from understudy.extensions.privacy.export import Exporter, ExportOptions
from understudy.extensions.privacy.records import FORMAT, VERSION
from understudy.installed import chosen


async def new_user(running: Running) -> tuple[str, str]:
    _, _, body = await request(running.address, "POST", "/api/sessions")
    return str(body["session_token"]), str(body["user"])


async def erase(running: Running, token: str, name: str) -> tuple[int, Any]:
    return (await request(running.address, "DELETE", "/api/me", token=token, body={"confirm": name}))[::2]


def ids(values: Sequence[dict[str, Any]]) -> list[str]:
    return [value["id"] for value in values]


async def test_an_export_has_all_that_a_user_has(serve: Any, database: dict[str, str]) -> None:
    running = await serve(scripted(Call([("echo", {"text": "three"})]), Say("Three.")), **database)
    (token, name), (other, _) = await new_user(running), await new_user(running)
    file_id = (await upload(running, token))[1]["id"]
    async with connected(running.address, token) as client, connected(running.address, other) as stranger:
        first = await talk(client, "count", "t1", message_id="m1", references=[file_id])
        await talk(client, "other", "t2")
        await client.send({"type": "edit", "payload": {"message_id": "m1", "content": "again", "new_message_id": "m2"}})
        await client.until_end()
        await talk(stranger, MARKER, "t1")
    await running.store.commit(remember(name, "guide", "likes", {"tea": True}, 1.0, 4e9))
    await running.store.commit(allow_tool(name, "t1", "send_mail", 5.0))
    await running.store.commit(save_state(name, "t1", "r", 6.0, (("at", b"\x00\xff"),)))
    _, headers, export = await request(running.address, "GET", "/api/me/export?events=1", token=token)
    assert headers["content-disposition"] == "attachment; filename=conversations.json"
    assert (export["format"], export["version"], export["user"], export["tenant"]) == (FORMAT, VERSION, name, None)
    assert ids(export["files"]) == [file_id]
    assert [(context["agent"], context["name"], context["value"]) for context in export["contexts"]] == [
        ("guide", "likes", {"tea": True})
    ]
    assert sorted(entry["thread"]["id"] for entry in export["threads"]) == ["t1", "t2"]
    (thread,) = [entry for entry in export["threads"] if entry["thread"]["id"] == "t1"]
    assert ids(thread["files"]) == [file_id]
    assert thread["consents"] == [{"tool_name": "send_mail", "given_at": 5.0, "definition": ""}]
    assert thread["agent_states"] == [{"run_id": "r", "key": "at", "body": "AP8=", "updated_at": 6.0}]
    assert [(message["role"], message["parent_id"], message["branch_of"]) for message in thread["messages"]] == [
        ("user", None, None), ("assistant", "m1", None), ("user", None, "m1"), ("assistant", "m2", None),
    ]  # fmt: skip
    (run,) = thread["messages"][0]["runs"]
    assert (run["run_id"], run["status"]) == (first["run_id"], "success")
    steps = [(step["kind"], step["name"], step["status"]) for step in run["steps"]]
    assert ("tool", "echo", "ok") in steps
    assert [event["seq"] for event in thread["events"]] == list(range(1, thread["thread"]["last_seq"] + 1))
    assert MARKER not in json.dumps(export)
    alone = await get(running, "/api/threads/t1/export?events=1", token)
    assert {**thread, "format": FORMAT, "version": VERSION} == {k: v for k, v in alone.items() if k != "exported_at"}
    _, headers, text = await request(running.address, "GET", "/api/me/export?format=markdown", token=token)
    assert headers["content-type"].startswith("text/markdown")
    assert re.findall(r"^#+ .*$", text, re.MULTILINE)[0].startswith("# Conversations of ")
    assert "(branch: instead of 1, from the beginning)" in text
    assert MARKER not in text
    assert (await request(running.address, "GET", "/api/me/export?format=xml", token=token))[0] == 400
    assert (await request(running.address, "GET", "/api/me/export"))[0] == 401


async def test_erasing_a_user_leaves_nothing_and_keeps_other_users_data(
    serve: Any, database: dict[str, str], tmp_path: Path
) -> None:
    running = await serve(scripted(Call([("wait", {})])), **database)
    (token, name), (other, _) = await new_user(running), await new_user(running)
    file_id = (await upload(running, token, f"{MARKER}.csv", f"{MARKER},b\n1,2\n".encode()))[1]["id"]
    kept_file = (await upload(running, other, "kept.csv", b"kept,b\n1,2\n"))[1]["id"]
    async with connected(running.address, token) as client, connected(running.address, other) as stranger:
        await talk(stranger, "stays", "t1", agent_type="guide")
        await talk(client, f"{MARKER} one", "t1", agent_type="guide", message_id="m1", references=[file_id])
        await running.store.commit(remember(name, "guide", "likes", MARKER, 1.0, 4e9))
        await client.ask(f"{MARKER} two", agent_type="script", thread_id="t2", until="tool_executing")
        assert where_marked(database, tmp_path / "data")
        assert (await erase(running, token, "somebody"))[0] == 400
        assert (await request(running.address, "GET", "/api/threads/t1", token=token))[0] == 200
        with trio.fail_after(60):
            assert await erase(running, token, name) == (200, {"threads": 2, "files": 1})
        assert (await client.until_end())["data"]["status"] == "cancelled"
        check_arc([event for event in client.durable() if event["thread_id"] == "t2"])
        assert where_marked(database, tmp_path / "data") == []
        assert await client.until_closed() == 4401
        for path in ("/api/threads", f"/api/files/{file_id}", "/api/me/export"):
            assert (await request(running.address, "GET", path, token=token))[0] == 401
        assert (await get(running, "/api/me/export", other))["threads"][0]["messages"][0]["content"] == "stays"
        assert (await request(running.address, "GET", f"/api/files/{kept_file}", token=other))[0] == 200
        assert (await erase(running, token, name))[0] == 401


async def test_files_are_exported_and_erased_while_their_extension_is_off(
    serve: Any, database: dict[str, str], tmp_path: Path
) -> None:
    running = await serve(scripted(Say("Hm.")), **database)
    token, name = await new_user(running)
    file_id = (await upload(running, token, f"{MARKER}.csv", MARKER.encode()))[1]["id"]
    assert where_marked(database, tmp_path / "data")
    without = Settings(**{"data_dir": tmp_path / "data", "extensions": ("-files", "-shares")} | database)
    store = running.store
    assert "privacy" in chosen(without.extensions)
    user = await store.archive.read(queries.user, name)
    pieces = Exporter(store.archive, Vault(), lambda: 0.0).user(user, ExportOptions())
    assert ids(json.loads(b"".join([piece async for piece in pieces]))["files"]) == [file_id]
    assert await Eraser(store, without, store.delete_thread).user(name) == Erased(0, 1)
    assert where_marked(database, tmp_path / "data") == []


async def test_only_operators_erase_others(serve: Any) -> None:
    running = await serve(scripted(Say("Hm.")), secret=tokens.SECRET)
    token, other, operator = (tokens.token(name, *roles) for name, *roles in (("ann",), ("bob",), ("op", "operator")))
    async with connected(running.address, token) as client:
        await talk(client, "stays", "t1")
    path = "/api/users/ann"
    assert (await request(running.address, "DELETE", path, token=other))[0] == 403
    assert (await request(running.address, "GET", "/api/threads/t1", token=token))[0] == 200
    assert (await request(running.address, "DELETE", path, token=operator))[0] == 200
    assert (await request(running.address, "GET", "/api/threads/t1", token=token))[0] == 401
    assert (await request(running.address, "DELETE", path, token=operator))[0] == 404
