"""Links to conversations: anybody reads a snapshot as it is stored, and nothing else; only its owner rules it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.audited_actions import ADA, Case, ask, check_case, talked
from tests.rigs.caller import Caller
from tests.rigs.detectors import PEOPLE_ONLY, PERSON, WITH_PLACEHOLDERS, policy
from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import served
from tests.rigs.http import new_token, request
from tests.rigs.making_tool import EVIL, report
from tests.rigs.process import started
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from tests.rigs.server_pair import Begin, token_of
from understudy import Agent
from understudy.app.server import Running
from understudy.extensions.shares.settings import ShareSettings
from understudy.storage.acts import Act

ON: dict[type[Any], Any] = {ShareSettings: ShareSettings(links=True)}
GONE = "This link does not exist any more."
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", (DOCS / "extensions/shares.md").read_text(), re.DOTALL)[0])


async def linked(running: Running) -> dict[str, str]:
    await talked(running)
    _, share = await ask(running, ADA, "POST", "/api/threads/t/shares", days=1)
    return {"share": share["share_id"]}


ACTS = [
    Case("share.made", ("POST", "/api/threads/t/shares"), {"days": 1}, {"share": ...}, talked, status=201),
    Case("share.revoked", ("DELETE", "/api/shares/{share}"), {}, {"share": ...}, linked, status=204),
]


async def ran(caller: Caller, thread_id: str, message: str) -> str:
    started = await caller.post("/api/runs", message=message, agent="script", thread_id=thread_id)
    assert (await caller.ended(started["run_id"]))["status"] == "success"
    return str(started["run_id"])


async def shared(running: Any, path: str, query: str = "", status: int = 200) -> Any:
    """Read behind a link as a stranger does: without a token."""
    answered, headers, body = await request(running.address, "GET", path.replace("/share/", "/api/shared/") + query)
    assert answered == status, body
    assert headers["cache-control"] == "no-store"
    return body


async def is_gone(running: Any, path: str) -> bool:
    """Return whether a link is answered as one that never was."""
    body = await shared(running, path, status=404)
    status, _, page = await request(running.address, "GET", path)
    assert "<!doctype html>" in page
    return (status, body["error"]["message"]) == (404, GONE)


@pytest.mark.promise("wire.endpoint-shares")
async def test_a_stranger_reads_a_snapshot_until_it_is_revoked(serve: Any) -> None:
    echoing = scripted(Call([("echo", {"text": "innermost"})]), Say("**four**"), Say("later"), Say("last"))
    running = await serve(echoing, own=ON)
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    await ran(ada, "t", "What is 2 + 2?")
    share = await ada.post("/api/threads/t/shares", 201, days=2)
    assert set(share) == set(EXAMPLE)
    assert re.fullmatch(r"/share/[\w-]{32}", share["path"])
    assert share["expires_at"] - share["created_at"] == pytest.approx(2 * 86_400, abs=1)
    await ran(ada, "t", "And later?")
    snapshot = await shared(running, share["path"])
    assert [message["role"] for message in snapshot["messages"]] == ["user", "assistant"]
    question, answer = snapshot["messages"]
    assert (question["content"], answer["content"].strip()) == ("What is 2 + 2?", "**four**")
    assert (snapshot["older"], snapshot["title"]) == (None, "What is 2 + 2?")
    assert "innermost" not in json.dumps(snapshot)
    status, headers, page = await request(running.address, "GET", share["path"])
    assert (status, headers["x-robots-tag"], headers["referrer-policy"]) == (200, "noindex, nofollow", "no-referrer")
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "set-cookie" not in headers
    assert "four" not in page
    listed = await ada.get("/api/threads/t/shares")
    assert listed == {"shares": [{name: share[name] for name in ("share_id", "thread_id", "created_at", "expires_at")}]}
    assert await bob.get("/api/threads/t/shares") == {"shares": []}
    await bob.post("/api/threads/t/shares", 404, days=2)
    await bob.send("DELETE", f"/api/shares/{share['share_id']}", 404)
    await shared(running, f"/share/{share['share_id']}", status=404)
    exported = await ada.get("/api/me/export")
    (thread,) = [entry for entry in exported["threads"] if entry["thread"]["id"] == "t"]
    assert thread["shares"] == listed["shares"]
    assert share["path"].removeprefix("/share/") not in json.dumps(exported)
    await ada.send("DELETE", f"/api/shares/{share['share_id']}", 204)
    assert await is_gone(running, share["path"])
    assert await is_gone(running, "/share/never")
    await ada.send("DELETE", f"/api/shares/{share['share_id']}", 404)


async def test_links_go_with_their_thread_and_their_user(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one"), Say("two")), own=ON)
    ada = Caller(running, token)
    paths = []
    for thread_id in ("a", "b"):
        await ran(ada, thread_id, "go")
        paths.append((await ada.post(f"/api/threads/{thread_id}/shares", 201, days=1))["path"])
    await ada.send("DELETE", "/api/threads/a", 204)
    assert await is_gone(running, paths[0])
    assert (await shared(running, paths[1]))["title"] == "go"
    await ada.send("DELETE", "/api/me", confirm=(await ada.get("/api/me"))["user"])
    assert await is_gone(running, paths[1])


async def test_what_was_redacted_stays_redacted_for_strangers(serve: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"scrub_policy": policy(tmp_path, WITH_PLACEHOLDERS), "own": ON}
    running = await serve(scripted(Say("You are [email-1].")), detectors=PEOPLE_ONLY, **settings)
    ada = Caller(running, await new_token(running))
    await ran(ada, "t", f"I am {PERSON}.")
    of_owner = await ada.get("/api/threads/t/messages")
    assert PERSON in json.dumps(of_owner), "its user sees it"
    of_stranger = json.dumps(await shared(running, (await ada.post("/api/threads/t/shares", 201, days=1))["path"]))
    assert PERSON not in of_stranger
    assert of_stranger.count("[email-1]") >= 2


async def test_a_long_conversation_is_read_page_by_page(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.shares.routes.TURNS", 1)
    running = await serve(scripted(Say("one"), Say("two")), own=ON)
    ada = Caller(running, await new_token(running))
    for message in ("first", "second"):
        await ran(ada, "t", message)
    path = (await ada.post("/api/threads/t/shares", 201, run_id=None))["path"]
    last = await shared(running, path)
    assert (last["messages"][0]["content"], last["older"]) == ("second", 1)
    first = await shared(running, path, f"?skip={last['older']}")
    assert (first["messages"][0]["content"], first["older"]) == ("first", None)
    await shared(running, path, "?skip=-1", 400)


async def test_files_made_for_an_answer_are_behind_its_link(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.shares.routes.TURNS", 1)
    model = ScriptedModel(Call([("report", {})]), Say("made"))
    running = await serve(Agent("script", tools=[report], model=model), own=ON)
    ada = Caller(running, await new_token(running))
    await ran(ada, "t", "first")
    await ran(ada, "t", "second")
    path = (await ada.post("/api/threads/t/shares", 201, days=1))["path"]
    await ran(ada, "t", "third")
    rows = (await ada.get("/api/threads/t/messages"))["messages"]
    files, other, later = [row["files"] for row in rows if row["role"] == "assistant"]
    ids = {file["name"]: file["id"] for file in files}
    assert (await shared(running, path))["messages"][1]["files"] == other
    assert (await shared(running, path, "?skip=1"))["messages"][1]["files"] == files
    table = await shared(running, f"{path}/files/{ids['Umsätze.csv']}/preview", "?skip=1")
    assert (table["kind"], table["columns"]) == ("table", ["month", "sales"])
    assert await shared(running, f"{path}/files/{ids['page.html']}", "?skip=1") == EVIL
    _, headers, _ = await request(
        running.address, "GET", f"{path.replace('/share/', '/api/shared/')}/files/{ids['page.html']}?skip=1"
    )
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-type"] == "application/octet-stream"
    for name, query in (
        (ids["page.html"], ""), (other[0]["id"], "?skip=1"), (later[0]["id"], ""), ("none", "?skip=1"),
    ):  # fmt: skip
        body = await shared(running, f"{path}/files/{name}", query, 404)
        assert body["error"]["message"] == "There is no such file behind this link."


async def test_a_server_makes_no_links_unless_it_is_told_to(tmp_path: Path) -> None:
    async with served(tmp_path, [scripted(Say("one"))], own=ON) as running:
        ada = Caller(running, await new_token(running))
        assert (await ada.get("/api/agents"))["settings"]["shares.links"] is True
        await ran(ada, "t", "go")
        for days in (0, 366, "x"):
            await ada.post("/api/threads/t/shares", 400, days=days)
        path = (await ada.post("/api/threads/t/shares", 201, days=1))["path"]
        assert (await shared(running, path))["title"] == "go"
    async with served(tmp_path, [scripted(Say("one"))]) as running:
        ada.running = running
        assert await is_gone(running, path)
        assert (await ada.get("/api/agents"))["settings"]["shares.links"] is False
        await ada.post("/api/threads/t/shares", 403, days=1)
        (left,) = (await ada.get("/api/threads/t/shares"))["shares"]
        await ada.send("DELETE", f"/api/shares/{left['share_id']}", 204)


async def test_a_link_of_one_server_is_read_and_revoked_at_another(begin: Begin) -> None:
    two = await begin(scripted(Say("one")), own=ON)
    at_a, at_b = Caller(two.a, token_of()), Caller(two.b, token_of())
    await ran(at_a, "t", "go")
    share = await at_a.post("/api/threads/t/shares", 201, days=2)
    assert [message["role"] for message in (await shared(two.b, share["path"]))["messages"]] == ["user", "assistant"]
    await at_b.send("DELETE", f"/api/shares/{share['share_id']}", 204)
    assert await is_gone(two.a, share["path"])


@pytest.mark.parametrize("case", ACTS, ids=lambda case: case.action)
async def test_a_change_has_an_entry_in_the_audit_log(serve: Any, case: Case, tmp_path: Path) -> None:
    await check_case(serve, case, tmp_path, own=ON)
    assert {case.action for case in ACTS} == {act for act in Act.known if act.startswith("share.")}


async def test_while_the_extension_is_off_links_are_kept_and_go_with_their_threads(tmp_path: Path) -> None:
    """Its paths are unknown, an export has its rows; on again, the link of the thread that is left is there."""
    on = {"UNDERSTUDY_SHARES_LINKS": "true"}
    async with started(tmp_path / "data", **on) as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        ada = Caller(server, session["session_token"])
        share = {}
        for thread_id in ("stays", "goes"):
            run = await ada.post("/api/runs", message="What is 2 + 2?", thread_id=thread_id)
            await ada.ended(run["run_id"])
            share[thread_id] = await ada.post(f"/api/threads/{thread_id}/shares", 201, days=1)
        await server.kill()
    async with started(tmp_path / "data", UNDERSTUDY_EXTENSIONS="-shares") as ada.running:
        for path in (share["stays"]["path"], share["stays"]["path"].replace("/share/", "/api/shared/")):
            assert (await request(ada.running.address, "GET", path))[0] == 404
        await ada.get("/api/threads/stays/shares", 404)
        assert "shares.links" not in (await ada.get("/api/agents"))["settings"]
        await ada.send("DELETE", "/api/threads/goes", 204)
        (left,) = (await ada.get("/api/threads/stays/export"))["shares"]
        assert (left["share_id"], left["thread_id"]) == (share["stays"]["share_id"], "stays")
    async with started(tmp_path / "data", **on) as ada.running:
        assert (await shared(ada.running, share["stays"]["path"]))["title"] == "What is 2 + 2?"
        assert await is_gone(ada.running, share["goes"]["path"])
