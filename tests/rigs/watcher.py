"""A client that watches one run over servers that are killed."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from tests.rigs import http
from tests.rigs.answer_view import AnswerView
from tests.rigs.chat_client import TERMINAL, WAIT_S, ChatClient, check_arc, connected
from tests.rigs.process import started
from tests.rigs.resumable_agent import CALLS
from tests.rigs.server_pair import eventually

AGENT = "tests.rigs.resumable_agent:agent"
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


def calling(name: str) -> Moment:
    """Read until a tool has been running for a moment."""
    return lambda watcher: any(data["tool_name"] == name for data in watcher.kinds("tool_executing"))


def shown(characters: int) -> Moment:
    """Read until the client shows this many characters."""
    return lambda watcher: len(watcher.screen.text) >= characters


def asked(watcher: Watcher) -> bool:
    """Read until a call waits for approval."""
    return bool(watcher.kinds("approval_required"))


def ended(watcher: Watcher) -> bool:
    """Read until the run has ended."""
    return bool(watcher.events) and watcher.events[-1]["type"] in TERMINAL


async def survived(
    tmp_path: Path,
    message: str,
    *moments: Moment,
    options: tuple[str, ...] = (),
    pause_s: float = 0.0,
    written: str = "",
    served: str = AGENT,
    agent_type: str = "resumable",
    python_path: Path | None = None,
    modules: tuple[str, ...] = (),
) -> Watcher:
    """Have a message answered by servers that are each killed at a given moment. A call that waits is then allowed.

    `pause_s` passes between a moment and the kill.
    The last kill comes when a call has written a line that begins with `written` instead.
    `python_path` is a folder with further packages for them. `modules` are loaded before they are forked.
    """
    watcher, calls, token = Watcher(), tmp_path / "calls", ""
    for number, moment in enumerate([*moments, ended]):
        settings = {CALLS: str(calls)}
        if python_path is not None:
            settings["PYTHONPATH"] = str(python_path)
        async with started(tmp_path / "data", served, *options, modules=modules, **settings) as server:
            if not token:
                token = await http.new_token(server)
            async with connected(server.address, token) as client:
                if number:
                    await client.send({"type": "resume", "payload": {"threads": {"t": watcher.seq}}})
                else:
                    await client.say(message, agent_type=agent_type, thread_id="t", message_id="m")
                if asked(watcher) and not watcher.kinds("approval_decided"):
                    call_id = watcher.kinds("approval_required")[0]["call_id"]
                    command = {"type": "approve", "call_id": call_id, "decision": "allow"}
                    await allowed(server.address, token, command)
                await watcher.until(client, moment)
                if written and number == len(moments) - 1:
                    await eventually(lambda: f"\n{written} " in calls.read_text())
                else:
                    await trio.sleep(0 if ended(watcher) else pause_s)
                await server.kill()
    check_arc(watcher.events)
    return watcher


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
