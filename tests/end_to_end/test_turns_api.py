"""The last page of a branch over REST: what a client shows at once, and where it goes on from."""

from typing import Any

from tests.rigs.caller import Caller
from tests.rigs.chat_client import connected
from tests.rigs.http import new_token
from tests.rigs.scripted_model import Call, Gate, Say, scripted


async def test_a_page_has_what_its_turns_show_and_the_number_to_go_on_from(serve: Any) -> None:
    running = await serve(
        scripted(
            Call([("echo", {"text": "x" * 5_000}), ("refuse", {})]),
            Call([("tell_progress", {"steps": 1})]),
            Say("one two"),
        )
    )
    ada = Caller(running, await new_token(running))
    run = await ada.post("/api/runs", message="go", agent="script", thread_id="t")
    await ada.ended(run["run_id"])
    page = await ada.get("/api/threads/t/turns")
    whole = (await ada.get("/api/threads/t/events"))["events"]
    assert (page["seq"], page["tip"], page["older"], page["others"]) == (len(whole), run["run_id"], None, [])
    (turn,) = page["turns"]
    assert (turn["message"]["content"], turn["run"]["status"], turn["again"], turn["first_seq"]) == (
        "go", "success", False, 1,
    )  # fmt: skip
    assert turn["answer"]["content"].strip() == "one two"
    thoughts = [event["seq"] for event in whole if event["type"] == "agent_thinking"]
    assert len(thoughts) > 1
    assert [event["seq"] for event in turn["events"]] == [
        event["seq"] for event in whole if event["seq"] not in thoughts[1:]
    ]
    by_type = {(event["type"], event["data"].get("tool_name")): event for event in turn["events"]}
    assert [by_type[name].get("omitted") for name in (("tool_executing", "echo"), ("tool_executing", "refuse"))] == [
        True,
        None,
    ]
    assert "parameters" not in by_type["tool_executing", "echo"]["data"]
    assert by_type["tool_completed", "echo"]["omitted"]
    assert by_type["tool_completed", "refuse"]["data"]["status"] == "failed"
    assert "content" not in turn["events"][0]["data"]
    assert "message" not in turn["events"][-1]["data"]
    async with connected(running.address, ada.token) as client:
        await client.send({"type": "resume", "payload": {"threads": {"t": page["seq"]}}})
        await client.ask("more", agent_type="script", thread_id="t", message_id="m2")
    assert [event["seq"] for event in client.durable()] == list(
        range(page["seq"] + 1, page["seq"] + 1 + len(client.durable()))
    )


async def test_a_run_under_way_is_whole(serve: Any) -> None:
    gate = Gate(open_after=1)
    running = await serve(scripted(Call([("echo", {"text": "x" * 5_000})]), Say("one two three", gate)))
    ada = Caller(running, await new_token(running))
    await ada.post("/api/runs", message="go", agent="script", thread_id="t")
    await gate.reached.wait()
    (turn,) = (await ada.get("/api/threads/t/turns"))["turns"]
    assert (turn["run"]["status"], turn["answer"]) == ("running", None)
    (call,) = [event for event in turn["events"] if event["type"] == "tool_executing"]
    assert call["data"]["parameters"]["text"].startswith("x" * 1_000)
    gate.opened.set()


async def test_a_page_is_refused_to_others_and_if_it_asks_for_two_places(serve: Any) -> None:
    running = await serve(scripted(Say("one")))
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    run = await ada.post("/api/runs", message="go", agent="script", thread_id="t")
    await ada.ended(run["run_id"])
    assert (await bob.get("/api/threads/t/turns", 404))["error"]["code"] == "not_found"
    assert (await ada.get("/api/threads/none/turns", 404))["error"]["code"] == "not_found"
    for query in (f"before=answer-{run['run_id']}&through={run['run_id']}", "limit=51", "before=%00"):
        assert (await ada.get(f"/api/threads/t/turns?{query}", 400))["error"]["code"] == "invalid_command"
    assert (await ada.get(f"/api/threads/t/turns?before=answer-{run['run_id']}"))["tip"] == run["run_id"]
