"""The commands of the protocol page, in each form, over real sockets."""

import json
from itertools import chain
from typing import Any

import pytest

from sanitization import STANDARD, Sanitizer
from tests.end_to_end.metrics import metric
from tests.end_to_end.recording_model import RecordingModel
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import get, new_token
from tests.rigs.raw_websocket import BINARY, TEXT, frame, raw_websocket
from tests.rigs.scripted_model import Gate, Say, scripted

PATHS = ("/ws", "/ws?dialect=flat", "/ws?dialect=payload", "/api/ws/agent")


async def accepted(client: ChatClient) -> dict[str, Any]:
    """Read to the end of a run and check its arc. Return its acceptance."""
    end = await client.until_end()
    events = client.durable(end["run_id"])
    check_arc(events)
    return events[0]


@pytest.mark.promise("wire.say-forms", "wire.fields")
@pytest.mark.parametrize("kind", ["user_message", "start_agent", "message", "chat", "agent_message"])
async def test_each_type_of_say_takes_its_fields_in_either_place(serve_client: Any, kind: str) -> None:
    recorder = RecordingModel()
    async with serve_client(recorder.agent()) as client:
        for number, place in enumerate(("beside", "payload", "binary")):
            fields = {
                "content": f"words {number}", "agent_type": "script", "thread_id": "t", "message_id": f"m{number}",
                "conversation_id": "mine", "context": {"page": 1}, "settings": {"max_turns": 2}, "metadata": {},
                "references": [], "pillar": None, "of another version": [1],
            }  # fmt: skip
            body = {"type": kind, **fields} if place == "beside" else {"type": kind, "payload": fields}
            raw = json.dumps(body)
            await client.socket.send_message(raw.encode() if place == "binary" else raw)
            event = await accepted(client)
            assert (event["thread_id"], event["conversation_id"]) == ("t", "mine")
            assert (event["message_id"], event["data"]["content"]) == (f"m{number}", f"words {number}")
    assert recorder.prompt() == ["words 0", "answer 1", "words 1", "answer 2", "words 2"]


@pytest.mark.promise("wire.exact-pillar", "wire.exact-agent-type")
@pytest.mark.parametrize("path", PATHS)
async def test_two_sentences_are_exact_in_every_dialect_and_form(serve: Any, path: str) -> None:
    """Published clients compare these sentences letter by letter."""
    running = await serve()
    forms = (
        lambda **agent: {"message": "hi", **agent},
        lambda **agent: {"type": "user_message", "payload": {"content": "hi", **agent}},
        lambda **agent: {"type": "chat", "content": "hi", **agent},
    )
    async with connected(running.address, path=path, welcome=path.startswith("/ws")) as client:
        for form in forms:
            await client.send(form(agent_type="liaison"))
            assert (await client.read())["message"] == "pillar is required for liaison agent"
            await client.send(form(agent_type="X"))
            assert (await client.read())["message"] == "Unknown agent_type: X"


