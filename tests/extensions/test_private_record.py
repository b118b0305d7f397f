"""The private record of a run leaves the server by no way, and is erased with its user or thread, and by age."""

import json
import logging
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from attrs import define, field, frozen
from typed_settings import SecretStr

from tests.rigs.chat_client import TERMINAL, connected
from tests.rigs.collector import Collector
from tests.rigs.doors import DOORS, say
from tests.rigs.http import get, request
from tests.rigs.marked_text import MARKER, where_marked
from tests.rigs.marked_text import database as database
from tests.rigs.mcp_desk import Desk
from tests.rigs.receiver import Receiver
from tests.rigs.retention import looked
from tests.rigs.retention import restless as restless
from tests.rigs.server_pair import eventually
from tests.rigs.tokens import SECRET, token
from tests.rigs.web_app import paths
from understudy import Agent, AgentTurn, Secret, ToolContext, tool
from understudy.app.server import Running
from understudy.app.settings import Settings
from understudy.extensions.frameworks.states import save_state
from understudy.extensions.notices.settings import WebhookSettings
from understudy.extensions.privacy.erasure import Eraser
from understudy.extensions.privacy.settings import KeepSettings
from understudy.extensions.shares.settings import ShareSettings
from understudy.installed import installed
from understudy.models.items import ProviderState
from understudy.models.model import Emit, ModelLimits, Reply, TextDelta, ToolRequest, Turn

STORED: Final = {f"{MARKER}-{name}" for name in ("state", "id", "reasoning", "handle", "step", "summary")}
"""What a provider wants back, its ids of calls, the whole reasoning, the handle of a call at work, the result of a step
of an agent's own function, and a summary. A framework's state is marked too, with the bare marker."""
ANN, BOB, OPERATOR, AUDITOR = token("ann"), token("bob"), token("op", "operator"), token("eve", "auditor")
COLLECTOR: Final = token("prometheus", "metrics")
STREAMS: Final = ("/api/threads/<thread_id>/stream", "/api/ui/<chat_id>/stream", "/api/observer/changes")
"""Paths that answer with a stream of events, which the sockets beside it have too."""
EXPORTS: Final = ("/api/me/export", "/api/threads/<thread_id>/export")


class MarkedModel:
    """Marks whatever of its replies is not shown. Its answers are long, and its window is small."""

    name = notice = "marked"
    limits = ModelLimits(window_tokens=4_500, max_output=500)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        if turn.purpose == "summary":
            return Reply(f"{MARKER}-summary")
        if turn.purpose == "title":
            return Reply("A title")
        state = ProviderState(self.name, self.name, {"opaque": [f"{MARKER}-state"]}, (f"{MARKER}-id",))
        fields: dict[str, Any] = {"reasoning": f"{MARKER}-reasoning", "state": state}
        if turn.tools and not turn.rounds and "fill" in turn.request:
            return Reply(calls=(ToolRequest(f"{MARKER}-call", "fill", {}),), **fields)
        text = "word " * 300
        await emit(TextDelta(text))
        return Reply(text, **fields)


@frozen
class Pin:
    """Which one?"""

    pin: Secret


@tool(on_server_loop=True)
async def fill(context: ToolContext) -> str:
    """Keep a handle, and ask for a secret."""
    await context.means.handle.keep(f"{MARKER}-handle")
    return f"{len((await context.ask(Pin)).pin)} characters"


async def work() -> str:
    return f"{MARKER}-step"


async def written(turn: AgentTurn) -> None:
    """Work, and say nothing of what came of it."""
    await turn.step("work", work)
    await turn.say("Worked.")


AGENTS: Final = (Agent("desk", model=MarkedModel(), tools=[fill]), Agent("written", run=written))


@define
class Outlets:
    """A server and whatever goes out of it. `texts` are what was read so far, each under where it was read;
    `of_runs` are the marks in the steps of the user's own export."""

    running: Running
    folder: Path
    collector: Collector
    receiver: Receiver
    database: dict[str, str]
    texts: dict[str, str] = field(factory=dict)
    of_runs: set[str] = field(factory=set)

    async def walk(self, names: dict[str, str]) -> None:
        """Read every path of the server, as each of several people and as a stranger; exports but for their steps."""
        for path, method in sorted(paths(self.folder, installed())):
            if method != "GET" or path in STREAMS or path in EXPORTS or path == "/metrics":
                continue
            at = re.sub(r"<(?:path:)?(\w+)>", lambda match: names.get(match[1], "x"), path)
            for who in (ANN, BOB, OPERATOR, AUDITOR, None):
                _, _, body = await request(self.running.address, "GET", at, token=who)
                self.texts[f"{path} {who}"] = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        self.texts["metrics"] = await get(self.running, "/metrics", COLLECTOR)
        self.texts["traces"] = repr(self.collector.spans)
        self.texts["webhooks"] = repr(self.receiver.got)

    async def read_export(self) -> None:
        """Read the user's own export: what it says of the steps of runs, which is the user's alone, and the rest."""
        export = await get(self.running, "/api/me/export?events=1", ANN)
        messages = [message for thread in export["threads"] for message in thread["messages"]]
        steps = [run.pop("steps") for message in messages for run in message.get("runs", ())]
        self.of_runs |= set(re.findall(rf"{MARKER}-\w+", json.dumps(steps)))
        self.texts["export"] = json.dumps(export)

    def marked(self) -> dict[str, list[str]]:
        """Return the marks that were read, by where."""
        by_place = {at: re.findall(rf"{MARKER}[-\w]*", text) for at, text in self.texts.items()}
        return {at: marks for at, marks in by_place.items() if marks}


