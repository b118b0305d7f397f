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

from tests.rigs.documented_server import connected, served
from tests.rigs.http import multipart, request
from understudy.app.server import Running
from understudy.app.settings import Settings
from understudy.extensions.accounts.invites import digest_of
from understudy.extensions.accounts.storage import Account, add_account
from understudy.extensions.references.openapi import OVER_HTTP, openapi
from understudy.extensions.shares.settings import ShareSettings
from understudy.installed import installed
from understudy.web.api.commands import CONNECTIONLESS
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.routes import routes_of
from understudy.wire.codes import ERRORS
from understudy.wire.commands import COMMANDS


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The application, without a server around it."""
    members: dict[str, Any] = dict.fromkeys(field.name for field in WebContext.__attrs_attrs__)
    members |= {"settings": Settings(data_dir=tmp_path_factory.mktemp("data")), "extensions": installed()}
    return build_http_app(WebContext(**members))


@pytest.fixture(scope="module")
def document(app: Any) -> dict[str, Any]:
    """The document of that application's routes."""
    return openapi("1.0", routes_of(app))


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert json.loads(json.dumps(document)) == document


def test_the_routes_are_those_of_the_application(app: Any, document: dict[str, Any]) -> None:
    methods = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", str(rule.rule)), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == methods
    for item in document["paths"].values():
        assert all(operation["summary"] for operation in item.values())


def test_errors_have_the_statuses_of_the_registry(app: Any, document: dict[str, Any]) -> None:
    also = {route.endpoint: route.described.get("also", {}) for route in routes_of(app)}
    for item in document["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                named = [code for code in ERRORS if f"`{code}`" in answer["description"]]
                assert all(ERRORS[code].http_status == int(status) for code in named)
                of_protocol = int(status) in also[operation["operationId"]]
                assert named or of_protocol or int(status) < HTTPStatus.BAD_REQUEST


def test_the_commands_over_http_are_those_the_server_takes() -> None:
    assert {COMMANDS[name] for name in OVER_HTTP} == set(CONNECTIONLESS)


def checker(document: dict[str, Any]) -> Callable[[str, str, int, Any], None]:
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
    async with served(tmp_path, accounts_enabled=True) as running:
        _, _, document = await request(running.address, "GET", "/openapi.json")
        check, statuses = checker(document), list[int]()

        async def ask(path: str, method: str = "POST", token: str | None = None, **body: str) -> Any:
            status, _, answer = await request(running.address, method, path, token=token, body=body)
            check(method, path, status, answer)
            statuses.append(status)
            return answer

        invited = Account("ada", (), (), "", digest_of("mine"), time.time() + 3600, 1.0)
        await running.store.commit(add_account(invited))
        for invite in ("mine", "theirs"):
            await ask("/auth/invite", invite=invite)
        for password in ("short", "tree sky blue lamp", "tree sky blue lamp"):
            await ask("/auth/join", invite="mine", password=password)
        session = await ask("/auth/password", name="ada", password="tree sky blue lamp")
        for old in ("wrong", "tree sky blue lamp"):
            await ask("/auth/password", "PUT", session["session_token"], password=old, new_password="old river stones")
        while statuses[-1] != 429:
            await ask("/auth/password", name="ada", password="wrong")
        assert statuses[:9] == [200, 404, 400, 201, 404, 201, 403, 200, 401]


@pytest.mark.promise("wire.endpoint-machines")
async def test_a_real_server_answers_what_its_document_says(tmp_path: Path) -> None:
    """Every route, requested once successfully, and most once with an error."""
    async with served(tmp_path, own={ShareSettings: ShareSettings(links=True)}) as running:
        status, _, document = await request(running.address, "GET", "/openapi.json")
        assert status == HTTPStatus.OK
        await trio.to_thread.run_sync(validate, document)
        await _ask_all(running, document)


_REFUSED = (
    b"{", {}, {"type": "dance"}, {"type": "chat", "content": ""}, {"agent_type": "liaison", "message": "hi"},
    {"agent_type": "liaison", "pillar": "none", "message": "hi"}, {"agent_type": "nobody", "message": "hi"},
    {"type": "cancel", "run_id": "none"}, {"type": "chat", "content": "other", "message_id": "m2"}, b"x" * 300_000,
)  # fmt: skip
_OPEN = (
    "/widgets/frame", "/auth", "/embed", "/diagram", "/chart-worker.js", "/join", "/auth/sign-in", "/auth/callback",
    "/api/mcp/{name}/callback", "/api/mcp/{name}/client.json", "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/agent-card.json", "/observer", "/admin", "/", "/favicon.ico", "/worker.js", "/page/{name}",
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/api/ui/{chat_id}/stream",
)  # fmt: skip
"""What is read without a token."""
_OF_OPERATORS = (
    "/api/observer/runs", "/api/observer/connections", "/api/observer/users", "/api/observer/health",
    "/api/observer/find", "/api/observer/runs/{run_id}", "/api/admin/users", "/api/admin/spending",
    "/api/admin/overview", "/api/admin/users/{user}/runs",
    "/api/admin/schedules", "/api/admin/sign-ins", "/api/admin/settings", "/api/admin/models", "/api/admin/accounts",
    "/api/admin/runs/{run_id}", "/api/admin/runs/{run_id}/events", "/api/stops",
)  # fmt: skip
_CHANGES_OF_OPERATORS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/observer/runs/{run_id}/stop", b""),
    ("POST", "/api/admin/runs/{run_id}/take-over", {"reason": "Help"}),
    ("POST", "/api/admin/runs/{run_id}/hand-back", b""),
    ("POST", "/api/admin/runs/{run_id}/commands", {"type": "steer"}),
    ("POST", "/api/admin/models", {"port": 1, "model": "none"}),
    ("POST", "/api/admin/accounts", {"name": "ada"}),
    ("PATCH", "/api/admin/accounts/{name}", {"disabled": True}),
    ("POST", "/api/admin/accounts/{name}/invite", {}),
    ("PUT", "/api/stops/{kind}/{name}", {"reason": "It misbehaves."}),
    ("DELETE", "/api/stops/{kind}/{name}", b""),
    ("POST", "/api/observer/kill", {"path": "/system"}),
)


