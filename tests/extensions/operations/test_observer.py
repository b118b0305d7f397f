"""The operator's view of the actor tree over real sockets: access, paging, and the stream of changes."""

import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
import trio

from actors import Actor, ChildSpec, Context, Restart, StartChild
from actors.testing import Rates, chaos
from tests.rigs.chat_client import connected
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.sse import Stream, streaming
from tests.rigs.tokens import OPERATOR, SECRET, token
from understudy.app.server import Running
from understudy.extensions.operations.tree_api import MAX_PENDING, MAX_STREAMS
from understudy.observe.actor_events import LOOP_HELD

WORDS = "do not show these words"


async def observe(running: Running, query: str = "", who: str | None = OPERATOR) -> tuple[int, Any]:
    return (await request(running.address, "GET", f"/api/observer/tree{query}", token=who))[::2]


async def kill(running: Running, **body: Any) -> tuple[int, Any]:
    return (await request(running.address, "POST", "/api/observer/kill", token=OPERATOR, body=body))[::2]


def watching(running: Running, who: str | None = OPERATOR) -> Any:
    return streaming(running.address, "/api/observer/changes", who)


async def until_change(stream: Stream, path: str, **wanted: Any) -> dict[str, Any]:
    while True:
        for change in (await stream.until("changes"))["changes"]:
            if change["path"] == path and wanted.items() <= change.items():
                return change


class Sitter(Actor):
    """Waits until a message makes it fail with that message's text."""

    async def receive(self, message: object, context: Context) -> None:
        raise ValueError(message)


async def crowd(running: Running, count: int, prefix: str = "c") -> None:
    """Start as many actors below the connections as that many sockets would."""
    connections = running.system.find("/system/connections")
    for number in range(count):
        await connections.ask(StartChild(ChildSpec(f"{prefix}{number:05}", Sitter, restart=Restart.TRANSIENT)))


async def test_an_anonymous_user_is_no_operator(serve: Any) -> None:
    running = await serve()
    assert (await observe(running, who=await new_token(running)))[0] == 403
    status, headers, page = await request(running.address, "GET", "/observer")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "/system" not in page


@pytest.mark.promise("wire.endpoint-observer")
async def test_the_tree_has_what_an_operator_asks_for_and_no_words_of_users(serve: Any) -> None:
    gate = Gate()
    running = await serve(scripted(Say("one two", gate)), secret=SECRET, extensions=["operations"])
    async with connected(running.address, token("zoe")) as client:
        await client.send({"type": "user_message", "payload": {"content": WORDS, "agent_type": "script",
                                                             "thread_id": "my own thread"}})  # fmt: skip
        await gate.reached.wait()
        status, body = await observe(running, "?levels=8")
        gate.opened.set()
        await client.until("final_response")
    assert status == 200
    top = body["tree"]
    assert (top["path"], top["type"], top["state"], top["child_count"]) == ("/system", "Supervisor", "running", 5)
    parts = {part["path"]: part for part in top["children"]}
    (conversation,) = parts["/system/conversations"]["children"]
    (run,) = conversation["children"]
    (connection,) = parts["/system/connections"]["children"]
    assert [part["type"] for part in (conversation, run, connection)] == ["Conversation", "Run", "WebSocketConnection"]
    assert connection["children"][0]["path"] == f"{connection['path']}/outbox"
    assert all(0 <= part["age_s"] < 20 and part["restarts"] == 0 for part in (conversation, run, connection))
    assert set(parts["/system/storage"]["children"][0]["depth"]) <= {"alert", "high", "normal", "low"}
    for words in (WORDS, "my own thread", "zoe"):
        assert words not in json.dumps(body)
    apart = ("connections", "dead_letters", "incidents", "reads_waiting", "readers_at_work")  # recovery reads by itself
    assert await counts(running) | dict.fromkeys(apart, 0) == {
        "connections": 0, "conversations": 1, "runs": 0, "runs_waiting": 0, "writes_waiting": 0, "reads_waiting": 0,
        "readers_at_work": 0, "dead_letters": 0, "incidents": 0, "watchers": 0,
    }  # fmt: skip


