"""Messages of MCP clients as they stand on the wire: ids, cursors, states of calls, answers, and content of results."""

import base64
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen

from tests.rigs.http import get, request
from tests.rigs.identity_provider import FIRST
from tests.rigs.mcp_desk import META, NEWER, Desk
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from tests.rigs.serving import serving
from tests.rigs.tokens import SECRET, token_of
from transport.auth.tokens import Tokens
from understudy import Agent, ToolContext, tool

OLDER = "2025-11-25"
NEXT = "the secret that takes the other one's place"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
FILES = {
    "png": ("dot.png", "image/png", PNG),
    "sound": ("beep.wav", "audio/wav", b"RIFF\xff"),
    "text": ("note.txt", "text/plain", b"a note"),
    "svg": ("dot.svg", "image/svg+xml", b"<svg/>"),
    "blob": ("a.gz", "application/gzip", b"\x1f\x8b\xff"),
    "large": ("big.png", "image/png", PNG + b"\xff" * 1_100_000),
}
"""The files that the tool `draw` makes by their kind; it makes the picture `png` beside any other."""


@frozen
class Ok:
    """Is it right?"""

    ok: bool


def agent_of(calls: list[str]) -> Agent:
    @tool
    async def ask(context: ToolContext, note: str = "") -> str:
        """Ask a form."""
        if context.call_id not in calls:
            calls.append(context.call_id)
        return f"ok: {(await context.ask(Ok)).ok}"

    @tool(approval=True)
    async def send() -> str:
        """Send it."""
        return "sent"

    @tool
    async def draw(context: ToolContext, kind: str = "png") -> Any:
        """Make files."""
        png = (await context.files.save(*FILES["png"])).id
        if kind == "mixed":
            return ["a dot", {"file": png, "name": "dot.png"}, {"rows": 2}]
        if kind == "png":
            return png
        return (await context.files.save(*FILES[kind])).id if kind in FILES else {"rows": 2}

    return Agent("desk", tools=[ask, send, draw], model=ScriptedModel(Call([("draw", {})]), Say("Drawn")))


@pytest.fixture
async def desk(serve: Any) -> Desk:
    calls: list[str] = []
    return Desk(await serve(agent_of(calls), secret=SECRET), token_of("ada"), calls)


def code_of(response: Any) -> int | None:
    """Return the code of an error, None for a result."""
    code: int | None = response.get("error", {}).get("code")
    return code


def text_of(response: dict[str, Any]) -> str:
    return str(response["result"]["content"][0]["text"])


PING = {"jsonrpc": "2.0", "method": "ping"}


@pytest.mark.parametrize("version", [NEWER, OLDER])
async def test_a_message_is_one_of_json_rpc(desk: Desk, version: str) -> None:
    for request_id in (None, True, 1.5, [], {}, [1]):
        status, response = await desk.post({**PING, "id": request_id}, version)
        assert (status, code_of(response), response["id"]) == (400, -32600, None), request_id
    for body in ([], [{**PING, "id": 1}], "text", 1, None, {"id": 1, "method": "ping"}, {**PING, "jsonrpc": "1.0"}):
        status, response = await desk.post(body, version)
        assert (status, code_of(response)) == (400, -32600), body
    for params in ([], "text", 1):
        assert code_of((await desk.post({**PING, "id": 1, "params": params}, version))[1]) == -32600, params
    half = json.dumps({**PING, "id": 1, "params": {"name": "\ud800"}}).encode()
    for data in (half, b"", b"{", b"\xff", b'{"jsonrpc":"2.0","id":1,"params":' + b'{"a":' * 3000):
        status, response = await desk.post(data, version)
        assert (status, code_of(response)) == (400, -32700), data
    assert (await desk.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, version))[0] == 202
    for request_id in (0, -1, "", "x"):
        listed = {"jsonrpc": "2.0", "id": request_id, "method": "tools/list", "params": {"_meta": META}}
        assert (await desk.post(listed, version, **{"Mcp-Method": "tools/list"}))[1]["id"] == request_id
    for cursor in ("made-up", "1"):
        listed["params"] = {"_meta": META, "cursor": cursor}
        assert code_of((await desk.post(listed, version, **{"Mcp-Method": "tools/list"}))[1]) == -32602, cursor