async def _ask_as_openai(ask: Any, token: str) -> None:
    wanted = {"model": "guide", "input": "What is 2 + 2?"}
    name = (await ask("POST", "/v1/responses", token, body=wanted))["id"]
    talk = {"model": "guide", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    await ask("POST", "/v1/chat/completions", token, body=talk)
    for path in ("/v1/responses", "/v1/chat/completions"):
        await ask("POST", path, token, body={})
        await ask("POST", path, body=wanted)
    for path in ("/v1/models", "/v1/models/{agent}"):
        await ask("GET", path, token)
    path_of = "/v1/responses/{response_id}"
    for response_id in (name, "none"):
        for method, path in (
            ("GET", path_of),
            ("GET", f"{path_of}/input_items"),
            ("POST", f"{path_of}/cancel"),
            ("DELETE", path_of),
        ):
            await ask(method, path, token, response_id=response_id)


async def _ask_for_shares(ask: Any, token: str) -> None:
    links = "/api/threads/{thread_id}/shares"
    share = await ask("POST", links, token, body={})
    for body in ({"days": 0}, {"run_id": "none"}):
        await ask("POST", links, token, body=body)
    await ask("GET", links, token)
    shared = "/api/shared/{token}"
    for link in (share["path"].removeprefix("/share/"), "none"):
        for path in ("/share/{token}", shared, f"{shared}/files/{{file_id}}", f"{shared}/files/{{file_id}}/preview"):
            await ask("GET", path, link=link)
        await ask("DELETE", "/api/shares/{share_id}", token, share_id=share["share_id"])


async def _ask_to_sign_in(ask: Any, token: str) -> None:
    """Request the routes of accounts and passkeys, which this server does not have, and of signing out."""
    for path, body in (
        ("password", {"name": "ada", "password": "x"}), ("invite", {"invite": "x"}),
        ("join", {"invite": "x", "password": "x"}), ("passkeys/sign-in/options", {}), ("passkeys/join/options", {}),
        ("passkeys/sign-in", {}), ("passkeys/join", {}), ("sign-out", {}),
    ):  # fmt: skip
        await ask("POST", f"/auth/{path}", body=body)
    await ask("PUT", "/auth/password", token, body={"password": "x", "new_password": "y"})
    for path in ("/auth/passkeys/options", "/auth/passkeys"):
        await ask("POST", path, token, body={})
    await ask("GET", "/auth/passkeys", token)
    await ask("DELETE", "/auth/passkeys/{name}", token)
    await ask("POST", "/auth/back-channel-logout", content_type="application/x-www-form-urlencoded")
    await ask("POST", "/auth/sign-out", (await ask("POST", "/api/sessions"))["session_token"], body={})


async def _ask_for_runs(ask: Any, token: str) -> None:
    """Request the routes of runs, of what waits for the user, and of schedules."""
    run = {"message": "What is 2 + 3?", "agent": "guide", "thread_id": "t"}
    made_id = (await ask("POST", "/api/runs", token, body=run))["run_id"]
    await ask("POST", "/api/runs", token, body={})
    for query in ("", "?status=odd"):
        await ask("GET", "/api/runs", token, query)
    for run_id in (made_id, "none"):
        for path in ("/api/runs/{run_id}", "/api/runs/{run_id}/events"):
            await ask("GET", path, token, run_id=run_id)
        await ask("POST", "/api/runs/{run_id}/cancel", token, run_id=run_id)
    await ask("GET", "/api/inbox", token)
    for body in ({"all": True}, {}, b"x" * 40_000):
        await ask("POST", "/api/inbox/read", token, body=body)
    daily = {"message": "What is new?", "cron": "0 9 * * *"}
    made_id = (await ask("POST", "/api/schedules", token, body=daily))["id"]
    await ask("POST", "/api/schedules", token, body={"message": "hi", "cron": "0 0 31 2 *"})
    await ask("GET", "/api/schedules", token)
    for schedule_id in (made_id, "none"):
        for method, body in (("GET", b""), ("PATCH", {"enabled": False}), ("DELETE", b"")):
            await ask(method, "/api/schedules/{schedule_id}", token, schedule_id=schedule_id, body=body)


async def _ask_in_a_thread(ask: Any, token: str) -> None:
    of = "/api/threads/{thread_id}"
    for part in ("messages", "turns", "events"):
        for query in ("", "?limit=none"):
            await ask("GET", f"{of}/{part}", token, query)
    for part, query in (
        ("export", ""), ("export", "?events=true"), ("stream", "?after=none"), ("consents", ""), ("servers", ""),
        ("widget", "?call_id=none"), ("prompts", ""),
    ):  # fmt: skip
        await ask("GET", f"{of}/{part}", token, query)
    await ask("DELETE", f"{of}/consents/{{tool_name}}", token)
    widget_call = {"call_id": "none", "name": "none", "request_id": "none"}
    await ask("POST", f"{of}/widget/calls", token, body=widget_call)
    await ask("PUT", f"{of}/servers/{{name}}", token, body={"on": False})
    await ask("POST", f"{of}/prompts", token, body={"server": "time", "name": "now"})
    for body in ({"title": "Sums"}, b""):
        await ask("PATCH", of, token, body=body)
    content, kind = multipart("s.csv", b"a,b\n1,2\n")
    uploaded = await ask("POST", "/api/files", token, body=content, content_type=kind)
    await ask("POST", "/api/files", token)
    for path in ("/api/files/{file_id}", "/api/files/{file_id}/preview"):
        await ask("GET", path, token, file_id=uploaded["id"])
    await ask("GET", "/api/files/{file_id}", token)


async def _ask_of_oneself(ask: Any, token: str) -> None:
    """Request the routes of what is remembered and kept of a user, up to its erasure."""
    place = "/api/memory/{notebook}/{name}"
    for body in ({"value": [1], "days": 2}, {"value": 1, "if_updated_at": 2}, {}):
        await ask("PUT", place, token, body=body)
    await ask("GET", "/api/memory", token)
    await ask("DELETE", place, token, "?if_updated_at=2")
    for path in (place, place, "/api/memory/{notebook}", "/api/memory"):
        await ask("DELETE", path, token)
    for query in ("?events=true", "?format=none"):
        await ask("GET", "/api/me/export", token, query)
    await _ask_for_shares(ask, token)
    for path in ("/api/threads/{thread_id}", "/api/threads/{thread_id}", "/api/users/{user}"):
        await ask("DELETE", path, token)
    await ask("DELETE", "/api/me", token, body={"confirm": "somebody"})
    name = await ask("POST", "/api/sessions/refresh", token)
    await ask("DELETE", "/api/me", token, body={"confirm": name["user"]})
    for path in ("/api/me", "/api/me/export"):
        await ask("GET", path, token)


async def _ask_all(running: Running, document: dict[str, Any]) -> None:
    check, covered = checker(document), set()
    usual = {"thread_id": "t", "name": "page.css", "notebook": "household", "agent": "guide", "kind": "tool"}

    async def ask(method: str, path: str, token: str | None = None, query: str = "", **more: Any) -> Any:
        values = usual | {"token": more.pop("link", "none")}
        names = {name: more.pop(name, values.get(name, "none")) for name in re.findall(r"{(\w+)}", path)}
        status, _, body = await request(running.address, method, path.format(**names) + query, token=token, **more)
        await trio.to_thread.run_sync(check, method, path, status, body)
        covered.add((path, method.lower()))
        return body

    token = (await ask("POST", "/api/sessions"))["session_token"]
    async with connected(running, token) as peer:
        peer.thread_id = "t"
        await peer.ask("What is 15% of 80?")
    chat = {"type": "chat", "content": "And 16%?", "thread_id": "t", "message_id": "m2"}
    for command in (chat, *_REFUSED):
        await ask("POST", "/api/commands", token, body=command)
    agui = {"threadId": "a", "runId": "r", "messages": [{"id": "m3", "role": "user", "content": "What is 2 + 2?"}]}
    for body in (agui, {}):
        await ask("POST", "/api/agui", token, body=body)
    mcp = {"headers": {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}}
    await ask("POST", "/mcp", token, body={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, **mcp)
    await ask("POST", "/mcp")
    for agent in ("guide", "none"):
        await ask("GET", "/a2a/{agent}/.well-known/agent-card.json", agent=agent)
    await ask("POST", "/a2a/{agent}", token, body={"id": 1, "method": "ListTasks"})
    ui = {"id": "u", "messages": [{"id": "m4", "role": "user", "parts": [{"type": "text", "text": "What is 2 + 4?"}]}]}
    await ask("POST", "/api/ui", token, body=ui)
    for path in _OPEN:
        await ask("GET", path)
    await _ask_as_openai(ask, token)
    await ask("POST", "/api/alerts", token, body={"message": "hello"})
    await ask("GET", "/api/audit", token)
    await ask("GET", "/api/audit/actions", token)
    await ask("GET", "/api/extensions", token)
    for path in ("/api/agents", "/api/tools", "/api/tags", "/api/threads", "/api/threads/{thread_id}"):
        for who in (token, None):
            await ask("GET", path, who)
    await ask("GET", "/api/threads", token, "?limit=0")
    await _ask_for_runs(ask, token)
    await _ask_in_a_thread(ask, token)
    await ask("POST", "/api/mcp/{name}/sign-in", token, body={})
    await ask("DELETE", "/api/mcp/{name}/sign-in", token)
    await _ask_to_sign_in(ask, token)
    for query in ("", "?agent=nobody"):
        await ask("GET", "/api/agui/capabilities", token, query)
    for who, text in ((token, "\u202ehidden"), (token, 1), (None, "")):
        await ask("POST", "/api/sanitize", who, body={"text": text, "direction": "tool"})
    await _ask_of_oneself(ask, token)
    token = (await ask("POST", "/api/sessions"))["session_token"]
    for path in ("/api/users/{user}/sessions", "/api/me/sessions", "/api/me/sessions"):
        await ask("DELETE", path, token)
    token = (await ask("POST", "/api/sessions"))["session_token"]
    for path in ("tree", "incidents", "counts", "changes"):
        for who in (token, None):
            await ask("GET", f"/api/observer/{path}", who)
    for path in _OF_OPERATORS:
        await ask("GET", path, token)
    for method, path, body in _CHANGES_OF_OPERATORS:
        await ask(method, path, token, body=body)
    await ask("POST", "/api/sessions/refresh", token)
    await ask("DELETE", "/api/sessions", token)
    await ask("POST", "/api/sessions/refresh", token)
    assert covered == {(path, method) for path, item in document["paths"].items() for method in item}


def test_a_change_of_a_schedule_takes_each_member_of_a_new_one(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["ScheduleChange"]["properties"].keys() == schemas["ScheduleRequest"]["properties"].keys()
    assert {"cron", "enabled", "time_zone"} <= schemas["ScheduleChange"]["properties"].keys()
    assert schemas["ScheduleChange"].get("required", []) == []
