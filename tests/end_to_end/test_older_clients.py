"""Clients of older servers: the agent response, payload and flat dialects."""

from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.scripted_model import Call, Gate, Hand, Say, scripted
from understudy import Agent

KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"
ANSWERS = "/api/ws/agent"


REFUSED: list[tuple[dict[str, Any], tuple[str, str | None]]] = [
    ({"agent_type": "oracle", "message": "hi"}, ("oracle", None)),
    ({"agent_type": "liaison", "message": "hi"}, ("liaison", None)),
    ({"agent_type": "liaison", "pillar": "astrology", "message": "hi"}, ("liaison", "astrology")),
    ({"agent_type": "guide", "message": "  "}, ("guide", None)),
    ({"agent_type": "guide", "message": {"no": "text"}}, ("guide", None)),
    ({"pillar": "content", "message": "  "}, ("liaison", "content")),
    ({"message": "hi", "conversation_id": "a/b"}, ("guide", None)),
    ({"type": "user_message", "payload": {"content": "hi", "agent_type": "oracle"}}, ("oracle", None)),
]


def delegating() -> tuple[Agent, Agent]:
    liaison = Agent("ledger", model=scripted(Say("one two")).model, pillar="finance")
    return Agent("front", model=scripted(Hand("ledger")).model, colleagues=("ledger",)), liaison


@pytest.mark.promise("wire.delegated")
async def test_a_delegated_answer_is_one_of_the_agent_that_was_asked(serve: Any) -> None:
    running = await serve(*delegating())
    async with connected(running.address, path=ANSWERS, welcome=False) as client:
        await client.send({"agent_type": "front", "message": "go", "conversation_id": "c"})
        frame = await client.read()
    assert (frame["agent_type"], frame["pillar"], frame["conversation_id"]) == ("front", None, "c")
    assert frame["answered_by"] == frame["data"]["answered_by"] == {"agent_type": "liaison", "pillar": "finance"}
    assert frame["message"].strip() == "one two"


@pytest.mark.promise("wire.delegated")
@pytest.mark.parametrize("dialect", ["canonical", "flat", "payload"])
async def test_every_event_of_a_delegate_names_the_agent_that_was_asked(serve_guest: Any, dialect: str) -> None:
    running, token = await serve_guest(*delegating())
    async with connected(running.address, token, path=f"/ws?dialect={dialect}") as client:
        await client.ask("go", agent_type="front", thread_id="t")
        live = [event for event in client.seen if "run_id" in event]
    async with connected(running.address, token, path=f"/ws?dialect={dialect}") as client:
        await client.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        await client.until_end()
        again = [event for event in client.seen if "run_id" in event]
    for events in (live, again):
        theirs = [event for event in events if event["agent_type"] == "liaison"]
        assert {"agent_started", "agent_completed", "final_response"} <= {event["type"] for event in theirs}
        assert all(event["asked_agent"] == {"agent_type": "front", "pillar": None} for event in theirs)
        assert all("asked_agent" not in event for event in events if event not in theirs)


@pytest.mark.promise("wire.refused-agent")
async def test_a_refusal_names_the_agent_that_was_asked(serve: Any) -> None:
    running = await serve()
    for path in (ANSWERS, "/ws", "/ws?dialect=flat", "/ws?dialect=payload"):
        async with connected(running.address, path=path, welcome=path != ANSWERS) as client:
            for message, named in REFUSED:
                await client.send(message)
                refused = await client.read()
                assert refused["type"] == "error"
                assert (refused["agent_type"], refused["pillar"]) == named, message


@pytest.mark.promise("wire.say-untyped")
async def test_a_message_without_an_agent_type_goes_to_the_guide(serve: Any) -> None:
    running = await serve()
    for path in (ANSWERS, "/ws"):
        async with connected(running.address, path=path, welcome=path == "/ws") as client:
            for message, named in (
                ({"message": "What is 2 + 2?"}, ("guide", None)),
                ({"message": "What is 2 + 2?", "pillar": "content"}, ("liaison", "content")),
            ):
                await client.send(message)
                answer = await client.until_end() if path == "/ws" else await client.read()
                assert answer["type"] in ("final_response", "message")
                assert (answer["agent_type"], answer["pillar"]) == named


@pytest.mark.promise("wire.delegated")
async def test_the_default_guide_answers_under_that_name(serve: Any) -> None:
    """Published clients call the agent that answers by default so; the conversation is the guide's."""
    running = await serve()
    async with connected(running.address, path=ANSWERS, welcome=False) as client:
        for name in ("default_guide", "guide"):
            await client.send({"agent_type": name, "message": "What is 2 + 2?"})
            answer = await client.read()
            assert (answer["type"], answer["agent_type"], answer["pillar"]) == ("message", name, None)
            assert answer["conversation_id"].startswith("guide_")


