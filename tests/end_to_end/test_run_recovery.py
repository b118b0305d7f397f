"""Runs resumed after servers are killed: the same answer continues for the same client."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors import ActorRef
from tests.end_to_end.passing_time import Clocks
from tests.end_to_end.passing_time import clocks as clocks
from tests.rigs import http
from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.resumable_agent import OTHER, SPOKEN, agent
from tests.rigs.watcher import Moment, Watcher, asked, calling, calls_of, ended, shown, survived
from understudy.app.server import Running
from understudy.storage.changes import Change
from understudy.storage.limits import Limits
from understudy.storage.records import RunAttempt

WRITER = "tests.end_to_end.hand_written_agent:agent"
ORDER = ("once", "again", "ask")


def answered(name: str) -> Moment:
    """Read until a tool has just ended, between two turns."""
    return lambda watcher: any(data["tool_name"] == name for data in watcher.kinds("tool_completed"))


async def test_a_run_outlives_five_servers(tmp_path: Path) -> None:
    moments = (answered("once"), calling("again"), asked, shown(150), shown(400))
    watcher = await survived(tmp_path, "once again ask", *moments)
    end = watcher.events[-1]
    assert (end["type"], end["data"]["message"]) == ("final_response", SPOKEN)
    assert (watcher.screen.text, watcher.screen.jumps) == (SPOKEN, 0)
    thoughts = watcher.kinds("agent_thinking")
    assert [data["thought"] for data in thoughts if "notice" not in data] == [f"next is {word}" for word in ORDER]
    assert {data["notice"] for data in thoughts if "notice" in data} == {"resumed"}
    assert [data["status"] for data in watcher.kinds("tool_completed")] == ["ok"] * 3
    assert len(watcher.kinds("approval_required")) == len(watcher.kinds("agent_started")) == 1
    calls = calls_of(tmp_path)
    assert list(calls) == list(ORDER)
    assert calls["once"] == calls["ask"] == 1
    assert calls["again"] <= 3  # it may have begun when the first server is killed, and is under way at the second


@pytest.mark.proof("chaos")
async def test_a_run_outlives_servers_on_postgresql(tmp_path: Path, postgres: Any, template: str) -> None:
    options = ("--database-url", postgres.create(template))
    watcher = await survived(tmp_path, "again", calling("again"), shown(300), options=options)
    assert (watcher.events[-1]["type"], watcher.events[-1]["data"]["message"]) == ("final_response", SPOKEN)
    assert (watcher.screen.text, watcher.screen.jumps) == (SPOKEN, 0)


@pytest.mark.parametrize("moment", [calling("again"), answered("again")], ids=["at work", "one has ended"])
async def test_two_equal_calls_of_one_turn_are_two(tmp_path: Path, moment: Moment) -> None:
    watcher = await survived(tmp_path, "twice", moment)
    ended_calls = {data["call_id"]: data["status"] for data in watcher.kinds("tool_completed")}
    assert list(ended_calls.values()) == ["ok", "ok"]
    made = Counter(line.split()[1] for line in (tmp_path / "calls").read_text().splitlines())
    assert made.keys() == ended_calls.keys()
    assert max(made.values()) <= 2


async def test_calls_that_were_killed_are_reconciled_and_take_effect_once(tmp_path: Path) -> None:
    (tmp_path / "calls").touch()
    watcher = await survived(tmp_path, "early late", calling("early"), calling("late"), pause_s=0.5)
    assert [data["result"] for data in watcher.kinds("tool_completed")] == ["as noted", "done late"]
    assert calls_of(tmp_path) == {"early": 1, "late": 1}
    assert watcher.events[-1]["type"] == "final_response"
    assert not watcher.kinds("question_asked")


# In one process: conversations and runs die under clients that stay connected.


def conversation(running: Running) -> ActorRef:
    (ref,) = find(running, KINDS["conversation"])
    return ref


@pytest.mark.proof("chaos")
@pytest.mark.parametrize(
    ("manner", "kind"),
    [("on", "conversation"), ("over", "conversation"), ("tail", "conversation"), ("other", "conversation"),
     ("on", "run"), ("over", "run")],
)  # fmt: skip
async def test_a_connected_client_sees_the_resumed_text(serve: Any, manner: str, kind: str) -> None:
    running = await serve(agent)
    watcher = Watcher()
    async with connected(running.address) as client:
        await client.say(manner, agent_type="resumable", thread_id="t")
        for characters in (20, 330):
            await watcher.until(client, shown(characters))
            (ref,) = find(running, KINDS[kind])
            ref.kill()
        await watcher.until(client, ended)
    check_arc(watcher.events)
    end = watcher.events[-1]["data"]
    assert end["message"] == (OTHER if manner == "other" else SPOKEN)
    assert watcher.screen.text == end["message"]
    assert watcher.screen.jumps == (1 if manner == "other" else 0)
    assert end["usage"]["estimated"] > 100, "what the interrupted request has used"


async def test_a_waiting_call_keeps_its_remaining_time_after_a_restart(clocks: Clocks, serve: Any) -> None:
    running = await serve(agent, limits=Limits(approval_s=1000.0, heartbeat_s=10_000.0))
    watcher = Watcher()
    async with connected(running.address) as client:
        await client.say("ask", agent_type="resumable", thread_id="t")
        await watcher.until(client, asked)
        clocks.forward(500.0)
        conversation(running).kill()
        clocks.forward(450.0)
        await client.send({"type": "ping"})
        await watcher.until(client, lambda watcher: "pong" in [event["type"] for event in client.seen])
        assert not watcher.kinds("approval_decided")
        clocks.forward(51.0)
        await watcher.until(client, ended)
    check_arc(watcher.events)
    assert [data["decision"] for data in watcher.kinds("approval_decided")] == ["expired"]
    assert watcher.events[-1]["type"] == "final_response"


async def stand(running: Running, attempts: int, progress: int = 0) -> None:
    """Store the log's one run as interrupted after this many attempts without progress."""
    (run,) = await running.store.unfinished_runs()
    await running.store.commit(Change(run.owner, run.thread_id, attempt=RunAttempt(run.id, attempts, progress)))


