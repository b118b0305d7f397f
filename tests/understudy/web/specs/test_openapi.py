"""The OpenAPI document: complete, valid, and compared with the answers of a real server."""

import json
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio
from openapi_spec_validator import validate

from tests.docs.served import connected, served
from tests.end_to_end.http import multipart, request
from tests.end_to_end.push_service import Device
from transport.wire.codes import ERRORS
from transport.wire.command_parser import COMMANDS
from understudy.app.server import Running
from understudy.app.settings import Settings
from understudy.auth.accounts.invites import digest_of
from understudy.storage.accounts import Account, AddAccount
from understudy.web.api.references import routes_of
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.specs.openapi import OVER_HTTP, ROUTES, SCHEMAS, openapi
from understudy.web.sse import CONNECTIONLESS


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application, without a server around it."""
    nothing: Any = None
    fields = len(WebContext.__attrs_attrs__) - 1
    return build_http_app(WebContext(Settings(data_dir=tmp_path_factory.mktemp("data")), *[nothing] * fields))


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    """The document of that application's routes."""
    return openapi("1.0", routes_of(app))


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """By the official schema of 3.1, and as JSON."""
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert json.loads(json.dumps(document)) == document


def test_the_routes_are_those_of_the_application(app: Any, document: dict[str, Any]) -> None:
    """The paths and methods are those of the application's own table."""
    methods = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", str(rule.rule)), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == methods
    assert set(ROUTES) == {rule.endpoint for rule in app.url_map.iter_rules()}
    for item in document["paths"].values():
        assert all(operation["summary"] for operation in item.values())