async def test_a_crowd_is_folded_and_found(serve: Any) -> None:
    running = await serve(secret=SECRET)
    await crowd(running, 2000)
    status, body = await observe(running, "?levels=8&limit=500")
    connections = next(child for child in body["tree"]["children"] if child["path"] == "/system/connections")
    assert (status, connections["child_count"], len(connections["children"])) == (200, 2000, 500)
    assert len(json.dumps(body)) < 250_000
    _, body = await observe(running, "?path=/system/connections&limit=3&offset=1998")
    assert [child["path"][-5:] for child in body["tree"]["children"]] == ["01998", "01999"]
    _, body = await observe(running, "?text=C0123&limit=10")
    (connections,) = body["tree"]["children"]
    assert [child["path"][-6:] for child in connections["children"]] == [f"c0123{n}" for n in range(10)]
    assert (body["found"], body["more"]) == (10, False)
    _, body = await observe(running, "?text=c0123&limit=9")
    assert (body["found"], body["more"]) == (9, True)
    assert (await observe(running, "?state=stopping"))[1] | {"tree": None} == {"tree": None, "found": 0, "more": False}
    _, body = await observe(running, "?path=/system/storage&state=running")
    assert [child["path"] for child in body["tree"]["children"]] == ["/system/storage/writer"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("?path=/system/none", 404), ("?path=/other", 404), ("?limit=0", 400), ("?limit=501", 400), ("?levels=9", 400),
     ("?offset=x", 400), ("?state=well", 400), ("?text=" + "x" * 201, 400), ("?path=/system/none&text=x", 404)],
)  # fmt: skip
async def test_what_is_not_there_is_refused(serve: Any, query: str, status: int) -> None:
    running = await serve(secret=SECRET)
    assert (await observe(running, query))[0] == status


