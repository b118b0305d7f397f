"""A thread's events as server-sent events: replay, live delivery, limits and ends, over real sockets."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import h11
import pytest
import trio

from tests.end_to_end.passing_time import clocks as clocks
from tests.rigs import tokens
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.rigs.sse import Parser, Stream, streaming
from tests.rigs.thread_stream import gone, opened, say
from understudy import Agent, tool
from understudy.app.server import Running
from understudy.storage.limits import Limits


async def until_ends(stream: Stream, count: int = 1) -> None:
    for _ in range(count):
        await stream.until("final_response")


@pytest.mark.promise("wire.stream", "owasp.proxies")
async def test_a_stream_replays_the_log_and_continues_live(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one two")))
    await say(running, token)
    async with opened(running, token) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert (await stream.read()).kind == "welcome"
        await until_ends(stream)
        run = (await say(running, token, "again"))["run_id"]
        await until_ends(stream)
        assert stream.parser.retry_ms == 2000
    numbers = stream.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    durable = [event.body for event in stream.seen if "seq" in event.body]
    check_arc([event for event in durable if event["run_id"] == run])
    for event in stream.seen:
        assert event.kind == event.body["type"]
        if "seq" in event.body:
            assert event.last_id == str(event.body["seq"])


@pytest.mark.promise("wire.stream-last-event-id")
async def test_a_client_that_comes_back_gets_what_came_after(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one two")))
    await say(running, token)
    async with opened(running, token) as stream:
        await until_ends(stream)
        last = stream.numbers()[-1]
    for query, headers in (("?after=3", {}), ("?after=1", {"Last_Event_ID": "3"})):
        async with opened(running, token, query=query, **headers) as stream:
            await until_ends(stream)
            assert stream.numbers() == list(range(4, last + 1))
    metrics = await get(running, "/metrics")
    assert "understudy_reconnects_total 2.0" in metrics, "the first one was new"


@pytest.mark.promise("wire.stream")
async def test_a_stream_opened_during_an_answer_gets_its_text_from_the_beginning(serve_guest: Any) -> None:
    gate = Gate(open_after=3)
    running, token = await serve_guest(scripted(Say("one two three four five", gate)))
    await say(running, token)
    await gate.reached.wait()
    async with opened(running, token) as stream:
        piece = await stream.until("partial_result")
        assert piece["data"]["offset"] == 0
        gate.opened.set()
        text = piece["data"]["text"]
        while (event := await stream.read()).kind in ("partial_result", "agent_completed"):
            if event.kind == "partial_result":
                assert event.body["data"]["offset"] == len(text)
                text += event.body["data"]["text"]
        assert text.startswith("one two three")
        assert text == event.body["data"]["message"]


@pytest.mark.promise("wire.no-way-round")
async def test_streams_that_are_refused(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    mine, theirs = await new_token(running), await new_token(running)
    await say(running, mine)
    for token, thread, query, headers, status, code in (
        (mine, "none", "", {}, 404, "not_found"),
        (theirs, "t", "", {}, 404, "not_found"),
        (None, "t", "", {}, 401, "unauthenticated"),
        ("bad", "t", "", {}, 401, "unauthenticated"),
        (None, "t", "?session_token=bad", {}, 401, "unauthenticated"),
        (mine, "t", "", {"Origin": "https://elsewhere.example"}, 403, "forbidden"),
        (mine, "t", "?after=-1", {}, 400, "invalid_command"),
        (mine, "t", "?after=99999999999999999999", {}, 400, "invalid_command"),
        (mine, "t", "", {"Last_Event_ID": "x"}, 400, "invalid_command"),
    ):
        async with opened(running, token, thread, query, **headers) as stream:
            assert (stream.status, stream.body["error"]["code"]) == (status, code)
    await gone(running)
    async with opened(running, None, query=f"?session_token={mine}") as stream:
        assert stream.status == 200


@pytest.mark.promise("wire.stream-counted")
async def test_streams_count_as_connections(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), limits=Limits(connections_per_user=2))
    await say(running, token)
    async with connected(running.address, token), opened(running, token) as first:
        await first.read()
        async with opened(running, token) as refused:
            assert (refused.status, refused.body["error"]["code"]) == (429, "rate_limited")
    await gone(running)
    async with opened(running, token) as stream, opened(running, token) as another:
        assert (stream.status, another.status) == (200, 200)
    await gone(running)


async def test_a_client_that_leaves_ends_its_actor_and_not_the_run(serve_guest: Any) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Say("one two", gate)))
    await say(running, token)
    async with opened(running, token) as stream:
        await stream.until("agent_started")
    await gone(running)
    gate.opened.set()
    async with opened(running, token) as stream:
        end = await stream.until("final_response")
    assert (end["data"]["status"], end["data"]["message"]) == ("success", "one two ")


@pytest.mark.promise("wire.event-ping", "wire.stream-alive")
async def test_a_quiet_stream_gives_signs_of_life(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")), limits=Limits(heartbeat_s=0.05))
    await say(running, token)
    async with opened(running, token, query="?after=99") as stream:
        for _ in range(3):
            assert (await stream.until("ping"))["type"] == "ping"
    async with opened(running, token, query="?after=99&dialect=agent_response") as stream:
        with trio.fail_after(60):
            while len(stream.parser.comments) < 3:
                stream.parser.feed(await stream.some())
        assert set(stream.parser.comments) == {"ping"}


@pytest.mark.promise("wire.stream-dialects")
async def test_dialects_are_those_of_sockets(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    await say(running, token)
    async with opened(running, token, query="?dialect=flat") as stream:
        accepted = await stream.until("message_accepted")
        assert accepted["content"] == "go"
        assert "data" not in accepted
        assert stream.seen[-1].last_id == "1"
    async with opened(running, token, query="?dialect=agent_response") as stream:
        event = await stream.read()
        assert (event.kind, event.body["message"], event.body["type"]) == ("final_response", "one ", "message")


@pytest.mark.promise("wire.stream-ends")
async def test_a_draining_server_announces_it_first(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    await say(running, token)
    async with opened(running, token) as stream:
        await until_ends(stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.stop)
            await stream.until_end()
    assert stream.kinds()[-1] == "drain"
    assert stream.parser.retry_ms == pytest.approx(stream.seen[-1].body["data"]["reconnect_after_s"] * 1000, abs=1)


@tool
async def large(size: int) -> str:
    """Return a text of this size."""
    return "x" * size


@pytest.mark.promise("wire.order")
async def test_a_slow_reader_loses_no_event_and_delays_no_run(serve_guest: Any) -> None:
    script = scripted(Call([("large", {"size": 40_000})] * 8), Say("done"))
    running, token = await serve_guest(Agent("script", tools=[large], model=script.model))
    await say(running, token)
    async with opened(running, token) as slow, opened(running, token) as quick:
        await until_ends(slow)
        for _ in range(9):
            await say(running, token)
        await until_ends(quick, 10)
        await until_ends(slow, 9)
    assert slow.numbers() == quick.numbers() == list(range(1, len(slow.numbers()) + 1))
    assert sum(len(event.data) for event in slow.seen) > 5_000_000


@pytest.mark.promise("wire.event-alert", "owasp.authorisation")
async def test_only_operators_can_send_alerts(serve: Any) -> None:
    running = await serve(scripted(Say("one")), secret=tokens.SECRET)
    user, operator = tokens.token("ada"), tokens.token("op", "operator")
    await say(running, user)
    async with opened(running, user) as stream, connected(running.address, operator) as client:
        await stream.until("final_response")
        for who, message, status in (
            (user, '{"message": "hello"}', 403), (None, '{"message": "hello"}', 401),
            (operator, '{"message": " "}', 400), (operator, "[]", 400), (operator, '{"message": 1}', 400),
            (operator, json.dumps({"message": "x" * 501}), 400),
        ):  # fmt: skip
            answer, _, _ = await request(running.address, "POST", "/api/alerts", token=who, body=message.encode())
            assert answer == status, message
        body = b'{"message": "Maintenance  at noon."}'
        answer, _, alert = await request(running.address, "POST", "/api/alerts", token=operator, body=body)
        assert (answer, alert) == (202, {"connections": 2})
        assert (await stream.until("alert"))["data"] == {"message": "Maintenance at noon."}
        assert (await client.until("alert"))["priority"] == "alert"


async def test_a_head_request_opens_nothing(serve_guest: Any) -> None:
    running, token = await serve_guest(scripted(Say("one")))
    await say(running, token)
    async with streaming(running.address, "/api/threads/t/stream", token, method="HEAD") as stream:
        assert stream.status == 200
        with trio.fail_after(60), pytest.raises(EOFError):
            await stream.some()
        connections = running.system.find("/system/connections")
        assert connections is not None
        assert connections.children() == []


def test_the_tests_parser_follows_the_standard() -> None:
    parser = Parser()
    whole = "\ufeffdata: YHOO\ndata:+2\r\ndata\r\n\r\n: a comment\nid: 1\nevent: add\rdata:  x\n\n"
    whole += "id\ndata: y\n\nretry: 9\n\n"
    events = [event for byte in re.findall(rb".", whole.encode(), re.DOTALL) for event in parser.feed(byte)]
    assert [(event.kind, event.data, event.last_id) for event in events] == [
        ("message", "YHOO\n+2\n", ""), ("add", " x", "1"), ("message", "y", ""),
    ]  # fmt: skip
    assert (parser.comments, parser.retry_ms) == (["a comment"], 9)


async def answers_of(running: Running, head: str, first: str = "") -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the first bytes of the body of a request, after a `first` one if given."""
    where = urlsplit(running.address)
    http = h11.Connection(h11.CLIENT)
    async with await trio.open_tcp_stream(where.hostname or "", where.port or 80) as connection:
        for target in (first, head) if first else (head,):
            path, _, fields = target.partition("\n")
            lines = [("Host", where.netloc), *(tuple(line.split(": ", 1)) for line in fields.splitlines())]
            await connection.send_all(http.send(h11.Request(method="GET", target=path, headers=lines)) or b"")
            http.send(h11.EndOfMessage())
            events = []
            with trio.fail_after(60):
                while not isinstance(event := http.next_event(), h11.Data | h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        http.receive_data(await connection.receive_some(65536))
                    else:
                        events.append(event)
            if target == first and first:
                while not isinstance(http.next_event(), h11.EndOfMessage):
                    pass
                http.start_next_cycle()
        (answer,) = events
        assert isinstance(answer, h11.Response)
        named = {name.decode(): value.decode() for name, value in answer.headers}
        return answer.status_code, named, bytes(event.data) if isinstance(event, h11.Data) else b""


async def test_the_first_request_of_a_connection_is_answered_as_a_later_one(serve_guest: Any, caplog: Any) -> None:
    """A stream, and refusals: the same status, headers, body and log, whether HTTP server or listener sends them.

    Only the first one's connection is closed after the answer.
    """
    caplog.set_level("INFO")
    running, token = await serve_guest(scripted(Say("one two")), allowed_origins=("https://page.example",))
    await say(running, token)
    authorized = f"\nAuthorization: Bearer {token}"
    for request_ in (
        f"/api/threads/t/stream{authorized}",
        f"/api/threads/t/stream?after=1&dialect=flat&session_token={token}\nOrigin: https://page.example",
        f"/api/threads/t/stream{authorized}\nOrigin: https://evil.example",
        f"/api/threads/none/stream{authorized}\nOrigin: https://page.example",
        f"/api/threads/t/stream?after=x{authorized}",
        "/api/threads/t/stream\nAuthorization: Bearer x",
        "/api/threads/t%2Fu/stream",
    ):
        status, headers, body = await answers_of(running, request_)
        later_status, later_headers, later_body = await answers_of(running, request_, first="/healthz")
        assert headers.pop("connection") == "close", request_
        assert "connection" not in later_headers
        assert (status, {**headers, "date": ""}) == (later_status, {**later_headers, "date": ""})
        if status != 200:
            error, later_error = json.loads(body)["error"], json.loads(later_body)["error"]
            assert {**error, "error_id": ""} == {**later_error, "error_id": ""}
            peers = {record.peer for record in caplog.records if record.msg == "request.refused"}
            assert peers == {"127.0.0.1"}