def test_errors_have_the_statuses_of_the_registry(document: dict[str, Any]) -> None:
    """Each refusal's description names the codes that have its status."""
    for item in document["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                named = [code for code in ERRORS if f"`{code}`" in answer["description"]]
                assert all(ERRORS[code].http_status == int(status) for code in named)
                of_protocol = int(status) in ROUTES[operation["operationId"]].also
                assert named or of_protocol or int(status) < HTTPStatus.BAD_REQUEST or status == "503"


def test_the_commands_over_http_are_those_the_server_takes() -> None:
    """None that concerns a connection, and all others."""
    assert {COMMANDS[name] for name in OVER_HTTP} == set(CONNECTIONLESS)


def checker(document: dict[str, Any]) -> Callable[[str, str, int, Any], None]:
    """Compares an answer with the document."""

    def check(method: str, path: str, status: int, body: Any) -> None:
        answers = document["paths"][path][method.lower()]["responses"]
        assert str(status) in answers, (method, path, status, body)
        if status >= HTTPStatus.BAD_REQUEST and "error" in body:
            assert f"`{body['error']['code']}`" in answers[str(status)]["description"], (method, path, body)
        content = answers[str(status)].get("content", {})
        if "application/json" in content:
            schema = content["application/json"]["schema"] | {"components": document["components"]}
            jsonschema.validate(body, schema, jsonschema.Draft202012Validator)

    return check


async def test_a_server_with_accounts_answers_what_its_document_says(tmp_path: Path) -> None:
    """An invite that is taken, one that is not, a sign-in, and as many wrong passwords as nobody may try at once."""
    async with served(tmp_path, accounts=True) as running:
        _, _, document = await request(running.address, "GET", "/openapi.json")
        check, seen = checker(document), list[int]()

        async def ask(path: str, method: str = "POST", token: str | None = None, **body: str) -> Any:
            status, _, said = await request(running.address, method, path, token=token, body=json.dumps(body).encode())
            check(method, path, status, said)
            seen.append(status)
            return said

        invited = Account("ada", (), (), "", digest_of("mine"), time.time() + 3600, 1.0)
        await running.store.commit(AddAccount(invited))
        for invite in ("mine", "theirs"):
            await ask("/auth/invite", invite=invite)
        for password in ("short", "tree sky blue lamp", "tree sky blue lamp"):
            await ask("/auth/join", invite="mine", password=password)
        session = await ask("/auth/password", name="ada", password="tree sky blue lamp")
        for old in ("wrong", "tree sky blue lamp"):
            await ask("/auth/password", "PUT", session["session_token"], password=old, new_password="old river stones")
        while seen[-1] != 429:
            await ask("/auth/password", name="ada", password="wrong")
        assert seen[:9] == [200, 404, 400, 201, 404, 201, 403, 200, 401]


@pytest.mark.promise("wire.endpoint-machines")
async def test_a_real_server_answers_what_its_document_says(tmp_path: Path) -> None:
    """Every route, requested once successfully, and most once with an error."""
    async with served(tmp_path, share_links=True) as running:
        status, _, document = await request(running.address, "GET", "/openapi.json")
        assert status == HTTPStatus.OK
        await trio.to_thread.run_sync(validate, document)
        await _ask_all(running, document)


_REFUSED = (
    b"{", b"{}", b'{"type": "dance"}', b'{"type": "chat", "content": ""}',
    b'{"agent_type": "liaison", "message": "hi"}',
    b'{"agent_type": "liaison", "pillar": "none", "message": "hi"}', b'{"agent_type": "nobody", "message": "hi"}',
    b'{"type": "cancel", "run_id": "none"}', b'{"type": "chat", "content": "other", "message_id": "m2"}',
)  # fmt: skip


async def _ask_as_openai(ask: Any, token: str) -> None:
    """Request the routes for clients of OpenAI's API."""
    wanted = json.dumps({"model": "guide", "input": "What is 2 + 2?"}).encode()
    name = (await ask("POST", "/v1/responses", token, body=wanted))["id"]
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    talk = json.dumps({"model": "guide", "messages": messages}).encode()
    await ask("POST", "/v1/chat/completions", token, body=talk)
    for path in ("/v1/responses", "/v1/chat/completions"):
        await ask("POST", path, token, body=b"{}")
        await ask("POST", path, body=wanted)
    await ask("GET", "/v1/models", token)
    await ask("GET", "/v1/models/{agent}", token)
    one = "/v1/responses/{response_id}"
    for response_id in (name, "none"):
        for method, path in (("GET", one), ("GET", f"{one}/input_items"), ("POST", f"{one}/cancel"), ("DELETE", one)):
            await ask(method, path, token, response_id=response_id)


async def _ask_for_shares(ask: Any, token: str) -> None:
    """Request the routes of links to conversations."""
    links = "/api/threads/{thread_id}/shares"
    made = await ask("POST", links, token, body=b"{}")
    await ask("POST", links, token, body=b'{"days": 0}')
    await ask("POST", links, token, body=b'{"run_id": "none"}')
    await ask("GET", links, token)
    for link in (made["path"].removeprefix("/share/"), "none"):
        await ask("GET", "/share/{token}", link=link)
        await ask("GET", "/api/shared/{token}", link=link)
        await ask("GET", "/api/shared/{token}/files/{file_id}", link=link)
        await ask("GET", "/api/shared/{token}/files/{file_id}/preview", link=link)
        await ask("DELETE", "/api/shares/{share_id}", token, share_id=made["share_id"])


async def _ask_all(running: Running, document: dict[str, Any]) -> None:
    check, asked = checker(document), set()

    async def ask(method: str, path: str, token: str | None = None, **more: Any) -> Any:
        filled = path.replace("{thread_id}", "t").replace("{name}", "page.css").replace("{notebook}", "household")
        filled = filled.replace("{run_id}", more.pop("run_id", "none")).replace("{agent}", "guide")
        filled = filled.replace("{kind}", "tool").replace("{response_id}", more.pop("response_id", "none"))
        filled = filled.replace("{agent}", more.pop("agent", "none"))
        filled = filled.replace("{share_id}", more.pop("share_id", "none"))
        filled = filled.replace("{token}", more.pop("link", "none"))
        filled = filled.replace("{schedule_id}", more.pop("schedule_id", "none"))
        filled = filled.replace("{file_id}", more.pop("file_id", "none")) + more.pop("query", "")
        status, _, body = await request(running.address, method, filled, token=token, **more)
        await trio.to_thread.run_sync(check, method, path, status, body)
        asked.add((path, method.lower()))
        return body

    token = (await ask("POST", "/api/sessions"))["session_token"]
    async with connected(running, token) as peer:
        peer.thread_id = "t"
        await peer.ask("What is 15% of 80?")
    said = json.dumps({"type": "chat", "content": "And 16%?", "thread_id": "t", "message_id": "m2"}).encode()
    agui = {"threadId": "a", "runId": "r", "messages": [{"id": "m3", "role": "user", "content": "What is 2 + 2?"}]}
    await ask("POST", "/api/commands", token, body=said)
    for refused in _REFUSED:
        await ask("POST", "/api/commands", token, body=refused)
    await ask("POST", "/api/commands", token, body=b"x" * 300_000)
    await ask("POST", "/api/calls/{call_id}/undo", token)
    await ask("POST", "/api/runs/{run_id}/undo", token)
    await ask("POST", "/api/agui", token, body=json.dumps(agui).encode())
    await ask("POST", "/api/agui", token, body=b"{}")
    mcp = {"headers": {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}}
    await ask("POST", "/mcp", token, body=b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', **mcp)
    await ask("POST", "/mcp")
    await ask("GET", "/.well-known/agent-card.json")
    await ask("GET", "/a2a/{agent}/.well-known/agent-card.json", agent="guide")
    await ask("GET", "/a2a/{agent}/.well-known/agent-card.json")
    await ask("POST", "/a2a/{agent}", token, agent="guide", body=b'{"id": 1, "method": "ListTasks"}')
    ui = {"id": "u", "messages": [{"id": "m4", "role": "user", "parts": [{"type": "text", "text": "What is 2 + 4?"}]}]}
    await ask("POST", "/api/ui", token, body=json.dumps(ui).encode())
    await ask("GET", "/api/ui/{chat_id}/stream")
    await _ask_as_openai(ask, token)
    await ask("POST", "/api/alerts", token, body=b'{"message": "hello"}')
    await ask("GET", "/api/audit", token)
    for path in ("/api/agents", "/api/tools", "/api/threads", "/api/threads/{thread_id}"):
        await ask("GET", path, token)
        await ask("GET", path)
    await ask("GET", "/api/threads", token, query="?limit=0")
    await ask("GET", "/api/tags", token)
    await ask("GET", "/api/tags")
    run = json.dumps({"message": "What is 2 + 3?", "agent": "guide", "thread_id": "t"}).encode()
    run_id = (await ask("POST", "/api/runs", token, body=run))["run_id"]
    await ask("POST", "/api/runs", token, body=b"{}")
    await ask("GET", "/api/runs", token)
    await ask("GET", "/api/runs", token, query="?status=odd")
    for path in ("/api/runs/{run_id}", "/api/runs/{run_id}/events"):
        await ask("GET", path, token, run_id=run_id)
        await ask("GET", path, token, run_id="none")
    await ask("POST", "/api/runs/{run_id}/cancel", token, run_id=run_id)
    await ask("POST", "/api/runs/{run_id}/cancel", token, run_id="none")
    await ask("POST", "/api/runs/{run_id}/steer", token, body=b'{"content": "Shorter, please"}')
    await ask("POST", "/api/runs/{run_id}/steer", token, body=b"{}")
    await ask("DELETE", "/api/runs/{run_id}/steer/{steer_id}", token)
    await ask("POST", "/api/runs/{run_id}/fork", token, run_id=run_id)
    await ask("POST", "/api/runs/{run_id}/fork", token, run_id=run_id, body=b"[]")
    await ask("GET", "/api/inbox", token)
    for body in (b'{"all": true}', b"{}", b"x" * 40_000):
        await ask("POST", "/api/inbox/read", token, body=body)
    await ask("POST", "/api/runs/{run_id}/continue", token, run_id=run_id)
    subscribed = {"endpoint": "https://push.example.org/1", "keys": Device().keys}
    for body in (json.dumps(subscribed).encode(), b"{}", b'{"endpoint": "x", "keys": {"p256dh": "", "auth": ""}}'):
        await ask("PUT", "/api/web-push/browsers", token, body=body)
    await ask("GET", "/api/web-push", token)
    await ask("DELETE", "/api/web-push/browsers/{browser_id}", token)
    daily = json.dumps({"message": "What is new?", "cron": "0 9 * * *"}).encode()
    made = (await ask("POST", "/api/schedules", token, body=daily))["id"]
    await ask("POST", "/api/schedules", token, body=b'{"message": "hi", "cron": "0 0 31 2 *"}')
    await ask("GET", "/api/schedules", token)
    for schedule_id in (made, "none"):
        await ask("GET", "/api/schedules/{schedule_id}", token, schedule_id=schedule_id)
        body = b'{"enabled": false}'
        await ask("PATCH", "/api/schedules/{schedule_id}", token, schedule_id=schedule_id, body=body)
        await ask("DELETE", "/api/schedules/{schedule_id}", token, schedule_id=schedule_id)
    await ask("GET", "/api/threads/{thread_id}/export", token)
    for path in (f"/api/threads/{{thread_id}}/{what}" for what in ("messages", "turns", "events")):
        await ask("GET", path, token)
        await ask("GET", path, token, query="?limit=none")
    await ask("GET", "/api/threads/{thread_id}/stream", token, query="?after=none")
    await ask("GET", "/api/threads/{thread_id}/consents", token)
    await ask("DELETE", "/api/threads/{thread_id}/consents/{tool_name}", token)
    await ask("GET", "/api/threads/{thread_id}/servers", token)
    await ask("GET", "/api/threads/{thread_id}/widget", token, query="?call_id=none")
    widget_call = {"call_id": "none", "name": "none", "request_id": "none"}
    await ask("POST", "/api/threads/{thread_id}/widget/calls", token, body=json.dumps(widget_call).encode())
    await ask("GET", "/widgets/frame")
    await ask("PUT", "/api/threads/{thread_id}/servers/{name}", token, body=b'{"on": false}')
    await ask("POST", "/api/mcp/{name}/sign-in", token, body=b"{}")
    await ask("DELETE", "/api/mcp/{name}/sign-in", token)
    await ask("GET", "/api/mcp/{name}/callback")
    await ask("GET", "/auth")
    await ask("GET", "/embed")
    await ask("GET", "/diagram")
    await ask("GET", "/join")
    await ask("POST", "/auth/password", body=b'{"name": "ada", "password": "x"}')
    await ask("PUT", "/auth/password", token, body=b'{"password": "x", "new_password": "y"}')
    await ask("POST", "/auth/invite", body=b'{"invite": "x"}')
    for way in ("/sign-in/options", "/join/options", "/sign-in", "/join"):
        await ask("POST", f"/auth/passkeys{way}", body=b"{}")
    for way in ("/options", ""):
        await ask("POST", f"/auth/passkeys{way}", token, body=b"{}")
    await ask("GET", "/auth/passkeys", token)
    await ask("DELETE", "/auth/passkeys/{name}", token)
    await ask("POST", "/auth/join", body=b'{"invite": "x", "password": "x"}')
    await ask("POST", "/api/hooks/{name}", body=b"{}")
    await ask("GET", "/auth/sign-in")
    await ask("GET", "/auth/callback")
    await ask("POST", "/auth/back-channel-logout", content_type="application/x-www-form-urlencoded")
    await ask("POST", "/auth/sign-out", body=b"{}")
    leaving = (await ask("POST", "/api/sessions"))["session_token"]
    await ask("POST", "/auth/sign-out", leaving, body=b"{}")
    await ask("GET", "/api/threads/{thread_id}/prompts", token)
    await ask("POST", "/api/threads/{thread_id}/prompts", token, body=b'{"server": "time", "name": "now"}')
    await ask("PATCH", "/api/threads/{thread_id}", token, body=b'{"title": "Sums"}')
    await ask("PATCH", "/api/threads/{thread_id}", token, body=b"")
    await ask("GET", "/api/threads/{thread_id}/export", token, query="?raw=true")
    for query in ("", "?agent=nobody"):
        await ask("GET", "/api/agui/capabilities", token, query=query)
    await ask("POST", "/api/sanitize", token, body=b'{"text": "\\u202ehidden", "direction": "tool"}')
    await ask("POST", "/api/sanitize", token, body=b'{"text": 1}')
    await ask("POST", "/api/sanitize", body=b'{"text": ""}')
    body, kind = multipart("s.csv", b"a,b\n1,2\n")
    kept = await ask("POST", "/api/files", token, body=body, content_type=kind)
    await ask("POST", "/api/files", token)
    await ask("GET", "/api/files/{file_id}", token, file_id=kept["id"])
    await ask("GET", "/api/files/{file_id}/preview", token, file_id=kept["id"])
    await ask("GET", "/api/files/{file_id}", token)
    place = "/api/memory/{notebook}/{name}"
    await ask("PUT", place, token, body=b'{"value": [1], "days": 2}')
    await ask("GET", "/api/memory", token)
    await ask("PUT", place, token, body=b'{"value": 1, "if_updated_at": 2}')
    await ask("PUT", place, token, body=b"{}")
    await ask("DELETE", place, token, query="?if_updated_at=2")
    for path in (place, place, "/api/memory/{notebook}", "/api/memory"):
        await ask("DELETE", path, token)
    await ask("GET", "/api/me/export", token, query="?events=true")
    await ask("GET", "/api/me/export", token, query="?format=none")
    await _ask_for_shares(ask, token)
    await ask("DELETE", "/api/threads/{thread_id}", token)
    await ask("DELETE", "/api/threads/{thread_id}", token)
    await ask("DELETE", "/api/me", token, body=b'{"confirm": "somebody"}')
    await ask("DELETE", "/api/users/{user}", token)
    name = await ask("POST", "/api/sessions/refresh", token)
    await ask("DELETE", "/api/me", token, body=json.dumps({"confirm": name["user"]}).encode())
    await ask("GET", "/api/me", token)
    await ask("GET", "/api/me/export", token)
    token = (await ask("POST", "/api/sessions"))["session_token"]
    await ask("DELETE", "/api/users/{user}/sessions", token)
    await ask("DELETE", "/api/me/sessions", token)
    await ask("DELETE", "/api/me/sessions", token)
    token = (await ask("POST", "/api/sessions"))["session_token"]
    for path in ("tree", "incidents", "counts", "changes"):
        await ask("GET", f"/api/observer/{path}", token)
        await ask("GET", f"/api/observer/{path}")
    for path in ("runs", "connections", "users", "health", "find"):
        await ask("GET", f"/api/observer/{path}", token)
    await ask("GET", "/api/observer/runs/{run_id}", token, run_id="r1")
    await ask("POST", "/api/observer/runs/{run_id}/stop", token, run_id="r1")
    await ask("POST", "/api/admin/runs/{run_id}/take-over", token, run_id="r1", body=b'{"reason": "Help"}')
    await ask("POST", "/api/admin/runs/{run_id}/hand-back", token, run_id="r1")
    await ask("POST", "/api/admin/runs/{run_id}/commands", token, run_id="r1", body=b'{"type": "steer"}')
    for part in ("", "/events"):
        await ask("GET", f"/api/admin/runs/{{run_id}}{part}", token, run_id="r1")
    for path in ("users", "spending", "schedules", "sign-ins", "settings", "models"):
        await ask("GET", f"/api/admin/{path}", token)
    await ask("POST", "/api/admin/models", token, body=b'{"port": 1, "model": "none"}')
    await ask("GET", "/api/admin/accounts", token)
    await ask("POST", "/api/admin/accounts", token, body=b'{"name": "ada"}')
    await ask("PATCH", "/api/admin/accounts/{name}", token, body=b'{"disabled": true}')
    await ask("POST", "/api/admin/accounts/{name}/invite", token, body=b"{}")
    await ask("GET", "/api/stops", token)
    await ask("PUT", "/api/stops/{kind}/{name}", token, body=b'{"reason": "It misbehaves."}')
    await ask("DELETE", "/api/stops/{kind}/{name}", token)
    await ask("POST", "/api/observer/kill", token, body=b'{"path": "/system"}')
    await ask("GET", "/observer")
    await ask("GET", "/admin")
    for path in ("/", "/favicon.ico", "/worker.js", "/page/{name}", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        await ask("GET", path)
    await ask("GET", "/asyncapi.json")
    await ask("POST", "/api/sessions/refresh", token)
    await ask("DELETE", "/api/sessions", token)
    await ask("POST", "/api/sessions/refresh", token)
    assert asked == {(path, method) for path, item in document["paths"].items() for method in item}


def test_a_change_of_a_schedule_takes_each_member_of_a_new_one() -> None:
    assert SCHEMAS["ScheduleChange"]["properties"] == SCHEMAS["NewSchedule"]["properties"]
    assert {"cron", "enabled", "time_zone"} <= SCHEMAS["ScheduleChange"]["properties"].keys()