async def test_a_state_goes_on_with_its_own_call_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other value as a state is an error, and begins no call."""
    key, state, _ = await desk.ask()
    answers = {key: {"action": "accept", "content": {"ok": True}}}
    other = token_of("bob")
    altered = [state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :] for at in (0, 3, 9, 30, -2)]
    for wrong in ("made-up", "", "v1.", state[:-1], f"{state}A", f"{state}-TAMPERED", *altered, 7, {}, [state]):
        response = await desk.call("ask", requestState=wrong, inputResponses=answers)
        assert code_of(response) == -32602, wrong
    for call in (
        desk.call("ask", other, requestState=state, inputResponses=answers),
        desk.call("ask", requestState=state, inputResponses=answers, arguments={"note": "another"}),
        desk.call("send", requestState=state, inputResponses=answers),
        desk.call("ask_desk", requestState=state, inputResponses=answers),
    ):
        error = (await call)["error"]
        assert (error["code"], error["message"]) == (-32602, "Invalid or expired requestState")
    later = SimpleNamespace(time=lambda: time.time() + 100_000)
    with monkeypatch.context() as patched:
        patched.setattr("mcp.server.request_state.time", later)
        assert code_of(await desk.call("ask", requestState=state, inputResponses=answers)) == -32602
    assert len(desk.calls) == 1
    again = (await desk.call("ask", requestState=state))["result"]
    assert list(again["inputRequests"]) == [key]
    for request_state in (state, again["requestState"], state):  # also after its end
        assert text_of(await desk.call("ask", requestState=request_state, inputResponses=answers)) == "ok: True"
    assert len(desk.calls) == 1


@pytest.mark.parametrize("ended", [True, False])
async def test_a_call_whose_thread_has_gone_is_not_made_again(desk: Desk, ended: bool) -> None:
    key, state, _ = await desk.ask()
    answers = {key: {"action": "accept", "content": {"ok": True}}}
    runs = await get(desk.running, "/api/runs", desk.token)
    if ended:
        await desk.call("ask", requestState=state, inputResponses=answers)
    (run,) = runs["runs"]
    path = f"/api/threads/{run['thread_id']}"
    assert (await request(desk.running.address, "DELETE", path, token=desk.token))[0] == 204
    assert code_of(await desk.call("ask", requestState=state, inputResponses=answers)) == -32602
    assert len(desk.calls) == 1


@pytest.mark.parametrize(
    ("settings", "right"),
    [({"secret": SECRET}, True), ({"secret": NEXT, "accepted_secrets": [SECRET]}, True), ({"secret": NEXT}, False)],
)
async def test_a_state_outlives_its_server_as_its_secret_does(tmp_path: Path, settings: Any, right: bool) -> None:
    calls: list[str] = []
    async with serving(tmp_path / "data", agent_of(calls), secret=SECRET) as running:
        key, state, _ = await Desk(running, token_of("ada"), calls).ask()
    async with serving(tmp_path / "data", agent_of(calls), **settings) as running:
        token = Tokens(settings["secret"], time.time).issue("ada", "s", ttl_s=600.0)
        answers = {key: {"action": "accept", "content": {"ok": True}}}
        response = await Desk(running, token, calls).call("ask", requestState=state, inputResponses=answers)
    assert (code_of(response), len(calls)) == (None if right else -32602, 1)
    assert not right or text_of(response) == "ok: True"


UNKNOWN = {"action": "accept", "content": {"a": 1}}


@pytest.mark.parametrize("unknown", [UNKNOWN, {"roots": []}, {"action": "perhaps"}, {}, 1, None, "x", ["x"]])
async def test_unknown_answers_are_ignored(desk: Desk, unknown: object) -> None:
    for first in (True, False):
        key, state, _ = await desk.ask()
        answer = {key: {"action": "accept", "content": {"ok": True}}}
        strange = {"unknown": unknown, "question:x.1": unknown, "approval:x": unknown}
        responses = strange | answer if first else answer | strange
        assert text_of(await desk.call("ask", requestState=state, inputResponses=responses)) == "ok: True"


@pytest.mark.parametrize(
    ("name", "wrong", "right", "text"),
    [
        ("ask", {"action": "accept", "content": {"ok": "perhaps"}}, {"ok": True}, "ok: True"),
        ("ask", {"action": "accept", "content": {"ok": {"deep": 1}}}, {"ok": True}, "ok: True"),
        ("ask", {"action": "accept"}, {"ok": False}, "ok: False"),
        ("ask", {"action": "perhaps"}, {"ok": True}, "ok: True"),
        ("ask", None, {"ok": True}, "ok: True"),
        ("send", {"action": "accept", "content": {"decision": "perhaps"}}, {"decision": "allow"}, "sent"),
        ("send", {"action": "accept", "content": {}}, {"decision": "allow"}, "sent"),
    ],
)
async def test_an_answer_that_does_not_fit_is_asked_for_again(
    desk: Desk, name: str, wrong: Any, right: Any, text: str
) -> None:
    key, state, question = await desk.ask(name)
    for _ in range(2):
        again = (await desk.call(name, requestState=state, inputResponses={key: wrong}))["result"]
        assert again["resultType"] == "input_required"
        message = again["inputRequests"][key]["params"]["message"]
        assert message.endswith(question["message"])
        state = again["requestState"]
    response = await desk.call(name, requestState=state, inputResponses={key: {"action": "accept", "content": right}})
    assert text_of(response) == text


async def test_answers_without_a_state_answer_nothing(desk: Desk) -> None:
    key, state, _ = await desk.ask()
    responses = {key: {"action": "accept", "content": {"ok": True}}}
    assert (await desk.call("ask", inputResponses=responses))["result"]["resultType"] == "input_required"
    assert (await desk.call("ask", requestState=state))["result"]["resultType"] == "input_required"
    assert (await desk.call("ask", requestState=state, inputResponses={key: {"action": "decline"}}))["result"][
        "isError"
    ]


CONTENT: list[tuple[str, list[tuple[str, ...]]]] = [
    ("png", [("image", "image/png")]),
    ("sound", [("audio", "audio/wav"), ("image", "image/png")]),
    ("text", [("resource", "text/plain", "a note"), ("image", "image/png")]),
    ("svg", [("resource", "image/svg+xml", "<svg/>"), ("image", "image/png")]),
    ("blob", [("resource", "application/gzip"), ("image", "image/png")]),
    ("large", [("resource_link", "image/png"), ("image", "image/png")]),
    ("mixed", [("text", "a dot"), ("image", "image/png"), ("text", '{"rows": 2}')]),
    ("none", [("text", '{"rows": 2}'), ("image", "image/png")]),
]


@pytest.mark.parametrize(("kind", "expected"), CONTENT, ids=[kind for kind, _ in CONTENT])
async def test_files_of_a_result_are_its_content(desk: Desk, kind: str, expected: list[tuple[str, ...]]) -> None:
    result = (await desk.call("draw", arguments={"kind": kind}))["result"]
    contents: list[tuple[str, ...]] = []
    for block in result["content"]:
        inner = block.get("resource", block)
        words = (inner.get("mimeType"), inner.get("text"))
        contents.append((block["type"], *(word for word in words if word)))
        uri = inner.get("uri")
        if uri is not None:
            path = uri.removeprefix(desk.running.address)
            assert (await request(desk.running.address, "GET", path, token=desk.token))[0] == 200
        if block["type"] == "image":
            assert base64.b64decode(block["data"]) == PNG
    assert contents == expected
    assert result.get("structuredContent") == ({"rows": 2} if kind == "none" else None)


async def test_an_answer_has_the_files_that_were_made_for_it(desk: Desk) -> None:
    content = (await desk.call("ask_desk", arguments={"message": "Draw."}))["result"]["content"]
    assert [(block["type"], block.get("mimeType")) for block in content] == [("text", None), ("image", "image/png")]


@pytest.mark.parametrize(("issuer", "servers"), [("", None), ("https://id.example", ["https://id.example"])])
async def test_a_refusal_names_the_metadata(serve: Any, tmp_path: Path, issuer: str, servers: Any) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(FIRST)
    settings = {"jwt_keys": str(keys), "jwt_issuer": issuer, "jwt_audience": "mcp"} if issuer else {}
    address = (await serve(secret=SECRET, **settings)).address
    for token in (None, "wrong"):
        status, headers, _ = await request(address, "POST", "/mcp", token=token, body=b"{}")
        named = f"{address}/.well-known/oauth-protected-resource/mcp"
        assert (status, headers["www-authenticate"]) == (401, f'Bearer resource_metadata="{named}"')
    status, _, metadata = await request(address, "GET", "/.well-known/oauth-protected-resource/mcp")
    assert (status, metadata["resource"], metadata.get("authorization_servers")) == (200, f"{address}/mcp", servers)