def _of_actors(incidents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out that the loop was held, as it is while a busy machine starts the server."""
    return [incident for incident in incidents if incident["error"] != LOOP_HELD]


async def test_changes_show_the_restarts_that_chaos_makes(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = await serve(secret=SECRET)
    async with watching(running) as stream:
        hello = await stream.until("hello")
        assert (hello["may_kill"], _of_actors(hello["incidents"])) == (False, [])
        change: dict[str, Any] = {"restarts": 0}
        async with chaos(running.system, seed=1, rates=Rates(kills_per_s=5), subtree="/system/storage/writer"):
            while not change["restarts"]:
                change = await until_change(stream, "/system/storage/writer")
        if change["state"] != "running":
            change = await until_change(stream, "/system/storage/writer", state="running")
        assert change["incarnation"] == change["restarts"] + 1
        while not _of_actors(event.body for event in stream.seen if event.kind == "incident"):
            await stream.read()
    incidents = _of_actors(event.body for event in stream.seen if event.kind == "incident")[0]
    assert incidents | {"number": 0, "at": 0, "error_id": ""} == {
        "number": 0, "at": 0, "path": "/system/storage/writer", "error": "killed", "message_type": None,
        "decision": "back_off", "error_id": "",
    }  # fmt: skip
    assert incidents["error_id"] in {getattr(record, "error_id", None) for record in caplog.records}


async def test_a_crash_is_shown_by_its_class_only(serve: Any) -> None:
    running = await serve(secret=SECRET)
    await crowd(running, 1)
    async with watching(running) as stream:
        await stream.until("hello")
        ref = running.system.find("/system/connections/c00000")
        ref.tell(WORDS)
        incident = await stream.until("incident")
        while not _of_actors([incident]):
            incident = await stream.until("incident")
    assert (incident["path"], incident["error"], incident["message_type"]) == (ref.path, "ValueError", "str")
    listed = await get(running, "/api/observer/incidents", OPERATOR)
    assert _of_actors(listed["incidents"]) == [incident]
    text = json.dumps([event.data for event in stream.seen]) + json.dumps(listed)
    text += json.dumps((await observe(running, "?levels=8"))[1])
    assert WORDS not in text
    assert "Traceback" not in text


async def test_a_conversation_that_rests_is_counted_above_it(serve: Any) -> None:
    running = await serve(secret=SECRET, observer_kill=True)
    for _ in range(3):  # the first restarts have almost no backoff
        async with watching(running) as stream:
            await stream.until("hello")
            assert (await kill(running, path="/system/storage/writer"))[0] == 202
            await until_change(stream, "/system/storage/writer", state="running")
    async with watching(running) as stream:
        await stream.until("hello")
        assert (await kill(running, path="/system/storage/writer"))[0] == 202
        await until_change(stream, "/system/storage/writer", state="backing_off")
        latest = next(event.body for event in reversed(stream.seen) if event.kind == "changes")
        assert (latest["resting_below"]["/system"], latest["resting_below"]["/system/storage"]) == (1, 1)
        await until_change(stream, "/system/storage/writer", state="running")
        latest = next(event.body for event in reversed(stream.seen) if event.kind == "changes")
        assert latest["resting_below"]["/system"] == 0


async def test_a_client_that_does_not_read_uses_bounded_memory(serve: Any) -> None:
    running = await serve(secret=SECRET)
    async with watching(running) as stream:
        await stream.until("hello")
        await crowd(running, MAX_PENDING + 200)
        await stream.until("resync")
        await crowd(running, 120, prefix="late")
        assert (await until_change(stream, "/system/connections/late00119"))["state"] == "running"
        latest = next(event.body for event in reversed(stream.seen) if event.kind == "changes")
        assert latest["child_counts"]["/system/connections"] == MAX_PENDING + 320
        assert all(len(event.body["changes"]) <= 50 for event in stream.seen if event.kind == "changes")


async def counts(running: Running) -> dict[str, int]:
    status, _, body = await request(running.address, "GET", "/api/observer/incidents", token=OPERATOR)
    assert status == 200
    numbers: dict[str, int] = body["counts"]
    return numbers


async def test_a_stream_that_was_left_is_forgotten_and_too_many_are_refused(serve: Any) -> None:
    running = await serve(secret=SECRET)
    async with trio.open_nursery() as nursery:

        async def hold(task_status: Any) -> None:
            async with watching(running) as stream:
                await stream.until("hello")
                task_status.started()
                await trio.sleep_forever()

        for _ in range(MAX_STREAMS):
            await nursery.start(hold)
        async with watching(running) as stream:
            assert (stream.status, stream.body["error"]["code"]) == (503, "busy")
        nursery.cancel_scope.cancel()
    with trio.fail_after(60):
        while (await counts(running))["watchers"]:
            pass
    async with watching(running) as stream:
        await stream.until("hello")


async def test_a_stream_ends_with_its_token_its_session_and_its_server(serve: Any) -> None:
    running = await serve(secret=SECRET)
    async with watching(running, token("op", "operator", exp=time.time() + 1.5)) as stream:
        assert await stream.until("end") == {"reason": "token_expired"}
    leaver = token("op", "operator", sid="other")
    async with watching(running, leaver) as stream:
        await stream.until("hello")
        assert (await request(running.address, "DELETE", "/api/sessions", token=leaver))[0] == 204
        assert await stream.until("end") == {"reason": "signed_out"}
    async with watching(running) as stream, trio.open_nursery() as nursery:
        await stream.until("hello")
        nursery.start_soon(running.stop)
        assert await stream.until("end") == {"reason": "closing"}


async def test_a_head_request_opens_no_stream(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = await serve(secret=SECRET)
    async with streaming(running.address, "/api/observer/changes", OPERATOR, method="HEAD") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        with trio.fail_after(60), pytest.raises(EOFError):
            await stream.some()
        assert (await counts(running))["watchers"] == 0
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_kills_need_the_setting(serve: Any) -> None:
    running = await serve(secret=SECRET)
    status, answer = await kill(running, path="/system/observe/recovery")
    assert (status, answer["error"]["code"]) == (403, "forbidden")


async def test_what_may_be_killed_and_what_not(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    running = await serve(secret=SECRET, observer_kill=True)
    for body, expected in (
        ({"path": "/system"}, 403), ({"path": "system/"}, 403), ({"path": "/system", "part": True}, 403),
        ({"path": "/system/storage"}, 403), ({"path": "/system/none"}, 404), ({"path": ""}, 404),
        ({"path": 1}, 400), ({}, 400), ({"path": "/system/storage", "part": 1}, 400),
    ):  # fmt: skip
        assert (await kill(running, **body))[0] == expected, body
    async with watching(running) as stream:
        assert (await stream.until("hello"))["may_kill"] is True
        assert await kill(running, path="/system/storage", part=True) == (202, {"path": "/system/storage"})
        assert (await until_change(stream, "/system/storage", state="running"))["restarts"] == 1
    killed = [record for record in caplog.records if record.getMessage() == "observer.kill"]
    assert [record.path for record in killed] == ["/system/storage"]  # type: ignore[attr-defined]
    assert (await request(running.address, "GET", "/readyz"))[0] == 200
