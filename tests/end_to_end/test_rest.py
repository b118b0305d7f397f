"""The HTTP API over real sockets: the page, threads, files, agents, operations, errors."""

import gzip
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.rigs.chat_client import connected
from tests.rigs.http import get, handshake, new_token, request, upload
from tests.rigs.scripted_model import Gate, Parcel, Say, scripted
from understudy.agents.agent import BUILTIN
from understudy.extensions.files.settings import FileSettings


@pytest.mark.promise("wire.endpoint-page")
async def test_the_page_comes_with_a_strict_policy_and_nothing_from_elsewhere(serve: Any) -> None:
    running = await serve()
    status, headers, page = await request(running.address, "GET", "/")
    assert status == 200
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert "unsafe" not in str(policy)
    assert (policy["default-src"], policy["img-src"]) == ("'none'", "'self' blob:")
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "understudy")
    for feature in ("camera", "microphone", "geolocation", "payment", "usb"):
        assert f"{feature}=()" in headers["permissions-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    for quote in ('src="', 'href="'):
        for piece in page.split(quote)[1:]:
            name = piece.partition('"')[0]
            if name.startswith("/"):
                assert (await request(running.address, "GET", name))[0] == 200, name
            assert "//" not in name


async def test_the_list_of_agents_is_compressed_for_who_accepts_that(serve_guest: Any) -> None:
    running, token = await serve_guest()
    listed = await get(running, "/api/agents", token)

    def compressed() -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
        sent = urllib.request.Request(f"{running.address}/api/agents", headers=headers)
        with urllib.request.urlopen(sent, timeout=30) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            return json.loads(gzip.decompress(answer.read()))

    assert await trio.to_thread.run_sync(compressed) == listed


@pytest.mark.promise("wire.endpoint-threads")
async def test_threads_are_listed_searched_renamed_and_deleted(serve_guest: Any) -> None:
    running, token = await serve_guest()
    async with connected(running.address, token) as client:
        await client.ask("What is 2 + 2? About zebras.", thread_id="a&b c")

    async def call(method: str, path: str, **body: Any) -> Any:
        return await request(running.address, method, path, token=token, body=body)

    status, _, matches = await call("GET", "/api/threads?query=zebras")
    assert (status, [thread["id"] for thread in matches["threads"]]) == (200, ["a&b c"])
    assert (await call("GET", "/api/threads?query=giraffes"))[2]["threads"] == []
    assert (await call("PATCH", "/api/threads/a%26b%20c", title=" New   title "))[2]["title"] == "New title"
    assert (await call("PATCH", "/api/threads/a%26b%20c", title="x" * 40_000))[0] == 413
    status, _, history = await call("GET", "/api/threads/a%26b%20c/messages")
    assert [message["role"] for message in history["messages"]] == ["user", "assistant"]
    assert "4" in history["messages"][1]["content"]
    status, _, log = await call("GET", "/api/threads/a%26b%20c/events?after=1")
    assert [event["seq"] for event in log["events"]] == list(range(2, log["last_seq"] + 1))
    assert (await call("DELETE", "/api/threads/a%26b%20c"))[0] == 204
    assert (await call("GET", "/api/threads/a%26b%20c/messages"))[0] == 404


@pytest.mark.promise("wire.endpoint-threads")
async def test_threads_have_tags_by_which_they_are_found(serve_guest: Any) -> None:
    running, token = await serve_guest()
    async with connected(running.address, token) as client:
        for thread in ("a", "b"):
            await client.ask("Hello", thread_id=thread)

    async def call(method: str, path: str, **body: Any) -> Any:
        return await request(running.address, method, path, token=token, body=body)

    async def threads_of(query: str) -> list[str]:
        return [thread["id"] for thread in (await call("GET", f"/api/threads?{query}"))[2]["threads"]]

    status, _, thread = await call("PATCH", "/api/threads/a", tags=["Work", "#Holiday plans", "work"])
    assert (status, thread["tags"]) == (200, ["work", "holiday-plans"])
    assert (await call("PATCH", "/api/threads/b", tags=["work"]))[2]["tags"] == ["work"]
    assert await threads_of("tag=work") == ["b", "a"]
    assert await threads_of("tag=%23Work&tag=holiday-plans") == ["a"]
    assert await threads_of("tag=work&query=giraffes") == []
    tags = [{"tag": "work", "threads": 2}, {"tag": "holiday-plans", "threads": 1}]
    assert (await call("GET", "/api/tags"))[2] == {"tags": tags}
    assert (await request(running.address, "GET", "/api/tags", token=await new_token(running)))[2] == {"tags": []}
    for wrong in (["a!"], ["x" * 33], [f"t{number}" for number in range(9)], "work", [1]):
        status, _, refused = await call("PATCH", "/api/threads/a", title="Not this", tags=wrong)
        assert (status, refused["error"]["code"]) == (400, "invalid_command")
    assert (await call("GET", "/api/threads?tag=a!"))[0] == 400
    status, _, refused = await call("PATCH", "/api/threads/a", title="Not this", tags=["fine", "AKIAQWERTYUIOPASDFGH"])
    assert (status, refused["error"]["code"]) == (422, "content_blocked")
    kept = (await call("GET", "/api/threads/a"))[2]
    assert (kept["title"], kept["tags"]) == ("Hello", ["work", "holiday-plans"])
    exported = (await call("GET", "/api/threads/a/export?format=json"))[2]
    assert exported["thread"]["tags"] == ["work", "holiday-plans"]
    assert (await call("PATCH", "/api/threads/a", tags=[]))[2]["tags"] == []
    assert await threads_of("tag=work") == ["b"]


@pytest.mark.promise("wire.event-thread-changed")
async def test_a_changed_thread_is_announced_to_the_other_devices_of_its_user(serve: Any) -> None:
    running = await serve()
    ada, bob = await new_token(running), await new_token(running)

    async def patch(status: int, token: str = ada, **body: Any) -> None:
        assert (await request(running.address, "PATCH", "/api/threads/a", token=token, body=body))[0] == status

    def announced(client: Any) -> list[Any]:
        return [(event["thread_id"], event["data"]) for event in client.seen if event["type"] == "thread_changed"]

    async with connected(running.address, ada) as laptop:
        await laptop.ask("Hello", thread_id="a")
        async with connected(running.address, ada) as phone, connected(running.address, bob) as other:
            changes: dict[str, Any] = {"pinned": True, "archived": True, "title": "B", "tags": ["c"]}
            for name, value in changes.items():
                await patch(200, **{name: value})
                await phone.until("thread_changed")
                await laptop.until("thread_changed")
            await patch(400, tags=["a!"])
            await patch(404, bob, pinned=True)
            for token, status in ((bob, 404), (ada, 204)):
                assert (await request(running.address, "DELETE", "/api/threads/a", token=token))[0] == status
            for client in (laptop, phone, other):
                await client.send({"type": "ping"})
                await client.until("pong")
            assert announced(laptop) == announced(phone) == [("a", {})] * len(changes) + [("a", {"deleted": True})]
            assert announced(other) == []


@pytest.mark.promise("wire.endpoint-threads")
async def test_another_user_sees_nothing(serve: Any) -> None:
    running = await serve()
    ada, bob = await new_token(running), await new_token(running)
    async with connected(running.address, ada) as client:
        await client.ask("Hello", thread_id="diary")
    _, file = await upload(running, ada)
    for path in ("/api/threads/diary", "/api/threads/diary/events", f"/api/files/{file['id']}"):
        assert (await request(running.address, "GET", path, token=ada))[0] == 200
        assert (await request(running.address, "GET", path, token=bob))[0] == 404
    assert (await request(running.address, "GET", "/api/threads", token=bob))[2]["threads"] == []


@pytest.mark.promise("owasp.binary")
async def test_an_uploaded_file_comes_back_as_a_download_only(serve_guest: Any) -> None:
    running, token = await serve_guest()
    content = b"<script>alert(1)</script>"
    status, file = await upload(running, token, "../../etc/x.html", content, "text/html")
    assert (status, file["name"], file["size"]) == (201, "x.html", len(content))
    status, headers, back = await request(running.address, "GET", f"/api/files/{file['id']}", token=token)
    assert (status, back) == (200, content)
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")


@pytest.mark.promise("wire.error-of-a-file")
async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(serve_guest: Any, tmp_path: Path) -> None:
    running, token = await serve_guest(own={FileSettings: FileSettings(100_000)})
    for size in (100_001, 1_000_000):
        status, answer = await upload(running, token, "big.csv", b"x" * size)
        assert (status, answer["error"]["code"]) == (413, "file_too_large"), size
    files = trio.Path(tmp_path / "data" / "files")
    assert not await files.exists() or not list(await files.iterdir())


@pytest.mark.promise("wire.error-of-a-file", "wire.error-no-insides")
async def test_every_bad_request_has_a_code_a_sentence_and_an_id(serve_guest: Any) -> None:
    running, token = await serve_guest()
    cases = [
        ("GET", "/api/threads", None, b"", 401, "unauthenticated"),
        ("GET", "/api/nothing", token, b"", 404, "not_found"),
        ("POST", "/api//commands", token, b"{}", 404, "not_found"),
        ("PUT", "/api/threads", token, b"", 405, "invalid_command"),
        ("GET", "/page/frame/../../config.py", token, b"", 404, "not_found"),
        ("GET", "/page/../config.py", token, b"", 404, "not_found"),
        ("GET", "/page/%2e%2e%2fconfig.py", token, b"", 404, "not_found"),
        ("GET", "/api/threads?limit=many", token, b"", 400, "invalid_command"),
        ("GET", "/api/threads?limit=100000", token, b"", 400, "invalid_command"),
        ("GET", "/api/threads?cursor=nonsense", token, b"", 400, "invalid_command"),
        ("GET", "/api/threads/nowhere/messages", token, b"", 404, "not_found"),
        ("GET", "/api/files/nowhere", token, b"", 404, "not_found"),
        ("POST", "/api/files", token, b"{}", 400, "invalid_file"),
        ("POST", "/api/sessions/refresh", None, b"", 401, "unauthenticated"),
    ]
    for method, path, who, body, status, code in cases:
        got, _, answer = await request(running.address, method, path, token=who, body=body)
        assert (got, answer["error"]["code"]) == (status, code), path
        assert answer["error"]["message"], path
        assert answer["error"]["error_id"], path
        assert ".py" not in json.dumps(answer), path


async def test_an_address_says_which_methods_it_takes(serve: Any) -> None:
    running = await serve()
    status, headers, _ = await request(running.address, "PUT", "/api/threads", token=await new_token(running))
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await request(running.address, "BREW", "/api/threads"))[0] == 501


