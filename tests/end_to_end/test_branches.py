"""Messages form a tree: replies, edits and further answers are branches, and nothing is overwritten."""

import uuid
from typing import Any

import pytest

from tests.end_to_end.recording_model import RecordingModel
from tests.end_to_end.thread_commands import ended, history, refused, send
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import get, new_token, request, upload
from tests.rigs.scripted_model import Gate, Say, scripted
from understudy.extensions.privacy import queries as archive_queries


async def say(client: ChatClient, content: str, **payload: Any) -> dict[str, Any]:
    """Send a message in thread `t` to the agent `script` and wait for its end. Return its acceptance."""
    await client.say(content, **({"agent_type": "script", "thread_id": "t"} | payload))
    return await ended(client)


@pytest.mark.promise("wire.parent")
async def test_a_message_follows_the_last_answer_unless_it_names_another(serve_guest: Any) -> None:
    recorder = RecordingModel()
    running, token = await serve_guest(recorder.agent())
    async with connected(running.address, token) as client:
        first = await say(client, "one", message_id="m1")
        second = await say(client, "two", message_id="m2")
        assert recorder.prompt() == ["one", "answer 1", "two"]
        assert "parent_id" not in first["data"]
        assert second["data"]["parent_id"] == f"answer-{first['run_id']}"
        aside = await say(client, "three", message_id="m3", parent_id=f"answer-{first['run_id']}")
        assert aside["data"]["parent_id"] == f"answer-{first['run_id']}"
        assert recorder.prompt() == ["one", "answer 1", "three"]
        await say(client, "four", message_id="m4")
        assert recorder.prompt() == ["one", "answer 1", "three", "answer 3", "four"]
        check_arc(client.durable(aside["run_id"]))
    shown = await history(running, token)
    parents = {message["id"]: message["parent_id"] for message in shown["messages"] if message["role"] == "user"}
    answers = {answer["parent_id"]: answer["id"] for answer in shown["messages"] if answer["role"] == "assistant"}
    assert parents == {"m1": None, "m2": answers["m1"], "m3": answers["m1"], "m4": answers["m3"]}
    assert shown["newest"]["message_id"] == "m4"


