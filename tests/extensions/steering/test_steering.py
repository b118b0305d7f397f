"""Messages of a user to a run at work, over real sockets and HTTP, and across `kill -9`."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import new_token
from tests.rigs.process import started
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.server_pair import post
from tests.rigs.steerable_agent import HEARD, agent
from understudy import Agent, tool

AGENT = "tests.rigs.steerable_agent:agent"


async def at_work(client: ChatClient, content: str) -> str:
    """Send a message and read until its agent has called a tool. Return the id of the run."""
    return str((await client.ask(content, agent_type="steerable", thread_id="t", until="tool_executing"))["run_id"])


def digging_until(over: threading.Event) -> Agent:
    """Return the agent with a tool that ends when a test says so."""

    @tool(retry_safe=True)
    def dig(depth: int) -> str:
        """Work in a thread."""
        over.wait(60)
        return f"dug {depth} m"

    return evolve(agent, tools=(dig,))


async def steer(client: ChatClient, run_id: str, content: str, mode: str = "next", steer_id: str = "") -> None:
    payload = {"run_id": run_id, "content": content, "mode": mode, "steer_id": steer_id or content}
    await client.send({"type": "steer", "payload": payload})


def types(client: ChatClient, prefix: str) -> list[tuple[str, str]]:
    """Return the types and ids of the steering events so far, without repeats that were asked for."""
    events = {event["seq"]: event for event in client.durable() if event["type"].startswith(prefix)}.values()
    return [(event["type"], event["data"]["steer_id"]) for event in events]


@pytest.mark.promise("wire.steer", "wire.event-steer-accepted", "wire.event-steer-taken")
async def test_a_steer_enters_before_the_next_request_to_the_model_and_other_tabs_see_it(serve_guest: Any) -> None:
    running, token = await serve_guest(agent)
    async with connected(running.address, token) as client, connected(running.address, token) as tab:
        run_id = await at_work(client, "work 3")
        await steer(tab, run_id, "deeper")
        await client.until("steer_accepted", steer_id="deeper", mode="next")
        await steer(tab, run_id, "deeper")  # a repeat
        steer_taken = await client.until("steer_taken", steer_id="deeper")
        final = await client.until_end(checked=True)
        await tab.until_end()
    assert 1 <= steer_taken["data"]["turn"] <= 3
    assert final["data"]["message"] == "Read: deeper."
    assert types(client, "steer") == types(tab, "steer") == [("steer_accepted", "deeper"), ("steer_taken", "deeper")]


@pytest.mark.promise("wire.steer")
async def test_a_steer_that_enters_now_ends_the_turn_and_keeps_its_text(serve_client: Any) -> None:
    async with serve_client(agent) as client:
        run_id = (await client.ask("work 0", agent_type="steerable", thread_id="t", until="partial_result"))["run_id"]
        await steer(client, run_id, "shorter", "now")
        final = await client.until_end(checked=True)
    text = final["data"]["message"]
    assert text.startswith("Sentence 1 of the report.")
    assert "Sentence 20" not in text
    assert text.endswith("\n\nRead: shorter.")
    assert (final["data"]["status"], types(client, "steer_t")) == ("success", [("steer_taken", "shorter")])


@pytest.mark.promise("wire.unsteer", "wire.event-steer-withdrawn", "wire.error-run-ended")
async def test_a_waiting_steer_is_taken_back_and_others_are_refused(serve: Any) -> None:
    over = threading.Event()
    running = await serve(digging_until(over))
    token, stranger = await new_token(running), await new_token(running)

    async def send(run_id: str, *, by: str = token, **fields: Any) -> tuple[int, Any]:
        return await post(running, by, "steer", run_id=run_id, **fields)

    async def take_back(run_id: str, steer_id: str) -> int:
        return (await post(running, token, "unsteer", run_id=run_id, steer_id=steer_id))[0]

    async with connected(running.address, token) as client:
        run_id = await at_work(client, "work 3")
        status, accepted = await send(run_id, content="left", steer_id="s1")
        assert (status, accepted) == (202, {"message_id": "s1", "run_id": run_id, "thread_id": "t"})
        assert await take_back(run_id, "s1") == 202
        await client.until("steer_withdrawn", steer_id="s1")
        assert await take_back(run_id, "s1") == 404
        assert (await send(run_id, by=stranger, content="mine"))[0] == 404
        assert (await send(run_id, content=" "))[1]["error"]["code"] == "empty_message"
        assert (await send(run_id, content="x", mode="soon"))[1]["error"]["code"] == "invalid_command"
        over.set()
        assert (await client.until_end())["data"]["message"].endswith("Read: nothing.")
        status, refused = await send(run_id, content="too late")
        assert (status, refused["error"]["code"]) == (409, "run_ended")
        assert (await send(run_id, content="work 0", mode="after", steer_id="s2"))[0] == 202
        assert (await client.until("message_accepted"))["data"]["message_id"] == "s2"
        await client.until_end()


@pytest.mark.promise("wire.steer")
async def test_a_steer_that_waits_for_the_end_is_a_message_and_can_be_taken_back(serve_client: Any) -> None:
    over = threading.Event()
    async with serve_client(digging_until(over)) as client:
        run_id = await at_work(client, "work 3")
        await steer(client, run_id, "work 0", "after", "a1")
        accepted = await client.until("message_accepted", message_id="a1")
        assert accepted["run_id"] != run_id
        await client.send({"type": "unsteer", "payload": {"run_id": run_id, "steer_id": "a1"}})
        assert (await client.until("final_response", status="cancelled"))["run_id"] == accepted["run_id"]
        over.set()
        assert (await client.until_end())["run_id"] == run_id


@pytest.mark.promise("wire.steer")
async def test_a_steer_survives_a_kill_and_enters_once(tmp_path: Path) -> None:
    log, token, run_id = tmp_path / "heard", "", ""
    events: list[dict[str, Any]] = []
    for number in range(2):
        async with started(tmp_path / "data", AGENT, **{HEARD: str(log)}) as server:
            if not token:
                token = await new_token(server)
            async with connected(server.address, token) as client:
                if not number:
                    run_id = await at_work(client, "work 4")
                    await steer(client, run_id, "deeper")
                    await client.until("steer_accepted")
                else:
                    await client.send({"type": "resume", "payload": {"threads": {"t": events[-1]["seq"]}}})
                    await steer(client, run_id, "deeper")
                    await client.until_end()
                events += [event for event in client.durable() if not events or event["seq"] > events[-1]["seq"]]
                await server.kill()
    check_arc(events)
    assert [event["type"] for event in events if event["type"].startswith("steer")] == ["steer_accepted", "steer_taken"]
    assert json.loads(log.read_text().splitlines()[-1]) == ["work 4", "deeper"]
    assert events[-1]["data"]["message"] == "Read: deeper."


@pytest.mark.promise("wire.steer")
async def test_a_steer_that_enters_now_denies_the_calls_that_wait_for_approval(serve_client: Any) -> None:
    async with serve_client(scripted(Call([("send_mail", {"to": "ada", "text": "x"})]), Say("Done"))) as client:
        required = await client.ask("go", agent_type="script", thread_id="t", until="approval_required")
        await steer(client, required["run_id"], "rather not", "now")
        decided = await client.until("approval_decided")
        await client.until("steer_taken")
        await client.send({"type": "cancel", "payload": {"run_id": required["run_id"]}})
        await client.until_end(checked=True)
    assert decided["data"]["decision"] == "deny"
    assert decided["data"]["note"] == "The user has sent a new message instead."


async def test_without_the_extension_the_commands_are_unknown(serve_guest: Any) -> None:
    running, token = await serve_guest(agent, extensions=["-steering"])
    for kind, payload in (("steer", {"content": "x"}), ("unsteer", {"steer_id": "s"})):
        status, refused = await post(running, token, kind, run_id="r", **payload)
        assert (status, refused["error"]["code"]) == (400, "unknown_type")