@pytest.mark.promise("wire.endpoint-sessions")
async def test_a_session_is_renewed_for_the_same_user(serve: Any) -> None:
    running = await serve()
    _, _, first = await request(running.address, "POST", "/api/sessions")
    status, _, second = await request(running.address, "POST", "/api/sessions/refresh", token=first["session_token"])
    assert status == 200
    assert (second["user"], second["session"]) == (first["user"], first["session"])
    assert second["expires_at"] >= first["expires_at"]


@pytest.mark.promise("wire.endpoint-agents")
async def test_agents_and_tools_are_listed_with_their_schemas(serve_guest: Any) -> None:
    running, token = await serve_guest(evolve(scripted(Say("hi")), output_type=Parcel))
    listed = await get(running, "/api/agents", token)
    outputs = {agent["name"]: agent["output"] for agent in listed["agents"]}
    assert outputs.keys() >= set(BUILTIN)
    assert (outputs["script"]["properties"]["carrier"]["type"], outputs["guide"]) == ("string", None)
    assert "No language model is connected" in listed["model"]["notice"]
    named = {tool["name"]: tool["parameters"] for tool in (await get(running, "/api/tools", token))["tools"]}
    assert {"compare_scenarios", "calculate", "sanitize_content", "system_health"} <= named.keys()
    assert all(schema["type"] == "object" for schema in named.values())
    assert list(named["reduce_costs"]["properties"]) == ["percent", "costs", "limit_percent"], "the order of its form"


