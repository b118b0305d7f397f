"""Two servers: the runs of one are steered, answered and undone on the other, which goes on if the first is killed."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.rigs.caller import Caller
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.process import Process, started
from tests.rigs.resumable_agent import CALLS, HOLD
from tests.rigs.server_pair import backends_environment, resume, token_of
from tests.rigs.watcher import AGENT, allowed
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis


async def command(client: ChatClient, kind: str, **payload: Any) -> None:
    await client.send({"type": kind, "payload": payload})


async def say(client: ChatClient, thread_id: str, content: str) -> str:
    await client.say(content, thread_id=thread_id, agent_type="resumable")
    return str((await client.until("message_accepted"))["run_id"])


def log_of(client: ChatClient, thread_id: str) -> list[dict[str, Any]]:
    """Return the durable events of a thread that a client has received, without repeats that it asked for."""
    by_seq = {event["seq"]: event for event in client.durable() if event["thread_id"] == thread_id}
    return list(by_seq.values())


def data_of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in events if event["type"] == kind]


async def test_runs_are_steered_answered_and_undone_on_the_other_server_which_takes_them_over(
    tmp_path: Path, postgres: Postgres, redis: Redis
) -> None:
    shared = backends_environment(postgres, redis, 6) | {CALLS: str(tmp_path / "calls")}
    begin, token = partial(started, **shared), token_of()
    async with (
        begin(tmp_path / "a", AGENT) as a,
        begin(tmp_path / "b", AGENT) as b,
        connected(a.address, token) as on_a,
        connected(b.address, token) as on_b,
    ):
        await controlled(on_a, on_b, Caller(b, token), trio.Path(tmp_path / HOLD))
        await killed(a, b, on_a, on_b, token)
    calls = Counter(line.split()[0] for line in (tmp_path / "calls").read_text().splitlines())
    assert calls.pop("unbook") in (2, 3), "an undo that was interrupted is repeated"
    assert calls == {"again": 3, "ask": 1, "fill": 2, "book": 2, "once": 1}


async def controlled(on_a: ChatClient, on_b: ChatClient, caller: Caller, hold: trio.Path) -> None:
    """Control runs of the first server on the second, over its socket and its REST API.

    The file `hold` keeps the run in its first call until the steer that waits for its end has been taken back.
    """
    await hold.touch()
    run_id = await say(on_a, "t", "again ask fill")
    await resume(on_b)
    await on_b.until("tool_executing", tool_name="again")
    for steer_id in ("left", "left"):
        await command(on_b, "steer", run_id=run_id, content=steer_id, mode="next", steer_id=steer_id)
    await command(on_b, "unsteer", run_id=run_id, steer_id="left")
    await on_b.until("steer_withdrawn", steer_id="left")
    await hold.unlink()
    required = await on_b.until("approval_required")
    (waiting,) = (await caller.get(f"/api/runs/{run_id}"))["waits_for"]
    assert (waiting["kind"], waiting["call_id"]) == ("approval", required["data"]["call_id"])
    changed = {"decision": "allow", "parameters": {"what": " otherwise"}}
    await command(on_b, "approve", call_id=required["data"]["call_id"], **changed)
    question = (await on_b.until("question_asked"))["data"]
    await command(on_b, "answer", question_id=question["question_id"], answer={"town": "Ulm"})
    assert (await on_b.until_end())["data"]["code"] == "invalid_command"
    await caller.post("/api/commands", type="steer", run_id=run_id, content="book", steer_id="s1")
    await command(on_b, "answer", question_id=question["question_id"], answer={"city": "Ulm"})
    await on_b.until("steer_taken", steer_id="s1")
    booked = (await on_b.until("tool_completed", tool_name="book"))["data"]
    await on_b.until_end()
    await on_a.until_end()
    log = log_of(on_a, "t")
    check_arc(log)
    assert [call["result"] for call in data_of(log, "tool_completed")] == [
        "done again", "done as allowed otherwise", "to Ulm", "booked",
    ]  # fmt: skip
    assert [steer["steer_id"] for steer in data_of(log, "steer_accepted")] == ["left", "s1"]

    await command(on_b, "undo", call_id=booked["call_id"])
    for client in (on_a, on_b):
        assert (await client.until("call_undone"))["data"]["status"] == "ok"
    await command(on_b, "undo", call_id=booked["call_id"])
    assert (await on_b.until("error"))["data"]["code"] == "already_undone"
    assert log_of(on_a, "t") == log_of(on_b, "t")

    second = await say(on_a, "t", "again fill")
    await on_b.until("question_asked")
    runs = {run["run_id"]: run for run in (await caller.get("/api/runs"))["runs"]}
    assert runs[run_id]["status"] == "success"
    (approval,) = (await caller.get(f"/api/runs/{second}"))["waits_for"]
    assert approval["kind"] == "question"
    await caller.post(f"/api/runs/{second}/cancel")
    assert (await on_b.until_end())["data"]["status"] == "cancelled"
    await on_a.until_end()


async def killed(a: Process, b: Process, on_a: ChatClient, on_b: ChatClient, token: str) -> None:
    """Kill the first server while a form is open there, a steer waits, and a call is being undone."""
    await say(on_a, "u", "book")
    booked = (await on_a.until("tool_completed"))["data"]
    await on_a.until_end()
    await on_b.until_end()
    run_id = await say(on_a, "v", "again fill")
    await resume(on_b, "v")
    question = (await on_b.until("question_asked"))["data"]
    await command(on_b, "steer", run_id=run_id, content="once", mode="next", steer_id="s2")
    await on_b.until("steer_accepted", steer_id="s2")
    await command(on_b, "undo", call_id=booked["call_id"])
    await on_a.until("undo_started")
    await a.kill()
    answer = {"question_id": question["question_id"], "answer": {"city": "Ulm"}}
    await allowed(b.address, token, {"type": "answer", **answer})
    await command(on_b, "steer", run_id=run_id, content="once", mode="next", steer_id="s2")
    while len(data_of(log_of(on_b, "u"), "call_undone")) < 1 or not data_of(log_of(on_b, "v"), "final_response"):
        await on_b.read()
    log = log_of(on_b, "v")
    check_arc(log)
    assert len(data_of(log, "question_asked")) == len(data_of(log, "question_answered")) == 1
    assert [steer["steer_id"] for steer in data_of(log, "steer_taken")] == ["s2"]
    assert [call["result"] for call in data_of(log, "tool_completed")] == ["done again", "to Ulm", "done once"]
    assert [undone["status"] for undone in data_of(log_of(on_b, "u"), "call_undone")] == ["ok"]