@pytest.fixture
async def outlets(
    serve: Any, database: dict[str, str], tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> Outlets:
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.EVERY_S", 0.02)
    monkeypatch.setattr("understudy.extensions.notices.webhook_sender.FIRST_S", 0.02)
    collector, receiver = Collector(), Receiver()
    await collector.start(nursery)
    await receiver.start(nursery)
    hooks = WebhookSettings([receiver.origin], SecretStr("a-secret-of-more-than-32-bytes-for-tests"), True)
    settings: dict[type[Any], Any] = {ShareSettings: ShareSettings(links=True), WebhookSettings: hooks}
    running = await serve(*AGENTS, secret=SECRET, otlp_endpoint=collector.origin, own=settings, **database)
    return Outlets(running, tmp_path, collector, receiver, database)


async def talked(outlets: Outlets) -> dict[str, str]:
    """Fill every private field in the thread `t`. Read every path while its run waits. Return the names for paths."""
    running = outlets.running
    async with connected(running.address, ANN) as client:
        await client.say("fill it in", agent_type="desk", thread_id="t", settings={"webhook": outlets.receiver.url})
        question = await client.until("question_asked")
        names = {"thread_id": "t", "run_id": question["run_id"], "call_id": question["data"]["call_id"], "user": "ann"}
        names |= {"agent": "desk", "chat_id": "t", "response_id": f"resp_{question['run_id']}"}
        await outlets.walk(names)
        await outlets.read_export()
        answer = {"question_id": question["data"]["question_id"], "answer": {"pin": f"{MARKER}-pin"}}
        await client.send({"type": "answer", "payload": answer})
        await client.until_end()
        await client.ask("work", agent_type="written", thread_id="t")
        while f"{MARKER}-summary" not in outlets.of_runs:
            await client.ask("more", agent_type="desk", thread_id="t")
            await outlets.read_export()
        outlets.texts["live"] = repr(client.seen)
    await running.store.commit(save_state("ann", "t", "r", 6.0, (("at", MARKER.encode()),)))
    return names


async def call_by_mcp(outlets: Outlets) -> None:
    outlets.texts["mcp"] = json.dumps(await Desk(outlets.running, ANN).call("fill"))


async def answer_newest(outlets: Outlets) -> None:
    """Answer the question that waits for the user, once there is one."""
    address = outlets.running.address
    with trio.fail_after(60):
        while not (waiting := (await get(outlets.running, "/api/inbox", ANN))["needs_you"]):  # noqa: ASYNC110
            await trio.sleep(0.05)
    answer = {"question_id": waiting[0]["question_id"], "answer": {"pin": f"{MARKER}-pin"}}
    command = {"type": "answer", "payload": answer}
    assert (await request(address, "POST", "/api/commands", token=ANN, body=command))[0] == 202


@pytest.mark.blocking("every record of every package is kept")
async def test_it_reaches_nobody(outlets: Outlets, caplog: pytest.LogCaptureFixture) -> None:
    """Frames, streams, history, links, doors, logs, metrics, traces, webhooks, operators' and auditors' pages."""
    caplog.set_level(logging.DEBUG)
    running = outlets.running
    names = await talked(outlets)
    for door in DOORS:
        outlets.texts[door] = (await say(running, ANN, door))[2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_by_mcp, outlets)
        await answer_newest(outlets)
    share = (await request(running.address, "POST", "/api/threads/t/shares", token=ANN, body={}))[2]
    await eventually(lambda: len(outlets.receiver.got) >= 2)
    await outlets.walk(names | {"token": share["path"].rpartition("/")[2]})
    ends = len((await get(running, "/api/runs?thread=t", ANN))["runs"])
    for dialect in ("canonical", "flat", "payload", "agent_response", "agent_events"):
        async with connected(running.address, ANN, f"/ws?dialect={dialect}", welcome=False) as client:
            await client.send({"type": "resume", "payload": {"threads": {"t": 0}}})
            left = ends
            while left:
                left -= (await client.read())["type"] in (*TERMINAL, "message")  # which an answer is in the latter two
            outlets.texts[f"frames as {dialect}"] = repr(client.seen)
    await outlets.read_export()
    outlets.texts["logs"] = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "characters" in outlets.texts["mcp"]
    assert outlets.marked() == {}
    assert outlets.of_runs == STORED


async def delete_user(outlets: Outlets) -> None:
    body = {"confirm": "ann"}
    assert (await request(outlets.running.address, "DELETE", "/api/me", token=ANN, body=body))[0] == 200


async def delete_thread(outlets: Outlets) -> None:
    assert (await request(outlets.running.address, "DELETE", "/api/threads/t", token=ANN))[0] == 204


async def let_it_expire(outlets: Outlets) -> None:
    running, later = outlets.running, time.time() + 31 * 24 * 3600
    eraser = Eraser(running.store, Settings(data_dir=outlets.folder / "data"), running.store.delete_thread)
    assert await looked(running.system, KeepSettings(threads_days=30), running.store, eraser, now=later) == {
        "threads": 1
    }


@pytest.mark.parametrize("erase", [delete_user, delete_thread, let_it_expire])
async def test_nothing_of_it_is_left(outlets: Outlets, erase: Callable[[Outlets], Awaitable[None]]) -> None:
    """In no table, and not in SQLite's file once its log is emptied."""
    await talked(outlets)
    assert where_marked(outlets.database, outlets.folder / "data")
    await erase(outlets)
    if not outlets.database:
        with closing(sqlite3.connect(outlets.folder / "data" / "understudy.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert where_marked(outlets.database, outlets.folder / "data") == []