@pytest.mark.promise("wire.endpoint-operations")
async def test_operations_can_see_health_readiness_and_metrics(serve: Any) -> None:
    running = await serve()
    health = await get(running, "/healthz")
    assert health["status"] == "ok"
    assert {"storage", "conversations", "connections", "observe"} <= health["checks"].keys()
    with trio.fail_after(60):  # a loop that was held is not ready for a while
        while (await request(running.address, "GET", "/readyz"))[0] != 200:
            pass
    async with connected(running.address) as client:
        await client.ask("What is 2 + 2?")
    metrics = await get(running, "/metrics")
    for line in (
        'understudy_runs_total{outcome="success"} 1.0',
        "understudy_runs_without_end 0.0",
        'understudy_tool_calls_total{status="ok",tool="calculate"} 1.0',
        'understudy_events_sent_total{type="final_response"} 1.0',
    ):
        assert line in metrics, line


async def test_a_draining_server_is_not_ready_and_begins_nothing(serve_guest: Any, nursery: trio.Nursery) -> None:
    gate = Gate(open_after=1)
    running, token = await serve_guest(scripted(Say("one two", gate)), grace_s=60.0)
    async with connected(running.address, token) as client:
        await client.ask("go", agent_type="script", until="partial_result")
        nursery.start_soon(running.stop)
        await client.until("drain")
        status, _, answer = await request(running.address, "GET", "/readyz")
        assert (status, answer) == (503, {"status": "leaving"})
        assert (await request(running.address, "GET", "/healthz"))[0] == 200
        body = {"type": "chat", "content": "hello", "thread_id": "late"}
        for path, sent in (("/api/commands", body), ("/api/runs", {"message": "hello", "thread_id": "late"})):
            status, _, answer = await request(running.address, "POST", path, token=token, body=sent)
            assert (status, answer["error"]["code"]) == (503, "busy"), path
        assert (await handshake(running.address, f"/ws?session_token={token}"))[0] == 503
        refused = await client.ask("And now?", thread_id="late", until="error")
        assert (refused["data"]["code"], refused["data"]["retryable"]) == ("busy", True)
        assert (await request(running.address, "GET", "/api/threads/late", token=token))[0] == 404
        gate.opened.set()
