"""The stop switch over HTTP: what is stopped is refused and ended, on every node within a second."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.process import Process, started
from tests.rigs.resumable_agent import CALLS
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.server import clock as clock
from tests.rigs.server_pair import SECRET, Begin, backends_environment, token_of
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy import Agent, tool
from understudy.app.server import Running
from understudy.extensions.operations import stops
from understudy.models.model import Emit, Reply, TextDelta, Turn
from understudy.storage.polling import Poller

OPERATOR = token_of("op", roles=["operator"])
ADA = token_of()
REASON = "It misbehaves."


class Endless:
    name = "endless"
    notice = ""
    ended_at = float("inf")

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        await emit(TextDelta("Well. "))
        try:
            await trio.sleep_forever()
        finally:
            self.ended_at = trio.current_time()
        raise AssertionError


@tool
async def linger() -> str:
    """Work for ever."""
    await trio.sleep_forever()
    return ""


def endless(model: Endless | None = None) -> Agent:
    return Agent("endless", model=model or Endless())


def lingering() -> Agent:
    return evolve(scripted(Call([("linger", {})]), Say("Without it.")), tools=(linger,))


async def change(
    running: Running | Process, method: str, path: str, who: str = OPERATOR, **body: Any
) -> tuple[int, Any]:
    return (await request(running.address, method, path, token=who, body=body or b""))[::2]


@pytest.mark.promise("wire.error-stopped")
async def test_a_stopped_agent_is_refused_and_allowed_again(serve: Any) -> None:
    running = await serve(endless(), secret=SECRET)
    status, in_force = await change(running, "PUT", "/api/stops/agent/endless", reason=REASON)
    assert (status, in_force["known"], in_force["who"], in_force["reason"]) == (200, True, "op", REASON)
    assert (await change(running, "PUT", "/api/stops/tool/none_such", reason=REASON))[1]["known"] is False
    listed = (await change(running, "GET", "/api/stops"))[1]["stops"]
    assert [(stop["kind"], stop["name"], stop["known"]) for stop in listed] == [
        ("agent", "endless", True),
        ("tool", "none_such", False),
    ]
    async with connected(running.address, ADA) as client:
        await client.say("go", agent_type="endless", thread_id="t")
        with trio.fail_after(60):
            data = (await client.until("error"))["data"]
        assert (data["code"], data["retryable"]) == ("stopped", False)
        assert (await change(running, "GET", "/api/threads", ADA))[1]["threads"] == []  # nothing was accepted
        assert "op" in data["message"]
        assert REASON in data["message"]
        assert (await change(running, "DELETE", "/api/stops/agent/endless"))[0] == 204
        await client.ask("go", agent_type="endless", thread_id="t", until="partial_result")
    assert (await change(running, "DELETE", "/api/stops/agent/endless"))[0] == 404


async def test_a_stop_needs_a_known_kind_a_reason_and_a_run_that_is_there(serve: Any) -> None:
    running = await serve(endless(), secret=SECRET)
    assert (await change(running, "POST", "/api/observer/runs/r/stop"))[0] == 404
    assert (await change(running, "PUT", "/api/stops/moon/endless", reason=REASON))[0] == 400
    assert (await change(running, "PUT", "/api/stops/agent/endless", reason=" "))[0] == 400


@pytest.mark.promise("wire.scrubbed-in")
async def test_what_an_operator_writes_is_scrubbed(serve: Any) -> None:
    running, key = await serve(endless(), secret=SECRET), "ghp_" + "a1B2c3D4" * 4 + "e5F6"
    assert (await change(running, "PUT", "/api/stops/agent/endless", reason=f"It told {key}."))[0] == 200
    (listed,) = (await change(running, "GET", "/api/stops"))[1]["stops"]
    async with connected(running.address, ADA) as client:
        assert (await change(running, "POST", "/api/alerts", message=f"Change {key}."))[0] == 202
        alert = await client.until("alert")
    assert (listed["reason"], alert["data"]["message"]) == ("It told [redacted].", "Change [redacted].")


@pytest.mark.parametrize("kind", ["agent", "model"])
@pytest.mark.parametrize("channel", ["both", "news", "poll"])
async def test_a_stop_ends_a_run_on_the_other_node(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, kind: str, channel: str
) -> None:
    """The other node hears of it by news and polls, by news alone, and by polls alone."""
    if channel == "news":
        monkeypatch.setattr(stops, "POLL_S", 600.0)
    elif channel == "poll":
        monkeypatch.setattr(stops.StopsPoller, "on_start", Poller.on_start)  # which hears no news
    await stopped_after(begin, kind)


async def test_a_server_on_sqlite_hardly_polls_for_stops(
    clock: trio.testing.MockClock, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []
    poll = stops.StopSwitch.poll

    async def counted(switch: stops.StopSwitch) -> None:
        polls.append(trio.current_time())
        await poll(switch)

    monkeypatch.setattr(stops.StopSwitch, "poll", counted)
    await serve(lingering())
    while len(polls) < 2:  # noqa: ASYNC110 - before there are runs, and as the actor starts
        await trio.sleep(0.01)
    clock.jump(10 * stops.POLL_S)
    await trio.testing.wait_all_tasks_blocked(0.1)
    assert len(polls) == 2
    clock.jump(stops.ALONE_S)
    while len(polls) < 3:  # noqa: ASYNC110
        await trio.sleep(0.01)


@pytest.mark.proof("timing")
@pytest.mark.parametrize("kind", ["agent", "model"])
async def test_a_stop_ends_a_run_on_the_other_node_within_a_second(begin: Begin, kind: str) -> None:
    assert await stopped_after(begin, kind) < 1.0


async def stopped_after(begin: Begin, kind: str) -> float:
    """Stop what works on the other node. Return the seconds to the end of its work.

    The event that tells the client was seen to come 1 to 2 s later if it is the first of its kind in the process.
    """
    model = Endless()
    two = await begin(endless(model))
    async with connected(two.b.address, ADA) as client:
        await client.ask("go", agent_type="endless", thread_id="t", until="partial_result")
        began = trio.current_time()
        assert (await change(two.a, "PUT", f"/api/stops/{kind}/endless", reason=REASON))[0] == 200
        data = (await client.until("error"))["data"]
        assert data["code"] == "stopped"
        assert REASON in data["message"]
    return model.ended_at - began


async def test_a_stopped_tool_is_an_error_that_the_model_works_with(begin: Begin) -> None:
    two = await begin(lingering())
    async with connected(two.b.address, ADA) as client:
        await client.ask("go", agent_type="script", thread_id="t", until="tool_executing")
        assert (await change(two.a, "PUT", "/api/stops/tool/linger", reason=REASON))[0] == 200
        data = (await client.until("tool_completed"))["data"]
        assert data["result"]["error"]["code"] == "stopped"
        assert data["effect"] == "unknown"
        assert data["result_summary"].endswith("Whether it took effect is unknown.")
        assert "Without it." in json.dumps(await client.until_end())


async def test_an_operator_ends_the_run_of_a_user_on_another_node(begin: Begin) -> None:
    two = await begin(endless())
    async with connected(two.b.address, ADA) as client:
        run_id = (await client.ask("go", agent_type="endless", thread_id="t", until="partial_result"))["run_id"]
        assert (await change(two.a, "POST", f"/api/observer/runs/{run_id}/stop"))[0] == 202
        assert (await client.until("final_response"))["data"]["status"] == "cancelled"


async def test_a_stop_reaches_a_node_in_another_process(tmp_path: Path, postgres: Postgres, own_redis: Redis) -> None:
    environment = backends_environment(postgres, own_redis) | {CALLS: str(tmp_path / "calls")}
    agent = "tests.end_to_end.held_agent:agent"
    async with started(tmp_path / "a", agent, **environment) as a, started(tmp_path / "b", agent, **environment) as b:
        async with connected(b.address, ADA) as client:
            await client.ask("go", agent_type="held", thread_id="t", until="tool_executing")
            assert (await change(a, "PUT", "/api/stops/agent/held", reason=REASON))[0] == 200
            with trio.fail_after(60):
                data = (await client.until("error"))["data"]
            assert (data["code"], REASON in data["message"]) == ("stopped", True)
        for node in (a, b):
            async with connected(node.address, ADA) as client:
                await client.say("go", agent_type="held", thread_id="u")
                assert (await client.until("error"))["data"]["code"] == "stopped"
        assert (await change(b, "DELETE", "/api/stops/agent/held"))[0] == 204
        async with connected(a.address, ADA) as client:
            with trio.fail_after(60):  # A hears of it from B
                while True:
                    await client.say("go", agent_type="held", thread_id="u")
                    while (event := await client.read())["type"] not in ("tool_executing", "error"):
                        pass
                    if event["type"] == "tool_executing":
                        break
                    assert event["data"]["code"] == "stopped"
