"""A server is killed in each gap of a run that a kill may find; the next one goes on, and repeats nothing."""

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed

from tests.rigs import http
from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.process import Process, started
from tests.rigs.resumable_agent import CALLS
from tests.rigs.server_pair import eventually
from tests.rigs.watcher import Watcher, ended
from transport.auth.tokens import Tokens

AGENTS = "tests.end_to_end.held_agents:AGENTS"
SECRET = "a secret of servers that are killed"
ASKED = "question_asked"
"""In place of the name of a hold: the server is killed while a question waits."""


def token(user: str, *roles: str) -> str:
    return Tokens(SECRET, time.time).issue(user, "s", roles=roles, ttl_s=3600)


@define
class Story:
    """One thread of Ada's over several servers, and the file in which its agents note where they hold still."""

    folder: Path
    agent: str
    watcher: Watcher = field(factory=Watcher)
    early: dict[int, dict[str, Any]] = field(factory=dict)
    token: str = field(factory=lambda: token("ada"))

    @property
    def calls(self) -> Path:
        return self.folder / "calls"

    def noted(self, name: str) -> int:
        return self.calls.read_text().splitlines().count(name) if self.calls.exists() else 0

    def server(self) -> Any:
        return started(self.folder / "data", AGENTS, **{CALLS: str(self.calls), "UNDERSTUDY_SECRET": SECRET})

    async def say(self, client: ChatClient, content: str = "go", name: str = "m") -> None:
        await client.say(content, agent_type=self.agent, thread_id="t", message_id=name)

    async def resume(self, client: ChatClient) -> None:
        await client.send({"type": "resume", "payload": {"threads": {"t": self.watcher.seq}}})

    async def read(self, client: ChatClient, *, answers: bool = True) -> None:
        """Read until a run ends. Allow calls that ask, and answer questions, again if the run is not there yet."""
        count = len(self.watcher.events)
        while len(self.watcher.events) == count or not ended(self.watcher):
            event = await client.read()
            if event["type"] == "error" and event.get("seq") is None:
                await trio.sleep(0.05)
            else:
                self.sees(event)
            decided = {kind["call_id"] for kind in self.watcher.kinds("approval_decided")}
            answered = {kind["question_id"] for kind in self.watcher.kinds("question_answered")}
            for kind in self.watcher.kinds("approval_required"):
                if answers and kind["call_id"] not in decided:
                    await client.send({"type": "approve", "call_id": kind["call_id"], "decision": "allow"})
            for kind in self.watcher.kinds(ASKED):
                if answers and kind["question_id"] not in answered:
                    answer = {"question_id": kind["question_id"], "answer": {"city": "Graz"}}
                    await client.send({"type": "answer", "payload": answer})

    def sees(self, event: dict[str, Any]) -> None:
        """Apply an event; one that comes before those that were asked for again is applied after them."""
        if (event.get("seq") or 0) > self.watcher.seq + 1:
            self.early[event["seq"]] = event
            return
        self.watcher.sees(event)
        if (following := self.early.pop(self.watcher.seq + 1, None)) is not None:
            self.sees(following)

    async def killed_at(self, server: Process, client: ChatClient, name: str, count: int = 1) -> None:
        """Read until the agent holds still there for this time, or a question waits; then kill the server."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_on, client, name != ASKED)
            await eventually(lambda: bool(self.watcher.kinds(ASKED)) if name == ASKED else self.noted(name) >= count)
            await server.kill()
            self.early.clear()
            nursery.cancel_scope.cancel()

    async def _read_on(self, client: ChatClient, answers: bool) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.read(client, answers=answers)

    async def ends(self) -> list[dict[str, Any]]:
        """Have another server end the run. Return the data of the ends so far."""
        async with self.server() as server, connected(server.address, self.token) as client:
            await self.resume(client)
            await self.read(client)
        return self.watcher.kinds("final_response")


def of_calls(watcher: Watcher) -> list[tuple[str, str]]:
    return [(kind["tool_name"], kind["status"]) for kind in watcher.kinds("tool_completed")]


@pytest.mark.parametrize(
    ("agent", "holds", "text", "calls"),
    [
        ("gathered", ["quick"], "All done.", [("quick", "ok")]),
        ("allowed", ["careful"], "All done.", [("careful", "ok")]),
        ("handing", ["answer"], "All done.", []),
        ("asking", [ASKED, "work"], "To Graz.", []),
        ("spent", ["answer"], "All done.\n\nStopped after 1 tool call, the agent's budget.", [("twice", "ok")]),
    ],
)
async def test_a_run_goes_on(
    agent: str, holds: list[str], text: str, calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    """The start of a call is not stored yet; a call is at work that was allowed; another agent has taken over; a
    function's question waits, and is answered; a bound of the budget is reached."""
    story = Story(tmp_path, agent)
    for hold in holds:
        async with story.server() as server, connected(server.address, story.token) as client:
            await (story.resume(client) if story.watcher.events else story.say(client))
            await story.killed_at(server, client, hold)
    (end,) = await story.ends()
    watcher = story.watcher
    check_arc(watcher.events)
    assert (end["message"].strip(), of_calls(watcher)) == (text, calls)
    for kind in ("agent_handoff", "approval_required", "approval_decided", ASKED, "question_answered"):
        assert len(watcher.kinds(kind)) <= 1, kind
    assert len(watcher.kinds("agent_started")) == 1 + len(watcher.kinds("agent_handoff"))


