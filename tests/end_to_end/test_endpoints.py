"""The endpoints of a running server: forms of "say", dialects, resume, duplicates, bad input, authentication."""

import json
import time
import uuid
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
import trio
import trio_websocket

from tests.end_to_end.chat_client import check_arc, connected
from tests.end_to_end.http import handshake, new_token, request
from tests.end_to_end.scripted_model import Gate, Say, scripted
from transport.connection.limits import Limits

ASK = "What is 17 * 23? Use your calculator."
STARTS = [
    {"type": "message", "content": ASK},
    {"type": "chat", "content": ASK},
    {"type": "agent_message", "content": ASK},
    {"type": "user_message", "payload": {"content": ASK}},
    {"type": "start_agent", "payload": {"content": ASK, "settings": {}, "context": {}, "references": []}},
    {"agent_type": "guide", "message": ASK},
]
"""Messages to the guide, in each form that a server accepts."""
FORMS = [*STARTS, {"agent_type": "liaison", "pillar": "insights", "message": ASK, "metadata": {}}]


@pytest.mark.promise("wire.say-forms")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.get("type") or form["agent_type"])
async def test_every_form_of_say_yields_a_whole_arc_with_the_right_answer(serve: Any, form: dict[str, Any]) -> None:
    running = await serve()
    async with connected(running.address) as client:
        await client.send(form)
        final = await client.until_end()
        check_arc(client.durable())
    assert final["type"] == "final_response"
    assert "391" in final["data"]["message"]


@pytest.mark.promise("wire.arc-order")
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/ws", {"type": "message", "content": "Test agent execution"}),
        ("/ws?dialect=flat", {"type": "agent_message", "content": "Test agent execution"}),
    ],
)
async def test_a_plain_test_shows_the_whole_story(serve: Any, path: str, form: dict[str, Any]) -> None:
    """The message "test" is answered with started, thinking, a tool call, completed and an answer."""
    running = await serve()
    async with connected(running.address, path=path) as client:
        await client.send(form)
        await client.until_end()
    kinds = list(dict.fromkeys(event["type"] for event in client.durable()))
    assert kinds == [
        "message_accepted",
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "agent_completed",
        "final_response",
    ]


@pytest.mark.promise("wire.anonymous-socket", "wire.event-welcome")
async def test_the_welcome_tells_what_a_client_needs(serve: Any) -> None:
    """`welcome` has the user, the limits and the heartbeat, and a token for a socket without one."""
    running = await serve()
    async with connected(running.address) as client:
        data = client.seen[0]["data"]
    assert {"connection_id", "user", "session", "version", "limits", "heartbeat_s", "threads"} <= data.keys()
    async with connected(running.address, data["session_token"]) as again:
        assert again.seen[0]["data"]["user"] == data["user"]
        assert "session_token" not in again.seen[0]["data"]


@pytest.mark.promise("wire.dialect-flat")
async def test_flat_events_carry_their_fields_at_the_top(serve: Any) -> None:
    """With `?dialect=flat` no event has `data`, and the timestamp is ISO 8601."""
    running = await serve()
    async with connected(running.address, path="/ws?dialect=flat") as client:
        await client.send({"type": "agent_message", "content": ASK})
        await client.until_end()
    kinds = [event["type"] for event in client.seen]
    assert all("data" not in event and event["timestamp"].endswith("Z") for event in client.seen)
    for kind in ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"):
        assert kind in kinds


@pytest.mark.promise("wire.dialect-payload")
async def test_the_payload_dialect_is_chosen_by_subprotocol(serve: Any) -> None:
    """The offered dialect is selected, and events carry `payload`."""
    running = await serve()
    async with connected(running.address, subprotocols=["understudy.payload"]) as client:
        assert client.socket.subprotocol == "understudy.payload"
    assert "payload" in client.seen[0]


