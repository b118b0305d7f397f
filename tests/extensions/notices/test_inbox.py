"""The inbox: what waits for a user over all threads, what runs, and what they have not read; also after a restart."""

from pathlib import Path
from typing import Any

import pytest

from tests.rigs.approvals import MAIL
from tests.rigs.caller import Caller, inbox
from tests.rigs.chat_client import connected
from tests.rigs.http import new_token, request
from tests.rigs.process import started
from tests.rigs.questions import PEARS, ordering
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.server_pair import post, token_of, two_servers
from tests.rigs.watcher import AGENT
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis


@pytest.mark.promise("wire.endpoint-inbox")
async def test_a_question_is_listed_answered_from_there_and_leaves_an_unread_answer(serve: Any) -> None:
    running = await serve(ordering())
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    await ada.post("/api/runs", message="go", agent="script", thread_id="a")
    items = await inbox(ada, needs_you=1, running=0, unread=0)
    (item,) = items["needs_you"]
    assert (item["kind"], item["thread_id"], item["title"], item["agent"]) == ("question", "a", "go", "script")
    assert (item["question"], item["tool_name"]) == ("Fruit order", "order")
    assert item["schema"]["required"] == ["fruit", "count"]
    assert items["now"] < item["expires_at"]
    assert item["seq"] <= item["last_seq"]
    assert await bob.get("/api/inbox") | {"now": 0} == {
        "needs_you": [], "running": [], "unread": [], "now": 0,
        "counts": {"needs_you": 0, "running": 0, "unread": 0},
    }  # fmt: skip
    await post(running, ada.token, "answer", question_id=item["question_id"], answer=PEARS)
    items = await inbox(ada, needs_you=0, running=0, unread=1)
    (unread,) = items["unread"]
    assert (unread["thread_id"], unread["status"], unread["title"]) == ("a", "success", "go")
    for who, body, count in ((bob, {"all": True}, 1), (ada, {"threads": {"a": 1}}, 1), (ada, {"all": True}, 0)):
        await who.post("/api/inbox/read", 204, **body)
        assert (await ada.get("/api/inbox"))["counts"]["unread"] == count
    for wrong in ({}, {"threads": {"a": -1}}, {"threads": {"a": 1}, "all": True}):
        await ada.post("/api/inbox/read", 400, **wrong)


@pytest.mark.promise("wire.event-answers-read")
async def test_marks_are_announced_to_the_other_devices_of_the_user(serve: Any) -> None:
    running = await serve(scripted(*[Say("Done")] * 2))
    ada, bob = [Caller(running, await new_token(running)) for _ in range(2)]
    async with connected(running.address, ada.token) as phone, connected(running.address, bob.token) as other:
        for thread_id in ("a", "b"):
            await ada.post("/api/runs", message="go", agent="script", thread_id=thread_id)
        await inbox(ada, unread=2)
        for body in ({"threads": {"a": 1000, "none": 3}}, {"threads": {"a": 1000}}, {"all": True}, {"all": True}):
            await ada.post("/api/inbox/read", 204, **body)
        for _ in ("a", "b"):
            await phone.until_end()
        for client in (phone, other):
            await client.send({"type": "ping"})
            await client.until("pong")
        items = [(event.get("thread_id"), event["data"]) for event in phone.seen if event["type"] == "answers_read"]
        assert items == [(None, {"threads": {"a": 1000, "none": 3}}), (None, {})]
        assert all(event["type"] != "answers_read" for event in other.seen)


async def test_a_consent_is_listed_whole(serve: Any) -> None:
    script = Call([("send_mail", MAIL)]), Say("Done")
    running = await serve(scripted(*script))
    ada = Caller(running, await new_token(running))
    await ada.post("/api/runs", message="go", agent="script", thread_id="a")
    items = await inbox(ada, needs_you=1)
    (item,) = items["needs_you"]
    assert (item["kind"], item["tool_name"], item["parameters"]) == ("approval", "send_mail", MAIL)
    status, answer = await post(running, ada.token, "approve", call_id=item["call_id"], decision="deny")
    assert status in (200, 202, 204), answer
    await inbox(ada, needs_you=0, unread=1)


async def test_a_killed_server_lists_the_same_consent_again(tmp_path: Path) -> None:
    async with started(tmp_path / "data", AGENT) as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        ada = Caller(server, session["session_token"])
        await ada.post("/api/runs", message="ask", agent="resumable", thread_id="t")
        (before,) = (await inbox(ada, needs_you=1))["needs_you"]
        await server.kill()
    async with started(tmp_path / "data", AGENT) as server:
        ada.running = server
        (after,) = (await inbox(ada, needs_you=1))["needs_you"]
        assert after | {"last_seq": 0} == before | {"last_seq": 0}
        await post(server.address, ada.token, "approve", call_id=after["call_id"], decision="allow")
        await inbox(ada, needs_you=0, unread=1)


async def test_each_node_lists_and_answers_what_waits_on_the_other(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis
) -> None:
    pair = await two_servers(serve, tmp_path, postgres.create(template), f"{redis.url}/9", ordering())
    on_a, on_b = (Caller(node, token_of()) for node in pair.both)
    await on_a.post("/api/runs", message="go", agent="script", thread_id="a")
    (item,) = (await inbox(on_b, needs_you=1))["needs_you"]
    await post(pair.b, on_b.token, "answer", question_id=item["question_id"], answer=PEARS)
    await inbox(on_a, needs_you=0, unread=1)
    await on_b.post("/api/inbox/read", 204, threads={"a": 1000})
    await inbox(on_a, unread=0)
