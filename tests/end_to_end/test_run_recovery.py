"""Runs resumed after servers are killed: the same answer continues for the same client."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket
from attrs import define, field

from actors import ActorRef
from tests.chaos.test_killing import KINDS, find
from tests.end_to_end import http
from tests.end_to_end.answer_view import AnswerView
from tests.end_to_end.chat_client import TERMINAL, WAIT_S, ChatClient, check_arc, connected
from tests.end_to_end.passing_time import Clocks
from tests.end_to_end.passing_time import clocks as clocks
from tests.end_to_end.process import started
from tests.end_to_end.resumable_agent import CALLS, OTHER, SPOKEN, agent
from tests.end_to_end.server_pair import eventually
from understudy.app.server import Running
from understudy.storage.changes import Change
from understudy.storage.limits import Limits
from understudy.storage.records import RunAttempt

AGENT = "tests.end_to_end.resumable_agent:agent"
WRITER = "tests.end_to_end.hand_written_agent:agent"
Moment = Callable[["Watcher"], bool]


@define
class Watcher:
    """One client that reconnects to several servers: the events it received and the text it shows."""

    events: list[dict[str, Any]] = field(factory=list)
    screen: AnswerView = field(factory=AnswerView)

    @property
    def seq(self) -> int:
        return self.events[-1]["seq"] if self.events else 0

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == kind]

    def sees(self, event: dict[str, Any]) -> None:
        """Apply an event. Durable ones must come in order, each once.

        A server sends events again to a client that does not say within a second where it is: those that are known are
        left out, as by any client.
        """
        if 0 < (event.get("seq") or 0) <= self.seq:
            assert event["type"] == self.events[event["seq"] - 1]["type"]
            return
        self.screen.shows(event)
        if event.get("seq") is not None:
            assert event["seq"] == self.seq + 1, (event["type"], event["seq"], self.seq)
            self.events.append(event)

    async def until(self, client: ChatClient, moment: Moment) -> None:
        """Read until `holds` is true or the run ends."""
        while not moment(self) and not (self.events and self.events[-1]["type"] in TERMINAL):
            event = await client.read()
            if event["type"] == "approval_required" or event["type"] != "error" or event.get("seq") is not None:
                self.sees(event)

    async def until_gone(self, client: ChatClient) -> None:
        with suppress(trio_websocket.ConnectionClosed):
            await self.until(client, lambda _: False)


def calling(name: str) -> Moment:
    """Read until a tool has been running for a moment."""
    return lambda seen: any(data["tool_name"] == name for data in seen.kinds("tool_executing"))


def answered(name: str) -> Moment:
    """Read until a tool has just ended, between two turns."""
    return lambda seen: any(data["tool_name"] == name for data in seen.kinds("tool_completed"))


def shown(characters: int) -> Moment:
    return lambda seen: len(seen.screen.text) >= characters


def asked(seen: Watcher) -> bool:
    """Read until a call waits for approval."""
    return bool(seen.kinds("approval_required"))


def ended(seen: Watcher) -> bool:
    return bool(seen.events) and seen.events[-1]["type"] in TERMINAL


async def survived(
    tmp_path: Path,
    message: str,
    *moments: Moment,
    options: tuple[str, ...] = (),
    orderly: bool = False,
    pause_s: float = 0.0,
    written: str = "",
    served: str = AGENT,
    agent_type: str = "resumable",
    python_path: Path | None = None,
    modules: tuple[str, ...] = (),
) -> Watcher:
    """Have a message answered by servers that are each killed at a given moment. A call that waits is then allowed.

    `orderly`: the servers are drained instead, with little time. `pause_s` passes between a moment and the kill.
    The last kill comes when a call has written a line that begins with `written` instead.
    `python_path` is a folder with further packages for them. `modules` are loaded before they are forked.
    """
    seen, calls, token = Watcher(), tmp_path / "calls", ""
    for number, moment in enumerate([*moments, ended]):
        settings = {CALLS: str(calls)} | ({"UNDERSTUDY_GRACE_S": "0.4"} if orderly else {})
        if python_path is not None:
            settings["PYTHONPATH"] = str(python_path)
        async with started(tmp_path / "data", served, *options, modules=modules, **settings) as server:
            if not token:
                token = await http.new_token(server)
            async with connected(server.address, token) as client:
                if number:
                    await client.send({"type": "resume", "payload": {"threads": {"t": seen.seq}}})
                else:
                    await client.say(message, agent_type=agent_type, thread_id="t", message_id="m")
                if asked(seen) and not seen.kinds("approval_decided"):
                    call_id = seen.kinds("approval_required")[0]["call_id"]
                    command = {"type": "approve", "call_id": call_id, "decision": "allow"}
                    await allowed(server.address, token, command)
                await seen.until(client, moment)
                if written and number == len(moments) - 1:
                    await eventually(lambda: f"\n{written} " in calls.read_text())
                else:
                    await trio.sleep(0 if ended(seen) else pause_s)
                if not orderly:
                    await server.kill()
                elif not ended(seen):
                    server.process.terminate()
                    await seen.until_gone(client)
                    assert await server.process.wait() == 0
    check_arc(seen.events)
    return seen


async def allowed(address: str, token: str, command: dict[str, Any]) -> None:
    """Send a decision or an answer once the run that waits for it has been resumed."""
    body = json.dumps(command).encode()
    with trio.fail_after(WAIT_S):
        while True:
            status, _, _ = await http.request(address, "POST", "/api/commands", token=token, body=body)
            if status < 300:
                return
            await trio.sleep(0.05)


def calls_of(tmp_path: Path) -> dict[str, int]:
    """Return how often each tool was called. All calls of one tool must have the same id."""
    path = tmp_path / "calls"
    lines = Counter(path.read_text().splitlines() if path.exists() else [])
    names = [line.split()[0] for line in lines]
    assert len(set(names)) == len(names), "a call that is made again has the same id"
    return dict(zip(names, lines.values(), strict=True))


async def test_a_run_outlives_five_servers(tmp_path: Path) -> None:
    moments = (answered("once"), calling("again"), asked, shown(150), shown(400))
    seen = await survived(tmp_path, "once again ask", *moments)
    end = seen.events[-1]
    assert (end["type"], end["data"]["message"]) == ("final_response", SPOKEN)
    assert (seen.screen.text, seen.screen.jumps) == (SPOKEN, 0)
    told = seen.kinds("agent_thinking")
    assert [each["thought"] for each in told if "notice" not in each] == [f"next is {each}" for each in ORDER]
    assert {each["notice"] for each in told if "notice" in each} == {"resumed"}
    assert [data["status"] for data in seen.kinds("tool_completed")] == ["ok"] * 3
    assert len(seen.kinds("approval_required")) == len(seen.kinds("agent_started")) == 1
    calls = calls_of(tmp_path)
    assert list(calls) == list(ORDER)
    assert calls["once"] == calls["ask"] == 1
    assert calls["again"] <= 3  # it may have begun when the first server is killed, and is under way at the second


@pytest.mark.proof("chaos")
async def test_a_run_outlives_servers_on_postgresql(tmp_path: Path, postgres: Any, template: str) -> None:
    options = ("--database-url", postgres.create(template))
    seen = await survived(tmp_path, "again", calling("again"), shown(300), options=options)
    assert (seen.events[-1]["type"], seen.events[-1]["data"]["message"]) == ("final_response", SPOKEN)
    assert (seen.screen.text, seen.screen.jumps) == (SPOKEN, 0)


ORDER = ("once", "again", "ask")


async def test_a_run_outlives_drained_servers(tmp_path: Path) -> None:
    seen = await survived(tmp_path, "again", calling("again"), shown(300), orderly=True)
    assert (seen.events[-1]["type"], seen.events[-1]["data"]["message"]) == ("final_response", SPOKEN)
    assert (seen.screen.text, seen.screen.jumps) == (SPOKEN, 0)
    assert [data["status"] for data in seen.kinds("tool_completed")] == ["ok"]


@pytest.mark.parametrize("moment", [calling("again"), answered("again")], ids=["at work", "one has ended"])
async def test_two_equal_calls_of_one_turn_are_two(tmp_path: Path, moment: Moment) -> None:
    seen = await survived(tmp_path, "twice", moment)
    ended_calls = {data["call_id"]: data["status"] for data in seen.kinds("tool_completed")}
    assert list(ended_calls.values()) == ["ok", "ok"]
    made = Counter(line.split()[1] for line in (tmp_path / "calls").read_text().splitlines())
    assert made.keys() == ended_calls.keys()
    assert max(made.values()) <= 2


async def test_calls_that_were_killed_are_reconciled_and_take_effect_once(tmp_path: Path) -> None:
    (tmp_path / "calls").touch()
    seen = await survived(tmp_path, "early late", calling("early"), calling("late"), pause_s=0.5)
    assert [data["result"] for data in seen.kinds("tool_completed")] == ["as noted", "done late"]
    assert calls_of(tmp_path) == {"early": 1, "late": 1}
    assert seen.events[-1]["type"] == "final_response"
    assert not seen.kinds("question_asked")


async def test_the_user_says_what_became_of_a_tool_call_of_unknown_outcome(tmp_path: Path) -> None:
    seen, calls, token = Watcher(), tmp_path / "calls", ""
    for moment in (calling("once"), lambda seen: bool(seen.kinds("question_asked")), ended):
        async with started(tmp_path / "data", AGENT, **{CALLS: str(calls)}) as server:
            if not token:
                token = await http.new_token(server)
            if questions := seen.kinds("question_asked"):
                answer = {"question_id": questions[0]["question_id"], "answer": {"choice": "skip"}}
                await allowed(server.address, token, {"type": "answer", **answer})
            async with connected(server.address, token) as client:
                if seen.events:
                    await client.send({"type": "resume", "payload": {"threads": {"t": seen.seq}}})
                else:
                    await client.say("once", agent_type="resumable", thread_id="t", message_id="m")
                await seen.until(client, moment)
                await server.kill()
    check_arc(seen.events)
    (asked,) = seen.kinds("question_asked")
    assert (asked["title"], asked["asked_by"]) == ("Did once take effect?", "server")
    (call,) = seen.kinds("tool_completed")
    assert (call["status"], call["effect"]) == ("killed", "unknown")
    assert seen.events[-1]["type"] == "final_response"
    assert sum(calls_of(tmp_path).values()) <= 1


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
    seen = Watcher()
    async with connected(running.address) as client:
        await client.say(manner, agent_type="resumable", thread_id="t")
        for characters in (20, 330):
            await seen.until(client, shown(characters))
            (ref,) = find(running, KINDS[kind])
            ref.kill()
        await seen.until(client, ended)
    check_arc(seen.events)
    end = seen.events[-1]["data"]
    assert end["message"] == (OTHER if manner == "other" else SPOKEN)
    assert seen.screen.text == end["message"]
    assert seen.screen.jumps == (1 if manner == "other" else 0)
    assert end["usage"]["estimated"] > 100, "what the interrupted request has used"


async def test_a_waiting_call_keeps_its_remaining_time_after_a_restart(clocks: Clocks, serve: Any) -> None:
    running = await serve(agent, limits=Limits(approval_s=1000.0, heartbeat_s=10_000.0))
    seen = Watcher()
    async with connected(running.address) as client:
        await client.say("ask", agent_type="resumable", thread_id="t")
        await seen.until(client, asked)
        clocks.forward(500.0)
        conversation(running).kill()
        clocks.forward(450.0)
        await client.send({"type": "ping"})
        await seen.until(client, lambda seen: "pong" in [event["type"] for event in client.seen])
        assert not seen.kinds("approval_decided")
        clocks.forward(51.0)
        await seen.until(client, ended)
    check_arc(seen.events)
    assert [data["decision"] for data in seen.kinds("approval_decided")] == ["expired"]
    assert seen.events[-1]["type"] == "final_response"


async def stand(running: Running, attempts: int, progress: int = 0) -> None:
    """Store the log's one run as interrupted after this many attempts without progress."""
    (run,) = await running.store.unfinished_runs()
    await running.store.commit(Change(run.owner, run.thread_id, attempt=RunAttempt(run.id, attempts, progress)))