@pytest.mark.promise("wire.names-made")
async def test_names_are_made_where_a_client_gives_none(serve_client: Any) -> None:
    async with serve_client(RecordingModel().agent()) as client:
        session = client.seen[0]["data"]["session"]
        events = []
        for _ in range(2):
            await client.say("words", agent_type="script")
            events.append(await accepted(client))
    assert events[0]["message_id"] != events[1]["message_id"]
    assert all(event["message_id"] == event["data"]["message_id"] for event in events)
    assert [event["thread_id"] for event in events] == [f"script_{session}"] * 2
    assert [event["seq"] for event in events] == [1, 1 + len(client.durable()) // 2]


@pytest.mark.promise("wire.names-valid", "wire.error-invalid-command")
async def test_an_invalid_name_is_refused(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        for name, value in (
            ("thread_id", ""), ("thread_id", "x" * 129), ("thread_id", "a/b"), ("message_id", "answer-1"),
            ("message_id", "a\u0007b"), ("conversation_id", "x" * 129), ("message_id", 5),
        ):  # fmt: skip
            await client.say("hi", agent_type="script", **{name: value})
            error = await client.read()
            assert (error["data"]["code"], name in error["message"]) == ("invalid_command", True), (name, value)
        await client.say("hi", agent_type="script", thread_id="x" * 128, message_id="x" * 128)
        await accepted(client)
    assert len((await get(running, "/api/threads", token))["threads"]) == 1


@pytest.mark.promise("wire.names-own-space", "owasp.authorisation")
async def test_a_thread_another_user_named_is_not_there(serve: Any) -> None:
    recorder = RecordingModel()
    running = await serve(recorder.agent())
    names = {"thread_id": "t", "message_id": "m", "conversation_id": "c", "agent_type": "script"}
    async with connected(running.address) as ada, connected(running.address) as bob:
        await ada.say("zebra", **names)
        first = await accepted(ada)
        await bob.send({"type": "cancel", "payload": {"run_id": first["run_id"]}})
        assert (await bob.read())["data"]["code"] == "not_found"
        await bob.say("giraffe", **names)
        second = await accepted(bob)
    assert first["run_id"] != second["run_id"]
    assert first["seq"] == second["seq"] == 1
    assert recorder.prompt() == ["giraffe"]
    assert "zebra" not in json.dumps(bob.seen)


@pytest.mark.promise("wire.cancel")
async def test_cancel_ends_a_run_from_any_tab_and_twice_is_no_fault(serve_guest: Any) -> None:
    gate = Gate(open_after=2)
    running, token = await serve_guest(scripted(Say("one two three", gate)))
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        await first.say("go", agent_type="script", thread_id="t")
        await gate.reached.wait()
        await first.until("partial_result")
        run_id = first.durable()[0]["run_id"]
        await second.send({"type": "cancel", "payload": {"run_id": run_id}})
        end = await first.until_end()
        assert end["type"] == "final_response"
        assert (end["data"]["status"], end["data"]["message"]) == ("cancelled", "one two ")
        check_arc(first.durable())
        for form in ({"type": "cancel", "payload": {"run_id": run_id}}, {"type": "cancel", "run_id": run_id}):
            await second.send(form)
        await second.send({"type": "ping"})
        assert (await second.read())["type"] == "pong"


@pytest.mark.promise("wire.ping")
async def test_ping_is_answered_with_its_nonce(serve_client: Any) -> None:
    async with serve_client() as client:
        for form, data in (({"type": "ping"}, {}), ({"type": "ping", "nonce": "a"}, {"nonce": "a"})):
            await client.send(form)
            assert (await client.read())["data"] == data


@pytest.mark.promise("wire.ack")
async def test_an_ack_beyond_what_was_sent_is_refused_and_one_within_is_counted(serve: Any) -> None:
    running = await serve(RecordingModel().agent())
    async with connected(running.address) as client:
        last = (await client.ask("words", agent_type="script", thread_id="t"))["seq"]
        await client.send({"type": "ack", "payload": {"thread_id": "t", "seq": last - 1}})
        await client.send({"type": "ack", "payload": {"thread_id": "t", "seq": last + 1}})
        assert (await client.read())["data"]["code"] == "invalid_command"
    assert await metric(running.address, "understudy_rendered_behind_events_sum") == 1


FAULTS = {
    "no object": ("[]", "invalid_command"),
    "an unknown type": ('{"type":"dance"}', "unknown_type"),
    "an unknown agent": ('{"agent_type":"oracle","message":"x"}', "unknown_agent_type"),
    "no pillar": ('{"agent_type":"liaison","message":"x"}', "pillar_required"),
    "an unknown pillar": ('{"agent_type":"liaison","pillar":"astrology","message":"x"}', "unknown_pillar"),
    "no words": ('{"type":"message","content":"  \\n"}', "empty_message"),
    "a file of nothing": ('{"type":"user_message","payload":{"content":"x","references":["nope"]}}', "not_found"),
    "resume of nothing": ('{"type":"resume","payload":{"threads":{"nowhere":3}}}', "not_found"),
    "cancel of nothing": ('{"type":"cancel","payload":{"run_id":"nope"}}', "not_found"),
    "cut off": ('{"type":"ping"', "bad_json"),
    "twice": ('{"type":"ping","type":"ping"}', "bad_json"),
    "deep": ('{"type":"ping","x":' + "[" * 100_000 + "]" * 100_000 + "}", "bad_json"),
    "nothing": ("", "bad_json"),
    "approve of nothing": ('{"type":"approve","payload":{"call_id":"c","decision":"allow"}}', "not_found"),
    "steer without words": ('{"type":"steer","payload":{"run_id":"r","content":" "}}', "empty_message"),
    "steer of nothing": ('{"type":"steer","payload":{"run_id":"r","content":"x"}}', "not_found"),
    "unsteer of nothing": ('{"type":"unsteer","payload":{"run_id":"r","steer_id":"s"}}', "not_found"),
    "answer of nothing": ('{"type":"answer","payload":{"question_id":"q","answer":{}}}', "not_found"),
    "undo of nothing": ('{"type":"undo","payload":{"call_id":"c"}}', "not_found"),
    "edit without words": ('{"type":"edit","payload":{"message_id":"m","content":" "}}', "empty_message"),
    "edit of nothing": ('{"type":"edit","payload":{"message_id":"m","content":"x"}}', "not_found"),
    "regenerate of nothing": ('{"type":"regenerate","payload":{"message_id":"m"}}', "not_found"),
    "feedback of nothing": ('{"type":"feedback","payload":{"message_id":"m","rating":"up"}}', "not_found"),
    "a chunk of nothing": ('{"type":"chunk","id":"1","index":1,"count":2,"data":"x"}', "invalid_command"),
}
"""More frames that are no commands are in `tests/transport/wire`."""


@pytest.mark.promise(
    "wire.faults-answered", "wire.error-bad-json", "wire.error-invalid-command", "wire.error-unknown-type",
    "wire.error-unknown-agent-type", "wire.error-pillar-required", "wire.error-unknown-pillar",
    "wire.error-empty-message", "wire.error-not-found", "wire.bad-json", "owasp.input", "owasp.binary", "owasp.errors",
)  # fmt: skip
async def test_each_fault_has_a_code_and_a_sentence_and_costs_nothing(serve: Any) -> None:
    running = await serve(RecordingModel().agent())
    port = int(running.address.rpartition(":")[2])
    async with raw_websocket(port, "/ws") as raw, connected(running.address) as other:
        await raw.frame()
        for name, (text, code) in FAULTS.items():
            for opcode in (TEXT, BINARY):
                await raw.send(frame(opcode, text.encode()))
                event = json.loads((await raw.frame()).payload)
                assert (event["type"], event["data"]["code"]) == ("error", code), name
                assert not any(word in event["message"] for word in ("Traceback", "/work", "msgspec", "Error(")), name
                assert event["data"]["message"].strip(), name
                assert event["data"]["error_id"], name
            await other.send({"type": "ping"})
            assert (await other.read())["type"] == "pong"
        await raw.send(frame(TEXT, b'{"type":"ping","nonce":"still"}'))
        assert json.loads((await raw.frame()).payload)["data"] == {"nonce": "still"}


WORDS = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "'; DROP TABLE messages; --",
    "$(rm -rf /) `id` | cat /etc/passwd",
    "../../etc/passwd%00",
    "{{7*7}} ${7*7} %s%s%n",
    "line\r\nSet-Cookie: a=b\n\ndata: x",
]


@pytest.mark.promise("owasp.injection")
@pytest.mark.parametrize("words", WORDS)
async def test_words_are_words(serve: Any, words: str) -> None:
    """Text that is code elsewhere comes back unchanged as data, also in names, and is not executed.

    Active markup is removed from answers.
    """
    running, shown = await serve(scripted(Say(words))), Sanitizer(STANDARD).sanitize(words + " ").text
    assert shown.startswith(words[:20])
    token = await new_token(running)
    async with connected(running.address, token) as client:
        final = await client.ask(words, agent_type="script", thread_id="t", context={words: words})
        assert client.durable()[0]["data"]["content"] == words
        assert final["data"]["message"] == shown
        await client.send({"type": "resume", "payload": {"threads": {words[:100].strip(): 0}}})
        assert (await client.read())["data"]["code"] in ("not_found", "invalid_command")
    body = await get(running, "/api/threads/t/messages", token)
    assert [message["content"] for message in body["messages"]] == [words, shown]


@pytest.mark.promise("wire.endpoint-pages")
async def test_lists_come_in_pages(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        for number in range(3):
            for thread in ("t", f"t{number}"):
                await client.ask(f"m{number}", agent_type="script", thread_id=thread)

    async def pages(path: str, name: str) -> list[list[str]]:
        ids, cursor = [], ""
        while True:
            body = await get(running, f"{path}?limit=3{cursor}", token)
            ids.append([item["id"] for item in body[name]])
            if body["next_cursor"] is None:
                return ids
            cursor = f"&cursor={body['next_cursor']}"

    threads = await pages("/api/threads", "threads")
    assert [len(page) for page in threads] == [3, 1]
    assert sorted(chain(*threads)) == ["t", "t0", "t1", "t2"]
    messages = await pages("/api/threads/t/messages", "messages")
    assert [len(page) for page in messages] == [3, 3]
    assert len(set(chain(*messages))) == 6