@pytest.mark.promise("wire.endpoint-agent", "wire.exact-pillar", "wire.exact-agent-type", "wire.dialect-agent-response")
async def test_agent_responses_keep_the_two_published_texts(serve: Any) -> None:
    """On /api/ws/agent there is no welcome; the two error texts are exact; the connection lives on and answers."""
    running = await serve()
    async with connected(running.address, path="/api/ws/agent", welcome=False) as client:
        await client.send({"agent_type": "liaison", "message": "hi"})
        assert (await client.read())["message"] == "pillar is required for liaison agent"
        await client.send({"agent_type": "oracle", "message": "hi"})
        assert (await client.read())["message"] == "Unknown agent_type: oracle"
        await client.send({"agent_type": "liaison", "pillar": "content", "message": "What can you do?"})
        answer = await client.read()
    assert (answer["agent_type"], answer["pillar"], answer["type"]) == ("liaison", "content", "message")
    assert answer["conversation_id"]


@pytest.mark.promise("wire.endpoint-liaison", "wire.deprecated")
async def test_a_deprecated_endpoint_works_says_so_and_is_counted(serve: Any) -> None:
    """The agent is fixed by the path, the handshake carries Deprecation, the metrics count the use."""
    running = await serve()
    async with connected(running.address, path="/api/ws/liaison/operations", welcome=False) as client:
        headers = {name.lower(): value for name, value in client.socket.handshake_headers}
        assert headers[b"deprecation"].startswith(b"@")
        await client.send({"type": "message", "content": "What can you do?"})
        answer = await client.read()
    assert (answer["agent_type"], answer["pillar"]) == ("liaison", "operations")
    _, _, metrics = await request(running.address, "GET", "/metrics")
    assert "understudy_deprecated_endpoint_uses_total{" in metrics


async def test_metrics_tell_who_came_back_and_who_writes_while_they_wait(serve: Any) -> None:
    """Also of clients that resume nothing, such as those of `/api/ws/agent`."""
    gate = Gate()
    running = await serve(scripted(Say("First.", gate), Say("Second.")))
    path, token = "/api/ws/agent", await new_token(running)

    async def counts() -> list[str]:
        _, _, metrics = await request(running.address, "GET", "/metrics")
        names = ("understudy_messages_impatient_total ", "understudy_users_returned_total ")
        return [line.split()[1] for line in metrics.splitlines() if line.startswith(names)]

    async with connected(running.address, token, path, welcome=False) as client:
        await client.send({"type": "message", "content": "One.", "thread_id": "t", "agent_type": "script"})
        await gate.reached.wait()
        assert await counts() == ["0.0", "0.0"]
        await client.send({"type": "message", "content": "Two.", "thread_id": "t", "agent_type": "script"})
        with trio.fail_after(5):
            while await counts() != ["0.0", "1.0"]:  # noqa: ASYNC110 - asked over HTTP
                await trio.sleep(0.01)
    with trio.fail_after(5):
        while await counts() != ["1.0", "1.0"]:
            async with connected(running.address, token, path, welcome=False):
                pass


@pytest.mark.promise("wire.repeat")
async def test_the_same_message_twice_is_one_message(serve: Any) -> None:
    """The second gets the same message_accepted, and no second run begins; on a new connection also the answer."""
    running = await serve()
    token = await new_token(running)
    message_id = uuid.uuid4().hex
    async with connected(running.address, token) as client:
        await client.say(ASK, message_id=message_id)
        await client.until_end()
        accepted = next(event for event in client.seen if event["type"] == "message_accepted")
        await client.say(ASK, message_id=message_id)
        again = await client.until("message_accepted")
        await client.send({"type": "ping", "payload": {"nonce": "1"}})
        assert (await client.read())["type"] == "pong"
    async with connected(running.address, token) as other:
        await other.say(ASK, message_id=message_id)
        await other.until_end()
    assert again["data"] == accepted["data"]
    assert other.durable() == client.durable()[:-1]


