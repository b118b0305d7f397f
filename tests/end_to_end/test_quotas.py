"""Storage quotas in bytes, per user and per tenant."""

from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import request, upload
from tests.rigs.scripted_model import Call, Say, ScriptedModel, scripted
from tests.rigs.server_pair import post
from tests.rigs.tokens import SECRET, token
from understudy import Agent, ToolContext, tool
from understudy.app.server import Running
from understudy.extensions.files.stores import file_bytes_used
from understudy.storage.limits import Limits

MIB = 1 << 20


async def say(running: Running, who: str, content: str, thread: str = "t") -> tuple[int, Any]:
    return await post(running, who, "user_message", content=content, thread_id=thread, agent_type="script")


async def test_uploads_are_bounded_for_each_user(serve: Any) -> None:
    running = await serve(scripted(Say("hm")), secret=SECRET, limits=Limits(files_bytes_per_user=MIB))
    ada, bob = token("ada"), token("bob")
    assert (await upload(running, ada, content=bytes(700_000)))[0] == 201
    status, answer = await upload(running, ada, content=bytes(700_000))
    assert (status, answer["error"]["code"]) == (403, "quota_exceeded")
    assert "Your files take all the space that you have here (1 MiB)" in answer["error"]["message"]
    assert (await upload(running, ada, content=bytes(200_000)))[0] == 201
    assert (await upload(running, bob, content=bytes(700_000)))[0] == 201
    assert await running.store.read(file_bytes_used, "user", "ada") == 900_000


async def test_uploads_at_once_do_not_pass_the_bound_together(serve: Any) -> None:
    running = await serve(scripted(Say("hm")), secret=SECRET, limits=Limits(files_bytes_per_user=MIB))
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await upload(running, token("ada"), content=bytes(400_000)))[0])

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)
    assert sorted(statuses) == [201, 201, 403, 403, 403, 403]
    assert await running.store.read(file_bytes_used, "user", "ada") == 800_000


@pytest.mark.promise("wire.error-quota-exceeded")
async def test_messages_are_bounded_for_each_user(serve: Any) -> None:
    limits = Limits(threads_bytes_per_user=MIB, messages_per_minute=1_000_000)  # it repeats until there is room
    running = await serve(scripted(Say("hm")), secret=SECRET, limits=limits)
    ada = token("ada")
    async with connected(running.address, ada) as client:
        for thread in "ab":
            await client.ask("x" * 200_000, thread_id=thread, agent_type="script")
        refused = await client.ask("x" * 200_000, thread_id="c", agent_type="script", message_id="m3", until="error")
        assert (refused["data"]["code"], refused["data"]["retryable"]) == ("quota_exceeded", False)
        assert "Your conversations take all the space" in refused["data"]["message"]
        assert refused["message_id"] == "m3"
        assert (await say(running, ada, "y" * 200_000))[1]["error"]["code"] == "quota_exceeded"
        assert await running.store.thread("ada", "c") is None
        assert (await request(running.address, "DELETE", "/api/threads/a", token=ada))[0] == 204
        with trio.fail_after(60):
            while (status := (await say(running, ada, "z" * 200_000, "d"))[0]) != 202:
                assert status == 403


async def test_the_users_of_a_tenant_have_a_bound_together(serve: Any) -> None:
    limits = Limits(files_bytes_per_tenant=MIB, threads_bytes_per_tenant=MIB)
    running = await serve(scripted(Say("hm")), secret=SECRET, tenant_claim="org", limits=limits)
    ada, cem, bob = token("ada", org="acme"), token("cem", org="acme"), token("bob", org="other")
    assert (await upload(running, ada, content=bytes(700_000)))[0] == 201
    status, answer = await upload(running, cem, content=bytes(700_000))
    assert (status, answer["error"]["code"]) == (403, "quota_exceeded")
    assert "Your organisation's files" in answer["error"]["message"]
    assert (await upload(running, bob, content=bytes(700_000)))[0] == 201
    for number in range(2):
        assert (await say(running, ada, "x" * 200_000, f"t{number}"))[0] == 202
    status, answer = await say(running, cem, "x" * 200_000)
    assert (status, "Your organisation's conversations" in answer["error"]["message"]) == (403, True)
    assert (await say(running, bob, "x" * 200_000))[0] == 202


async def test_files_of_a_tool_count_too(serve: Any) -> None:
    @tool
    async def keep(size: int, context: ToolContext) -> str:
        """Save a file."""
        await context.files.save("a.bin", "application/octet-stream", b"\0" * size)
        return "kept"

    agent = Agent(
        "script",
        tools=(keep,),
        model=ScriptedModel(Call([("keep", {"size": 600_000})]), Call([("keep", {"size": 600_000})]), Say("done")),
    )
    running = await serve(agent, secret=SECRET, limits=Limits(files_bytes_per_user=MIB))
    async with connected(running.address, token("ada")) as client:
        await client.ask("go", thread_id="t", agent_type="script")
        first, second = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
    assert (first["status"], second["status"]) == ("ok", "failed")
    assert second["result"]["error"]["code"] == "quota_exceeded"