@pytest.mark.promise("wire.error-run-interrupted")
async def test_a_run_that_gets_no_further_is_set_aside(serve: Any) -> None:
    running = await serve(agent)
    watcher = Watcher()
    async with connected(running.address) as client:
        await client.say("on", agent_type="resumable", thread_id="t")
        await watcher.until(client, shown(300))
        await stand(running, 5)
        conversation(running).kill()
        await watcher.until(client, ended)
        end = watcher.events[-1]["data"]
        assert end["code"] == "run_interrupted"
        assert end["message"] == "The work on this message was given up: it did not get on in 5 attempts."
        text = watcher.kinds("agent_completed")[0]["result"]
        assert text
        assert SPOKEN.startswith(text)
        assert (await client.ask("on", agent_type="resumable", thread_id="t"))["type"] == "final_response"
    _, _, page = await http.request(running.address, "GET", "/metrics")
    assert 'understudy_runs_taken_up_total{outcome="set_aside"} 1.0' in str(page)


def thinking(thought: str) -> Moment:
    return lambda watcher: any(data["thought"] == thought for data in watcher.kinds("agent_thinking"))


async def test_a_subagent_goes_on_after_its_server_is_killed_and_repeats_nothing_that_was_done(tmp_path: Path) -> None:
    moments = (thinking("between"), calling("again"), thinking("in the third"))
    boss = WRITER.replace(":agent", ":boss")
    watcher = await survived(tmp_path, "go", *moments, pause_s=0.15, written="three", served=boss, agent_type="boss")
    assert watcher.kinds("final_response")[0]["message"] == "All done."
    results = {data["tool_name"]: data["result"] for data in watcher.kinds("tool_completed")}
    assert results["ask_writer"] == "I begin. \n\none is done, two is done, done again, three is done"
    steps = [line for line in (tmp_path / "calls").read_text().splitlines() if not line.startswith("again")]
    assert Counter(line.split()[0] for line in steps) == {"one": 1, "two": 1, "three": 2}
    assert len(set(steps)) == 3
    assert (len(watcher.kinds("subagent_started")), len(watcher.kinds("subagent_completed"))) == (1, 1)