@pytest.mark.promise("wire.resume-no-gap")
async def test_resume_after_each_event_has_no_gap_and_no_repeat(serve: Any) -> None:
    """The socket is dropped after every durable event in turn; the pieces together are the log."""
    running = await serve()
    token = await new_token(running)
    thread, last = None, 0
    for cut in range(1, 9):
        async with connected(running.address, token) as client:
            await client.say(ASK, **({"thread_id": thread} if thread else {}))
            while len(client.durable()) < cut:
                event = await client.read()
                if event["type"] in ("final_response", "error"):
                    break
        first = client.durable()
        thread = first[0]["thread_id"]
        async with connected(running.address, token) as client:
            await client.send({"type": "resume", "payload": {"threads": {thread: first[-1]["seq"]}}})
            if first[-1]["type"] != "final_response":
                await client.until_end()
        whole = first + client.durable()
        assert [event["seq"] for event in whole] == list(range(last + 1, last + 1 + len(whole)))
        check_arc(whole)
        last = whole[-1]["seq"]


@pytest.mark.promise("wire.resume-text")
async def test_resume_in_the_middle_of_an_answer_gives_the_text_again_from_the_start(serve: Any) -> None:
    """A second connection gets what was streamed so far as text from offset 0, then the rest, as it comes."""
    gate = Gate(open_after=3)
    running = await serve(scripted(Say("one two three four five", gate)))
    token = await new_token(running)
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.say("go", agent_type="script")
        await gate.reached.wait()
        thread = (await first.until("agent_started"))["thread_id"]
        await second.send({"type": "resume", "payload": {"threads": {thread: 0}}})
        piece = await second.until("partial_result")
        assert piece["data"]["offset"] == 0
        assert piece["data"]["text"].startswith("one ")
        gate.opened.set()
        await second.until_end()
    text = "".join(event["data"]["text"] for event in second.seen if event["type"] == "partial_result")
    assert text == second.seen[-1]["data"]["message"]
    check_arc(second.durable())


@pytest.mark.promise("wire.tabs")
async def test_two_tabs_of_one_user_stay_in_step(serve: Any) -> None:
    running = await serve()
    token = await new_token(running)
    async with connected(running.address, token) as one, connected(running.address, token) as two:
        await one.say(ASK, thread_id="shared")
        await one.until_end()
        end = await two.until_end()  # a new thread reaches all tabs
        await two.send({"type": "resume", "payload": {"threads": {"shared": end["seq"]}}})
        await two.say(ASK, thread_id="shared")
        await one.until_end()
        await two.until_end()
    assert [(e["seq"], e["type"]) for e in one.durable()] == [(e["seq"], e["type"]) for e in two.durable()]


BAD = {
    "not json": ("{", "bad_json"),
    "an array": ("[1,2]", "invalid_command"),
    "unknown type": ('{"type":"dance"}', "unknown_type"),
    "empty": ('{"type":"message","content":""}', "empty_message"),
    "blank": ('{"type":"message","content":"  \\n"}', "empty_message"),
    "content is not text": ('{"type":"message","content":{"a":1}}', "invalid_command"),
    "null payload": ('{"type":"user_message","payload":null}', "invalid_command"),
    "unknown agent": ('{"agent_type":"oracle","message":"x"}', "unknown_agent_type"),
    "missing pillar": ('{"agent_type":"liaison","message":"x"}', "pillar_required"),
    "unknown pillar": ('{"agent_type":"liaison","pillar":"astrology","message":"x"}', "unknown_pillar"),
    "unknown thread": ('{"type":"resume","payload":{"threads":{"nowhere":3}}}', "not_found"),
    "unknown run": ('{"type":"cancel","payload":{"run_id":"nope"}}', "not_found"),
    "unknown file": ('{"type":"user_message","payload":{"content":"x","references":["nope"]}}', "not_found"),
    "huge text": (json.dumps({"type": "message", "content": "x" * 300_000}), "message_too_large"),
    "unprintable id": ('{"type":"user_message","payload":{"content":"x","thread_id":"a\\u0000b"}}', "invalid_command"),
}


