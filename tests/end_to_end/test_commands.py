"""Commands over HTTP: the same forms, limits and refusals as on a socket."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.eager_agent import Eager, agent
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.thread_stream import opened, say
from transport.wire.commands import Ack, Chunk, ClientPing, Hello, Refresh, Resume
from understudy.app.server import Running
from understudy.storage.limits import Limits
from understudy.storage.schema import whole
from understudy.wire.commands import COMMANDS, UserTyping

ASK = "What is 17 * 23? Use your calculator."
FORMS: list[dict[str, Any]] = [
    *({"type": kind, "content": ASK} for kind in ("message", "chat", "agent_message")),
    {"type": "user_message", "payload": {"content": ASK}},
    {"type": "start_agent", "payload": {"content": ASK, "settings": {}, "context": {}, "references": []}},
    {"agent_type": "guide", "message": ASK},
    {"agent_type": "liaison", "pillar": "content", "message": ASK, "conversation_id": "mine"},
]


async def send(running: Running, token: str | None, command: Any) -> tuple[int, dict[str, str], Any]:
    """Send one command. Bytes are sent unchanged."""
    body = command if isinstance(command, bytes) else json.dumps(command).encode()
    return await request(running.address, "POST", "/api/commands", token=token, body=body)


@pytest.mark.promise("wire.endpoint-commands")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.get("type") or form["agent_type"])
async def test_every_form_of_say_yields_a_whole_arc(serve_guest: Any, form: dict[str, Any]) -> None:
    running, token = await serve_guest()
    status, _, names = await send(running, token, form)
    assert (status, set(names)) == (202, {"message_id", "run_id", "thread_id"})
    async with opened(running, token, names["thread_id"]) as stream:
        answer = await stream.until("final_response")
    assert "391" in answer["data"]["message"]
    assert (answer["run_id"], answer["message_id"]) == (names["run_id"], names["message_id"])
    check_arc([event.body for event in stream.seen if "seq" in event.body])


REFUSALS: Final[list[tuple[Any, int, str]]] = [
    (b"{", 400, "bad_json"),
    (b"", 400, "bad_json"),
    (b"\xff", 400, "bad_json"),
    ([], 400, "invalid_command"),
    ({"type": "dance"}, 400, "unknown_type"),
    ({"type": "chat"}, 400, "invalid_command"),
    ({"type": "chat", "content": " "}, 400, "empty_message"),
    ({"type": "chat", "content": "hi", "agent_type": "nobody"}, 404, "unknown_agent_type"),
    ({"agent_type": "liaison", "message": "hi"}, 400, "pillar_required"),
    ({"agent_type": "liaison", "pillar": "none", "message": "hi"}, 404, "unknown_pillar"),
    ({"type": "chat", "content": "hi", "references": ["none"]}, 404, "not_found"),
    ({"type": "chat", "content": "hi", "thread_id": "a/b"}, 400, "invalid_command"),
    ({"type": "chat", "content": "x" * 300_000}, 413, "message_too_large"),
    ({"type": "edit", "payload": {"message_id": "none", "content": "hi"}}, 404, "not_found"),
    ({"type": "resume", "payload": {"threads": {}}}, 400, "invalid_command"),
    ({"type": "hello", "payload": {}}, 400, "invalid_command"),
    ({"type": "ack", "payload": {"thread_id": "t", "seq": 1}}, 400, "invalid_command"),
    ({"type": "refresh", "payload": {"session_token": "t"}}, 400, "invalid_command"),
    ({"type": "ping"}, 400, "invalid_command"),
]


@pytest.mark.promise("wire.endpoint-commands")
async def test_a_refusal_has_the_status_and_the_code_of_the_registry(serve_guest: Any) -> None:
    running, token = await serve_guest()
    for command, status, code in REFUSALS:
        answered, _, body = await send(running, token, command)
        assert (answered, body["error"]["code"]) == (status, code), command
        assert {"code", "message", "retryable", "error_id"} == set(body["error"])
    assert (await get(running, "/api/threads", token))["threads"] == []


def rows(folder: Path) -> dict[str, list[Any]]:
    """Return all that is stored on SQLite, by table; not what the database keeps of itself."""
    with closing(sqlite3.connect(folder / "data" / "understudy.db")) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in whole().tables}


REFUSED: Final = [
    ("user_message", {"content": "more"}, "quota_exceeded"),
    ("user_message", {"content": "more", "thread_id": "new", "references": ["none"]}, "not_found"),
    ("edit", {"message_id": "m", "content": "other", "new_message_id": "n"}, "quota_exceeded"),
    ("regenerate", {"message_id": "m", "request_id": "r"}, "quota_exceeded"),
    ("regenerate", {"message_id": "m", "call_id": "none", "request_id": "r"}, "not_found"),
    ("continue", {"run_id": "RUN"}, "quota_exceeded"),
    ("approve", {"call_id": "none", "decision": "allow", "remember": True}, "not_found"),
    ("approve", {"call_id": "none", "decision": "allow", "parameters": {"a": "x" * 70_000}}, "message_too_large"),
    ("answer", {"question_id": "none", "answer": {"city": "Graz"}}, "not_found"),
    ("feedback", {"message_id": "m", "rating": "up"}, "not_found"),
    ("steer", {"run_id": "RUN", "content": "left", "steer_id": "s"}, "quota_exceeded"),
    ("unsteer", {"run_id": "RUN", "steer_id": "s"}, "not_found"),
    ("undo", {"run_id": "RUN"}, "not_undoable"),
    ("switch_server", {"thread_id": "t", "server": "none", "on": False}, "not_found"),
    ("disallow", {"thread_id": "none", "tool_name": "echo"}, "not_found"),
    ("cancel", {"run_id": "none"}, "not_found"),
]

STORE_NOTHING: Final = {Resume, Hello, Chunk, Ack, Refresh, UserTyping, ClientPing}
"""Commands about a connection, or of which nothing is stored when they are carried out either."""


async def test_a_refused_command_has_changed_nothing(serve_guest: Any, tmp_path: Path) -> None:
    """No row of any table differs after it."""
    running, token = await serve_guest(agent(Eager(), turns=20), spending_user_tokens_per_day=45)
    async with connected(running.address, token) as client:
        ended = await client.ask("go", agent_type="script", thread_id="t", message_id="m")
    stored = rows(tmp_path)
    for kind, payload, code in REFUSED:
        payload = {name: ended["run_id"] if value == "RUN" else value for name, value in payload.items()}
        if kind == "user_message":
            payload = {"agent_type": "script", "thread_id": "t"} | payload
        _, _, body = await send(running, token, {"type": kind, "payload": payload})
        assert body.get("error", {}).get("code") == code, (kind, payload, body)
        assert rows(tmp_path) == stored, (kind, payload)
    assert {COMMANDS[kind] for kind, _, _ in REFUSED} | STORE_NOTHING == set(COMMANDS.values())


@pytest.mark.promise("wire.no-way-round")
async def test_a_token_is_needed_and_stands_in_the_header(serve_guest: Any) -> None:
    running, token = await serve_guest()
    for command in ({"type": "chat", "content": "hi"}, {"type": "chat", "content": "hi", "session_token": token}):
        status, headers, body = await send(running, None, command)
        assert (status, body["error"]["code"]) == (401, "unauthenticated")
        assert headers["www-authenticate"] == "Bearer"


async def test_messages_are_counted_with_those_of_sockets(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), limits=Limits(messages_per_minute=2))
    async with connected(running.address, token) as client:
        await client.ask("go", agent_type="script", thread_id="t")
    await say(running, token)
    status, headers, body = await send(running, token, {"type": "chat", "content": "hi"})
    assert (status, body["error"]["code"]) == (429, "rate_limited")
    assert int(headers["retry-after"]) > 0
    other = await new_token(running)
    await say(running, other)


async def test_typing_is_shown_to_subscribers(serve_guest: Any) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Say("one", gate)))
    await say(running, token)
    async with opened(running, token) as stream:
        await stream.until("agent_started")
        status, _, _ = await send(running, token, {"type": "typing", "payload": {"thread_id": "t"}})
        assert status == 202
        assert (await stream.until("typing"))["thread_id"] == "t"
    gate.opened.set()


async def test_a_branch_is_answered_with_its_names(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    first = await say(running, token, message_id="m")
    async with opened(running, token) as stream:
        await stream.until("final_response")
        edit = {"type": "edit", "payload": {"message_id": "m", "content": "other words", "new_message_id": "n"}}
        status, _, edited = await send(running, token, edit)
        assert (status, edited["thread_id"], edited["message_id"]) == (202, "t", "n")
        await stream.until("final_response")
        status, _, again = await send(running, token, {"type": "regenerate", "payload": {"message_id": "n"}})
        assert (status, again["thread_id"]) == (202, "t")
        assert (await stream.until("final_response"))["run_id"] == again["run_id"]
        thumbs = {"type": "feedback", "payload": {"message_id": f"answer-{first['run_id']}", "rating": "up"}}
        assert (await send(running, token, thumbs))[::2] == (202, {})
        assert (await stream.until("feedback"))["data"]["rating"] == "up"
    assert len({first["run_id"], edited["run_id"], again["run_id"]}) == 3