@pytest.mark.proof("chaos")
async def test_a_fork_goes_on_from_the_call_that_it_makes_again(tmp_path: Path) -> None:
    story = Story(tmp_path, "forked")
    async with story.server() as server, connected(server.address, story.token) as client:
        await story.say(client)
        await story.read(client)
        call_id = story.watcher.kinds("tool_completed")[0]["call_id"]
        again = {"message_id": "m", "call_id": call_id, "request_id": "again"}
        await client.send({"type": "regenerate", "payload": again})
        await story.killed_at(server, client, "twice", 2)
    assert [end["message"] for end in await story.ends()] == ["All done."] * 2
    assert of_calls(story.watcher) == [("twice", "ok")] * 2
    assert story.noted("twice") == 3


@pytest.mark.proof("chaos")
async def test_an_answer_that_was_cut_is_continued_by_the_next_server(tmp_path: Path) -> None:
    story = Story(tmp_path, "cut")
    async with story.server() as server, connected(server.address, story.token) as client:
        await story.say(client)
        await client.until("partial_result")
        await eventually(lambda: story.noted("text") == 1)
        story.watcher.events += client.durable()
        run_id = client.seen[-1]["run_id"]
        await client.send({"type": "cancel", "run_id": run_id})
        await story.read(client)
        await client.send({"type": "continue", "run_id": run_id})
        await story.killed_at(server, client, "text", 2)
    cut, whole = await story.ends()
    assert (cut["status"], whole["message"]) == ("cancelled", "One two. Three.")


@pytest.mark.proof("chaos")
async def test_a_summary_that_was_under_way_is_made_once_by_the_next_server(tmp_path: Path) -> None:
    story = Story(tmp_path, "forgetful")

    def is_over(count: int) -> bool:
        return bool(story.noted("summary")) or len(story.watcher.kinds("final_response")) > count

    async with (
        story.server() as server,
        connected(server.address, story.token) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(story.killed_at, server, client, "summary")
        while not story.noted("summary"):
            answered = len(story.watcher.kinds("final_response"))
            await story.say(client, name=f"m{answered}")
            await eventually(partial(is_over, answered))
    assert len(await story.ends()) == answered + 1
    async with story.server() as server, connected(server.address, story.token) as client:
        await story.resume(client)
        await story.say(client, name="last")
        await story.read(client)
    messages = [kind["message"].strip() for kind in story.watcher.kinds("final_response")]
    assert messages[answered:] == ["Summarised."] * 2
    assert (story.noted("summary"), story.watcher.kinds("error")) == (2, [])
    for run_id in {event["run_id"] for event in story.watcher.events}:
        check_arc([event for event in story.watcher.events if event["run_id"] == run_id])


@pytest.mark.proof("chaos")
async def test_a_title_that_was_under_way_is_left_out(tmp_path: Path) -> None:
    story = Story(tmp_path, "titled")
    async with story.server() as server, connected(server.address, story.token) as client:
        await story.say(client)
        await story.killed_at(server, client, "title")
    async with story.server() as server, connected(server.address, story.token) as client:
        await client.ask("go on", agent_type="titled", thread_id="t", message_id="m2")
        threads = (await http.request(server.address, "GET", "/api/threads", token=story.token))[2]["threads"]
    assert [thread["title"] for thread in threads] == ["go"]
    assert client.seen[-1]["data"]["message"] == "All done."


@pytest.mark.proof("chaos")
async def test_a_run_that_is_taken_over_stays_so(tmp_path: Path) -> None:
    story, operator = Story(tmp_path, "gathered"), token("op", "operator")

    async def ask(server: Process, method: str, what: str = "", body: bytes = b"") -> Any:
        run_id = story.watcher.events[0]["run_id"]
        status, _, answer = await http.request(
            server.address, method, f"/api/admin/runs/{run_id}{what}", token=operator, body=body
        )
        assert status == 200, answer
        return answer

    async with story.server() as server, connected(server.address, story.token) as client:
        await story.say(client)
        await eventually(lambda: story.noted("quick") == 1)
        story.watcher.events += [await client.until("message_accepted"), await client.until("agent_started")]
        taken = await ask(server, "POST", "/take-over", b'{"reason": "Help"}')
        await server.kill()
    story.watcher.events.clear()
    async with story.server() as server, connected(server.address, story.token) as client:
        await story.resume(client)
        await story.read(client)
        assert (await ask(server, "GET"))["taken_over"] == taken
    check_arc(story.watcher.events)
    assert [kind.get("notice") for kind in story.watcher.kinds("agent_thinking")].count("taken_over") == 1
    assert story.watcher.kinds("final_response")[0]["message"] == "All done."