@pytest.mark.promise(
    "wire.faults-answered",
    "wire.error-bad-json",
    "wire.error-invalid-command",
    "wire.error-unknown-type",
    "wire.error-unknown-agent-type",
    "wire.error-pillar-required",
    "wire.error-unknown-pillar",
    "wire.error-empty-message",
    "wire.error-message-too-large",
    "wire.error-not-found",
    "owasp.input",
    "owasp.tunnelling",
)
async def test_bad_frames_get_a_code_each_and_the_connection_lives_on(serve: Any) -> None:
    """Every kind of bad frame is answered by its code in a sentence, and a good one afterwards by an answer."""
    running = await serve()
    async with connected(running.address) as client:
        for name, (frame, code) in BAD.items():
            await client.send(frame)
            event = await client.read()
            assert (event["type"], event["data"]["code"]) == ("error", code), name
            assert event["data"]["message"].strip(), name
            assert event["data"]["error_id"], name
        await client.say(ASK)
        await client.until_end()
        check_arc(client.durable())


@pytest.mark.promise("wire.names-own-space", "owasp.authorisation")
async def test_a_user_cannot_name_the_thread_run_or_file_of_another(serve: Any) -> None:
    """The same thread id is another thread; another's run cannot be cancelled, another's file not used."""
    running = await serve()
    async with connected(running.address) as ada, connected(running.address) as bob:
        await ada.say("Repeat the word zebra", thread_id="diary", message_id="m")
        await ada.until_end()
        run_id = ada.durable()[0]["run_id"]
        await bob.send({"type": "resume", "payload": {"threads": {"diary": 0}}})
        assert (await bob.read())["data"]["code"] == "not_found"
        await bob.send({"type": "cancel", "payload": {"run_id": run_id}})
        assert (await bob.read())["data"]["code"] == "not_found"
        await bob.say("Hello", thread_id="diary", message_id="m")
        await bob.until_end()
        assert bob.durable()[0]["seq"] == 1
        assert "zebra" not in json.dumps(bob.seen)


@pytest.mark.promise("wire.token-first-decides", "wire.token-before-upgrade")
@pytest.mark.parametrize("token", ["x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", ""], ids=["garbage", "none", "empty"])
async def test_a_bad_token_is_refused_before_the_upgrade(serve: Any, token: str) -> None:
    """The answer is 401. No other carrier is tried, and no anonymous session is issued."""
    running = await serve()
    status, body = await handshake(running.address, f"/ws?session_token={token}")
    assert (status, body["error"]["code"]) == (401, "unauthenticated")
    assert body["error"]["error_id"]


@pytest.mark.promise("wire.token-secret")
async def test_a_forged_or_outdated_token_is_refused_and_says_which(serve: Any, tmp_path: Any) -> None:
    """A token signed with another secret is `unauthenticated`, an expired one `token_expired`."""
    running = await serve()
    secret = (tmp_path / "data" / "secret").read_bytes().strip()
    claims = {"sub": "ada", "sid": "s", "exp": int(time.time()) + 60}
    for key, exp, code in ((b"k" * 48, claims["exp"], "unauthenticated"), (secret, 1, "token_expired")):
        token = jwt.encode(claims | {"exp": exp}, key, algorithm="HS256")
        status, _, body = await request(running.address, "GET", "/api/threads", token=token)
        assert (status, body["error"]["code"]) == (401, code)
        status, body = await handshake(running.address, "/ws", Authorization=f"Bearer {token}")
        assert (status, body["error"]["code"]) == (401, code)


