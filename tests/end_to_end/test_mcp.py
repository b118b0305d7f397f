"""Agents with tools of MCP servers: stock servers over stdio and HTTP, seen through a client's socket."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.testing import eventually
from tests.end_to_end.mcp_demo_agent import DEMO, calling, demo, ended, lines_of, noted, results
from tests.end_to_end.mcp_demo_agent import notes as notes
from tests.rigs.chat_client import WAIT_S, ChatClient, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from tests.rigs.watcher import calling as calling_now
from tests.rigs.watcher import survived
from understudy import Agent, mcp
from understudy.extensions.terminal.prompts import list_prompts, read_prompt

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")


async def test_one_run_uses_many_tools_of_a_server(serve: Any, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_TEST_SECRET", "x")
    calls = [
        ("demo_add", {"a": 2, "b": 3}), ("demo_variables", {}), ("demo_work", {"steps": 3}), ("demo_picture", {}),
        ("demo_fail", {}), ("demo_secret", {}), ("list_resources", {}), ("read_resource", {"uri": "demo://motd"}),
        ("demo_add", {"c": 1}), ("demo_nothing", {}),
    ]  # fmt: skip
    running = await serve(calling(demo(notes), *calls))
    async with connected(running.address) as client:
        await client.say("go", agent_type="script")
        await ended(client)
    by_tool = results(client)
    failed = [name for name, data in by_tool.items() if data["status"] != "ok"]
    assert failed == ["demo_add", "demo_fail", "demo_nothing"], {
        name: by_tool[name]["result_summary"] for name in failed
    }
    firsts = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
    assert firsts[0]["result"] == {"result": 5}
    assert "has no parameter `c`" in by_tool["demo_add"]["result_summary"]
    assert "There is no tool" in by_tool["demo_nothing"]["result_summary"]
    assert "UNDERSTUDY_TEST_SECRET" not in str(by_tool["demo_variables"]["result"])
    assert "DEMO_NOTES" in str(by_tool["demo_variables"]["result"])
    noted = [event["message"] for event in client.seen if event["type"] == "agent_progress"]
    assert "demo_work: step 3" in noted
    text, image, link = by_tool["demo_picture"]["result"]
    assert (text, image["media_type"], link["uri"]) == ("Here it is", "image/png", "demo://pixel")
    assert by_tool["demo_fail"]["result_summary"].startswith("demo_fail failed: ")
    assert "ghp_" not in json.dumps(by_tool["demo_secret"])
    assert by_tool["demo_secret"]["findings"]
    assert [resource["uri"] for resource in by_tool["list_resources"]["result"]] == ["demo://motd"]
    assert by_tool["read_resource"]["result"]["text"] == "Be kind."


async def decide(client: ChatClient, required: dict[str, Any], **decision: Any) -> None:
    await client.send(
        {"type": "approve", "payload": {"call_id": required["data"]["call_id"], "decision": "allow"} | decision}
    )


async def test_consent_is_for_one_definition_and_a_server_can_be_switched_off(serve_guest: Any, notes: Path) -> None:
    server, wipe = demo(notes), Call([("demo_wipe", {"disk": "c"})])
    wiper = Agent("wiper", tools=[server], model=ScriptedModel(wipe, Say("Done")))
    changer = Agent("changer", tools=[server], model=ScriptedModel(Call([("demo_change", {})]), Say("Done")))
    running, token = await serve_guest(wiper, changer)
    async with connected(running.address, token) as client:
        required = await client.ask("go", agent_type="wiper", thread_id="a", until="approval_required")
        assert required["data"]["parameters"] == {"disk": "c"}
        await decide(client, required, remember=True)
        await ended(client)
        await client.say("go", agent_type="wiper", thread_id="a")
        await ended(client)
        decided = [event["data"] for event in client.seen if event["type"] == "approval_decided"]
        assert [decision["door"] for decision in decided] == ["socket", "remembered"]
        await client.say("go", agent_type="changer", thread_id="a")
        await ended(client)
        path = "/api/threads/a/servers"

        async def read_anew() -> None:
            body = await get(running, path, token)
            assert {"name": "demo_wipe", "description": "Tidy up.", "approval": True} in body["servers"][0]["tools"]

        await eventually(read_anew, timeout_s=WAIT_S)
        client.seen.clear()
        await client.say("go", agent_type="wiper", thread_id="a")
        await decide(client, await client.until("approval_required"), decision="deny")
        await ended(client)
        assert lines_of(notes).count("wiped c") == 2

        body = await get(running, path, token)
        (row,) = body["servers"]
        assert (row["name"], row["title"], row["state"], row["on"]) == ("demo", "demo 1.0", "ready", True)
        assert row["agents"] == ["wiper", "changer"]
        await client.send({"type": "switch_server", "thread_id": "a", "server": "demo", "on": False})
        await client.say("go", agent_type="changer", thread_id="a")
        await ended(client)
        assert "There is no tool" in results(client)["demo_change"]["result_summary"]
        _, _, body = await request(running.address, "PUT", f"{path}/demo", token=token, body=b'{"on": true}')
        assert body["on"] is True
        for wrong in (f"{path}/other", "/api/threads/none/servers/demo"):
            assert (await request(running.address, "PUT", wrong, token=token, body=b'{"on": true}'))[0] == 404
        await client.send({"type": "switch_server", "thread_id": "a", "server": "other", "on": False})
        assert (await client.read())["data"]["code"] == "not_found"


async def test_a_server_that_dies_in_a_call_comes_back(serve_client: Any, notes: Path) -> None:
    agent = calling(
        demo(notes), ("demo_die", {}), ("demo_die_once", {}), ("demo_choose", {}), ("demo_linger", {}), timeout_s=100
    )
    async with serve_client(agent) as client:
        question = await client.ask("go", agent_type="script", until="question_asked")
        assert question["data"]["schema"]["properties"]["colour"]["enum"] == ["red", "blue"]
        question_id = question["data"]["question_id"]
        await client.send({"type": "answer", "payload": {"question_id": question_id, "answer": {"colour": "green"}}})
        assert (await client.until("error"))["data"]["code"] == "invalid_command"
        await client.send({"type": "answer", "payload": {"question_id": question_id, "answer": {"colour": "red"}}})
        await client.until("tool_completed", tool_name="demo_choose")
        await client.until("tool_executing")
        await noted(notes, "lingering")
        await client.send({"type": "cancel", "payload": {"run_id": question["run_id"]}})
        await ended(client)
        await noted(notes, "cancelled")
    by_tool = results(client)
    assert (by_tool["demo_die"]["status"], by_tool["demo_die"]["effect"]) == ("failed", "unknown")
    assert (by_tool["demo_die_once"]["status"], by_tool["demo_die_once"]["result"]) == (
        "ok",
        {"result": "done at last"},
    )
    assert by_tool["demo_choose"]["result"] == "accept red"
    lines = lines_of(notes)
    assert (lines.count("dying"), lines.count("dying once"), lines.count("started")) == (1, 2, 3)


async def test_prompts_are_listed_and_got_with_checked_arguments(serve: Any, notes: Path) -> None:
    running = await serve(calling(demo(notes), ("demo_add", {})))
    token, path = await new_token(running), "/api/threads/t/prompts"

    async def ask(method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        body = b"" if fields is None else json.dumps(fields).encode()
        status, _, answer = await request(running.address, method, path, token=token, body=body)
        return answer if status == 200 else {"status": status, **answer}

    with trio.fail_after(60):
        while not (listed := (await ask("GET", path))["prompts"]):  # noqa: ASYNC110 - its server is starting
            await trio.sleep(0.1)
    assert [prompt["name"] for prompt in listed] == ["greet", "leak"]
    assert listed[0]["arguments"] == [{"name": "name", "description": "", "required": True}]
    got = await ask("POST", path, {"server": "demo", "name": "greet", "arguments": {"name": "Ann"}})
    assert got == {"messages": [{"role": "user", "text": "Please greet Ann."}], "text": "Please greet Ann."}
    assert "ghp_" not in str(await ask("POST", path, {"server": "demo", "name": "leak"}))
    for wrong, status, words in (
        ({"name": "greet"}, 400, "needs the argument 'name'"),
        ({"name": "greet", "arguments": {"name": "a", "to": "b"}}, 400, "has no argument 'to'; it takes name"),
        ({"name": "greet", "arguments": {"name": "a" * 9000}}, 400, "more than 8,000 characters"),
        ({"name": "none"}, 404, "has no prompt"),
        ({"name": "greet", "server": "other"}, 404, "no MCP server"),
    ):
        refused = await ask("POST", path, {"server": "demo", **wrong})
        assert (refused["status"], words in str(refused)) == (status, True), refused
    assert (await list_prompts(ask, "t"))[0] == "demo:greet name=… · Greet somebody."
    assert await read_prompt(ask, "t", "demo:greet name='Ann B'") == "Please greet Ann B."
    assert await read_prompt(ask, "t", "greet name='Ann") is None


async def test_a_server_that_cannot_be_reached_stops_nobody(serve_guest: Any, notes: Path) -> None:
    running, token = await serve_guest(calling(mcp("no-such-program --key=secret-of-the-operator"), ("calculate", {})))
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="a")
        await ended(client)
        thoughts = [event["message"] for event in client.seen if event["type"] == "agent_thinking"]
        assert "The tools of the MCP server no_such_program are missing now: it cannot be reached." in thoughts
        assert [row["state"] for row in (await get(running, "/api/threads/a/servers", token))["servers"]] == ["away"]
        assert "secret-of-the-operator" not in str(client.seen)
    assert (await request(running.address, "GET", "/healthz"))[2]["status"] == "degraded"


@asynccontextmanager
async def over_http(notes: Path, port: int = 0) -> AsyncIterator[tuple[trio.Process, int]]:
    env = os.environ | {"DEMO_NOTES": str(notes), "DEMO_PORT": str(port)}
    process = await trio.lowlevel.open_process(
        [sys.executable, str(DEMO), "http"], stdout=subprocess.PIPE, env=env, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(60):
            line = await process.stdout.receive_some()
        yield process, int(line)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


async def test_a_server_over_http_is_used_killed_and_used_again(serve: Any, notes: Path) -> None:
    async with over_http(notes) as (process, port):
        server = mcp(f"http://127.0.0.1:{port}/mcp", name="demo", headers={"X-Key": "k"})
        calls = [("demo_add", {"a": 2, "b": 3}), ("demo_work", {"steps": 2}), ("demo_choose", {})]
        running = await serve(calling(server, *calls, timeout_s=100))
        async with connected(running.address) as client:
            await client.say("go", agent_type="script", thread_id="a")
            question = (await client.until("question_asked"))["data"]["question_id"]
            await client.send({"type": "answer", "payload": {"question_id": question, "decline": True}})
            await ended(client)
            by_tool = results(client)
            assert [by_tool[name]["status"] for name, _ in calls] == ["ok"] * 3
            assert by_tool["demo_choose"]["result"] == "decline "
            assert any(event["type"] == "agent_progress" and "step 2" in event["message"] for event in client.seen)
            process.kill()
            await process.wait()
            client.seen.clear()
            await client.say("go", agent_type="script", thread_id="a")
            await ended(client)
            assert {result["status"] for result in results(client).values()} == {"failed"}
            async with over_http(notes, port):
                with trio.fail_after(60):
                    while (await request(running.address, "GET", "/healthz"))[2]["status"] != "ok":  # noqa: ASYNC110
                        await trio.sleep(0.2)
                client.seen.clear()
                await client.say("go", agent_type="script", thread_id="a")
                question = (await client.until("question_asked"))["data"]["question_id"]
                await client.send({"type": "answer", "payload": {"question_id": question, "decline": True}})
                await ended(client)
                assert {result["status"] for result in results(client).values()} == {"ok"}


async def test_a_run_goes_on_with_its_servers_after_a_kill(tmp_path: Path) -> None:
    watcher = await survived(
        tmp_path, "go", calling_now("demo_look"), served="tests.end_to_end.mcp_agent:agent", agent_type="looker"
    )
    (done,) = watcher.kinds("tool_completed")
    assert (done["status"], done["result"]) == ("ok", {"result": "seen"})
    assert lines_of(tmp_path / "calls").count("started") == 2
