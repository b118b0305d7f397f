"""Undo over real sockets: one call, a whole run, a failing undo, and a server that is killed meanwhile."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import TERMINAL, ChatClient, connected
from tests.rigs.http import new_token
from tests.rigs.paying_agent import BANK, CLOSED, paying, take_back
from tests.rigs.process import started
from tests.rigs.resumable_agent import CALLS, UNDO_S
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from tests.rigs.server_pair import post
from understudy import Agent, Done, NotDone, ToolContext, tool


async def act() -> None:
    """Act."""


ACT = Call([("act", {})])


async def paid(client: ChatClient) -> tuple[str, list[str]]:
    BANK.clear()
    CLOSED.clear()
    end = await client.ask("go", agent_type="script", thread_id="t")
    completed = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
    assert all(data["undo_until"] - data["timestamp"] == 600 for data in completed)
    return end["run_id"], [data["call_id"] for data in completed]


async def undone(client: ChatClient, count: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while len(events) < count:
        events.append((await client.until("call_undone"))["data"])
    return events


@pytest.mark.promise("wire.undo", "wire.event-undo-started", "wire.event-call-undone")
@pytest.mark.promise("wire.error-not-undoable", "wire.error-undo-expired", "wire.error-already-undone")
async def test_a_call_is_undone_once_from_any_tab(serve_guest: Any) -> None:
    brief, plain = (
        Agent(name, tools=[tool(undo=undo, undo_s=1e-6, name="act")(act)], model=ScriptedModel(ACT, Say("Done")))
        for name, undo in (("brief", take_back), ("plain", None))
    )
    running, token = await serve_guest(paying(3), brief, plain)
    async with (
        connected(running.address, token) as client,
        connected(running.address, token) as tab,
        connected(running.address) as stranger,
    ):
        run_id, (call_id,) = await paid(client)
        command = {"type": "undo", "payload": {"call_id": call_id}}
        await stranger.send(command)
        assert (await stranger.until("error"))["data"]["code"] == "not_found"
        await tab.send(command)
        started = await client.until("undo_started")
        assert (started["run_id"], started["data"]["call_ids"]) == (run_id, [call_id])
        (outcome,) = await undone(client, 1)
        assert outcome == {"call_id": call_id, "tool_name": "pay", "status": "ok"}
        assert {call_id: 0} == BANK
        await client.send(command)
        assert (await client.until("error"))["data"]["code"] == "already_undone"
        for name, code in (("brief", "undo_expired"), ("plain", "not_undoable")):
            end = await client.ask("go", agent_type=name, thread_id="t")
            status, body = await post(running, token, "undo", run_id=end["run_id"])
            assert (status, body["error"]["code"]) == (410 if code == "undo_expired" else 409, code)
        durable = [event["seq"] for event in client.seen if event.get("seq") is not None]
        assert durable == list(range(1, len(durable) + 1))


@pytest.mark.promise("wire.undo")
async def test_a_run_is_undone_backwards_and_stops_at_a_failure(serve_client: Any) -> None:
    async with serve_client(paying(1, 2, 3)) as client:
        run_id, calls = await paid(client)
        CLOSED.add(2)
        await client.send({"type": "undo", "payload": {"run_id": run_id}})
        last, second = await undone(client, 2)
        assert (last["call_id"], last["status"]) == (calls[2], "ok")
        assert second == {
            "call_id": calls[1], "tool_name": "pay", "status": "failed", "reason": "The bank is closed.",
            "kept": [calls[0]],
        }  # fmt: skip
        CLOSED.clear()
        await client.send({"type": "undo", "payload": {"run_id": run_id}})
        assert [call["call_id"] for call in await undone(client, 2)] == [calls[1], calls[0]]
        assert set(BANK.values()) == {0}


@pytest.mark.promise("wire.event-call-settled")
@pytest.mark.parametrize(("effect", "dies"), [("done", False), ("done", True), ("none", True)])
async def test_a_call_that_was_cancelled_is_settled_and_can_be_undone(serve: Any, effect: str, dies: bool) -> None:
    begun = threading.Event()

    async def ask(call_id: str, arguments: dict[str, Any]) -> Done | NotDone:
        return Done({"paid": arguments["amount"]}) if BANK[call_id] else NotDone()

    @tool(name="pay", reconcile=ask, undo=take_back)
    async def pay_slowly(amount: int, context: ToolContext) -> None:
        """Pay, and take long."""
        BANK[context.call_id] += effect == "done"
        begun.set()
        await trio.sleep_forever()

    BANK.clear()
    CLOSED.clear()
    running = await serve(Agent("script", tools=[pay_slowly], model=ScriptedModel(Call([("pay", {"amount": 3})]))))
    async with connected(running.address) as client:
        run_id = (await client.ask("go", agent_type="script", thread_id="t", until="tool_executing"))["run_id"]
        assert await trio.to_thread.run_sync(begun.wait, 60)
        await client.send({"type": "cancel", "payload": {"run_id": run_id}})
        completed = (await client.until("tool_completed"))["data"]
        assert (completed["status"], completed["effect"]) == ("cancelled", "unknown")
        await client.until_end()
        if dies:
            (conversation,) = find(running, KINDS["conversation"])
            conversation.kill()
        settled = (await client.until("call_settled"))["data"]
        assert settled["effect"] == effect
        assert ("undo_until" in settled) is (effect == "done")
        if effect == "done":
            await client.send({"type": "undo", "payload": {"run_id": run_id}})
            assert (await undone(client, 1))[0]["status"] == "ok"
            assert set(BANK.values()) == {0}


async def test_a_run_at_work_is_not_undone(serve_client: Any) -> None:
    @tool(undo=lambda result, arguments: None)
    async def wait() -> None:
        """Wait."""
        await trio.sleep_forever()

    async with serve_client(
        Agent("script", tools=[wait], model=ScriptedModel(Call([("wait", {})]), Say("Done")))
    ) as client:
        call = await client.ask("go", agent_type="script", thread_id="t", until="tool_executing")
        await client.send({"type": "undo", "payload": {"run_id": call["run_id"]}})
        refused = (await client.until("error"))["data"]
        assert refused["code"] == "busy"
        assert refused["message"] == "The run is still at work: stop it, or wait for its end."


@pytest.mark.promise("wire.undo")
async def test_an_undo_survives_a_killed_server(tmp_path: Path) -> None:
    agent, calls = "tests.rigs.resumable_agent:agent", tmp_path / "calls"
    async with started(tmp_path / "data", agent, **{CALLS: str(calls)}) as server:
        token = await new_token(server)
        async with connected(server.address, token) as client:
            end = await client.ask("book book", agent_type="resumable", thread_id="t")
            call_ids = [event["data"]["call_id"] for event in client.seen if event["type"] == "tool_completed"]
            await client.send({"type": "undo", "payload": {"run_id": end["run_id"]}})
            seq = (await client.until("undo_started"))["seq"]
            await trio.sleep(UNDO_S / 2)
            await server.kill()
    async with (
        started(tmp_path / "data", agent, **{CALLS: str(calls)}) as server,
        connected(server.address, token) as client,
    ):
        await client.send({"type": "resume", "payload": {"threads": {"t": seq}}})
        outcomes = await undone(client, 2)
        assert [(outcome["call_id"], outcome["status"]) for outcome in outcomes] == [
            (call_ids[1], "ok"),
            (call_ids[0], "ok"),
        ]
        assert not [event for event in client.seen if event["type"] in TERMINAL]
    undos = Counter(line for line in calls.read_text().splitlines() if line.startswith("unbook"))
    assert undos == {f"unbook {call_ids[1]}": 2, f"unbook {call_ids[0]}": 1}


async def test_without_the_extension_no_undo_is_offered_and_the_command_is_unknown(serve_guest: Any) -> None:
    running, token = await serve_guest(paying(3), extensions=["-undo"])
    async with connected(running.address, token) as client:
        await client.ask("go", agent_type="script", thread_id="t")
        (completed,) = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
        assert "undo_until" not in completed
    status, refused = await post(running, token, "undo", call_id=completed["call_id"])
    assert (status, refused["error"]["code"]) == (400, "unknown_type")
