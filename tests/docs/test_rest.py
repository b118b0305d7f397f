"""The examples of the REST page against a real server."""

import json
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import connected, served
from understudy.app.server import Running
from understudy.installed import installed

SHAPES = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", (DOCS / "reference/rest.md").read_text(), re.DOTALL)
]
ERROR, THREAD, TAGS, MEMORY, MESSAGE, TURNS, EXPORT, HEALTH = SHAPES
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def request(
    running: Running, method: str, path: str, token: str | None = None, *, body: str = "", headers: Any = ()
) -> tuple[int, Any]:
    (answer,) = await requests(running, [(method, path, {**dict(headers), **_bearer(token)}, body)])
    return answer


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def requests(running: Running, wanted: list[tuple[str, str, dict[str, str], str]]) -> list[tuple[int, Any]]:
    """Return status and JSON body of several requests over one connection."""

    def work() -> list[tuple[int, Any]]:
        connection = HTTPConnection(running.address.removeprefix("http://"), timeout=10)
        answers = []
        for method, path, headers, body in wanted:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answers.append((answer.status, json.loads(answer.read() or b"null")))
        connection.close()
        return answers

    return await trio.to_thread.run_sync(work)


async def test_the_examples_have_the_shapes_of_real_answers(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        status, session = await request(running, "POST", "/api/sessions")
        assert (status, set(session)) == (201, {"anonymous", "expires_at", "session", "session_token", "user"})
        token = session["session_token"]
        async with connected(running, token) as peer:
            await peer.ask("What is 15% of 80?")
        path = f"/api/threads/{peer.thread_id}"
        _, listed = await request(running, "GET", "/api/threads", token)
        assert set(listed["threads"][0]) == set(THREAD)
        await request(running, "PATCH", path, token, body='{"tags": ["work"]}')
        _, tags = await request(running, "GET", "/api/tags", token)
        assert (set(tags), set(tags["tags"][0])) == (set(TAGS), set(TAGS["tags"][0]))
        await request(running, "PUT", "/api/memory/household/prefer_euros", token, body='{"value": "I prefer euros"}')
        _, remembered = await request(running, "GET", "/api/memory", token)
        assert (set(remembered), set(remembered["memory"][0])) == (set(MEMORY), set(MEMORY["memory"][0]))
        _, history = await request(running, "GET", f"{path}/messages", token)
        assert [message["role"] for message in history["messages"]] == ["user", "assistant"]
        assert set(history["messages"][1]) == set(MESSAGE)
        assert history["messages"][1]["content"] == MESSAGE["content"]
        _, page = await request(running, "GET", f"{path}/turns", token)
        assert (set(page), set(page["turns"][0])) == (set(TURNS), set(TURNS["turns"][0]))
        assert set(page["turns"][0]["run"]) == set(TURNS["turns"][0]["run"])
        _, export = await request(running, "GET", f"{path}/export", token)
        assert set(export) == set(EXPORT)
        assert set(export["messages"][0]["runs"][0]) == set(EXPORT["messages"][0]["runs"][0])
        _, log = await request(running, "GET", f"{path}/events?after=5", token)
        assert [event["seq"] for event in log["events"]] == [6, log["last_seq"]]
        _, renamed = await request(running, "PATCH", path, token, body='{"title": "Sums"}')
        assert renamed["title"] == "Sums"
        assert (await request(running, "DELETE", path, token))[0] == 204
        status, body = await request(running, "GET", path, token)
        assert (status, body["error"]["code"], set(body["error"])) == (404, "not_found", set(ERROR["error"]))
        _, health = await request(running, "GET", "/healthz")
        assert set(health) == set(HEALTH)
        assert set(health["checks"]) - set(installed()) == set(HEALTH["checks"]) - set(installed())
        with trio.fail_after(60):
            while (ready := await request(running, "GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - it is asked
                await trio.sleep(0.05)
        assert ready == (200, {"status": "ready", "storage": "ok"})


async def test_an_upload_is_named_by_the_server(tmp_path: Path) -> None:
    named = 'form-data; name="file"; filename="s.csv"'
    form = f"--x\r\nContent-Disposition: {named}\r\nContent-Type: text/csv\r\n\r\na,b\n1,2\n\r\n--x--\r\n"
    async with served(tmp_path) as running:
        _, session = await request(running, "POST", "/api/sessions")
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status, kept = await request(
            running, "POST", "/api/files", session["session_token"], body=form, headers=headers
        )
    assert status == 201
    assert {**kept, "id": "…"} == {"id": "…", "media_type": "text/csv", "name": "s.csv", "size": 8}


@pytest.mark.promise("wire.late-upgrade")
async def test_a_late_upgrade_is_served(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        first, second = await requests(running, [("GET", "/healthz", {}, ""), ("GET", "/ws", UPGRADE, "")])
    assert first[0] == 200
    assert second[0] == 101


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("chat.example.org", "https://chat.example.org", 401),
        ("127.0.0.1:8002", "https://chat.example.org", 403),
        ("chat.example.org", "https://app.example.org", 401),
        ("chat.example.org", "https://elsewhere.example.org", 403),
    ],
)
@pytest.mark.parametrize("upgrade", [{}, UPGRADE], ids=["http", "socket"])
async def test_origins_behind_a_proxy(
    tmp_path: Path, host: str, origin: str, status: int, upgrade: dict[str, str]
) -> None:
    async with served(tmp_path, secret="s" * 32, allowed_origins=["https://app.example.org"]) as running:
        headers = {"Host": host, "Origin": origin, **upgrade}
        path = "/ws?session_token=bad" if upgrade else "/api/agents"
        answered, _ = await request(running, "GET", path, headers=headers)
    assert answered == status