@pytest.mark.promise("wire.error-run-interrupted")
async def test_a_run_that_gets_no_further_is_set_aside(serve: Any) -> None:
    running = await serve(agent)
    seen = Watcher()
    async with connected(running.address) as client:
        await client.say("on", agent_type="resumable", thread_id="t")
        await seen.until(client, shown(300))
        await stand(running, 5)
        conversation(running).kill()
        await seen.until(client, ended)
        end = seen.events[-1]["data"]
        assert end["code"] == "run_interrupted"
        assert end["message"] == "The work on this message was given up: it did not get on in 5 attempts."
        text = seen.kinds("agent_completed")[0]["result"]
        assert text
        assert SPOKEN.startswith(text)
        assert (await client.ask("on", agent_type="resumable", thread_id="t"))["type"] == "final_response"
    _, _, page = await http.request(running.address, "GET", "/metrics")
    assert 'understudy_runs_taken_up_total{outcome="set_aside"} 1.0' in str(page)


def thinking(thought: str) -> Moment:
    return lambda seen: any(data["thought"] == thought for data in seen.kinds("agent_thinking"))


async def test_the_steps_of_a_hand_written_agent_run_once_though_its_server_is_killed_between_them(
    tmp_path: Path,
) -> None:
    moments = (thinking("between"), calling("again"), thinking("in the third"))
    seen = await survived(tmp_path, "go", *moments, pause_s=0.15, written="three", served=WRITER, agent_type="writer")
    assert seen.kinds("final_response")[0]["message"] == (
        "I begin. \n\none is done, two is done, done again, three is done"
    )
    lines = (tmp_path / "calls").read_text().splitlines()
    steps = [line for line in lines if not line.startswith("again")]
    assert Counter(line.split()[0] for line in steps) == {"one": 1, "two": 1, "three": 2}
    assert len(set(steps)) == 3
    told = [data["thought"] for data in seen.kinds("agent_thinking") if "notice" not in data]
    assert told[1:] == ["between", "in the third"]


async def test_a_subagent_goes_on_after_its_server_is_killed_and_repeats_nothing_that_was_done(tmp_path: Path) -> None:
    moments = (thinking("between"), calling("again"), thinking("in the third"))
    boss = WRITER.replace(":agent", ":boss")
    seen = await survived(tmp_path, "go", *moments, pause_s=0.15, written="three", served=boss, agent_type="boss")
    assert seen.kinds("final_response")[0]["message"] == "All done."
    results = {data["tool_name"]: data["result"] for data in seen.kinds("tool_completed")}
    assert results["ask_writer"] == "I begin. \n\none is done, two is done, done again, three is done"
    steps = [line for line in (tmp_path / "calls").read_text().splitlines() if not line.startswith("again")]
    assert Counter(line.split()[0] for line in steps) == {"one": 1, "two": 1, "three": 2}
    assert len(set(steps)) == 3
    assert (len(seen.kinds("subagent_started")), len(seen.kinds("subagent_completed"))) == (1, 1)