STEPS = ["message_accepted", "agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


@pytest.mark.promise("wire.dialect-agent-events")
async def test_a_run_is_shown_step_by_step_in_every_dialect_with_events(serve: Any) -> None:
    running = await serve(scripted(Call([("echo", {"text": "a"})]), Say("one two"), name="guide"))
    for path in ("/ws", "/ws?dialect=flat", "/ws?dialect=payload", f"{ANSWERS}?dialect=agent_events"):
        async with connected(running.address, path=path) as client:
            await client.send({"type": "agent_message", "content": "Analyze my code performance"})
            while (await client.read())["type"] not in ("final_response", "message"):
                pass
        types = [event["type"] for event in client.seen if event["type"] in STEPS]
        assert types == STEPS
        if "agent_events" in path:
            assert all(event["agent_type"] == "guide" for event in client.seen[1:])
            completed = next(event for event in client.seen if event["type"] == "tool_completed")
            assert completed["data"]["result"] == "a"


@pytest.mark.promise("wire.event-agent-completed")
async def test_the_output_of_an_agent_comes_whole(serve_client: Any) -> None:
    text = "word " * 400
    async with serve_client(scripted(Say(text.strip()))) as client:
        final = await client.ask("go", agent_type="script")
    completed = next(event for event in client.seen if event["type"] == "agent_completed")
    assert completed["data"]["result"] == final["data"]["message"] == text


@pytest.mark.promise("wire.dialect-agent-response")
async def test_agent_responses_report_redactions(serve: Any) -> None:
    running = await serve(scripted(Say(f"The key is {KEY}.")))
    async with connected(running.address, path=ANSWERS, welcome=False) as client:
        await client.send({"agent_type": "script", "message": f"Keep {KEY} safe", "conversation_id": "c"})
        while (await client.read())["type"] != "message":
            pass
    frames = [frame for frame in client.seen if frame["type"] == "sanitization_summary"]
    assert [frame["data"]["direction"] for frame in frames] == ["inbound", "outbound"]
    for frame in frames:
        assert list(frame)[:7] == list(client.seen[-1])[:7]
        assert (frame["agent_type"], frame["conversation_id"]) == ("script", "c")
        assert frame["data"]["counts"] == {"secret": 1}
        assert frame["message"] == "1 item was redacted"
    assert KEY not in str(client.seen)


@pytest.mark.promise("wire.secret-alert")
@pytest.mark.parametrize("path", [ANSWERS, "/ws", "/ws?dialect=flat", "/ws?dialect=payload"])
async def test_a_secret_in_a_message_raises_an_alert(serve_guest: Any, path: str) -> None:
    running, token = await serve_guest(scripted(Say("one two")))
    async with connected(running.address, token) as other:
        async with connected(running.address, token, path=path, welcome=path != ANSWERS) as client:
            message = {"type": "chat", "content": f"Keep {KEY} safe", "agent_type": "script", "message_id": "m"}
            for _ in range(2):  # the second one is a repeat
                await client.send(message)
            while (await client.read())["type"] not in ("final_response", "message"):
                pass
            with trio.move_on_after(0.2):
                while True:
                    await client.read()
        await other.until_end()
    for frames in (client.seen, other.seen):
        alerts = [event for event in frames if event["type"] == "alert"]
        assert len(alerts) == 1
        assert "secret" in alerts[0]["message"]
        assert "seq" not in alerts[0]
    assert next(event for event in other.seen if event["type"] == "alert")["priority"] == "alert"
    assert KEY not in str([client.seen, other.seen])


@pytest.mark.promise("wire.secret-alert")
async def test_a_message_without_a_secret_raises_no_alert(serve_client: Any) -> None:
    async with serve_client(scripted(Say("one two")), scrub_policy="strict") as client:
        await client.ask("Write to ada@example.org", agent_type="script")
    assert "sanitization_summary" in {event["type"] for event in client.seen}
    assert "alert" not in {event["type"] for event in client.seen}


@pytest.mark.promise("wire.dialect-payload")
async def test_the_payload_dialect_has_the_names_that_its_clients_read(serve: Any) -> None:
    running = await serve(scripted(Call([("send_mail", {"to": "ada"})]), Say("one two")))
    async with connected(running.address, subprotocols=["understudy.payload"]) as client:
        await client.say("go", agent_type="script", thread_id="t", message_id="m")
        required = await _until(client, "approval_required")
        approve = {"call_id": required["payload"]["call_id"], "decision": "allow"}
        await client.send({"type": "approve", "payload": approve})
        await _until(client, "final_response")
    events = {event["type"]: event for event in client.seen}
    for event in client.seen[1:]:
        inside = event["payload"]
        assert (inside["thread_id"], inside["message_id"], inside["run_id"]) == ("t", "m", event["run_id"])
        assert (event["thread_id"], event["message_id"]) == ("t", "m")
        assert (inside["agent_type"], inside["agent_name"]) == ("script", "script")
    for kind in ("tool_executing", "approval_required"):
        assert events[kind]["payload"]["tool_args"] == events[kind]["payload"]["parameters"] == {"to": "ada"}
    done, final = events["agent_completed"]["payload"], events["final_response"]["payload"]
    assert done["agent_response"] == done["result"] == final["agent_response"] == final["message"] == "one two "
    assert "thread_id" not in events["welcome"]["payload"]


async def _until(client: ChatClient, kind: str) -> dict[str, Any]:
    while (event := await client.read())["type"] != kind:
        pass
    return event


@pytest.mark.promise("wire.dialect-flat")
async def test_the_flat_completion_of_an_agent_says_what_it_gave(serve: Any) -> None:
    running = await serve(scripted(Say("one two")), scripted(Say("never", Gate()), name="slow"))
    async with connected(running.address, path="/ws?dialect=flat") as client:
        await client.ask("go", agent_type="script")
        completed = next(event for event in client.seen if event["type"] == "agent_completed")
        assert completed["message"] == completed["result"] == "one two "
        await client.say("go", agent_type="slow")
        started = await _until(client, "agent_started")
        await client.send({"type": "cancel", "run_id": started["run_id"]})
        await client.until_end()
        assert [e["message"] for e in client.seen if e["type"] == "agent_completed"] == ["one two ", "Stopped"]