@pytest.mark.promise("wire.parent")
async def test_a_parent_that_is_no_answer_of_the_thread_is_refused_and_nothing_is_stored(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client, connected(running.address) as other:
        theirs = await say(other, "one")
        elsewhere = await say(client, "one", thread_id="u")
        here = await say(client, "one")
        run_ids = ("0" * 32, theirs["run_id"], elsewhere["run_id"])
        for parent in (*(f"answer-{run_id}" for run_id in run_ids), here["message_id"], "x", "answer-"):
            await client.say("two", agent_type="script", thread_id="t", parent_id=parent)
            assert await refused(client) == "not_found", parent
        await client.say("two", agent_type="script", thread_id="new", parent_id=f"answer-{here['run_id']}")
        assert await refused(client) == "not_found"
    assert len((await history(running, token))["messages"]) == 2
    assert (await request(running.address, "GET", "/api/threads/new", token=token))[0] == 404


@pytest.mark.promise("wire.edit")
async def test_an_edit_is_a_message_beside_the_edited_one(serve_guest: Any) -> None:
    recorder = RecordingModel()
    running, token = await serve_guest(recorder.agent())
    _, file = await upload(running, token)
    async with connected(running.address, token) as client:
        await say(client, "one", message_id="m1")
        old = await say(client, "two", message_id="m2", references=[file["id"]])
        await send(client, "edit", message_id="m2", content="two, my key is AKIAQWERTYUIOPASDFGH", new_message_id="m3")
        new = await ended(client)
        check_arc(client.durable(new["run_id"]))
        assert new["data"]["message_id"] == new["message_id"] == "m3"
        assert (new["data"]["branch_of"], new["data"]["parent_id"]) == ("m2", old["data"]["parent_id"])
        assert new["data"]["references"] == [file["id"]]
        assert new["conversation_id"] == old["conversation_id"]
        assert new["run_id"] != old["run_id"]
        assert "AKIA" not in new["data"]["content"]
        assert recorder.prompt() == ["one", "answer 1", new["data"]["content"]]
        assert [card.name for card in recorder.turns[-1].files] == ["a.csv"]
        await say(client, "three")
        assert recorder.prompt()[-3:] == [new["data"]["content"], "answer 3", "three"]
        await send(client, "edit", message_id="m1", content="another beginning")
        first = await ended(client)
        assert recorder.prompt() == ["another beginning"]
        assert "parent_id" not in first["data"]
    shown = (await history(running, token))["messages"]
    assert [message["content"] for message in shown[:4]] == ["one", "answer 1", "two", "answer 2"]
    branches = {message["id"]: message["branch_of"] for message in shown}
    assert [branches[message_id] for message_id in ("m1", "m2", "m3")] == [None, None, "m2"]


@pytest.mark.promise("wire.regenerate")
async def test_a_message_can_be_answered_once_more(serve_guest: Any) -> None:
    recorder = RecordingModel()
    running, token = await serve_guest(recorder.agent())
    async with connected(running.address, token) as client:
        await say(client, "one", message_id="m1")
        second = await say(client, "two", message_id="m2")
        await send(client, "regenerate", message_id="m2")
        again = await ended(client)
        check_arc(client.durable(again["run_id"]))
        assert recorder.prompt() == ["one", "answer 1", "two"]
        assert again["data"] == second["data"] | {"run_id": again["run_id"], "branch_of": "m2"}
        await say(client, "three", message_id="m3")
        assert recorder.prompt() == ["one", "answer 1", "two", "answer 3", "three"]
        await send(client, "regenerate", message_id=f"answer-{again['run_id']}")
        third = await ended(client)
        assert third["data"]["message_id"] == "m2"
    shown = await history(running, token)
    by_id = {message["id"]: message for message in shown["messages"]}
    answers = [message["content"] for message in shown["messages"] if message["parent_id"] == "m2"]
    assert answers == ["answer 2", "answer 3", "answer 5"]
    runs = [second["run_id"], again["run_id"], third["run_id"]]
    assert by_id["m2"]["runs"] == [{"run_id": run_id, "status": "success"} for run_id in runs]
    assert [by_id[f"answer-{run_id}"]["branch_of"] for run_id in runs] == [None, "m2", "m2"]
    assert shown["newest"] == {"message_id": "m2", "run_id": third["run_id"]}
    assert sum(message["id"] == "m2" for message in shown["messages"]) == 1


async def test_a_branch_goes_on_through_a_run_that_left_no_answer(serve_guest: Any) -> None:
    recorder = RecordingModel()
    broken = scripted(Say("never", Gate()), name="broken", timeout_s=0.05)
    running, token = await serve_guest(recorder.agent(), broken)
    async with connected(running.address, token) as client:
        failed = await client.ask("one", agent_type="broken", thread_id="t", message_id="m1")
        assert failed["type"] == "error"
        assert (await say(client, "two"))["data"]["parent_id"] == f"answer-{failed['run_id']}"
        assert recorder.prompt() == ["one", "This answer ended with an error before it was finished.", "two"]
    shown = (await history(running, token))["messages"]
    assert shown[0]["runs"] == [{"run_id": failed["run_id"], "status": "failed"}]


@pytest.mark.promise("wire.regenerate")
async def test_edits_and_new_answers_are_queued_behind_an_active_run(serve_client: Any) -> None:
    gate = Gate(open_after=1)
    async with serve_client(scripted(Say("some words here", gate))) as client:
        await client.ask("one", agent_type="script", thread_id="t", message_id="m1", until="partial_result")
        await send(client, "edit", message_id="m1", content="one!", new_message_id="m2")
        await client.until("message_accepted", message_id="m2")
        await send(client, "regenerate", message_id="m1")
        again = await client.until("message_accepted", branch_of="m1", message_id="m1")
        gate.opened.set()
        ends = [await client.until_end() for _ in range(3)]
        assert [end["data"]["message"] for end in ends] == ["some words here "] * 3
        for end in ends:
            check_arc_of_one(client, end["run_id"])
        pieces = [e["data"] for e in client.seen if e["type"] == "partial_result" and e["run_id"] == again["run_id"]]
        assert pieces[0]["offset"] == 0
        assert "".join(piece["text"] for piece in pieces) == "some words here "


def check_arc_of_one(client: ChatClient, run_id: str) -> None:
    """Check the arc of one run whose thread has acceptances of other runs in between."""
    events = [dict(event) for event in client.durable(run_id)]
    for number, event in enumerate(events):
        event["seq"] = number
    check_arc(events)


@pytest.mark.promise("wire.edit")
async def test_edits_and_new_answers_of_other_messages_are_not_found(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client, connected(running.address) as other:
        theirs = await say(other, "one", message_id="theirs")
        same = await say(other, "one", message_id="mine")
        mine = await say(client, "one", message_id="mine")
        for message_id in (f"answer-{mine['run_id']}", "unknown", "theirs"):
            await send(client, "edit", message_id=message_id, content="two")
            assert await refused(client) == "not_found", message_id
        answers = [f"answer-{run_id}" for run_id in (theirs["run_id"], same["run_id"], "", uuid.uuid4().hex)]
        for message_id in ("unknown", "theirs", *answers):
            await send(client, "regenerate", message_id=message_id)
            assert await refused(client) == "not_found", message_id
        await send(client, "edit", message_id=mine["message_id"], content="  ")
        assert await refused(client) == "empty_message"
    assert len((await history(running, token))["messages"]) == 2


@pytest.mark.promise("wire.feedback", "wire.event-feedback")
async def test_feedback_is_stored_delivered_to_every_tab_and_counted(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as first, connected(running.address, token) as second:
        accepted = await say(first, "one")
        await send(second, "resume", threads={"t": 0})
        await second.until_end()
        answer = f"answer-{accepted['run_id']}"
        for rating, note in (("up", "my key is AKIAQWERTYUIOPASDFGH"), ("down", None), (None, None)):
            rated = {"rating": rating, "note": note}
            await send(first, "feedback", message_id=answer, **rated)
            for client in (first, second):
                event = await client.until("feedback")
                assert event["data"] == {"message_id": answer, "rating": rating}
                assert (event["thread_id"], event["run_id"]) == ("t", accepted["run_id"])
                assert "seq" not in event
            kept = (await history(running, token))["messages"][1]["feedback"]
            if rating == "up":
                assert "AKIA" not in kept.pop("note")
                assert kept == {"rating": "up"}
            else:
                assert kept == (rated if rating else None)
        for message_id in (accepted["message_id"], "answer-x", "x"):
            await send(first, "feedback", message_id=message_id, rating="up")
            assert await refused(first) == "not_found", message_id
    async with connected(running.address) as stranger:
        await send(stranger, "feedback", message_id=answer, rating="up")
        assert await refused(stranger) == "not_found"
    metrics = await get(running, "/metrics")
    for rating in ("up", "down", "none"):
        assert f'understudy_feedback_total{{rating="{rating}"}} 1.0' in metrics


@pytest.mark.promise("wire.endpoint-threads")
async def test_an_export_has_every_branch_oldest_first(serve_guest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_queries, "PAGE", 4)
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client:
        first = await say(client, "m0", message_id="m0")
        for number in range(1, 6):
            await say(client, f"m{number}")
        await send(client, "regenerate", message_id="m0")
        again = await ended(client)
        await send(client, "feedback", message_id=f"answer-{first['run_id']}", rating="up")
        await client.until("feedback")
    status, headers, whole = await request(running.address, "GET", "/api/threads/t/export", token=token)
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert [entry["content"] for entry in whole["messages"] if entry["role"] == "user"] == [f"m{n}" for n in range(6)]
    answers = [entry["id"] for entry in whole["messages"] if entry["parent_id"] == "m0"]
    assert answers == [f"answer-{run['run_id']}" for run in (first, again)]
    assert whole["messages"][1]["feedback"] == {"rating": "up", "note": None}
    assert (whole["thread"]["id"], whole["newest"]["run_id"]) == ("t", again["run_id"])
    other = await new_token(running)
    assert (await request(running.address, "GET", "/api/threads/t/export", token=other))[0] == 404