@pytest.mark.promise("wire.origin", "wire.error-forbidden", "owasp.csrf")
async def test_a_page_of_another_origin_is_kept_out(serve: Any) -> None:
    """403 before the upgrade and over REST; the server's own origin is accepted."""
    running = await serve()
    evil = {"Origin": "https://evil.example"}
    status, body = await handshake(running.address, "/ws", **evil)
    assert (status, body["error"]["code"]) == (403, "forbidden")
    status, _, body = await request(running.address, "POST", "/api/sessions", headers=evil)
    assert (status, body["error"]["code"]) == (403, "forbidden")
    async with connected(running.address, headers={"Origin": running.address}):
        pass


@pytest.mark.promise("wire.host")
async def test_without_a_secret_the_server_answers_under_a_name_of_this_machine_only(serve: Any) -> None:
    """A foreign host name that resolves to 127.0.0.1 is refused (DNS rebinding); with a secret any name is accepted."""
    running = await serve()
    status, _, body = await request(running.address, "GET", "/metrics", headers={"Host": "evil.example"})
    assert (status, body["error"]["code"]) == (403, "forbidden")
    assert (await handshake(running.address, "/ws", Host="evil.example"))[0] == 403
    assert (await request(running.address, "GET", "/healthz", headers={"Host": "localhost:8002"}))[0] == 200


@pytest.mark.promise("wire.limit-connections", "wire.close-4429", "owasp.connections")
async def test_one_connection_too_many_of_a_user_is_refused_with_4429(serve: Any) -> None:
    """Twenty are accepted; the next is closed with the limit in its reason; a closed connection makes room."""
    running = await serve()
    token = await new_token(running)
    async with AsyncExitStack() as stack:
        for _ in range(19):
            await stack.enter_async_context(connected(running.address, token))
        async with connected(running.address, token), connected(running.address, token, welcome=False) as refused:
            assert await refused.until_closed() == 4429
            assert refused.seen[-1]["data"]["code"] == "rate_limited"
            assert refused.socket.closed is not None
            assert refused.socket.closed.reason == refused.seen[-1]["message"]
            assert "20 connections" in refused.socket.closed.reason
            assert "connections_per_user" in refused.socket.closed.reason
        with trio.fail_after(60):
            while True:
                try:
                    async with connected(running.address, token):
                        break
                except (trio_websocket.ConnectionClosed, AssertionError):
                    await trio.lowlevel.checkpoint()


@pytest.mark.promise("wire.limit-messages")
async def test_too_many_messages_a_minute_are_refused_with_a_time_to_wait(serve: Any) -> None:
    """The bucket empties, the refusal names retry_after, nothing is lost silently."""
    running = await serve(limits=Limits(messages_per_minute=5))
    async with connected(running.address) as client:
        for number in range(6):
            await client.say("Hello", thread_id=f"t{number}")
        error = await client.until("error", code="rate_limited")
    assert error["data"]["retry_after"] > 0


@pytest.mark.promise("wire.event-sanitization-summary")
async def test_a_secret_in_a_message_or_an_answer_is_redacted_and_reported(serve: Any) -> None:
    """The key is in no log and no event; a summary without it comes before the answer."""
    key = "ghp_" + "a1B2c3D4" * 4 + "e5F6"
    running = await serve(scripted(Say(f"Your key is {key} and that is it.")))
    async with connected(running.address) as client:
        await client.say(f"My key is {key}, keep it", agent_type="script")
        await client.until_end()
    assert key not in json.dumps(client.seen)
    summaries = [event["data"] for event in client.seen if event["type"] == "sanitization_summary"]
    assert [summary["direction"] for summary in summaries] == ["inbound", "outbound"]
    assert all(summary["counts"] == {"secret": 1} for summary in summaries)
    assert [event["type"] for event in client.durable()][-3:] == [
        "sanitization_summary",
        "agent_completed",
        "final_response",
    ]
    rows = await running.store.messages(client.seen[0]["data"]["user"], client.durable()[0]["thread_id"])
    assert all(key not in row.content for row in rows.items)
